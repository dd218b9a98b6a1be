# SPDX-License-Identifier: Apache-2.0
"""A holder hands a report to a reader: made for one organisation and one purpose, signed by the holder's own browser.

The service makes the report, limits it to the purpose, adds its word for whose log it is, and notes in the person's
list for whom it was made: that reader is told of changes like any other. What the browser seals for a link is kept
until it is over or taken back; the key stands in the link alone.  Source: docs/credit.md, "Shown to a reader".
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select, update
from starlette.concurrency import run_in_threadpool

from chain.signing import Scheme
from chain.strict_json import Json
from credit.api.base import DAY_MS, CreditContext, load_subject
from credit.api.page_tables import CreditShown
from credit.api.problems import HOLDER_KEY, NO_SERVICE_KEY, NOT_NOW, PURPOSE, READER, SHOWN_GONE
from credit.api.reading import PURPOSES, StoredAccesses, told
from credit.api.reports import Report, limited_to, make_report
from credit.api.subjects import name_of
from credit.api.tables import CreditAccess
from credit.showing import NAME_CHARACTERS_MAX, Statement, signed_statement, standing_keys
from membership.state import load_key
from service.problems import Problem

SHOWN: Final = "shown"
"""What such a look is called in the person's list."""
MADE_MAX: Final = 50
"""Of one person in a day: each is an entry of their list."""
SEALED_BYTES_MAX: Final = 1024 * 1024
"""A file of some 500 events; a larger one goes as a file."""
LIVING_MAX: Final = 10
"""Links of one person at once: 10 MB."""
LISTED_MAX: Final = 20
OPENED_MAX: Final = 1_000
"""After as many openings a link is over: it was made for one reader."""


@dataclass(frozen=True, slots=True)
class Made:
    """A report made for a reader.

    Attributes:
        id: Of the look in the person's list.
        raw: Bytes of `Report`; the holder signs it.
        word: What the service adds to the file.
    """

    id: str
    raw: bytes
    word: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Given:
    """A report that was made for a reader.

    Attributes:
        until_ms: How long its link is good; 0: it has none, or no longer.
        opened: How often the link was opened.
    """

    id: str
    organisation: str
    purpose: str
    at_ms: int
    until_ms: int
    opened: int


async def check_reader(context: CreditContext, organisation: str, purpose: str) -> None:
    """Check for whom a report is to be made.

    Raises:
        Problem: There is no such purpose, or no such active organisation.
        TransportError: The ledger does not answer.
    """
    if purpose not in PURPOSES:
        raise Problem(PURPOSE)
    if not await context.ledger.has_role(organisation, ""):
        raise Problem(READER)


async def preview(context: CreditContext, subject_id: str, purpose: str) -> Report:
    """What a report for a purpose holds, for its holder to read first: nothing is handed out."""
    return await run_in_threadpool(limited_to, context, await make_report(context, subject_id), purpose)


async def prepare(context: CreditContext, subject_id: str, organisation: str, purpose: str) -> Made:
    """Make a report for a reader, for its holder to sign.

    Raises:
        Problem: No such purpose or reader, no key of the holder's is bound, too many in a day, or see `make_report`.
        TransportError: The ledger does not answer.
    """
    await check_reader(context, organisation, purpose)
    report = await preview(context, subject_id, purpose)
    key, registrar = context.own_key, report.verified.record.registrar
    if not report.holder:
        raise Problem(HOLDER_KEY)
    proof = await context.ledger.prove(standing_keys(key.signer, registrar))
    standing = load_key(proof.values.get, key.signer)
    if standing is None or standing.organisation != registrar or key.signer.scheme is Scheme.WEBAUTHN_ES256:
        raise Problem(NO_SERVICE_KEY)
    noted = {entry.slot.hex(): told(entry.record.status, entry.record.content) for entry in report.verified.entries}

    def note() -> Made:
        with context.store.write() as session:
            subject = load_subject(session, subject_id, hold=True)
            today = (CreditAccess.subject_id == subject_id) & (CreditAccess.what == SHOWN)
            recent = select(func.count()).where(today, CreditAccess.at_ms > context.now() - DAY_MS)
            if (session.scalar(recent) or 0) >= MADE_MAX:
                raise Problem(NOT_NOW, headers={"Retry-After": "3600"})
            name = name_of(context, session, subject)[:NAME_CHARACTERS_MAX]
            made_id = StoredAccesses(context).note(session, subject_id, organisation, purpose, SHOWN, noted)
            context.record(session, subject.person_id, "credit.report-shown", made_id)
            statement = Statement(report.verified.log, report.holder, name, subject.kind)
        word = signed_statement(statement, context.ledger.genesis.network, key)
        return Made(made_id, report.raw, {**word, "standing": b64encode(proof.receipt).decode()})

    return await run_in_threadpool(note)


def keep_sealed(context: CreditContext, subject_id: str, made_id: str, content: bytes) -> int:
    """Keep what a link opens; until when, in Unix ms.

    Raises:
        Problem: No such report was made by this person, it has a link already, it is too large, or too many are open.
    """
    if not 0 < len(content) <= SEALED_BYTES_MAX:
        raise Problem(NOT_NOW)
    now_ms = context.now()
    with context.store.write() as session:
        subject = load_subject(session, subject_id, hold=True)
        session.execute(delete(CreditShown).where(CreditShown.expires_ms <= now_ms))
        made = session.get(CreditAccess, made_id)
        if made is None or made.subject_id != subject_id or made.what != SHOWN:
            raise Problem(SHOWN_GONE)
        own = select(func.count()).where(CreditShown.subject_id == subject_id)
        expires_ms = made.at_ms + PURPOSES[made.purpose].age_ms_max
        is_taken = session.get(CreditShown, made_id) is not None
        if is_taken or expires_ms <= now_ms or (session.scalar(own) or 0) >= LIVING_MAX:
            raise Problem(NOT_NOW)
        session.add(
            CreditShown(
                id=made_id,
                person_id=subject.person_id,
                subject_id=subject_id,
                expires_ms=expires_ms,
                opened=0,
                content=content,
            )
        )
    return expires_ms


def take_back(context: CreditContext, subject_id: str, made_id: str) -> None:
    """End a link; the same twice, or somebody else's, changes nothing. What a reader has, they keep."""
    with context.store.write() as session:
        own = (CreditShown.id == made_id) & (CreditShown.subject_id == subject_id)
        session.execute(delete(CreditShown).where(own))


def open_sealed(context: CreditContext, made_id: str) -> bytes:
    """What a link opens, for whoever has it: without the link's key it says nothing.

    Raises:
        Problem: There is none, any more.
    """
    living = (CreditShown.id == made_id) & (CreditShown.expires_ms > context.now()) & (CreditShown.opened < OPENED_MAX)
    with context.store.read() as session:  # whoever tries ids out takes nobody's turn to write
        if session.scalar(select(CreditShown.id).where(living)) is None:
            raise Problem(SHOWN_GONE)
    with context.store.write() as session:
        query = update(CreditShown).where(living).values(opened=CreditShown.opened + 1).returning(CreditShown.content)
        content = session.scalar(query)
    if content is None:
        raise Problem(SHOWN_GONE)
    return content


def given(context: CreditContext, subject_id: str) -> Sequence[Given]:
    """Reports that somebody had made for readers, newest first."""
    now_ms = context.now()
    query = (
        select(CreditAccess, CreditShown.expires_ms, CreditShown.opened)
        .outerjoin(CreditShown, CreditShown.id == CreditAccess.id)
        .where(CreditAccess.subject_id == subject_id, CreditAccess.what == SHOWN)
        .order_by(CreditAccess.at_ms.desc())
        .limit(LISTED_MAX)
    )
    with context.store.read() as session:
        return [
            Given(
                one.id,
                one.organisation,
                one.purpose,
                one.at_ms,
                until_ms if until_ms is not None and until_ms > now_ms else 0,
                opened or 0,
            )
            for one, until_ms, opened in session.execute(query)
        ]
