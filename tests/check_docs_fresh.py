# SPDX-License-Identifier: Apache-2.0
"""The generated tables in docs/operations.md equal what the program says; with --write, make it so."""

import argparse
import os
import re
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operations.md"

sys.path.insert(0, str(ROOT))
os.environ["ZHIXIN_LANG"] = "en"

from cli.exits import table  # noqa: E402 - after the language is set
from node.config import Config  # noqa: E402 - likewise
from node.exits import MEANINGS  # noqa: E402 - likewise


def settings() -> str:
    """One row for each setting, with its default and its reason."""
    rows = ["| setting | default | why |", "|---|---|---|"]
    for section in fields(Config):
        values = section.default_factory()
        for item in fields(values):
            default = getattr(values, item.name)
            number = isinstance(default, int) and not isinstance(default, bool)
            text = f"{default:,}" if number else str(default).lower() or "empty"
            why = item.metadata["why"].replace("|", "\\|")
            rows.append(f"| `{section.name}.{item.name}` | {text} | {why} |")
    return "\n".join(rows)


def node_exits() -> str:
    """One row for each way in which a node's process ends."""
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def exits() -> str:
    """One row for each exit code."""
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in table()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def filled(text: str) -> str:
    for name, made in (("settings", settings()), ("node-exits", node_exits()), ("exits", exits())):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text)
        if count != 1:
            raise SystemExit(f"{PAGE} has no place for {name}")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    text = PAGE.read_text("utf-8")
    fresh = filled(text)
    if parser.parse_args().write:
        PAGE.write_text(fresh, "utf-8")
        return 0
    if fresh != text:
        print(f"{PAGE}: not what the program says; run python tests/check_docs_fresh.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
