# SPDX-License-Identifier: Apache-2.0
"""Traders' pages over HTTP: what is entered, read, signed, recorded, refused."""

import json
import re

from sqlalchemy import delete
from store_rig import Rig
from trade_rig import trade_rig

from tests.trace_rig import CABBAGE, CUT, FIELD, JAR, TRADERS, kg, lot
from traceability.api.trace_index import records_table

FARM, MARKET, PLANT = (TRADERS[name][0] for name in ("farm", "market", "plant"))


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


async def test_processor_sees_the_balance_before_signing_and_makes_goods_of_others(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm, plant = await service.trader("farm"), await service.trader("plant")
        await farm.does("harvest", product=CABBAGE, quantity="100", lot="L1")
        await farm.does("ship", item=lot("L1"), quantity="100", **{"partner-code": PLANT})
        await plant.does("receive", item=lot("L1"), quantity="100", **{"partner-code": FARM})
        home = await plant.get("/trade")
        assert 'href="/trade/record/make"' in home.text
        form = await plant.get(f"/trade/record/make?item={lot('L1')}")
        assert "camera=(self)" in form.headers["permissions-policy"]
        assert "camera=()" in home.headers["permissions-policy"]
        made = {"item": lot("L1"), "quantity": "40", "out-product-0": CUT, "out-lot-0": "P1"}
        refused = await plant.post("/trade/record/make", **made, **{"out-quantity-0": "43"})
        assert refused.status_code == 422
        assert "So much cannot come out" in refused.text
        assert 'value="P1"' in refused.text
        record = await plant.record(
            "make", **made, **{"out-quantity-0": "30", "out-product-1": JAR, "out-lot-1": "P2", "out-quantity-1": "20"}
        )
        page = await plant.get(f"/trade/sign/{record}")
        assert "40 kg go in, 35 kg come out. 5 kg are waste or loss" in page.text
        chinese = await plant.get(f"/trade/sign/{record}", "zh-CN")
        assert "投入 40 公斤，产出 35 公斤，损耗 5 公斤" in chinese.text
        await plant.sign(await plant.act_of(record))
        page = await plant.get(f"/trade/records/{record}")
        assert "It stands on the ledger" in page.text
        assert f"/01/{CUT}/10/P1" in page.text  # the new lot's label
        assert (await plant.get(f"/trade/records/{record}/label.svg")).status_code == 200
        held = {item: service.ledger.holding(item, "plant").quantity for item in (lot("L1"), lot("P1", CUT))}
        assert held == {lot("L1"): kg(60), lot("P1", CUT): kg(30)}


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
        versions = set()
        for step in ("harvest", "pack", "ship", "receive", "sell", "destroy"):
            page = await farm.get(f"/trade/offline/{step}")
            assert page.status_code == 200
            assert TRADERS["farm-2"][0] not in page.text
            assert "Zhang Min" not in page.text
            versions.add(page.headers["zhixin-offline"])
        versions.add((await farm.get("/trade/offline")).headers["zhixin-offline"])
        assert (await farm.get("/trade/offline/test")).status_code == 404
        worker = await farm.get("/trade/offline.js")
        assert worker.headers["service-worker-allowed"] == "/trade"
        assert '"/trade/offline/harvest"' in worker.text
        plan = json.loads(worker.text.partition("\n")[0].removeprefix("self.offlinePlan = ").removesuffix(";"))
        assert versions == {plan["version"]}, "the worker keeps pages of its own build"
        assert plan["header"].lower() == "zhixin-offline"


async def test_start_page_leads_traders_officers_and_administrators_each_to_their_own(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        trader, officer = await service.trader("farm"), await service.officer()
        assert service.boss is not None
        for browser, path in ((trader.browser, "/trade"), (officer.browser, "/regulator"), (service.boss, "/people")):
            answer = await browser.web.get("/", headers={"accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (303, path)
        refused = await trader.get("/regulator")
        assert refused.status_code == 403
        navigation = refused.text.partition("<main")[0]
        assert 'href="/trade"' in navigation
        assert 'href="/regulator"' not in navigation


async def test_stranger_at_the_start_page_hears_what_there_is_and_each_way_leads_somewhere(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        stranger = service.browser().web
        for language, words in (("en", "scan the code on its label"), ("zh-CN", "扫标签上的码")):
            page = await stranger.get(f"/?lang={language}")
            assert page.status_code == 200
            assert words in page.text
        ways = re.findall(r'class="tile" href="([^"]+)"', page.text)
        assert ways == ["/trade", "/regulator", "/openapi.json"]
        answers = [await stranger.get(way, headers={"accept": "text/html"}) for way in ways]
        assert [answer.status_code for answer in answers] == [303, 303, 200]
        assert all("/sign-in" in answer.headers["location"] for answer in answers[:2])
