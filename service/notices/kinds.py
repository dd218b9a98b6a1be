# SPDX-License-Identifier: Apache-2.0
"""What people are told of: each kind of notice with its words."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.language import LANGUAGES, Language, translate

NAME_CHARACTERS_MAX = 32


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """One thing that people are told of.

    Attributes:
        name: Unique among all services that share a store; at most NAME_CHARACTERS_MAX.
        subject: Key of the subject that a mail has.
        text: Key of the text; it may have places, for what is nobody's personal data.
        is_urgent: It is about keys, cards or status: it comes before what can wait, and each has a rate of its own.
        every_ms: Two of the kind to one person are as far apart; what lies between is left out. 0: each is sent.
    """

    name: str
    subject: str
    text: str
    is_urgent: bool = True
    every_ms: int = 0


_kinds: dict[str, NoticeKind] = {}


def add_kind(kind: NoticeKind) -> NoticeKind:
    """Declare a kind, when the module is imported that has it; declaring the same twice changes nothing."""
    assert 0 < len(kind.name) <= NAME_CHARACTERS_MAX
    assert _kinds.setdefault(kind.name, kind) == kind, f"two kinds of notice are called {kind.name!r}"
    return kind


def known_kinds() -> Mapping[str, NoticeKind]:
    """All kinds of this process, by name; notices of others wait for the service that knows them."""
    return _kinds


def wording(kind: NoticeKind, language: Language | None, words: Mapping[str, str]) -> tuple[str, str]:
    """Subject and text.

    Args:
        kind: Which kind.
        language: None: nobody knows what the person reads, so that both languages stand there.
        words: For the places.
    """
    wanted = LANGUAGES if language is None else (language,)
    subject = " / ".join(translate(one, kind.subject, **words) for one in wanted)
    return subject, "\n\n".join(translate(one, kind.text, **words) for one in wanted)
