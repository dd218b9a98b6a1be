# SPDX-License-Identifier: Apache-2.0
"""Traders' pages over HTTP: what is entered, read, signed, recorded, refused."""

from store_rig import Rig
from trade_rig import trade_rig

from tests.trace_rig import CABBAGE, FIELD, TRADERS, kg, lot

FARM, MARKET = TRADERS["farm"][0], TRADERS["market"][0]


async def test_farm_harvests_and_ships_and_market_receives_and_sells(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm, market = await service.trader("farm"), await service.trader("market")
        done = await farm.does("harvest", product=CABBAGE, quantity="100", lot="L1", place=FIELD)
        assert "It stands on the ledger" in done.text
        item = lot("L1")
        assert service.ledger.holding(item, "farm").quantity == kg(100)
        home = await farm.get("/trade")
        assert "100 kg" in home.text
        await farm.does("ship", item=item, quantity="60", **{"partner-code": MARKET})
        assert service.ledger.transit(item, "farm", "market").quantity == kg(60)
        home = await market.get("/trade")
        assert "On its way to you" in home.text
        form = await market.get(f"/trade/record/receive?shipper={FARM}")
        assert 'value="60"' in form.text
        received = await market.does("receive", item=item, quantity="60", **{"partner-code": FARM})
        assert "does not match" not in received.text
        sold = await market.does("sell", item=item, quantity="10")
        assert "It stands on the ledger" in sold.text
        assert service.ledger.holding(item, "market").quantity == kg(50)
