# SPDX-License-Identifier: Apache-2.0
"""Sign-in of people and companies with the key that their log is bound to.

An officer gives out a link that is good once. The browser that opens it makes a P-256 key that never leaves it, and
signs a nonce with it: that key is the holder's from then on, and another link replaces it. Each sign-in signs a fresh
nonce, bound to this service's origin and to what the signature is for. Wallets and cards bring keys of the same kind.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from fastapi import Depends
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from chain import p256
from chain.errors import InvalidSignature
from credit.api.base import MINUTE_MS, CreditContext, credit_of, load_subject
from credit.api.problems import HOLDER_KEY, KEY_LINK, SIGNED_OUT
from credit.api.reading import StoredAccesses
from credit.api.subjects import secrets_of
from credit.api.tables import CreditKeyLink, CreditNonce, CreditSubject, CreditVisit
from credit.api.telling import LINK_FIRST, tell_subject
from service.problems import Problem, wants_html
from service.redirects import Elsewhere
from service.store.engine import insert_new

SIGN_IN_PATH: Final = "/me/sign-in"
NONCE_MS: Final = 5 * MINUTE_MS
_NONCE_TIME_BYTES: Final = 6
_NONCE_RANDOM_BYTES: Final = 10
_NONCE_MAC_BYTES: Final = 16
LINK_MS: Final = 7 * 24 * 60 * MINUTE_MS
IDLE_MS: Final = 15 * MINUTE_MS
"""A phone that was put down."""
AGE_MS: Final = 8 * 60 * MINUTE_MS
SEEN_EVERY_MS: Final = MINUTE_MS
TOKEN_CHARACTERS: Final = 43
VISITS_MAX: Final = 10
"""Of one subject at once."""
_DOMAIN: Final = "zhixin/credit-holder/1"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is signed in."""

    subject_id: str
    person_id: str
    visit_id: str


def message_of(context: CreditContext, what: Literal["join", "sign-in"], nonce: str) -> bytes:
    """What a holder's key signs; the browser makes the same."""
    return f"{_DOMAIN}\x00{what}\x00{context.origin}\x00{nonce}".encode()


def issue_nonce(context: CreditContext) -> str:
    """A nonce that can be answered once, for some minutes. Nothing is kept of it until a key has signed it."""
    body = context.now().to_bytes(_NONCE_TIME_BYTES) + secrets.token_bytes(_NONCE_RANDOM_BYTES)
    return urlsafe_b64encode(body + _nonce_mac(context, body)).rstrip(b"=").decode()


def _nonce_expires_ms(context: CreditContext, nonce: str) -> int:
    """When a nonce of this service is over; 0: it is none."""
    try:
        raw = urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
    except ValueError:
        return 0
    body, mac = raw[:-_NONCE_MAC_BYTES], raw[-_NONCE_MAC_BYTES:]
    if len(body) != _NONCE_TIME_BYTES + _NONCE_RANDOM_BYTES or not hmac.compare_digest(mac, _nonce_mac(context, body)):
        return 0
    return int.from_bytes(body[:_NONCE_TIME_BYTES]) + NONCE_MS


def _nonce_mac(context: CreditContext, body: bytes) -> bytes:
    return hmac.digest(context.store.secret("credit/nonce"), body, hashlib.sha256)[:_NONCE_MAC_BYTES]


def make_link(context: CreditContext, actor: str, organisation: str, subject_id: str) -> str:
    """A token that binds the next key to a subject's log; earlier ones end.

    The subject sees that it was handed out, and of the first one is told where officers confirmed, if they did.
    """
    token = secrets.token_urlsafe(32)
    with context.store.write() as session:
        subject = load_subject(session, subject_id)
        session.execute(delete(CreditKeyLink).where(CreditKeyLink.person_id == subject.person_id))
        StoredAccesses(context).note(session, subject_id, organisation, "attest", "link", {})
        expires_ms = context.now() + LINK_MS
        session.add(CreditKeyLink(person_id=subject.person_id, digest=_digest("link", token), expires_ms=expires_ms))
        if subject.key_digest is None:
            tell_subject(context, session, LINK_FIRST, subject.id)
        context.record(session, actor, "credit.key-link-made", subject.id)
    return token


def join(context: CreditContext, token: str, public_key: bytes, nonce: str, signature: bytes) -> str:
    """Bind a key to the log that a link is for, and sign in with it. Whoever was signed in with another key is out.

    Returns:
        The session's token.

    Raises:
        Problem: The link was used or is over, or the key did not sign.
    """
    _check(context, "join", public_key, nonce, signature)
    with context.store.write() as session:
        query = select(CreditKeyLink).where(CreditKeyLink.digest == _digest("link", token)).with_for_update()
        link = session.scalar(query)
        if link is None or link.expires_ms <= context.now():
            raise Problem(KEY_LINK)
        subject = session.scalar(select(CreditSubject).where(CreditSubject.person_id == link.person_id))
        digest = _key_digest(context, public_key)
        other = select(CreditSubject.id).where(CreditSubject.key_digest == digest)
        if subject is None or session.scalar(other) is not None:
            raise Problem(KEY_LINK)
        session.delete(link)
        subject.key_digest = digest
        bound = replace(secrets_of(context, session, subject), key=public_key)
        context.store.people.seal(session, subject, CreditSubject.secrets, bound.encode())
        session.execute(delete(CreditVisit).where(CreditVisit.subject_id == subject.id))
        context.record(session, subject.person_id, "credit.key-bound", subject.id)
        return _open(context, session, subject)


def sign_in(context: CreditContext, public_key: bytes, nonce: str, signature: bytes) -> str:
    """Sign in with the key that a log is bound to; the session's token.

    Raises:
        Problem: The key did not sign this nonce, or no log is bound to it; nothing tells which.
    """
    _check(context, "sign-in", public_key, nonce, signature)
    with context.store.write() as session:
        query = select(CreditSubject).where(CreditSubject.key_digest == _key_digest(context, public_key))
        subject = session.scalar(query.with_for_update())
        if subject is None:
            raise Problem(HOLDER_KEY)
        return _open(context, session, subject)


def sign_out(context: CreditContext, holder: Holder) -> None:
    """End the session."""
    with context.store.write() as session:
        session.execute(delete(CreditVisit).where(CreditVisit.id == holder.visit_id))


def holder_of_token(context: CreditContext, token: str) -> Holder | None:
    """Who is signed in with a token; None: nobody, any more."""
    if len(token) != TOKEN_CHARACTERS:
        return None
    now_ms = context.now()
    with context.store.read() as session:
        row = session.scalar(select(CreditVisit).where(CreditVisit.digest == _digest("visit", token)))
    if row is None or now_ms - row.seen_ms > IDLE_MS or now_ms - row.created_ms > AGE_MS:
        return None
    if now_ms - row.seen_ms > SEEN_EVERY_MS:
        with context.store.write() as session:
            kept = session.get(CreditVisit, row.id, with_for_update=True)
            if kept is not None:
                kept.seen_ms = now_ms
    return Holder(row.subject_id, row.person_id, row.id)


async def _here(request: Request) -> Holder:
    context = credit_of(request)
    token = request.cookies.get(cookie_name(context), "")
    holder = await run_in_threadpool(holder_of_token, context, token)
    if holder is None and wants_html(request):
        raise Elsewhere(SIGN_IN_PATH)
    if holder is None:
        raise Problem(SIGNED_OUT)
    return holder


Here = Annotated[Holder, Depends(_here)]
"""Whoever is signed in; others are sent to sign in."""


def cookie_name(context: CreditContext) -> str:
    """Of the session's cookie; on https no other host can set it."""
    return "__Host-zhixin-credit" if context.origin.startswith("https:") else "zhixin-credit"


def set_visit(response: Response, context: CreditContext, token: str) -> None:
    """Hand the browser its session; it ends with the browser, at the latest."""
    secure = context.origin.startswith("https:")
    response.set_cookie(cookie_name(context), token, path="/", secure=secure, httponly=True, samesite="lax")


def _open(context: CreditContext, session: Session, subject: CreditSubject) -> str:
    token, now_ms = secrets.token_urlsafe(32), context.now()
    query = select(CreditVisit).where(CreditVisit.subject_id == subject.id).order_by(CreditVisit.seen_ms.desc())
    for beyond in session.scalars(query.offset(VISITS_MAX - 1)):
        session.delete(beyond)
    session.add(
        CreditVisit(
            person_id=subject.person_id,
            subject_id=subject.id,
            digest=_digest("visit", token),
            created_ms=now_ms,
            seen_ms=now_ms,
        )
    )
    context.record(session, subject.person_id, "credit.signed-in", subject.id)
    return token


def _check(
    context: CreditContext, what: Literal["join", "sign-in"], public_key: bytes, nonce: str, signature: bytes
) -> None:
    """Use a nonce up, and check that the key signed it for this.

    Raises:
        Problem: It was used, is too old, or the signature does not hold.
    """
    expires_ms = _nonce_expires_ms(context, nonce)
    try:
        p256.verify(public_key, message_of(context, what, nonce), signature)
    except InvalidSignature:
        raise Problem(HOLDER_KEY) from None
    if expires_ms <= context.now():
        raise Problem(HOLDER_KEY)
    with context.store.write() as session:
        session.execute(delete(CreditNonce).where(CreditNonce.expires_ms <= context.now()))
        if not insert_new(session, CreditNonce(digest=_digest("nonce", nonce), expires_ms=expires_ms)):
            raise Problem(HOLDER_KEY)


def _key_digest(context: CreditContext, public_key: bytes) -> bytes:
    return hmac.digest(context.store.secret("credit/holder-key"), public_key, hashlib.sha256)


def _digest(kind: str, token: str) -> bytes:
    return hashlib.sha256(f"zhixin/credit-{kind}/1|{token}".encode()).digest()
