# SPDX-License-Identifier: Apache-2.0
"""Looks that the law delays: sealed on the ledger at once, joined to their person's list when they are due.

A look for an investigation gets its entry in the person's list only when the person may see it. Until then the
registrar, as an authority that may seal, commits to just that entry, with the day on which it is due: so it is counted,
in the city's figure that every list shows, and can't be dropped or altered unseen. When the desk has written the entry
(with the content and salt that were sealed), the seal is shown to be in that slot.

Each step looks at the ledger first, so that a crash between sending and remembering sends nothing twice.

Source: docs/identity.md, "Accesses"; docs/my-data.md, "Sealed entries".
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation
from chain.types import sha256
from identity.access_content import content_commitment
from identity.access_rules import DAY_MS, load_seal, seal_key, seal_of
from identity.api.accesses.tables import AccessOpeningRow
from identity.api.desk.access_ticks import UNTOLD, content_of
from identity.api.desk.tables import DeskAccess
from identity.api.issuer.publishing import Source
from identity.api.space.sealed_salts import salts_of
from identity.api.space.tables import SpaceSeal
from identity.commitments import SALT_BYTES
from identity.pb import identity_pb2 as pb
from service.errors import PersonErased
from service.store import Store

log = structlog.get_logger(__name__)

ROUND_MAX: Final = 64
"""Seals of one round and step; investigations are few. What is left waits for the next round."""
TICK_S: Final = 60.0

Submit = Callable[[Operation], Awaitable[None]]
"""Submits one operation with the authority's key and waits for its proof; Refused if the ledger did not take it."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """What sealing stands on.

    Attributes:
        store: The registrar's.
        authority: Id of the organisation that seals.
        source: Reads the ledger.
        submit: Signs as that authority.
        now: Unix time in ms.
    """

    store: Store
    authority: str
    source: Source
    submit: Submit
    now: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal with its secrets."""

    row_id: str
    due_day: int
    commitment: bytes
    salt: bytes
    slot: bytes = b""

    @property
    def seal(self) -> bytes:
        """What stands on the ledger in the entry's place."""
        return seal_of(self.commitment, self.salt)


async def tick(sealing: Sealing) -> tuple[int, int]:
    """Seal what is new and delayed; join what its person may see by now.

    Returns:
        How many were sealed, and how many joined.

    Raises:
        TransportError: Nothing is known of what was sent last; the next tick looks.
    """
    await run_in_threadpool(_draw, sealing)
    sealed = [await _seal(sealing, one) for one in await run_in_threadpool(_unsealed, sealing)]
    joined = [await _join(sealing, one) for one in await run_in_threadpool(_unjoined, sealing)]
    return sum(sealed), sum(joined)


def _draw(sealing: Sealing) -> None:
    """Draw the secrets of delayed looks that have none, before anything is sent."""
    with sealing.store.write() as session:
        known = select(SpaceSeal.access_id)
        delayed = DeskAccess.visible_after_ms > sealing.now() + DAY_MS
        query = select(DeskAccess).where(delayed, DeskAccess.opening_id.is_(None), DeskAccess.id.not_in(known))
        for access in session.scalars(query.limit(ROUND_MAX)).all():
            row = SpaceSeal(
                person_id=access.person_id,
                access_id=access.id,
                due_day=-(-access.visible_after_ms // DAY_MS),
                sealed_ms=0,
                joined_ms=0,
            )
            drawn = {name: secrets.token_hex(SALT_BYTES) for name in ("content_salt", "seal_salt")}
            try:
                sealing.store.people.seal(session, row, SpaceSeal.content, json.dumps(drawn))
            except PersonErased:
                continue
            session.add(row)


async def _seal(sealing: Sealing, one: Seal) -> bool:
    if await _record(sealing, one) is None:
        message = pb.SealAccess(seal=one.seal, due_day=one.due_day)
        try:
            await sealing.submit(Operation.make("identity.SealAccess", encode(message)))
        except Refused as refused:  # others go on without it
            log.warning("space.not-sealed", code=refused.code)
            return False
    await run_in_threadpool(_mark, sealing, one.row_id, joined=False)
    return True


async def _join(sealing: Sealing, one: Seal) -> bool:
    record = await _record(sealing, one)
    if record is not None and not record.joined_at_ms:
        message = pb.JoinSealed(seal=one.seal, slot=one.slot, salt=one.salt)
        try:
            await sealing.submit(Operation.make("identity.JoinSealed", encode(message)))
        except Refused as refused:
            log.warning("space.not-joined", code=refused.code)
            return False
    await run_in_threadpool(_mark, sealing, one.row_id, joined=True)
    return True


async def _record(sealing: Sealing, one: Seal) -> pb.SealRecord | None:
    authority = sha256(sealing.authority.encode())
    reading = await sealing.source.read([seal_key(authority, one.seal)])
    return load_seal(reading.values.get, authority, one.seal)


def _unsealed(sealing: Sealing) -> list[Seal]:
    with sealing.store.read() as session:
        query = select(SpaceSeal, DeskAccess).join(DeskAccess, DeskAccess.id == SpaceSeal.access_id)
        rows = session.execute(query.where(SpaceSeal.sealed_ms == 0).limit(ROUND_MAX)).all()
        return [_opened(session, sealing, row, access) for row, access in rows]


def _unjoined(sealing: Sealing) -> list[Seal]:
    """Seals whose entry stands in its slot by now."""
    found: list[Seal] = []
    with sealing.store.read() as session:
        written = (SpaceSeal.sealed_ms > 0) & (SpaceSeal.joined_ms == 0) & (DeskAccess.opening_id != UNTOLD)
        query = select(SpaceSeal, DeskAccess, AccessOpeningRow).join(DeskAccess, DeskAccess.id == SpaceSeal.access_id)
        query = query.join(AccessOpeningRow, AccessOpeningRow.id == DeskAccess.opening_id).where(written)
        for row, access, opening in session.execute(query.limit(ROUND_MAX)).all():
            slot = sealing.store.people.open(session, opening, AccessOpeningRow.slot)
            found.append(_opened(session, sealing, row, access, bytes.fromhex(slot or "")))
    return found


def _opened(session: Session, sealing: Sealing, row: SpaceSeal, access: DeskAccess, slot: bytes = b"") -> Seal:
    content_salt, seal_salt = salts_of(session, sealing.store, row)
    return Seal(row.id, row.due_day, content_commitment(content_of(access), content_salt), seal_salt, slot)


def _mark(sealing: Sealing, row_id: str, *, joined: bool) -> None:
    with sealing.store.write() as session:
        row = session.get(SpaceSeal, row_id, with_for_update=True)
        if row is not None and joined:
            row.joined_ms = sealing.now()
        elif row is not None:
            row.sealed_ms = sealing.now()
