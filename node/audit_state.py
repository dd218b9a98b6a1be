# SPDX-License-Identifier: Apache-2.0
"""One version of a stored state tree, record by record, each checked against the hash above it.

Pages come in the order of their paths, so their leaves come in the order of hashed keys: one ordered scan of the
values keeps step with them, and memory holds one page for each level. A file that holds the records in the same order
is checked by the same walk.

Source: `chain.tree` for the records, docs/protocol.md, section 4, for the hashes.
"""

from collections.abc import Iterator
from typing import Protocol

from chain.errors import InvalidMessage
from chain.storage import Reader
from chain.tree import leaf_hash
from chain.tree_page import SLOTS, Page, Slot
from chain.tree_update import DIGITS, Keys
from chain.types import HASH_BYTES, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, sha256
from node.audit_faults import Damaged, Fault, compare, fail, fail_missing, place_of, table_of
from node.store_keys import STATE_PREFIX

KEYS = Keys(STATE_PREFIX)
EMPTY_HASH = bytes(HASH_BYTES)
_VALUES = STATE_PREFIX + b"v"
_VALUES_END = STATE_PREFIX + b"w"
_PAGE_HEADER_BYTES = 4 + 4 * HASH_BYTES
_DEPTH_MAX = 2 * HASH_BYTES


def oldest_version(reader: Reader) -> int:
    """The oldest version of the state that is held.

    Raises:
        Damaged: The record is no number.
    """
    raw = reader.get(KEYS.oldest)
    if raw is None:
        return 0
    if len(raw) != 8:
        fail(KEYS.oldest, "the record is no version")
    return int.from_bytes(raw)


def root_record(reader: Reader, version: int) -> tuple[bytes, bytes] | None:
    """Key and value of the root of the newest version up to this one; None if there is none."""
    for pair in reader.range(KEYS.root(0), KEYS.root(version) + b"\x00", reverse=True):
        return pair
    return None


class Records(Protocol):
    """Where the records of a version come from, in the order in which a walk asks for them."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a record; None if it is not there."""
        ...


class StoredRecords:
    """The records of a database: pages one by one, values by one ordered scan that keeps step with them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._values = reader.range(_VALUES, _VALUES_END)

    def get(self, key: bytes) -> bytes | None:
        """The value of a record; values are asked for in ascending order of keys."""
        if not key.startswith(_VALUES):
            return self._reader.get(key)
        for found, raw in self._values:
            if found >= key:
                return raw if found == key else None
        return None


def walk_state(
    records: Records, root_record: tuple[bytes, bytes] | None, version: int, root: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Every record that a version of the state consists of: its root, its pages, its values.

    Args:
        records: Where they come from.
        root_record: Key and value of the version's root; None if there is none.
        version: The height.
        root: What the version must hash to, 32 bytes.

    Raises:
        Damaged: A record is missing or does not have the hash that the one above it names.
    """
    if root_record is None:
        fail_missing(KEYS.root(version))
    key, raw = root_record
    slot = _decode_root(key, raw)
    if slot.hash != root:
        fail(key, f"the root of the state at height {version} is not the checkpoint's")
    yield key, raw
    if slot.hash == EMPTY_HASH:
        return
    stack: list[tuple[Slot, bytes, bytes]] = [(slot, b"", key)]
    while stack:
        slot, path, above = stack.pop()
        is_leaf = slot.key_hash is not None
        key = KEYS.page(slot.version, path) if slot.key_hash is None else KEYS.value(slot.key_hash, slot.version)
        found = records.get(key)
        if found is None:
            reason = f"the record is missing, or the one that names it is wrong: {above.hex()}"
            raise Damaged(Fault(table_of(key), place_of(key), key.hex(), None, "a record", "no record", reason))
        if is_leaf:
            _check_value(key, found, slot, path)
        else:
            slots = _check_page(key, found, slot.hash)
            stack += [(below, path + DIGITS[index], key) for index, below in reversed(slots)]
        yield key, found


def version_of(key: bytes) -> int | None:
    """Which version a record of the state belongs to; None for the one of the oldest version."""
    match key[1:2]:
        case b"n" | b"r" | b"s":
            return int.from_bytes(key[2:10])
        case b"v":
            return int.from_bytes(key[34:42])
    return None


def _decode_root(key: bytes, raw: bytes) -> Slot:
    if len(raw) not in {HASH_BYTES + 8, 2 * HASH_BYTES + 8}:
        fail(key, f"a root has {HASH_BYTES + 8} or {2 * HASH_BYTES + 8} bytes")
    return Slot.decode(raw)


def _check_page(key: bytes, raw: bytes, expected: bytes) -> list[tuple[int, Slot]]:
    """The slots in use of a page, ascending, once it is one and has its hash."""
    used, leaves = (int.from_bytes(raw[at : at + 2]) for at in (0, 2))
    size = _PAGE_HEADER_BYTES + (HASH_BYTES + 8) * used.bit_count() + HASH_BYTES * leaves.bit_count()
    if leaves & ~used or len(raw) != size or not used:
        fail(key, "the record is no page of the state tree")
    page = Page(raw)
    slots = [page.slot(index) for index in range(SLOTS)]
    compare(key, Page.of(slots).raw, raw)
    if page.root() != expected:
        fail(key, "the page does not have the hash that the one above it names")
    path = key[10:]
    if len(path) >= _DEPTH_MAX:
        fail(key, "the page lies deeper than a hashed key is long")
    return [(index, slot) for index, slot in enumerate(slots) if used >> index & 1]


def _check_value(key: bytes, raw: bytes, leaf: Slot, path: bytes) -> None:
    """Check a value's record against its leaf, and the leaf against its place."""
    assert leaf.key_hash is not None
    try:
        name, value = unpack_value(raw)
    except InvalidMessage as error:
        fail(key, error.reason)
    if sha256(name) != leaf.key_hash:
        fail(key, "the key does not have the hash under which it is stored")
    if leaf_hash(name, value) != leaf.hash:
        fail(key, "the value does not have the hash that the page above it names")
    digits = bytes(digit for byte in leaf.key_hash for digit in (byte >> 4, byte & 15))
    if not digits.startswith(path):
        fail(key, "the value lies in the wrong place of the tree")


def unpack_value(raw: bytes) -> tuple[bytes, bytes]:
    """A state key with its value, from a record.

    Raises:
        InvalidMessage: The record has another form.
    """
    size = int.from_bytes(raw[:2])
    name, value = Keys.unpack_value(raw)
    if len(name) != size or not 1 <= size <= STATE_KEY_BYTES_MAX or not 1 <= len(value) <= STATE_VALUE_BYTES_MAX:
        raise InvalidMessage("the record is no key with its value")
    return name, value
