# SPDX-License-Identifier: Apache-2.0
"""What is kept of who scans and who complains: as little as is said, for as long as is said; and what it hints at."""

import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from store_rig import Rig

from service.app import create_app
from service.settings import Settings
from service.shell import shell_part
from tests.shopper_rig import LOT, SERIAL, FoodLedger
from tests.trace_rig import crate, serial, sscc
from traceability.api.context import TRACE_SITE
from traceability.api.shopper.complaints import (
    BURST,
    ITEM_KIND_MAX,
    KEPT_MS,
    PER_DAY_MAX,
    REFILL_MS,
    URGENT_ROOM,
    Complaints,
)
from traceability.api.shopper.districts import distance_km
from traceability.api.shopper.part import shopper_part
from traceability.api.shopper.scans import BURST_MIN, HOUR_MS, KEPT_HOURS, Scans
from traceability.api.shopper.tables import COMPLAINT_CHARACTERS_MAX, FoodComplaint, FoodScan

NOW_MS = 1_795_000_000_000
NOW_MS -= NOW_MS % HOUR_MS
CHANCHENG, SHUNDE, BEIJING = "440604", "440606", "110000"


def rows(scans_store: object) -> list[tuple[str, int, str, int]]:
    """All that is kept."""
    with scans_store.read() as session:  # type: ignore[attr-defined]  # a store
        columns = (FoodScan.item, FoodScan.hour, FoodScan.district, FoodScan.count)
        return [tuple(row) for row in session.execute(select(*columns).order_by(FoodScan.hour, FoodScan.district))]


# ---------------------------------------------------------------- scans


def test_scan_of_a_serial_keeps_serial_hour_and_district_and_nothing_else(rig: Rig) -> None:
    store = rig.open(rig.settings())
    scans = Scans(store)
    assert scans.note(serial(1), "198.51.100.7", NOW_MS + 1_234_567)
    assert scans.note(serial(1), "198.51.100.8", NOW_MS + 2_000_000)
    assert scans.note(serial(1), "198.51.100.9", NOW_MS, CHANCHENG)
    hour = NOW_MS // HOUR_MS
    assert rows(store) == [(serial(1), hour, "", 2), (serial(1), hour, CHANCHENG, 1)]
    assert {column.key for column in FoodScan.__table__.columns} == {"item", "hour", "district", "count"}


@pytest.mark.parametrize("item", [LOT, sscc(1), crate(1), "01/06901234000016", "x"])
def test_scan_of_a_batch_code_keeps_nothing_at_all(sqlite_rig: Rig, item: str) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    scans = Scans(store)
    assert not scans.note(item, "198.51.100.7", NOW_MS)
    assert not scans.note(item, "198.51.100.7", NOW_MS, CHANCHENG)
    assert rows(store) == []
    assert scans.hints(item, NOW_MS).burst == 0


def test_scans_are_deleted_after_30_days(rig: Rig) -> None:
    store = rig.open(rig.settings())
    scans = Scans(store)
    scans.note(serial(1), "a", NOW_MS)
    scans.note(serial(1), "a", NOW_MS + HOUR_MS)
    assert scans.forget(NOW_MS + (KEPT_HOURS - 1) * HOUR_MS) == 0
    assert scans.forget(NOW_MS + KEPT_HOURS * HOUR_MS) == 1
    assert [hour for _, hour, _, _ in rows(store)] == [NOW_MS // HOUR_MS + 1]


def test_one_address_counts_once_an_hour(sqlite_rig: Rig) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    scans = Scans(store)
    assert [scans.note(serial(1), "a", NOW_MS + minute * 60_000) for minute in range(5)] == [True, *[False] * 4]
    assert scans.note(serial(1), "a", NOW_MS + HOUR_MS)
    assert scans.note(serial(2), "a", NOW_MS)


def test_unknown_district_is_not_kept(sqlite_rig: Rig) -> None:
    scans = Scans(sqlite_rig.open(sqlite_rig.settings()))
    assert not scans.note(serial(1), "a", NOW_MS, "999999")


def test_burst_is_hinted_at_from_twenty_scans_an_hour(sqlite_rig: Rig) -> None:
    scans = Scans(sqlite_rig.open(sqlite_rig.settings()))
    for number in range(BURST_MIN - 1):
        scans.note(serial(1), f"address {number}", NOW_MS)
    assert scans.hints(serial(1), NOW_MS).burst == 0
    scans.note(serial(1), "one more", NOW_MS, CHANCHENG)
    assert scans.hints(serial(1), NOW_MS).burst == BURST_MIN
    assert scans.hints(serial(2), NOW_MS).burst == 0


@pytest.mark.parametrize(
    ("first", "second", "hours", "is_hint"),
    [
        (CHANCHENG, BEIJING, 2, True),
        (CHANCHENG, BEIJING, 12, False),
        (CHANCHENG, SHUNDE, 0, False),
        (CHANCHENG, CHANCHENG, 0, False),
        (BEIJING, CHANCHENG, 0, True),
    ],
)
def test_impossible_travel_is_hinted_at_and_possible_is_not(
    sqlite_rig: Rig, first: str, second: str, hours: int, is_hint: bool
) -> None:
    scans = Scans(sqlite_rig.open(sqlite_rig.settings()))
    scans.note(serial(1), "a", NOW_MS, first)
    scans.note(serial(1), "b", NOW_MS + hours * HOUR_MS, second)
    travel = scans.hints(serial(1), NOW_MS + hours * HOUR_MS).travel
    assert (travel is not None) is is_hint
    if travel is not None:
        assert travel[0] == hours + 1
        assert 1_800 < travel[1] < 2_000


def test_distances_are_those_of_the_map() -> None:
    assert distance_km(CHANCHENG, CHANCHENG) == 0
    assert 20 < (distance_km(CHANCHENG, SHUNDE) or 0) < 40
    assert distance_km("440699", "440600") == 0, "what is not listed stands for its city"
    assert distance_km(CHANCHENG, "990000") is None


# ---------------------------------------------------------------- complaints


def test_complaint_is_kept_without_a_name_listed_and_deleted_after_a_year(rig: Rig) -> None:
    store = rig.open(rig.settings())
    complaints = Complaints(store)
    made = complaints.take(LOT, "spoiled", CHANCHENG, "发黄", NOW_MS)
    assert made is not None
    complaints.take(SERIAL, "ill", "", "", NOW_MS + 1)
    assert [one.kind for one in complaints.listed(limit=9)] == ["ill", "spoiled"]
    assert [one.id for one in complaints.listed(limit=9, item=LOT)] == [made.id]
    assert complaints.listed(limit=9, before_ms=NOW_MS) == []
    complaints.mark_seen(made.id, NOW_MS + 5)
    assert complaints.listed(limit=1, item=LOT)[0].seen_ms == NOW_MS + 5
    complaints.forget(NOW_MS + KEPT_MS)
    assert [one.kind for one in complaints.listed(limit=9)] == ["ill"]
    kept = {column.key for column in FoodComplaint.__table__.columns}
    assert kept == {"id", "item", "kind", "district", "text", "made_ms", "seen_ms"}


def test_one_address_complains_a_few_times_and_then_every_ten_minutes(sqlite_rig: Rig) -> None:
    complaints = Complaints(sqlite_rig.open(sqlite_rig.settings()))
    waits = [complaints.wait_s("a", NOW_MS) for _ in range(BURST + 1)]
    assert waits[:BURST] == [0] * BURST
    assert 0 < waits[BURST] <= REFILL_MS // 1000
    assert complaints.wait_s("b", NOW_MS) == 0
    assert complaints.wait_s("a", NOW_MS + REFILL_MS) == 0


def test_all_addresses_together_fill_no_disk(sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traceability.api.shopper.complaints.PER_DAY_MAX", 3)
    complaints = Complaints(sqlite_rig.open(sqlite_rig.settings()))
    assert [complaints.take(LOT, "ill", "", "", NOW_MS) is None for _ in range(4)] == [False, False, False, True]
    assert complaints.take(LOT, "ill", "", "", NOW_MS + 86_400_001) is not None
    assert PER_DAY_MAX == 2_000


def test_complaints_of_one_kind_about_the_same_goods_are_bounded_and_keep_out_no_other(sqlite_rig: Rig) -> None:
    complaints = Complaints(sqlite_rig.open(sqlite_rig.settings()))
    taken = [complaints.take(LOT, "other", "", "", NOW_MS) is not None for _ in range(ITEM_KIND_MAX + 1)]
    assert taken == [*[True] * ITEM_KIND_MAX, False]
    assert complaints.take(LOT, "ill", "", "", NOW_MS) is not None
    assert complaints.take(SERIAL, "other", "", "", NOW_MS) is not None
    assert complaints.take(LOT, "other", "", "", NOW_MS + 86_400_001) is not None


def test_day_full_of_other_complaints_has_room_for_who_fell_ill(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.shopper.complaints.PER_DAY_MAX", 5)
    monkeypatch.setattr("traceability.api.shopper.complaints.URGENT_ROOM", 2)
    complaints = Complaints(sqlite_rig.open(sqlite_rig.settings()))
    taken = [complaints.take(serial(i), "spoiled", "", "", NOW_MS) is not None for i in range(1, 6)]
    assert taken == [True, True, True, False, False]
    ill = [complaints.take(serial(i), "ill", "", "", NOW_MS) is not None for i in range(1, 5)]
    assert ill == [True, True, False, False]
    assert 0 < URGENT_ROOM < PER_DAY_MAX


# ---------------------------------------------------------------- over HTTP


class Shop:
    """A ledger and the pages about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.food = FoodLedger(folder)
        self.skipped_ms = 0
        self.context = self.food.context(now=lambda: time.time_ns() // 1_000_000 + self.skipped_ms)
        parts = [shell_part(TRACE_SITE), shopper_part(self.context, self.food)]
        self.app = create_app(parts, Settings(), self.context.address)

    @asynccontextmanager
    async def visitor(self, address: str = "198.51.100.7", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, client=(address, 40000))
        given = {"accept-language": "en", "user-agent": "Spy/1", **headers}
        async with httpx.AsyncClient(transport=transport, base_url=self.context.origin, headers=given) as made:
            yield made

    def counts(self) -> dict[str, int]:
        return {district: count for _, _, district, count in rows(self.food.store)}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.food.journey()
    yield made
    made.food.close()


async def post(web: httpx.AsyncClient, path: str, fields: dict[str, str]) -> httpx.Response:
    """Send a form as a browser does that has opened its page."""
    token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', (await web.get(path)).text)
    assert token is not None
    return await web.post(path, data={"csrf_token": token[1], **fields}, headers={"sec-fetch-site": "same-origin"})


async def test_opening_a_serials_page_counts_and_fetching_it_ahead_or_keeping_it_does_not(shop: Shop) -> None:
    async with shop.visitor() as web:
        await web.get(f"/food/{SERIAL}", headers={"sec-fetch-dest": "empty"})
        await web.get(f"/food/{SERIAL}", headers={"sec-fetch-dest": "document", "sec-purpose": "prefetch;prerender"})
        await web.get(f"/v1/journeys/{SERIAL}")
        await web.get(f"/food/{LOT}")
        assert shop.counts() == {}
        await web.get(f"/food/{SERIAL}", headers={"sec-fetch-dest": "document"})
        assert shop.counts() == {"": 1}


async def test_no_trace_of_a_person_is_in_the_database_after_a_scan_and_a_complaint(shop: Shop) -> None:
    async with shop.visitor(address="203.0.113.77", cookie="who=alice-4711") as web:
        await web.get(f"/food/{SERIAL}")
        web.headers.pop("cookie")
        await post(web, f"/food-here/{SERIAL}", {"district": CHANCHENG})
        await post(web, f"/food-complaint/{SERIAL}", {"kind": "ill", "district": CHANCHENG, "text": "头晕"})
    assert shop.counts() == {"": 1, CHANCHENG: 1}
    dump = "\n".join(sqlite3.connect(shop.folder / "store.sqlite").iterdump())
    assert "头晕" in dump
    for trace in ("203.0.113", "Spy/1", "alice-4711"):
        assert trace not in dump


async def test_shopper_who_says_where_they_are_helps_to_find_copies(shop: Shop) -> None:
    for address, district in (("198.51.100.1", CHANCHENG), ("198.51.100.2", BEIJING)):
        async with shop.visitor(address) as web:
            done = await post(web, f"/food-here/{SERIAL}", {"district": district})
            assert "Thank you" in done.text
    async with shop.visitor() as web:
        wrong = await post(web, f"/food-here/{SERIAL}", {"district": "999999"})
        assert wrong.status_code == 422
        page = (await web.get(f"/food/{SERIAL}")).text
    assert "This label may have been copied" in page
    assert "hint, not a verdict" in page


async def test_item_that_was_sold_says_so_as_a_hint(shop: Shop) -> None:
    async with shop.visitor() as web:
        assert "may have been copied" not in (await web.get(f"/food/{SERIAL}")).text
        shop.food.sell()
        shop.skipped_ms += 10_000
        assert "it was sold on" in (await web.get(f"/food/{SERIAL}")).text


async def test_complaint_is_taken_and_its_number_told(shop: Shop) -> None:
    async with shop.visitor() as web:
        fields = {"kind": "label", "district": "000000", "text": "<script>alert(1)</script>\r\nbad"}
        done = await post(web, f"/food-complaint/{LOT}", fields)
    assert done.status_code == 200
    (kept,) = Complaints(shop.food.store).listed(limit=9)
    assert (kept.item, kept.kind, kept.text) == (LOT, "label", "<script>alert(1)</script>\nbad")
    assert kept.reference in done.text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "nonsense"},
        {"kind": "ill", "district": "12"},
        {"kind": "ill", "text": "x" * (COMPLAINT_CHARACTERS_MAX + 1)},
    ],
)
async def test_complaint_that_is_not_whole_is_asked_for_again_and_keeps_its_words(
    shop: Shop, fields: dict[str, str]
) -> None:
    async with shop.visitor() as web:
        answer = await post(web, f"/food-complaint/{LOT}", {"text": "<b>old</b>", **fields})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<b>old" not in answer.text
    assert Complaints(shop.food.store).listed(limit=9) == []


async def test_complaints_of_one_address_are_slowed_down_in_words(shop: Shop) -> None:
    async with shop.visitor() as web:
        answers = [await post(web, f"/food-complaint/{LOT}", {"kind": "ill"}) for _ in range(BURST + 1)]
    assert [answer.status_code for answer in answers] == [*[200] * BURST, 429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_form_of_another_site_is_refused(shop: Shop) -> None:
    async with shop.visitor() as web:
        answer = await web.post(
            f"/food-complaint/{LOT}", data={"kind": "ill"}, headers={"origin": "https://elsewhere.example"}
        )
    assert answer.status_code == 403
