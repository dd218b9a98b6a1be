# SPDX-License-Identifier: Apache-2.0
"""Each test that the security document names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"`(test_[a-z0-9_]+\.py)(?:::(test_[a-z0-9_]+))?`")


def test_each_test_that_the_security_document_names_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    files = {path.name: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    named = _NAMED.findall(text)
    assert len(named) > 100
    missing = [
        f"{file}::{test}"
        for file, test in named
        if file not in files or (test and not re.search(rf"^(async )?def {test}\(", files[file], re.MULTILINE))
    ]
    assert not missing
