# SPDX-License-Identifier: Apache-2.0
"""What waits for the core: this node's own events first, then one message of each peer in turn.

Pure logic. A peer that floods fills its own queue alone, and loses what does not fit; the protocol survives losses.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from chain.consensus import events
from chain.types import BlsKey

PEER_MESSAGES_MAX = 8_192
"""Of one peer. Its streams wait long before; only many streams of it at once get here."""
PEER_BYTES_MAX = 32 * 1024 * 1024
"""Likewise: twice what waits at its sender, and never less than two of the largest messages."""


@dataclass(slots=True)
class _Queue:
    """One peer's messages with their sizes."""

    items: deque[tuple[events.Received, int]] = field(default_factory=deque)
    size_bytes: int = 0


class Mail:
    """Events for the core, in the order in which it takes them."""

    def __init__(self) -> None:
        self._own: deque[events.Event] = deque()
        self._peers: OrderedDict[BlsKey, _Queue] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._own or self._peers)

    def put(self, event: events.Event, size_bytes: int = 0) -> bool:
        """Queue an event; False if it is a message for which its sender has no room left."""
        if not isinstance(event, events.Received):
            self._own.append(event)
            return True
        queue = self._peers.setdefault(event.sender, _Queue())
        is_full = len(queue.items) >= PEER_MESSAGES_MAX or queue.size_bytes + size_bytes > PEER_BYTES_MAX
        if is_full and queue.items:
            return False
        queue.items.append((event, size_bytes))
        queue.size_bytes += size_bytes
        return True

    def take(self) -> events.Event:
        """The next one; there must be one."""
        if self._own:
            return self._own.popleft()
        sender, queue = self._peers.popitem(last=False)
        event, size_bytes = queue.items.popleft()
        queue.size_bytes -= size_bytes
        if queue.items:
            self._peers[sender] = queue
        return event

    def is_busy(self, sender: BlsKey, messages_max: int) -> bool:
        """Whether more than so many of a peer's messages wait, or half of the bytes that may."""
        queue = self._peers.get(sender)
        return queue is not None and (len(queue.items) > messages_max or queue.size_bytes > PEER_BYTES_MAX // 2)
