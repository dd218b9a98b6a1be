# SPDX-License-Identifier: Apache-2.0
"""A receipt's text in as many QR codes as it needs, and no more than anybody photographs."""

import re

import pytest
import segno

from service.explorer.receipt_codes import PARTS_MAX, TooManyParts, codes_svg, parts_of

ALPHANUMERIC = re.compile(r"[0-9A-Z $%*+\-./:]+")


@pytest.mark.parametrize("size", [10, 2520, 2521, 3600, 3601, 20_000, 28_800])
def test_parts_join_to_the_text_and_each_fits_a_code_that_phones_read(size: int) -> None:
    text = ("ZX1:" + "AB0 %*" * size)[:size]
    parts = parts_of(text)
    if size <= 2520:
        assert parts == [text]
        return
    split = [re.fullmatch(rf"ZX1/(\d+)/{len(parts)}/([0-9A-F]{{8}}):(.+)", part, re.DOTALL) for part in parts]
    assert "".join(found[3] for found in split if found) == text
    assert [int(found[1]) for found in split if found] == list(range(1, len(parts) + 1))
    assert len({found[2] for found in split if found}) == 1
    for part in parts:
        assert ALPHANUMERIC.fullmatch(part)
        assert int(segno.make_qr(part, error="l", boost_error=False).version) <= 26


def test_marks_of_two_texts_differ() -> None:
    assert parts_of("ZX1:" + "A" * 3000)[0][:17] != parts_of("ZX1:" + "B" * 3000)[0][:17]


def test_text_for_too_many_codes_is_refused() -> None:
    assert len(parts_of("A" * 28_800)) == PARTS_MAX
    with pytest.raises(TooManyParts):
        codes_svg("A" * 28_801)


def test_picture_of_several_codes_is_as_high_as_all_of_them_and_numbers_each() -> None:
    one, many = codes_svg("ZX1:A").decode(), codes_svg("ZX1:" + "A" * 5000).decode()
    assert "<text" not in one
    assert re.findall(r">(\d / \d)</text>", many) == ["1 / 3", "2 / 3", "3 / 3"]
    assert "style" not in many
    assert "script" not in many
