# SPDX-License-Identifier: Apache-2.0
"""Who did what to which record, as a chain that the database refuses to change, with digests for the outside.

No entry holds personal data: actors and records are random ids, acts are words of ours. What is published of the chain
is salted, so it tells nobody anything; whoever is shown the entries and the salt can check it. Salts are made from the
store's service key, so that neither a lost nor an altered database takes them along.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

from sqlalchemy import Table, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from service.errors import StorageError
from service.store.models import AuditBatch, AuditEntry, AuditHead

SYSTEM = "system"
"""The actor where no person acted: the service itself."""
OLDER_ACCEPTED = "store.older-accepted"
"""The act of going on with an older store: from there on the chain is anchored under another name."""
BATCH_ENTRIES_MAX = 100_000
"""Entries of one stretch; checked in seconds."""
PENDING_MAX = 100
"""Stretches that are published in one go."""
_PAGE = 1_000
_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}|system|-")
_ACT = re.compile(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+")
_REQUEST = re.compile(r"[0-9a-f]{32}|-")
_HEADS = cast("Table", AuditHead.__table__)
_ENTRIES = cast("Table", AuditEntry.__table__)
_COLUMNS = tuple(column.name for column in _ENTRIES.columns)
_HEAD = select(_HEADS.c.number, _HEADS.c.digest).with_for_update()
_ADD = insert(_ENTRIES)
_MOVE = update(_HEADS).values(number=bindparam("end"), digest=bindparam("reached"))


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


SaltOf: TypeAlias = Callable[[int], bytes]
"""The salt of what is published when the chain has so many entries; 32 bytes that only the store's keys make."""


class Publisher(Protocol):
    """Puts digests where nobody of this service can change them."""

    async def publish(self, digest: bytes, size: int) -> str:
        """Publish 32 bytes that cover the chain's first `size` entries; the same digest twice is one publication.

        Returns:
            Where to find it, such as a transaction's id; at most 256 characters, empty where that is not known.
        """


@dataclass(frozen=True, slots=True)
class Walk:
    """What going through the whole chain found.

    Attributes:
        entries: How many there are.
        ends: The chain's digest at the ends of stretches, by entry, computed from what the entries say.
        fault: The first entry that was altered or is missing by the chain itself; 0: none.
        reason: What is wrong with it; empty: nothing.
        accepted: Entries that say that somebody went on with an older store.
    """

    entries: int
    ends: dict[int, bytes]
    fault: int
    reason: str
    accepted: tuple[int, ...] = ()


def append(session: Session, act: Act, now_ms: int) -> None:
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
    session.flush()  # what it tells about goes first: who adds the same second waits at the head and finds it
    number, digest = session.execute(_HEAD).one()  # an open store has its head
    entry = AuditEntry(
        number=number + 1, at_ms=now_ms, actor=act.actor, act=act.act, record=act.record, request=act.request
    )
    entry.digest = _digest(digest, entry)
    # plain statements: every act of every service comes by here, and objects cost ten times as much
    session.execute(_ADD, {name: getattr(entry, name) for name in _COLUMNS})
    session.execute(_MOVE, {"end": entry.number, "reached": entry.digest})


def close_batch(session: Session, salt_of: SaltOf) -> AuditBatch | None:
    """Make a stretch of all entries since the last one.

    Args:
        session: A transaction that writes.
        salt_of: The store's.

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
    salt = salt_of(last)
    batch = AuditBatch(first=done + 1, last=last, salt=salt, digest=anchor_digest(last, salt, end.digest))
    session.add(batch)
    session.flush()
    return batch


def pending(session: Session) -> Sequence[AuditBatch]:
    """Stretches that are not published yet, oldest first; at most PENDING_MAX."""
    query = select(AuditBatch).where(AuditBatch.reference.is_(None)).order_by(AuditBatch.last).limit(PENDING_MAX)
    return session.scalars(query).all()


def anchor_digest(size: int, salt: bytes, head: bytes) -> bytes:
    """What is published of a chain; 32 bytes.

    Args:
        size: How many entries it covers, from the first on.
        salt: 32 bytes, see `SaltOf`.
        head: The chain's digest at the last of them.
    """
    return hashlib.sha256(f"zhixin/audit-anchor/1|{size}|".encode() + salt + head).digest()


def batches(session: Session) -> dict[int, AuditBatch]:
    """All stretches, by their last entry."""
    return {batch.last: batch for batch in session.scalars(select(AuditBatch).order_by(AuditBatch.last))}


def walk(session: Session, also: int = 0) -> Walk:
    """Go through the whole chain and compute it anew.

    What it finds without help from outside is what somebody changed who did not compute the chain anew, too.

    Args:
        session: A transaction.
        also: An entry at which the chain's digest is wanted besides the ends of stretches.
    """
    wanted = {*session.scalars(select(AuditBatch.last)), also}
    ends: dict[int, bytes] = {}
    accepted: list[int] = []
    digest, number, fault = bytes(32), 0, 0
    query = select(AuditEntry).order_by(AuditEntry.number).execution_options(yield_per=_PAGE)
    with closing(session.scalars(query)) as entries:
        for entry in entries:
            number += 1
            digest = _digest(digest, entry)
            if not fault and (entry.number != number or entry.digest != digest):
                fault = number
            if number in wanted:
                ends[number] = digest
            if entry.act == OLDER_ACCEPTED:
                accepted.append(number)
    if fault:
        return Walk(number, ends, fault, f"audit entry {fault} was changed or is missing", tuple(accepted))
    head = session.scalar(select(AuditHead))
    if head is None or (head.number, head.digest) != (number, digest):
        reason = f"the audit chain ends at entry {number}, not where its head says: entries are missing"
        return Walk(number, ends, number + 1, reason, tuple(accepted))
    return Walk(number, ends, 0, "", tuple(accepted))


def verify_chain(session: Session) -> int:
    """Recompute the whole chain and each stretch's digest.

    Returns:
        How many entries there are.

    Raises:
        StorageError: An entry was changed, is missing, or a stretch does not fit.
    """
    found = walk(session)
    if found.fault:
        raise StorageError(found.reason)
    for last, batch in batches(session).items():
        if last not in found.ends:
            raise StorageError(f"the audit chain ends before entry {last}, where a stretch ends: entries are missing")
        if anchor_digest(last, batch.salt, found.ends[last]) != batch.digest:
            raise StorageError(f"the audit stretch that ends with entry {last} was changed")
    return found.entries


def is_published(session: Session, digest: bytes) -> bool:
    """Whether this store knows a digest that was published: if not, it is older than what was published."""
    return session.scalar(select(AuditBatch.last).where(AuditBatch.digest == digest)) is not None


def _digest(previous: bytes, entry: AuditEntry) -> bytes:
    text = f"{entry.number}|{entry.at_ms}|{entry.actor}|{entry.act}|{entry.record}|{entry.request}"
    return hashlib.sha256(b"zhixin/audit/1|" + previous + text.encode()).digest()
