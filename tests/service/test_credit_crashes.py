# SPDX-License-Identifier: Apache-2.0
"""A process killed before or after any commit, or on the way to the ledger, loses no event and counts none twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from credit_service_rig import ACTOR, SOURCE_X, CreditService, context_of, credit_service
from sqlalchemy import select
from sqlalchemy.orm import Session
from store_rig import Rig

from credit.api.base import CreditContext
from credit.api.batches import prepare, send, send_again
from credit.api.drawing import Wanted
from credit.api.reports import make_report
from credit.api.requests import dispute, follow_requests, requests_of
from credit.api.settling import settle
from credit.api.subjects import open_waiting
from credit.api.tables import CreditEvent
from credit.slots import Content
from service.problems import Problem
from service.store import Store

STEPS_MAX = 60
"""More commits than any of these ways has: the last runs end without being killed."""


class Killed(BaseException):
    """SIGKILL: nothing catches it, nothing is cleaned up but what the database does by itself."""


class MortalStore:
    """A store whose process dies at the n-th commit, just before it or just after."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._at, self._after = store, at, after
        self._commits = count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def write(self) -> Iterator[Session]:
        number = next(self._commits)
        with self._store.write() as session:
            yield session
            if number == self._at and not self._after:
                raise Killed
        if number == self._at:
            raise Killed


def mortal(service: CreditService, at: int, *, after: bool) -> CreditContext:
    store: Any = MortalStore(service.store, at, after=after)
    return replace(service.context, store=store)


async def attest(context: CreditContext, subjects: list[str]) -> None:
    """What a source's system does, and does again after it saw no answer."""
    day = context.today - 3
    events = [
        Wanted(subject, 101 if i else 301, Content("general" if i else "none", day, day), f"{subject[:8]}-{i}")
        for subject in subjects
        for i in range(2)
    ]
    made = await prepare(context, ACTOR, "org-x", events, SOURCE_X.signer)
    await send(context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))


async def recover(service: CreditService) -> CreditContext:
    """What the next process does by itself, until everything that was under way has an end."""
    context = context_of(service.rig, service.store, service.ledger)
    for milliseconds in (10_000, 600_000):
        service.ledger.pass_blocks(milliseconds)
        await open_waiting(context)
        await send_again(context)
        settle(context)
        follow_requests(context)
    return context


def positions(service: CreditService) -> list[tuple[str, int | None]]:
    with service.store.read() as session:
        query = select(CreditEvent.subject_id, CreditEvent.position)
        return sorted((subject, position) for subject, position in session.execute(query))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", ["connected", "answers lost"])
async def test_process_killed_at_any_commit_of_a_batch_leaves_each_event_once_with_its_opening(
    tmp_path_factory: pytest.TempPathFactory,
    after: bool,
    way: str,
) -> None:
    for at in range(STEPS_MAX):
        rig = Rig(tmp_path_factory.mktemp("crash"), None)
        with credit_service(rig, logs=2) as service:
            subjects = [await service.open_log(number) for number in ("440601199001011234", "440601199001015678")]
            service.ledger.loses_answers = way != "connected"
            is_killed = await _is_killed(lambda: attest(mortal(service, at, after=after), subjects))  # noqa: B023 - run at once
            service.ledger.loses_answers = False
            context = await recover(service)
            if positions(service):
                with pytest.raises(Problem, match=r"credit\.duplicate"):
                    await attest(context, subjects)
            else:
                await attest(context, subjects)
            settle(context)
            assert positions(service) == sorted((subject, i) for subject in subjects for i in range(2))
            for subject in subjects:
                assert len((await make_report(context, subject)).event_ids) == 2
        rig.close()
        if not is_killed:
            assert at >= 2
            return
    raise AssertionError("the batch has more commits than this test kills at")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_process_killed_at_any_commit_of_an_objection_leaves_one_that_can_be_answered_or_none(
    tmp_path_factory: pytest.TempPathFactory,
    after: bool,
) -> None:
    for at in range(STEPS_MAX):
        rig = Rig(tmp_path_factory.mktemp("crash"), None)
        with credit_service(rig, logs=1) as service:
            ann = await service.open_log("440601199001011234")
            await attest(service.context, [ann])
            event_id = (await make_report(service.context, ann)).event_ids[1]
            is_killed = await _is_killed(
                lambda: dispute(mortal(service, at, after=after), ann, event_id, "not so")  # noqa: B023 - run at once
            )
            context = await recover(service)
            is_disputed = (await make_report(context, ann)).verified.entries[1].event.status == "disputed"
            living = [one for one in requests_of(context, ann) if one.row.state == "open"]
            assert len(living) == is_disputed
            if not is_disputed:
                await dispute(context, ann, event_id, "not so")
                assert (await make_report(context, ann)).score.frozen == 1
        rig.close()
        if not is_killed:
            assert at > 1
            return
    raise AssertionError("an objection has more commits than this test kills at")


async def _is_killed(work: Callable[[], Any]) -> bool:
    try:
        await work()
    except Killed:
        return True
    return False
