# SPDX-License-Identifier: Apache-2.0
"""BER-TLV as PIV uses it: tags of one to three bytes, definite lengths up to 65,535.

Source: ISO/IEC 7816-4, 5.2.2; NIST SP 800-73-5 part 1, section 4.
"""

from typing import Final

from chain.errors import InvalidMessage

VALUE_BYTES_MAX: Final = 0xFFFF
"""What a length of two bytes can say; no object of a card is larger."""
ITEMS_MAX: Final = 64
"""Items beside one another; the richest template of PIV has 14."""
_TAG_BYTES_MAX: Final = 3


def encode(tag: int, value: bytes) -> bytes:
    """One item: tag, length, value, each in its shortest form."""
    assert len(value) <= VALUE_BYTES_MAX, "an object of a card is bounded"
    head = tag.to_bytes((max(tag.bit_length(), 1) + 7) // 8, "big")
    size = len(value)
    if size < 0x80:
        return head + bytes([size]) + value
    if size <= 0xFF:
        return head + bytes([0x81, size]) + value
    return head + b"\x82" + size.to_bytes(2, "big") + value


def decode(raw: bytes) -> list[tuple[int, bytes]]:
    """The items that stand beside one another in some bytes, in their order.

    Raises:
        InvalidMessage: The bytes are not a whole number of items, or more than are allowed.
    """
    items: list[tuple[int, bytes]] = []
    position = 0
    while position < len(raw):
        if len(items) == ITEMS_MAX:
            raise InvalidMessage(f"more than {ITEMS_MAX} items")
        tag, position = _tag(raw, position)
        size, position = _size(raw, position)
        value = raw[position : position + size]
        if len(value) != size:
            raise InvalidMessage(f"item {tag:X} says {size} bytes and has {len(value)}")
        items.append((tag, value))
        position += size
    return items


def find(raw: bytes, tag: int) -> bytes | None:
    """The value of the first item with a tag, or None.

    Raises:
        InvalidMessage: The bytes are not a whole number of items.
    """
    return next((value for each, value in decode(raw) if each == tag), None)


def get(raw: bytes, tag: int) -> bytes:
    """The value of the first item with a tag.

    Raises:
        InvalidMessage: There is none, or the bytes are not a whole number of items.
    """
    value = find(raw, tag)
    if value is None:
        raise InvalidMessage(f"item {tag:X} is missing")
    return value


def _tag(raw: bytes, position: int) -> tuple[int, int]:
    start = position
    if raw[position] & 0x1F == 0x1F:
        position += 1
        while position < len(raw) and raw[position] & 0x80 and position - start < _TAG_BYTES_MAX - 1:
            position += 1
        if position >= len(raw) or raw[position] & 0x80:
            raise InvalidMessage("a tag without an end")
    return int.from_bytes(raw[start : position + 1], "big"), position + 1


def _size(raw: bytes, position: int) -> tuple[int, int]:
    first = raw[position] if position < len(raw) else 0x80
    if first < 0x80:
        return first, position + 1
    octets = first - 0x80
    if octets not in (1, 2) or position + 1 + octets > len(raw):
        raise InvalidMessage("a length of a form that cards do not use")
    return int.from_bytes(raw[position + 1 : position + 1 + octets], "big"), position + 1 + octets
