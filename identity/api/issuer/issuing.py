# SPDX-License-Identifier: Apache-2.0
"""Credentials are made here: for a wallet's batch of keys, or for the one key of a card.

This runs in the issuer's process alone, where the issuing keys are; the desk has none, and gets nothing issued but by
an offer whose claims were confirmed on the ledger.

All in one transaction: the proof's nonce is used up, the offer is closed, each copy gets a place of its own. A crash
before the commit issues nothing; after it, the wallet that never got the answer asks at the desk for a new offer.
"""

import asyncio
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from chain.strict_json import Json
from chain.types import sha256
from identity import sd_jwt
from identity.api.issuer import lists, offers
from identity.api.issuer.confirmed import NotConfirmed, check_confirmed
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.lists import Subjects
from identity.api.issuer.metadata import configuration_id
from identity.api.issuer.offers import Content
from identity.api.issuer.proofs import Proven, verify_proofs
from identity.api.issuer.tables import USED, IssuerCopy, IssuerList, IssuerNonce
from identity.credentials import DECOYS, MANDATE, Claims, refreshed
from identity.issuer_keys import IssuingKey, KeySet
from identity.jose import InvalidToken
from identity.sd_jwt import StatusReference
from identity.standing import Reading, Standing, pinned
from identity.status_list import Status
from service.rates import Buckets
from service.store import Act, Store
from service.store.engine import insert_new

log = structlog.get_logger(__name__)

DAY_S = 86_400
LOOKS_BURST: Final = 30
"""Of one person at once, then one every `LOOK_MS`: each is a proof of hundreds of states, some a row for good."""
LOOK_MS: Final = 10_000
LOOKERS_MAX: Final = 10_000
"""People who looked lately; some 2 MB."""


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
        looks: How often people look at what is theirs, by the person's id.
    """

    store: Store
    keys: KeySet
    origin: str
    now_ms: Callable[[], int]
    subjects: Subjects = field(default_factory=Subjects)
    standing: Standing | None = None
    ticking: asyncio.Lock = field(default_factory=asyncio.Lock)
    looks: Buckets = field(default_factory=lambda: Buckets(1, LOOKS_BURST, LOOKERS_MAX))

    @property
    def now_s(self) -> int:
        """Unix time in s."""
        return self.now_ms() // 1000

    def take_look(self, person_id: str) -> None:
        """Take a person's turn to look at what is theirs.

        Raises:
            Denied: They looked too often.
        """
        if self.looks.take(person_id, self.now_ms() * 1000 // LOOK_MS):
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "somebody looks too often with this credential; wait a minute")

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


def subjects_of(issuer: Issuer, token: str) -> tuple[bytes, ...]:
    """Of which records an access token's credential speaks, so that they can be read now.

    Raises:
        Denied: No such token, or it is over.
    """
    with issuer.store.write() as session:
        return offers.content_of(session, issuer.store, offers.redeemed(session, token, issuer.now_ms())).subjects


def answer_wallet(
    issuer: Issuer, token: str, configuration: Json, proofs: Sequence[Json], reading: Reading
) -> list[str]:
    """Issue what an access token was given for.

    A key that has a credential of the type is refused, but for an offer of one copy, as to a card: that one ends what
    the same person's key had before.

    Args:
        issuer: Of this service.
        token: The access token.
        configuration: The credential configuration that the wallet names.
        proofs: One for each copy; the caller bounded how many.
        reading: The records of which the credential speaks, read just now.

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
        use_up(issuer, session, proven)
        _check_content(content, reading)
        check_published(issuer, session)
        if offer.copies == 1:
            _end_before(issuer.store, session, offer.person_id, content.claims.vct, proven.keys[0])
        subjects = _pinned(content, reading)
        issued = [
            _issue(issuer, session, offer.person_id, content.claims, subjects, one, key, offer.lifetime_s)
            for one in proven.keys
        ]
        offer.state = USED
        issuer.store.record(session, Act("system", "credential.issued", offer.id))
    return issued


def use_up(issuer: Issuer, session: Session, proven: Proven) -> None:
    """Use up the nonce of a request's proofs, in the transaction that issues.

    Raises:
        Denied: It was used before.
    """
    session.execute(delete(IssuerNonce).where(IssuerNonce.expires_ms <= issuer.now_ms()))
    if not insert_new(session, IssuerNonce(digest=sha256(proven.nonce.encode()), expires_ms=proven.nonce_ends_ms)):
        raise Denied(Error.INVALID_NONCE, "the nonce was used before")


def check_published(issuer: Issuer, session: Session) -> None:
    """See that a verifier can check what is about to be issued.

    Raises:
        Denied: Lists are too old.
    """
    if not lists.is_fresh(session, issuer.now_s):
        raise Denied(Error.TEMPORARILY_UNAVAILABLE, "status lists are not published at this time")


def check_counts(subjects: Sequence[bytes], reading: Reading) -> None:
    """See that the records of which a credential speaks count.

    Raises:
        Denied: One does not.
    """
    if reading.standing(subjects).of(subjects) is not Status.VALID:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "a record of which the credential speaks does not count now")


def _check_content(content: Content, reading: Reading) -> None:
    """See that the records of which a credential speaks count, and bear its claims out.

    Raises:
        Denied: They don't.
    """
    check_counts(content.subjects, reading)
    try:
        check_confirmed(content.claims, content.subjects, content.opening, reading.values)
    except NotConfirmed as error:
        log.warning("issuer.not-confirmed", reason=str(error))
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the offer is not what was confirmed on the ledger") from None


def _end_before(store: Store, session: Session, person_id: str, vct: str, holder_key: bytes) -> None:
    """End the credential that the one key of a card has already: a new year, or a new name."""
    query = select(IssuerCopy).where(
        IssuerCopy.key_digest == key_digest(store, vct, holder_key), IssuerCopy.person_id == person_id
    )
    before = session.scalar(query.with_for_update())
    if before is not None:
        store.people.remove(session, before)  # its place has no credential any more and turns invalid
        session.flush()


def _pinned(content: Content, reading: Reading) -> tuple[bytes, ...]:
    """Of which records a credential speaks, with what these say where it repeats that: it ends when that changes.

    A mandate's terms never change, and its credential names its two sides by what the desk knows of them.
    """
    if content.claims.vct == MANDATE:
        return content.subjects

    def value(key: bytes) -> bytes:
        found = reading.values[key]
        assert found is not None, "it counts, as was checked just now"
        return found

    return tuple(pinned(key, value(key)) for key in content.subjects)


def _issue(
    issuer: Issuer,
    session: Session,
    person_id: str,
    offered: Claims,
    subjects: Sequence[bytes],
    holder_key: bytes,
    key: IssuingKey,
    lifetime_s: int,
) -> str:
    """One credential with a place of its own; checked as a verifier will, before anybody gets it."""
    now_s = issuer.now_s
    expires_s = min(now_s + lifetime_s, key.ends_s) // DAY_S * DAY_S
    digest = key_digest(issuer.store, offered.vct, holder_key)
    reference = enter_copy(
        issuer,
        session,
        IssuerCopy(person_id=person_id, key_digest=digest, expires_s=expires_s, is_code=False),
        subjects,
    )
    claims = refreshed(offered, datetime.fromtimestamp(now_s, UTC).date())
    assert key.signer is not None, "the current key signs"
    token = sd_jwt.issue(
        claims.dated(
            issuer=issuer.origin,
            issued_s=now_s,
            expires_s=expires_s,
            status_uri=reference.uri,
            status_index=reference.index,
        ),
        claims.disclosable,
        key.signer,
        holder_key=holder_key,
        header=key.header,
        decoys=DECOYS,
    )
    checked = sd_jwt.verify(token, key.public_key, max(now_s, _begins_s(claims)), vct=offered.vct)
    assert checked.holder_key == holder_key, "it is bound to the key that was proven"
    return token


def _begins_s(claims: Claims) -> int:
    """From when a mandate counts; 0 for others."""
    begins_s = claims.claims.get("nbf", 0)
    assert isinstance(begins_s, int), "we made it"
    return begins_s


def enter_copy(issuer: Issuer, session: Session, copy: IssuerCopy, subjects: Sequence[bytes]) -> StatusReference:
    """Enter what is about to be issued, and draw its place in a status list.

    Args:
        issuer: Of this service.
        session: A transaction that writes.
        copy: Whose, for which key, until when.
        subjects: State keys of the records of which it speaks, as they are pinned.

    Raises:
        Denied: The key has one of this kind already.
    """
    store = issuer.store
    copy.issued_ms = issuer.now_ms()
    place = lists.take_place(session, copy.id, issuer.current_key(), issuer.origin, copy.expires_s, issuer.now_s)
    copy.list_number, copy.place = place.list_number, place.place
    if not insert_new(session, copy):
        raise Denied(Error.INVALID_PROOF, "a key has a credential of this type already; each copy is for a fresh one")
    kept, named = session.get(IssuerCopy, copy.id), session.get(IssuerList, place.list_number)
    assert kept is not None, "it was inserted just now"
    assert named is not None, "the place is on it"
    store.people.seal(session, kept, IssuerCopy.subjects, json.dumps([one.decode("ascii") for one in subjects]))
    return StatusReference(lists.list_uri(issuer.origin, named.name), place.place)


def key_digest(store: Store, kind: str, holder_key: bytes) -> bytes:
    """Keyed: tells that a key was used before, to this store alone."""
    return hmac.digest(store.secret("issuer/holder-key"), kind.encode() + b"\x00" + holder_key, "sha256")
