# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys in the store: of several requests under one key exactly one is carried out."""

import threading

import pytest
from sqlalchemy import func, select
from store_rig import Rig

from service.idempotency import KEEP_MS, LEASE_MS, State
from service.store import replays
from service.store.models import Replay

KEY, REQUEST = b"k" * 32, b"r" * 32


def test_first_request_under_a_key_takes_it_and_later_ones_get_its_answer(rig: Rig) -> None:
    places = rig.open(rig.settings()).replays()
    assert places.begin(KEY, REQUEST).state is State.NEW
    assert places.begin(KEY, REQUEST).state is State.UNDER_WAY
    places.finish(KEY, b"answer")
    place = places.begin(KEY, b"other".ljust(32))
    assert (place.state, place.request, place.answer) == (State.DONE, REQUEST, b"answer")
    assert places.begin(b"l" * 32, REQUEST).state is State.NEW


def test_key_that_is_released_is_free_and_one_that_is_lost_is_unknown(rig: Rig) -> None:
    places = rig.open(rig.settings()).replays()
    places.begin(KEY, REQUEST)
    places.release(KEY)
    assert places.begin(KEY, REQUEST).state is State.NEW
    places.lose(KEY)
    assert places.begin(KEY, REQUEST).state is State.UNKNOWN


def test_race_for_a_key_between_processes_is_won_by_exactly_one(rig: Rig) -> None:
    settings = rig.settings()
    stores = [rig.open(settings).replays() for _ in range(4)]
    for turn in range(5):
        barrier, states = threading.Barrier(4), list[State]()

        def run(index: int, turn: int = turn, barrier: threading.Barrier = barrier, states: list = states) -> None:
            barrier.wait(60)
            states.append(stores[index].begin(turn.to_bytes(32, "big"), REQUEST).state)

        threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert sorted(states) == [State.NEW, *[State.UNDER_WAY] * 3]


def test_request_whose_process_died_has_an_unknown_outcome_until_its_day_is_over(rig: Rig) -> None:
    places = rig.open(rig.settings()).replays()
    places.begin(KEY, REQUEST)
    rig.clock_ms += LEASE_MS
    assert places.begin(KEY, REQUEST).state is State.UNDER_WAY
    rig.clock_ms += 1
    assert places.begin(KEY, REQUEST).state is State.UNKNOWN
    rig.clock_ms += KEEP_MS
    assert places.begin(KEY, REQUEST).state is State.NEW


def test_table_of_keys_stays_below_its_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "REPLAYS_MAX", 3)
    store = rig.open(rig.settings())
    places = store.replays()
    for index in range(8):
        rig.clock_ms += 61_000
        places.begin(index.to_bytes(32, "big"), REQUEST)
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(Replay)) == 4
    assert places.begin((7).to_bytes(32, "big"), REQUEST).state is State.UNDER_WAY
