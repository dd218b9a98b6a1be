# SPDX-License-Identifier: Apache-2.0
"""The language that a page or an answer speaks, and its words.

Every visible text of the services stands in a catalogue, `messages/<language>.json`: a flat map from key to format
string, sorted by key. A text that differs between one and many is an object with `one` and `other`, chosen by the
parameter `count`. Callers name keys as literals, so that a test finds missing and unused ones.

A number among the parameters is a quantity: integers are grouped. What only looks like a number (a year, a code, an
identifier) is handed over as text.
"""

import json
import string
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

from starlette.requests import HTTPConnection

Language: TypeAlias = Literal["zh-CN", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT_LANGUAGE: Language = "zh-CN"
LANGUAGE_NAMES: Mapping[Language, str] = {"zh-CN": "中文", "en": "English"}
"""What each language calls itself: the one text that is never translated."""

LANGUAGE_COOKIE = "lang"
LANGUAGE_PARAMETER = "lang"

ACCEPTED_RANGES_MAX = 16
"""Ranges of an Accept-Language header that are looked at: browsers send fewer than ten."""

_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_folders: list[Path] = [Path(__file__).parent / "messages"]


class MessageMissing(LookupError):
    """A key stands in no catalogue, or a parameter was not given: our own mistake, found by the tests."""


class Text(NamedTuple):
    """One entry of a catalogue: what it says of many (or always), and what of exactly one."""

    other: str
    one: str | None = None


def add_messages(folder: Path) -> None:
    """Let a folder's `<language>.json` join the catalogues; for packages above this one, when they are imported.

    Args:
        folder: Holds one file for each of `LANGUAGES`. Adding it twice changes nothing.
    """
    if folder not in _folders:
        _folders.append(folder)
        catalogue.cache_clear()


def read_messages(path: Path) -> dict[str, Text]:
    """Read one catalogue file.

    Args:
        path: A JSON object of texts, or of `{"one": …, "other": …}`.

    Raises:
        ValueError: An entry has another form, or a key occurs twice; the message names file and key.
    """

    def unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"{path}: {key!r} occurs twice; remove one")
            found[key] = value
        return found

    texts: dict[str, Text] = {}
    for key, value in json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique).items():
        match value:
            case str():
                texts[key] = Text(value)
            case {"one": str(one), "other": str(other), **rest} if not rest:
                texts[key] = Text(other, one)
            case _:
                raise ValueError(f'{path}: {key!r} is neither a text nor {{"one": …, "other": …}}')
    return texts


@cache
def catalogue(language: Language) -> Mapping[str, Text]:
    """All words in one language, read once.

    Raises:
        ValueError: Two catalogues hold the same key.
    """
    texts: dict[str, Text] = {}
    for folder in _folders:
        added = read_messages(folder / f"{language}.json")
        if twice := sorted(texts.keys() & added.keys()):
            raise ValueError(f"{folder / language}.json: {twice[0]!r} stands in another catalogue already; rename it")
        texts.update(added)
    return texts


def template(language: Language, key: str, count: object = None) -> str:
    """The format string under a key, with its places still open.

    Args:
        language: Whose words.
        key: A key of the catalogues.
        count: Chooses between one and many where the entry knows both.

    Raises:
        MessageMissing: No catalogue holds the key.
    """
    text = catalogue(language).get(key)
    if text is None:
        raise MessageMissing(f"no message {key!r} in {language}; write it into messages/{language}.json")
    return text.one if text.one is not None and count == 1 else text.other


def translate(language: Language, key: str, /, **parameters: object) -> str:
    """The text under a key with its places filled in; plain text, not HTML.

    Args:
        language: Whose words.
        key: A key of the catalogues, written as a literal.
        parameters: Values for the places; `int` is grouped, `count` also chooses between one and many.

    Raises:
        MessageMissing: No catalogue holds the key, or a place stays open.
    """
    try:
        return template(language, key, parameters.get("count")).format_map(_grouped(parameters))
    except KeyError as error:
        raise MessageMissing(f"message {key!r} needs the parameter {error}") from error


def places(text: str) -> set[str]:
    """Names of the places in a format string."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def group(value: int) -> str:
    """An integer with its digits in groups of three: 48211 reads 48 211."""
    return f"{value:,}".replace(",", _NARROW_SPACE)


def _grouped(parameters: Mapping[str, object]) -> dict[str, object]:
    return {
        name: group(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in parameters.items()
    }


def parse_language(name: str) -> Language | None:
    """The language that a tag means (`zh`, `zh-Hans-SG`, `en-GB`), or None where we don't speak it."""
    primary = name.strip().lower().replace("_", "-").split("-", maxsplit=1)[0]
    return {"zh": LANGUAGES[0], "en": LANGUAGES[1]}.get(primary)


def negotiate(parameter: str | None, cookie: str | None, accept: str | None) -> Language:
    """Choose a language: what the address asks for, then what was chosen before, then what the browser prefers.

    Args:
        parameter: Value of `?lang=`, if any.
        cookie: Value of the language cookie, if any.
        accept: The Accept-Language header, if any; anything malformed in it is passed over.

    Returns:
        One of `LANGUAGES`; Chinese where nothing says.

    Source: RFC 9110, section 12.5.4.
    """
    for asked in (parameter, cookie):
        if asked is not None and (known := parse_language(asked)) is not None:
            return known
    best: tuple[float, Language] = (0.0, DEFAULT_LANGUAGE)
    for part in (accept or "").split(",")[:ACCEPTED_RANGES_MAX]:
        tag, _, weight = part.partition(";")
        language = parse_language(tag)
        quality = _quality(weight)
        if language is not None and quality > best[0]:
            best = (quality, language)
    return best[1]


def _quality(weight: str) -> float:
    """The `q=` of one language range: 1 where none stands, 0 where it can't be read or lies out of range."""
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if name.strip().lower() == "q" and 0 <= quality <= 1 else 0.0


def language_of(connection: HTTPConnection) -> Language:
    """The language of one request; see `negotiate`."""
    return negotiate(
        connection.query_params.get(LANGUAGE_PARAMETER),
        connection.cookies.get(LANGUAGE_COOKIE),
        connection.headers.get("accept-language"),
    )
