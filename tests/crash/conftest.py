# SPDX-License-Identifier: Apache-2.0
"""A network of real processes for each test that asks for one; nothing of it outlives the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.crash.load import Clients
from tests.crash.rig import Network, Spawner
from tests.crash.run import VALIDATORS, clients_of, free_base_port


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four validators, none started; they look for each other more often than by default, which saves time."""
    async with Spawner({"ZHIXIN_PEER_RECONNECT_MS_MAX": "500"}) as spawner:
        made = Network(tmp_path, spawner, VALIDATORS, free_base_port(VALIDATORS))
        try:
            yield made
        finally:
            await made.close()


@pytest_asyncio.fixture
async def clients(network: Network, tmp_path: Path) -> AsyncIterator[Clients]:
    """Clients of it, not started."""
    made = clients_of(network, tmp_path, rate=30)
    try:
        yield made
    finally:
        await made.stop(0)
