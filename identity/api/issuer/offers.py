# SPDX-License-Identifier: Apache-2.0
"""Offers: the desk says what somebody may fetch, hands over a QR code and, by another way, six digits.

The QR code holds an address; behind it stands the code that the wallet exchanges, with the digits, for an access token.
The store keeps digests of all of them. An offer lives ten minutes and is good once; five wrong tries end it.

Source: OpenID4VCI 1.0, 4.1 (offer), 3.5 and 6 (pre-authorized code, `tx_code`).
"""

import hmac
import io
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import segno
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.strict_json import parse
from chain.types import sha256
from identity.api.issuer.confirmed import Opening
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.metadata import configuration_id
from identity.api.issuer.tables import LOCKED, OPEN, REDEEMED, IssuerOffer
from identity.credentials import Claims
from identity.jose import JsonObject, encode_base64url
from service.store import Act, Store

OFFER_MS: Final = 600_000
"""At the counter, with the clerk beside; a new one is made in a second."""
TOKEN_MS: Final = 300_000
"""From the token to the credentials, while the wallet's user confirms."""
TRIES_MAX: Final = 5
"""Of 10^6 codes: one guess in 200,000 offers succeeds."""
COPIES_MAX: Final = 30
"""One-time copies of a batch: a month of daily use."""
LIFETIME_S_MAX: Final = 366 * 86_400
"""Of a credential; a fresh one is fetched once a year, or when something changes."""
GRANT: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"

_CODE_DIGITS = 6
_CONTENT_BYTES_MAX = 32 * 1024
_TOKEN_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Offer:
    """What the desk hands over.

    Attributes:
        id: The offer's row; for the desk's history.
        uri: What the QR code holds, and a link on the same device opens.
        tx_code: Six digits, handed over apart from the QR code: on paper or by message.
        expires_ms: Unix time in ms.
    """

    id: str
    uri: str
    tx_code: str
    expires_ms: int

    def qr_svg(self) -> str:
        """The QR code, as an SVG image."""
        image = io.BytesIO()
        segno.make(self.uri, error="m", micro=False).save(image, kind="svg", xmldecl=False, svgns=True, border=4)
        return image.getvalue().decode()


@dataclass(frozen=True, slots=True)
class Content:
    """What an offer is of.

    Attributes:
        claims: What the credential will say.
        subjects: State keys of the records of which it speaks; it counts while all of them do.
        opening: Opens the commitment of a natural person's registration; None for other types.
    """

    claims: Claims
    subjects: tuple[bytes, ...]
    opening: Opening | None = None

    def to_text(self) -> str:
        """For the store."""
        whole = {**self.claims.to_json(), "subjects": [key.decode("ascii") for key in self.subjects]}
        if self.opening is not None:
            whole["opening"] = self.opening.to_json()
        return json.dumps(whole, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "Content":
        """What `to_text` wrote."""
        value = parse(text.encode(), size_max=2 * _CONTENT_BYTES_MAX, depth_max=16)
        assert isinstance(value, dict), "we wrote it"
        subjects = value["subjects"]
        assert isinstance(subjects, list), "we wrote it"
        opening = Opening.from_json(value["opening"]) if "opening" in value else None
        return cls(Claims.from_json(value), tuple(str(key).encode("ascii") for key in subjects), opening)


def create_offer(
    session: Session,
    store: Store,
    *,
    person_id: str,
    claims: Claims,
    subjects: Iterable[bytes],
    opening: Opening | None = None,
    issuer: str,
    now_ms: int,
    copies: int = COPIES_MAX,
    lifetime_s: int = LIFETIME_S_MAX - 86_400,
    actor: str,
    request: str = "-",
) -> Offer:
    """Offer a credential, in the transaction of whoever hands it over.

    Args:
        session: A transaction that writes.
        store: Of the session.
        person_id: Whose it is, in the store.
        claims: What it says: `identity.credentials`.
        subjects: State keys of the registrations and mandates of which it speaks.
        opening: What opens a natural person's commitment: the issuer checks that the claims follow from what was
            confirmed, and issues nothing otherwise.
        issuer: The issuer's origin, such as "https://issuer.example.org".
        now_ms: Unix time in ms.
        copies: How many one-time copies the wallet may fetch, each for a key of its own; at most 30.
        lifetime_s: How long each counts; at most 366 days.
        actor: Random id of the officer.
        request: Id of the request.

    Raises:
        PersonErased: There is no such person.
    """
    assert 1 <= copies <= COPIES_MAX, "a batch is bounded"
    assert 86_400 <= lifetime_s <= LIFETIME_S_MAX, "a credential counts for a day to a year"
    content = Content(claims, tuple(subjects), opening).to_text()
    assert len(content.encode()) <= _CONTENT_BYTES_MAX, "claims are bounded"
    token = encode_base64url(secrets.token_bytes(32))
    code = _code_of(store, token)
    tx_code = f"{secrets.randbelow(10**_CODE_DIGITS):0{_CODE_DIGITS}d}"
    offer = IssuerOffer(
        person_id=person_id,
        digest=sha256(token.encode()),
        code_digest=sha256(code.encode()),
        tx_digest=_tx_digest(store, code, tx_code),
        state=OPEN,
        tries=0,
        copies=copies,
        lifetime_s=lifetime_s,
        created_ms=now_ms,
        expires_ms=now_ms + OFFER_MS,
    )
    store.people.seal(session, offer, IssuerOffer.content, content)
    store.record(session, Act(actor, "credential.offered", offer.id, request))
    uri = f"openid-credential-offer://?credential_offer_uri={quote(f'{issuer}/oid4vci/offers/{token}', safe='')}"
    return Offer(offer.id, uri, tx_code, offer.expires_ms)


def offer_document(session: Session, store: Store, token: str, issuer: str, now_ms: int) -> JsonObject | None:
    """What stands behind an offer's address; None if there is nothing, or no longer."""
    if len(token) > _TOKEN_CHARACTERS_MAX:
        return None
    offer = session.scalar(select(IssuerOffer).where(IssuerOffer.digest == sha256(token.encode())))
    if offer is None or offer.state != OPEN or now_ms >= offer.expires_ms:
        return None
    grant: JsonObject = {
        "pre-authorized_code": _code_of(store, token),
        "tx_code": {"input_mode": "numeric", "length": _CODE_DIGITS, "description": "The six digits from the counter"},
    }
    vct = content_of(session, store, offer).claims.vct
    return {
        "credential_issuer": issuer,
        "credential_configuration_ids": [configuration_id(vct)],
        "grants": {GRANT: grant},
    }


def redeem(session: Session, store: Store, code: str, tx_code: str, now_ms: int) -> str | None:
    """Exchange a code for an access token.

    Args:
        session: A transaction that writes; commit it also if this returns None: a wrong try counts.
        store: Of the session.
        code: As it came.
        tx_code: As it came.
        now_ms: Unix time in ms.

    Returns:
        The access token; None if the digits are wrong, in which case a try is counted.

    Raises:
        Denied: No such offer, over, used, or tried too often.
    """
    query = select(IssuerOffer).where(IssuerOffer.code_digest == sha256(code.encode())).with_for_update()
    offer = session.scalar(query)
    if offer is None or offer.state != OPEN or now_ms >= offer.expires_ms:
        raise Denied(Error.INVALID_GRANT, "there is no such offer, or it is over")
    if not hmac.compare_digest(offer.tx_digest, _tx_digest(store, code, tx_code)):
        offer.tries += 1
        if offer.tries >= TRIES_MAX:
            offer.state = LOCKED
            store.record(session, Act("system", "credential.locked", offer.id))
        return None
    token = encode_base64url(secrets.token_bytes(32))
    offer.state = REDEEMED
    offer.token_digest = sha256(token.encode())
    offer.expires_ms = now_ms + TOKEN_MS
    return token


def redeemed(session: Session, token: str, now_ms: int) -> IssuerOffer:
    """The offer of an access token, held until the transaction ends.

    Raises:
        Denied: No such token, or it was used, or is over.
    """
    query = select(IssuerOffer).where(IssuerOffer.token_digest == sha256(token.encode())).with_for_update()
    offer = session.scalar(query)
    if offer is None or offer.state != REDEEMED or now_ms >= offer.expires_ms:
        raise Denied(Error.INVALID_TOKEN, "there is no such access token, or it is over")
    return offer


def content_of(session: Session, store: Store, offer: IssuerOffer) -> Content:
    """What an offer is of."""
    text = store.people.open(session, offer, IssuerOffer.content)
    assert text is not None, "each offer has its content"
    return Content.from_text(text)


def _code_of(store: Store, token: str) -> str:
    """The pre-authorized code of an offer: whoever has its address finds it there, and the store does not hold it."""
    return encode_base64url(hmac.digest(store.secret("issuer/code"), token.encode(), "sha256"))


def _tx_digest(store: Store, code: str, tx_code: str) -> bytes:
    """Keyed: six digits under a plain hash would be found in a second by whoever has the database."""
    return hmac.digest(store.secret("issuer/tx-code"), f"{code}\n{tx_code}".encode(), "sha256")
