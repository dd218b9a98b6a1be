# SPDX-License-Identifier: Apache-2.0
"""The table in docs/service-codes.md equals the table of problems; with --write, make it so."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "service-codes.md"

sys.path.insert(0, str(ROOT))

from service.language import translate  # noqa: E402 - after the path is set
from service.problems import KINDS  # noqa: E402 - likewise

HEAD = """# Codes of the services

Each refusal and failure over HTTP is a problem document (RFC 9457) whose `code` never changes its meaning; `title` and
`detail` are in the language that was asked for. `/problems/<code>` of each service explains one. What the ledger
itself refuses carries its own code beside it, in `ledger_code`; [codes.md](codes.md) lists those. This table is
made by `tests/check_service_codes.py --write`, and a test keeps it in step with the program.

| code | status | meaning |
|---|---|---|
"""


def page() -> str:
    rows = []
    for kind in sorted(KINDS, key=lambda kind: kind.code):
        places = {"limit": "…", "seconds": "…", "count": "…", "failed": "…"}
        detail = translate("en", f"problem.{kind.code}.detail", **places)
        rows.append(f"| `{kind.code}` | {kind.status} | {kind.title('en')}. {detail} |")
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page")
    if parser.parse_args().write:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.read_text("utf-8") != page():
        print(f"{PAGE} is stale: run tests/check_service_codes.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
