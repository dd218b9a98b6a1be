# SPDX-License-Identifier: Apache-2.0
"""What a fuzz target is, and the one property that all of them hold."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from chain.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of foreign bytes.

    Attributes:
        name: In kebab-case.
        read: Takes any bytes; returns their re-encoding, or None where reading yields a verdict and no value.
        samples: Valid inputs, from which mutation starts.
        repair: Makes mutated bytes well-formed again where that is possible, so that fuzzing gets past the first check.
        bytes_max: How long inputs get.
    """

    name: str
    read: Callable[[bytes], bytes | None]
    samples: Callable[[], list[bytes]]
    repair: Callable[[bytes], bytes]
    bytes_max: int = 4096


def accepts(target: Target, data: bytes) -> bool:
    """Whether the target accepts these bytes; any outcome but a value or a `LedgerError` is a defect and gets out.

    A value must encode to exactly what was read.
    """
    try:
        again = target.read(data)
    except LedgerError as error:
        if not error.code or not error.reason:
            raise AssertionError("a refusal has a code and a reason") from error
        return False
    assert again is None or again == data, "accepted bytes that are not the value's own encoding"
    return True


def canonical(kind: type[Message]) -> Callable[[bytes], bytes]:
    """A repair that parses what can be parsed of a message and writes it in its canonical form."""

    def repair(data: bytes) -> bytes:
        message = kind()
        try:
            message.ParseFromString(data)
        except DecodeError:
            return data
        message.DiscardUnknownFields()
        return message.SerializeToString(deterministic=True)

    return repair


def unchanged(data: bytes) -> bytes:
    """A repair for formats in which any change is as good as another."""
    return data
