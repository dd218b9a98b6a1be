# SPDX-License-Identifier: Apache-2.0
"""What credit does by itself: a round that breaks is told by readiness, and ends with the next that does not."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine
from store_rig import Rig

from chain import genesis
from client.errors import TransportError
from credit.api import monitor_job, upkeep
from credit.api.base import CreditContext
from credit.api.ledger import FollowedLedger
from credit.api.monitor_job import Monitor
from credit.api.part import credit_part
from service.index.running import RECENT_MS, RunningIndex
from tests.certified_ledger import make_genesis

Loop = Callable[[CreditContext, set[str]], Coroutine[Any, Any, None]]


class Round:
    """Does what a test says, round by round, then nothing."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[set[str]] = []
        self.broken: set[str] = set()
        self.ended = asyncio.Event()

    async def __call__(self, *_arguments: object) -> None:
        self.seen.append(set(self.broken))
        if not self.outcomes:
            self.ended.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome

    async def watched(self, loop: Coroutine[Any, Any, None]) -> list[set[str]]:
        """What was broken at the beginning of each round."""
        task = asyncio.ensure_future(loop)
        try:
            async with asyncio.timeout(10):
                await self.ended.wait()
        finally:
            task.cancel()
        return self.seen


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUND_SECONDS", "LISTS_SECONDS"):
        monkeypatch.setattr(upkeep, name, 0)
    monkeypatch.setattr(monitor_job, "ROUND_SECONDS", 0)


CONTEXT: CreditContext = SimpleNamespace(service_key=None)  # type: ignore[assignment]  # what loops hand on


@pytest.mark.parametrize(
    ("loop", "first", "name"),
    [
        (upkeep.keep_up, "settle", upkeep.ROUNDS),
        (upkeep.keep_lists, "follow_listings", upkeep.LISTS),
        (upkeep.keep_telling, "are_recorded_waiting", upkeep.TELLING),
    ],
)
async def test_round_that_breaks_is_told_until_one_is_whole_and_a_ledger_that_is_away_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, loop: Loop, first: str, name: str
) -> None:
    one = Round(None, ZeroDivisionError(), TransportError("away", "x"), None, TransportError("away", "x"))

    async def threaded(work: Callable[..., object], *_arguments: object) -> bool:
        if work is getattr(upkeep, first):
            await one()
        return False

    async def nothing(_context: CreditContext) -> None:
        return

    monkeypatch.setattr(upkeep, "run_in_threadpool", threaded)
    for each in ("open_waiting", "send_again", "send_notices"):
        monkeypatch.setattr(upkeep, each, nothing)
    monkeypatch.setattr(upkeep.consents, "follow", nothing)
    assert await one.watched(loop(CONTEXT, one.broken)) == [set(), set(), {name}, {name}, set(), set()]


async def test_monitor_that_breaks_is_told_until_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(ZeroDivisionError(), None)
    monkeypatch.setattr(Monitor, "round", one.__call__)
    monitor = Monitor(CONTEXT)
    assert await one.watched(monitor.run(one.broken, upkeep.MONITOR)) == [set(), {upkeep.MONITOR}, set()]


async def test_readiness_names_each_loop_that_broke(sqlite_rig: Rig) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    part = credit_part(store, None, None, "https://credit.example.org", service_key=None)  # type: ignore[arg-type]  # nothing is asked of them
    assert sorted(part.checks) == sorted(upkeep.LOOPS)
    assert all([await check() for check in part.checks.values()])
    watched = part.checks[upkeep.TELLING]
    assert isinstance(watched, partial)
    watched.args[0].add(upkeep.TELLING)
    assert [name for name, check in part.checks.items() if not await check()] == [upkeep.TELLING]


@pytest.mark.parametrize(
    ("age_ms", "is_ready"), [(0, True), (RECENT_MS - 5_000, True), (RECENT_MS, False), (86_400_000, False)]
)
async def test_readiness_says_when_the_index_no_longer_follows(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch, age_ms: int, is_ready: bool
) -> None:
    """However many blocks it has had."""
    engine = create_engine("sqlite://")
    ledger = FollowedLedger(genesis.load(make_genesis()), None, engine)
    monkeypatch.setattr(RunningIndex, "indexed_ms", lambda _self: time.time_ns() // 1_000_000 - age_ms)
    store = sqlite_rig.open(sqlite_rig.settings())
    part = credit_part(store, engine, ledger, "https://credit.example.org", service_key=None)
    assert await part.checks["index"]() is is_ready
