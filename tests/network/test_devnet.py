# SPDX-License-Identifier: Apache-2.0
"""The command against real validators: up, used, one killed with SIGKILL and back, down, and nothing left behind."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cli.main
from chain import receipt
from chain.transaction import Operation
from cli.devnet import process
from cli.devnet.network import Devnet, bring_up, locked
from cli.errors import MissingError, WorldError
from cli.exits import Exit
from cli.home import Home
from cli.records import operation_of
from cli.scenes import residents
from client.session import Session
from node.config import PORTS_PER_NODE
from tests.ports import free_base_port

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]


def zhixin(*argv: str, code: int = 0) -> dict:
    """Run a command with --json; its result."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *argv, "--json"],
        cwd=ROOT,
        env={**os.environ, "ZHIXIN_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (argv, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("devnet") / "net"
    # Ports of its own: while all its nodes are dead, a network that starts elsewhere would count up to those it had.
    port = str(free_base_port(4 * PORTS_PER_NODE))
    made = zhixin("devnet", "up", "--home", str(root), "--validators", "4", "--base-port", port, "--detach")
    assert made["complete"]
    pids = [node["pid"] for node in made["nodes"]]
    yield str(root)
    zhixin("devnet", "down", "--home", str(root), "--delete")
    assert all(process.identify(pid) is None for pid in pids)
    assert not (root / "genesis.json").exists()


def revoke(identifier: str) -> tuple[str, ...]:
    body = json.dumps({"id": identifier, "status": "STATUS_REVOKED", "reason": "REASON_SUPERSEDED"})
    return ("tx", "submit", "--type", "identity.SetStatus", "--body", body, "--key", "registrar")


def test_transaction_state_and_receipt_through_the_command(home: str, tmp_path: Path) -> None:
    identifier = "ab" * 16
    kept = str(tmp_path / "r.receipt")
    assert zhixin("attest", "status", identifier, "--home", home)["stopped"] is False
    sent = zhixin(*revoke(identifier), "--home", home, "--out", kept)
    verified = zhixin("receipt", "verify", kept, "--genesis", f"{home}/genesis.json")
    assert verified["operations"][0]["transaction"] == sent["transaction"]
    shown = zhixin("tx", "show", sent["transaction"], "--home", home)
    assert shown["operations"][0]["id"] == identifier
    assert zhixin("attest", "status", identifier, "--home", home, code=Exit.NOT_HELD)["stopped"] is True
    state = zhixin("state", "get", f"status/registrar/{identifier}", "--home", home, "--out", str(tmp_path / "s"))
    assert state["value"]["status"] == "STATUS_REVOKED"
    assert zhixin("state", "get", "status/registrar/00", "--home", home, code=Exit.MISSING)["present"] is False
    zhixin("receipt", "verify", str(tmp_path / "s"), "--genesis", f"{home}/genesis.json", "--max-age", "60")
    again = zhixin("receipt", "refresh", kept, "--home", home)
    assert again["height"] >= verified["height"]
    got = zhixin("receipt", "get", sent["transaction"], "--home", home, "--out", kept, "--encoding", "compact")
    assert Path(got["receipt"]).read_text("ascii").startswith("ZX1:")


def test_refusal_of_the_rules_comes_back_with_its_code(home: str) -> None:
    again = zhixin(*revoke("cd" * 16), "--home", home)
    assert again["succeeded"]
    refused = zhixin(*revoke("cd" * 16), "--home", home, code=Exit.REFUSED)
    assert refused["error"]["code"] == "identity.revoked"
    assert refused["error"]["what"]
    other = [*revoke("ef" * 16)]
    other[-1] = "civil-affairs"
    assert zhixin(*other, "--home", home, code=Exit.REFUSED)["error"]["code"] == "identity.not-registrar"


def test_members_vote_an_organisation_in(home: str, tmp_path: Path) -> None:
    acts = [{"add_organisation": {"id": "new-body", "name_zh": "新机构", "name_en": "New Body"}}]
    (tmp_path / "acts.json").write_text(json.dumps(acts), encoding="utf-8")
    made = zhixin("proposal", "create", str(tmp_path / "acts.json"), "--home", home, "--key", "public-security")
    assert zhixin("proposal", "list", "--home", home)["proposals"][0]["id"] == made["proposal"]
    zhixin("org", "show", "new-body", "--home", home, code=Exit.MISSING)
    for name in ("civil-affairs", "agriculture"):
        zhixin("proposal", "approve", made["proposal"], "--home", home, "--key", name)
    assert zhixin("org", "show", "new-body", "--home", home)["name_zh"] == "新机构"
    zhixin("proposal", "show", made["proposal"], "--home", home, code=Exit.MISSING)


def test_kiosk_is_registered_stopped_and_revoked(home: str, capsys: pytest.CaptureFixture[str]) -> None:
    def zhixin(*argv: str, code: int = 0) -> dict:
        """In this process, which is quicker."""
        assert cli.main.run([*argv, "--home", home, "--json", "--lang", "en"]) == code, (argv, capsys.readouterr())
        return json.loads(capsys.readouterr().out)

    zhixin("keys", "new", "kiosk-1", "--algorithm", "p256", "--plain")
    zhixin("keys", "new", "kiosk-2", "--plain")
    device = ("registrar", "device")
    admin = ("--key", "registrar")
    place = ("--place-zh", "办事大厅")
    refused = zhixin(*device, "register", "kiosk-2", *place, *admin, code=Exit.INPUT)
    assert "p256" in refused["error"]["reason"]
    zhixin(*device, "show", "kiosk-1", code=Exit.MISSING)
    made = zhixin(*device, "register", "kiosk-1", *place, *admin)
    assert zhixin(*device, "show", made["device"])["place_zh"] == "办事大厅"
    zhixin(*device, "suspend", "kiosk-1", *admin)
    assert zhixin(*device, "show", "kiosk-1")["counts"] is False
    zhixin(*device, "reinstate", "kiosk-1", *admin)
    assert zhixin(*device, "show", "kiosk-1")["counts"] is True
    zhixin(*device, "revoke", made["device"], *admin)
    again = zhixin(*device, "register", "kiosk-1", *place, *admin, code=Exit.REFUSED)
    assert again["error"]["code"] == "identity.device-key-used"


async def add_key(home: Home, name: str, public_key: str) -> None:
    """Make a key file's key one of the registrar's that attests; the registrar governs, and the key itself agrees."""
    grant = {"key": {"scheme": "SCHEME_P256", "public_key": public_key}, "purposes": ["PURPOSE_ATTEST"]}
    operation = operation_of("membership.AddKey", {"key": grant})
    async with home.session() as session:
        signers = [home.signer("registrar"), home.signer(name)]
        assert (await session.submit_one(session.sign([operation], signers))).failed is None


def test_two_officers_register_a_relying_party_and_one_stops_it(
    home: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def zhixin(*argv: str, code: int = 0) -> dict:
        """In this process, which is quicker than a process for each of these."""
        assert cli.main.run([*argv, "--json", "--lang", "en"]) == code, (argv, capsys.readouterr())
        return json.loads(capsys.readouterr().out)

    for name, duty in (("ann", "enrol"), ("bob", "confirm")):
        key = zhixin("keys", "new", name, "--algorithm", "p256", "--plain", "--home", home)["public_key"]
        asyncio.run(add_key(Home(Path(home)), name, key))
        zhixin("registrar", "appoint", f"card:{key}", "--duty", duty, "--home", home, "--key", "registrar")
    terms = tmp_path / "terms.toml"
    page = (ROOT / "docs" / "identity.md").read_text("utf-8")
    terms.write_text(re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0], "utf-8")
    party = ("registrar", "party")
    zhixin(*party, "show", "agriculture", "--home", home, code=Exit.MISSING)
    zhixin(*party, "propose", "agriculture", str(terms), "--home", home, "--key", "ann")
    shown = zhixin(*party, "show", "agriculture", "--home", home)
    assert shown["counts"] is False
    approve = (*party, "approve", "agriculture", shown["proposal"]["digest"], "--home", home, "--key")
    assert zhixin(*approve, "ann", code=Exit.REFUSED)["error"]["code"] == "identity.not-on-duty"
    zhixin(*approve, "bob")
    shown = zhixin(*party, "show", "agriculture", "--home", home)
    assert shown["registration"]["version"] == 1
    assert "proposal" not in shown
    zhixin(*party, "suspend", "agriculture", "--home", home, "--key", "ann")
    shown = zhixin(*party, "show", "agriculture", "--home", home)
    assert (shown["counts"], shown["registration"]["reason"]) == (False, "REASON_UNDER_INVESTIGATION")
    zhixin(*party, "reinstate", "agriculture", "--home", home, "--key", "bob")
    zhixin(*party, "end", "agriculture", "--home", home, "--key", "bob")
    zhixin(*party, "suspend", "agriculture", "--home", home, "--key", "ann", code=Exit.REFUSED)
    proven = zhixin("state", "get", "identity/relying-party/agriculture", "--home", home)
    assert proven["value"]["status"] == "PERSON_STATUS_REVOKED"


def test_import_from_a_table_and_its_rerun(home: str, tmp_path: Path) -> None:
    residents.write_table(tmp_path / "t.csv", list(residents.residents(50, 9)))
    made = zhixin("attest", "import", str(tmp_path / "t.csv"), "--home", home, "--operations-per-transaction", "20")
    assert (made["attested"], made["transactions"]) == (50, 3)
    assert zhixin("attest", "import", str(tmp_path / "t.csv"), "--home", home)["attested_before"] == 50
    one = next(Path(made["receipts"]).glob("*.receipt"))
    zhixin("receipt", "verify", str(one), "--genesis", f"{home}/genesis.json")
    assert zhixin("attest", "status", str(one), "--home", home)["stopped"] is False


def test_programs_of_the_client_guide_run_as_they_stand(home: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "client.md").read_text("utf-8")
    (tmp_path / ".devnet").symlink_to(home)
    for program in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-c", program]
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (program, done.stderr)
    assert (tmp_path / "revocation.receipt").exists()


def test_killed_validator_is_missed_by_nobody_and_catches_up(home: str) -> None:
    assert zhixin("devnet", "kill", "2", "--home", home)["node"] == "node2"
    assert zhixin("devnet", "kill", "2", "--home", home, code=Exit.MISSING)["error"]["code"] == "devnet.not-running"
    zhixin(*revoke("11" * 16), "--home", home)
    zhixin("devnet", "restart", "node2", "--home", home)
    nodes = zhixin("devnet", "status", "--home", home)
    assert nodes["complete"]


def test_session_outlives_the_death_of_the_node_it_uses(home: str) -> None:
    async def go() -> None:
        network = Devnet(Path(home))
        signer = Home(Path(home)).signer("registrar")
        async with network.home.session() as session:

            def source() -> Iterator:
                for i in range(400):
                    body = {"id": f"{i:032x}", "status": "STATUS_SUSPENDED", "reason": "REASON_SUPERSEDED"}
                    yield session.sign([operation_of("identity.SetStatus", body)], [signer])

            outcomes = []
            async for outcome in session.submit(source(), in_flight_max=50):
                outcomes.append(outcome)
                if len(outcomes) == 100:
                    used = session.roster.nodes[0].name
                    name = next(state.name for state in network.state() if state.address == used)
                    network.kill(name)
            assert all(outcome.proven is not None and outcome.proven.failed is None for outcome in outcomes)
            assert len({outcome.transaction.id for outcome in outcomes}) == 400
            network.start([name])
            await network.wait_ready(session, network.names)

    asyncio.run(go())


def test_all_validators_killed_at_once_come_back_with_everything(home: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "r.receipt")
    sent = zhixin(*revoke("22" * 16), "--home", home, "--out", kept)
    network = Devnet(Path(home))
    identities = [network.identity(name) for name in network.names]
    for identity in identities:
        assert identity is not None
        process.send(identity, signal.SIGKILL)
    for identity in identities:
        assert identity is not None
        process.wait_gone(identity, 10)
    assert not any(node["answers"] for node in zhixin("node", "status", "--home", home, code=Exit.NOT_HELD)["nodes"])
    assert zhixin("devnet", "up", "--home", home, "--detach")["complete"]
    assert zhixin("tx", "show", sent["transaction"], "--home", home)["height"] == sent["height"]
    zhixin(*revoke("33" * 16), "--home", home)


def test_blocks_follow_verified_from_the_first(home: str) -> None:
    async def go() -> None:
        async with Home(Path(home)).session() as session:
            target = (await session.checkpoint()).height
            heights = []
            async for block in session.blocks():
                heights.append(block.block.height)
                if heights[-1] == target:
                    break
            assert heights == list(range(1, target + 1))

    asyncio.run(go())


async def test_one_validator_alone_is_a_network_and_a_locked_folder_is_busy(tmp_path: Path) -> None:
    network = await bring_up(tmp_path / "one", validators=1, base_port=None)
    try:
        async with network.home.session() as session:
            assert isinstance(session, Session)
            body = {"id": "00" * 16, "status": "STATUS_REVOKED", "reason": "REASON_SUPERSEDED"}
            operation: Operation = operation_of("identity.SetStatus", body)
            proven = await session.submit_one(session.sign([operation], [network.home.signer("registrar")]))
            assert receipt.verify(proven.receipt(), network.home.genesis()).inclusions
        with locked(tmp_path / "one"), pytest.raises(WorldError), locked(tmp_path / "one"):
            pass
    finally:
        network.stop(network.names)
    with pytest.raises(MissingError):
        Devnet(tmp_path / "other")
