# SPDX-License-Identifier: Apache-2.0
"""No visible text is missing in a language, and none lies about unused.

A key is used where code, a template or a browser script names it as a literal. Keys that are put together at run time
start with one of `COMPOSED`, and the table that they are put together from is checked against the catalogues elsewhere.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.language import LANGUAGES, Text, places, read_messages

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("service", "identity", "credit", "traceability", "cli/explorer", "cli/card_agent")
COMPOSED = ("problem.",)
"""`problem.<code>.title` and `.detail`: put together from the table of problems."""

FOLDERS = sorted(
    path.parent for package in PACKAGES for path in (ROOT / package).rglob("messages/**/zh-CN.json") if path.is_file()
)
TRANSLATED = re.compile(r"""(?<![\w.])(?:t|translate|text)\(\s*(?:\w+,\s*)?["']([\w.-]+)["']""")
LITERAL = re.compile(r"""["']([a-z][\w-]*(?:\.[\w-]+)+)["']""")
CHINESE = re.compile(r"[\u3400-\u9fff]")


def catalogues(language: str) -> dict[str, Text]:
    return {key: text for folder in FOLDERS for key, text in read_messages(folder / f"{language}.json").items()}


def sources() -> Iterator[tuple[Path, str]]:
    """Each file that may name a message, with its text."""
    for package in PACKAGES:
        for pattern in ("*.py", "*.html"):
            for path in sorted((ROOT / package).rglob(pattern)):
                yield path, path.read_text(encoding="utf-8")
    for path in sorted([*(ROOT / "web").glob("pages/**/*.ts"), *(ROOT / "web").glob("trace/**/*.ts")]):
        yield path, path.read_text(encoding="utf-8")


def called(path: Path, text: str) -> set[str]:
    """Keys that a file asks a catalogue for, by a literal."""
    if path.suffix != ".py":
        return set(TRANSLATED.findall(text))
    return {
        argument.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"t", "translate"}
        for argument in node.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value not in LANGUAGES
    }


def named(path: Path, text: str) -> set[str]:
    """Every literal of a file that has the form of a key."""
    if path.suffix == ".py":
        return {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return set(LITERAL.findall(text))


def test_each_message_that_is_asked_for_exists() -> None:
    known = set(catalogues("zh-CN"))
    missing = {
        f"{path.relative_to(ROOT)}: {key}" for path, text in sources() for key in called(path, text) if key not in known
    }
    assert sorted(missing) == []


def test_each_message_is_used() -> None:
    used = {key for path, text in sources() for key in named(path, text)}
    unused = {key for key in catalogues("zh-CN") if key not in used and not key.startswith(COMPOSED)}
    assert sorted(unused) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_catalogues_of_a_folder_hold_the_same_sorted_keys_and_places(folder: Path) -> None:
    chinese, english = (read_messages(folder / f"{language}.json") for language in ("zh-CN", "en"))
    assert sorted(chinese.keys() ^ english.keys()) == []
    assert list(chinese) == sorted(chinese)
    assert list(english) == sorted(english)
    for key, text in english.items():
        assert places(chinese[key].other) == places(text.other), key
        if text.one is not None:
            assert places(text.one) <= places(text.other) >= {"count"}, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_written_in_their_language_with_its_punctuation(language: str) -> None:
    for key, text in catalogues(language).items():
        for words in filter(None, text):
            assert words == words.strip() != "", key
            if language == "en":
                assert not CHINESE.search(words), f"{key} holds Chinese"
            else:
                assert not re.search(r"[\u3400-\u9fff][,;:?!]", words), f"{key} has half-width punctuation"


def test_scan_finds_each_way_to_ask_for_a_message() -> None:
    python = 't("a.b"); translate(language, "c.d"); translate("en", "e.f", x=1); self.t("g.h"); other("i.j")'
    assert called(Path("x.py"), python) == {"a.b", "c.d", "e.f", "g.h"}
    markup = """{{ t("a.b", x=1) }} {{ t('c.d') }} {{ title("e.f") }} text("g.h", {n: 1})"""
    assert called(Path("x.html"), markup) == {"a.b", "c.d", "g.h"}
