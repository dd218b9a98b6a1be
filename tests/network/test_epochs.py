# SPDX-License-Identifier: Apache-2.0
"""Validators leave by vote while the network works: the next epoch begins, and who left follows on."""

import asyncio
import os
import time

import pytest
from harness import Processes, Registrar

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.transaction import Operation, SignedTransaction, build
from chain.types import Millis
from client.pb import node_service_pb2 as pb
from membership.pb import membership_pb2
from node.keys import Purpose, load_key

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]


def _act(processes: Processes, index: int, name: str, body: bytes) -> SignedTransaction:
    """An operation of one validator's organisation."""
    key = load_key(processes.net.homes[index].organisation_key, Purpose.ORGANISATION, None, allow_plain=True)
    expires = Millis(time.time_ns() // 1_000_000 + 60_000)
    operation = Operation.make(f"membership.{name}", body)
    return build([operation], [Ed25519Signer(key.secret)], expires, os.urandom(16), processes.genesis.network)


async def test_validator_voted_out_leaves_with_the_epoch_and_follows_what_the_others_certify(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    await registrar.submit(0, [registrar.attestation()])
    leaver = processes.genesis.founders[3].bls_key
    act = membership_pb2.Act(remove_validator=membership_pb2.RemoveValidator(bls_key=leaver))
    until_ms = time.time_ns() // 1_000_000 + 100_000
    proposal = _act(
        processes, 0, "Propose", encode(membership_pb2.Propose(epoch=1, expires_at_ms=until_ms, acts=[act]))
    )
    await registrar.submit(0, [proposal])
    approval = encode(membership_pb2.Approve(proposal_id=proposal.id, epoch=1))
    for index in (1, 2):
        await registrar.submit(index, [_act(processes, index, "Approve", approval)])

    deadline = time.monotonic() + 30
    while (status := await registrar.status(0)).epoch < 2:
        assert time.monotonic() < deadline, "the epoch did not end"
        await asyncio.sleep(0.1)
    assert len([peer for peer in status.peers if peer.bls_key == leaver]) == 1, "kept while it may need answers"
    more = [registrar.attestation() for _ in range(50)]
    await registrar.submit(1, more)

    reached = (await registrar.status(1)).executed_height
    left = await registrar.wait_for_height(3, reached)
    assert (left.epoch, left.organisation) == (2, "")
    async with registrar.stub(3) as stub:
        ids = [transaction.id for transaction in more]
        answer = await stub.Receipts(pb.ReceiptsRequest(transaction_ids=ids, wait_ms=20_000))
    verified = registrar.verifier.verify(answer.receipt)
    assert (len(verified.inclusions), verified.epoch) == (50, 2)
