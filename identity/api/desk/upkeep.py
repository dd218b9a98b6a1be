# SPDX-License-Identifier: Apache-2.0
"""What the desk does by itself: follow acts, send again what the ledger has not answered, keep to retention settings.

One process at a time need not be chosen: each round is transactions that another process may have done already.
"""

import asyncio
from collections.abc import Callable

from sqlalchemy import delete, select, true
from starlette.concurrency import run_in_threadpool

from identity.api.accesses.reading import forget_contents
from identity.api.desk.access_ticks import tick
from identity.api.desk.base import DAY_MS, HOUR_MS, DeskContext
from identity.api.desk.cards_replacing import AGAIN_MS, stop_all
from identity.api.desk.compartments import forget_before
from identity.api.desk.erasing import due, erase
from identity.api.desk.follow import follow_all, send_again
from identity.api.desk.states import CaseKind, CaseState, PersonState
from identity.api.desk.tables import DeskAccess, DeskCase, DeskImage, DeskImagePiece, DeskLookUp, DeskPerson
from service.errors import PersonErased
from service.rounds import Round
from service.store.audit import SYSTEM

ROUND_MS = 1_000
"""An approval whose page was closed is seen after a second."""
BATCH = 100
"""Rows of one round: some milliseconds, so that nobody waits long for a turn."""


def following(desk: Callable[[], DeskContext]) -> Round:
    """Follows acts and deadlines, and forgets.

    Args:
        desk: The desk, once the service runs.
    """
    tidied_ms = stopped_ms = 0

    async def once() -> None:
        nonlocal tidied_ms, stopped_ms
        own = desk()
        await send_again(own)
        await run_in_threadpool(follow_all, own)
        if own.now() - stopped_ms >= AGAIN_MS:
            stopped_ms = own.now()
            await stop_all(own)
        if own.now() - tidied_ms >= HOUR_MS:
            await run_in_threadpool(tidy, own)
            tidied_ms = own.now()

    return Round("rounds", once, ROUND_MS / 1000)  # with the ledger away officers go on, and acts are sent again


def writing(desk: Callable[[], DeskContext], every_ms: int) -> Round:
    """Sends accesses to the ledger at each full span of the clock; what fails is sent again.

    Args:
        desk: The desk, once the service runs.
        every_ms: The span.
    """

    async def once() -> None:
        own = desk()
        spans = own.now() // every_ms
        while True:
            await asyncio.sleep(min(ROUND_MS, every_ms) / 1000)
            if own.now() // every_ms != spans:
                break
        await tick(own)

    return Round("accesses", once, 0)


def tidy(desk: DeskContext) -> dict[str, int]:
    """Delete what has been kept long enough, and erase whose waiting period is over.

    Returns:
        How many of each were removed.
    """
    follow_all(desk)
    return {
        "drafts": _each(desk, _drafts),
        "images": _images(desk),
        "accesses": _accesses(desk),
        "compartments": forget_before(desk),
        "erasures": _each(desk, due),
    }


def _each(desk: DeskContext, find: Callable[[DeskContext], list[str]]) -> int:
    """Erase each of these persons."""
    count = 0
    for person_id in find(desk):
        try:
            erase(desk, person_id, SYSTEM)
        except PersonErased:  # another process was faster
            continue
        count += 1
    return count


def _drafts(desk: DeskContext) -> list[str]:
    """Persons of whom nothing was ever proposed, or nothing came, for so long."""
    before_ms = desk.now() - desk.retention.draft_days * DAY_MS
    with desk.store.read() as session:
        proposed = select(DeskCase.person_id).where(
            (DeskCase.kind == CaseKind.ENROL) & DeskCase.state.in_((CaseState.PROPOSED, CaseState.RETURNED))
        )
        wanted = (
            DeskPerson.state.in_((PersonState.DRAFT, PersonState.DROPPED))
            & (DeskPerson.changed_ms < before_ms)
            & DeskPerson.person_id.not_in(proposed)
        )
        return list(session.scalars(select(DeskPerson.person_id).where(wanted).limit(BATCH)))


def _images(desk: DeskContext) -> int:
    before_ms = desk.now() - desk.retention.image_days * DAY_MS
    with desk.store.write() as session:
        old = session.scalars(select(DeskImage.id).where(DeskImage.created_ms < before_ms).limit(BATCH)).all()
        session.execute(delete(DeskImagePiece).where(DeskImagePiece.image_id.in_(old)))
        session.execute(delete(DeskImage).where(DeskImage.id.in_(old)))
    return len(old)


def _accesses(desk: DeskContext) -> int:
    """Access entries keep their numbers, so that the citizen sees how many older ones were deleted by their time.

    Those that wait for their slot are kept.
    """
    before_ms = desk.now() - desk.retention.access_days * DAY_MS
    with desk.store.write() as session:
        is_over = DeskAccess.opening_id.is_not(None) if desk.service_key else true()
        wanted = select(DeskAccess.id, DeskAccess.opening_id).where(DeskAccess.at_ms < before_ms, is_over)
        old = {row.id: row.opening_id for row in session.execute(wanted.limit(BATCH))}
        forget_contents(session, desk.store, [one for one in old.values() if one])
        session.execute(delete(DeskAccess).where(DeskAccess.id.in_(old)))
        session.execute(delete(DeskLookUp).where(DeskLookUp.at_ms < before_ms))
    return len(old)
