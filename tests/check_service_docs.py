# SPDX-License-Identifier: Apache-2.0
"""docs/service-codes.md and the table of settings in docs/services.md equal the program; with --write, make it so."""

import argparse
import re
import sys
from dataclasses import fields

import repository

from cli.card_agent.kinds import KINDS as AGENT_KINDS
from credit.api.problems import KINDS as CREDIT_KINDS
from identity.api.accesses.problems import KINDS as ACCESS_KINDS
from identity.api.desk.batch_problems import BATCH_KINDS
from identity.api.desk.cards_problems import CARD_KINDS
from identity.api.desk.legal_problems import LEGAL_KINDS
from identity.api.desk.problems import KINDS as DESK_KINDS
from identity.api.kiosk.problems import KIOSK_KINDS, OFFICE_KINDS
from identity.api.tagging.problems import KINDS as TAGGING_KINDS
from identity.api.verifier.problems import KINDS as VERIFIER_KINDS
from service.explorer.problems import KINDS as EXPLORER_KINDS
from service.language import translate
from service.problems import KINDS
from service.settings import Settings
from service.sign_in.kinds import SIGN_IN_KINDS
from traceability.api.problems import KINDS as FOOD_KINDS
from traceability.api.regulator.problems import KINDS as FOOD_OFFICE_KINDS
from traceability.api.shopper.problems import KINDS as SHOPPER_KINDS
from traceability.api.trader.problems import KINDS as TRADE_KINDS

CODES = repository.ROOT / "docs" / "service-codes.md"
GUIDE = repository.ROOT / "docs" / "services.md"
HEAD = """# Codes of the services

Each refusal and failure over HTTP is a problem document (RFC 9457) whose `code` never changes its meaning; `title` and
`detail` are in the language that was asked for. `/problems/<code>` of each service explains one. What the ledger
itself refuses carries its own code beside it, in `ledger_code`; [codes.md](codes.md) lists those. This page is
made by `tests/check_service_docs.py --write`, and a test keeps it in step with the program.

| code | status | meaning |
|---|---|---|
"""


def codes() -> str:
    """The whole page of codes."""
    rows = []
    for kind in sorted(
        (
            *KINDS,
            *ACCESS_KINDS,
            *AGENT_KINDS,
            *BATCH_KINDS,
            *CARD_KINDS,
            *CREDIT_KINDS,
            *DESK_KINDS,
            *LEGAL_KINDS,
            *KIOSK_KINDS,
            *OFFICE_KINDS,
            *EXPLORER_KINDS,
            *FOOD_KINDS,
            *FOOD_OFFICE_KINDS,
            *SHOPPER_KINDS,
            *TRADE_KINDS,
            *SIGN_IN_KINDS,
            *TAGGING_KINDS,
            *VERIFIER_KINDS,
        ),
        key=lambda kind: kind.code,
    ):
        places = {"limit": "…", "seconds": "…", "count": "…", "failed": "…", "reason": "…"}
        places |= {"max": "…", "rows": "…", "serial": "…"}
        detail = translate("en", f"problem.{kind.code}.detail", **places)
        rows.append(f"| `{kind.code}` | {kind.status} | {kind.title('en')}. {detail} |")
    return HEAD + "\n".join(rows) + "\n"


def settings() -> str:
    """One row for each setting, with its default and its reason."""
    rows = ["| setting | default | why |", "|---|---|---|"]
    for section in fields(Settings):
        if section.name == "addresses":
            continue
        values = section.default_factory()
        for item in fields(values):
            default = getattr(values, item.name)
            is_number = isinstance(default, int) and not isinstance(default, bool)
            text = f"{default:,}" if is_number else str(default).lower() if default != () else ""
            why = item.metadata["why"].replace("|", "\\|")
            rows.append(f"| `{section.name}.{item.name}` | {text or 'empty'} | {why} |")
    return "\n".join(rows)


def guide(text: str) -> str:
    """The guide with its table filled in."""
    pattern = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)
    filled, count = pattern.subn(lambda found: f"{found[1]}\n{settings()}\n\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"{GUIDE} has no place for the settings")
    return filled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the pages")
    should_write = parser.parse_args().write
    stale = False
    for path, fresh in ((CODES, codes()), (GUIDE, guide(GUIDE.read_text("utf-8")))):
        if should_write:
            path.write_text(fresh, "utf-8")
        elif path.read_text("utf-8") != fresh:
            print(f"{path} is stale: run tests/check_service_docs.py --write", file=sys.stderr)
            stale = True
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main())
