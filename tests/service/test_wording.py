# SPDX-License-Identifier: Apache-2.0
"""Numbers, dates and spans as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from service import wording
from service.language import Language

MOMENT = datetime(2026, 11, 19, 21, 40, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (0, 0, "0"),
        (999, 0, "999"),
        (48211, 0, "48\u202f211"),
        (-1234567.25, 1, "\u22121\u202f234\u202f567.2"),
        (Decimal("0.05"), 1, "0.0"),
        (2.5, 0, "2"),
        (0.1 + 0.2, 2, "0.30"),
    ],
)
def test_number_is_grouped_and_rounded_half_to_even(value: float | Decimal, digits: int, words: str) -> None:
    assert wording.number(value, digits) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "–"), (0, 10, "0%"), (10, 10, "100%"), (9999, 10_000, "99.9%"), (1, 10**6, "0.1%"), (1, 2, "50%")],
)
def test_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, words: str) -> None:
    assert wording.share(part, whole) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (45_230, "45.2 KB"), (123_000_000, "123 MB"), (10**18, "1 000 000 TB")],
)
def test_size_takes_the_largest_unit(size: int, words: str) -> None:
    assert wording.size(size).replace("\u00a0", " ").replace("\u202f", " ") == words


def test_date_is_in_words_and_in_the_readers_zone() -> None:
    assert wording.day("zh-CN", MOMENT) == "2026年11月20日"
    assert wording.day("en", MOMENT) == "20\u00a0November 2026"
    assert wording.clock("zh-CN", MOMENT) == "2026年11月20日 05:40"
    assert wording.clock("en", MOMENT, UTC, seconds=True) == "19\u00a0November 2026, 21:40:05"


def test_moment_without_a_zone_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="zone"):
        wording.day("en", datetime(2026, 11, 20))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    ("length", "chinese", "english"),
    [
        (timedelta(0), "刚刚", "just now"),
        (timedelta(seconds=5), "5 秒前", "5 seconds ago"),
        (timedelta(minutes=1, seconds=59), "1 分钟前", "1 minute ago"),
        (timedelta(hours=5), "5 小时前", "5 hours ago"),
        (timedelta(days=1000), "1 000 天前", "1 000 days ago"),
        (timedelta(days=-2), "2 天后", "in 2 days"),
    ],
)
def test_span_is_said_in_its_largest_unit(length: timedelta, chinese: str, english: str) -> None:
    def said(language: Language) -> str:
        return wording.ago(language, MOMENT, MOMENT + length).replace("\u00a0", " ").replace("\u202f", " ")

    assert (said("zh-CN"), said("en")) == (chinese, english)


def test_ledgers_clock_is_read_in_utc() -> None:
    assert wording.instant(1_795_124_405_000) == datetime(2026, 11, 19, 21, 40, 5, tzinfo=UTC)


def test_long_code_shows_its_ends() -> None:
    assert wording.shorten("c41e" + "0" * 56 + "09d2") == "c41e…09d2"
    assert wording.shorten("123456789") == "123456789"
