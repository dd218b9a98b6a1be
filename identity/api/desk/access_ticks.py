# SPDX-License-Identifier: Apache-2.0
"""Accesses on their way into people's lists on the ledger: on a fixed tick, in one batch among decoys, each once.

The registrar's lists hand out a free slot for each person (`identity.api.accesses`); verifiers write there too. One
transaction of the store keeps which access goes into which slot, and the batch, signed, before anything is sent. What a
crash leaves is therefore a batch that is sent again as it was, which the ledger takes once. A row goes when its access
has its slot: an access that has a row or an opening is never given a second one.

A batch that the ledger refuses has left nothing; `identity.access.retry` says what is sent instead, with the same
decoys. An access whose slot a verifier took meanwhile waits for the next free one.
"""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation, build, decode
from chain.types import SALT_BYTES, Millis
from identity.access import Handed, Retry, make_batch, make_entry, retry
from identity.access_content import encode_content
from identity.access_rules import BATCH_SIZES, access_key
from identity.api.accesses import lists
from identity.api.accesses.lists import Exhausted, UnknownList, own_claims
from identity.api.desk.base import DeskContext
from identity.api.desk.looking_up import Reason
from identity.api.desk.tables import DeskAccess, DeskAccessBatch, DeskAccessEntry
from identity.api.space.sealed_salts import content_salt_of
from identity.commitments import SALT_BYTES as CONTENT_SALT_BYTES
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from service.errors import PersonErased

TICK_MS: Final = 60_000
"""Who watches the ledger learns in which minute somebody was looked at, in a district where many are."""
ENTRIES_MAX: Final = BATCH_SIZES[-1]
"""Of one tick: four a second, more than a district's desks look. What is left waits for the next tick."""
EXPIRY_MS: Final = 240_000
"""Of a batch's transaction: four ticks send the same one; one that expired and was never executed is signed anew."""
_ONLY: Final = 1
"""Id of the one batch."""

LOOK_UP_REASONS: Final = {
    Reason.COUNTER: access_pb2.LOOK_UP_REASON_COUNTER,
    Reason.TELEPHONE: access_pb2.LOOK_UP_REASON_TELEPHONE,
    Reason.CASE: access_pb2.LOOK_UP_REASON_CASE,
    Reason.CORRECTION: access_pb2.LOOK_UP_REASON_CORRECTION,
    Reason.COMPLAINT: access_pb2.LOOK_UP_REASON_COMPLAINT,
    Reason.AUDIT: access_pb2.LOOK_UP_REASON_AUDIT,
    Reason.INVESTIGATION: access_pb2.LOOK_UP_REASON_INVESTIGATION,
}
"""Why an officer looks, as an entry's content says it."""

UNTOLD: Final = "-"
"""In `DeskAccess.opening_id`: its entry stands on the ledger, and nothing here opens it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was sent.

    Attributes:
        entries: Bytes of `RecordAccesses`.
        signed: The transaction's.
    """

    entries: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """An access that has no slot yet: the earliest of its person.

    Attributes:
        claim: Where the person's list begins.
    """

    access_id: str
    claim: str


@dataclass(frozen=True, slots=True)
class Way:
    """An access on its way.

    Attributes:
        row_id: Of `DeskAccessEntry`.
        claim: Where the person's list begins.
    """

    row_id: str
    claim: str
    slot: bytes
    content: bytes
    salt: bytes


async def tick(desk: DeskContext) -> int:
    """Send the batch that is on its way; where there is none, make one of what waits, and send that.

    Returns:
        How many accesses have their slots now.

    Raises:
        TransportError: Nothing is known of the batch yet; the next tick sends it again.
    """
    if desk.service_key is None:
        return 0
    sent = await run_in_threadpool(_on_its_way, desk) or await _placed(desk)
    if sent is None:
        return 0
    try:
        proven = await desk.ledger.submit_one(decode(sent.signed))
        code = "" if proven.failed is None else proven.failed.code
    except Refused as refused:
        code = refused.code
    if not code:
        # a crash here or below leaves the batch: it is sent again, and the ledger answers with the same receipt
        return await _settle(desk, sent, None)
    log.warning("desk.accesses-refused", code=code)
    batch = pb.RecordAccesses.FromString(sent.entries)
    states = await desk.ledger.read([access_key(entry.slot) for entry in batch.entries])
    return await _settle(desk, sent, retry(batch, states.values.get))


def waiting(desk: DeskContext) -> list[Waiting]:
    """Accesses that are to get a slot now, one for each person, the longest waiting first.

    One that concerns an investigation waits until the person may see it.
    """
    with desk.store.write() as session:
        taken = select(DeskAccessEntry.person_id)
        due = DeskAccess.opening_id.is_(None) & (DeskAccess.visible_after_ms <= desk.now())
        first = select(func.min(DeskAccess.number)).where(due, DeskAccess.person_id.not_in(taken))
        earliest = first.with_only_columns(DeskAccess.person_id, func.min(DeskAccess.number).label("number"))
        chosen = earliest.group_by(DeskAccess.person_id).subquery()
        query = select(DeskAccess).join(
            chosen, (DeskAccess.person_id == chosen.c.person_id) & (DeskAccess.number == chosen.c.number)
        )
        rows = session.scalars(query.order_by(DeskAccess.at_ms, DeskAccess.id).limit(ENTRIES_MAX)).all()
        found: list[Waiting] = []
        for row in rows:
            try:
                claims = own_claims(session, desk.store, row.person_id, desk.now())
            except PersonErased:  # their key is gone; their rows are about to go
                continue
            found.append(Waiting(row.id, claims["access_slot"]))
    return found


async def _placed(desk: DeskContext) -> Batch | None:
    """Ask for a free slot for each access that waits, and keep all of it with the signed batch."""
    handed: list[tuple[Waiting, Handed]] = []
    for one in await run_in_threadpool(waiting, desk):
        try:
            handed.append((one, await lists.hand_out(desk.store, _reader(desk), one.claim)))
        except (UnknownList, Exhausted):  # erased meanwhile; or full, and the next question begins another list
            log.warning("desk.access-without-list", access=one.access_id)
    return await run_in_threadpool(_keep, desk, handed) if handed else None


def _keep(desk: DeskContext, handed: Sequence[tuple[Waiting, Handed]]) -> Batch | None:
    entries: list[pb.AccessEntry] = []
    with desk.store.write() as session:
        if session.get(DeskAccessBatch, _ONLY) is not None:  # another process was faster
            return None
        for one, slot in handed:
            access = session.get(DeskAccess, one.access_id, with_for_update=True)
            if access is None or access.opening_id is not None:  # erased, or recorded by another process
                continue
            content = content_of(access)
            row = DeskAccessEntry(person_id=access.person_id, access_id=access.id)
            try:
                sealed = content_salt_of(session, desk.store, access.id)  # one that law delayed is just what was sealed
                salt = sealed or secrets.token_bytes(CONTENT_SALT_BYTES)
                desk.store.people.seal(session, row, DeskAccessEntry.slot, slot.slot.hex())
                desk.store.people.seal(session, row, DeskAccessEntry.content, content.hex())
                desk.store.people.seal(session, row, DeskAccessEntry.salt, salt.hex())
            except PersonErased:
                continue
            session.add(row)
            entries.append(make_entry(slot.slot, slot.link, content, salt))
        if not entries:
            return None
        batch = make_batch(entries)
        made = Batch(encode(batch), _sign(desk, batch))
        session.add(DeskAccessBatch(id=_ONLY, entries=made.entries, signed=made.signed))
    return made


async def _settle(desk: DeskContext, sent: Batch, found: Retry | None) -> int:
    """Tell the lists what stands in their slots, then let go of the batch or keep what is sent instead.

    Args:
        desk: Which desk.
        sent: The batch.
        found: What stands in its slots; None: all of it is recorded.
    """
    recorded, lost = dict[str, str](), list[str]()
    for way in await run_in_threadpool(_ways, desk):
        if found is not None and way.slot in found.lost:
            lost.append(way.row_id)
        elif found is None or way.slot in found.recorded:
            recorded[way.row_id] = await _tell(desk, way)
    return await run_in_threadpool(_let_go, desk, sent, found, recorded, lost)


async def _tell(desk: DeskContext, way: Way) -> str:
    """Have the list keep what an entry says that stands on the ledger; id of the row that opens it."""
    with contextlib.suppress(UnknownList, Exhausted):
        await lists.hand_out(desk.store, _reader(desk), way.claim)  # the list goes on to what the ledger has
    try:
        return await lists.tell(desk.store, _reader(desk), way.slot, way.content, way.salt)
    except UnknownList:  # the person was erased meanwhile, and their lists with them
        log.warning("desk.access-untold", entry=way.row_id)
        return UNTOLD


def _let_go(desk: DeskContext, sent: Batch, found: Retry | None, recorded: dict[str, str], lost: Sequence[str]) -> int:
    with desk.store.write() as session:
        batch = session.get(DeskAccessBatch, _ONLY, with_for_update=True)
        if batch is None or batch.signed != sent.signed:  # another process was faster
            return 0
        settled = 0
        for row_id in [*recorded, *lost]:
            row = session.get(DeskAccessEntry, row_id)
            access = None if row is None else session.get(DeskAccess, row.access_id)
            if row is None or access is None:
                continue
            if row_id in recorded:
                access.opening_id = recorded[row_id]
                settled += 1
            desk.store.people.remove(session, row)
        session.flush()
        left = session.scalar(select(DeskAccessEntry.id).limit(1)) is not None
        if left and found is not None and found.batch is not None:
            batch.entries, batch.signed = encode(found.batch), _sign(desk, found.batch)
        elif not left:
            session.delete(batch)
    return settled


def content_of(access: DeskAccess) -> bytes:
    """What an entry on the ledger commits to: for which office, when and why; not which officer."""
    content = access_pb2.AccessContent(
        kind=access_pb2.ACCESS_KIND_LOOK_UP,
        organisation=access.organisation,
        at_ms=access.at_ms,
        reason=LOOK_UP_REASONS[Reason(access.reason)],
    )
    return encode_content(content)


def _on_its_way(desk: DeskContext) -> Batch | None:
    with desk.store.read() as session:
        batch = session.get(DeskAccessBatch, _ONLY)
        return None if batch is None else Batch(batch.entries, batch.signed)


def _ways(desk: DeskContext) -> list[Way]:
    """What is on its way, opened."""
    people, found = desk.store.people, list[Way]()
    with desk.store.write() as session:
        for row in session.scalars(select(DeskAccessEntry).order_by(DeskAccessEntry.id)).all():
            try:
                values = [people.open(session, row, column) for column in _SEALED]
                claim = own_claims(session, desk.store, row.person_id, desk.now())["access_slot"]
            except PersonErased:
                continue
            found.append(Way(row.id, claim, *(bytes.fromhex(value or "") for value in values)))
    return found


_SEALED: Final = (DeskAccessEntry.slot, DeskAccessEntry.content, DeskAccessEntry.salt)


def _reader(desk: DeskContext) -> lists.Read:
    async def read(keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return dict((await desk.ledger.read(keys)).values)

    return read


def _sign(desk: DeskContext, batch: pb.RecordAccesses) -> bytes:
    assert desk.service_key is not None, "without one nothing is placed"
    operation = Operation.make("identity.RecordAccesses", encode(batch))
    expires = Millis(desk.now() + EXPIRY_MS)
    salt = secrets.token_bytes(SALT_BYTES)
    return build([operation], [desk.service_key], expires, salt, desk.ledger.network).raw
