# SPDX-License-Identifier: Apache-2.0
"""The words of the command line, in English and Chinese.

Every visible text stands in `messages/<language>.json`: `text` maps a key to a format string, `refusals` maps each
stable error code of the ledger to what happened, what it means and what to do, `findings` each code of `node.doctor` to
what was found and what to do. Modules name keys as literals in `t("…")`, so that a test can tell which are missing and
which unused.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from cli import program

Language = Literal["en", "zh-CN"]
LANGUAGES: tuple[Language, ...] = ("en", "zh-CN")

_FOLDER = Path(__file__).parent / "messages"


class Refusal(NamedTuple):
    """Plain words for one error code."""

    what: str
    means: str
    do: str


class FindingWords(NamedTuple):
    """Plain words for what an examination found; `do` is empty where all is well."""

    found: str
    do: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All words in one language."""

    language: Language
    text: Mapping[str, str]
    refusals: Mapping[str, Refusal]
    findings: Mapping[str, FindingWords]

    def say(self, key: str, /, **values: object) -> str:
        """The text under a key with its values filled in; `{zhixin}` is how this command was called."""
        return self.text[key].format(zhixin=program.name(), **values)

    def refusal(self, code: str) -> Refusal:
        """Plain words for an error code; a code of a newer network falls back to what its family means."""
        family = code.split(".", maxsplit=1)[0]
        for candidate in (code, f"{family}.*", "*"):
            if candidate in self.refusals:
                return self.refusals[candidate]
        raise KeyError(code)


@cache
def catalogue(language: Language) -> Catalogue:
    """Read one language's words; once per process."""
    raw = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    refusals = {code: Refusal(**words) for code, words in raw["refusals"].items()}
    findings = {code: FindingWords(**words) for code, words in raw["findings"].items()}
    return Catalogue(language, raw["text"], refusals, findings)


def parse_language(name: str) -> Language | None:
    """The language that a locale's or a person's name for it means, or None: `zh`, `zh_CN.UTF-8`, `en-GB`, `C`."""
    word = name.strip().replace("_", "-").split(".", maxsplit=1)[0].lower()
    if word == "zh" or word.startswith("zh-"):
        return "zh-CN"
    if word == "en" or word.startswith("en-"):
        return "en"
    return None


def choose(argument: str | None, environment: Mapping[str, str]) -> Language:
    """What was asked for: `--lang`, then ZHIXIN_LANG, then the locale; English if none says."""
    if argument is not None and (chosen := parse_language(argument)) is not None:
        return chosen
    for variable in ("ZHIXIN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            return parse_language(environment[variable]) or "en"
    return "en"


def argument_in(argv: Sequence[str]) -> str | None:
    """The value of `--lang` in a command line, wherever it stands; help texts are built before it is parsed."""
    for index, word in enumerate(argv):
        if word == "--":
            break
        if word == "--lang" and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
    return None


_current: list[Language] = [choose(None, os.environ)]


def select(language: Language) -> None:
    """Speak this language from here on."""
    _current[0] = language


def current() -> Catalogue:
    """The words in the language in use."""
    return catalogue(_current[0])


def t(key: str, /, **values: object) -> str:
    """The text under a key, in the language in use."""
    return current().say(key, **values)
