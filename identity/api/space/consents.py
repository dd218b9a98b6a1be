# SPDX-License-Identifier: Apache-2.0
"""Consents: given, narrowed and withdrawn by their person; this service submits what they signed.

A row is kept before anything is sent, with both sides' secrets: so that whatever happened on the way, the person can
withdraw, from any phone of theirs. The ledger alone says whether it counts. A consent is narrowed by ending it and
giving another in one transaction.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import InvalidMessage, Refused
from chain.transaction import Operation
from chain.types import HASH_BYTES
from identity.api.desk.service_acts import send
from identity.api.issuer.denied import Denied, Error
from identity.api.space.acts import Signed, SpaceContext, count
from identity.api.space.tables import SpaceConsent
from identity.commitments import SALT_BYTES, anchor_of
from identity.consents import (
    CONTENT_BYTES_MAX,
    consent_commitment,
    consent_key,
    counts,
    decode_consent,
    load_consent,
)
from identity.jose import InvalidToken, JsonObject, decode_base64url, encode_base64url
from identity.pb import identity_pb2 as pb
from identity.standing import Reading

CONSENTS_MAX: Final = 200
"""Of one person, ended ones too; the oldest that are over make room."""
ENDED_AT_ONCE_MAX: Final = 8
"""Consents that one new consent takes the place of."""

_OVER = "identity.consent-over"
_USED = "identity.consent-used"


@dataclass(frozen=True, slots=True)
class Kept:
    """A consent with its secrets.

    Attributes:
        content: Bytes of `ConsentContent`.
        evidence: Act and presentation by which it was given.
    """

    id: str
    made_ms: int
    content: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    person_secret: bytes = field(repr=False)
    party_secret: bytes = field(repr=False)
    evidence: JsonObject = field(repr=False)

    @property
    def commitment(self) -> bytes:
        """Under which the ledger has it."""
        return consent_commitment(self.content, self.salt)

    def to_json(self) -> JsonObject:
        """For its person."""
        return {
            "id": self.id,
            "made_ms": self.made_ms,
            "content": encode_base64url(self.content),
            "salt": encode_base64url(self.salt),
            "party_secret": encode_base64url(self.party_secret),
            "commitment": self.commitment.hex(),
        }


def of_person(space: SpaceContext, session: Session, person_id: str) -> list[Kept]:
    """A person's consents, newest first."""
    query = select(SpaceConsent).where(SpaceConsent.person_id == person_id).order_by(SpaceConsent.made_ms.desc())
    return [_opened(space, session, row) for row in session.scalars(query).all()]


async def give(space: SpaceContext, signed: Signed) -> JsonObject:
    """Give a consent; the ones that it takes the place of end in the same transaction.

    Raises:
        Denied: The act lacks something, the ledger's rules refuse it, or there were too many.
        TransportError: Nothing is known of it yet; the overview tells later.
    """
    content, salt = _content(signed), signed.raw("salt", SALT_BYTES)
    secrets = tuple(signed.raw(name, HASH_BYTES) for name in ("person_secret", "party_secret"))
    named = [await run_in_threadpool(_own, space, signed.person_id, one) for one in _names(signed)]
    reading = await space.source.read([consent_key(one.commitment) for one in named]) if named else None
    replaced = [] if reading is None else [one for one in named if _counts(reading, one)]
    await run_in_threadpool(count, space, signed, "consent-given")
    await run_in_threadpool(_make_room, space, signed.person_id, await _over(space, signed.person_id))
    kept = await run_in_threadpool(_keep, space, signed, content, salt, secrets)
    given = pb.GiveConsent(
        commitment=kept.commitment,
        person_anchor=anchor_of(kept.person_secret),
        party_anchor=anchor_of(kept.party_secret),
        valid_to_day=decode_consent(content).valid_to_day,
    )
    # a crash here or below leaves a row that the ledger may or may not know: the overview shows which
    await _send(space, [*map(_ending, replaced), Operation.make("identity.GiveConsent", encode(given))], done=_USED)
    return {"consent": kept.to_json()}


async def end(space: SpaceContext, signed: Signed) -> JsonObject:
    """Withdraw a consent, for good; once more changes nothing.

    Raises:
        Denied: The person has no such consent here, or it never reached the ledger.
        TransportError: Nothing is known of it yet; ask again.
    """
    kept = await run_in_threadpool(_own, space, signed.person_id, signed.word("id", 32))
    await run_in_threadpool(count, space, signed, "consent-ended")
    await _send(space, [_ending(kept)], done=_OVER)
    return {"ended": kept.id}


async def _send(space: SpaceContext, operations: Sequence[Operation], *, done: str) -> None:
    """Submit what somebody signed; `done` is the code that says that it was done before."""
    try:
        await send(space.desk, operations)
    except Refused as refused:
        if refused.code != done:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"the ledger refuses it ({refused.code})") from None


def _ending(kept: Kept) -> Operation:
    message = pb.EndConsent(commitment=kept.commitment, proof=kept.person_secret)
    return Operation.make("identity.EndConsent", encode(message))


def _content(signed: Signed) -> bytes:
    try:
        content = decode_base64url(signed.word("content", 2 * CONTENT_BYTES_MAX), "content")
        decode_consent(content)
    except (InvalidMessage, InvalidToken):
        raise Denied(Error.INVALID_REQUEST, "content is no consent") from None
    return content


def _names(signed: Signed) -> list[str]:
    found = signed.act.get("ends", [])
    if not isinstance(found, list) or len(found) > ENDED_AT_ONCE_MAX:
        raise Denied(Error.INVALID_REQUEST, f"ends names at most {ENDED_AT_ONCE_MAX} consents")
    names = [one for one in found if isinstance(one, str)]
    if len(names) != len(found) or len(set(names)) != len(names):
        raise Denied(Error.INVALID_REQUEST, "ends names consents, each once")
    return names


async def _over(space: SpaceContext, person_id: str) -> list[str]:
    """Rows of consents that count no longer, or that never reached the ledger; the oldest first."""

    def opened() -> list[Kept]:
        with space.desk.store.read() as session:
            return of_person(space, session, person_id)

    kept = await run_in_threadpool(opened)
    if len(kept) < CONSENTS_MAX:
        return []
    reading = await space.source.read([consent_key(one.commitment) for one in kept])
    return [one.id for one in reversed(kept) if not _counts(reading, one)]


def _counts(reading: Reading, kept: Kept) -> bool:
    return counts(load_consent(reading.values.get, kept.commitment), reading.time_ms)


def _make_room(space: SpaceContext, person_id: str, over: Sequence[str]) -> None:
    with space.desk.store.write() as session:
        own = select(func.count()).select_from(SpaceConsent).where(SpaceConsent.person_id == person_id)
        excess = (session.scalar(own) or 0) + 1 - CONSENTS_MAX
        if excess > len(over):
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"at most {CONSENTS_MAX} consents count at a time")
        for row_id in over[: max(0, excess)]:
            row = session.get(SpaceConsent, row_id)
            if row is not None:
                space.desk.store.people.remove(session, row)


def _keep(space: SpaceContext, signed: Signed, content: bytes, salt: bytes, secrets: tuple[bytes, ...]) -> Kept:
    evidence: JsonObject = {"act": signed.text, "presentation": signed.presentation}
    parts = {"content": content, "salt": salt, "person_secret": secrets[0], "party_secret": secrets[1]}
    text = json.dumps({name: part.hex() for name, part in parts.items()} | {"evidence": evidence}, ensure_ascii=False)
    store = space.desk.store
    with store.write() as session:
        commitment = consent_commitment(content, salt)
        for one in of_person(space, session, signed.person_id):
            if one.commitment == commitment:  # asked again after a lost answer
                return one
        row = SpaceConsent(person_id=signed.person_id, made_ms=space.desk.now())
        store.people.seal(session, row, SpaceConsent.content, text)
        session.flush()
        return _opened(space, session, row)


def _own(space: SpaceContext, person_id: str, row_id: str) -> Kept:
    with space.desk.store.read() as session:
        row = session.get(SpaceConsent, row_id)
        if row is None or row.person_id != person_id:
            raise Denied(Error.INVALID_REQUEST, "there is no such consent of yours here")
        return _opened(space, session, row)


def _opened(space: SpaceContext, session: Session, row: SpaceConsent) -> Kept:
    text = space.desk.store.people.open(session, row, SpaceConsent.content)
    assert text is not None, "each row has its content"
    value = json.loads(text)
    parts = {name: bytes.fromhex(value[name]) for name in ("content", "salt", "person_secret", "party_secret")}
    return Kept(row.id, row.made_ms, evidence=value["evidence"], **parts)
