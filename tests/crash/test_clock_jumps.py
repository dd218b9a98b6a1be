# SPDX-License-Identifier: Apache-2.0
"""Clocks jump under a running network: one alone stops nobody, and comes back by itself; small jumps stop none."""

import asyncio

import pytest

from node.exits import NodeExit
from tests.crash.drill import Drill
from tests.crash.faulty import set_clock
from tests.crash.load import Clients
from tests.crash.rig import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

HOUR_MS = 3_600_000
WRONG = 3


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
async def test_one_clock_that_jumps_far_stops_nobody_and_its_node_votes_again_once_it_is_right(
    network: Network, clients: Clients, jump_ms: int
) -> None:
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    clients.start()
    assert await clients.more(10, 30)
    set_clock(network.clock(WRONG), jump_ms)
    assert await clients.more(30, 30)
    assert not network.died(WRONG)
    set_clock(network.clock(WRONG), 0)
    await network.until_certified(await network.height() + 1, [WRONG])
    await network.kill(0)  # from here on nothing is certified without the node whose clock was wrong
    assert await clients.more(20, 30)
    await network.start(0)
    tally = await Drill(network, clients, seed=0).finish()
    assert not tally.problems


async def test_small_jumps_of_all_clocks_are_got_over_and_a_start_with_a_clock_far_behind_is_refused(
    network: Network, clients: Clients
) -> None:
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    clients.start()
    for jump_ms in (1_500, 0, -1_500, 900, -900, 0):
        for index in range(4):
            set_clock(network.clock(index), jump_ms if index % 2 else -jump_ms // 2)
        assert await clients.more(20, 30), f"after a jump to {jump_ms}"
    await network.kill(WRONG)
    set_clock(network.clock(WRONG), -HOUR_MS)
    await network.start(WRONG)
    assert await network.ended(WRONG) == NodeExit.REFUSED
    assert "s behind the ledger's newest block; set it by NTP" in network.last_words(WRONG)
    set_clock(network.clock(WRONG), 0)
    await network.start(WRONG)
    tally = await Drill(network, clients, seed=0).finish()
    assert not tally.problems
