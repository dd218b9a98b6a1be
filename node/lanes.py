# SPDX-License-Identifier: Apache-2.0
"""A queue that many sources share: each has its turn, and none holds more than its share.

Pure logic. What waits has a weight, so that one source's heavy items do not count as another's light ones.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

TURN_WEIGHT = 16
"""What one source may contribute before the next has its turn; at least one item, however heavy."""
SHARE = 4
"""One source holds at most one part of so many."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One thing that waits.

    Attributes:
        source: Whose it is.
        weight: What serving it costs, at least 1.
        size_bytes: What keeping it costs.
    """

    item: T
    source: Hashable
    weight: int
    size_bytes: int


@dataclass(slots=True)
class _Queue(Generic[T]):
    """What one source has here."""

    entries: deque[Entry[T]] = field(default_factory=deque)
    weight: int = 0
    size_bytes: int = 0


class Lane(Generic[T]):
    """Things that wait to be served.

    Args:
        weight_max: Of all that waits.
        bytes_max: Likewise.
    """

    def __init__(self, weight_max: int, bytes_max: int) -> None:
        self._weight_max = weight_max
        self._bytes_max = bytes_max
        self._queues: OrderedDict[Hashable, _Queue[T]] = OrderedDict()
        self._weight = 0
        self._size_bytes = 0
        self.count = 0

    def has_room(self, source: Hashable, weight: int, size_bytes: int) -> bool:
        """Whether this may wait here; a source that has nothing here is refused only by a full lane."""
        if self._weight + weight > self._weight_max or self._size_bytes + size_bytes > self._bytes_max:
            return False
        queue = self._queues.get(source)
        return queue is None or (
            (queue.weight + weight) * SHARE <= self._weight_max
            and (queue.size_bytes + size_bytes) * SHARE <= self._bytes_max
        )

    def add(self, entry: Entry[T], *, at_front: bool = False) -> None:
        """Queue it, behind its source's others or, when it has waited already, before them; asks for no room."""
        queue = self._queues.setdefault(entry.source, _Queue())
        if at_front:
            queue.entries.appendleft(entry)
        else:
            queue.entries.append(entry)
        self._count(queue, entry, 1)

    def take(self, weight_max: int, bytes_max: int) -> list[Entry[T]]:
        """Remove the next ones, the sources in turn, up to a weight and size in all; at least one if any waits."""
        taken: list[Entry[T]] = []
        weight, size_bytes = 0, 0
        while self._queues:
            source, queue = next(iter(self._queues.items()))
            turn = 0
            while queue.entries and turn < TURN_WEIGHT:
                entry = queue.entries[0]
                if taken and (weight + entry.weight > weight_max or size_bytes + entry.size_bytes > bytes_max):
                    return taken
                self._count(queue, queue.entries.popleft(), -1)
                taken.append(entry)
                turn += entry.weight
                weight += entry.weight
                size_bytes += entry.size_bytes
            if queue.entries:
                self._queues.move_to_end(source)
            else:
                del self._queues[source]
        return taken

    def extract(self, is_wanted: Callable[[T], bool]) -> list[Entry[T]]:
        """Remove all that are wanted, wherever they stand."""
        found: list[Entry[T]] = []
        for source, queue in list(self._queues.items()):
            wanted = [entry for entry in queue.entries if is_wanted(entry.item)]
            if wanted:
                queue.entries = deque(entry for entry in queue.entries if not is_wanted(entry.item))
                for entry in wanted:
                    self._count(queue, entry, -1)
                if not queue.entries:
                    del self._queues[source]
                found += wanted
        return found

    def _count(self, queue: _Queue[T], entry: Entry[T], sign: int) -> None:
        queue.weight += sign * entry.weight
        queue.size_bytes += sign * entry.size_bytes
        self._weight += sign * entry.weight
        self._size_bytes += sign * entry.size_bytes
        self.count += sign
