# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys in the store: of two requests under one key, in any two processes, one is carried out."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, delete, func, select, update

from service.idempotency import KEEP_MS, LEASE_MS, Place, State
from service.store.engine import insert_new, transaction
from service.store.models import Replay

REPLAYS_MAX = 1_000_000
"""Kept at once; beyond it the oldest are forgotten before their day is over."""
_SWEEP_MS = 60_000


def unix_ms() -> int:
    """The time of day."""
    return time.time_ns() // 1_000_000


class StoredReplays:
    """Places in the table `replay`; see `service.idempotency.Replays`.

    Args:
        engine: The store's.
        now: Unix time in ms.
    """

    def __init__(self, engine: Engine, now: Callable[[], int] = unix_ms) -> None:
        self._engine = engine
        self._now = now
        self._swept_ms = 0

    def begin(self, key: bytes, request: bytes) -> Place:
        """Take the place of a key, or say who has it. Of two at the same time exactly one gets NEW."""
        now_ms = self._now()
        row = Replay(key=key, request=request, state=State.UNDER_WAY, answer=b"", started_ms=now_ms)
        with transaction(self._engine, writes=True) as session:
            if now_ms - self._swept_ms > _SWEEP_MS:
                self._swept_ms = now_ms
                self._sweep(session.execute, now_ms)
            session.execute(delete(Replay).where(Replay.key == key, Replay.started_ms < now_ms - KEEP_MS))
            if insert_new(session, row):
                return Place(State.NEW, request)
            found = session.get(Replay, key)
            assert found is not None, "what the insertion ran into is there"
            state = State(found.state)
            if state is State.UNDER_WAY and found.started_ms < now_ms - LEASE_MS:
                found.state = state = State.UNKNOWN
            return Place(state, found.request, found.answer)

    def finish(self, key: bytes, answer: bytes) -> None:
        """The request was carried out; keep its sealed answer (empty: too large)."""
        self._set(key, State.DONE, answer)

    def release(self, key: bytes) -> None:
        """Nothing was carried out: the place is free again."""
        with transaction(self._engine, writes=True) as session:
            session.execute(delete(Replay).where(Replay.key == key))

    def lose(self, key: bytes) -> None:
        """The request broke off; whether it was carried out is unknown."""
        self._set(key, State.UNKNOWN, b"")

    def _set(self, key: bytes, state: State, answer: bytes) -> None:
        with transaction(self._engine, writes=True) as session:
            session.execute(update(Replay).where(Replay.key == key).values(state=state, answer=answer))

    def _sweep(self, execute: Callable[..., Any], now_ms: int) -> None:
        execute(delete(Replay).where(Replay.started_ms < now_ms - KEEP_MS))
        surplus = execute(select(func.count()).select_from(Replay)).scalar_one() - REPLAYS_MAX
        if surplus > 0:
            oldest = select(Replay.key).order_by(Replay.started_ms).limit(surplus)
            execute(delete(Replay).where(Replay.key.in_(oldest)))
