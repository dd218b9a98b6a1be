# SPDX-License-Identifier: Apache-2.0
"""Writes held back over a state that is only read: a transaction's over its block's, a block's over the store's.

Dropping an overlay undoes everything; `absorb` takes over another's writes. What the base answered is remembered, so
that a block asks its store once for each key; what a rule works out for each operation of a long transaction, such as
who signs it, is worked out once.  Source: docs/protocol.md, section 4.
"""

from collections.abc import Callable, Hashable
from typing import Final, TypeAlias, TypeVar, cast

T = TypeVar("T")

ReadState: TypeAlias = Callable[[bytes], bytes | None]
"""Looks a state key up: its value, or None if absent."""


DERIVED_MAX: Final = 1_024
"""Answers remembered under one prefix: as many as a transaction has operations."""


class Overlay:
    """State as it would be after the writes so far."""

    __slots__ = ("_base", "_derived", "_seen", "writes")

    def __init__(self, base: ReadState) -> None:
        self._base = base
        self._seen: dict[bytes, bytes | None] = {}
        self._derived: dict[bytes, dict[Hashable, object]] = {}
        self.writes: dict[bytes, bytes | None] = {}
        """New values by key, None for a deletion; in the order of first writing."""

    def read(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        if key in self.writes:
            return self.writes[key]
        if key not in self._seen:
            self._seen[key] = self._base(key)
        return self._seen[key]

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a key, or with None delete it."""
        self.writes[key] = value
        self._forget(key)

    def derive(self, prefix: bytes, what: Hashable, make: Callable[[], T]) -> T:
        """What follows from the keys under a prefix alone: made once, and again after any of them was written.

        Args:
            prefix: `make` reads no other key.
            what: Names the answer, with all else that it depends on.
            make: Works it out; the answer is not to be changed. What it raises is not remembered.
        """
        known = self._derived.setdefault(prefix, {})
        if what not in known:
            answer = make()
            if len(known) >= DERIVED_MAX:
                known.clear()
            known[what] = answer
        return cast("T", known[what])

    def absorb(self, other: "Overlay") -> None:
        """Take over the writes of an overlay that lies on this one."""
        self.writes.update(other.writes)
        self._derived.clear()

    def changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """The writes that change something, sorted by key: what was written back as it was is left out."""
        return tuple(
            (key, value) for key, value in sorted(self.writes.items(), key=_by_key) if value != self._underneath(key)
        )

    def _forget(self, key: bytes) -> None:
        """Let go of what was derived from a key that changes."""
        for prefix in self._derived:
            if key.startswith(prefix):
                self._derived[prefix] = {}

    def _underneath(self, key: bytes) -> bytes | None:
        """What the base holds under a key."""
        return self._seen[key] if key in self._seen else self._base(key)


def _by_key(item: tuple[bytes, bytes | None]) -> bytes:
    """Order of writes."""
    return item[0]
