# SPDX-License-Identifier: Apache-2.0
"""All validators die while they write that the epoch is over; the next one begins all the same."""

import asyncio
import time

import pytest

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.transaction import Operation
from client.session import Session
from client.signing import sign_transaction
from membership.pb import membership_pb2
from node.keys import Purpose, load_key
from tests.crash.drill import Drill
from tests.crash.load import Clients
from tests.crash.plans import Act, Plan
from tests.crash.rig import RECOVERY_SECONDS_MAX, Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

ACTS = (Act.KILL_BEFORE, Act.KILL_AFTER, Act.TEAR, Act.CUT_POWER)


async def _vote_out(network: Network, index: int) -> None:
    """Three of four organisations have a validator leave."""

    async def act(author: int, name: str, body: bytes) -> bytes:
        path = network.homes[author].organisation_key
        key = Ed25519Signer(load_key(path, Purpose.ORGANISATION, None, allow_plain=True).secret)
        operation = Operation.make(f"membership.{name}", body)
        transaction = sign_transaction([operation], [key], network.genesis.network)
        proven = await session.submit_one(transaction)
        assert proven.failed is None
        return transaction.id

    leaver = network.genesis.founders[index].bls_key
    acts = [membership_pb2.Act(remove_validator=membership_pb2.RemoveValidator(bls_key=leaver))]
    until_ms = time.time_ns() // 1_000_000 + 100_000
    async with Session(network.genesis) as session:
        proposal = await act(0, "Propose", encode(membership_pb2.Propose(epoch=1, expires_at_ms=until_ms, acts=acts)))
        for author in (1, 2):
            await act(author, "Approve", encode(membership_pb2.Approve(proposal_id=proposal, epoch=1)))


@pytest.mark.parametrize("name", ["journal.closing", "ledger.closing"])
async def test_nodes_that_all_die_while_an_epoch_closes_are_in_the_next_one_and_lose_nothing(
    network: Network, clients: Clients, name: str
) -> None:
    async def end_and_live_on(index: int, plan: Plan) -> None:
        assert await network.ended(index, RECOVERY_SECONDS_MAX) == plan.status, f"{plan}: {network.last_words(index)}"
        await network.start(index)

    plans = [Plan(act, name, 1, "5") for act in ACTS]
    for index, plan in enumerate(plans):
        await network.start(index, [plan])
    await network.until_certified(1, range(4))
    clients.start()
    assert await clients.more(10, 30)
    lives = [asyncio.create_task(end_and_live_on(index, plan)) for index, plan in enumerate(plans)]
    await _vote_out(network, 3)
    await asyncio.gather(*lives)
    for index in range(3):
        await network.until(index, lambda status: status.epoch == 2)
    assert await clients.more(10, 30)
    tally = await Drill(network, clients, seed=0).finish()
    assert not tally.problems
