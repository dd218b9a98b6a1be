# SPDX-License-Identifier: Apache-2.0
"""Each look at a person's credit as an entry of their list of accesses on the ledger, in one-time slots.

    noted --(drawn, kept)--> on its way --(stands in its slot)--> entered

A look is noted in the private store first; a round writes what waits, one entry of each person, among decoys, under
the registrar's own key. What an entry is made of is kept, sealed under its person's key, before it is sent: after a
crash the same entry goes out again, and one that stands already is found there. A relying party's answer waits for its
entry; an officer's look is entered by the next round. The list, its slots and its reports are `identity.api.accesses`.

Source: docs/identity.md, "Accesses".
"""

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation, build
from chain.types import SALT_BYTES as TRANSACTION_SALT_BYTES
from chain.types import Millis
from client.signing import LIFETIME_MS
from credit.api import consents
from credit.api.base import CreditContext, load_subject
from credit.api.problems import NOT_NOW
from credit.api.reading import BENEFITS
from credit.api.registered import person_of
from credit.api.tables import CreditAccess
from identity.access import AccessList, make_batch, make_entry, retry
from identity.access_content import content_commitment, encode_content
from identity.access_rules import BATCH_SIZES, access_key, load_access
from identity.api.accesses import lists, reading
from identity.commitments import SALT_BYTES
from identity.pb import access_pb2, identity_pb2
from service.problems import Problem

PURPOSES: Final[Mapping[str, int]] = {"attest": 101, "listing": 102}
"""What an entry says of an officer's duty; of a look with consent it says the registered purpose's number."""
OTHER_PURPOSE: Final = 100
HANDLE: Final = "handle"
"""A look at whether somebody has a log: nobody's answer waits for its entry."""
ENTRIES_MAX: Final = BATCH_SIZES[-1]
"""Of one round; more wait for the next."""
ROUNDS_MAX: Final = 8
"""That one answer waits for, should others of the same person come first."""
TRIES_MAX: Final = 4
"""Batches of one round, should other writers take slots meanwhile."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """All that makes one entry."""

    claim: str = field(repr=False)
    slot: bytes = field(repr=False)
    link: bytes = field(repr=False)
    content: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @property
    def entry(self) -> identity_pb2.AccessEntry:
        return make_entry(self.slot, self.link, self.content, self.salt)

    def encode(self) -> str:
        return json.dumps([self.claim, *(part.hex() for part in (self.slot, self.link, self.content, self.salt))])

    @classmethod
    def decode(cls, text: str) -> "_Drawn":
        claim, *parts = json.loads(text)
        return cls(claim, *(bytes.fromhex(part) for part in parts))


@dataclass(frozen=True, slots=True)
class AccessReport:
    """One list with its proof.

    Attributes:
        first_slot: Where it begins; 32 bytes.
        report: Bytes of `AccessReport`; `identity.access.verify` takes it with genesis alone.
    """

    first_slot: bytes = field(repr=False)
    report: bytes


async def entered(context: CreditContext, access_id: str) -> None:
    """Wait until a look that was noted stands in its person's list.

    Raises:
        Problem: Too many looks of the same person come first.
        TransportError: The ledger does not answer; the entry goes out later.
    """
    for _ in range(ROUNDS_MAX):
        await context.access_tick.join(lambda: enter(context))
        if await run_in_threadpool(_is_entered, context, access_id):
            return
    raise Problem(NOT_NOW, headers={"Retry-After": "2"})


async def enter(context: CreditContext) -> int:
    """Write looks that wait, one of each person; how many came to stand.

    Raises:
        TransportError: The ledger does not answer; the next round goes on.
        Problem: No key of the registrar is set up.
    """
    waiting = await run_in_threadpool(_waiting, context)
    if not waiting:
        return 0
    drawn: dict[str, _Drawn] = {}
    for access_id, kept in waiting.items():
        made = kept or await _draw(context, access_id)
        if made is not None:
            drawn[access_id] = made
    return await _write(context, drawn) if drawn else 0


def is_waiting(context: CreditContext) -> bool:
    """Whether a look waits for its entry."""
    waits = (CreditAccess.entered_ms == 0) & (CreditAccess.organisation != "")
    with context.store.read() as session:
        return session.scalar(select(CreditAccess.id).where(waits).limit(1)) is not None


async def reports(context: CreditContext, subject_id: str) -> list[AccessReport]:
    """A subject's lists of accesses with their proofs, the oldest first; for the subject alone.

    Whoever the registrar registered in this store has one list for all that is looked at; what was written before
    that stands in a list of credit's own.

    Raises:
        TransportError: The ledger does not answer.
    """
    claim = await run_in_threadpool(_claim, context, subject_id)
    try:
        await lists.hand_out(context.store, _reader(context), claim)  # takes in what was written
    except lists.Exhausted:
        log.info("credit.access-list-ended")

    def read() -> list[AccessList]:
        with context.store.read() as session:
            subject = load_subject(session, subject_id)
            whose = dict.fromkeys((subject.person_id, person_of(context, session, subject)))
            return [one for person_id in whose for one in reading.opened(session, context.store, person_id)]

    made = []
    for one in await run_in_threadpool(read):
        proof = await context.ledger.prove(one.state_keys())
        made.append(AccessReport(one.first_slot, one.report(proof.receipt)))
    return made


# ---------------------------------------------------------------- one round


def _waiting(context: CreditContext) -> dict[str, _Drawn | None]:
    """One look of each person that waits, with what was drawn for it; those for whom an answer waits come first.

    Whoever looks somebody up a thousand times holds up nobody else's entries, nor that person's reports.
    """
    people = context.store.people
    table = CreditAccess
    waits = (table.entered_ms == 0) & (table.organisation != "")
    turn = (
        func.row_number()
        .over(
            partition_by=table.person_id, order_by=(table.entry.is_(None), table.what == HANDLE, table.at_ms, table.id)
        )
        .label("turn")
    )
    turns = select(table.id, turn).where(waits).subquery()
    first = select(table).join(turns, turns.c.id == table.id).where(turns.c.turn == 1)
    with context.store.read() as session:
        rows = session.scalars(first.order_by(table.what == HANDLE, table.at_ms, table.id).limit(ENTRIES_MAX)).all()
        texts = {row.id: people.open(session, row, table.entry) for row in rows}
    return {row_id: None if text is None else _Drawn.decode(text) for row_id, text in texts.items()}


async def _draw(context: CreditContext, access_id: str) -> _Drawn | None:
    """Draw an entry and keep it; None: it can have none now."""

    def look() -> tuple[str, bytes] | None:
        with context.store.write() as session:
            row = session.get(CreditAccess, access_id)
            if row is None:
                return None
            person_id = person_of(context, session, load_subject(session, row.subject_id))
            claims = lists.own_claims(session, context.store, person_id, context.now())
            number = consents.number_of(context, session, row.subject_id, row.organisation, row.purpose)
            return claims["access_slot"], _content(row, number)

    found = await run_in_threadpool(look)
    if found is None:
        return None
    claim, content = found
    try:
        handed = await lists.hand_out(context.store, _reader(context), claim)
    except (lists.Exhausted, lists.UnknownList):  # the next round begins another list, or nobody is left
        return None
    made = _Drawn(claim, handed.slot, handed.link, content, secrets.token_bytes(SALT_BYTES))
    await run_in_threadpool(_keep, context, access_id, made)
    return made


def _content(row: CreditAccess, number: int) -> bytes:
    """What an entry says; `number` is the registered purpose's, 0: the look rests on no consent."""
    kind = f"credit-{row.purpose}" if row.purpose in BENEFITS else "credit"
    content = access_pb2.AccessContent(
        kind=access_pb2.ACCESS_KIND_ANSWER,
        organisation=row.organisation,
        at_ms=row.at_ms,
        purpose=number or PURPOSES.get(row.purpose, OTHER_PURPOSE),
        attributes=[f"{kind}/{row.what}"],
    )
    return encode_content(content)


async def _write(context: CreditContext, drawn: Mapping[str, _Drawn]) -> int:
    """Bring entries to the ledger and take in which of them stand."""
    batch = make_batch(one.entry for one in drawn.values())
    states = await _states(context, batch)
    found = retry(batch, states.get)  # what was sent before a crash may stand already
    for _ in range(TRIES_MAX):
        if found.batch is None:
            break
        await _submit(context, found.batch)
        states |= await _states(context, found.batch)
        found = retry(found.batch, states.get)
    ended = 0
    for access_id, one in drawn.items():
        record = load_access(states.get, one.slot)
        if record is None:
            continue
        if record.content == content_commitment(one.content, one.salt):
            with contextlib.suppress(lists.Exhausted, lists.UnknownList):  # full now, or its person was erased
                await lists.hand_out(context.store, _reader(context), one.claim)
            with contextlib.suppress(lists.UnknownList):
                await lists.tell(context.store, _reader(context), one.slot, one.content, one.salt)
            # a crash here tells it once more
            await run_in_threadpool(_end, context, access_id)
            ended += 1
        else:  # another writer took the slot: the next round draws another
            await run_in_threadpool(_keep, context, access_id, None)
    return ended


async def _submit(context: CreditContext, batch: identity_pb2.RecordAccesses) -> None:
    """Send a batch; what became of it, the state of its slots says."""
    operations = [Operation.make("identity.RecordAccesses", encode(batch))]
    expires = Millis(context.now() + LIFETIME_MS)
    salt = secrets.token_bytes(TRANSACTION_SALT_BYTES)
    try:
        await context.ledger.submit_one(build(operations, [context.own_key], expires, salt, context.ledger.network))
    except Refused as refused:
        log.info("credit.accesses-refused", code=refused.code)


async def _states(context: CreditContext, batch: identity_pb2.RecordAccesses) -> dict[bytes, bytes | None]:
    proof = await context.ledger.prove([access_key(entry.slot) for entry in batch.entries])
    return dict(proof.values)


def _reader(context: CreditContext) -> lists.Read:
    async def read(keys: Sequence[bytes]) -> Mapping[bytes, bytes | None]:
        return (await context.ledger.prove(keys)).values

    return read


# ---------------------------------------------------------------- the store


def _claim(context: CreditContext, subject_id: str) -> str:
    with context.store.write() as session:
        person_id = person_of(context, session, load_subject(session, subject_id))
        return lists.own_claims(session, context.store, person_id, context.now())["access_slot"]


def _keep(context: CreditContext, access_id: str, drawn: _Drawn | None) -> None:
    with context.store.write() as session:
        row = session.get(CreditAccess, access_id)
        if row is not None:
            context.store.people.seal(session, row, CreditAccess.entry, None if drawn is None else drawn.encode())


def _end(context: CreditContext, access_id: str) -> None:
    with context.store.write() as session:
        row = session.get(CreditAccess, access_id)
        if row is not None:
            row.entered_ms = context.now()
            context.store.people.seal(session, row, CreditAccess.entry, None)


def _is_entered(context: CreditContext, access_id: str) -> bool:
    with context.store.read() as session:
        row = session.get(CreditAccess, access_id)
        return row is not None and row.entered_ms > 0
