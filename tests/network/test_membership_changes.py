# SPDX-License-Identifier: Apache-2.0
"""The runbook of docs/operations.md by its commands alone: a newcomer joins, a founder leaves, a follower follows."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Processes, Registrar

from chain import receipt
from chain.checkpoint import Checkpoint
from chain.pb import ledger_pb2
from cli.exits import Exit
from cli.main import run
from client.pb import node_service_pb2 as pb
from node.config import Home
from node.exits import NodeExit

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

FOUNDERS = ("public-security", "civil-affairs", "market-regulation", "agriculture")
NEWCOMER, FOLLOWER = 4, 5
BODY = json.dumps({"id": "ab" * 16, "status": "STATUS_REVOKED", "reason": "REASON_SUPERSEDED"})


class Operators:
    """Each organisation's operator at the command line: the founders share a home, the newcomer has its own."""

    def __init__(self, processes: Processes, registrar: Registrar, capsys: pytest.CaptureFixture[str]) -> None:
        self.processes = processes
        self.registrar = registrar
        self.genesis = str(processes.net.genesis)
        self.founders = str(processes.net.directory)
        self.desk = processes.net.directory.parent / "newcomer"
        self._capsys = capsys

    def zhixin(self, *argv: str, code: int = 0) -> dict:
        self._capsys.readouterr()
        ended = run([*argv, "--json"])
        printed = self._capsys.readouterr()
        assert ended == code, (argv, printed.out, printed.err)
        return json.loads(printed.out)

    def refused(self, *argv: str) -> str:
        return self.zhixin(*argv, code=Exit.REFUSED)["error"]["code"]

    def make_node(self, index: int, *options: str) -> None:
        """A node's home, on ports of its own."""
        home = self.desk / f"node{index}"
        ports = [f"127.0.0.1:{port(index)}" for port in (self.processes.peer_port, self.processes.client_port)]
        where = ("--home", str(home), "--genesis", self.genesis, "--peer", ports[0], "--client", ports[1])
        self.zhixin("node", "init", *where, "--plain", *options)
        self.processes.homes.append(Home(home))

    def trust(self, index: int, *, at: int) -> None:
        """What the operator of one node does for a follower."""
        folder = self.processes.homes[at].trusted
        folder.mkdir(exist_ok=True)
        pem = self.processes.homes[index].tls_certificate
        shutil.copy(pem, folder / f"127.0.0.1:{self.processes.peer_port(index)}.pem")

    def request(self, index: int, name: str) -> Path:
        """A node's request to join, as a file."""
        out = self.desk / name
        node = str(self.processes.homes[index].root)
        self.zhixin("validator", "request", "--node-home", node, "--organisation", "water-authority", "--out", str(out))
        return out

    def approve(self, proposal: str, *organisations: str) -> str:
        """The state of the proposal after the last approval."""
        for name in organisations:
            made = self.zhixin("proposal", "approve", proposal, "--key", name, "--home", self.founders)
        return made["state"]

    def until(self, index: int, holds: Callable[[pb.StatusResponse], bool]) -> pb.StatusResponse:
        deadline = time.monotonic() + 60
        while not holds(status := asyncio.run(self.registrar.status(index))):
            assert time.monotonic() < deadline, (status, self.processes.log(index)[-2000:])
            time.sleep(0.1)
        return status


@pytest.fixture
def operators(processes: Processes, registrar: Registrar, capsys: pytest.CaptureFixture[str]) -> Operators:
    return Operators(processes, registrar, capsys)


def test_newcomer_joins_founder_leaves_follower_follows_and_genesis_still_verifies(operators: Operators) -> None:
    operators.processes.start(0, 1, 2, 3)
    stale = join(operators)
    newcomer_votes(operators)
    refusals(operators, stale)
    leave(operators)
    follow(operators)

    kept = operators.desk / "after.receipt"
    submit = ("tx", "submit", "--type", "identity.SetStatus", "--body", BODY, "--key", "registrar")
    operators.zhixin(*submit, "--home", operators.founders, "--out", str(kept))
    raw = kept.read_bytes()
    verified = receipt.verify(raw, operators.processes.raw_genesis)  # somebody who knows nothing but genesis
    assert (verified.epoch, len(verified.inclusions)) == (3, 1)
    steps = [Checkpoint.decode(step.certified.checkpoint) for step in ledger_pb2.Receipt.FromString(raw).epochs]
    assert [step.epoch for step in steps] == [1, 2]


def join(operators: Operators) -> str:
    """A new organisation with a node that followed first; returns a proposal that the old epoch left behind."""
    operators.make_node(NEWCOMER)
    for founder in range(4):  # as a validator it must not be taken for the follower that it was
        operators.trust(NEWCOMER, at=founder)
    operators.processes.start(NEWCOMER)
    operators.until(NEWCOMER, lambda status: status.role == pb.ROLE_FOLLOWER and status.executed_height > 0)

    desk = str(operators.desk)
    operators.zhixin("keys", "new", "water", "--home", desk, "--plain")
    names = ("--name-zh", "水务局", "--name-en", "Water Authority")
    organisation = f"{desk}/organisation.json"
    operators.zhixin(
        "org", "request", "water-authority", "--key", "water", *names, "--home", desk, "--out", organisation
    )
    request = str(operators.request(NEWCOMER, "join.json"))
    by = ("--home", operators.founders, "--key", "public-security")
    assert operators.refused("validator", "propose-join", request, *by) == "membership.unknown-organisation"

    proposal = operators.zhixin("proposal", "create", organisation, request, *by)
    assert (proposal["state"], proposal["approvals_needed"]) == ("open", 3)
    (operators.desk / "role.json").write_text('[{"grant_role": {"organisation": "agriculture", "role": "grower"}}]')
    stale = operators.zhixin("proposal", "create", f"{desk}/role.json", *by)["proposal"]
    assert operators.approve(proposal["proposal"], "civil-affairs") == "open"
    assert operators.approve(proposal["proposal"], "agriculture") == "carried"
    return stale


def newcomer_votes(operators: Operators) -> None:
    """Four of five are a quorum: with a founder down, nothing is certified without the newcomer's vote."""
    seen = operators.until(NEWCOMER, lambda status: status.role == pb.ROLE_VALIDATOR)
    assert (seen.epoch, seen.organisation) == (2, "water-authority")
    listed = operators.zhixin("validator", "list", "--home", operators.founders)["validators"]
    assert [(seat["organisation"], seat["since_epoch"]) for seat in listed] == [
        *((founder, 1) for founder in FOUNDERS),
        ("water-authority", 2),
    ]
    address = f"127.0.0.1:{operators.processes.peer_port(NEWCOMER)}"
    named = [seen.bls_key]
    operators.until(0, lambda status: [peer.bls_key for peer in status.peers if peer.address == address] == named)
    operators.processes.kill(2)
    one = operators.registrar.attestation()
    assert asyncio.run(operators.registrar.submit(0, [one])) == {one.id}
    operators.processes.start(2)


def refusals(operators: Operators, stale: str) -> None:
    """What must not pass, each with its own code."""
    by = ("--home", operators.founders, "--key", "civil-affairs")
    assert operators.zhixin("proposal", "list", "--home", operators.founders)["proposals"] == []
    assert operators.refused("proposal", "approve", stale, *by) == "membership.wrong-epoch"
    old = json.dumps({"epoch": 1, "expires_at_ms": 1, "acts": []})
    assert operators.refused("tx", "submit", "--type", "membership.Propose", "--body", old, *by) == (
        "membership.wrong-epoch"
    )
    used = json.loads((operators.desk / "join.json").read_text())[0]["add_validator"]
    operators.make_node(FOLLOWER)
    fresh = json.loads(operators.request(FOLLOWER, "fresh.json").read_text())[0]["add_validator"]
    operators.processes.homes.pop()
    cases: tuple[tuple[dict, str], ...] = (
        (used, "membership.bls-key-used"),
        ({"possession": used["possession"]}, "membership.no-possession"),
        ({"organisation": "agriculture"}, "membership.no-possession"),
        ({"endpoint": used["endpoint"]}, "membership.certificate-used"),
    )
    altered = operators.desk / "altered.json"
    for change, code in cases:
        altered.write_text(json.dumps([{"add_validator": {**fresh, **change}}]))
        assert operators.refused("validator", "propose-join", str(altered), *by) == code
    shutil.rmtree(operators.desk / f"node{FOLLOWER}")


def leave(operators: Operators) -> None:
    """The newcomer's organisation proposes that a founder leaves; the leaver says when it may be stopped."""
    leaver = operators.processes.genesis.founders[3].bls_key.hex()
    node = (
        f"127.0.0.1:{operators.processes.client_port(NEWCOMER)}={operators.processes.homes[NEWCOMER].tls_certificate}"
    )
    desk = str(operators.desk)
    operators.zhixin("init", "--genesis", operators.genesis, "--home", desk, "--node", node, "--key", "water")
    made = operators.zhixin("validator", "propose-leave", leaver[:16], "--home", desk)
    assert made["approvals_needed"] == 4
    assert operators.approve(made["proposal"], *FOUNDERS[:3]) == "carried"
    seen = operators.until(3, lambda status: status.role == pb.ROLE_LEFT)
    assert (seen.epoch, seen.organisation) == (3, "")
    reached = operators.until(0, lambda status: status.epoch == 3 and status.view > 1).executed_height
    operators.until(3, lambda status: status.executed_height >= reached)
    assert operators.processes.terminate(3) == NodeExit.STOPPED


def follow(operators: Operators) -> None:
    """One without any key that votes, trusted by a single validator."""
    operators.make_node(FOLLOWER, "--follower")
    operators.processes.start(FOLLOWER)
    operators.trust(FOLLOWER, at=1)
    reached = asyncio.run(operators.registrar.status(0)).executed_height
    seen = operators.until(FOLLOWER, lambda status: status.certified_height >= reached)
    assert (seen.role, seen.epoch, seen.bls_key) == (pb.ROLE_FOLLOWER, 3, b"")
