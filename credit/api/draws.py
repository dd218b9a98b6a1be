# SPDX-License-Identifier: Apache-2.0
"""Random inspections at the service: announced, anchored on the ledger, drawn with a block that came later.

    kept --(anchored, proven below the seed's height)--> announced --(the block of that height)--> drawn

An announcement that is not proven in time is void: nothing is ever drawn from it, and the officer announces anew. That
is what a crash between leaves, too.

Each draw counts: there is one open one at a time, and everybody reads how many were announced (`listed`), so that
nobody announces until the lot pleases.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import InvalidMessage, LedgerError, Refused
from chain.transaction import Operation, build
from chain.types import SALT_BYTES, Millis
from client.signing import LIFETIME_MS
from credit.api.base import CreditContext
from credit.api.problems import DRAW, DRAW_OPEN, DRAW_VOID, UNKNOWN_REQUEST
from credit.api.slot_index import BLOCKS_KEPT
from credit.api.tables import CreditDraw
from credit.draw import STREAM, Announcement, announced_key, announcement_digest, verify_announced
from membership.pb import membership_pb2
from service.problems import Problem
from service.store.models import new_id

DRAW_AHEAD: Final = 30
"""Blocks until the seed: the announcement is anchored and proven before, and nobody foresees a block so far ahead."""
COMPLETED_MAX: Final = 100
"""Draws of one round."""
LISTED_MAX: Final = 20
"""Draws of one page."""
PAGES_MAX: Final = 10_000


async def announce(
    context: CreditContext,
    actor: str,
    organisation: str,
    candidates: tuple[tuple[str, int], ...],
    inspectors: tuple[str, ...],
    count: int,
) -> str:
    """Announce a draw: keep it, anchor it, and keep the proof that it was there before its seed.

    Args:
        context: Which service.
        actor: Random id of who announces.
        organisation: Of the officer.
        candidates: Names and weights, ascending by name.
        inspectors: Ascending.
        count: How many are drawn.

    Returns:
        The draw's id.

    Raises:
        Problem: No candidates, no inspectors, more to draw than there are; another draw waits for its block; or it was
            not anchored in time.
        TransportError: The ledger does not answer: the announcement is void.
    """
    height = (await context.ledger.newest()).height + DRAW_AHEAD
    try:
        raw = Announcement(candidates, inspectors, count, height).encode()
    except InvalidMessage:
        raise Problem(DRAW) from None
    draw_id, number = await run_in_threadpool(_keep, context, actor, organisation, height, raw)
    keeper = await context.ledger.organisation_of(context.own_key.signer)
    message = membership_pb2.Anchor(
        kind=membership_pb2.ANCHOR_KIND_AUDIT, stream=STREAM, digest=announcement_digest(raw), size=number
    )
    expires, salt = Millis(context.now() + LIFETIME_MS), secrets.token_bytes(SALT_BYTES)
    operations = [Operation.make("membership.Anchor", encode(message))]
    try:
        done = await context.ledger.submit_one(
            build(operations, [context.own_key], expires, salt, context.ledger.network)
        )
    except Refused as refused:
        raise Problem(DRAW_VOID, {"reason": refused.code}) from None
    if done.failed is not None:
        raise Problem(DRAW_VOID, {"reason": done.failed.code})
    # a crash here leaves an announcement that is anchored and void: its number is missed by whoever counts
    proof = await context.ledger.prove([announced_key(keeper)])
    try:
        verify_announced(raw, proof.receipt, context.ledger.genesis, keeper, number)
    except LedgerError as error:
        raise Problem(DRAW_VOID, {"reason": error.code}) from None
    await run_in_threadpool(_note_proof, context, draw_id, proof.receipt)
    return draw_id


def load_draw(context: CreditContext, draw_id: str) -> CreditDraw:
    """A draw.

    Raises:
        Problem: There is none.
    """
    with context.store.read() as session:
        row = session.get(CreditDraw, draw_id)
    if row is None:
        raise Problem(UNKNOWN_REQUEST)
    return row


@dataclass(frozen=True, slots=True)
class Listed:
    """An announcement as everybody reads it: neither whom it names nor who was drawn, who would be warned.

    Attributes:
        digest: What the ledger has of it; `announcement_digest` in hex.
        state: "drawn", "announced" or "void".
    """

    number: int
    made_ms: int
    height: int
    candidates: int
    count: int
    digest: str
    state: str


class Summaries:
    """What the list says of announcements, which never change: read once each, for they may be large."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, int, str]] = {}

    def of(self, session: Session, draw_id: str) -> tuple[int, int, str]:
        """Candidates, how many are drawn, and the digest."""
        if draw_id not in self._kept:
            raw = session.get_one(CreditDraw, draw_id).announcement
            made = Announcement.decode(raw)
            if len(self._kept) >= LISTED_MAX * PAGES_MAX:
                self._kept.clear()
            self._kept[draw_id] = (len(made.candidates), made.count, announcement_digest(raw).hex())
        return self._kept[draw_id]


def listed(context: CreditContext, summaries: Summaries, page: int) -> tuple[list[Listed], bool]:
    """A page of all announcements, void ones too, newest first; and whether there are more."""
    table = CreditDraw
    query = select(table.id, table.number, table.made_ms, table.height, table.seed, table.receipt)
    query = query.order_by(table.number.desc()).offset((page - 1) * LISTED_MAX).limit(LISTED_MAX + 1)
    with context.store.read() as session:
        rows = session.execute(query).all()
        found = [
            Listed(row.number, row.made_ms, row.height, *summaries.of(session, row.id), _state(row.seed, row.receipt))
            for row in rows[:LISTED_MAX]
        ]
    return found, len(rows) > LISTED_MAX


def _state(seed: bytes, receipt: bytes) -> str:
    return "drawn" if seed else "announced" if receipt else "void"


def complete_draws(context: CreditContext) -> int:
    """Write down the seeds that have come, of announcements that were there before; how many there were."""
    waits = (CreditDraw.seed == b"") & (CreditDraw.receipt != b"")
    with context.store.read() as session:
        query = select(CreditDraw.id, CreditDraw.height).where(waits).limit(COMPLETED_MAX)
        waiting = [(draw_id, context.index.block_id(height)) for draw_id, height in session.execute(query)]
    done = 0
    for draw_id, seed in waiting:
        if seed is not None:
            with context.store.write() as session:
                row = session.get(CreditDraw, draw_id, with_for_update=True)
                if row is not None and not row.seed:
                    row.seed = seed
                    done += 1
    return done


def _keep(context: CreditContext, actor: str, organisation: str, height: int, raw: bytes) -> tuple[str, int]:
    with context.turn, context.store.write() as session:
        if _has_open(session, height - DRAW_AHEAD):
            raise Problem(DRAW_OPEN)
        number = max(0, session.scalar(select(func.max(CreditDraw.number))) or 0) + 1
        row = CreditDraw(
            id=new_id(),
            organisation=organisation,
            made_ms=context.now(),
            height=height,
            announcement=raw,
            seed=b"",
            number=number,
            receipt=b"",
        )
        session.add(row)
        context.record(session, actor, "credit.draw-announced", row.id)
        return row.id, number


def _has_open(session: Session, newest: int) -> bool:
    """Whether a draw has no seed yet and will have one: its block is to come, or is still at hand.

    One that is being announced just now counts, and may prove void: then its height has to pass.
    """
    proven = (CreditDraw.receipt != b"") & (CreditDraw.height > newest - BLOCKS_KEPT)
    waits = (CreditDraw.seed == b"") & (proven | (CreditDraw.height > newest))
    return session.scalar(select(CreditDraw.id).where(waits).limit(1)) is not None


def _note_proof(context: CreditContext, draw_id: str, proof: bytes) -> None:
    with context.store.write() as session:
        row = session.get(CreditDraw, draw_id, with_for_update=True)
        assert row is not None, "draws are never removed"
        row.receipt = proof
