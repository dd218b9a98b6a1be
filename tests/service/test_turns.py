# SPDX-License-Identifier: Apache-2.0
"""Turns for work that takes a processor for itself."""

import asyncio

import pytest

from service import problems
from service.problems import Problem
from service.turns import Turns


async def test_so_many_work_at_once_so_many_wait_and_the_rest_are_told_that_it_is_busy() -> None:
    turns, go_on = Turns(2, 3), asyncio.Event()
    most = now = 0

    async def work() -> None:
        nonlocal most, now
        async with turns.turn():
            now += 1
            most = max(most, now)
            await go_on.wait()
            now -= 1

    tasks = [asyncio.create_task(work()) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 3
    for task in refused:
        with pytest.raises(Problem) as told:
            await task
        assert told.value.kind is problems.BUSY
    go_on.set()
    await asyncio.gather(*(task for task in tasks if task not in refused))
    assert most == 2


async def test_who_gives_up_waiting_leaves_the_queue_and_who_fails_leaves_the_place() -> None:
    turns = Turns(1, 1)
    async with turns.turn():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), turns.turn():
                raise AssertionError
        waiting = asyncio.create_task(turns.turn().__aenter__())  # the queue is empty again
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    other = Turns(1, 0)
    with pytest.raises(ValueError, match="of the work"):
        async with other.turn():
            raise ValueError("of the work")
    async with other.turn():
        pass
