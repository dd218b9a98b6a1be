# SPDX-License-Identifier: Apache-2.0
"""A validator whose program is wrong halts and the tools name the key; one that votes twice is suspended; others go on.

Each test runs four real processes, one of which is planted with a fault before it starts.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import Processes, Registrar

from chain import genesis
from chain.codec import encode
from chain.transaction import Operation, SignedTransaction, build
from chain.tree import StateTree
from chain.types import Millis
from cli.exits import Exit
from client.pb import node_service_pb2 as pb
from identity.pb import identity_pb2
from identity.status import status_key
from membership.pb import membership_pb2
from membership.state import evidence_key, load_seat
from node.diff import compare_ledgers
from node.exits import NodeExit
from node.fsck import check
from node.local import open_reader
from node.store_keys import STATE_PREFIX

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

_THEN_RUN = "\nimport sys; from pathlib import Path; from node.process import run; sys.exit(run(Path(sys.argv[-1])))\n"

OTHER_RULES = (
    """
from identity.pb import identity_pb2
from identity.rules import Identity
honest = Identity.execute
def execute(self, context, message):
    if isinstance(message, identity_pb2.SetStatus):
        message = identity_pb2.SetStatus(
            id=message.id, status=message.status, reason=identity_pb2.REASON_ISSUED_IN_ERROR
        )
    honest(self, context, message)
Identity.execute = execute
"""
    + _THEN_RUN
)
"""A program that records another reason for each revocation."""

DOUBLE_VOTER = (
    """
from chain.consensus.messages import Vote
from chain.pb import ledger_pb2
from chain.types import BlockId, sha256
from node import driver
from node.node import LocalSigner
signers = []
made = LocalSigner.__init__
def init(self, *arguments):
    made(self, *arguments)
    signers.append(self)
LocalSigner.__init__ = init
honest = driver.Driver._broadcast
def broadcast(self, to, message):
    honest(self, to, message)
    if isinstance(message, Vote) and message.kind == ledger_pb2.KIND_NOTARIZE:
        other = BlockId(sha256(b"another block"))
        place = (message.kind, message.epoch, message.view, other)
        honest(self, to, Vote(*place, signers[-1].sign_vote(*place)))
driver.Driver._broadcast = broadcast
"""
    + _THEN_RUN
)
"""Votes for a second block in each view."""


def command(*arguments: str | Path) -> tuple[int, dict[str, object]]:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *map(str, arguments), "--json"], capture_output=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout)


def revocation(processes: Processes, registrar: Registrar, attestation: bytes) -> SignedTransaction:
    """Writes one state key."""
    message = identity_pb2.SetStatus(
        id=attestation, status=identity_pb2.STATUS_REVOKED, reason=identity_pb2.REASON_SUPERSEDED
    )
    expires = Millis(time.time_ns() // 1_000_000 + 60_000)
    operation = Operation.make("identity.SetStatus", encode(message))
    return build([operation], [registrar._signer], expires, os.urandom(16), processes.genesis.network)


async def test_replica_with_other_rules_halts_and_the_tools_name_the_key_while_three_go_on(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2)
    processes.start(3, extra=("-c", OTHER_RULES))
    await registrar.submit(0, [registrar.attestation()])
    await registrar.wait_for_height(3, 1)
    id_ = os.urandom(16)
    await registrar.submit(0, [revocation(processes, registrar, id_)])

    assert await asyncio.to_thread(processes.wait, 3) == NodeExit.HALTED
    await registrar.submit(1, [registrar.attestation() for _ in range(20)])

    (dump,) = processes.homes[3].dumps.glob("halt-*.json")
    key = status_key("registrar", id_)
    with open_reader(processes.homes[0]) as right, open_reader(processes.homes[3]) as wrong:
        comparison = compare_ledgers(right, wrong)
    assert comparison.parting is not None
    assert (comparison.parting.fields, comparison.parting.modules) == (("state_root",), ("status",))
    assert [found.key for found in comparison.keys] == [key]

    code, told = await asyncio.to_thread(command, "diff", processes.homes[0].root, processes.homes[3].root)
    assert (code, told["height"]) == (Exit.NOT_HELD, comparison.parting.height)
    assert told["keys"][0]["key"] == key.decode()  # type: ignore[index]
    code, told = await asyncio.to_thread(command, "diff", dump, processes.homes[1].root)
    assert (code, told["height"], told["modules"]) == (Exit.NOT_HELD, comparison.parting.height, ["status"])

    # What is wrong is the program, not the disk: its database is sound but for the certificate that names another root.
    with open_reader(processes.homes[3]) as wrong:
        assert all(problem.table in "CQ" for problem in check(wrong, processes.genesis))
    code, told = await asyncio.to_thread(command, "doctor", "--home", processes.homes[3].root)
    assert "dumps.found" in {finding["code"] for finding in told["findings"]}  # type: ignore[attr-defined, index]


async def test_validator_that_votes_twice_is_suspended_by_evidence_on_the_chain_and_three_go_on(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2)
    processes.start(3, extra=("-c", DOUBLE_VOTER))
    await registrar.submit(0, [registrar.attestation() for _ in range(5)])
    culprit = processes.genesis.founders[3].bls_key
    deadline = time.monotonic() + 40
    while (status := await registrar.status(0)).epoch < 2:
        assert time.monotonic() < deadline, "no evidence ended the epoch"
        await asyncio.sleep(0.1)

    with open_reader(processes.homes[0]) as reader:
        state = StateTree(reader, STATE_PREFIX)
        record = membership_pb2.EvidenceRecord.FromString(state.get(evidence_key(culprit, 1)) or b"")
        seat = load_seat(state.get, culprit)
        assert 1 <= record.height <= status.executed_height
        assert seat is not None
        assert (seat.status, seat.until_epoch) == (membership_pb2.VALIDATOR_STATUS_SUSPENDED, 1)
        assert check(reader, processes.genesis) == []

    # Three of three are a quorum: what is certified now, each of them has signed in the new epoch.
    await registrar.submit(1, [registrar.attestation() for _ in range(30)])
    for index in (0, 1, 2):
        status = await registrar.status(index)
        assert (status.epoch, status.role) == (2, pb.ROLE_VALIDATOR)
    deadline = time.monotonic() + 60
    while (await registrar.status(3)).role not in {pb.ROLE_LEAVING, pb.ROLE_LEFT}:
        assert time.monotonic() < deadline, "the suspended node does not see that it is"
        await asyncio.sleep(0.1)
    await registrar.wait_for_height(3, status.executed_height)
    code, told = await asyncio.to_thread(command, "doctor", "--home", processes.homes[3].root)
    found = {finding["code"]: finding["level"] for finding in told["findings"]}  # type: ignore[attr-defined, index]
    assert (code, found["seat.suspended"], found["status.leaving"]) == (Exit.NOT_HELD, "error", "warning")


def stands_in_memory(folder: Path) -> bool:
    said = subprocess.run(["stat", "-f", "-c", "%T", folder], check=True, capture_output=True, text=True)
    return said.stdout.strip() == "tmpfs"


async def test_running_network_is_examined_checked_and_compared_without_stopping(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    await registrar.submit(0, [registrar.attestation() for _ in range(30)])
    home = processes.homes[0].root
    await registrar.wait_for_peers(0, 3)
    processes.kill(1)
    assert processes.homes[1].socket.exists(), "a killed process leaves its socket"
    await registrar.submit(0, [registrar.attestation()])  # each of the three signs what is certified without the fourth
    code, told = await asyncio.to_thread(command, "doctor", "--home", home)
    found = {finding["code"]: finding["level"] for finding in told["findings"]}  # type: ignore[attr-defined, index]
    # Files of tests may stand in memory; that is all it finds fault with.
    faults = ["filesystem.volatile"] if stands_in_memory(home) else []
    assert [name for name, level in found.items() if level == "error"] == faults, told
    assert code == (Exit.NOT_HELD if faults else Exit.DONE)
    assert found["status.validator"] == found["versions.same"] == found["clock-peers.ok"] == "ok"
    assert (found["peer.ok"], found["peer.unreachable"], found["peers.ok"]) == ("ok", "warning", "ok")
    assert found["signing.ok"] == "ok"

    code, told = await asyncio.to_thread(command, "fsck", "--home", home)
    assert (code, told["sound"]) == (Exit.DONE, True)
    code, told = await asyncio.to_thread(command, "diff", home, processes.homes[1].root)
    assert (code, told["equal"]) == (Exit.DONE, True)

    processes.start(1)
    await registrar.wait_for_height(1, int(told["last_height"]))  # type: ignore[call-overload]
    with open_reader(processes.homes[1]) as reader:
        assert check(reader, genesis.load(processes.raw_genesis)) == []
