# SPDX-License-Identifier: Apache-2.0
"""Credentials are made here: for a wallet's batch of keys, or for the one key of a card.

All in one transaction: the proof's nonce is used up, the offer is closed, each copy gets a place of its own. A crash
before the commit issues nothing; after it, the wallet that never got the answer asks at the desk for a new offer.
"""

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from chain.strict_json import Json
from identity import sd_jwt
from identity.api.issuer import lists, offers
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.lists import Subjects
from identity.api.issuer.metadata import configuration_id
from identity.api.issuer.offers import Content
from identity.api.issuer.proofs import verify_proofs
from identity.api.issuer.tables import USED, IssuerCopy, IssuerList, IssuerNonce
from identity.credentials import DECOYS, refreshed
from identity.issuer_keys import IssuingKey, KeySet
from identity.jose import InvalidToken
from identity.standing import Standing
from identity.status_list import Status
from service.store import Act, Store
from service.store.engine import insert_new

DAY_S = 86_400


@dataclass(slots=True)
class Issuer:
    """What issuing needs, made when the service starts.

    Attributes:
        store: Where offers, copies and lists stand.
        keys: The registrar's issuing keys.
        origin: The issuer's identifier.
        now_ms: Unix time in ms.
        subjects: Of which records credentials speak.
        standing: What the ledger said at the last tick; None before the first one.
    """

    store: Store
    keys: KeySet
    origin: str
    now_ms: Callable[[], int]
    subjects: Subjects = field(default_factory=Subjects)
    standing: Standing | None = None

    @property
    def now_s(self) -> int:
        """Unix time in s."""
        return self.now_ms() // 1000

    def current_key(self) -> IssuingKey:
        """The key that signs now.

        Raises:
            Denied: None does.
        """
        if self.standing is not None and self.standing.is_key_ended:
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger has ended the issuing key")
        try:
            return self.keys.current(self.now_s)
        except InvalidToken:
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "no issuing key signs at this time") from None


def answer_wallet(issuer: Issuer, token: str, configuration: Json, proofs: Sequence[Json]) -> list[str]:
    """Issue what an access token was given for.

    Args:
        issuer: Of this service.
        token: The access token.
        configuration: The credential configuration that the wallet names.
        proofs: One for each copy; the caller bounded how many.

    Returns:
        The credentials, in the order of their proofs.

    Raises:
        Denied: The token, the proofs, or the moment; nothing was issued, and the token can be used with better proofs.
    """
    key = issuer.current_key()
    with issuer.store.write() as session:
        offer = offers.redeemed(session, token, issuer.now_ms())
        content = offers.content_of(session, issuer.store, offer)
        if configuration != configuration_id(content.claims.vct):
            raise Denied(Error.UNKNOWN_CREDENTIAL_CONFIGURATION, "the offer is of another credential")
        if not 1 <= len(proofs) <= offer.copies:
            raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "more proofs than copies were offered, or none")
        proven = verify_proofs(proofs, issuer.origin, issuer.store.secret("issuer/nonce"), issuer.now_ms())
        session.execute(delete(IssuerNonce).where(IssuerNonce.expires_ms <= issuer.now_ms()))
        if not insert_new(session, IssuerNonce(digest=proven.nonce, expires_ms=proven.nonce_ends_ms)):
            raise Denied(Error.INVALID_NONCE, "the nonce was used before")
        if issuer.standing is not None and issuer.standing.of(content.subjects) is not Status.VALID:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "a record of which the credential speaks does not count now")
        if not lists.is_fresh(session, issuer.now_s):
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "status lists are not published at this time")
        issued = [_issue(issuer, session, offer.person_id, content, one, key, offer.lifetime_s) for one in proven.keys]
        offer.state = USED
        issuer.store.record(session, Act("system", "credential.issued", offer.id))
    return issued


def issue_for_key(
    issuer: Issuer, session: Session, person_id: str, content: Content, holder_key: bytes, lifetime_s: int, actor: str
) -> str:
    """Issue one credential for a key that the desk has seen proven, such as a card's; in the desk's transaction.

    Args:
        issuer: Of this store.
        session: A transaction that writes.
        person_id: Whose it is.
        content: What it says, and of which records.
        holder_key: 33 bytes.
        lifetime_s: How long it counts.
        actor: Random id of the officer.

    Raises:
        Denied: No issuing key signs now, or the key has a credential already.
    """
    token = _issue(issuer, session, person_id, content, holder_key, issuer.current_key(), lifetime_s)
    issuer.store.record(session, Act(actor, "credential.issued", person_id))
    return token


def _issue(
    issuer: Issuer,
    session: Session,
    person_id: str,
    content: Content,
    holder_key: bytes,
    key: IssuingKey,
    lifetime_s: int,
) -> str:
    """One credential with a place of its own; checked as a verifier will, before anybody gets it."""
    store, now_s = issuer.store, issuer.now_s
    expires_s = min(now_s + lifetime_s, key.ends_s) // DAY_S * DAY_S
    digest = hmac.digest(store.secret("issuer/holder-key"), content.claims.vct.encode() + holder_key, "sha256")
    copy = IssuerCopy(person_id=person_id, key_digest=digest, issued_ms=issuer.now_ms(), expires_s=expires_s)
    place = lists.take_place(session, copy.id, key, issuer.origin, expires_s, now_s)
    copy.list_number, copy.place = place.list_number, place.place
    if not insert_new(session, copy):
        raise Denied(Error.INVALID_PROOF, "a key has a credential of this type already; each copy is for a fresh one")
    kept = session.get(IssuerCopy, copy.id)
    assert kept is not None, "it was inserted just now"
    store.people.seal(session, kept, IssuerCopy.subjects, json.dumps([one.decode("ascii") for one in content.subjects]))
    named = session.get(IssuerList, place.list_number)
    assert named is not None, "the place is on it"
    claims = refreshed(content.claims, datetime.fromtimestamp(now_s, UTC).date())
    assert key.signer is not None, "the current key signs"
    token = sd_jwt.issue(
        claims.dated(
            issuer=issuer.origin,
            issued_s=now_s,
            expires_s=expires_s,
            status_uri=lists.list_uri(issuer.origin, named.name),
            status_index=place.place,
        ),
        claims.disclosable,
        key.signer,
        holder_key=holder_key,
        header=key.header,
        decoys=DECOYS,
    )
    checked = sd_jwt.verify(token, key.public_key, now_s)
    assert checked.holder_key == holder_key, "it is bound to the key that was proven"
    return token
