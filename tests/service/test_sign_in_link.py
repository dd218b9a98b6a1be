# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve link`: the way in for a service's first administrator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exits import Exit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(f'[store]\nfolder = "{tmp_path}/data"\nkeys = "{tmp_path}/keys"\nallow_plain = true\n')
    return path


def link(settings: Path, *more: str, service: str = "office", code: int = 0) -> dict[str, str]:
    argv = ["serve", "link", service, "--name", "Li Wei", "--organisation", "civil-affairs", *more]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *argv, "--settings", str(settings), "--json"],
        cwd=ROOT,
        env={**os.environ, "ZHIXIN_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    found: dict[str, str] = json.loads(done.stdout or done.stderr)
    return found


COME_BY_LINK = """
import sys
from pathlib import Path
import cli.services
from service.settings import load_settings, local_address
from service.sign_in.office import Office
from service.sign_in.people import look_at_link
from service.sign_in.tables import ACTIVE, Passkey, StaffMember
from service.store import open_store

store = open_store(load_settings(Path(sys.argv[1])).store, {})
invited = look_at_link(Office.of(store, local_address("office", "127.0.0.1:8802")), sys.argv[2])
with store.write() as session:
    member = session.get(StaffMember, invited.staff_id)
    member.state = ACTIVE
    kept = {"digest": b"d" * 32, "public_key": b"k" * 33, "sign_count": 0, "created_ms": 1, "used_ms": 1}
    session.add(Passkey(person_id=member.person_id, staff_id=member.id, state=ACTIVE, **kept))
print(invited.name, invited.organisation, invited.role)
"""
"""In a process of its own, with the tables that the command knows: this one also knows those of other tests."""


def test_link_is_for_an_administrator_and_refused_once_there_is_one_unless_another_is_asked_for(settings: Path) -> None:
    made = link(settings)["link"]
    assert made.startswith("http://localhost:8802/join#")
    argv = [sys.executable, "-c", COME_BY_LINK, str(settings), made.partition("#")[2]]
    came = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert came.stdout == "Li Wei civil-affairs administrator\n"
    assert "service.administrator-there" in json.dumps(link(settings, code=Exit.INPUT))
    assert link(settings, "--another")["link"] != made


def test_link_for_a_service_without_sign_in_is_a_usage_error(settings: Path) -> None:
    assert "service.unknown" in json.dumps(link(settings, service="styles", code=Exit.USAGE))
