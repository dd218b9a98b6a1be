# SPDX-License-Identifier: Apache-2.0
"""Small writes of many requests, committed together: fewer commits, and no one's failure is another's."""

import asyncio
from contextlib import contextmanager

import pytest
from store_rig import Rig

from service.errors import StorageError
from service.store.models import StoreMark
from service.store.together import LATER_MAX, LATER_S, TOGETHER_MAX, Together


@pytest.fixture
def store(sqlite_rig: Rig):
    return sqlite_rig.open(sqlite_rig.settings())


def counted(store, monkeypatch):
    """How many transactions are begun."""
    begun, write = [], store.write

    @contextmanager
    def counting():
        begun.append(None)
        with write() as session:
            yield session

    monkeypatch.setattr(store, "write", counting)
    return begun


async def test_writes_that_come_together_are_committed_in_few_transactions_and_each_learns_its_own(store, monkeypatch):
    begun = counted(store, monkeypatch)
    together = Together(store)
    count = 3 * TOGETHER_MAX

    def work(number):
        return lambda session: (session.get(StoreMark, 1) is not None, number)

    found = await asyncio.gather(*(together.write(work(number)) for number in range(count)))
    assert [number for _, number in found] == list(range(count))
    assert len(begun) <= 4


async def test_write_that_fails_takes_none_of_those_beside_it_with_it(store, monkeypatch):
    counted(store, monkeypatch)
    together = Together(store)
    done = []

    def good(session):
        mark = session.get(StoreMark, 1)
        mark.epoch += 1
        session.flush()
        done.append(mark.epoch)
        return mark.epoch

    def bad(_session):
        raise StorageError("it fails")

    before = await together.write(good)
    outcomes = await asyncio.gather(*map(together.write, (good, bad, good)), return_exceptions=True)
    assert isinstance(outcomes[1], StorageError)
    with store.read() as session:
        assert session.get(StoreMark, 1).epoch == before + 2 == outcomes[2]


async def test_write_whose_caller_went_away_is_written_all_the_same(store):
    together = Together(store)

    def work(session):
        session.get(StoreMark, 1).epoch = 77

    task = asyncio.create_task(together.write(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await together.write(lambda _session: None)
    with store.read() as session:
        assert session.get(StoreMark, 1).epoch == 77


async def test_writes_that_wait_while_the_service_stops_are_told_so_and_keep_nobody(store, monkeypatch):
    together, begun, go_on = Together(store), asyncio.Event(), asyncio.Event()

    async def held(*_arguments):
        begun.set()
        await go_on.wait()

    monkeypatch.setattr("service.store.together.run_in_threadpool", held)
    waiting = [asyncio.create_task(together.write(lambda _session: None)) for _ in range(TOGETHER_MAX + 1)]
    await begun.wait()
    together._task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in outcomes} == {StorageError}


async def test_write_for_which_nobody_waits_goes_along_before_the_next_one_or_by_itself(store, monkeypatch):
    begun = counted(store, monkeypatch)
    together, done = Together(store), []
    together.later(lambda _session: done.append("later"))
    await together.write(lambda _session: done.append("waited for"))
    assert (done, len(begun)) == (["later", "waited for"], 1)
    together.later(lambda _session: done.append("alone"))
    await asyncio.sleep(LATER_S / 2)
    assert len(begun) == 1
    await asyncio.sleep(LATER_S)
    await together.written()
    assert done[2:] == ["alone"]


async def test_so_many_writes_for_which_nobody_waits_go_at_once(store):
    together, done = Together(store), []
    for number in range(LATER_MAX):
        together.later(lambda _session, number=number: done.append(number))
    assert together._timer is None
    await together.written()
    assert done == list(range(LATER_MAX))


async def test_write_for_which_nobody_waits_and_that_fails_is_noted_and_takes_nothing_with_it(store, capsys):
    def broken(_session):
        raise StorageError("it does not fit")

    together = Together(store)
    together.later(broken)
    assert await together.write(lambda _session: "written") == "written"
    await asyncio.sleep(0)
    assert "store.later-failed" in capsys.readouterr().out
