# SPDX-License-Identifier: Apache-2.0
"""The short form of `make crash`: random deaths under load, then everything is checked."""

import pytest

from tests.crash.drill import Drill
from tests.crash.load import Clients
from tests.crash.rig import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]


async def test_network_whose_nodes_die_at_random_moments_loses_nothing_and_needs_no_hand(
    network: Network, clients: Clients
) -> None:
    drill = Drill(network, clients, seed=20_261_122, say=lambda _: None)
    await drill.begin(first_life=True)
    await drill.run(kills=5, all_at_once=1)
    assert await clients.more(max(0, 101 - clients.acknowledged), 60)
    tally = await drill.finish()
    assert not tally.problems
    assert tally.kills >= 5
    assert tally.all_at_once == 1
    assert tally.acknowledged > 100
