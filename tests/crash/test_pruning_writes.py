# SPDX-License-Identifier: Apache-2.0
"""Nodes that prune blocks die at each write of that and while tables are merged; what is left is sound."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.drill import OF_PRUNING, Drill
from tests.crash.load import Clients
from tests.crash.names import COMPACTION, PRUNE_BLOCKS, PRUNE_STATE
from tests.crash.plans import Act, Plan
from tests.crash.replicas import check_tables, read_replica
from tests.crash.rig import OLD_BLOCKS, Network, Spawner
from tests.crash.run import VALIDATORS, clients_of, free_base_port

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

PRUNING = (1, 2, 3)
DETAILS = {Act.TEAR: "11", Act.CUT_POWER: "12", Act.FAIL: "EIO", Act.FAIL_PERSISTED: "ENOSPC"}
PLANS = (
    *[Plan(act, name, 2, DETAILS.get(act, "")) for name, act in product(OF_PRUNING, Act)],
    Plan(Act.FAIL, PRUNE_BLOCKS, 1, "ENOSPC"),
    Plan(Act.TEAR, PRUNE_BLOCKS, 1, "3"),
    Plan(Act.TEAR, COMPACTION, 3, "3"),
    Plan(Act.TEAR, COMPACTION, 9, "5"),
    Plan(Act.CUT_POWER, COMPACTION, 9, "5"),
    *[Plan(act, PRUNE_STATE, 1, DETAILS.get(act, "")) for act in (Act.KILL_BEFORE, Act.TEAR, Act.FAIL)],
)
"""Each way for a piece of blocks and for a merge, some of them again; pieces of old states, which every node prunes."""


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four validators that begin with old blocks; all but the first prune them."""
    async with Spawner({"ZHIXIN_PEER_RECONNECT_MS_MAX": "500"}) as spawner:
        made = Network(tmp_path, spawner, VALIDATORS, free_base_port(VALIDATORS), filled=True)
        made.pruning = PRUNING
        try:
            yield made
        finally:
            await made.close()


async def test_nodes_that_die_at_each_write_of_pruning_prune_on_and_prove_what_they_keep(
    network: Network, tmp_path: Path
) -> None:
    clients: Clients = clients_of(network, tmp_path, rate=30)

    def look(index: int, plan: str) -> int:
        """Check what a death left, in a copy: opening the database heals it."""
        home = network.copy_home(index, tmp_path / f"{index} {plan}")
        assert check_tables(home, network.genesis) == [], plan
        oldest = read_replica(home).oldest_block
        shutil.rmtree(home.root)
        return oldest

    async def lives(index: int, plans: tuple[Plan, ...]) -> None:
        reached = 1
        for plan in plans:
            await network.start(index, [plan])
            assert await network.ended(index) == plan.status, f"{plan}: {network.last_words(index)}"
            oldest = await asyncio.to_thread(look, index, str(plan))
            assert oldest >= reached, f"{plan}: it had pruned up to {reached}"
            reached = oldest
        await network.start(index)
        await network.until(index, lambda status: status.oldest_block > reached)

    await network.start(0)
    clients.start()
    await asyncio.gather(*(lives(index, PLANS[at :: len(PRUNING)]) for at, index in enumerate(PRUNING)))
    assert await clients.more(10, 30)
    tally = await Drill(network, clients, seed=0).finish()
    assert not tally.problems
    replicas = [read_replica(home) for home in network.homes]
    assert replicas[0].is_whole
    for index in PRUNING:
        assert 1 < replicas[index].oldest_block < OLD_BLOCKS, "pruning was still going on"
        assert replicas[index].first_leaf > 0
