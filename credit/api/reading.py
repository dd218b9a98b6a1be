# SPDX-License-Identifier: Apache-2.0
"""What may be read of a subject for which purpose, that it was read, and who must be told when something changes.

Whether somebody consented, the ledger says (`consents`); that somebody looked, the person's list there says too
(`accesses`). What stands here alone is what a reader was shown, so that they are told of changes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.types import sha256
from client.errors import TransportError
from credit.api.base import DAY_MS, MINUTE_MS, CreditContext, load_subject
from credit.api.events import Event
from credit.api.notices import Notice
from credit.api.slot_index import Slot
from credit.api.tables import CreditAccess, CreditEvent, CreditNotice
from credit.api.telling import REPORT_CHANGED, tell_organisation
from credit.pb import credit_pb2 as pb
from credit.report import STATUS_NAMES

LISTED_MAX: Final = 50
"""Looks of one page."""
PAGES_MAX: Final = 10_000
HANDLE_MS: Final = 60 * MINUTE_MS
"""Within that, look-ups of somebody's handle by one organisation are one look: it learns nothing new from another."""
NOTICES_MAX: Final = 100
"""Of one round, and of one answer to whoever fetches theirs."""
REPORTS_TOLD_MAX: Final = 1_000
"""Readers of one log that are told of a change: more than anybody lets read in three years."""
TOLD_DAYS: Final = 3 * 366
"""As long as anything may be published."""
OWN: Final = "own"
"""The purpose of people who look at what is theirs."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What somebody may read for.

    Attributes:
        age_ms_max: How old a report may be.
        dimensions: Whose events' content is shown; None: all.
        least: The grade that the benefit behind it asks for.
    """

    age_ms_max: int
    dimensions: frozenset[int] | None
    least: str


PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType(
    {
        "trust-approval": Purpose(DAY_MS, None, "B"),
        "deposit-waiver": Purpose(DAY_MS, frozenset({1}), "B"),
        "tender": Purpose(7 * DAY_MS, frozenset({1}), "C"),
    }
)
"""Benefits alone: approval on trust (容缺受理), a deposit waived, a public tender. A burden has no purpose here."""
BENEFITS: Final[Mapping[str, int]] = MappingProxyType({name: i for i, name in enumerate(PURPOSES, 1)})
"""Their numbers on the ledger."""
GRADES: Final = "ABCD"
_TOLD: Final = (
    pb.EVENT_STATUS_CORRECTED,
    pb.EVENT_STATUS_REPAIRED,
    pb.EVENT_STATUS_EXPIRED,
    pb.EVENT_STATUS_WITHDRAWN,
)


class StoredAccesses:
    """Looks, noted here first; each becomes an entry of the person's list on the ledger (`accesses`).

    Args:
        context: Which service.
    """

    def __init__(self, context: CreditContext) -> None:
        self._context = context

    def note(
        self, session: Session, subject_id: str, organisation: str, purpose: str, what: str, shown: Mapping[str, str]
    ) -> str:
        """Note one look; `shown` is what `told` says of each slot in hex that was shown."""
        subject = load_subject(session, subject_id)
        row = CreditAccess(
            person_id=subject.person_id,
            subject_id=subject_id,
            organisation=organisation,
            purpose=purpose,
            what=what,
            at_ms=self._context.now(),
            entered_ms=0,
        )
        if shown:
            self._context.store.people.seal(session, row, CreditAccess.shown, json.dumps(dict(shown)))
        session.add(row)
        session.flush()
        return row.id

    def note_handle(self, session: Session, subject_id: str, organisation: str) -> None:
        """Note that an organisation looked up whether somebody has a log; again within an hour adds nothing.

        Else a source could push another one's look off the page on which the person reads it, and leave thousands of
        entries in their list.
        """
        load_subject(session, subject_id, hold=True)  # of two at once, the second sees the first
        mine = (CreditAccess.subject_id == subject_id) & (CreditAccess.organisation == organisation)
        same = mine & (CreditAccess.purpose == "attest") & (CreditAccess.what == "handle")
        recent = same & (CreditAccess.at_ms > self._context.now() - HANDLE_MS)
        if session.scalar(select(CreditAccess.id).where(recent).limit(1)) is None:
            self.note(session, subject_id, organisation, "attest", "handle", {})

    def of(self, subject_id: str, page: int = 1) -> tuple[Sequence[CreditAccess], bool]:
        """Who looked at a subject, newest first, a page of it; and whether there are more."""
        query = select(CreditAccess).where(CreditAccess.subject_id == subject_id)
        query = query.order_by(CreditAccess.at_ms.desc(), CreditAccess.id)
        with self._context.store.read() as session:
            rows = session.scalars(query.offset((page - 1) * LISTED_MAX).limit(LISTED_MAX + 1)).all()
        return rows[:LISTED_MAX], len(rows) > LISTED_MAX


def told(status: int, content: bytes) -> str:
    """How an event stands, as a digest: another one means that a reader was shown something that is no longer so."""
    return sha256(bytes([status]) + content).hex()


def owe_notices(
    context: CreditContext, subject_id: str, slots: Mapping[bytes, Slot], events: Mapping[bytes, str]
) -> int:
    """Owe a notice to each reader of a report that showed an event otherwise than it stands now; each once.

    Args:
        context: Which service.
        subject_id: Whose log.
        slots: What stands in the slots that may have changed.
        events: Ids of the events in them.

    Returns:
        How many notices are new.
    """
    changed = {slot.slot.hex(): slot for slot in slots.values() if slot.status in _TOLD}
    if not changed:
        return 0
    made = 0
    with context.store.write() as session:
        query = select(CreditAccess).where(
            CreditAccess.subject_id == subject_id,
            CreditAccess.shown.is_not(None),
            CreditAccess.at_ms > context.now() - TOLD_DAYS * DAY_MS,
        )
        for access in session.scalars(query.order_by(CreditAccess.at_ms.desc()).limit(REPORTS_TOLD_MAX)):
            shown = json.loads(context.store.people.open(session, access, CreditAccess.shown) or "{}")
            for key, slot in changed.items():
                now_told = told(slot.status, slot.content)
                if key in shown and shown[key] != now_told:
                    made += _owe(context, session, access, events[slot.slot], slot, bytes.fromhex(now_told))
    return made


def _owe(
    context: CreditContext, session: Session, access: CreditAccess, event_id: str, slot: Slot, now_told: bytes
) -> bool:
    same = select(CreditNotice.id).where(
        CreditNotice.access_id == access.id, CreditNotice.event_id == event_id, CreditNotice.told == now_told
    )
    if access.organisation == "" or session.scalar(same) is not None:
        return False
    row = CreditNotice(
        person_id=access.person_id,
        access_id=access.id,
        event_id=event_id,
        organisation=access.organisation,
        state="owed",
        made_ms=context.now(),
        sent_ms=0,
        status=STATUS_NAMES[slot.status],
        told=now_told,
    )
    session.add(row)
    session.flush()
    tell_organisation(context, session, REPORT_CHANGED, access.organisation)
    return True


async def send_notices(context: CreditContext) -> int:
    """Bring the notices that are owed; how many were brought."""
    sent = 0
    for row_id, notice in await run_in_threadpool(_owed, context):
        try:
            await context.notices.send(notice)
        except TransportError:
            break
        # a crash before this brings it a second time
        sent += await run_in_threadpool(_note_sent, context, row_id)
    return sent


def _owed(context: CreditContext) -> list[tuple[str, Notice]]:
    with context.store.read() as session:
        rows = session.scalars(select(CreditNotice).where(CreditNotice.state == "owed").limit(NOTICES_MAX)).all()
        return [(row.id, _notice(context, session, row)) for row in rows]


def _note_sent(context: CreditContext, row_id: str) -> bool:
    with context.store.write() as session:
        row = session.get(CreditNotice, row_id)
        if row is None:  # whom it was about was erased meanwhile
            return False
        row.state, row.sent_ms = "sent", context.now()
        return True


def notices_for(context: CreditContext, organisation: str) -> list[Notice]:
    """The newest notices for an organisation."""
    with context.store.read() as session:
        query = select(CreditNotice).where(CreditNotice.organisation == organisation)
        rows = session.scalars(query.order_by(CreditNotice.made_ms.desc()).limit(NOTICES_MAX)).all()
        return [_notice(context, session, row) for row in rows]


def _notice(context: CreditContext, session: Session, row: CreditNotice) -> Notice:
    event = session.get(CreditEvent, row.event_id)
    text = None if event is None else context.store.people.open(session, event, CreditEvent.content)
    slot = "" if text is None else Event.decode(text).slot.hex()
    return Notice(row.id, row.organisation, row.access_id, slot, row.status)
