# SPDX-License-Identifier: Apache-2.0
"""The interface for relying parties: cards, and questions that are answered at once."""

import hmac
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from chain.types import sha256
from identity.api.verifier import direct
from identity.api.verifier.api import found, shown, told
from identity.api.verifier.asking import CARD, Asked
from identity.api.verifier.bodies import (
    AttestationCheck,
    CardAnswer,
    CardLoginMade,
    CodeCheck,
    DirectAnswer,
    KeyOpening,
    MandateCheck,
    NewCardLogin,
    SignatureCheck,
    VerificationShown,
)
from identity.api.verifier.cards import Opening, check_signature, fingerprint, login_message
from identity.api.verifier.checking import check_presentations
from identity.api.verifier.clients import Client
from identity.api.verifier.findings import Report, StatusShown
from identity.api.verifier.ledger import States
from identity.api.verifier.problems import NO_CARDS, OVER, QUERY, UNKNOWN
from identity.api.verifier.registered import Purpose
from identity.api.verifier.verifier import Question, Verifier
from identity.cards.authority import compressed_key
from identity.cards.objects import Slot
from identity.cards.verifying import is_emulated
from identity.credential_check import Outcome
from identity.jose import JsonObject, encode_base64url
from identity.offline_qr import Seen
from identity.sd_jwt import Binding
from service.problems import Problem
from service.store import new_id

SEEN_MAX = 256
"""Relying parties whose scanned codes are remembered, each some thousands; in this process alone."""


class Scanned:
    """Which codes each relying party has seen."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def by(self, relying_party: str) -> Seen:
        """What this one has seen."""
        found = self._seen.setdefault(relying_party, Seen())
        self._seen.move_to_end(relying_party)
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return found


def cards_router(verifier: Callable[[], Verifier], caller: Callable[..., Any]) -> APIRouter:
    """Endpoints about cards.

    Args:
        verifier: The service.
        caller: See `api.caller_of`.
    """
    router = APIRouter(tags=["cards"], prefix="/v1")
    Caller = Annotated[Client, Depends(caller)]  # noqa: N806 - a type

    @router.post("/card-logins", operation_id="createCardLogin", summary="A challenge for a card", status_code=201)
    async def create(body: NewCardLogin, client: Caller) -> CardLoginMade:
        if verifier().cards is None:
            raise Problem(NO_CARDS)
        asked = Asked.new(CARD, body.purpose, body.nonce, origin=body.origin, response_mode="")
        is_alone = body.query is None
        made = await verifier().ask(client, asked, body.query, lifetime_s=body.lifetime_s, is_card_alone=is_alone)
        return CardLoginMade(
            id=made.question.id,
            nonce=asked.nonce,
            challenge=asked.wallet_nonce,
            origin=asked.origin,
            expires_ms=made.question.expires_ms,
        )

    @router.post("/card-logins/{identifier}/answer", operation_id="answerCardLogin", summary="What the card signed")
    async def answer(identifier: str, body: CardAnswer, client: Caller) -> VerificationShown:
        question = verifier().kept.lately(client.id, identifier) or await found(verifier(), client, identifier)
        if question.asked.kind != CARD:
            raise Problem(UNKNOWN)
        if not verifier().kept.is_open(question):
            raise Problem(OVER)
        is_more = question.asked.query is not None
        purpose = await verifier().purpose(client, question.asked.purpose, is_for_credentials=is_more)
        report = await _card_report(verifier(), client, purpose, question, body)
        kept: JsonObject = {"token": body.token.model_dump(), "presented": dict(body.presented or {})}
        done = await verifier().conclude(question, client, purpose, report, kept)
        if done.answer:
            return told(question, done.answer, done.claims)
        return await run_in_threadpool(shown, verifier(), await found(verifier(), client, identifier), None)

    @router.post("/signatures/check", operation_id="checkSignatures", summary="Signatures of cards over documents")
    async def signatures(body: SignatureCheck, client: Caller) -> DirectAnswer:
        cards = verifier().cards
        if cards is None:
            raise Problem(NO_CARDS)
        purpose = await verifier().purpose(client, body.purpose)
        asked = [
            direct.SignatureAsked(
                bytes.fromhex(one.document_sha256),
                _decoded(one.certificate),
                _decoded(one.signature),
                _opening(one.opening),
            )
            for one in body.signatures
        ]
        report = await direct.check_signatures(cards, asked, purpose.status_age_s_max, verifier().now_s)
        return _answered(verifier(), client, purpose, "signatures", body.nonce, report)

    return router


def direct_router(
    verifier: Callable[[], Verifier], caller: Callable[..., Any], states: States, scanned: Scanned
) -> APIRouter:
    """Endpoints about records and codes.

    Args:
        verifier: The service.
        caller: See `api.caller_of`.
        states: Reads the ledger.
        scanned: Which codes were seen.
    """
    router = APIRouter(tags=["direct checks"], prefix="/v1")
    Caller = Annotated[Client, Depends(caller)]  # noqa: N806 - a type

    @router.post("/offline-codes/check", operation_id="checkOfflineCode", summary="A code that somebody shows")
    async def code(body: CodeCheck, client: Caller) -> DirectAnswer:
        purpose = await verifier().purpose(client, body.purpose)
        judge, seen = verifier().realm_of(client).judge, scanned.by(client.relying_party)
        age_s_max = purpose.status_age_s_max
        report = await direct.check_code(judge, body.code, seen, age_s_max, verifier().now_s)
        return _answered(verifier(), client, purpose, "offline-code", body.nonce, report)

    @router.post("/mandates/check", operation_id="checkMandate", summary="May she act in this, up to this amount?")
    async def mandate(body: MandateCheck, client: Caller) -> DirectAnswer:
        purpose = await verifier().purpose(client, body.purpose)
        if body.scope not in direct.SCOPES or body.power not in direct.POWERS:
            raise Problem(QUERY)
        asked = direct.MandateAsked(
            bytes.fromhex(body.mandate), body.scope, body.power, body.amount_fen, body.legal_person or ""
        )
        report = await direct.check_mandate(states, asked)
        return _answered(verifier(), client, purpose, "mandate", body.nonce, report)

    @router.post("/attestations/check", operation_id="checkAttestation", summary="How an attestation stood at a time")
    async def attestation(body: AttestationCheck, client: Caller) -> DirectAnswer:
        purpose = await verifier().purpose(client, body.purpose)
        report = await direct.check_attestation(
            states, body.issuer, bytes.fromhex(body.attestation), body.at_ms, body.height
        )
        return _answered(verifier(), client, purpose, "attestation", body.nonce, report)

    return router


async def _card_report(
    verifier: Verifier, client: Client, purpose: Purpose, question: Question, body: CardAnswer
) -> Report:
    """The card's signature over site and challenge, then what credentials are bound to its key."""
    cards, asked = verifier.cards, question.asked
    assert cards is not None, "there was no challenge otherwise"
    steps, certificate, issued_s = await cards.check(
        _decoded(body.token.certificate), Slot.AUTHENTICATE, purpose.status_age_s_max
    )
    if certificate is None:
        return Report(tuple(steps))
    digest = sha256(login_message(asked.origin, asked.wallet_nonce))
    opened_key, receipt = await cards.check_opening(certificate, Slot.AUTHENTICATE, _opening(body.opening))
    steps = [*steps, check_signature(certificate, digest, _decoded(body.token.signature)), opened_key]
    age_s = 0 if issued_s is None else max(0, verifier.now_s - issued_s)
    failed = any(one.outcome is Outcome.FAILED for one in steps)
    status = () if issued_s is None else (StatusShown("card", int(failed), issued_s, age_s),)
    scope = "verifier/sandbox-card" if client.is_sandbox else "verifier/card"
    named = client.relying_party.encode() + fingerprint(certificate)
    card = hmac.digest(verifier.store.secret(scope), named, "sha256")
    facts: JsonObject = {"card": encode_base64url(card), "emulated": is_emulated(certificate)}
    receipts = (("card-key", receipt),) if receipt else ()
    if failed or asked.query is None:
        return Report(tuple(steps), statuses=status, receipts=receipts, facts={} if failed else facts)
    shown_report = await check_presentations(
        verifier.realm_of(client).judge,
        asked.parsed,
        purpose,
        body.presented or {},
        Binding(asked.origin, asked.wallet_nonce),
        verifier.now_s,
        holder_key=compressed_key(certificate),
    )
    return Report(
        (*steps, *shown_report.findings),
        shown_report.claims,
        shown_report.assurance_level,
        shown_report.pseudonym,
        (*status, *shown_report.statuses),
        (*receipts, *shown_report.receipts),
        facts | shown_report.facts,
        shown_report.slot,
    )


def _answered(
    verifier: Verifier, client: Client, purpose: Purpose, kind: str, nonce: str | None, report: Report
) -> DirectAnswer:
    """A direct answer, signed; what was found of nobody in particular waits for no entry."""
    asked = Asked.new(kind, purpose.id, nonce, response_mode="")
    claims = verifier.claims(client, asked, report, new_id(), purpose) | {"entry": {"state": "none"}}
    return DirectAnswer(answer=verifier.signed(client, claims), report=claims)


def _opening(value: KeyOpening | None) -> Opening | None:
    return None if value is None else Opening(bytes.fromhex(value.registration), bytes.fromhex(value.salt))


def _decoded(text: str) -> bytes:
    """Base64 as it was sent; nothing where it is none, which no signature or certificate is."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""
