# SPDX-License-Identifier: Apache-2.0
"""The card's face, judged by poppler and by a reader of QR codes: what stands on it, what does not, and where."""

import io
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from identity.api.desk.card_face import Face, card_face
from service.pdf import Unprintable

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)
FACE = Face(
    issuer="佛山市禅城区",
    issuer_english="Chancheng District, Foshan",
    name="欧阳明月",
    serial="CC-00012345",
    expires=date(2031, 11, 21),
    lost="0757-12345",
    lost_url="https://lost.example/",
)
MM_PER_INCH = 25.4
DPI = 200


def text_of(content: bytes) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=content, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def rendered(content: bytes, folder: Path, page: int) -> Image.Image:
    only = ["-f", str(page), "-l", str(page), "-singlefile"]
    command = ["pdftoppm", "-png", "-r", str(DPI), *only, "-", str(folder / f"page{page}")]
    subprocess.run(command, input=content, check=True, timeout=30)
    return Image.open(folder / f"page{page}.png")


def portrait() -> bytes:
    made = io.BytesIO()
    Image.linear_gradient("L").resize((300, 400)).convert("RGB").save(made, "JPEG")
    return made.getvalue()


@pytest.fixture(scope="module")
def printed() -> bytes:
    return card_face(replace(FACE, photo=portrait(), emulated=True), NOON)


def test_face_shows_holder_dates_and_serial_in_both_languages(printed: bytes) -> None:
    text = text_of(printed)
    shown = (
        "欧阳明月",
        "2031-11-21",
        "CC-00012345",
        "佛山市禅城区",
        "Chancheng District",
        "有效期至",
        "Valid until",
        "0757-12345",
    )
    for each in shown:
        assert each in text


def test_face_has_two_sides_of_the_size_of_a_card(printed: bytes) -> None:
    said = subprocess.run(["pdfinfo", "-"], input=printed, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "Pages:           2" in said
    assert "242.65 x 153.07 pts" in said


def test_face_of_an_emulated_card_says_so_and_that_of_a_real_one_does_not(printed: bytes) -> None:
    assert "Emulated" in text_of(printed)
    real = text_of(card_face(FACE, NOON))
    assert "Emulated" not in real
    assert "模拟" not in real


def test_place_of_the_chips_contacts_is_free_of_ink(printed: bytes, tmp_path: Path) -> None:
    page = rendered(printed, tmp_path, 1).convert("L")
    box = tuple(round(mm / MM_PER_INCH * DPI) for mm in (9, 17, 24, 31))
    assert page.crop(box).getextrema() == (255, 255)


def test_code_on_the_back_leads_to_the_page_for_lost_cards(printed: bytes, tmp_path: Path) -> None:
    found = zxingcpp.read_barcodes(rendered(printed, tmp_path, 2))
    assert [each.text for each in found] == ["https://lost.example/"]


@pytest.mark.parametrize("name", ["买买提·阿卜杜热合曼·艾则孜", "Maximiliane-Alexandra von Württemberg-Hohenlohe"])
def test_long_name_fits_in_smaller_type(name: str) -> None:
    text = "".join(text_of(card_face(replace(FACE, name=name), NOON)).split())
    assert "".join(name.split())[:12] in text


def test_name_that_can_not_be_printed_is_refused_rather_than_cut() -> None:
    with pytest.raises(Unprintable):
        card_face(replace(FACE, name="长" * 200), NOON)
    with pytest.raises(Unprintable, match="no picture"):
        card_face(replace(FACE, name="王\ue000"), NOON)
