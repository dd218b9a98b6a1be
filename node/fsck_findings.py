# SPDX-License-Identifier: Apache-2.0
"""What a check of a ledger's database found, and the cursors that compare a table with what should stand in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from chain.checkpoint import Checkpoint
from chain.storage import Reader
from chain.types import sha256

PROBLEMS_MAX = 100
"""One fault commonly shows in several places; whoever has seen so many has seen enough."""

Progress = Callable[[str, int, int], None]
"""Told now and then: the stage, how much of it is done, and how much there is."""


class Kind(StrEnum):
    """What is wrong with a record."""

    MISSING = "missing"
    SURPLUS = "surplus"
    WRONG = "wrong"
    UNREADABLE = "unreadable"


_ADVICE = {
    Kind.MISSING: "empty data/ledger and let the node fetch the ledger from its peers, or restore a backup",
    Kind.SURPLUS: "empty data/ledger and let the node fetch the ledger from its peers, or restore a backup; report it, "
    "for no crash leaves such a record",
    Kind.WRONG: "empty data/ledger and let the node fetch the ledger from its peers, or restore a backup; check memory "
    "and disk of this machine",
    Kind.UNREADABLE: "check the disk; then empty data/ledger and let the node fetch the ledger from its peers, or "
    "restore a backup",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        table: The letter of `node.store_keys`; empty if no single table is to blame.
        key: Of the record, whole; may be empty.
        what: What is wrong with it, for people.
    """

    table: str
    key: bytes
    kind: Kind
    what: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self.kind]


@dataclass(frozen=True, slots=True)
class Span:
    """What part of the ledger's past a database holds.

    Attributes:
        first_block: The oldest block held.
        first_leaf: The oldest entry held.
        tip: The newest block's checkpoint.
    """

    first_block: int
    first_leaf: int
    tip: Checkpoint


class EnoughFound(Exception):
    """No more problems are listed."""


class Findings:
    """Problems in the order in which they were found."""

    def __init__(self, count_max: int = PROBLEMS_MAX) -> None:
        self.problems: list[Problem] = []
        self._count_max = count_max

    def add(self, key: bytes, kind: Kind, what: str) -> None:
        """Note a problem, each record once.

        Raises:
            EnoughFound: The list is full.
        """
        problem = Problem(key[:1].decode(errors="backslashreplace"), key, kind, what)
        if any((known.key, known.kind) == (key, kind) for known in self.problems if key):
            return
        self.problems.append(problem)
        if len(self.problems) >= self._count_max:
            raise EnoughFound

    def missing(self, key: bytes, what: str) -> None:
        """A record that must be there is not."""
        self.add(key, Kind.MISSING, what)

    def surplus(self, key: bytes, what: str) -> None:
        """A record that must not be there is."""
        self.add(key, Kind.SURPLUS, what)

    def wrong(self, key: bytes, what: str) -> None:
        """A record does not hold what it must."""
        self.add(key, Kind.WRONG, what)


class Cursor:
    """Walks a range of keys beside the ascending list of those that should be in it."""

    def __init__(self, findings: Findings, reader: Reader, start: bytes, stop: bytes, name: str) -> None:
        """Begin at the start of a range.

        Args:
            findings: Takes each key that nobody asked for.
            reader: Of the database.
            start: The first key of the range.
            stop: Where it ends, exclusive.
            name: Of such a record, for people.
        """
        self._findings = findings
        self._pairs = reader.range(start, stop)
        self._name = name
        self._next = next(self._pairs, None)

    def take(self, key: bytes, *, optional: bool = False) -> bytes | None:
        """The value under the next key that should be there; what stands before it is too much.

        Args:
            key: Greater than any asked for before.
            optional: Whether it may be absent.
        """
        while self._next is not None and self._next[0] < key:
            self._findings.surplus(self._next[0], f"{self._name} that nothing refers to")
            self._next = next(self._pairs, None)
        if self._next is None or self._next[0] != key:
            if not optional:
                self._findings.missing(key, f"{self._name} is not stored")
            return None
        value = self._next[1]
        self._next = next(self._pairs, None)
        return value

    def finish(self) -> None:
        """Whatever is left is too much."""
        while self._next is not None:
            self._findings.surplus(self._next[0], f"{self._name} that nothing refers to")
            self._next = next(self._pairs, None)


class Sum:
    """A digest of a set of records that does not depend on their order; by chance two sets never have the same."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, *parts: bytes) -> None:
        """Take one record in."""
        self._value += int.from_bytes(sha256(b"".join(parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def count_of(reader: Reader, start: bytes, stop: bytes) -> int:
    """How many records a range has."""
    return sum(1 for _ in reader.range(start, stop))


def steps(progress: Progress, stage: str, total: int, every: int) -> Iterator[int]:
    """Count up for ever, and tell progress every so often."""
    done = 0
    while True:
        if done % every == 0:
            progress(stage, done, total)
        yield done
        done += 1
