# SPDX-License-Identifier: Apache-2.0
"""A log as the registrar's service keeps it: which slot is next, and what opens those that are taken.

A source asks for a slot and gets one, with the commitment to the next; it never sees the log. What is drawn for an
event counts once the ledger has taken the event: until then the same slot is handed out anew, so a failed attempt
leaves no hole. Whoever the log is about gets the openings and the proofs that object. Only drawing needs randomness.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from credit.pb import credit_pb2 as pb
from credit.report import EVENTS_MAX, Opened
from credit.slots import (
    SALT_BYTES,
    SLOT_BYTES,
    Content,
    content_commitment,
    encoded_commitment,
    link_commitment,
    log_commitment,
)
from identity.commitments import anchor_of

Draw = Callable[[int], bytes]
OBJECTION_BYTES: Final = 32
DRAWN_BYTES: Final = SALT_BYTES + SLOT_BYTES + SALT_BYTES + OBJECTION_BYTES
"""That `draft_at` draws for one event."""


class LogFull(Exception):
    """A log holds as many events as one report can prove."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is on its way to the ledger.

    Attributes:
        message: What goes there, signed by its source and by the registrar.
        opening: Of its slot, once it is there.
        objection: What objects to it; with the person, not with the source.
    """

    message: pb.RecordEvent
    opening: pb.Opening
    objection: bytes = field(repr=False)


def draft_at(free: bytes, number: int, version: int, content: Content, draw: Draw = secrets.token_bytes) -> Draft:
    """Draw what an event needs that stands in a free slot.

    Args:
        free: The slot; 32 bytes.
        number: The event's class.
        version: The class's present version.
        content: What happened.
        draw: Random bytes.

    Raises:
        InvalidMessage: The content contradicts itself.
    """
    encoded = content.encode()
    content_salt, next_slot, next_salt = draw(SALT_BYTES), draw(SLOT_BYTES), draw(SALT_BYTES)
    objection = draw(OBJECTION_BYTES)
    assert len(objection) == OBJECTION_BYTES, "random bytes are as many as were asked for"
    message = pb.RecordEvent(
        slot=free,
        class_version=version,
        content=encoded_commitment(encoded, content_salt),
        next=link_commitment(next_slot, next_salt),
        objection=anchor_of(objection),
    )
    setattr(message, "class", number)
    opening = pb.Opening(content=encoded, content_salt=content_salt, next_slot=next_slot, next_salt=next_salt)
    return Draft(message, opening, objection)


@dataclass(frozen=True, slots=True)
class Kept:
    """A log with its secrets; personal, for the private store.

    Attributes:
        opened: What a report shows.
        free: The slot that the next event takes.
        objections: What objects to each event, in order; each is used once and replaced.
    """

    opened: Opened = field(repr=False)
    free: bytes = field(repr=False)
    objections: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def begin(cls, draw: Draw = secrets.token_bytes) -> "Kept":
        """A new log; `opened.log` is what `OpenLog` records."""
        first = draw(SLOT_BYTES)
        return cls(Opened(first, draw(SALT_BYTES)), first)

    @property
    def log(self) -> bytes:
        """The log's commitment on the chain."""
        return log_commitment(self.opened.first_slot, self.opened.log_salt)

    def draft(self, number: int, version: int, content: Content, draw: Draw = secrets.token_bytes) -> Draft:
        """Draw what the next event needs; see `draft_at`. Nothing is kept of it before `took`.

        Raises:
            InvalidMessage: The content contradicts itself.
            LogFull: No report could prove another event.
        """
        if len(self.opened.openings) >= EVENTS_MAX:
            raise LogFull
        return draft_at(self.free, number, version, content, draw)

    def took(self, draft: Draft) -> "Kept":
        """The log once the ledger has taken an event."""
        assert draft.message.slot == self.free, "the ledger took the event that was drawn last"
        opened = replace(self.opened, openings=(*self.opened.openings, draft.opening))
        return Kept(opened, draft.opening.next_slot, (*self.objections, draft.objection))

    def objection(self, index: int, draw: Draw = secrets.token_bytes) -> tuple[pb.Object, "Kept"]:
        """Object to an event: what goes to the ledger, and the log once it is there.

        Args:
            index: Which event, 0-based.
            draw: Random bytes.
        """
        following = draw(OBJECTION_BYTES)
        message = pb.Object(
            slot=self.opened.slots[index], proof=self.objections[index], next_objection=anchor_of(following)
        )
        objections = (*self.objections[:index], following, *self.objections[index + 1 :])
        return message, replace(self, objections=objections)

    def correction(
        self, index: int, content: Content, draw: Draw = secrets.token_bytes
    ) -> tuple[pb.AnswerEvent, "Kept"]:
        """A source's correction: what goes to the ledger, and the log once it is there.

        Raises:
            InvalidMessage: The content contradicts itself.
        """
        salt = draw(SALT_BYTES)
        old = self.opened.openings[index]
        opening = pb.Opening(
            content=content.encode(), content_salt=salt, next_slot=old.next_slot, next_salt=old.next_salt
        )
        openings = (*self.opened.openings[:index], opening, *self.opened.openings[index + 1 :])
        message = pb.AnswerEvent(
            slot=self.opened.slots[index],
            status=pb.EVENT_STATUS_CORRECTED,
            content=content_commitment(content, salt),
        )
        return message, replace(self, opened=replace(self.opened, openings=openings))
