# SPDX-License-Identifier: Apache-2.0
"""Makes the monitor's figures in the background, a step at a time, in a thread: pages never wait for it.

A month's figures are made once, when it is over, of the scores of that day; those of the current month when the
authority asks. A crash loses the figures that were being made, and the next round begins anew.
"""

import asyncio
import time
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.types import sha256
from credit.api.base import DAY_MS, SCORECARD, CreditContext, date_of, day_of
from credit.api.monitor_figures import (
    Card,
    Figures,
    Reference,
    Scored,
    before,
    figures_of,
    first_day,
    groups_of,
    month_of,
)
from credit.api.monitor_figures import after as month_after
from credit.api.page_tables import CreditGrouping, CreditMonth, CreditReference
from credit.api.requests import ANSWERED, BENEFIT, DISPUTE, REVIEW, read_request
from credit.api.standings import scored_events
from credit.api.subjects import Kind, State
from credit.api.tables import CreditRequest, CreditSubject
from credit.monitor import GROUP_MIN, Acts, Standing
from credit.score import score
from credit.scorecard import Scorecard, parse
from service.errors import PersonErased
from service.store.audit import SYSTEM
from service.store.engine import insert_new

STEP: Final = 100
"""Subjects or requests of one step: some hundredths of a second of a thread."""
REST: Final = 1.0
"""After each step, as long again for who waits for a page."""
SUBJECTS_MAX: Final = 1_000_000
REQUESTS_MAX: Final = 1_000_000
"""A city's; more would mean that a loop does not end."""

log = structlog.get_logger(__name__)


class Monitor:
    """The job of one service.

    Args:
        context: Which service.
    """

    def __init__(self, context: CreditContext) -> None:
        self._context = context
        self._asked = False
        self._over = ""

    @property
    def is_asked(self) -> bool:
        """Whether figures so far are being made, or will be."""
        return self._asked

    def ask(self) -> None:
        """Have the current month's figures made; asked twice, they are made once."""
        self._asked = True

    async def keep_up(self) -> None:
        """Make what is due; figures so far that break are not made again by themselves."""
        try:
            await self.round()
        except Exception:
            self._asked = False
            raise

    async def round(self) -> list[str]:
        """Make what is due; the months whose figures were made."""
        now = month_of(date_of(self._context.today))
        last = before(now)
        made: list[str] = []
        if self._over != last:
            if await run_in_threadpool(self._is_due, last):
                await self._make(last, is_over=True)
                made.append(last)
            self._over = last
        if self._asked:
            await self._make(now, is_over=False)
            self._asked = False
            made.append(now)
        return made

    def _is_due(self, month: str) -> bool:
        """Whether a month that is over has no figures yet, and had somebody to count."""
        end_ms = day_of(first_day(month_after(month))) * DAY_MS
        with self._context.store.read() as session:
            kept = session.get(CreditMonth, month)
            if kept is not None and kept.is_over:
                return False
            counted = (CreditSubject.created_ms < end_ms) & (CreditSubject.state == State.OPEN)
            return session.scalar(select(CreditSubject.id).where(counted).limit(1)) is not None

    async def _make(self, month: str, *, is_over: bool) -> None:
        context = self._context
        found = await run_in_threadpool(context.index.scorecard, SCORECARD)
        if found is None:
            return
        version, document = found
        day, card = context.today, parse(document)
        bases = await run_in_threadpool(bases_of, context)
        scored = await self._score(card, day, bases)
        acts = await self._count(month)
        digest = sha256(document)
        named = Card(digest.hex(), version)

        def finish() -> None:
            reference = reference_of(context, digest)
            made = figures_of(month, day, named, scored, acts, reference=reference, bases=bases, is_over=is_over)
            keep_month(context, made, scored if is_over and reference is None else None)

        await run_in_threadpool(finish)

    async def _score(self, card: Scorecard, day: int, bases: dict[str, str]) -> Scored:
        scored, last = Scored(), ""
        for _ in range(SUBJECTS_MAX // STEP):
            begun = time.monotonic()
            after = await run_in_threadpool(_score_some, self._context, scored, last, card, day, bases)
            if not after:
                break
            last = after
            await asyncio.sleep(REST * (time.monotonic() - begun))
        return scored

    async def _count(self, month: str) -> Acts:
        counts: dict[str, int] = {}
        last = ""
        for _ in range(REQUESTS_MAX // STEP):
            after = await run_in_threadpool(_count_some, self._context, counts, month, last)
            if not after:
                break
            last = after
            await asyncio.sleep(0)
        return Acts(**counts)


def _score_some(
    context: CreditContext, scored: Scored, last: str, card: Scorecard, day: int, bases: dict[str, str]
) -> str:
    """Score the next subjects; the id of the last of them, or "" when there are no more."""
    with context.store.read() as session:
        wanted = (CreditSubject.state == State.OPEN) & (CreditSubject.id > last)
        rows = session.scalars(select(CreditSubject).where(wanted).order_by(CreditSubject.id).limit(STEP)).all()
        events = scored_events(context, session, rows)
        for row in rows:
            if row.id not in events:
                continue
            is_company = row.kind == Kind.COMPANY
            groups = () if is_company or not bases else groups_of(_number(context, session, row), day, bases)
            result = score(events[row.id], card, day)
            scored.add(Standing(result.points, result.grade, groups))
            scored.companies += is_company
    return rows[-1].id if rows else ""


def _number(context: CreditContext, session: Session, row: CreditSubject) -> str:
    try:
        return context.store.people.open(session, row, CreditSubject.number) or ""
    except PersonErased:
        return ""


def _count_some(context: CreditContext, counts: dict[str, int], month: str, last: str) -> str:
    """Count what the next requests came to; the id of the last of them, or "" when there are no more."""
    start, end = (day_of(first_day(one)) * DAY_MS for one in (month, month_after(month)))
    wanted = (
        (CreditRequest.state == ANSWERED)
        & CreditRequest.kind.in_((BENEFIT, REVIEW, DISPUTE))
        & (CreditRequest.closed_ms >= start)
        & (CreditRequest.closed_ms < end)
        & (CreditRequest.id > last)
    )
    with context.store.read() as session:
        rows = session.scalars(select(CreditRequest).where(wanted).order_by(CreditRequest.id).limit(STEP)).all()
        for row in rows:
            try:
                words = read_request(context, session, row).words
            except PersonErased:
                continue
            for name in _counted(row, words):
                counts[name] = counts.get(name, 0) + 1
    return rows[-1].id if rows else ""


def _counted(row: CreditRequest, words: dict[str, object]) -> list[str]:
    """Which counts of `Acts` a request adds to."""
    if row.kind == BENEFIT:
        return ["granted" if words.get("granted") else "refused"]
    if row.kind == REVIEW:
        return ["reviewed", "overruled"] if words.get("outcome") == "changed" else ["reviewed"]
    found = ["disputes_decided"]
    if words.get("outcome") in ("corrected", "withdrawn"):
        found.append("disputes_upheld")
    if row.due_day and row.closed_ms // DAY_MS > row.due_day:
        found.append("disputes_late")
    return found


# ---------------------------------------------------------------- what is kept


def bases_of(context: CreditContext) -> dict[str, str]:
    """Attributes by which grades may be compared, with their legal basis."""
    with context.store.read() as session:
        return {row.attribute: row.basis for row in session.scalars(select(CreditGrouping))}


def put_basis(context: CreditContext, actor: str, organisation: str, attribute: str, basis: str) -> None:
    """Let grades be compared by an attribute from the next figures on; an empty basis ends that."""
    with context.store.write() as session:
        row = session.get(CreditGrouping, attribute, with_for_update=True)
        if row is not None:
            session.delete(row)
            session.flush()
        if basis:
            now_ms = context.now()
            session.add(CreditGrouping(attribute=attribute, basis=basis, organisation=organisation, since_ms=now_ms))
        context.record(
            session, actor, "credit.grouping-set" if basis else "credit.grouping-ended", record_of(attribute)
        )


def reference_of(context: CreditContext, scorecard: bytes) -> Reference | None:
    """What a scorecard's months are compared with; None: nothing yet."""
    with context.store.read() as session:
        row = session.get(CreditReference, scorecard)
        return None if row is None else Reference.decode(row.month, row.points)


def keep_month(context: CreditContext, figures: Figures, begins: Scored | None = None) -> None:
    """Keep a month's figures; those of a month that was over stay as they were.

    Args:
        context: Which service.
        figures: What to keep.
        begins: With whom later months are compared, if nobody stands there yet; None: they are not.
    """
    with context.store.write() as session:
        row = session.get(CreditMonth, figures.month, with_for_update=True)
        if row is not None and row.is_over:
            return
        if row is not None:
            session.delete(row)
            session.flush()
        kept = CreditMonth(
            month=figures.month, is_over=figures.is_over, made_ms=context.now(), figures=figures.encode()
        )
        insert_new(session, kept)  # two processes may come to the same month at once
        if begins is not None and len(begins.standings) >= GROUP_MIN:
            reference = Reference.of(figures.month, begins.standings)
            digest = bytes.fromhex(figures.scorecard)
            insert_new(session, CreditReference(scorecard=digest, month=figures.month, points=reference.encode()))
        context.record(session, SYSTEM, "credit.month-counted", record_of(figures.month))


def month_kept(context: CreditContext, month: str) -> tuple[Figures, int] | None:
    """A month's figures and when they were made; None: there are none."""
    with context.store.read() as session:
        row = session.get(CreditMonth, month)
        return None if row is None else (Figures.decode(row.figures), row.made_ms)


def months_kept(context: CreditContext, most: int) -> list[Figures]:
    """The newest months' figures, newest first."""
    query = select(CreditMonth.figures).order_by(CreditMonth.month.desc()).limit(most)
    with context.store.read() as session:
        return [Figures.decode(raw) for raw in session.scalars(query)]


def record_of(name: str) -> str:
    """What the audit chain calls a month or an attribute: its records are named by digits alone."""
    return sha256(name.encode()).hex()
