# SPDX-License-Identifier: Apache-2.0
"""An event as the private store keeps it: its slot, what opens it, and what objects to it."""

import json
from dataclasses import dataclass, field, replace

from credit.keeper import Draft
from credit.pb import credit_pb2 as pb
from credit.slots import Content, encoded_commitment


@dataclass(frozen=True, slots=True)
class Event:
    """All that is secret of one event; sealed under its person's key.

    Attributes:
        number: Its class.
        version: The class's version on the day of recording.
        objection: What objects to it.
    """

    slot: bytes = field(repr=False)
    number: int
    version: int
    opening: pb.Opening = field(repr=False)
    objection: bytes = field(repr=False)

    @classmethod
    def of(cls, draft: Draft, number: int) -> "Event":
        """An event that was just drawn."""
        message = draft.message
        return cls(message.slot, number, message.class_version, draft.opening, draft.objection)

    @property
    def content(self) -> Content:
        """What it says beyond its class."""
        return Content.decode(self.opening.content)

    @property
    def commitment(self) -> bytes:
        """What its slot says of its content."""
        return encoded_commitment(self.opening.content, self.opening.content_salt)

    def with_content(self, content: bytes, salt: bytes) -> "Event":
        """The event once a correction stands."""
        opening = pb.Opening(
            content=content, content_salt=salt, next_slot=self.opening.next_slot, next_salt=self.opening.next_salt
        )
        return replace(self, opening=opening)

    def encode(self) -> str:
        """As it is sealed."""
        opening = self.opening
        parts = (self.slot, opening.content, opening.content_salt, opening.next_slot, opening.next_salt, self.objection)
        return json.dumps([self.number, self.version, *(part.hex() for part in parts)])

    @classmethod
    def decode(cls, text: str) -> "Event":
        """What `encode` wrote."""
        number, version, *rest = json.loads(text)
        slot, content, salt, next_slot, next_salt, objection = (bytes.fromhex(part) for part in rest)
        opening = pb.Opening(content=content, content_salt=salt, next_slot=next_slot, next_salt=next_salt)
        return cls(slot, number, version, opening, objection)
