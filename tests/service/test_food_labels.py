# SPDX-License-Identifier: Apache-2.0
"""Labels are read back from their pictures by an independent reader of codes, and from sheets that poppler renders."""

import io
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from service.pdf import Unprintable
from tests.trace_rig import BAG, CABBAGE
from traceability.api.labels import LABELS_MAX, Label, TooManyLabels, label_png, label_sheet, label_svg
from traceability.digital_link import InvalidCode

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)
ROOT = "https://food.foshan.example"
LOT = f"{ROOT}/01/{CABBAGE}/10/F1-20260405-0007"


def serials(count: int) -> list[Label]:
    return [
        Label(f"{ROOT}/01/{BAG}/21/{n:06}", "袋装菜心 500 克", ("佛山禅城", f"{n:06}", "2026-04-05"))
        for n in range(count)
    ]


@pytest.mark.parametrize("module_px", [2, 8, 40])
def test_label_as_png_is_read_back(module_px: int) -> None:
    with Image.open(io.BytesIO(label_png(LOT, module_px=module_px))) as picture:
        assert zxingcpp.read_barcode(picture.convert("L")).text == LOT


def test_label_as_svg_scales_and_holds_no_script() -> None:
    drawn = label_svg(LOT)
    assert drawn.startswith(b"<svg")
    assert b"viewBox" in drawn
    assert b"<script" not in drawn
    assert drawn == label_svg(LOT)


def test_sheet_has_21_labels_a_page_each_with_its_own_code_and_words(tmp_path: Path) -> None:
    content = label_sheet("Labels", serials(23), "zh-CN", NOON)
    seen = []
    for page in (1, 2):
        command = [
            "pdftoppm",
            "-png",
            "-r",
            "200",
            "-f",
            str(page),
            "-l",
            str(page),
            "-singlefile",
            "-",
            str(tmp_path / "p"),
        ]
        subprocess.run(command, input=content, check=True)
        with Image.open(tmp_path / "p.png") as picture:
            found = zxingcpp.read_barcodes(picture.convert("L"))
        seen.append({one.text for one in found})
    wanted = [label.uri for label in serials(23)]
    assert seen == [{*wanted[:21]}, {*wanted[21:]}]
    text = subprocess.run(["pdftotext", "-", "-"], input=content, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert text.count("佛山禅城") == 23


@pytest.mark.parametrize("uri", ["", "https://food.example/", f"{ROOT}/01/{CABBAGE[:-1]}x", "javascript:alert(1)"])
def test_label_of_what_is_no_digital_link_is_refused(uri: str) -> None:
    for make in (label_svg, label_png):
        with pytest.raises(InvalidCode):
            make(uri)
    with pytest.raises(InvalidCode):
        label_sheet("Labels", [Label(uri, "x")], "en", NOON)


def test_too_many_labels_and_words_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TooManyLabels, match=str(LABELS_MAX)):
        label_sheet("Labels", serials(LABELS_MAX + 1), "en", NOON)
    with pytest.raises(Unprintable):
        label_sheet("Labels", [Label(LOT, "菜" * 200)], "zh-CN", NOON)
