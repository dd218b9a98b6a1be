# SPDX-License-Identifier: Apache-2.0
"""What an audit finds: the first record of a stored ledger that is not what it must be, and where in it.

A fault shows one byte of what is stored, never more: a ledger's records are for those who may read them.

Invariant: each key of `node.store_keys` has a name here; a key that has none is a fault itself.
"""

from dataclasses import dataclass
from typing import NoReturn

TABLES: dict[bytes, str] = {
    b"B": "blocks",
    b"C": "checkpoints",
    b"D": "places by digest",
    b"E": "entries",
    b"F": "finalizations",
    b"H": "heights by block id",
    b"K": "closing checkpoints",
    b"L": "log tiles",
    b"M": "marks",
    b"O": "outcomes",
    b"Q": "certified checkpoints",
    b"R": "remembered ids",
    b"S": "state",
    b"T": "places by transaction id",
    b"V": "validator sets",
    b"X": "transactions",
}
"""The tables of a ledger's database, by the first byte of their keys."""

_STATE = {b"n": "state pages", b"p": "oldest state", b"r": "state roots", b"s": "stale state", b"v": "state values"}
_HEIGHTS = frozenset(b"BCFOQVX")

ADVICE = (
    "restore the ledger from a backup that verifies, or empty data/ledger and let the node fetch it from its peers; "
    "keep a copy for whoever looks into the cause, and test the machine's disk and memory"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first record that is wrong.

    Attributes:
        table: Its table's name.
        place: Where in the table, for people: a height, an index, an id.
        record: Its key, hexadecimal.
        offset: Of the first wrong byte in the value, 0-based; None where only the whole can be told to be wrong.
        expected: That byte as it must be, two hexadecimal digits, or words; empty if it can't be known.
        found: That byte as it is, or words.
        reason: One sentence.
    """

    table: str
    place: str
    record: str
    offset: int | None
    expected: str
    found: str
    reason: str


class Damaged(Exception):
    """A stored ledger is not what its own blocks make of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.table}, {fault.place}: {fault.reason}")
        self.fault = fault


def table_of(key: bytes) -> str:
    """The name of a key's table."""
    if key[:1] == b"S":
        return _STATE.get(key[1:2], "state")
    return TABLES.get(key[:1], "unknown records")


def place_of(key: bytes) -> str:
    """Where in its table a key stands, for people."""
    kind = key[0] if key else 0
    if kind in _HEIGHTS and len(key) >= 9:
        height = f"height {int.from_bytes(key[1:9])}"
        return f"{height}, position {int.from_bytes(key[9:13])}" if kind == ord("X") and len(key) >= 13 else height
    if kind == ord("E") and len(key) == 9:
        return f"leaf {int.from_bytes(key[1:])}"
    if kind == ord("K") and len(key) == 9:
        return f"epoch {int.from_bytes(key[1:])}"
    if kind == ord("L") and len(key) == 10:
        return f"level {key[1]}, tile {int.from_bytes(key[2:])}"
    if key[:2] in {b"Sn", b"Sr", b"Ss"} and len(key) >= 10:
        path = "".join(f"{digit:x}" for digit in key[10:])
        return f"version {int.from_bytes(key[2:10])}" + (f", path {path or '-'}" if key[1:2] == b"n" else "")
    if key[:2] == b"Sv" and len(key) == 42:
        return f"hashed key {key[2:34].hex()}, version {int.from_bytes(key[34:])}"
    return f"key {key[1:].hex()}"


def fail(key: bytes, reason: str) -> NoReturn:
    """A record is wrong as a whole.

    Raises:
        Damaged: Always.
    """
    raise Damaged(Fault(table_of(key), place_of(key), key.hex(), None, "", "", reason))


def fail_missing(key: bytes) -> NoReturn:
    """A record is not there.

    Raises:
        Damaged: Always.
    """
    compare(key, b"", None)
    raise AssertionError("a missing record equals nothing")


def compare(key: bytes, expected: bytes | None, found: bytes | None) -> None:
    """Check that a record is what it must be.

    Args:
        key: Of the record.
        expected: Its value; None if there must be no such record.
        found: What is stored; None if nothing is.

    Raises:
        Damaged: They differ; the fault names the first byte that does.
    """
    if expected == found:
        return
    offset: int | None = None
    if found is None:
        words = ("a record", "no record", "the record is missing")
    elif expected is None:
        words = ("no record", "a record", "there must be no such record")
    else:
        offset = first_difference(expected, found)
        words = (_byte(expected, offset), _byte(found, offset), f"the byte at offset {offset} is wrong")
    raise Damaged(Fault(table_of(key), place_of(key), key.hex(), offset, *words))


def first_difference(one: bytes, other: bytes) -> int:
    """The first offset at which two unequal values differ; the shorter one's length if it begins the longer one."""
    shared = min(len(one), len(other))
    low, high = 0, shared
    while low < high:  # the least length at which the beginnings differ
        middle = (low + high) // 2
        if one[low : middle + 1] == other[low : middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def _byte(value: bytes, offset: int) -> str:
    return f"{value[offset]:02x}" if offset < len(value) else "end of the record"
