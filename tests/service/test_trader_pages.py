# SPDX-License-Identifier: Apache-2.0
"""Traders' pages over HTTP: what is entered, read, signed, recorded, refused."""

from sqlalchemy import delete
from store_rig import Rig
from trade_rig import trade_rig

from tests.trace_rig import CABBAGE, FIELD, TRADERS, kg, lot
from traceability.api.trace_index import records_table

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


async def test_record_is_shown_and_signed_while_the_index_is_made_anew(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        record = await farm.record("harvest", product=CABBAGE, quantity="100", lot="L1")
        with service.ledger.engine.begin() as connection:
            connection.execute(delete(records_table))
        assert "to sign" in (await farm.get("/trade/records")).text
        await farm.sign(await farm.act_of(record))
        assert "It stands on the ledger" in (await farm.get(f"/trade/records/{record}")).text


async def test_forms_without_a_connection_hold_nothing_of_whoever_is_signed_in(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm-2")
        service.ledger.harvested(100)
        for step in ("harvest", "pack", "ship", "receive", "sell", "destroy"):
            page = await farm.get(f"/trade/offline/{step}")
            assert page.status_code == 200
            assert TRADERS["farm-2"][0] not in page.text
            assert "Zhang Min" not in page.text
        assert (await farm.get("/trade/offline/test")).status_code == 404
        worker = await farm.get("/trade/offline.js")
        assert worker.headers["service-worker-allowed"] == "/trade"
        assert '"/trade/offline/harvest"' in worker.text
