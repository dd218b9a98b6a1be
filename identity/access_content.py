# SPDX-License-Identifier: Apache-2.0
"""What an entry of a list of accesses says, off the chain: who saw what, when and why; and what commits to it.

Source: docs/identity.md, "Accesses".
"""

from typing import Final

from chain.codec import decode, encode
from chain.errors import InvalidMessage
from identity.commitments import salted
from identity.pb import access_pb2 as pb
from identity.slots import SLOT_BYTES

CONTENT_BYTES_MAX: Final = 8 * 1024
"""64 attributes of 64 bytes, and the rest."""
ATTRIBUTES_MAX: Final = 64
NAME_BYTES_MAX: Final = 64
"""Of an organisation's id and of an attribute."""
PURPOSE_MAX: Final = 65_535
EVIDENCE_BYTES: Final = 32

_CONTENT: Final = b"zhixin/identity/access-content\x00"
_LINK: Final = b"zhixin/identity/access-link\x00"
_ANSWERS: Final = (pb.ACCESS_KIND_ANSWER, pb.ACCESS_KIND_EMERGENCY_ANSWER)


def content_commitment(content: bytes, salt: bytes) -> bytes:
    """What an entry says of its content; 32 bytes.

    Args:
        content: Bytes of `AccessContent`, as `encode_content` makes them.
        salt: 32 random bytes, for this entry alone.
    """
    return salted(_CONTENT, salt, content)


def link_commitment(next_slot: bytes, salt: bytes) -> bytes:
    """What an entry says of the next slot; 32 bytes."""
    assert len(next_slot) == SLOT_BYTES, "a slot has 32 bytes"
    return salted(_LINK, salt, next_slot)


def encode_content(content: pb.AccessContent) -> bytes:
    """The bytes of an entry's content.

    Raises:
        InvalidMessage: A field is out of its bounds, or does not go with the kind.
    """
    _check_bounds(content)
    _check_kind(content)
    return encode(content)


def decode_content(raw: bytes) -> pb.AccessContent:
    """Read what `encode_content` made.

    Raises:
        InvalidMessage: It is nothing that `encode_content` makes.
    """
    content = decode(pb.AccessContent, raw, CONTENT_BYTES_MAX)
    _check_bounds(content)
    _check_kind(content)
    return content


def _check_bounds(content: pb.AccessContent) -> None:
    """Check each field alone.

    Raises:
        InvalidMessage: One is out of its bounds.
    """
    attributes = list(content.attributes)
    if not 1 <= len(content.organisation.encode()) <= NAME_BYTES_MAX:
        raise InvalidMessage(f"an entry names for whose eyes it was, in at most {NAME_BYTES_MAX} bytes")
    if not content.at_ms:
        raise InvalidMessage("an entry says when it was")
    if len(attributes) > ATTRIBUTES_MAX or attributes != sorted(set(attributes)):
        raise InvalidMessage(f"an entry has at most {ATTRIBUTES_MAX} attributes, ascending, each once")
    if any(not 1 <= len(name.encode()) <= NAME_BYTES_MAX for name in attributes):
        raise InvalidMessage(f"an attribute has 1 to {NAME_BYTES_MAX} bytes")
    if len(content.evidence) not in (0, EVIDENCE_BYTES):
        raise InvalidMessage(f"evidence has {EVIDENCE_BYTES} bytes or none")


def _check_kind(content: pb.AccessContent) -> None:
    """Check that reason and purpose go with the kind.

    Raises:
        InvalidMessage: A look-up lacks its reason, an answer its purpose, or either has the other's.
    """
    if content.kind == pb.ACCESS_KIND_LOOK_UP:
        fits = content.reason in pb.LookUpReason.values() and content.reason and not content.purpose
    else:
        fits = content.kind in _ANSWERS and not content.reason and 1 <= content.purpose <= PURPOSE_MAX
    if not fits:
        raise InvalidMessage("a look-up has a reason, an answer a purpose from 1 to 65,535, and neither has both")
