# SPDX-License-Identifier: Apache-2.0
"""A node that takes its ledger from a snapshot dies at each write of that, and has the ledger in the end."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.drill import OF_FILES
from tests.crash.load import Clients
from tests.crash.names import COPY_ASIDE, COPY_PLACED, COPY_READY
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
    Plan(Act.KILL_BEFORE, "copy.begin"),
    Plan(Act.KILL_BEFORE, "copy.part"),
    Plan(Act.TEAR, "copy.part", 1, "3"),
    Plan(Act.FAIL, "copy.part", 1, "EIO"),
    Plan(Act.KILL_BEFORE, "copy.last"),
    Plan(Act.TEAR, "copy.last", 1, "3"),
    Plan(Act.CUT_POWER, "copy.last", 1, "3"),
    Plan(Act.FAIL, "copy.last", 1, "ENOSPC"),
    Plan(Act.KILL_BEFORE, COPY_READY),
    Plan(Act.FAIL, COPY_READY, 1, "ENOSPC"),
    Plan(Act.FAIL_PERSISTED, COPY_READY, 1, "EIO"),
)
"""Of a ledger that is being filled, in the order of its writes: until it is ready each life begins it afresh."""
EXCHANGE = tuple(
    Plan(act, name, 1, "ENOSPC" if act is Act.FAIL else "") for name in (COPY_ASIDE, COPY_PLACED) for act in OF_FILES
)
"""Of a ledger that is ready: each start goes on where the one before ended."""


async def _die(network: Network, plan: Plan) -> None:
    await network.start(NEWCOMER, [plan])
    assert await network.ended(NEWCOMER) == plan.status, f"{plan}: {network.last_words(NEWCOMER)}"


async def _restart(network: Network, home: Path, where: str) -> None:
    """In this state the newcomer starts, copies nothing again, follows, and leaves nothing lying about."""
    root = network.homes[NEWCOMER].root
    shutil.rmtree(root)
    shutil.copytree(home, root)
    await network.start(NEWCOMER, [Plan(Act.KILL_BEFORE, "copy.begin")])
    await network.until_certified(await network.height(), [NEWCOMER])
    await network.kill(NEWCOMER)
    assert check_tables(network.homes[NEWCOMER], network.genesis) == [], where
    assert [path.name for path in (root / "data").glob("ledger*")] == ["ledger"], where


async def test_node_that_dies_at_each_write_of_a_copied_ledger_has_it_in_the_end(
    network: Network, tmp_path: Path
) -> None:
    clients: Clients = clients_of(network, tmp_path, rate=30)
    await asyncio.gather(*(network.start(index) for index in range(VALIDATORS)))
    clients.start()
    await network.until_certified(12, range(VALIDATORS))
    assert await clients.more(30, 30)
    await network.kill(NEWCOMER)
    network.forget(NEWCOMER)
    for plan in PLANS:
        await _die(network, plan)
    await clients.stop(0)
    ready = tmp_path / "ready"
    network.copy_home(NEWCOMER, ready)
    assert (ready / "data" / "ledger.ready").is_dir(), "the last of these failures came too late to undo anything"
    await _restart(network, ready, "a ledger that is ready")
    for plan in EXCHANGE:
        left = tmp_path / "left"
        shutil.rmtree(network.homes[NEWCOMER].root)
        shutil.copytree(ready, network.homes[NEWCOMER].root)
        await _die(network, plan)
        network.copy_home(NEWCOMER, left)
        await _restart(network, left, str(plan))
        shutil.rmtree(left)
    copied = read_replica(network.homes[NEWCOMER])
    await network.until(0, lambda status: status.executed_height >= copied.height)  # it may have been the first
    await network.stop(0)
    whole = read_replica(network.homes[0])
    assert 0 < len(copied.entries) <= len(whole.entries)
    assert copied.entries.items() <= whole.entries.items()
    assert copied.blocks.items() <= whole.blocks.items()
    assert copied.checkpoints.items() <= whole.checkpoints.items()
    assert min(copied.blocks) > 1, "it came by a snapshot"
