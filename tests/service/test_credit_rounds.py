# SPDX-License-Identifier: Apache-2.0
"""What credit does by itself: a round that breaks is told by readiness, and ends with the next that does not."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rounds_rig import AWAY, DEFECT, Script
from sqlalchemy import create_engine
from store_rig import Rig

from chain import genesis
from credit.api import upkeep
from credit.api.base import CreditContext
from credit.api.ledger import FollowedLedger
from credit.api.monitor_job import Monitor
from credit.api.part import credit_part
from service.app import all_checks
from service.index.running import RECENT_MS, RunningIndex
from service.rounds import Round
from tests.certified_ledger import make_genesis

CONTEXT: CreditContext = SimpleNamespace(service_key=None)  # type: ignore[assignment]  # what rounds hand on


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Round]:
    """By name; none waits for the next."""
    for name in ("ROUND_SECONDS", "LISTS_SECONDS", "MONITOR_SECONDS"):
        monkeypatch.setattr(upkeep, name, 0)
    monitor = Monitor(CONTEXT)
    return {one.name: one for one in upkeep.upkeep_rounds(lambda: CONTEXT, lambda: monitor)}


@pytest.mark.parametrize(
    ("name", "first"), [("rounds", "settle"), ("lists", "follow_listings"), ("telling", "are_recorded_waiting")]
)
async def test_round_that_breaks_is_told_until_one_is_whole_and_a_ledger_that_is_away_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, rounds: dict[str, Round], name: str, first: str
) -> None:
    script = Script(None, DEFECT, AWAY, None, DEFECT, None)

    async def threaded(work: Callable[..., object], *_arguments: object) -> bool:
        if work is getattr(upkeep, first):
            await script()
        return False

    async def nothing(_context: CreditContext) -> None:
        return

    monkeypatch.setattr(upkeep, "run_in_threadpool", threaded)
    for each in ("open_waiting", "send_again", "send_notices"):
        monkeypatch.setattr(upkeep, each, nothing)
    monkeypatch.setattr(upkeep.consents, "follow", nothing)
    assert await script.watched(rounds[name]) == [True, True, False, True, True, False, True]


async def test_monitor_that_breaks_is_told_until_it_is_whole_and_does_not_try_again_what_was_asked(
    monkeypatch: pytest.MonkeyPatch, rounds: dict[str, Round]
) -> None:
    script = Script(DEFECT, None)
    monkeypatch.setattr(Monitor, "round", script.method)
    assert await script.watched(rounds["monitor"]) == [True, False, True]
    monitor = Monitor(CONTEXT)
    monitor.ask()

    async def breaks(_monitor: Any) -> None:
        raise DEFECT

    monkeypatch.setattr(Monitor, "round", breaks)
    with pytest.raises(ZeroDivisionError):
        await monitor.keep_up()
    assert not monitor.is_asked


async def test_readiness_names_each_round(sqlite_rig: Rig) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    part = credit_part(store, None, None, "https://credit.example.org", service_key=None)  # type: ignore[arg-type]  # nothing is asked of them
    assert sorted(all_checks(part)) == ["lists", "monitor", "rounds", "telling"]


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
