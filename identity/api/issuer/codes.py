# SPDX-License-Identifier: Apache-2.0
"""One-time tokens for offline codes: who shows a credential of ours gets a batch, for keys that are proven as ever.

The wallet presents one of its credentials, bound to its key under the same fresh nonce as the proofs of the new keys.
The tokens say what it disclosed, as far as a code can say it, and nothing else: what the issuer found confirmed when it
signed the credential. They live for days, so a wallet asks again without anybody at a counter; a credential that was
ended, or a record that is suspended, gets no more.

A crash before the commit issues nothing and uses nothing up; after it, the wallet asks again with fresh keys.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.strict_json import Json
from identity import offline_qr, sd_jwt
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import Issuer, check_counts, check_published, enter_copy, key_digest, use_up
from identity.api.issuer.lists import pinned_from
from identity.api.issuer.offers import COPIES_MAX
from identity.api.issuer.proofs import Proven, verify_proofs
from identity.api.issuer.tables import IssuerCopy, IssuerPlace
from identity.jose import InvalidToken, JsonObject
from identity.offline_qr import CLAIMS, ID_BYTES, PREFIX, Claim
from identity.sd_jwt import Binding, Verified
from identity.standing import Reading
from identity.status_list import Status
from service.errors import PersonErased
from service.store import Act
from service.store.models import Person

LIFETIME_S: Final = 3 * 86_400
"""Ten codes a day of a full batch. A verifier that was offline as long has not heard of a revocation since."""
LIVING_MAX: Final = 2 * COPIES_MAX
"""Of one person: the batch in use and the next one. More would fill status lists and serve nobody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was seen proven, but for the nonce's being fresh and for what the ledger says.

    Attributes:
        credential: What was presented, bound to its key.
        proven: The new keys.
        subjects: State keys of the records of which the credential speaks, as they are pinned.
    """

    credential: Verified
    proven: Proven
    subjects: tuple[bytes, ...]


def check_request(issuer: Issuer, presentation: Json, proofs: Sequence[Json]) -> Asked:
    """Check a wallet's request as far as it goes without the ledger.

    Args:
        issuer: Of this service.
        presentation: A credential of this issuer with key binding.
        proofs: One for each token; the caller bounded how many.

    Raises:
        Denied: A proof or the presentation is refused, or the credential counts no longer.
    """
    secret = issuer.store.secret("issuer/nonce")
    first = verify_proofs(proofs[:1], issuer.origin, secret, issuer.now_ms())
    credential = verify_presented(issuer, presentation, first.nonce)  # before all of a batch: who has none costs little
    proven = verify_proofs(proofs, issuer.origin, secret, issuer.now_ms())
    with issuer.store.read() as session:
        copy = copy_of(issuer, session, credential)
        return Asked(credential, proven, _subjects(issuer, session, copy))


def answer(issuer: Issuer, asked: Asked, reading: Reading) -> list[bytes]:
    """Issue the tokens of a request.

    Args:
        issuer: Of this service.
        asked: What `check_request` found.
        reading: The records of which the credential speaks, read just now.

    Returns:
        The tokens, in the order of the proofs.

    Raises:
        Denied: The nonce was used, a record does not count now, a key has a token, or too many of the person's live.
    """
    said = _said(asked.credential.claims)
    key, now_s = issuer.current_key(), issuer.now_s
    assert key.signer is not None, "the current key signs"
    vct = asked.credential.claims["vct"]
    tokens: list[bytes] = []
    with issuer.store.write() as session:
        use_up(issuer, session, asked.proven)
        person_id = copy_of(issuer, session, asked.credential).person_id
        check_counts(asked.subjects, reading)
        check_published(issuer, session)
        _check_number(session, person_id, now_s, len(asked.proven.keys))
        for holder_key in asked.proven.keys:
            digest = key_digest(issuer.store, f"{PREFIX}{vct}", holder_key)
            copy = IssuerCopy(person_id=person_id, key_digest=digest, expires_s=now_s + LIFETIME_S, is_code=True)
            tokens.append(
                offline_qr.issue(
                    said,
                    key.signer,
                    key.key_id,
                    holder_key,
                    token_id=secrets.token_bytes(ID_BYTES),
                    issued_s=now_s,
                    expires_s=copy.expires_s,
                    status=enter_copy(issuer, session, copy, asked.subjects),
                )
            )
        issuer.store.record(session, Act("system", "credential.codes-issued", person_id))
    return tokens


def verify_presented(issuer: Issuer, presentation: Json, nonce: str) -> Verified:
    """A credential of this issuer's, presented by whoever holds its key.

    Raises:
        Denied: It is none, another issuer's, or bound to something else than this nonce.
    """
    if not isinstance(presentation, str):
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "presentation is a credential with key binding, as text")

    def key_of(header: JsonObject) -> bytes:
        for one in issuer.keys:
            if one.kid == header.get("kid") and issuer.now_s < one.ends_s:
                return one.public_key
        raise InvalidToken("none of this issuer's keys signed it", "identity.issuer-key")

    try:
        found = sd_jwt.verify(presentation, key_of, issuer.now_s, binding=Binding(issuer.origin, nonce))
    except InvalidToken as error:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, f"the presentation is refused ({error.code})") from None
    if found.claims.get("iss") != issuer.origin or found.status is None:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the credential is another issuer's")
    return found


def copy_of(issuer: Issuer, session: Session, credential: Verified) -> IssuerCopy:
    """The row of a credential that still counts by itself, and did at the last tick by what its records say.

    How these stand now, the caller asks of the ledger.
    """
    assert credential.holder_key is not None, "it was presented bound to its key"
    assert credential.status is not None, "as it was checked"
    digest = key_digest(issuer.store, str(credential.claims["vct"]), credential.holder_key)
    copy = session.scalar(select(IssuerCopy).where(IssuerCopy.key_digest == digest))
    place = None if copy is None else session.get(IssuerPlace, (copy.list_number, copy.place))
    if copy is None or place is None or place.status != Status.VALID or copy.place != credential.status.index:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the credential counts no longer")
    standing = issuer.standing
    if standing is not None and standing.of(_subjects(issuer, session, copy)) is Status.INVALID:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the credential says what counts no longer; fetch a new one")
    return copy


def _subjects(issuer: Issuer, session: Session, copy: IssuerCopy) -> tuple[bytes, ...]:
    """State keys of the records of which a credential speaks, as they are pinned."""
    try:
        return pinned_from(issuer.store.people.open(session, copy, IssuerCopy.subjects) or "[]")
    except PersonErased:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "the credential counts no longer") from None


def _said(claims: JsonObject) -> dict[str, Claim]:
    """What a code can say of what was disclosed.

    Raises:
        Denied: Nothing.
    """
    said: dict[str, Claim] = {}
    for name in CLAIMS.values():
        value = claims.get(name)
        if isinstance(value, str | bool):
            said[name] = value
    if not said:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the presentation discloses nothing that a code can say")
    return said


def _check_number(session: Session, person_id: str, now_s: int, more: int) -> None:
    session.scalar(select(Person.id).where(Person.id == person_id).with_for_update())  # requests of one person in turn
    living = select(func.count()).where(
        IssuerCopy.person_id == person_id, IssuerCopy.is_code, IssuerCopy.expires_s > now_s
    )
    if (session.scalar(living) or 0) + more > LIVING_MAX:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"at most {LIVING_MAX} tokens of one person live at a time")
