# SPDX-License-Identifier: Apache-2.0
"""What brings notices to people, as the gateway knows it; `smtp`, `webhook` and `folder` are the ones there are."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

CODE_CHARACTERS_MAX: Final = 32


class Way(StrEnum):
    """Kinds of channel."""

    PHONE = "phone"
    MAIL = "mail"


def way_of(channel: str) -> Way:
    """Which kind a channel is, as people register them: a telephone number has no "@"."""
    return Way.MAIL if "@" in channel else Way.PHONE


@dataclass(frozen=True, slots=True)
class Message:
    """One notice, ready to be sent.

    Attributes:
        id: 32 hex digits; the same each time that the notice is tried, and no other one's.
        way: Kind of the channel.
        channel: Telephone number or mail address.
        kind: Name of the `NoticeKind`.
        language: A tag; "" where the text has all languages.
        subject: One line.
        text: Plain text.
        at_ms: When it was put into the outbox; Unix time.
    """

    id: str
    way: Way
    channel: str
    kind: str
    language: str
    subject: str
    text: str
    at_ms: int


class NotTaken(Exception):
    """A provider did not take a message.

    Attributes:
        code: Stable, e.g. "smtp.550"; at most CODE_CHARACTERS_MAX; without anything personal.
        is_final: To try it again would change nothing.
    """

    def __init__(self, code: str, *, is_final: bool) -> None:
        super().__init__(code)
        self.code = code[:CODE_CHARACTERS_MAX]
        self.is_final = is_final


class Provider(Protocol):
    """Brings messages to people."""

    @property
    def name(self) -> str:
        """Short and stable, for pages and metrics; at most 16 characters."""

    @property
    def ways(self) -> frozenset[Way]:
        """Channels that it serves."""

    async def send(self, message: Message) -> None:
        """Hand a message over; returns once the receiving side answers for it.

        Raises:
            NotTaken: It was not taken, or nobody knows whether it was.
        """

    async def close(self) -> None:
        """Let go of connections."""
