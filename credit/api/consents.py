# SPDX-License-Identifier: Apache-2.0
"""What people let organisations read: commitments on the ledger, which alone says whether a consent counts.

A consent's content, its salt and both sides' secrets are kept, sealed under its person's key, before `GiveConsent` goes
anywhere. Nothing is read for an organisation without the certified state of its consent; the receipt goes with the
answer, so that whoever reads can show later that they were allowed to. Ending reveals the person's secret.

Source: docs/identity.md, "Consents".
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation, build
from chain.types import SALT_BYTES as TRANSACTION_SALT_BYTES
from chain.types import Millis, sha256
from client.signing import LIFETIME_MS
from credit.api.base import DAY_MS, CreditContext, load_subject
from credit.api.problems import CONSENT, PURPOSE, READER_TERMS
from credit.api.reading import PURPOSES
from credit.api.registered import CLAIMS, Kept, asked_for, attribute, put_consent, space_consents
from credit.api.tables import CreditConsent, CreditSubject
from identity.commitments import SALT_BYTES, anchor_of
from identity.consents import (
    consent_key,
    counts,
    covers,
    decode_consent,
    encode_consent,
    load_consent,
)
from identity.pb import access_pb2, identity_pb2
from identity.relying import allows
from identity.relying_rules import load_relying_party, relying_party_key
from service.problems import Problem

DAYS_MAX: Final = 365
"""Who wants to read for longer asks again."""
LISTED_MAX: Final = 200
CHECKED_MAX: Final = 32
"""Consents of one person to one organisation that one look-up proves, newest first: more than there are purposes."""
_SECRET_BYTES: Final = 32
_NONE: Final = bytes(32)
"""No consent's commitment."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What somebody consents to: what an organisation is registered to ask.

    Attributes:
        purpose: One of `reading.PURPOSES`.
        number: The registered purpose's.
        version: Of the terms.
        attributes: All that the registered purpose names.
    """

    organisation: str
    purpose: str
    number: int
    version: int
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """A consent that counts.

    Attributes:
        receipt: Of its state: bytes of a `Receipt`.
        kept: What opens the commitment that the receipt shows; the person's secret is not for the organisation.
    """

    receipt: bytes
    kept: Kept


async def give(context: CreditContext, subject_id: str, organisation: str, purpose: str, days: int) -> str:
    """Let an organisation read for a purpose; ends what it had for the same, in the same transaction.

    Args:
        context: Which service.
        subject_id: Who consents; the caller has made sure that it is they who ask.
        organisation: To whom.
        purpose: One of `reading.PURPOSES`.
        days: For how long, 1 to 365; it ends at midnight.

    Returns:
        The consent's id.

    Raises:
        Problem: No such purpose, for too long, the organisation is not registered to ask for it, or the ledger refuses
            it.
        TransportError: The ledger does not answer; `follow` finds out what became of it.
    """
    if purpose not in PURPOSES or not 1 <= days <= DAYS_MAX:
        raise Problem(PURPOSE)
    proof = await context.ledger.prove([relying_party_key(organisation)])
    registration = load_relying_party(proof.values.get, organisation)
    terms = asked_for(registration, purpose, proof.checkpoint.time_ms)
    if registration is None or terms is None:
        raise Problem(READER_TERMS)
    offered = Offered(organisation, purpose, terms.number, registration.version, tuple(terms.attributes))
    consent_id, kept, until_day, before = await run_in_threadpool(_keep, context, subject_id, offered, days)
    give_it = identity_pb2.GiveConsent(
        commitment=kept.commitment,
        person_anchor=anchor_of(kept.person),
        party_anchor=anchor_of(kept.party),
        valid_to_day=until_day,
    )
    living = {one.commitment: one for one in before}
    states = (await context.ledger.prove([consent_key(one) for one in living])).values if living else {}
    ended = [
        identity_pb2.EndConsent(commitment=commitment, proof=one.person)
        for commitment, one in sorted(living.items())
        if counts(load_consent(states.get, commitment), context.now())
    ]
    # a crash here leaves a commitment that the ledger does not have: it counts for nothing, and `follow` removes it
    await _submit(context, [_operation(give_it), *map(_operation, ended)])
    known = [commitment for commitment in living if load_consent(states.get, commitment) is not None]
    await run_in_threadpool(_note_given, context, consent_id, known)
    return consent_id


async def end(context: CreditContext, subject_id: str, consent_id: str) -> None:
    """Withdraw a consent; the same twice, or somebody else's, changes nothing.

    Raises:
        Problem: The ledger refuses it.
        TransportError: The ledger does not answer: the consent may count still.
    """

    def find() -> Kept | None:
        with context.store.read() as session:
            row = session.get(CreditConsent, consent_id)
            if row is None or row.subject_id != subject_id or row.ended_ms:
                return None
            return Kept.decode(context.store.people.open(session, row, CreditConsent.content) or "")

    kept = await run_in_threadpool(find)
    if kept is None:
        return
    where = consent_key(kept.commitment)
    record = load_consent((await context.ledger.prove([where])).values.get, kept.commitment)
    if counts(record, context.now()):
        await _submit(context, [_operation(identity_pb2.EndConsent(commitment=kept.commitment, proof=kept.person))])
    await run_in_threadpool(_note_ended, context, [kept.commitment])


async def check(
    context: CreditContext, subject_id: str, organisation: str, purpose: str = "", claim: str = "report"
) -> Proven:
    """The consent by which an organisation may read now, as the ledger has it.

    Args:
        context: Which service.
        subject_id: Whose data.
        organisation: Who reads.
        purpose: For what; "": for anything.
        claim: What is read: "report" or "grade".

    Raises:
        Problem: The subject did not consent, or no longer does, or the organisation is no longer registered to ask.
        TransportError: The ledger does not answer: nothing is read.
    """
    found = await run_in_threadpool(_of, context, subject_id, organisation, purpose)
    # the ledger is asked either way: nobody learns from an outage or from the time it takes who gave a consent
    keys = [consent_key(one.commitment) for one in found] or [consent_key(_NONE)]
    proof = await context.ledger.prove(sorted({*keys, relying_party_key(organisation)}))
    registration = load_relying_party(proof.values.get, organisation)
    wanted = [attribute(purpose, claim)] if purpose else []
    time_ms = proof.checkpoint.time_ms
    for one in found:
        content = decode_consent(one.content)
        if not counts(load_consent(proof.values.get, one.commitment), time_ms):
            continue
        if covers(content, organisation, content.purpose, wanted) and _may_ask(registration, content, wanted, time_ms):
            alone = await context.ledger.prove([consent_key(one.commitment)])
            return Proven(alone.receipt, one)
    raise Problem(CONSENT)


def _may_ask(
    registration: identity_pb2.RelyingPartyRecord | None,
    content: access_pb2.ConsentContent,
    wanted: Sequence[str],
    time_ms: int,
) -> bool:
    return allows(registration, content.purpose, wanted or list(content.attributes), time_ms) is None


async def refresh(context: CreditContext, subject_id: str) -> None:
    """Take in which of a subject's consents were ended elsewhere: in their data space, or by who had them.

    Raises:
        TransportError: The ledger does not answer.
    """
    living = {one.commitment for one in await run_in_threadpool(listed, context, subject_id) if not one.ended_ms}
    if not living:
        return
    proof = await context.ledger.prove(sorted(consent_key(one) for one in living))
    records = {one: load_consent(proof.values.get, one) for one in sorted(living)}
    ended = [one for one, record in records.items() if record is not None and record.ended_at_ms]
    if ended:
        await run_in_threadpool(_note_ended, context, ended)


def listed(context: CreditContext, subject_id: str) -> Sequence[CreditConsent]:
    """A subject's consents that were given, newest first; for the subject alone."""
    query = select(CreditConsent).where(CreditConsent.subject_id == subject_id, CreditConsent.given_ms > 0)
    with context.store.read() as session:
        return session.scalars(query.order_by(CreditConsent.given_ms.desc()).limit(LISTED_MAX)).all()


async def follow(context: CreditContext) -> int:
    """Find out what became of consents whose giving broke off; how many came to an end.

    Raises:
        TransportError: The ledger does not answer.
    """

    def unknown() -> list[tuple[str, bytes, int]]:
        query = select(CreditConsent).where(CreditConsent.given_ms == 0).limit(CHECKED_MAX)
        with context.store.read() as session:
            return [(row.id, row.commitment, row.made_ms) for row in session.scalars(query)]

    waiting = await run_in_threadpool(unknown)
    if not waiting:
        return 0
    proof = await context.ledger.prove([consent_key(commitment) for _, commitment, _ in waiting])
    ended = 0
    for consent_id, commitment, made_ms in waiting:
        if load_consent(proof.values.get, commitment) is not None:
            await run_in_threadpool(_note_given, context, consent_id, [])
            ended += 1
        elif made_ms + 2 * LIFETIME_MS < proof.checkpoint.time_ms:  # nothing can execute it any more
            await run_in_threadpool(_forget, context, consent_id)
            ended += 1
    return ended


# ---------------------------------------------------------------- the ledger


def _operation(message: identity_pb2.GiveConsent | identity_pb2.EndConsent) -> Operation:
    return Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))


async def _submit(context: CreditContext, operations: Sequence[Operation]) -> None:
    expires = Millis(context.now() + LIFETIME_MS)
    salt = secrets.token_bytes(TRANSACTION_SALT_BYTES)
    signed = build(operations, [context.own_key], expires, salt, context.ledger.network)
    try:
        proven = await context.ledger.submit_one(signed)
    except Refused as refused:
        raise Problem(CONSENT, members={"ledger_code": refused.code}) from None
    if proven.failed is not None:
        raise Problem(CONSENT, members={"ledger_code": proven.failed.code})


# ---------------------------------------------------------------- the store


def _keep(context: CreditContext, subject_id: str, offered: Offered, days: int) -> tuple[str, Kept, int, list[Kept]]:
    """Keep a consent before it is given: its id, itself, its end, and what it replaces."""
    now_ms = context.now()
    until_day = now_ms // DAY_MS + days
    names = {attribute(offered.purpose, claim) for claim in CLAIMS}
    content = access_pb2.ConsentContent(
        organisation=offered.organisation,
        purpose=offered.number,
        version=offered.version,
        attributes=sorted(names & set(offered.attributes)),
        given_at_ms=now_ms,
        valid_to_day=until_day,
        subject=_subject(context, subject_id, offered.organisation),
    )
    kept = Kept(
        encode_consent(content), *(secrets.token_bytes(size) for size in (SALT_BYTES, _SECRET_BYTES, _SECRET_BYTES))
    )
    before = _of(context, subject_id, offered.organisation, offered.purpose)
    with context.store.write() as session:
        subject = load_subject(session, subject_id, hold=True)
        row = CreditConsent(
            person_id=subject.person_id,
            subject_id=subject_id,
            organisation=offered.organisation,
            purpose=offered.purpose,
            given_ms=0,
            until_ms=until_day * DAY_MS,
            ended_ms=0,
            made_ms=now_ms,
            commitment=kept.commitment,
        )
        context.store.people.seal(session, row, CreditConsent.content, kept.encode())
        put_consent(context, session, subject, kept)
        return row.id, kept, until_day, before


def _of(context: CreditContext, subject_id: str, organisation: str, purpose: str) -> list[Kept]:
    """What may count, the newest first: what the ledger says of each decides.

    Consents of the person's data space count alike: there they may have been narrowed, or given by the wallet.
    """
    table = CreditConsent
    query = select(table).where(table.subject_id == subject_id, table.organisation == organisation, table.ended_ms == 0)
    query = query.where(table.purpose == purpose) if purpose else query
    wanted = {attribute(purpose, claim) for claim in CLAIMS} if purpose else set()
    with context.store.read() as session:
        rows = session.scalars(query.order_by(table.made_ms.desc()).limit(CHECKED_MAX)).all()
        texts = [context.store.people.open(session, row, table.content) for row in rows]
        subject = session.get(CreditSubject, subject_id)
        others = [] if subject is None else space_consents(context, session, subject)
    found = {one.commitment: one for one in (Kept.decode(text) for text in texts if text is not None)}
    about = _subject(context, subject_id, organisation) if others else b""
    for one in others:
        content = decode_consent(one.content)
        is_ours = content.organisation == organisation and content.subject == about
        if is_ours and (not wanted or wanted & set(content.attributes)) and len(found) < CHECKED_MAX:
            found.setdefault(one.commitment, one)
    return list(found.values())


def _subject(context: CreditContext, subject_id: str, organisation: str) -> bytes:
    """What a consent says of its person: a hash of what that organisation calls them."""
    return sha256(bytes.fromhex(context.handle_of(organisation, subject_id)))


def number_of(context: CreditContext, session: Session, subject_id: str, organisation: str, purpose: str) -> int:
    """The registered purpose's number under which an organisation reads; 0: by no consent."""
    table = CreditConsent
    own = (table.subject_id == subject_id) & (table.organisation == organisation) & (table.purpose == purpose)
    row = session.scalar(select(table).where(own).order_by(table.made_ms.desc()).limit(1))
    text = None if row is None else context.store.people.open(session, row, table.content)
    return 0 if text is None else decode_consent(Kept.decode(text).content).purpose


def _note_given(context: CreditContext, consent_id: str, replaced: Sequence[bytes]) -> None:
    with context.store.write() as session:
        row = session.get(CreditConsent, consent_id, with_for_update=True)
        if row is not None:
            row.given_ms = row.made_ms
            context.record(session, row.person_id, "credit.consent-given", row.id)
        for other in session.scalars(select(CreditConsent).where(CreditConsent.commitment.in_(replaced))):
            other.ended_ms = context.now()


def _note_ended(context: CreditContext, commitments: Sequence[bytes]) -> None:
    with context.store.write() as session:
        for row in session.scalars(select(CreditConsent).where(CreditConsent.commitment.in_(commitments))):
            row.ended_ms = context.now()
            context.record(session, row.person_id, "credit.consent-ended", row.id)


def _forget(context: CreditContext, consent_id: str) -> None:
    with context.store.write() as session:
        row = session.get(CreditConsent, consent_id)
        if row is not None:
            context.store.people.remove(session, row)
