# SPDX-License-Identifier: Apache-2.0
"""Grades into wallets, by OpenID4VCI: their holder asks for an offer, and the wallet fetches one-time copies.

The grade is computed when the wallet fetches it, from a complete report made at that moment, so that an offer made
before something was recorded gives nothing that is no longer so. Each copy is for a fresh key and says, to verifiers
alone, where its holder's list of accesses begins and of what their pseudonyms are made. Both are the same as in the
person's own credential: so a grade is shown through a verifier by itself, each showing is entered in that list, and a
grade beside somebody else's credential is found out. Hence only whoever is registered in this very store gets one.

All in one transaction: the proof's nonce is used up and the offer closed. A crash before the commit issues nothing;
after it, the holder whose wallet never got the answer makes another offer.

Source: OpenID4VCI 1.0, 4 to 8 and 12.
"""

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import APIRouter
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.strict_json import Json
from client.errors import TransportError
from credit.api.base import CreditContext, load_subject
from credit.api.grades import day_of_report, is_met, issue_grade, signing_key
from credit.api.problems import NOT_NOW
from credit.api.reading import GRADES
from credit.api.registered import active_person_of
from credit.api.reports import Report, make_report
from credit.api.tables import CreditSubject
from identity.api.accesses.lists import own_claims
from identity.api.issuer import metadata, offers
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import Issuer, use_up
from identity.api.issuer.offers import Offer, create_offer
from identity.api.issuer.pages import Give, add_exchange, proofs_of
from identity.api.issuer.proofs import PROOF_CHARACTERS_MAX, verify_proofs
from identity.api.issuer.tables import USED, IssuerOffer
from identity.credentials import CREDIT_GRADE, SHORT_LIVED, Claims
from identity.jose import JsonObject
from service.problems import Problem
from service.store.audit import SYSTEM

COPIES_MAX: Final = 5
"""For a day: each is shown once, and the next day brings others."""
BODY_BYTES_MAX: Final = (COPIES_MAX + 1) * PROOF_CHARACTERS_MAX
"""A full batch of proofs with what stands around them."""
SHOWABLE: Final = GRADES[:-1]
"""That somebody has D or better says nothing."""
NAMES: Final = {"zh-CN": "智信 信用等级", "en": "Zhixin credit grades"}


def showable(context: CreditContext, subject_id: str, report: Report) -> tuple[str, ...]:
    """The grades that somebody may take into their wallet, best first; empty: none, or they are not registered here."""
    if context.issuing is None or not _is_registered(context, subject_id):
        return ()
    return tuple(grade for grade in SHOWABLE if is_met(report, grade))


def offer_grade(context: CreditContext, subject_id: str, report: Report, at_least: str, request: str = "-") -> Offer:
    """Offer somebody their grade; an offer that they made before is over.

    Args:
        context: Which service.
        subject_id: Who asks, for themselves.
        report: Theirs, made just now.
        at_least: What the credential is to say.
        request: Id of the request.

    Raises:
        Problem: Their grade is not so good, or nothing is issued here or to them.
    """
    signing_key(context)
    if at_least not in showable(context, subject_id, report):
        raise Problem(NOT_NOW)
    people = context.store.people
    with context.store.write() as session:
        subject = load_subject(session, subject_id, hold=True)
        for before in session.scalars(select(IssuerOffer).where(IssuerOffer.person_id == subject.person_id)).all():
            people.remove(session, before)
        return create_offer(
            session,
            context.store,
            person_id=subject.person_id,
            claims=Claims(CREDIT_GRADE, {"grade_at_least": at_least}, ()),
            subjects=(),
            issuer=context.origin,
            now_ms=context.now(),
            copies=COPIES_MAX,
            lifetime_s=SHORT_LIVED[CREDIT_GRADE],
            actor=subject.person_id,
            request=request,
        )


def wallet_router(issuer: Issuer, context_of: Callable[[], CreditContext]) -> APIRouter:
    """What wallets ask of this service as an issuer.

    Args:
        issuer: With the registrar's issuing keys; it has its origin once the service runs.
        context_of: The service that runs.
    """
    router = APIRouter(tags=["wallet"])

    def described() -> JsonObject:
        return metadata.described_issuer(issuer.origin, COPIES_MAX, (CREDIT_GRADE,), NAMES)

    add_exchange(router, issuer, described, _giver(context_of, issuer))
    return router


def _giver(context_of: Callable[[], CreditContext], issuer: Issuer) -> Give:
    async def give(token: str, asked: JsonObject) -> list[str]:
        context = context_of()
        subject_id, at_least = await run_in_threadpool(_offered, context, token)
        try:
            report = await make_report(context, subject_id)
        except (TransportError, LedgerError):
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger cannot be asked at this time") from None
        except Problem:
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "no report can be made at this time") from None
        if not is_met(report, at_least):
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the grade is no longer so good")
        configuration, proofs = asked.get("credential_configuration_id"), proofs_of(asked)
        return await run_in_threadpool(_issue, context, issuer, token, configuration, proofs, report)

    return give


def _offered(context: CreditContext, token: str) -> tuple[str, str]:
    """Whose grade an access token is for, and what it is to say.

    Raises:
        Denied: No such token, or one of another issuer that shares the store.
    """
    with context.store.write() as session:
        offer = offers.redeemed(session, token, context.now())
        claims = offers.content_of(session, context.store, offer).claims
        subject = session.scalar(select(CreditSubject).where(CreditSubject.person_id == offer.person_id))
        if claims.vct != CREDIT_GRADE or subject is None:
            raise Denied(Error.INVALID_TOKEN, "the access token is another issuer's")
        return subject.id, str(claims.claims["grade_at_least"])


def _issue(
    context: CreditContext, issuer: Issuer, token: str, configuration: Json, proofs: Sequence[Json], report: Report
) -> list[str]:
    try:
        key = signing_key(context)
    except Problem:
        raise Denied(Error.TEMPORARILY_UNAVAILABLE, "no issuing key signs at this time") from None
    if configuration != metadata.configuration_id(CREDIT_GRADE):
        raise Denied(Error.UNKNOWN_CREDENTIAL_CONFIGURATION, "the offer is of another credential")
    with context.store.write() as session:
        offer = offers.redeemed(session, token, context.now())
        at_least = str(offers.content_of(session, context.store, offer).claims.claims["grade_at_least"])
        if len(proofs) > offer.copies:
            raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "more proofs than copies were offered")
        proven = verify_proofs(proofs, issuer.origin, issuer.store.secret("issuer/nonce"), context.now())
        use_up(issuer, session, proven)
        subject = session.scalar(select(CreditSubject).where(CreditSubject.person_id == offer.person_id))
        person_id = None if subject is None else active_person_of(context, session, subject)
        if person_id is None:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the holder's registration does not count now")
        own = own_claims(session, context.store, person_id, context.now())
        day = day_of_report(report)
        issued = [issue_grade(context, key, at_least, day, one, own) for one in proven.keys]
        offer.state = USED
        context.record(session, SYSTEM, "credit.grade-issued", offer.id)
    return issued


def _is_registered(context: CreditContext, subject_id: str) -> bool:
    with context.store.read() as session:
        return active_person_of(context, session, load_subject(session, subject_id)) is not None
