# SPDX-License-Identifier: Apache-2.0
"""The regulator's pages over HTTP: search, drills, recalls, discrepancies, refused attempts, complaints."""

import asyncio
import csv
import io

import httpx
from store_rig import Rig
from trade_rig import At, TradeRig, trade_rig

from service.sign_in.roles import Role
from tests.trace_rig import CABBAGE, CUT, TRADERS, kg, lot
from traceability.api.regulator import discrepancies
from traceability.api.shopper.complaints import Complaints
from traceability.pb import traceability_pb2 as pb
from traceability.recalls import load_recall

FARM, MARKET, SHOP = (TRADERS[name][0] for name in ("farm", "market", "shop"))
LOT = lot()


def story(service: TradeRig) -> None:
    """100 kg to a market, which cuts 40 kg of it and sends 30 of those on to a shop."""
    ledger = service.ledger
    ledger.harvested(100)
    ledger.delivered(LOT, 100)
    cut = lot("C1", CUT)
    assert ledger.by("market", "transform", lines={LOT: kg(40)}, outputs={cut: kg(38)}) == ""
    assert ledger.by("market", "ship", counterparty=SHOP, lines={cut: kg(30)}) == ""


def act_in(answer: httpx.Response) -> str:
    """The act that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).partition("?")[0].rsplit("/", 1)[1]


async def drilled(officer: At, kind: str = "drill", items: str = LOT) -> str:
    answer = await officer.post("/regulator/drills", items=items, kind=kind)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def test_search_finds_goods_by_link_name_and_beginning_and_participants_by_number(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        story(service)
        officer = await service.officer()
        for asked in (LOT, f"https://shop.example/{LOT}?17=270101"):
            answer = await officer.get(f"/regulator/search?q={asked.replace('?', '%3F')}")
            assert answer.headers["location"] == f"/regulator/item?item={LOT}"
        listed = await officer.get("/regulator/search?q=C1")
        assert listed.status_code == 303
        party = await officer.get(f"/regulator/search?q={MARKET}")
        assert f"/regulator/participant?gln={MARKET}" in party.text
        assert "Nothing found" in (await officer.get("/regulator/search?q=%25%25")).text
        page = await officer.get(f"/regulator/item?item={LOT}")
        assert "100 kg" in page.text
        assert "Harvested or imported" in page.text


async def test_drill_tells_everybody_who_had_some_and_its_report_shows_who_answered(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        story(service)
        officer, market = await service.officer(), await service.trader("market")
        place = await drilled(officer)
        page = await officer.get(place)
        assert "0 / 3" in page.text
        home = await market.get("/trade")
        assert "Recall drill: please answer" in home.text
        assert "60 kg" in home.text
        notice = home.text.partition("/trade/notices/")[2].partition("/")[0]
        assert (await market.post(f"/trade/notices/{notice}/acknowledge")).status_code == 303
        assert "please answer" not in (await market.get("/trade")).text
        assert "1 / 3" in (await officer.get(place)).text
        content = (await officer.get(f"{place}/drill.csv")).content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(content)))
        assert {row[3] for row in rows[1:]} == {"In stock", "On the way", "Made into others"}
        assert (await officer.get(f"{place}/drill.pdf")).content.startswith(b"%PDF-")
        fsma = (await officer.get(f"{place}/fsma.csv")).content.decode("utf-8-sig")
        assert [row[0] for row in csv.reader(io.StringIO(fsma))][1:] == [
            "Harvesting",
            "Shipping",
            "Receiving",
            "Transformation",
            "Shipping",
        ]


async def test_notice_is_acknowledged_by_whom_it_is_for_alone(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        story(service)
        officer, market, carrier = (
            await service.officer(),
            await service.trader("market"),
            await service.trader("carrier"),
        )
        place = await drilled(officer)
        home = await market.get("/trade")
        notice = home.text.partition("/trade/notices/")[2].partition("/")[0]
        assert (await carrier.post(f"/trade/notices/{notice}/acknowledge")).status_code == 404
        assert "0 / 3" in (await officer.get(place)).text


async def test_supervisor_recalls_all_lots_of_a_drill_and_lifts_one(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        story(service)
        officer = await service.officer()
        place = await drilled(officer, "real")
        form = await officer.get(f"/regulator/recalls?drill={place.rsplit('/', 1)[1]}")
        assert LOT in form.text
        items = f"{LOT}\n{lot('C1', CUT)}"
        answer = await officer.post("/regulator/recalls", items=items, kind="2", reason="3")
        sign = await officer.get(answer.headers["location"])
        assert "Recall of 2 items" in sign.text
        act_id = act_in(answer)
        assert (await officer.sign(act_id)).status_code == 200
        record = load_recall(service.ledger.state.get, LOT)
        assert record is not None
        assert (record.kind, record.regulator) == (pb.RECALL_KIND_RECALL, "org-f")
        assert "Lift" in (await officer.get(f"/regulator/item?item={LOT}")).text
        assert service.ledger.by("market", "sell", lines={LOT: kg(1)}) == "traceability.recalled"
        answer = await officer.post("/regulator/recalls/lift", items=LOT)
        act_id = act_in(answer)
        await officer.sign(act_id)
        assert load_recall(service.ledger.state.get, LOT) is None
        page = await officer.get("/regulator/recalls")
        assert "Lifted" in page.text


async def test_discrepancies_stand_as_the_ledger_s_state_says_and_once(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        ledger = service.ledger
        ledger.harvested(100)
        assert ledger.by("farm", "ship", counterparty=MARKET, lines={LOT: kg(50)}) == ""
        assert ledger.by("market", "receive", counterparty=FARM, lines={LOT: kg(60)}) == ""
        officer = await service.officer()
        for _ in range(2):
            page = await officer.get("/regulator/discrepancies")
            assert page.text.count("9 kg") == 1  # 50 kg were on the way, with 1 kg of tolerance
        content = (await officer.get("/regulator/discrepancies?format=csv")).content.decode("utf-8-sig")
        assert list(csv.reader(io.StringIO(content)))[1][1:] == [LOT, FARM, MARKET, "9", "0"]
        assert '<b class="num">1</b>' in (await officer.get("/regulator")).text


async def test_refused_attempts_stay_visible_with_what_was_tried(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        ledger = service.ledger
        ledger.harvested(100)
        assert ledger.by("farm", "sell", lines={LOT: kg(110)}) == "traceability.exceeds-balance"
        assert ledger.by("market", "sell", lines={LOT: kg(1)}) == "traceability.not-held"
        officer = await service.officer(Role.AUDITOR)
        page = await officer.get("/regulator/violations")
        assert "110 kg" in page.text
        assert "traceability.not-held" in page.text
        assert page.text.index("traceability.not-held") < page.text.index("traceability.exceeds-balance")
        turned = (await officer.get("/regulator/violations?sort=time")).text
        assert turned.index("traceability.not-held") > turned.index("traceability.exceeds-balance")
        one = await officer.get("/regulator/violations?kind=mass-balance")
        assert "traceability.exceeds-balance" in one.text
        assert "traceability.not-held" not in one.text
        content = (await officer.get("/regulator/violations?format=csv")).content.decode("utf-8-sig")
        assert len(list(csv.reader(io.StringIO(content)))) == 3
        dashboard = await officer.get("/regulator")
        assert 'data-value="1"' in dashboard.text


async def test_complaints_are_listed_and_marked_as_read(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        service.ledger.harvested(100)
        Complaints(service.store).take(LOT, "spoiled", "440604", "<b>brown leaves</b>", service.rig.clock_ms)
        officer = await service.officer()
        page = await officer.get("/regulator/complaints")
        assert "&lt;b&gt;brown leaves&lt;/b&gt;" in page.text
        place = page.text.partition("/regulator/complaints/")[2].partition("/")[0]
        assert (await officer.post(f"/regulator/complaints/{place}/seen")).status_code == 303
        assert "Mark as read" not in (await officer.get("/regulator/complaints")).text


async def test_journey_that_was_too_warm_for_too_long_is_an_alert(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        ledger = service.ledger
        product = pb.RecordProduct(gtin=CABBAGE, unit=pb.UNIT_KILOGRAM, mass_mg=1_000_000, name_zh="菜心")
        product.temperature.CopyFrom(pb.TemperatureLimits(min_millicelsius=0, max_millicelsius=8_000, minutes_max=10))
        assert ledger.code("org-f:attest", product) == ""
        ledger.harvested(100)
        assert ledger.by("farm", "ship", counterparty=MARKET, carrier=TRADERS["carrier"][0], lines={LOT: kg(100)}) == ""
        carrier, officer = await service.trader("carrier"), await service.officer()
        for celsius in ("4", "15.5", "16", "5"):
            service.wait(6 * 60_000)
            await carrier.does("carry", code=LOT, quantity="100", celsius=celsius)
        page = await officer.get("/regulator/cold-chain")
        assert "15.5 – 16.0 °C" in page.text


async def test_trader_s_passkey_becomes_a_key_once_officer_and_trader_have_signed_the_same(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        trader, officer = await service.somebody(MARKET, Role.TRADER), await service.officer()
        assert "Ask for it" in (await trader.get("/trade")).text
        assert (await trader.post("/trade/key")).status_code == 303
        waiting = await trader.get("/trade")
        listed = await officer.get("/regulator/keys")
        place = listed.text.partition('href="/regulator/keys/')[2].partition('"')[0]
        page = await officer.get(f"/regulator/keys/{place}")
        fingerprint = page.text.partition("shows ")[2].partition(".")[0]
        assert fingerprint in waiting.text
        early = await trader.browser.post("/trade/key/options", {"shown": "0" * 64})
        assert early.status_code == 410
        assert (await officer.ceremony(f"/regulator/keys/{place}", page)).status_code == 200
        ready = await trader.get("/trade")
        assert "The officer has signed" in ready.text
        assert (await trader.ceremony("/trade/key", ready)).status_code == 200
        assert MARKET in (await trader.get("/trade")).text
        (made,) = service.ledger.sent
        assert {one.public_key for one in made.signers} == {service.key_of(who).public_key for who in (trader, officer)}
        assert "Nobody is waiting" in (await officer.get("/regulator/keys")).text


async def test_key_that_an_officer_gave_is_signed_by_its_trader_alone_and_within_minutes(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        trader, other = await service.somebody(MARKET, Role.TRADER), await service.somebody(SHOP, Role.TRADER)
        officer, clerk = await service.officer(), await service.officer(Role.CLERK)
        await trader.post("/trade/key")
        page = await officer.get("/regulator/keys")
        place = page.text.partition('href="/regulator/keys/')[2].partition('"')[0]
        assert (await clerk.get(f"/regulator/keys/{place}")).status_code == 403
        assert (await trader.get(f"/regulator/keys/{place}")).status_code == 403
        shown = await officer.get(f"/regulator/keys/{place}")
        wrong = await officer.browser.post(f"/regulator/keys/{place}/options", {"shown": "0" * 64})
        assert wrong.status_code == 409
        await officer.ceremony(f"/regulator/keys/{place}", shown)
        ready = await trader.get("/trade")
        digest = ready.text.partition('data-digest="')[2].partition('"')[0]
        assert (await other.browser.post("/trade/key/options", {"shown": digest})).status_code == 410
        service.wait(5 * 60_000)
        assert (await trader.browser.post("/trade/key/options", {"shown": digest})).status_code == 410
        assert service.ledger.sent == []


async def test_receipts_are_looked_up_though_nobody_opens_a_page_and_after_the_ledger_was_away(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        ledger = service.ledger
        ledger.harvested(100)
        assert ledger.by("farm", "ship", counterparty=MARKET, lines={LOT: kg(50)}) == ""
        assert ledger.by("market", "receive", counterparty=FARM, lines={LOT: kg(60)}) == ""
        office = service.app.state.food_office
        ledger.is_reachable = False
        looking = discrepancies.following(lambda: office)
        looking.start()
        await asyncio.sleep(0.2)
        assert discrepancies.listed(office, None, limit=10)[1] == 0
        assert await looking.holds(), "a ledger that is away is no defect"
        await looking.stop()
        ledger.is_reachable = True
        looking.start()
        async with asyncio.timeout(60):
            while not discrepancies.listed(office, None, limit=10)[1]:  # noqa: ASYNC110 - it is in a database
                await asyncio.sleep(0.05)
        await looking.stop()
        assert discrepancies.listed(office, None, limit=10)[1] == 1
