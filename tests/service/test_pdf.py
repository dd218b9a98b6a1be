# SPDX-License-Identifier: Apache-2.0
"""Printed matter, judged by poppler (which extracts text and renders) and by a reader of QR codes."""

import io
import itertools
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from service import typeface
from service.common_fonts import FILES, FOLDER, common_characters
from service.language import Language
from service.line_breaks import NEVER_FIRST, NEVER_LAST, break_lines
from service.pdf import CARD, GETA, Document, FontsNotBuilt, Unprintable

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)
NOTICE = "您的证件已制作完成，请在三十日内携带本凭证前往市民中心领取；逾期未领取的，将由发证机关保管。"


def document(language: Language = "zh-CN") -> Document:
    return Document("Receipt", language, NOON)


def text_of(content: bytes, *options: str) -> str:
    done = subprocess.run(["pdftotext", *options, "-", "-"], input=content, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def rendered(content: bytes, folder: Path, page: int = 1) -> Image.Image:
    only = ["-f", str(page), "-l", str(page), "-singlefile"]
    subprocess.run(["pdftoppm", "-png", "-r", "200", *only, "-", str(folder / "page")], input=content, check=True)
    return Image.open(folder / "page.png")


def info_of(content: bytes) -> str:
    done = subprocess.run(["pdfinfo", "-"], input=content, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def picture(width: int, height: int, **saved: object) -> bytes:
    made = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(made, "JPEG", **saved)
    return made.getvalue()


def test_text_in_both_languages_can_be_selected_in_a_document_with_embedded_fonts():
    made = document()
    made.heading("居民身份证交付凭证")
    made.paragraph(NOTICE)
    made.paragraph("Please collect your card within thirty days.", bold=True)
    made.fields([("姓名", "欧阳明月"), ("Number", "A-0231-77")])
    content = made.output()
    text = "".join(text_of(content).split())
    for said in ("居民身份证交付凭证", NOTICE, "Pleasecollectyourcardwithinthirtydays.", "欧阳明月", "A-0231-77"):
        assert said in text
    fonts = subprocess.run(["pdffonts", "-"], input=content, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert [line.split()[-5:-2] for line in fonts.splitlines()[2:]] == [["yes", "yes", "yes"]] * 2, (
        "embedded, subset, with a map to Unicode"
    )
    assert len(content) < 100_000


def test_document_made_twice_is_the_same_to_the_byte_whatever_the_hash_seed():
    script = (
        "import hashlib, sys; from datetime import UTC, datetime; from service.pdf import CARD, Document\n"
        "made = Document('Letter', 'en', datetime(2026, 11, 22, tzinfo=UTC)); made.heading('领取信息')\n"
        "made.table(['编号', 'kg'], [(str(i), '有机') for i in range(60)]); made.qr('1234', 30); made.page(CARD)\n"
        "made.box('欧阳', (4, 4), 50); print(hashlib.sha256(made.output()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, check=True
        ).stdout
        for seed in ("1", "77")
    }
    assert len(digests) == 1


def test_metadata_of_a_document_hold_its_title_and_moment_and_nothing_else():
    made = document()
    made.paragraph("欧阳明月")
    lines = dict(line.split(":", 1) for line in info_of(made.output()).splitlines())
    assert {"Title", "Producer", "CreationDate"} == lines.keys() & {
        "Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate",
    }  # fmt: skip
    assert lines["Title"].strip() == "Receipt"
    assert lines["Metadata Stream"].strip() == "no"


def test_character_without_a_picture_is_named_and_printed_as_a_mark_only_when_allowed():
    made = document()
    made.paragraph("𠮷田\u202e")
    assert made.missing == {"𠮷", "\u202e"}
    with pytest.raises(Unprintable, match=r"U\+202E, 𠮷 U\+20BB7"):
        made.output()
    assert f"{GETA}田{GETA}" in text_of(made.output(allow_missing=True))


def test_rare_character_comes_from_the_full_font_and_the_rest_does_not():
    made = document()
    made.paragraph("姓名：喆䶮翀")
    content = made.output()
    assert "姓名：喆䶮翀" in text_of(content)
    fonts = subprocess.run(["pdffonts", "-"], input=content, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert fonts.count("NotoSansSC") == 2, "the common one and the full one"
    assert len(content) < 100_000


def test_document_without_the_small_fonts_takes_the_full_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in FILES.values():
        (tmp_path / name).symlink_to(FOLDER / name)
    monkeypatch.setattr(typeface, "FOLDER", tmp_path)
    made = document()
    made.paragraph("领取信息")
    assert "领取信息" in text_of(made.output())


def test_common_characters_hold_the_national_standard_set_and_european_letters():
    assert len(common_characters()) > 7_500
    assert set("的一是了我啊齄éßŁ〓“”…￥") <= common_characters()
    assert "䶮" not in common_characters()


def test_long_table_has_its_head_on_each_page_and_each_page_its_number():
    made = document()
    rows = [(f"{number:04}", "上海青" * (number % 9)) for number in range(90)]
    made.table(["编号", "名称"], rows, (1, 2))
    pages = text_of(made.output()).split("\f")[:-1]
    assert len(pages) == made.pages > 2
    for number, page in enumerate(pages, 1):
        assert page.count("编号") == 1
        assert f"第 {number} 页，共 {len(pages)} 页" in page
    found = [word for page in pages for word in page.split() if word.isdecimal() and len(word) == 4]
    assert sorted(found) == [number for number, _ in rows]


def test_heading_at_the_end_of_a_page_goes_to_the_next_with_what_follows():
    made = document("en")
    made.gap(245)
    made.heading("Fees", 2)
    made.paragraph("None.")
    first, second, _ = text_of(made.output()).split("\f")
    assert "Fees" not in first
    assert second.split()[:2] == ["Fees", "None."]


def test_row_that_is_higher_than_a_page_is_refused():
    with pytest.raises(Unprintable, match="a row is higher than a page"):
        document().table(["a"], [("长" * 4000,)])


def test_card_has_the_size_of_a_bank_card_with_picture_text_and_a_code_that_can_be_read(tmp_path: Path):
    made = Document("Card", "zh-CN", NOON, CARD)
    made.box("智信市居民卡", (4, 4), 70, size_pt=11, bold=True)
    made.picture(picture(600, 600), (4, 14), 22, 30)
    made.qr("https://example.org/c/7", 24, (58, 26))
    content = made.output()
    assert "242.65 x 153.07 pts" in info_of(content)
    page = rendered(content, tmp_path)
    assert [found.text for found in zxingcpp.read_barcodes(page)] == ["https://example.org/c/7"]
    assert "智信市居民卡" in text_of(content), "no page number either"


def test_code_in_the_flow_keeps_its_caption_beside_it_and_bytes_as_they_are(tmp_path: Path):
    made = document()
    made.qr(bytes(range(200, 256)), 40, caption="扫描二维码核验")
    content = made.output()
    (found,) = zxingcpp.read_barcodes(rendered(content, tmp_path))
    assert found.bytes == bytes(range(200, 256))
    assert "扫描二维码核验" in text_of(content)


def test_code_that_would_hold_too_much_is_refused():
    with pytest.raises(Unprintable, match="don't fit into one QR code"):
        document().qr("x" * 3000, 40)


def test_box_makes_text_smaller_and_refuses_what_never_fits_instead_of_cutting_it():
    made = Document("Card", "en", NOON, CARD)
    name = "Ouyang Mingyue-Alexandra Featherstonehaugh"
    made.box(name, (4, 4), 50)
    with pytest.raises(Unprintable, match="don't fit into 50 mm"):
        made.box(name * 4, (4, 20), 50)
    assert name in text_of(made.output())


def test_picture_leaves_out_what_the_camera_wrote_beside_it():
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    made = document()
    taken = picture(400, 500, exif=exif)
    assert b"SECRETCAMERA" in taken
    made.picture(taken, (20, 20), 30, 40)
    assert b"SECRETCAMERA" not in made.output()


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg/>", b"GIF89a" + bytes(99), picture(40, 40)[:200], picture(7000, 3500), bytes(4 * 2**20 + 1)],
    ids=["empty", "svg", "gif", "cut off", "too many pixels", "too many bytes"],
)
def test_picture_that_is_none_or_too_large_is_refused(content: bytes):
    with pytest.raises(Unprintable):
        document().picture(content, (20, 20), 30, 40)


def test_fonts_that_were_not_built_are_named_with_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(typeface, "FOLDER", tmp_path)
    with pytest.raises(FontsNotBuilt, match="make setup-web"):
        document()


def test_text_of_a_million_characters_is_refused_before_it_is_broken_into_lines():
    with pytest.raises(Unprintable, match="at most"):
        document().paragraph("长" * 1_000_000)


def lengths(text: str) -> float:
    return sum(2 if ord(one) > 0x2E80 else 1 for one in text)


@pytest.mark.parametrize("width", range(4, 40))
@pytest.mark.parametrize(
    "text",
    [NOTICE, "《身份证》（第六条）规定：“出示”。价格：￥12，见 https://example.org/a/b。", "a plain  line of words"],
)
def test_lines_fit_lose_nothing_and_no_mark_stands_where_none_may(text: str, width: int):
    lines = break_lines(text, width, lengths)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(lengths(line) <= width for line in lines)
    for before, after in itertools.pairwise(lines):
        cut_inside = lengths(before) + lengths(after[:1]) > width  # a piece that is longer than a line
        assert after[0] not in NEVER_FIRST or cut_inside
        assert before[-1] not in NEVER_LAST or cut_inside


def test_newlines_break_lines_and_empty_lines_stay():
    assert break_lines("a\n\nb c", 3, lengths) == ["a", "", "b c"]
    assert break_lines("", 3, lengths) == [""]


def test_chinese_line_ends_between_characters_and_english_at_its_spaces():
    assert break_lines("市民中心ready now", 10, lengths) == ["市民中心", "ready now"]
    assert break_lines("市民，中心", 4, lengths) == ["市", "民，", "中心"]
