# SPDX-License-Identifier: Apache-2.0
"""A node that takes its ledger from a snapshot dies at each write of that, and has the ledger in the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.drill import OF_COPIES
from tests.crash.load import Clients
from tests.crash.names import COPY_PLACED
from tests.crash.plans import Act, Plan
from tests.crash.replicas import check_tables, read_replica
from tests.crash.rig import Network, Spawner
from tests.crash.run import VALIDATORS, clients_of, free_base_port

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

NEWCOMER = 3
SETTINGS = {
    "ZHIXIN_PEER_RECONNECT_MS_MAX": "500",
    "ZHIXIN_SYNC_BEHIND_BLOCKS": "1",
    "ZHIXIN_SYNC_SNAPSHOT_EVERY_BLOCKS": "5",
}
"""Snapshots are offered at once, and taken by whoever has nothing."""


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Spawner(SETTINGS) as spawner:
        made = Network(tmp_path, spawner, VALIDATORS, free_base_port(VALIDATORS))
        try:
            yield made
        finally:
            await made.close()


PLANS = (
    *[Plan(Act.KILL_BEFORE, name) for name in OF_COPIES],
    Plan(Act.KILL_AFTER, COPY_PLACED),
    Plan(Act.TEAR, "copy.part", 1, "3"),
    Plan(Act.TEAR, "copy.last", 1, "3"),
    Plan(Act.CUT_POWER, "copy.last", 1, "3"),
)


async def test_node_that_dies_at_each_write_of_a_copied_ledger_has_it_in_the_end(
    network: Network, tmp_path: Path
) -> None:
    clients: Clients = clients_of(network, tmp_path, rate=60)
    await asyncio.gather(*(network.start(index) for index in range(VALIDATORS)))
    await network.until_certified(12, range(VALIDATORS))
    clients.start()
    assert await clients.more(30, 30)
    await network.kill(NEWCOMER)
    for plan in PLANS:
        network.forget(NEWCOMER)
        await network.start(NEWCOMER, [plan])
        assert await network.ended(NEWCOMER) == plan.status, f"{plan}: {network.last_words(NEWCOMER)}"
        await network.start(NEWCOMER)
        await network.until_certified(await network.height(), [NEWCOMER])
        await network.kill(NEWCOMER)
        assert check_tables(network.homes[NEWCOMER], network.genesis) == [], str(plan)
    await clients.stop(0)
    await network.stop(0)
    copied, whole = read_replica(network.homes[NEWCOMER]), read_replica(network.homes[0])
    assert 0 < len(copied.entries) <= len(whole.entries)
    assert copied.entries.items() <= whole.entries.items()
    assert copied.blocks.items() <= whole.blocks.items()
    assert copied.checkpoints.items() <= whole.checkpoints.items()
    assert min(copied.blocks) > 1, "it came by a snapshot"
