# SPDX-License-Identifier: Apache-2.0
"""Writes held back over a state that is only read: a transaction's over its block's, a block's over the store's.

Dropping an overlay undoes everything; `absorb` takes over another's writes. What the base answered is remembered, so
that a block asks its store once for each key.  Source: docs/protocol.md, section 4.
"""

from collections.abc import Callable
from typing import TypeAlias

ReadState: TypeAlias = Callable[[bytes], bytes | None]
"""Looks a state key up: its value, or None if absent."""


class Overlay:
    """State as it would be after the writes so far."""

    __slots__ = ("_base", "_seen", "writes")

    def __init__(self, base: ReadState) -> None:
        self._base = base
        self._seen: dict[bytes, bytes | None] = {}
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

    def absorb(self, other: "Overlay") -> None:
        """Take over the writes of an overlay that lies on this one."""
        self.writes.update(other.writes)

    def changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """The writes that change something, sorted by key: what was written back as it was is left out."""
        return tuple(
            (key, value) for key, value in sorted(self.writes.items(), key=_by_key) if value != self._underneath(key)
        )

    def _underneath(self, key: bytes) -> bytes | None:
        """What the base holds under a key."""
        return self._seen[key] if key in self._seen else self._base(key)


def _by_key(item: tuple[bytes, bytes | None]) -> bytes:
    """Order of writes."""
    return item[0]
