# SPDX-License-Identifier: Apache-2.0
"""Documents as files, judged by poppler, which extracts their text, and by an independent reader of QR codes."""

import subprocess
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from service.language import Language
from tests.trace_rig import CABBAGE, FIELD, TRADERS, kg, lot, product
from traceability.acts import Act
from traceability.api.documents.certificate_pdf import Promise, certificate_pdf
from traceability.api.documents.recall_pdf import recall_pdf
from traceability.api.documents.words import recall_table
from traceability.documents.certificate import Basis, batch_certificate
from traceability.documents.names import Names
from traceability.documents.recall_report import Notice, RecallReport, recall_report
from traceability.drill import drill
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import EventsInMemory, TraceEvent

FARM, MARKET = TRADERS["farm"][0], TRADERS["market"][0]
NOON_MS = 1_795_320_000_000
LOT = lot()
ITEMS = ((LOT, kg(100)),)
EVENTS = [
    TraceEvent(id=b"\1" * 32, number=1, time_ms=NOON_MS, act=Act.DECLARE, actor=FARM, lines=ITEMS, place=FIELD),
    TraceEvent(id=b"\2" * 32, number=2, time_ms=NOON_MS, act=Act.SHIP, actor=FARM, lines=ITEMS, counterparty=MARKET),
]


def text_of(content: bytes) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=content, stdout=subprocess.PIPE, check=True)
    return "".join(done.stdout.decode().split())


def names(language: Language) -> Names:
    place = pb.RecordPlace(gln=FIELD, district="440604", name_zh="南庄菜地", name_en="Nanzhuang")
    goods = product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, "菜心", name_en="Choy sum")
    return Names({}, {FIELD: place}, {CABBAGE: goods}, language)


def report(notices: tuple[Notice, ...] = ()) -> RecallReport:
    found = drill(EventsInMemory(EVENTS), [LOT])
    return recall_report("D-7", [LOT], found, started_ms=NOON_MS, took_ms=120, notices=notices)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "zh-CN",
            ("召回演练报告", "D-7", "菜心L1", "在途", "100公斤", MARKET, "0.12秒", "已发1份，已回执0份", "尚未回执"),
        ),
        ("en", ("Recalldrill", "D-7", "ChoysumL1", "Ontheway", "100kg", MARKET, "0.12s", "1sent,0acknowledged")),
    ],
)
def test_drill_on_paper_says_lots_places_notices_and_times(language: Language, said: tuple[str, ...]):
    text = text_of(recall_pdf(report((Notice(MARKET, NOON_MS),)), names(language), language, is_drill=True))
    for words in said:
        assert words in text


def test_drill_that_reached_nobody_says_that_nobody_was_told():
    assert "Nobodywastold." in text_of(recall_pdf(report(), names("en"), "en", is_drill=False))


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_drill_s_rows_have_titles_and_states_in_the_reader_s_language(language: Language):
    sheet = recall_table(report(), names(language), language)
    assert (sheet.columns[0], sheet.rows[0][3]) == (
        ("产品", "在途") if language == "zh-CN" else ("Product", "On the way")
    )


def test_certificate_says_what_the_order_asks_for_and_its_code_leads_to_the_batch(tmp_path: Path):
    made = batch_certificate(EVENTS, LOT)
    uri = f"https://food.foshan.example/{LOT}"
    promise = Promise("欧阳明月", "0757-82340000", {Basis.OWN_TEST, Basis.PROMISE})
    content = certificate_pdf(made, promise, names("zh-CN"), uri, NOON_MS)
    text = text_of(content)
    for words in (
        "承诺达标合格证",
        "菜心",
        "100公斤",
        "禅城南庄菜地",
        "欧阳明月",
        "0757-82340000",
        "自我检测、自我承诺",
        "对承诺的真实性负责",
        "开具日期",
        made.number,
    ):
        assert words in text
    assert "委托检测" not in text
    command = ["pdftoppm", "-png", "-r", "150", "-singlefile", "-", str(tmp_path / "page")]
    subprocess.run(command, input=content, check=True)
    with Image.open(tmp_path / "page.png") as page:
        assert [found.text for found in zxingcpp.read_barcodes(page)] == [uri]
