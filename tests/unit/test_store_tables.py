# SPDX-License-Identifier: Apache-2.0
"""Every store has all tables, whichever command opens it: else one service's store would be too new for another."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json
import cli.services
from service.store import migrate
print(json.dumps([str(folder) for folder in migrate._folders]))
"""


def test_command_knows_the_migrations_of_every_package() -> None:
    found = {
        path.relative_to(ROOT)
        for package in ("service", "identity", "credit", "traceability")
        for path in (ROOT / package).rglob("m[0-9][0-9][0-9][0-9]_*.py")
        if re.search(r"^down_revision\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(found) > 10
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    known = {Path(folder).relative_to(ROOT) for folder in json.loads(told.stdout)}
    assert {path.parent for path in found} == known
