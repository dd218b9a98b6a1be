# SPDX-License-Identifier: Apache-2.0
"""The outermost fields of protobuf bytes, read without making objects of them.

A parser turns two bytes of input into an object of a hundred; where a peer sends megabytes, counting comes first.
Whether the bytes are a canonical message, `chain.codec.decode` says afterwards.

Source: protobuf's encoding: a tag is field number * 8 + wire type; 0 varint, 1 eight bytes, 2 length and bytes, 5 four.
"""

from typing import NamedTuple

from chain.errors import InvalidMessage

_VARINT_BYTES_MAX = 10
_FIXED_BYTES = {1: 8, 5: 4}


class Field(NamedTuple):
    """One field: its number, and where its content stands if it is of variable length; else nowhere."""

    number: int
    start: int
    stop: int


def fields(data: bytes, start: int, stop: int, count_max: int) -> list[Field]:
    """The fields of a message that stands between two places.

    Args:
        data: Any bytes.
        start: Where the message begins.
        stop: Where it ends; at most len(data).
        count_max: More fields than this are refused as soon as they are counted.

    Raises:
        InvalidMessage: Too many, or not protobuf.
    """
    found: list[Field] = []
    at = start
    while at < stop:
        if len(found) >= count_max:
            raise InvalidMessage(f"a message with more than {count_max} parts")
        tag, at = _varint(data, at, stop)
        wire_type = tag & 7
        if wire_type == 0:
            begin = at
            _, at = _varint(data, at, stop)
            found.append(Field(tag >> 3, begin, begin))
            continue
        if wire_type == 2:
            size, at = _varint(data, at, stop)
        elif wire_type in _FIXED_BYTES:
            size = _FIXED_BYTES[wire_type]
        else:
            raise InvalidMessage("a wire type that no message uses")
        if size > stop - at:
            raise InvalidMessage("a field longer than its message")
        found.append(Field(tag >> 3, at, at + size if wire_type == 2 else at))
        at += size
    return found


def _varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for place in range(at, min(stop, at + _VARINT_BYTES_MAX)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return value, place + 1
    raise InvalidMessage("a number that does not end")
