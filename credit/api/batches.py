# SPDX-License-Identifier: Apache-2.0
"""Batches of events that a source's own system signs: drawn, signed once for all, sent, answered with their receipt.

    prepared --sign--> signed --(the ledger)--> done | refused | expired

The source signs the header of exactly these operations; the registrar's key signs beside. The whole transaction is
durable before it goes anywhere, and one that was sent may be sent again: it executes once.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.codec import encode, signed_bytes
from chain.errors import InvalidSignature, LedgerError, Refused
from chain.pb import ledger_pb2
from chain.signing import Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction, build, decode, verify_signatures
from chain.types import SALT_BYTES, Digest, Millis, sha256
from client.errors import TransportError
from credit.api.base import MINUTE_MS, CreditContext
from credit.api.drawing import PREPARED, SIGNED, Drawn, Wanted, draw
from credit.api.problems import BATCH_OVER, RIGHTS, SIGNATURE, UNKNOWN_BATCH
from credit.api.settling import Outcome, settle
from credit.api.tables import CreditBatch
from service.problems import Problem
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store.audit import SYSTEM

LIFETIME_MS: Final = 4 * MINUTE_MS
"""To sign a batch and send it; a transaction may live five minutes, and clocks differ."""
SENT_AGAIN_MAX: Final = 20
SENT_AGAIN_MS: Final = 5_000
"""Whoever signed waits for the outcome first."""


@dataclass(frozen=True, slots=True)
class _Blank:
    """A signer whose signature is made elsewhere."""

    signer: Signer
    signature: bytes = b"\0"

    def sign(self, _message: bytes) -> bytes:
        """The signature."""
        return self.signature


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that waits for its source's signature.

    Attributes:
        to_sign: The bytes that the source's key signs.
    """

    drawn: Drawn
    header: bytes
    to_sign: bytes
    expires_ms: int


async def prepare(
    context: CreditContext, actor: str, source: str, wanted: Sequence[Wanted], signer: Signer
) -> Prepared:
    """Draw slots for a source's events and make the header that it signs.

    Args:
        context: Which service.
        actor: Random id of who asks.
        source: Which organisation.
        wanted: Its events.
        signer: The key that will sign, one of the organisation's.

    Raises:
        Problem: An event may not be recorded, or the key is not the organisation's.
        TransportError: The ledger does not answer.
    """
    own = context.own_key
    if signer == own.signer or await context.ledger.organisation_of(signer) != source:
        raise Problem(RIGHTS)
    expires_ms, network = context.now() + LIFETIME_MS, context.ledger.network
    blank: list[TransactionSigner] = [_Blank(signer), _Blank(own.signer)]

    def make(operations: Sequence[Operation]) -> SignedTransaction:
        return build(operations, blank, Millis(expires_ms), secrets.token_bytes(SALT_BYTES), network)

    drawn = await run_in_threadpool(draw, context, actor, source, wanted, expires_ms, make)
    assert drawn.transaction is not None, "it was asked for"
    header = drawn.transaction.header
    return Prepared(drawn, header, signed_bytes("transaction", network, header), expires_ms)


def load_batch(context: CreditContext, source: str, batch_id: str) -> CreditBatch:
    """A source's own batch, as it stands.

    Raises:
        Problem: It has none of this id.
    """
    with context.store.read() as session:
        batch = session.get(CreditBatch, batch_id)
        if batch is None or batch.source != source:
            raise Problem(UNKNOWN_BATCH)
        return batch


async def send(context: CreditContext, source: str, batch_id: str, signature: bytes) -> CreditBatch:
    """Take a source's signature over a batch, send it, and wait for what becomes of it.

    Returns:
        The batch; still `signed` where nothing is known yet: the service goes on with it.

    Raises:
        Problem: Unknown, over, signed before, or the signature does not hold.
    """
    transaction = await run_in_threadpool(_sign, context, source, batch_id, signature)
    await context.batch_tick.pass_by()  # with all that others sign meanwhile; the next round goes on after a crash here
    await _send(context, batch_id, transaction)
    return await run_in_threadpool(load_batch, context, source, batch_id)


def _sign(context: CreditContext, source: str, batch_id: str, signature: bytes) -> SignedTransaction:
    own, network = context.own_key, context.ledger.network
    batch = load_batch(context, source, batch_id)
    if batch.state != PREPARED or batch.act_id or batch.dies_ms <= context.now() or not batch.header:
        raise Problem(BATCH_OVER)
    draft = context.drafts.transaction(batch_id) or decode(batch.transaction)  # what `draw` kept
    made = _signed(
        draft,
        [
            own.sign(signed_bytes("transaction", network, draft.header)) if signer == own.signer else signature
            for signer in draft.signers
        ],
    )
    try:
        verify_signatures(made, network)
    except InvalidSignature:
        raise Problem(SIGNATURE) from None
    with context.turn, context.store.write() as session:
        row = session.get(CreditBatch, batch_id, with_for_update=True)
        if row is None or row.state != PREPARED:
            raise Problem(BATCH_OVER)
        row.state, row.transaction = SIGNED, made.raw
        context.record(session, SYSTEM, "credit-page.batch-signed", batch_id)
    return made


def _signed(draft: SignedTransaction, signatures: Sequence[bytes]) -> SignedTransaction:
    """The same transaction with other signatures, one of each signer in their order; they are not verified."""
    operations = [one.raw for one in draft.operations]
    raw = encode(ledger_pb2.Transaction(header=draft.header, operations=operations, signatures=signatures))
    return replace(draft, raw=raw, digest=Digest(sha256(raw)), signatures=tuple(signatures))


async def _send(context: CreditContext, batch_id: str, transaction: SignedTransaction) -> None:
    """Send a batch and take in what became of it; nothing happens where nothing is known."""
    try:
        proven = await context.ledger.submit_one(transaction)
    except Refused as refused:
        outcome = Outcome(refused.code, b"")
    except (TransportError, LedgerError):
        return
    else:
        outcome = Outcome("" if proven.failed is None else proven.failed.code, proven.receipt())
        await context.ledger.follow(proven.inclusion.height)
    # a crash here leaves the batch signed: it is sent again, and the ledger gives the same answer
    await run_in_threadpool(settle, context, batch_id, outcome)


async def send_again(context: CreditContext) -> int:
    """Send what was signed and whose fate is not known, of batches and of officers' acts; how many were sent."""
    waiting = await run_in_threadpool(_unknown, context)
    for batch_id, raw in waiting:
        await _send(context, batch_id, decode(raw))
    return len(waiting)


def _unknown(context: CreditContext) -> list[tuple[str, bytes]]:
    before = context.now() - SENT_AGAIN_MS
    with context.store.read() as session:
        wanted = (CreditBatch.state == SIGNED) & (CreditBatch.code == "") & (CreditBatch.receipt == b"")
        batches = select(CreditBatch).where(wanted, CreditBatch.created_ms < before).limit(SENT_AGAIN_MAX)
        found = [(batch.id, batch.transaction) for batch in session.scalars(batches)]
        signed = (PreparedAct.state == State.SIGNED) & (PreparedAct.created_ms < before)
        acts = select(CreditBatch.id, PreparedAct.transaction).join(PreparedAct, PreparedAct.id == CreditBatch.act_id)
        rows = session.execute(acts.where(signed, CreditBatch.state == PREPARED).limit(SENT_AGAIN_MAX))
        return found + [(batch_id, raw) for batch_id, raw in rows if raw is not None]
