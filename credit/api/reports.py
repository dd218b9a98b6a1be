# SPDX-License-Identifier: Apache-2.0
"""Reports: a subject's whole log with its proof, for the subject, or limited to a purpose for whom it consented to.

The service verifies each report itself before it hands it out, against the same genesis file as everybody: a log that
is not in step with the ledger yet gives no report.
"""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from credit.api import accesses, consents
from credit.api.base import SCORECARD, CreditContext, load_subject
from credit.api.consents import Proven
from credit.api.events import Event
from credit.api.problems import NO_SCORECARD, PURPOSE, UNSETTLED
from credit.api.reading import PURPOSES, StoredAccesses, owe_notices, told
from credit.api.settling import settle
from credit.api.subjects import Secrets, secrets_of
from credit.api.tables import CreditEvent
from credit.catalogue import class_key
from credit.events import slot_key
from credit.logs import log_key
from credit.report import Opened, VerifiedReport, make, verify, withhold
from credit.score import Score
from credit.scorecards import scorecard_key
from service.problems import Problem

TRIES_MAX: Final = 3
"""An event may be taken in while a report is made; the next try has it."""


@dataclass(frozen=True, slots=True)
class Report:
    """A verified report.

    Attributes:
        raw: Bytes of `credit.pb.Report`.
        verified: What it proves.
        event_ids: Of its events, in order.
        sources: Who attested each.
        holder: The subject's own public key; b"": none is bound.
    """

    raw: bytes
    verified: VerifiedReport
    event_ids: tuple[str, ...]
    holder: bytes

    @property
    def score(self) -> Score:
        """The score on the checkpoint's day; only of a whole report."""
        return self.verified.score()


@dataclass(frozen=True, slots=True)
class _Log:
    secrets: Secrets
    events: tuple[Event, ...]
    ids: tuple[str, ...]


async def make_report(context: CreditContext, subject_id: str) -> Report:
    """A subject's whole report at the newest checkpoint. Whoever calls has noted the access, or the subject asks.

    Raises:
        Problem: There is no such subject or no scorecard, or the log is not in step with the ledger just now.
        TransportError: The ledger does not answer.
    """
    for _ in range(TRIES_MAX):
        log = await run_in_threadpool(_read, context, subject_id)
        found = await run_in_threadpool(context.index.scorecard, SCORECARD)
        if found is None:
            raise Problem(NO_SCORECARD)
        scorecard = (SCORECARD, found[0])
        opened = Opened(log.secrets.first_slot, log.secrets.log_salt, tuple(event.opening for event in log.events))
        keys = {log_key(opened.log), *map(slot_key, opened.slots), scorecard_key(*scorecard)}
        keys |= {class_key(event.number, event.version) for event in log.events}
        proof = await context.ledger.prove(sorted(keys))
        raw = make(opened, proof.receipt, scorecard)
        try:
            verified = await run_in_threadpool(verify, raw, context.ledger.genesis)
        except LedgerError:
            await context.ledger.follow(proof.checkpoint.height)
            await run_in_threadpool(settle, context)
            continue
        made = Report(raw, verified, log.ids, log.secrets.key)
        await run_in_threadpool(_tell, context, subject_id, made)
        return made
    raise Problem(UNSETTLED, headers={"Retry-After": "2"})


@dataclass(frozen=True, slots=True)
class ConsentedReport:
    """A report for an organisation.

    Attributes:
        report: What its purpose does not open is withheld.
        access: Id of the look, which stands in the person's list.
        consent: By which it was read.
    """

    report: Report
    access: str
    consent: Proven


async def report_for(context: CreditContext, subject_id: str, organisation: str, purpose: str) -> ConsentedReport:
    """A report for an organisation that the subject consented to on the ledger, limited to its purpose.

    The look stands in the person's list of accesses before anything is handed out.

    Raises:
        Problem: No consent, or see `make_report`.
        TransportError: The ledger does not answer: nothing is handed out.
    """
    if purpose not in PURPOSES:
        raise Problem(PURPOSE)
    await consents.check(context, subject_id, organisation, purpose)
    whole = await make_report(context, subject_id)
    report = await run_in_threadpool(limited_to, context, whole, purpose)
    noted = {entry.slot.hex(): told(entry.record.status, entry.record.content) for entry in report.verified.entries}

    def note() -> str:
        with context.store.write() as session:
            return StoredAccesses(context).note(session, subject_id, organisation, purpose, "report", noted)

    access = await run_in_threadpool(note)
    await accesses.entered(context, access)
    consent = await consents.check(context, subject_id, organisation, purpose)  # it may have ended meanwhile
    return ConsentedReport(report, access, consent)


def limited_to(context: CreditContext, report: Report, purpose: str) -> Report:
    """A whole report, with what its purpose does not open kept back.

    Args:
        context: Which service.
        report: As `make_report` made it.
        purpose: One of `reading.PURPOSES`.
    """
    dimensions = PURPOSES[purpose].dimensions
    if dimensions is None:
        return report
    opened = {entry.slot for entry in report.verified.entries if entry.catalogued.dimension in dimensions}
    raw = withhold(report.raw, opened)
    return replace(report, raw=raw, verified=verify(raw, context.ledger.genesis, allow_withheld=True))


def _read(context: CreditContext, subject_id: str) -> _Log:
    with context.store.read() as session:
        row = load_subject(session, subject_id)
        secrets = secrets_of(context, session, row)
        query = select(CreditEvent).where(CreditEvent.subject_id == subject_id, CreditEvent.position.is_not(None))
        rows = session.scalars(query.order_by(CreditEvent.position)).all()
        people = context.store.people
        events = tuple(Event.decode(people.open(session, row, CreditEvent.content) or "") for row in rows)
        return _Log(secrets, events, tuple(row.id for row in rows))


def _tell(context: CreditContext, subject_id: str, report: Report) -> None:
    """Owe notices for what a report shows changed, whoever changed it."""
    ids = {entry.slot: one for entry, one in zip(report.verified.entries, report.event_ids, strict=True)}
    owe_notices(context, subject_id, context.index.slots(ids), ids)
