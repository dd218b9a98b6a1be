# SPDX-License-Identifier: Apache-2.0
"""What a log's slots commit to: content, the next slot, and the log's beginning.

Each commitment has a domain of its own and a salt of 32 random bytes, which stay with the service that keeps the log
and with whoever it is about. A slot's key is 32 random bytes; nobody who sees one slot can tell the next.
"""

import struct
from dataclasses import dataclass
from typing import Final

from chain.errors import InvalidMessage
from identity.commitments import SALT_BYTES, salted
from identity.slots import SLOT_BYTES

__all__ = [
    "EVIDENCE_BYTES",
    "SALT_BYTES",
    "SEVERITIES",
    "SLOT_BYTES",
    "Content",
    "content_commitment",
    "encoded_commitment",
    "link_commitment",
    "log_commitment",
]

EVIDENCE_BYTES: Final = 32
SEVERITIES: Final = ("none", "minor", "general", "serious")
"""What an event is found to be; a class says the most."""

_LOG: Final = b"zhixin/credit/log\x00"
_LINK: Final = b"zhixin/credit/link\x00"
_CONTENT: Final = b"zhixin/credit/content\x00"
_FORMAT: Final = struct.Struct(">BIII32s")


@dataclass(frozen=True, slots=True)
class Content:
    """What an event says beyond its class, in days since 1970-01-01.

    Attributes:
        severity: One of `SEVERITIES`; at most that of its class.
        occurred_day: When it happened, or was pledged.
        document_day: Date of the document that found it; not before it happened.
        due_day: Of a pledge: until when; else 0.
        evidence: SHA-256 of the document with a salt of its own, or zeros.
    """

    severity: str
    occurred_day: int
    document_day: int
    due_day: int = 0
    evidence: bytes = bytes(EVIDENCE_BYTES)

    def encode(self) -> bytes:
        """45 bytes, one for each value.

        Raises:
            InvalidMessage: A field is out of its bounds, or the document is older than what it found.
        """
        days = (self.occurred_day, self.document_day, self.due_day)
        if self.severity not in SEVERITIES or min(days) < 0 or max(days) >= 2**31:
            raise InvalidMessage("content: severity or a day is out of its bounds")
        if self.document_day < self.occurred_day:
            raise InvalidMessage("content: the event is dated after the document that found it")
        if len(self.evidence) != EVIDENCE_BYTES:
            raise InvalidMessage(f"content: evidence has {EVIDENCE_BYTES} bytes")
        return _FORMAT.pack(SEVERITIES.index(self.severity), *days, self.evidence)

    @classmethod
    def decode(cls, raw: bytes) -> "Content":
        """Read what `encode` wrote.

        Raises:
            InvalidMessage: It is nothing that `encode` writes.
        """
        if len(raw) != _FORMAT.size or raw[0] >= len(SEVERITIES):
            raise InvalidMessage("content: not the encoding of an event's content")
        severity, occurred, document, due, evidence = _FORMAT.unpack(raw)
        content = cls(SEVERITIES[severity], occurred, document, due, evidence)
        content.encode()
        return content


def log_commitment(first_slot: bytes, salt: bytes) -> bytes:
    """What stands on the chain for a log; 32 bytes."""
    return _commit(_LOG, first_slot, salt)


def link_commitment(next_slot: bytes, salt: bytes) -> bytes:
    """What a slot says of the next one; 32 bytes."""
    return _commit(_LINK, next_slot, salt)


def content_commitment(content: Content, salt: bytes) -> bytes:
    """What a slot says of its event; 32 bytes.

    Raises:
        InvalidMessage: See `Content.encode`.
    """
    return encoded_commitment(content.encode(), salt)


def encoded_commitment(content: bytes, salt: bytes) -> bytes:
    """The same of content that is encoded already; 32 bytes."""
    return salted(_CONTENT, salt, content)


def _commit(domain: bytes, slot: bytes, salt: bytes) -> bytes:
    assert len(slot) == SLOT_BYTES, "a slot has 32 bytes"
    return salted(domain, salt, slot)
