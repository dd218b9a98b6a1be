# SPDX-License-Identifier: Apache-2.0
"""The audit chain on the ledger: a publisher for its digests, and a comparison of the table with what is anchored.

The chain alone shows only what a careless hand changed: whoever can write to the database can make all of it anew. What
was anchored cannot be made anew. Each anchor covers the whole chain up to its size, so one that fits vouches for every
entry before; where the newest does not fit, older ones are asked for until the first altered entry is between two.
"""

from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool

from chain.codec import decode
from chain.errors import LedgerError
from chain.signing import TransactionSigner
from chain.types import TRANSACTION_BYTES_MAX, TransactionId
from membership.pb import membership_pb2 as pb
from membership.state import load_key, signer_key
from service.anchors import OPERATION, Anchored, Ledger, put_anchor, read_anchor
from service.store import audit
from service.store.models import AuditBatch, AuditEntry
from service.store.store import Store

KIND = pb.ANCHOR_KIND_AUDIT


class RolledBack(Exception):
    """The ledger says that this chain was longer than it is, or another one: an old copy, or altered.

    Attributes:
        reason: One sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LedgerPublisher:
    """Anchors digests of one store's audit chain; see `service.store.audit.Publisher`.

    Args:
        ledger: A session.
        signer: The service's own key, of purpose submit.
        organisation: Whose key that is.
        stream: The chain's, 16 bytes.
    """

    def __init__(self, ledger: Ledger, signer: TransactionSigner, organisation: str, stream: bytes) -> None:
        self._ledger = ledger
        self._signer = signer
        self._organisation = organisation
        self._stream = stream

    async def publish(self, digest: bytes, size: int) -> str:
        """Anchor a digest unless it is anchored already: a crash may have come after the first time.

        Returns:
            The transaction's id in hex; empty where an earlier life of this process sent it.

        Raises:
            RolledBack: The ledger holds an anchor that covers as much or more.
            Refused: The rules say no.
            TransportError: Nothing is known of it; it may be tried again.
        """
        newest = await read_anchor(self._ledger, self._organisation, KIND, self._stream)
        if newest is not None and (newest.digest, newest.size) == (digest, size):
            return ""
        if newest is not None and newest.size >= size:
            raise RolledBack(
                f"the ledger has {newest.size} entries of this audit chain, and other ones than the {size} here"
            )
        proven = await put_anchor(self._ledger, self._signer, KIND, self._stream, digest, size)
        return proven.id.hex()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison of the table with the ledger found.

    Attributes:
        entries: How many the table has.
        anchored: The newest anchor; None: there is none.
        first_bad: The first entry that was altered or is missing, as far as can be told; 0: all are in order.
        last_bad: Where the first one lies between two anchors: the last entry that it could be.
        reason: What is wrong; empty: nothing.
        accepted: Entries that say that somebody went on with an older store: what came before them stands on the ledger
            under another name, and the table may lack some of it.
    """

    entries: int
    anchored: Anchored | None
    first_bad: int = 0
    last_bad: int = 0
    reason: str = ""
    accepted: tuple[int, ...] = ()


async def compare(store: Store, ledger: Ledger, organisation: str) -> Comparison:
    """Compare the audit table with itself, and with what is anchored.

    Args:
        store: Whose.
        ledger: A session; every answer of it is proven.
        organisation: Who anchors this chain.

    Raises:
        StorageError: The database failed.
        TransportError: No node gives an answer that verifies and is fresh.
    """
    newest = await read_anchor(ledger, organisation, KIND, store.audit_stream)
    table = await run_in_threadpool(_read, store, 0 if newest is None else newest.size)
    found = await _compared(table, newest, ledger, organisation, store.audit_stream)
    found = replace(found, accepted=table.walk.accepted)
    is_renamed = store.audit_stream != bytes.fromhex(store.ring.store)
    if is_renamed and not table.walk.accepted and not found.first_bad:
        reason = "the chain is anchored under another name, and no entry of it says why"
        return replace(found, first_bad=1, last_bad=max(1, found.entries), reason=reason)
    return found


async def _compared(
    table: "_Table", newest: Anchored | None, ledger: Ledger, organisation: str, stream: bytes
) -> Comparison:
    """Compare the table with the newest anchor, and where it does not fit with older ones."""
    walk = table.walk
    if newest is None or table.fits(newest.size, newest.digest):
        return Comparison(walk.entries, newest, walk.fault, walk.fault, walk.reason)
    good = await _intact(table, ledger, organisation, stream)
    if walk.fault > good:
        return Comparison(walk.entries, newest, walk.fault, walk.fault, walk.reason)
    if good == walk.entries:
        return Comparison(walk.entries, newest, good + 1, good + 1, f"{newest.size} entries are anchored")
    last = min([*[one for one in sorted(table.batches) if one > good][:1], newest.size])
    return Comparison(walk.entries, newest, good + 1, last, "the table is not what was anchored")


def check_newest(store: Store, newest: Anchored) -> None:
    """Whether the table is no older than the newest anchor, and the same up to there; looks at one entry.

    Raises:
        RolledBack: It is older, or another one.
        StorageError: The database failed.
    """
    with store.read() as session:
        entry = session.get(AuditEntry, newest.size)
        if entry is None:
            raise RolledBack(f"the ledger has {newest.size} entries of this audit chain, the store has fewer")
        if audit.anchor_digest(newest.size, store.audit_salt(newest.size), entry.digest) != newest.digest:
            raise RolledBack(f"the first {newest.size} entries of the audit chain are not those that were anchored")


@dataclass(frozen=True, slots=True)
class _Table:
    """The audit table, gone through once."""

    walk: audit.Walk
    batches: dict[int, AuditBatch]
    salt_of: audit.SaltOf

    def fits(self, size: int, digest: bytes) -> bool:
        """Whether what was anchored is what the table gives now."""
        head = self.walk.ends.get(size)
        return head is not None and audit.anchor_digest(size, self.salt_of(size), head) == digest


def _read(store: Store, also: int) -> _Table:
    with store.read() as session:
        return _Table(audit.walk(session, also), audit.batches(session), store.audit_salt)


async def _intact(table: _Table, ledger: Ledger, organisation: str, stream: bytes) -> int:
    """Up to which entry older anchors vouch for the table; each covers all before, so halving finds it."""
    candidates = [batch for _, batch in sorted(table.batches.items()) if batch.reference]
    low, high = 0, len(candidates)  # those below `low` fit, those from `high` on do not
    while low < high:
        middle = (low + high) // 2
        batch = candidates[middle]
        digest = await _anchored_by(ledger, organisation, stream, batch)
        low, high = (middle + 1, high) if digest and table.fits(batch.last, digest) else (low, middle)
    return candidates[low - 1].last if low else 0


async def _anchored_by(ledger: Ledger, organisation: str, stream: bytes, batch: AuditBatch) -> bytes:
    """The digest that the transaction of a stretch anchored; empty: it did not, or nodes no longer show it."""
    try:
        identifier = TransactionId(bytes.fromhex(batch.reference or ""))
        found = (await ledger.receipts([identifier])).get(identifier, [])
    except (ValueError, LedgerError):
        return b""
    for proven in found:
        operation = proven.inclusion.operation
        if proven.failed is not None or operation.type != OPERATION:
            continue
        message = decode(pb.Anchor, operation.body, TRANSACTION_BYTES_MAX)
        if (message.kind, message.stream, message.size) != (KIND, stream, batch.last):
            continue
        for signer in proven.header.signers:
            state = await ledger.read(signer_key(signer))
            key = load_key({state.key: state.value}.get, signer)
            if key is not None and key.organisation == organisation:
                return message.digest
    return b""
