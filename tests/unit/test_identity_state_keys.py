# SPDX-License-Identifier: Apache-2.0
"""The page of identity's rules names each operation and each kind of state key that the rules have."""

import re
from pathlib import Path

from cli.records import _STATE_RECORDS
from identity.rules import Identity

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "identity.md").read_text("utf-8")


def test_page_names_each_operation() -> None:
    missing = [name for name in Identity().operations if f"`{name.removeprefix('identity.')}`" not in PAGE]
    assert missing == []


def test_page_lists_each_state_key_with_its_record() -> None:
    table = PAGE.partition("## State keys")[2]
    rows = re.findall(r"^\| `(identity/[a-z-]+|status)/.*?\| `(\w+)` \|", table, re.MULTILINE)
    listed = {found[0]: found[1] for found in rows}
    known = {
        prefix.decode().rstrip("/").removesuffix("/present"): kind.DESCRIPTOR.name
        for prefix, kind in _STATE_RECORDS
        if prefix.startswith((b"identity/", b"status/"))
    }
    assert listed == known


def test_each_state_key_that_the_rules_write_is_among_them() -> None:
    written = {
        found
        for path in (ROOT / "identity").glob("*.py")
        for found in re.findall(r'b"(identity/[a-z-]+)/', path.read_text("utf-8"))
    }
    known = {prefix.decode().rstrip("/").removesuffix("/present") for prefix, _ in _STATE_RECORDS}
    assert written
    assert written <= known
