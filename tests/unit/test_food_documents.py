# SPDX-License-Identifier: Apache-2.0
"""Documents made from events: the recall drill's rows, the FSMA spreadsheet, the Chinese promise of conformity."""

import csv
import io
from dataclasses import replace

import pytest

from chain.types import sha256
from tests.trace_rig import CABBAGE, FIELD, JAR, TRADERS, crate, kg, lot, product, serial
from traceability.acts import Act
from traceability.documents.certificate import Ground, NoBatch, batch_certificate, part_certificate
from traceability.documents.fsma import COLUMNS, fsma_sheet
from traceability.documents.names import Names, decimal, stamp
from traceability.documents.recall_report import Notice, Where, recall_report, recall_sheet
from traceability.documents.sheet import ROWS_MAX, Sheet, TooManyRows, csv_bytes, harmless
from traceability.drill import drill
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import EventsInMemory, TraceEvent

FARM, MARKET, PLANT = (TRADERS[name][0] for name in ("farm", "market", "plant"))
LOT, JARS = lot(), lot("J1", JAR)
NOON_MS = 1_795_320_000_000
TITLES = ("product", "lot", "item", "state", "quantity", "unit", "holder", "gln", "towards", "sent", "told")
STATES = {where: where.value for where in Where}


def event_id(number: int) -> bytes:
    return sha256(b"event %d" % number)


def event(number: int, act: Act, actor: str, *lines: tuple[str, float], **more: object) -> TraceEvent:
    return TraceEvent(
        id=event_id(number),
        number=number,
        time_ms=NOON_MS + number * 60_000,
        act=act,
        actor=actor,
        lines=tuple((item, kg(amount)) for item, amount in lines),
        **more,  # type: ignore[arg-type]  # fields of the event by name
    )


def story() -> list[TraceEvent]:
    """100 kg: 60 go to a market, where 55 arrive, 20 are sold and 10 destroyed; 40 become 150 jars."""
    made = ((JARS, kg(150)),)
    return [
        event(1, Act.DECLARE, FARM, (LOT, 100), place=FIELD),
        event(2, Act.SHIP, FARM, (LOT, 60), counterparty=MARKET, place=FIELD),
        event(3, Act.RECEIVE, MARKET, (LOT, 55), counterparty=FARM),
        event(4, Act.SHIP, FARM, (LOT, 40), counterparty=PLANT),
        event(5, Act.RECEIVE, PLANT, (LOT, 40), counterparty=FARM),
        event(6, Act.TRANSFORM, PLANT, (LOT, 40), outputs=made),
        event(7, Act.SELL, MARKET, (LOT, 20)),
        event(8, Act.REMOVE, MARKET, (LOT, 10)),
        event(9, Act.OBSERVE, MARKET, (LOT, 0)),
    ]


def names(language: str = "en") -> Names:
    company = pb.RecordParticipant(name_zh="南庄农场", name_en="Nanzhuang Farm")
    place = pb.RecordPlace(gln=FIELD, district="440604", name_zh="南庄菜地")
    goods = [
        product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, "菜心", name_en="Choy sum"),
        product(JAR, pb.UNIT_PIECE, 250_000, "腌菜"),
    ]
    return Names({FARM: company}, {FIELD: place}, {one.gtin: one for one in goods}, language)


def rows_of(sheet: Sheet) -> list[dict[str, str]]:
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


# ---------------------------------------------------------------- recall drill


def test_drill_report_adds_each_lot_up_to_what_entered():
    found = recall_report("D1", [LOT], drill(EventsInMemory(story()), [LOT]), started_ms=NOON_MS, took_ms=12)
    assert found.lots == (LOT, JARS)
    assert found.differences == {}
    assert sum(part.quantity for part in found.parts if part.item == LOT) == kg(100)
    assert found.total(Where.AT_HAND) == {LOT: kg(25), JARS: kg(150)}
    assert found.total(Where.ON_THE_WAY) == {LOT: kg(5)}
    assert found.total(Where.SOLD) == {LOT: kg(20)}
    assert found.total(Where.REMOVED) == {LOT: kg(10)}
    assert found.total(Where.USED) == {LOT: kg(40)}


def test_drill_report_shows_what_does_not_add_up_as_a_difference():
    over = [*story(), event(10, Act.SELL, MARKET, (LOT, 30))]
    found = recall_report("D1", [LOT], drill(EventsInMemory(over), [LOT]), started_ms=NOON_MS, took_ms=12)
    assert found.differences == {LOT: kg(100 - 105)}


def test_drill_has_no_elapsed_time_until_the_last_notice_is_acknowledged():
    told = [Notice(FARM, NOON_MS + 10, NOON_MS + 5_000), Notice(MARKET, NOON_MS + 10)]
    found = recall_report(
        "D1", [LOT], drill(EventsInMemory(story()), [LOT]), started_ms=NOON_MS, took_ms=12, notices=told
    )
    assert found.acknowledged == 1
    assert found.elapsed_ms is None
    answered = replace(found, notices=(told[0], Notice(MARKET, NOON_MS + 10, NOON_MS + 9_000)))
    assert answered.elapsed_ms == 9_000
    assert replace(found, notices=()).elapsed_ms is None


def test_drill_sheet_has_a_row_for_each_part_with_its_holder_and_notice():
    found = recall_report(
        "D1",
        [LOT],
        drill(EventsInMemory(story()), [LOT]),
        started_ms=NOON_MS,
        took_ms=12,
        notices=[Notice(MARKET, NOON_MS, NOON_MS + 1_000)],
    )
    rows = rows_of(recall_sheet(found, names(), TITLES, STATES))
    at_market = next(row for row in rows if row["gln"] == MARKET)
    assert (at_market["product"], at_market["lot"], at_market["quantity"], at_market["unit"]) == (
        "Choy sum",
        "L1",
        "25",
        "kg",
    )
    assert (at_market["sent"], at_market["told"]) == (stamp(NOON_MS), stamp(NOON_MS + 1_000))
    away = next(row for row in rows if row["state"] == "on-the-way")
    assert (away["holder"], away["towards"], away["quantity"]) == ("Nanzhuang Farm", MARKET, "5")
    jars = next(row for row in rows if row["item"] == JARS)
    assert (jars["unit"], jars["sent"]) == ("pcs", "")


# ---------------------------------------------------------------- FSMA 204


def test_fsma_sheet_has_a_row_for_each_lot_of_each_critical_tracking_event_in_the_order_of_recording():
    rows = rows_of(fsma_sheet(reversed(story()), names()))
    assert [row["Critical tracking event"] for row in rows] == [
        "Harvesting",
        "Shipping",
        "Receiving",
        "Shipping",
        "Receiving",
        "Transformation",
    ]
    assert {row["21 CFR"] for row in rows} == {"1.1325", "1.1340", "1.1345", "1.1350"}


def test_fsma_shipping_row_has_the_key_data_elements():
    row = rows_of(fsma_sheet(story(), names()))[1]
    assert row["Traceability lot code"] == "L1"
    assert row["Traceability lot code (GS1)"] == LOT
    assert (row["Quantity"], row["Unit of measure"], row["Product description"]) == ("60", "kg", "Choy sum")
    assert row["Date and time"] == stamp(NOON_MS + 120_000)
    assert (row["Location description"], row["Location GLN"]) == ("南庄菜地", FIELD)
    assert (row["Immediate subsequent recipient GLN"], row["Immediate previous source GLN"]) == (MARKET, "")
    assert (row["Traceability lot code source"], row["Traceability lot code source GLN"]) == ("Nanzhuang Farm", FARM)
    assert row["Reference document number"] == event_id(2).hex()


def test_fsma_transformation_row_names_the_new_lot_and_its_inputs():
    row = rows_of(fsma_sheet(story(), names()))[-1]
    assert (row["Traceability lot code"], row["Quantity"], row["Unit of measure"]) == ("J1", "150", "pcs")
    assert row["Input traceability lot codes"] == "L1"
    assert row["Traceability lot code source GLN"] == PLANT


def test_fsma_initial_packing_is_the_maker_s_first_one_alone_and_containers_have_no_rows():
    packed = [
        event(1, Act.DECLARE, FARM, (LOT, 100)),
        event(2, Act.PACK, FARM, (LOT, 40), parent=crate(1)),
        event(3, Act.PACK, FARM, (LOT, 20), parent=crate(2)),
        event(4, Act.SHIP, FARM, (crate(1), 0), counterparty=MARKET),
        event(5, Act.PACK, MARKET, (LOT, 10), parent=crate(3)),
    ]
    rows = rows_of(fsma_sheet(packed, names()))
    assert [(row["Critical tracking event"], row["Quantity"]) for row in rows] == [
        ("Harvesting", "100"),
        ("Initial packing", "40"),
    ]


def test_fsma_row_of_an_event_declared_in_error_stays_and_says_so():
    wrong = [replace(story()[0], in_error=True), *story()[1:]]
    row = rows_of(fsma_sheet(wrong, names()))[0]
    assert (row["Critical tracking event"], row["Declared in error"]) == ("Harvesting", "yes")


def test_fsma_serial_counts_as_one_piece():
    sold = [event(1, Act.DECLARE, FARM, (serial(1), 0))]
    assert rows_of(fsma_sheet(sold, names()))[0]["Quantity"] == "1"
    assert set(rows_of(fsma_sheet(sold, names()))[0]) == set(COLUMNS)


# ---------------------------------------------------------------- 承诺达标合格证


def test_certificate_of_a_batch_adds_its_declarations_up_and_leaves_errors_out():
    events = [
        event(1, Act.DECLARE, FARM, (LOT, 70), place=FIELD),
        event(2, Act.DECLARE, FARM, (LOT, 30)),
        replace(event(3, Act.DECLARE, FARM, (LOT, 500)), in_error=True),
    ]
    made = batch_certificate(events, LOT)
    assert (made.ground, made.quantity, made.origin, made.producer) == (Ground.BATCH, kg(100), FIELD, FARM)
    assert made.sources == ()


def test_certificate_of_a_split_names_the_batch_s_and_has_a_number_of_its_own():
    whole = batch_certificate(story(), LOT)
    part = part_certificate(whole, story()[1])
    assert (part.ground, part.quantity, part.sources) == (Ground.SPLIT, kg(60), (whole.number,))
    assert part.number != whole.number
    assert (part.origin, part.producer) == (FIELD, FARM)


def test_certificate_of_mixed_goods_names_the_batches_in_them():
    events = story()
    other = lot("L2")
    events[5] = replace(events[5], lines=((LOT, kg(40)), (other, kg(3))))
    made = batch_certificate(events, JARS)
    assert (made.ground, made.quantity, made.sources) == (Ground.MIX, kg(150), (LOT, other))


@pytest.mark.parametrize("item", [lot("unknown"), crate(1), serial(1)])
def test_certificate_of_what_no_event_made_or_is_no_batch_is_refused(item: str):
    with pytest.raises(NoBatch, match=r"no event|no batch"):
        batch_certificate(story(), item)


@pytest.mark.parametrize("index", [0, 6])
def test_certificate_of_a_part_that_was_not_shipped_is_refused(index: int):
    whole = batch_certificate(story(), LOT)
    with pytest.raises(NoBatch, match="ships nothing"):
        part_certificate(whole, story()[index])


def test_certificate_of_a_shipment_declared_in_error_is_refused():
    with pytest.raises(NoBatch, match="ships nothing"):
        part_certificate(batch_certificate(story(), LOT), replace(story()[1], in_error=True))


# ---------------------------------------------------------------- spreadsheets


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+86 757", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＋1", "－1", "＠x", "\u00a0=1"],
)
def test_cell_that_begins_like_a_formula_is_text_in_a_spreadsheet(cell: str):
    content = csv_bytes(Sheet(("lot",), ((cell,),))).decode("utf-8-sig")
    ((_,), (read,)) = csv.reader(io.StringIO(content))
    assert read == f"'{cell}"


@pytest.mark.parametrize("cell", ["L1", "01/06901234000018/10/L1", "菜心", "1=1", "", "2026-11-22 12:00:00+08:00"])
def test_harmless_cell_stays_as_it_is(cell: str):
    assert harmless(cell) == cell


def test_csv_begins_with_the_mark_by_which_spreadsheets_read_chinese():
    assert csv_bytes(Sheet(("产品",), (("菜心",),))).startswith(b"\xef\xbb\xbf")


def test_csv_of_too_many_rows_is_refused_with_what_to_do():
    with pytest.raises(TooManyRows, match="fewer"):
        csv_bytes(Sheet(("a",), (("x",),) * (ROWS_MAX + 1)))


@pytest.mark.parametrize(("micro", "text"), [(0, "0"), (1, "0.000001"), (12_500_000, "12.5"), (100_000_000, "100")])
def test_quantity_is_written_without_zeros_at_its_end(micro: int, text: str):
    assert decimal(micro) == text


def test_names_of_what_is_unknown_are_its_numbers():
    empty = Names()
    assert (empty.participant(FARM), empty.place(FIELD), empty.product(LOT), empty.unit(LOT)) == (
        FARM,
        FIELD,
        CABBAGE,
        "",
    )
