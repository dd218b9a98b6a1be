# SPDX-License-Identifier: Apache-2.0
"""What the desk does by itself: a round that breaks is told by readiness, and ends with the next that does not."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from client.errors import TransportError
from identity.api.desk import upkeep
from identity.api.desk.base import DeskContext


class Round:
    """Does what a test says, round by round, then nothing."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[set[str]] = []
        self.broken: set[str] = set()
        self.ended = asyncio.Event()

    async def __call__(self, _desk: DeskContext) -> None:
        self.seen.append(set(self.broken))
        if not self.outcomes:
            self.ended.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome


async def watched(loop: Callable[[], Awaitable[None]], one: Round) -> list[set[str]]:
    """What was broken at the beginning of each round."""
    task = asyncio.ensure_future(loop())
    try:
        async with asyncio.timeout(10):
            await one.ended.wait()
    finally:
        task.cancel()
    return one.seen


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "ROUND_MS", 1)
    for name in ("follow_all", "tidy"):
        monkeypatch.setattr(upkeep, name, lambda _desk: {})

    async def nothing(_desk: DeskContext) -> None:
        return

    monkeypatch.setattr(upkeep, "stop_all", nothing)


def desk() -> DeskContext:
    clock = iter(range(10**9))
    return SimpleNamespace(now=lambda: next(clock))  # type: ignore[return-value]  # a desk's clock alone


async def test_round_that_breaks_is_told_until_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(ValueError("a defect"), TransportError("away", "ledger.down"), None)
    monkeypatch.setattr(upkeep, "send_again", one)
    seen = await watched(lambda: upkeep.keep_up(desk(), one.broken), one)
    assert seen == [set(), {"rounds"}, {"rounds"}, set()]


async def test_ledger_that_is_away_makes_no_desk_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(TransportError("away", "ledger.down"), None)
    monkeypatch.setattr(upkeep, "send_again", one)
    assert await watched(lambda: upkeep.keep_up(desk(), one.broken), one) == [set(), set(), set()]


async def test_tick_of_accesses_that_breaks_is_told_until_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(KeyError("a defect"), TransportError("away", "ledger.down"), None)
    monkeypatch.setattr(upkeep, "tick", one)
    seen = await watched(lambda: upkeep.keep_writing(desk(), 1, one.broken), one)
    assert seen == [set(), {"accesses"}, {"accesses"}, set()]
