# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve link`: the way in for a service's first administrator."""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain.errors import Refused
from chain.pb import ledger_pb2
from cli import serving
from cli.errors import InputError
from cli.exits import Exit
from cli.run import run_async
from client.errors import TransportError
from membership.pb import membership_pb2
from membership.state import VALIDATORS_KEY, organisation_key
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(f'[store]\nfolder = "{tmp_path}/data"\nkeys = "{tmp_path}/keys"\nallow_plain = true\n')
    return path


def link(settings: Path, *more: str, service: str = "office", code: int = 0) -> dict[str, Any]:
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
    found: dict[str, Any] = json.loads(done.stdout or done.stderr)
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


def test_link_says_that_the_one_before_it_ended_and_that_nobody_was_asked_about_the_organisation(
    settings: Path,
) -> None:
    first, second = link(settings), link(settings)
    assert (first["ended_earlier"], second["ended_earlier"]) == (False, True)
    assert first["organisation_known"] is None
    assert first["link"] != second["link"]


class Asked:
    """A session's part that is asked: of three organisations one has a validator, and genesis names another."""

    async def read_many(self, keys: Sequence[bytes]) -> list[SimpleNamespace]:
        serving = membership_pb2.ValidatorsRecord(validators=[ledger_pb2.Validator(organisation="water")])
        there = {organisation_key(one): b"x" for one in ("registrar", "water", "civil-affairs")}
        values = {**there, VALIDATORS_KEY: serving.SerializeToString()}
        return [SimpleNamespace(key=key, value=values.get(key)) for key in keys]


@pytest.fixture
def ledger(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def asked(_settings: Settings, question: Callable[[Asked], Awaitable[list[str]]]) -> list[str]:
        return run_async(question(Asked()))

    genesis = SimpleNamespace(sections={"membership": {"organisations": [{"id": "registrar"}]}})
    monkeypatch.setattr(serving, "read_network", lambda _: SimpleNamespace(genesis=genesis))
    monkeypatch.setattr(serving, "asked", asked)
    settings.write_text(f'{settings.read_text()}[ledger]\ngenesis = "genesis.json"\n')
    return settings


def test_link_is_refused_for_an_organisation_that_the_ledger_proves_not_to_have_and_names_known_ones(
    ledger: Path,
) -> None:
    with pytest.raises(InputError, match="nobody") as caught:
        serving.first_link("office", "Li Wei", "nobody", ledger, another=False)
    assert caught.value.code == "service.no-organisation"
    assert "registrar, water" in caught.value.reason
    assert serving.first_link("office", "Li Wei", "civil-affairs", ledger, another=False).is_known


@pytest.mark.parametrize("error", [TransportError("no node"), TimeoutError(), Refused("x", "y.z")])
def test_link_is_made_where_no_node_says_anything_of_the_organisation(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def silent(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(serving, "asked", silent)
    made = serving.first_link("office", "Li Wei", "nobody", ledger, another=False)
    assert made.is_known is None
    assert made.link.startswith("http://localhost:8802/join#")
