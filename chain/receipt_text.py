# SPDX-License-Identifier: Apache-2.0
"""Receipts as text: JSON for other programs, and a compact form that fits a QR code. Nothing is verified here.

The protobuf bytes are what gets verified; each text stands for exactly one such byte string.

JSON has the members of the protobuf messages by their names, all of them, none else: byte strings as lower-case
hexadecimal digits, numbers below 2^53, and "format" first. Messages that travel as bytes stay bytes: whoever shows
their content takes it from the verified receipt.

The compact form is `ZX1:` and the Base45 of the raw deflate (RFC 1951) of the protobuf bytes: upper-case letters,
digits and a few signs, so that a QR code holds it in its alphanumeric mode.

Source: docs/protocol.md, section 6; RFC 9285 (Base45); RFC 1951.
"""

import json
import zlib
from collections.abc import Mapping, Sequence

from chain import base45, strict_json
from chain.codec import decode, encode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.receipt import RECEIPT_BYTES_MAX
from chain.strict_json import Json

FORMAT = "zhixin-receipt/1"
COMPACT_PREFIX = "ZX1:"
COMPACT_BYTES_MAX = 64 * 1024
"""Of the inflated receipt: a QR code holds 3 KB, a text message somewhat more."""
COMPACT_CHARACTERS_MAX = 3 * COMPACT_BYTES_MAX
JSON_BYTES_MAX = 3 * RECEIPT_BYTES_MAX
QR_VERSION_30_CHARACTERS = 2520
"""Capacity in alphanumeric mode at error correction level L.  Source: ISO/IEC 18004:2015, table 7."""

_DEPTH_MAX = 8
_NUMBER_MAX = (1 << 53) - 1
_RAW_DEFLATE = -15

_RECEIPT = ("format", "inclusions", "states", "checkpoint", "epochs")
_INCLUSION = ("operation", "operation_index", "operation_path", "entry", "leaf_index", "path")
_STATE = ("key", "value", "proof")
_CHECKPOINT = ("checkpoint", "bitmap", "aggregate")
_EPOCH = ("certified", "next")


def to_json(receipt: bytes) -> str:
    """Write a receipt as JSON.

    Raises:
        InvalidMessage: Not a receipt in its canonical encoding, without a checkpoint, or of a leaf beyond 2^53.
    """
    message = decode(pb.Receipt, receipt, RECEIPT_BYTES_MAX)
    if not message.HasField("checkpoint") or not all(closing.HasField("certified") for closing in message.epochs):
        raise InvalidMessage("the receipt lacks a checkpoint")
    if any(inclusion.leaf_index > _NUMBER_MAX for inclusion in message.inclusions):
        raise InvalidMessage("a leaf index is beyond what JSON readers hold exactly")
    document: dict[str, Json] = {
        "format": FORMAT,
        "inclusions": [
            {
                "operation": inclusion.operation.hex(),
                "operation_index": inclusion.operation_index,
                "operation_path": [sibling.hex() for sibling in inclusion.operation_path],
                "entry": inclusion.entry.hex(),
                "leaf_index": inclusion.leaf_index,
                "path": [sibling.hex() for sibling in inclusion.path],
            }
            for inclusion in message.inclusions
        ],
        "states": [
            {"key": state.key.hex(), "value": state.value.hex(), "proof": state.proof.hex()} for state in message.states
        ],
        "checkpoint": _certified_to_json(message.checkpoint),
        "epochs": [
            {"certified": _certified_to_json(closing.certified), "next": closing.next.hex()}
            for closing in message.epochs
        ],
    }
    return json.dumps(document, indent=1)


def from_json(text: bytes) -> bytes:
    """Read a receipt from JSON; its protobuf bytes.

    Args:
        text: UTF-8.

    Raises:
        InvalidMessage: Not JSON, another format, a member missing, unknown or of a wrong kind.
    """
    document = strict_json.parse(text, size_max=JSON_BYTES_MAX, depth_max=_DEPTH_MAX)
    receipt = _members(document, _RECEIPT, "the receipt")
    if receipt["format"] != FORMAT:
        raise InvalidMessage(f'format: expected "{FORMAT}"')
    message = pb.Receipt(
        inclusions=[_inclusion(item, f"inclusions[{i}]") for i, item in _items(receipt, "inclusions")],
        states=[_state(item, f"states[{i}]") for i, item in _items(receipt, "states")],
        checkpoint=_certified(receipt["checkpoint"], "checkpoint"),
        epochs=[_closing(item, f"epochs[{i}]") for i, item in _items(receipt, "epochs")],
    )
    return encode(message)


def to_compact(receipt: bytes) -> str:
    """Write a receipt as compact text.

    Raises:
        InvalidMessage: Not a receipt in its canonical encoding, or larger than compact texts are.
    """
    decode(pb.Receipt, receipt, COMPACT_BYTES_MAX)
    deflate = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE)
    return COMPACT_PREFIX + base45.encode(deflate.compress(receipt) + deflate.flush())


def from_compact(text: str) -> bytes:
    """Read a receipt from compact text; its protobuf bytes.

    Raises:
        InvalidMessage: Another prefix, not Base45, not exactly one deflate stream, or it inflates beyond 64 KiB.
    """
    if not text.startswith(COMPACT_PREFIX):
        raise InvalidMessage(f"a compact receipt begins with {COMPACT_PREFIX}")
    if len(text) > COMPACT_CHARACTERS_MAX:
        raise InvalidMessage(f"a compact receipt has at most {COMPACT_CHARACTERS_MAX} characters, not {len(text)}")
    inflate = zlib.decompressobj(_RAW_DEFLATE)
    try:
        receipt = inflate.decompress(base45.decode(text[len(COMPACT_PREFIX) :]), COMPACT_BYTES_MAX + 1)
    except zlib.error as error:
        raise InvalidMessage(f"the compact receipt does not inflate: {error}") from None
    if len(receipt) > COMPACT_BYTES_MAX:
        raise InvalidMessage(f"the compact receipt inflates to more than {COMPACT_BYTES_MAX} bytes")
    if not inflate.eof or inflate.unused_data:
        raise InvalidMessage("the compact receipt is cut short, or something follows it")
    return receipt


def decode_any(data: bytes) -> bytes:
    """Read a receipt in any of its encodings, as a file or a scanner gives it; its protobuf bytes.

    A text begins with its first byte, which no protobuf receipt begins with; a line end after it does no harm.

    Raises:
        InvalidMessage: Its encoding is broken.
    """
    if data.startswith(b"{"):
        return from_json(data)
    if data.startswith(COMPACT_PREFIX.encode()):
        try:
            return from_compact(data.rstrip(b"\r\n").decode("ascii"))
        except UnicodeDecodeError:
            raise InvalidMessage("a compact receipt is ASCII text") from None
    return data


def _certified_to_json(certified: pb.CertifiedCheckpoint) -> "dict[str, Json]":
    return {
        "checkpoint": certified.checkpoint.hex(),
        "bitmap": certified.bitmap.hex(),
        "aggregate": certified.aggregate.hex(),
    }


def _inclusion(value: Json, where: str) -> pb.Inclusion:
    members = _members(value, _INCLUSION, where)
    return pb.Inclusion(
        operation=_bytes(members["operation"], f"{where}.operation"),
        operation_index=_number(members["operation_index"], f"{where}.operation_index", (1 << 32) - 1),
        operation_path=[_bytes(item, f"{where}.operation_path") for _, item in _items(members, "operation_path")],
        entry=_bytes(members["entry"], f"{where}.entry"),
        leaf_index=_number(members["leaf_index"], f"{where}.leaf_index", _NUMBER_MAX),
        path=[_bytes(item, f"{where}.path") for _, item in _items(members, "path")],
    )


def _state(value: Json, where: str) -> pb.StateProof:
    members = _members(value, _STATE, where)
    return pb.StateProof(
        key=_bytes(members["key"], f"{where}.key"),
        value=_bytes(members["value"], f"{where}.value"),
        proof=_bytes(members["proof"], f"{where}.proof"),
    )


def _certified(value: Json, where: str) -> pb.CertifiedCheckpoint:
    members = _members(value, _CHECKPOINT, where)
    return pb.CertifiedCheckpoint(
        checkpoint=_bytes(members["checkpoint"], f"{where}.checkpoint"),
        bitmap=_bytes(members["bitmap"], f"{where}.bitmap"),
        aggregate=_bytes(members["aggregate"], f"{where}.aggregate"),
    )


def _closing(value: Json, where: str) -> pb.ClosingCheckpoint:
    members = _members(value, _EPOCH, where)
    return pb.ClosingCheckpoint(
        certified=_certified(members["certified"], f"{where}.certified"),
        next=_bytes(members["next"], f"{where}.next"),
    )


def _members(value: Json, names: Sequence[str], where: str) -> "dict[str, Json]":
    """An object with these members and no others."""
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise InvalidMessage(f"{where} must be an object with the members {', '.join(names)} alone")
    return value


def _items(members: Mapping[str, Json], name: str) -> "list[tuple[int, Json]]":
    """A list's items with their index."""
    value = members[name]
    if not isinstance(value, list):
        raise InvalidMessage(f"{name} must be a list")
    return list(enumerate(value))


def _bytes(value: Json, where: str) -> bytes:
    """Bytes from lower-case hexadecimal digits."""
    if isinstance(value, str):
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = None
        if data is not None and data.hex() == value:
            return data
    raise InvalidMessage(f"{where} must be lower-case hexadecimal digits, two a byte")


def _number(value: Json, where: str, largest: int) -> int:
    """A whole number of this range."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise InvalidMessage(f"{where} must be a whole number from 0 to {largest}")
    return value
