# SPDX-License-Identifier: Apache-2.0
"""What one step yields, in the order in which the driver must do it: first what must be durable, then the rest.

Everything that a step sends may rest on everything that it decided, so one batch before the first message is enough,
and one sync a step is all that it costs.
"""

from chain.consensus.events import Broadcast, Effect, Persist, Send
from chain.consensus.journal import Record
from chain.consensus.messages import Message
from chain.types import BlsKey, Millis

COURTESIES_MAX = 4096
"""Remembered (peer, topic) pairs; at 64 members a few hundred occur."""


class Outbox:
    """Collects one step's records and effects."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._lazy: dict[bytes, Record] = {}
        self._effects: list[Effect] = []

    def persist(self, record: Record) -> None:
        """Write this before anything of this step is sent."""
        self._records.append(record)

    def persist_lazily(self, record: Record) -> None:
        """Write this with the next batch, whenever that is; nothing rests on it."""
        self._lazy[record.key] = record

    def send(self, to: BlsKey, message: Message) -> None:
        """To one peer."""
        self._effects.append(Send(to, message))

    def broadcast(self, to: tuple[BlsKey, ...], message: Message) -> None:
        """To several peers; to none is no effect."""
        if to:
            self._effects.append(Broadcast(to, message))

    def emit(self, effect: Effect) -> None:
        """Any other effect."""
        self._effects.append(effect)

    def drain(self) -> list[Effect]:
        """Hand over and start afresh."""
        effects = self._effects
        if self._records:
            keys = {record.key for record in self._records}
            lazy = [record for key, record in self._lazy.items() if key not in keys]
            effects = [Persist((*self._records, *lazy)), *effects]
            self._lazy = {}
        self._records = []
        self._effects = []
        return effects


class Courtesy:
    """Bounds how often each peer is answered on each topic, so that no peer makes us work without end."""

    def __init__(self) -> None:
        self._last: dict[tuple[BlsKey, str], Millis] = {}

    def allows(self, peer: BlsKey, topic: str, now: Millis, gap_ms: int) -> bool:
        """Whether to answer now; if so, the next answer waits for the gap."""
        last = self._last.get((peer, topic))
        if last is not None and now - last < gap_ms:
            return False
        if len(self._last) >= COURTESIES_MAX and last is None:
            self._last.pop(next(iter(self._last)))
        self._last[peer, topic] = now
        return True

    def is_recent(self, peer: BlsKey, topic: str, now: Millis, gap_ms: int) -> bool:
        """Whether `allows` said yes within the gap; asking changes nothing."""
        last = self._last.get((peer, topic))
        return last is not None and now - last < gap_ms
