# SPDX-License-Identifier: Apache-2.0
"""Who did what to which record, as a chain that the database refuses to change, with digests for the outside.

No entry holds personal data: actors and records are random ids, acts are words of ours. The digest of a stretch is
salted, so what is published tells nobody anything; whoever is shown the stretch and its salt can check it.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import StorageError
from service.store.models import AuditBatch, AuditEntry, AuditHead

SYSTEM = "system"
"""The actor where no person acted: the service itself."""
BATCH_ENTRIES_MAX = 100_000
"""Entries of one stretch; checked in seconds."""
PENDING_MAX = 100
"""Stretches that are published in one go."""
_PAGE = 1_000
_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}|system|-")
_ACT = re.compile(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+")
_REQUEST = re.compile(r"[0-9a-f]{32}|-")


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was done.

    Attributes:
        actor: Random id of who did it, or `SYSTEM`.
        act: What, as `subject.verb`, e.g. "person.erased".
        record: Random id or digest of what it was done to, in hex, or "-".
        request: Id of the request, or "-".
    """

    actor: str
    act: str
    record: str
    request: str = "-"


class Publisher(Protocol):
    """Puts digests where nobody of this service can change them."""

    def publish(self, digest: bytes) -> str:
        """Publish 32 bytes; the same digest twice is one publication.

        Returns:
            Where to find it, such as a transaction's id; at most 256 characters.
        """


def append(session: Session, act: Act, now_ms: int) -> AuditEntry:
    """Add an entry in the transaction of what it tells about: both happen or neither.

    Args:
        session: A transaction that writes.
        act: What was done; no personal data.
        now_ms: Unix time.
    """
    assert _ID.fullmatch(act.actor), "an actor is a random id"
    assert _ACT.fullmatch(act.act), "an act is subject.verb"
    assert _ID.fullmatch(act.record), "a record is a random id"
    assert _REQUEST.fullmatch(act.request), "a request's id is ours"
    head = session.scalar(select(AuditHead).with_for_update())
    assert head is not None, "an open store has its head"
    entry = AuditEntry(
        number=head.number + 1, at_ms=now_ms, actor=act.actor, act=act.act, record=act.record, request=act.request
    )
    entry.digest = _digest(head.digest, entry)
    head.number, head.digest = entry.number, entry.digest
    session.add(entry)
    session.flush()
    return entry


def close_batch(session: Session) -> AuditBatch | None:
    """Make a stretch of all entries since the last one.

    Returns:
        The stretch, not published yet; None where nothing was added.
    """
    head = session.scalar(select(AuditHead).with_for_update())
    assert head is not None, "an open store has its head"
    done = session.scalar(select(func.max(AuditBatch.last))) or 0
    if head.number == done:
        return None
    last = min(head.number, done + BATCH_ENTRIES_MAX)
    end = session.get(AuditEntry, last)
    assert end is not None, "entries are never deleted"
    salt = secrets.token_bytes(32)
    batch = AuditBatch(first=done + 1, last=last, salt=salt, digest=batch_digest(done + 1, last, salt, end.digest))
    session.add(batch)
    session.flush()
    return batch


def pending(session: Session) -> Sequence[AuditBatch]:
    """Stretches that are not published yet, oldest first; at most PENDING_MAX."""
    query = select(AuditBatch).where(AuditBatch.reference.is_(None)).order_by(AuditBatch.last).limit(PENDING_MAX)
    return session.scalars(query).all()


def batch_digest(first: int, last: int, salt: bytes, head: bytes) -> bytes:
    """What is published of a stretch; 32 bytes."""
    return hashlib.sha256(f"zhixin/audit-batch/1|{first}|{last}|".encode() + salt + head).digest()


def verify_chain(session: Session) -> int:
    """Recompute the whole chain and each stretch's digest.

    Returns:
        How many entries there are.

    Raises:
        StorageError: An entry was changed, is missing, or a stretch does not fit.
    """
    digest, number = bytes(32), 0
    batches = {batch.last: batch for batch in session.scalars(select(AuditBatch))}
    query = select(AuditEntry).order_by(AuditEntry.number).execution_options(yield_per=_PAGE)
    with closing(session.scalars(query)) as entries:
        for entry in entries:
            number += 1
            digest = _digest(digest, entry)
            if entry.number != number or entry.digest != digest:
                raise StorageError(f"audit entry {number} was changed or is missing")
            batch = batches.pop(number, None)
            if batch is not None and batch_digest(batch.first, number, batch.salt, digest) != batch.digest:
                raise StorageError(f"the audit stretch that ends with entry {number} was changed")
    head = session.scalar(select(AuditHead))
    if head is None or (head.number, head.digest) != (number, digest) or batches:
        raise StorageError(f"the audit chain ends at entry {number}, not where its head says: entries are missing")
    return number


def is_published(session: Session, digest: bytes) -> bool:
    """Whether this store knows a digest that was published: if not, it is older than what was published."""
    return session.scalar(select(AuditBatch.last).where(AuditBatch.digest == digest)) is not None


def _digest(previous: bytes, entry: AuditEntry) -> bytes:
    text = f"{entry.number}|{entry.at_ms}|{entry.actor}|{entry.act}|{entry.record}|{entry.request}"
    return hashlib.sha256(b"zhixin/audit/1|" + previous + text.encode()).digest()
