# SPDX-License-Identifier: Apache-2.0
"""Which language an answer speaks, and how its words are filled in."""

import json
from pathlib import Path

import pytest

from service import language
from service.language import MessageMissing, negotiate, places, read_messages, translate


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Catalogues of this test alone."""
    texts = {
        "greet": "Hello, {name}",
        "entries": {"one": "{count} entry", "other": "{count} entries"},
        "braces": "{{kept}}",
    }
    for name in language.LANGUAGES:
        (tmp_path / f"{name}.json").write_text(json.dumps(texts))
    monkeypatch.setattr(language, "_folders", [tmp_path])
    language.catalogue.cache_clear()
    yield tmp_path
    language.catalogue.cache_clear()


@pytest.mark.parametrize(
    ("parameter", "cookie", "accept", "chosen"),
    [
        (None, None, None, "zh-CN"),
        (None, None, "", "zh-CN"),
        (None, None, "fr, de;q=0.5", "zh-CN"),
        (None, None, "en-GB,en;q=0.9", "en"),
        (None, None, "en;q=0.3, zh-TW;q=0.8", "zh-CN"),
        (None, None, "zh;q=0, en;q=0.1", "en"),
        (None, None, "en;q=nan, en;q=7, en;q=-1, en;level=1, ;;;,=", "zh-CN"),
        (None, "en", "zh", "en"),
        ("zh", "en", "en", "zh-CN"),
        ("tlh", "en", "zh", "en"),
        ("en_US", None, "zh", "en"),
    ],
)
def test_language_is_what_the_address_asks_then_the_cookie_then_the_browser(
    parameter: str | None, cookie: str | None, accept: str | None, chosen: str
) -> None:
    assert negotiate(parameter, cookie, accept) == chosen


def test_accept_language_with_thousands_of_ranges_is_read_up_to_the_limit() -> None:
    assert negotiate(None, None, ",".join(["fr"] * language.ACCEPTED_RANGES_MAX + ["en"])) == "zh-CN"


@pytest.mark.usefixtures("words")
def test_count_of_one_takes_the_singular_and_larger_counts_are_grouped() -> None:
    assert translate("en", "entries", count=1) == "1 entry"
    assert translate("en", "entries", count=48211) == "48\u202f211 entries"
    assert translate("en", "entries", count="48211") == "48211 entries"


@pytest.mark.usefixtures("words")
def test_parameter_that_looks_like_a_place_is_not_filled_in_again() -> None:
    assert translate("en", "greet", name="{count} {0} {name.__class__}") == "Hello, {count} {0} {name.__class__}"
    assert translate("en", "braces") == "{kept}"


@pytest.mark.usefixtures("words")
def test_key_or_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(MessageMissing, match="'nowhere'"):
        translate("en", "nowhere")
    with pytest.raises(MessageMissing, match="'name'"):
        translate("en", "greet")


def test_same_key_in_two_catalogues_is_refused(words: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "en.json").write_text('{"greet": "Hi"}')
    language.add_messages(other)
    with pytest.raises(ValueError, match="'greet' stands in another catalogue"):
        language.catalogue("en")
    assert words.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": "x", "a": "y"}', "'a' occurs twice"),
        ('{"a": ["x"]}', "neither a text"),
        ('{"a": {"one": "x"}}', "neither"),
    ],
)
def test_catalogue_with_a_faulty_entry_is_refused_by_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "en.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_messages(path)


def test_places_are_the_names_between_braces() -> None:
    assert places("{a} and {b:>3}, not {{c}}") == {"a", "b"}
