# SPDX-License-Identifier: Apache-2.0
"""What is known of somebody, and from whom: each record with what opens it, and one receipt of all that they rest on.

Nothing of this is to be believed for being said here: the wallet opens each commitment itself and compares it with the
state that the receipt proves. What the registrar keeps beside the ledger (pictures, notices, the history of cases) is
named as such; steps of cases come with receipts of their own.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain import receipt_text
from chain.codec import encode
from chain.errors import LedgerError
from chain.strict_json import Json
from identity.access_content import decode_content
from identity.access_rules import CITY_COUNT_KEY
from identity.api.accesses.lists import own_claims
from identity.api.desk import declared
from identity.api.desk.exporting import export as desk_export
from identity.api.desk.tables import DeskPerson
from identity.api.issuer import own_accesses
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.lists import subjects_from
from identity.api.issuer.own_accesses import Shown
from identity.api.issuer.tables import IssuerCopy
from identity.api.space import consents, requests
from identity.api.space.acts import Signed, SpaceContext, count
from identity.consents import consent_key, decode_consent
from identity.jose import JsonObject, decode_base64url, encode_base64url
from identity.pb import access_pb2
from identity.registrations import person_key
from identity.relying_rules import relying_party_key
from membership.state import organisation_key

KEYS_MAX: Final = 1_000
"""State keys of one overview: 200 consents with two for each asker, and the records; a receipt holds 16,384."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stands in the store: what is told, and the state keys that it rests on."""

    told: JsonObject
    keys: tuple[bytes, ...]


async def overview(space: SpaceContext, signed: Signed) -> JsonObject:
    """Everything but pictures, with one receipt; the list of accesses where the act asks for it.

    A wallet knows from its credential where that list begins; who acts with a card alone is told it here.

    Raises:
        Denied: The person looks too often.
        TransportError: Nobody answers for the ledger.
    """
    space.issuer.take_look(signed.person_id)
    kept = await run_in_threadpool(_kept, space, signed.person_id)
    receipt, _ = await space.prove(list(kept.keys))
    told: JsonObject = {**kept.told, "receipt": encode_base64url(receipt)}
    if signed.act.get("accesses") is not True:
        return told
    first_slot = await run_in_threadpool(_first_slot, space, signed.person_id)
    report = await own_accesses.report(space.issuer, Shown(signed.person_id, first_slot), space.source, space.prove)
    return {**told, "accesses": {"report": encode_base64url(report), "first_slot": first_slot}}


async def export(space: SpaceContext, signed: Signed) -> JsonObject:
    """All of it: the overview, the list of accesses with its proof, and what else the registrar keeps.

    Of an entry that is somebody else's matter there stands when it was written and by whom; its content stays closed.

    Raises:
        Denied: There were too many changes and exports today, or the list can't be shown now.
        TransportError: Nobody answers for the ledger.
    """
    await run_in_threadpool(count, space, signed, "exported")
    told = await overview(space, signed)
    desk = await run_in_threadpool(_of_desk, space, signed.person_id)
    first_slot = (
        signed.word("access_slot", 64)
        if signed.copy_id
        else await run_in_threadpool(_first_slot, space, signed.person_id)
    )
    accesses: JsonObject = {"report": "", "first_slot": first_slot}
    receipts: list[Json] = [_as_json("overview", decode_base64url(str(told["receipt"]), "receipt"))]
    if first_slot:
        raw = await own_accesses.report(space.issuer, Shown(signed.person_id, first_slot), space.source, space.prove)
        accesses["report"] = encode_base64url(masked(raw))
        receipts.append(_as_json("accesses", access_pb2.AccessReport.FromString(raw).receipt))
    return {**told, "desk": desk, "accesses": accesses, "receipts": receipts}


def _first_slot(space: SpaceContext, person_id: str) -> str:
    """Where a person's newest list of accesses begins."""
    with space.desk.store.write() as session:
        return own_claims(session, space.desk.store, person_id, space.desk.now())["access_slot"]


def _as_json(of: str, receipt: bytes) -> JsonObject:
    """A receipt as `zhixin receipt verify` and the check page take it."""
    return {"of": of, "receipt": json.loads(receipt_text.to_json(receipt))}


def masked(report: bytes) -> bytes:
    """A report of accesses that opens no entry which is somebody else's matter; it is as complete as before."""
    message = access_pb2.AccessReport.FromString(report)
    for opening in message.openings:
        try:
            is_own = not opening.content or not decode_content(opening.content).third_party
        except LedgerError:
            is_own = False
        if not is_own:
            opening.ClearField("content")
            opening.ClearField("content_salt")
    return encode(message)


def _kept(space: SpaceContext, person_id: str) -> _Kept:
    with space.desk.store.read() as session:
        person = _person(space, session, person_id)
        given = consents.of_person(space, session, person_id)
        subjects = _subjects(space, session, person_id)
        asked = [requests.to_json(space.desk, session, row) for row in requests.of_person(session, person_id)]
        asked += declared.of_person(space.desk, session, person_id)
        credentials = _credentials(session, person_id, space.issuer.now_s)
    askers = {decode_consent(one.content).organisation for one in given}
    keys = {CITY_COUNT_KEY, *subjects, *(consent_key(one.commitment) for one in given)}
    for asker in askers:
        keys |= {organisation_key(asker), relying_party_key(asker)}
    if person is not None:
        keys |= {person_key(bytes.fromhex(str(person["registration"]))), organisation_key(str(person["registrar"]))}
    if len(keys) > KEYS_MAX:
        raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "more records than one receipt is made for; ask at a desk")
    told: JsonObject = {
        "made_ms": space.desk.now(),
        "person": person,
        "records": [key.decode("ascii") for key in sorted(subjects)],
        "consents": [one.to_json() for one in given],
        "credentials": credentials,
        "requests": list(asked),
    }
    return _Kept(told, tuple(sorted(keys)))


def _person(space: SpaceContext, session: Session, person_id: str) -> JsonObject | None:
    """The registration and what opens its commitment; None: this registrar's desk has none."""
    document = _desk_document(space, session, person_id)
    if document is None:
        return None
    registrar, found = document
    ledger: Mapping[str, str] = found["ledger"]
    return {
        "registrar": registrar,
        "state": found["state"],
        "registration": ledger["registration"],
        "data": found["data"],
        "salt": ledger["salt"],
        "cases": found["cases"],
        "notices": found["notices"],
        "pictures": sorted(found["pictures"]),
        "compartment": found["compartment"] is not None,
    }


def _of_desk(space: SpaceContext, person_id: str) -> JsonObject | None:
    """The desk's own export, without lists of accesses: the report has them, as far as they are the person's matter."""
    with space.desk.store.read() as session:
        document = _desk_document(space, session, person_id)
    return None if document is None else {name: part for name, part in document[1].items() if name != "access_lists"}


def _desk_document(space: SpaceContext, session: Session, person_id: str) -> tuple[str, dict[str, Any]] | None:
    registrar = session.scalar(select(DeskPerson.organisation).where(DeskPerson.person_id == person_id))
    return None if registrar is None else (registrar, desk_export(space.desk, registrar, person_id))


def _subjects(space: SpaceContext, session: Session, person_id: str) -> set[bytes]:
    """Records of which credentials of the person speak."""
    living = (IssuerCopy.person_id == person_id) & (IssuerCopy.expires_s > space.issuer.now_s)
    found: set[bytes] = set()
    for row in session.scalars(select(IssuerCopy).where(living)):
        found |= set(subjects_from(space.issuer.store.people.open(session, row, IssuerCopy.subjects) or "[]"))
    return found


def _credentials(session: Session, person_id: str, now_s: int) -> JsonObject:
    """How many credentials and codes count by themselves."""
    living = select(func.count()).where(IssuerCopy.person_id == person_id, IssuerCopy.expires_s > now_s)
    numbers: Iterable[tuple[str, bool]] = (("copies", False), ("codes", True))
    return {name: session.scalar(living.where(IssuerCopy.is_code == is_code)) or 0 for name, is_code in numbers}
