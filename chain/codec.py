# SPDX-License-Identifier: Apache-2.0
"""One encoding for each message, and the bytes that signatures cover.

Invariant: `decode(kind, data)` returns a message whose `encode` is `data`, or raises `InvalidMessage`, for any bytes
whatever.  Source: docs/protocol.md, section 1.
"""

from typing import Literal, TypeVar

from google.protobuf.message import DecodeError, Message

from chain.errors import InvalidMessage
from chain.types import Network

M = TypeVar("M", bound=Message)

SignatureKind = Literal["transaction", "notarize", "nullify", "finalize", "checkpoint", "peer", "possession"]


def signed_bytes(kind: SignatureKind, network: Network, payload: bytes) -> bytes:
    """What a signature of this kind covers: no signature serves two purposes or two networks."""
    return b"zhixin/1/" + kind.encode() + b"\x00" + network + payload


def encode(message: Message) -> bytes:
    """The one encoding of a message that validators generate."""
    return message.SerializeToString(deterministic=True)


def decode(kind: type[M], data: bytes, size_max: int) -> M:
    """Decode bytes that somebody sent.

    Args:
        kind: The message class.
        data: At most size_max bytes.
        size_max: The bound that this message's place sets.

    Raises:
        InvalidMessage: Too long, no such message, or not its own canonical encoding (unknown fields at any depth,
            overlong varints, repeated scalars, fields out of order, defaults written out).
    """
    if len(data) > size_max:
        raise InvalidMessage(f"{kind.__name__} has {len(data)} bytes; at most {size_max} are allowed")
    message = kind()
    try:
        message.ParseFromString(data)
        message.DiscardUnknownFields()
        canonical = message.SerializeToString(deterministic=True)
    except (DecodeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"not a {kind.__name__}: {error}") from None
    if canonical != data:
        raise InvalidMessage(f"{kind.__name__} is not in its canonical encoding")
    return message
