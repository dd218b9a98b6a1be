# SPDX-License-Identifier: Apache-2.0
"""The private store and the uniqueness service on a real network: anchors, tags, and a ledger that is down."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import Processes

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.signing import Scheme, Signer
from chain.transaction import Operation
from cli import language, output
from cli.exits import Exit
from cli.main import run as command
from client.errors import TransportError
from client.session import Session
from identity import resident_number
from identity.api.tagging.client import HttpTagger
from identity.commitments import holder_commitment
from identity.officers import registrar_digest
from identity.pb import identity_pb2
from identity.uniqueness import load_seats, seats_key
from membership.pb import membership_pb2 as pb
from membership.state import signer_pb
from node.keys import Algorithm, Purpose, generate_key, load_key, save_key
from service.settings import load_settings
from service.store import Act, open_store

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.network
READY_SECONDS = 60
SERVICE = "uniqueness-office"
FIRST_17 = "11010519491231002"
NUMBER = FIRST_17 + resident_number.check_character(FIRST_17)
REGISTRAR = registrar_digest("registrar")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Processes]:
    """One validator: what is tested here does not depend on how many agree."""
    made = Processes(tmp_path, validators=1)
    try:
        made.start(0)
        yield made
    finally:
        made.stop_all()
        output.use_json(on=False)
        language.select("en")


def settings_of(net: Processes, folder: Path, more: str = "") -> Path:
    path = folder / "service.toml"
    path.write_text(f"""
[store]
folder = "{folder}/data"
keys = "{folder}/keys"
allow_plain = true
anchor_ms = 1000
[ledger]
genesis = "{net.net.genesis}"
[signing]
submit_key = "{net.net.organisation_keys["registrar"]}"
allow_plain = true
{more}
""")
    return path


def outcome(capsys: pytest.CaptureFixture[str], *argv: str, code: Exit = Exit.DONE) -> dict[str, object]:
    assert command([*argv, "--json"]) == code, capsys.readouterr()
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def record(settings: Path, count: int) -> None:
    store = open_store(load_settings(settings).store, {})
    for _ in range(count):
        with store.write() as session:
            store.record(session, Act("a" * 32, "record.opened", "b" * 32))
    store.close()


def answering(net: Processes) -> None:
    """Wait until the network certifies."""

    async def ask() -> None:
        async with Session(net.genesis) as session:
            for _ in range(READY_SECONDS * 2):
                try:
                    await session.checkpoint()
                except TransportError:
                    await asyncio.sleep(0.5)
                else:
                    return
        raise AssertionError("the network does not answer")

    asyncio.run(ask())


def test_audit_chain_is_anchored_compared_and_an_old_backup_refused(
    net: Processes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(net, tmp_path)
    place = ["--settings", str(settings)]
    record(settings, 3)
    answering(net)
    found = outcome(capsys, "store", "audit", "verify", *place)
    assert (found["in_order"], found["entries"], found["anchored"]) == (True, 3, 0)
    old = str(outcome(capsys, "store", "backup", "--to", str(tmp_path / "backups"), *place)["backup"])
    for _ in range(2):
        assert outcome(capsys, "store", "audit", "anchor", *place) == {"anchored": 1}
        record(settings, 3)
    assert outcome(capsys, "store", "audit", "anchor", *place) == {"anchored": 1}
    found = outcome(capsys, "store", "audit", "verify", "--organisation", "registrar", *place)
    assert (found["in_order"], found["entries"], found["anchored"]) == (True, 9, 9)

    # an older backup into another database
    fresh = tmp_path / "fresh.toml"
    fresh.write_text(settings.read_text().replace(f"{tmp_path}/data", f"{tmp_path}/fresh"))
    refused = outcome(capsys, "store", "restore", old, "--settings", str(fresh), code=Exit.INPUT)
    assert "goes up to audit entry 3; the ledger knows 9" in str(refused["error"])

    # somebody with the database's own rights
    with sqlite3.connect(tmp_path / "data" / "store.sqlite") as database:
        database.execute("DROP TRIGGER audit_entry_no_update")
        database.execute("UPDATE audit_entry SET act = 'record.closed' WHERE number = 5")
    database.close()
    found = outcome(capsys, "store", "audit", "verify", *place, code=Exit.DAMAGED)
    assert (found["in_order"], found["first_bad"], found["last_bad"]) == (False, 5, 5)

    # the ledger is down
    net.terminate(0)
    assert "error" in outcome(capsys, "store", "audit", "verify", *place, code=Exit.WORLD)
    assert "error" in outcome(capsys, "store", "restore", old, "--settings", str(fresh), code=Exit.WORLD)
    done = outcome(capsys, "store", "restore", old, "--accept-older", "--settings", str(fresh))
    assert (done["audit_entries"], done["compared"]) == (3, False)
    net.start(0)
    answering(net)
    rolled_back = outcome(capsys, "store", "audit", "anchor", "--settings", str(fresh), code=Exit.DAMAGED)
    assert rolled_back["anchored"] == 0
    assert outcome(capsys, "store", "audit", "accept-older", "--settings", str(fresh)) == {"anchored": 9}
    assert outcome(capsys, "store", "audit", "anchor", "--settings", str(fresh)) == {"anchored": 1}
    assert outcome(capsys, "store", "audit", "verify", "--settings", str(fresh))["in_order"] is True


def found_uniqueness(net: Processes, folder: Path) -> Path:
    """Vote an organisation with the role uniqueness in; the file of its key."""
    pair = generate_key(Purpose.ORGANISATION, Algorithm.ED25519)
    save_key(folder / "uniqueness.json", pair, None)
    key = signer_pb(Signer(Scheme.ED25519, pair.public_key))
    grant = pb.KeyGrant(key=key, purposes=[pb.PURPOSE_SUBMIT, pb.PURPOSE_ATTEST])
    new = pb.AddOrganisation(id=SERVICE, name_zh="唯一性服务", roles=["uniqueness"], keys=[grant])
    member = next(path for name, path in net.net.organisation_keys.items() if name != "registrar")
    governor = Ed25519Signer(load_key(member, Purpose.ORGANISATION, None, allow_plain=True).secret)

    async def vote() -> None:
        async with Session(net.genesis) as session:
            act = pb.Act(add_organisation=new)
            proposal = pb.Propose(epoch=1, expires_at_ms=time.time_ns() // 1_000_000 + 60_000, acts=[act])
            operation = Operation.make("membership.Propose", encode(proposal))
            proven = await session.submit_one(session.sign([operation], [governor]))
            assert proven.failed is None, proven.failed

    asyncio.run(vote())
    return folder / "uniqueness.json"


def test_uniqueness_service_gives_a_seat_on_the_ledger_and_its_questions_are_anchored(
    net: Processes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(net)
    key = found_uniqueness(net, tmp_path)
    port = net.base_port + 7
    more = f"""
[uniqueness]
keys = "{tmp_path}/tag-keys"
allow_plain = true
signing_key = "{key}"
[addresses.uniqueness]
listen = "127.0.0.1:{port}"
"""
    settings = settings_of(net, tmp_path, more)
    settings.write_text(settings.read_text().replace(str(net.net.organisation_keys["registrar"]), str(key)))
    place = ["--settings", str(settings)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", "uniqueness", *place], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        ready(f"{url}/health", process, tmp_path / "log")
        # the service made the store: this process may know tables of other tests
        assert outcome(capsys, "uniqueness", "rotate", *place) == {"key_version": 1}
        bearer = str(outcome(capsys, "uniqueness", "add-registrar", "registrar", *place)["key"])
        assert outcome(capsys, "uniqueness", "status", *place)["keys"] == [1]
        ready(f"{url}/ready", process, tmp_path / "log")
        asyncio.run(desk(url, bearer))
        anchored(capsys, place)
    finally:
        process.terminate()
        process.wait(30)
    assert NUMBER not in (tmp_path / "log").read_text()
    listed = outcome(capsys, "uniqueness", "registrars", *place)["registrars"]
    assert isinstance(listed, list)
    assert [one["organisation"] for one in listed] == ["registrar"]

    async def seats() -> identity_pb2.SeatsRecord:
        async with Session(net.genesis) as session:
            state = await session.read(seats_key(REGISTRAR))
            return load_seats({state.key: state.value}.get, REGISTRAR)

    assert asyncio.run(seats()) == identity_pb2.SeatsRecord(free=1)


async def desk(url: str, bearer: str) -> None:
    holder = holder_commitment(b"r" * 16, b"s" * 32)
    async with HttpTagger(url, bearer) as tagger:
        first = await tagger.tag("resident", NUMBER)
        for _ in range(2):
            await tagger.register("resident", NUMBER, REGISTRAR, holder)
        assert await tagger.tag("resident", NUMBER) == first
    async with HttpTagger(url, "zxu_" + "A" * 43) as stranger:
        with pytest.raises(TransportError) as refused:
            await stranger.tag("resident", NUMBER)
        assert refused.value.code == "uniqueness.bearer"


def ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(READY_SECONDS * 4):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    raise AssertionError(log.read_text())


def anchored(capsys: pytest.CaptureFixture[str], place: list[str]) -> None:
    """The running service anchors by itself."""
    for _ in range(READY_SECONDS):
        found = outcome(capsys, "store", "audit", "verify", *place)
        assert found["in_order"] is True
        if found["anchored"] == found["entries"] != 0:
            return
        time.sleep(0.5)
    raise AssertionError("nothing was anchored")
