# SPDX-License-Identifier: Apache-2.0
"""Who may read what of a subject, that it was read, and who must be told when something in it changes.

Consents and accesses stand in the private store; `Consents` and `AccessLog` are what the rest of credit asks, so that
their place can change to the identity module's on-chain records without touching it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from chain.types import sha256
from client.errors import TransportError
from credit.api.base import DAY_MS, CreditContext, load_subject
from credit.api.events import Event
from credit.api.notices import Notice
from credit.api.problems import CONSENT, PURPOSE
from credit.api.slot_index import Slot
from credit.api.tables import CreditAccess, CreditConsent, CreditEvent, CreditNotice
from credit.pb import credit_pb2 as pb
from credit.report import STATUS_NAMES
from service.problems import Problem

CONSENT_DAYS_MAX: Final = 365
"""Who wants to read for longer asks again."""
LISTED_MAX: Final = 200
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


class Consents(Protocol):
    """Who consented to what."""

    def check(self, session: Session, subject_id: str, organisation: str, purpose: str) -> None:
        """Let an organisation read for a purpose.

        Raises:
            Problem: The subject did not consent, or no longer does.
        """


class AccessLog(Protocol):
    """Who read what."""

    def note(
        self, session: Session, subject_id: str, organisation: str, purpose: str, what: str, shown: Mapping[str, str]
    ) -> str:
        """Note one look, in the transaction of what is shown; returns its id."""


class StoredConsents:
    """Consents in the private store.

    Args:
        context: Which service.
    """

    def __init__(self, context: CreditContext) -> None:
        self._context = context

    def give(self, subject_id: str, organisation: str, purpose: str, days: int) -> str:
        """Let an organisation read for a purpose; replaces what it had for the same.

        Raises:
            Problem: No such purpose, or for too long.
        """
        if purpose not in PURPOSES or not 1 <= days <= CONSENT_DAYS_MAX:
            raise Problem(PURPOSE)
        now_ms = self._context.now()
        with self._context.store.write() as session:
            subject = load_subject(session, subject_id, hold=True)
            for before in session.scalars(self._of(subject_id, organisation, purpose)):
                before.ended_ms = now_ms
            row = CreditConsent(
                person_id=subject.person_id,
                subject_id=subject_id,
                organisation=organisation,
                purpose=purpose,
                given_ms=now_ms,
                until_ms=now_ms + days * DAY_MS,
                ended_ms=0,
            )
            session.add(row)
            self._context.record(session, subject.person_id, "credit.consent-given", row.id)
        return row.id

    def end(self, subject_id: str, consent_id: str) -> None:
        """Withdraw a consent; the same twice changes nothing."""
        with self._context.store.write() as session:
            row = session.get(CreditConsent, consent_id, with_for_update=True)
            if row is not None and row.subject_id == subject_id and not row.ended_ms:
                row.ended_ms = self._context.now()
                self._context.record(session, row.person_id, "credit.consent-ended", row.id)

    def of(self, subject_id: str) -> Sequence[CreditConsent]:
        """A subject's consents, newest first."""
        query = select(CreditConsent).where(CreditConsent.subject_id == subject_id)
        with self._context.store.read() as session:
            return session.scalars(query.order_by(CreditConsent.given_ms.desc()).limit(LISTED_MAX)).all()

    def check(self, session: Session, subject_id: str, organisation: str, purpose: str = "") -> None:
        """Let an organisation read for a purpose; "": for any.

        Raises:
            Problem: The subject did not consent, or no longer does.
        """
        if session.scalar(self._of(subject_id, organisation, purpose).limit(1)) is None:
            raise Problem(CONSENT)

    def _of(self, subject_id: str, organisation: str, purpose: str) -> Select[CreditConsent]:
        table = CreditConsent
        query = select(table).where(
            table.subject_id == subject_id,
            table.organisation == organisation,
            table.ended_ms == 0,
            table.until_ms > self._context.now(),
        )
        return query.where(table.purpose == purpose) if purpose else query


class StoredAccesses:
    """Accesses in the private store.

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
        )
        if shown:
            self._context.store.people.seal(session, row, CreditAccess.shown, json.dumps(dict(shown)))
        session.add(row)
        session.flush()
        return row.id

    def of(self, subject_id: str) -> Sequence[CreditAccess]:
        """Who looked at a subject, newest first."""
        query = select(CreditAccess).where(CreditAccess.subject_id == subject_id)
        with self._context.store.read() as session:
            return session.scalars(query.order_by(CreditAccess.at_ms.desc()).limit(LISTED_MAX)).all()


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
    return True


async def send_notices(context: CreditContext) -> int:
    """Bring the notices that are owed; how many were brought."""
    with context.store.read() as session:
        rows = session.scalars(select(CreditNotice).where(CreditNotice.state == "owed").limit(NOTICES_MAX)).all()
        owed = [(row.id, _notice(context, session, row)) for row in rows]
    sent = 0
    for row_id, notice in owed:
        try:
            await context.notices.send(notice)
        except TransportError:
            break
        with context.store.write() as session:  # a crash before this brings it a second time
            row = session.get(CreditNotice, row_id)
            if row is not None:
                row.state, row.sent_ms = "sent", context.now()
                sent += 1
    return sent


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
