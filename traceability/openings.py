# SPDX-License-Identifier: Apache-2.0
"""Commitments to an event and to its private fields, and how one is opened to somebody without the others.

Each event has a secret of 32 random bytes, kept by the service that captured it. Each salt is derived from it under a
name of its own, so that opening one field tells nothing of another; destroying the secret closes the event for good.

Invariant: what `open_field` and `open_event` return verifies against what stands on the chain, and nothing else does.
Source: RFC 9162, 2.1.3 for the fields' paths; RFC 5869 is not needed, for the secret is uniform.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain.errors import InvalidProof, LedgerError
from chain.log import leaf_hash, path_of, root_of, verify_inclusion
from chain.types import HASH_BYTES, sha256
from traceability.epcis_json import pointer

SECRET_BYTES: Final = 32
FIELDS_MAX: Final = 1024
"""Private fields of one event; each costs whoever opens one a hash or two."""

_ID = b"zhixin/traceability/event-id\x00"
_EVENT = b"zhixin/traceability/event\x00"
_FIELD = b"zhixin/traceability/field\x00"

_DIVIDED = frozenset({"ilmd", "sensorElementList", "bizTransactionList", "sourceList", "destinationList"})
"""Fields whose members or elements are opened one by one."""
_ENVELOPE = frozenset({"@context", "type"})
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


class InvalidOpening(LedgerError):
    """What is shown is not what the chain has a commitment to."""

    default_code = "traceability.invalid-opening"


@dataclass(frozen=True, slots=True)
class Field:
    """One private field, opened.

    Attributes:
        pointer: JSON pointer into the event, e.g. "/ilmd/cbvmda:harvestDate".
        value: Its JSON text, as `canonical` writes it.
        salt: 32 bytes, of this field alone.
        index: Its place among the event's fields, 0-based.
        count: How many the event has.
        path: Hashes from its leaf to the root on the chain.
    """

    pointer: str
    value: bytes
    salt: bytes
    index: int
    count: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole event, opened.

    Attributes:
        data: Event and context, as `event_bytes` writes them.
        salt: 32 bytes, of the event as a whole.
    """

    data: bytes
    salt: bytes


def salt_of(secret: bytes, label: str) -> bytes:
    """The salt of one commitment of an event; 32 bytes.

    Args:
        secret: The event's, 32 random bytes.
        label: "id", "event", or "field " and a JSON pointer.
    """
    assert len(secret) == SECRET_BYTES, "an event's secret has 32 bytes"
    return hmac.digest(secret, label.encode(), "sha256")


def canonical(value: object) -> bytes:
    """A JSON value as one text: members sorted by name, no blanks, all of it ASCII."""
    return _CANONICAL.encode(value).encode()


def event_bytes(event: Mapping[str, Any], context: object) -> bytes:
    """What the commitment to a whole event covers: the event, and the `@context` that its names are read in.

    Args:
        event: As parsed.
        context: The document's `@context`, or None where the event has its own.
    """
    return canonical({"context": context, "event": event})


# ---------------------------------------------------------------- committing


def id_commitment(event_id: str, secret: bytes) -> bytes:
    """An event's id on the chain; 32 bytes. The same secret gives the same id: what is sent again is known."""
    return sha256(_ID + salt_of(secret, "id") + event_id.encode())


def event_commitment(data: bytes, secret: bytes) -> bytes:
    """The commitment to a whole event; 32 bytes."""
    return sha256(_EVENT + salt_of(secret, "event") + data)


def fields_of(event: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """An event's fields by pointer, sorted, as they are committed to; some lists by element.

    Raises:
        InvalidOpening: There are more than 1024.
    """
    found: list[tuple[str, bytes]] = []
    for name, value in event.items():
        if name in _ENVELOPE:
            continue
        at = pointer("", name)
        if name in _DIVIDED and isinstance(value, Mapping):
            found += [(pointer(at, inner), canonical(part)) for inner, part in value.items()]
        elif name in _DIVIDED and isinstance(value, list):
            found += [(pointer(at, index), canonical(part)) for index, part in enumerate(value)]
        else:
            found.append((at, canonical(value)))
    if len(found) > FIELDS_MAX:
        raise InvalidOpening(f"the event has {len(found)} fields; at most {FIELDS_MAX} are committed to one by one")
    return sorted(found)


def fields_root(event: Mapping[str, Any], secret: bytes) -> bytes:
    """The root over the commitments to an event's fields; 32 bytes.

    Raises:
        InvalidOpening: There are too many.
    """
    return root_of(_leaves(fields_of(event), secret))


# ---------------------------------------------------------------- opening


def open_event(data: bytes, secret: bytes) -> Whole:
    """Open a whole event to somebody."""
    return Whole(data, salt_of(secret, "event"))


def open_field(event: Mapping[str, Any], secret: bytes, at: str) -> Field:
    """Open one field to somebody.

    Args:
        event: As it was committed to.
        secret: The event's.
        at: One of the pointers of `fields_of`.

    Raises:
        InvalidOpening: The event has no such field.
    """
    fields = fields_of(event)
    for index, (name, value) in enumerate(fields):
        if name == at:
            path = path_of(_leaves(fields, secret), index)
            return Field(at, value, salt_of(secret, f"field {at}"), index, len(fields), tuple(path))
    raise InvalidOpening(f"the event has no field {at}")


def verify_event(whole: Whole, commitment: bytes) -> None:
    """Check an opened event against its commitment on the chain.

    Raises:
        InvalidOpening: It is another event, or another salt.
    """
    if len(whole.salt) != HASH_BYTES or sha256(_EVENT + whole.salt + whole.data) != commitment:
        raise InvalidOpening("this is not the event that was committed to")


def verify_id(event_id: str, salt: bytes, commitment: bytes) -> None:
    """Check that an event's id on the chain stands for its EPCIS id.

    Raises:
        InvalidOpening: It stands for another.
    """
    if len(salt) != HASH_BYTES or sha256(_ID + salt + event_id.encode()) != commitment:
        raise InvalidOpening("this is not the event id that was committed to")


def verify_field(field: Field, root: bytes) -> None:
    """Check an opened field against the root on the chain.

    Raises:
        InvalidOpening: The event has no such field, or another value in it.
    """
    try:
        leaf = leaf_hash(_leaf(field.pointer, field.value, field.salt))
        verify_inclusion(leaf, field.index, field.count, field.path, root)
    except InvalidProof as error:
        raise InvalidOpening(f"the field {field.pointer} is not what was committed to: {error.reason}") from None


def _leaves(fields: Sequence[tuple[str, bytes]], secret: bytes) -> list[bytes]:
    return [_leaf(name, value, salt_of(secret, f"field {name}")) for name, value in fields]


def _leaf(name: str, value: bytes, salt: bytes) -> bytes:
    """A commitment to one field: pointer and value are told apart by the pointer's length in front."""
    where = name.encode(errors="surrogatepass")
    if len(salt) != HASH_BYTES:
        raise InvalidOpening(f"a salt has {HASH_BYTES} bytes")
    return sha256(_FIELD + salt + len(where).to_bytes(4) + where + value)
