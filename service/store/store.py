# SPDX-License-Identifier: Apache-2.0
"""The private store of the services: opened, asked, written, and made to forget.

Erasing a person takes two steps. `erase` deletes at once whatever the database and its indexes hold; `end_epoch`, soon
after and for all erasures together, destroys the key that old copies of the database would need. Both go on where a
crash left them, and opening a store applies each erasure that its database has missed.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.errors import PersonErased, StorageError
from service.store import audit
from service.store.audit import Act, Publisher
from service.store.engine import close_engine, insert_new, transaction, truncate_log
from service.store.files import locked
from service.store.key_encryption import KeyEncryptionKey
from service.store.key_ring import KeyRing, Purpose
from service.store.models import AuditBatch, Erasure, Person, StoreMark
from service.store.people import People, personal_models
from service.store.replays import StoredReplays
from service.store.tombstones import Tombstone, Tombstones, person_digest

REWRAP_BATCH = 500
"""Persons' keys wrapped anew in one transaction: some 20 ms, so that nobody waits long for a turn."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What `end_epoch` did.

    Attributes:
        epoch: The one in use now.
        rewrapped: How many persons' keys were wrapped anew.
        erasures: How many erasures became final.
    """

    epoch: int
    rewrapped: int
    erasures: int


class Store:
    """One private store; made by `service.store.opening.open_store`.

    Args:
        engine: The database, migrated.
        ring: The keys above the persons' own.
        now: Unix time in ms.
    """

    def __init__(self, engine: Engine, ring: KeyRing, now: Callable[[], int]) -> None:
        self.engine = engine
        self.ring = ring
        self.people = People(ring)
        self._tombstones = Tombstones(ring.folder)
        self._now = now

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that reads.

        Raises:
            StorageError: The database failed.
        """
        return transaction(self.engine, writes=False)

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that writes: committed at its end, rolled back if anything is raised.

        Raises:
            StorageError: The database failed.
        """
        return transaction(self.engine, writes=True)

    def close(self) -> None:
        """Let go of all connections."""
        close_engine(self.engine)

    async def answers(self) -> bool:
        """Whether the database can be asked and the keys be read now; for readiness."""

        def ask() -> bool:
            self.ring.reload()
            with self.read() as session:
                return session.scalar(select(StoreMark.id)) is not None

        return await run_in_threadpool(ask)

    def secret(self, name: str) -> bytes:
        """32 bytes for one purpose, the same in each process of this store."""
        return self.ring.secret(name)

    def replays(self) -> StoredReplays:
        """Where idempotency keys are kept."""
        return StoredReplays(self.engine, self._now)

    def record(self, session: Session, act: Act) -> None:
        """Add to the audit chain, in the transaction of what it tells about."""
        audit.append(session, act, self._now())

    def erase(self, person_id: str, actor: str = audit.SYSTEM, request: str = "-") -> None:
        """Erase a person: the key, every row and every index entry. A second erasure of the same person does nothing.

        Args:
            person_id: Whose.
            actor: Random id of who asked for it.
            request: Id of the request.

        Raises:
            PersonErased: There never was such a person.
            StorageError: Not done, or not whole; opening the store goes on with it.
        """
        digest = person_digest(person_id)
        with self.read() as session:
            known = self.people.exists(session, person_id)
        if not known and digest not in self._tombstones.read():
            raise PersonErased
        self._tombstones.append(Tombstone(digest, self._now()))
        # a crash here leaves a person who is to be erased; `apply_tombstones` does it at the next start
        self._delete(digest, Act(actor, "person.erased", digest.hex(), request))
        truncate_log(self.engine)

    def apply_tombstones(self) -> int:
        """Erase whoever was erased and is in the database all the same: it is an old copy, or a crash came between.

        Returns:
            How many had to be erased again.

        Raises:
            StorageError: The list of erasures was changed, or the database failed.
        """
        listed = self._tombstones.read()
        with self.read() as session:
            known = {row.person: row for row in session.scalars(select(Erasure))}
        for person in sorted(known.keys() - listed.keys()):  # the list is the older copy
            self._tombstones.append(Tombstone(person, known[person].at_ms))
        missing = sorted(listed.keys() - known.keys())
        for person in missing:
            self._delete(person, Act(audit.SYSTEM, "person.erased", person.hex()))
        if missing:
            truncate_log(self.engine)
        return len(missing)

    def end_epoch(self, before_destroying: Callable[[], object] | None = None) -> Upkeep:
        """Make all erasures so far final: wrap living persons' keys under a new epoch and destroy the old one's key.

        Persons can be added, read and erased meanwhile. What broke off goes on with the next call.

        Args:
            before_destroying: Called when the old key is no longer needed and still there: the moment to write a
                backup, for older ones open no more.

        Raises:
            StorageError: The database failed, holds keys of an epoch that is gone, or somebody reads it for long.
        """
        with locked(self.ring.folder, "upkeep"):
            if len(self.ring.versions(Purpose.EPOCH)) == 1:
                self.ring.add(Purpose.EPOCH)
            epoch = self.ring.epoch
            with self.write() as session:  # once this is committed nobody wraps under the old epoch any more
                mark = session.scalar(select(StoreMark).with_for_update())
                assert mark is not None, "an open store has its mark"
                mark.epoch = epoch
            rewrapped = 0
            while count := self._rewrap_some(epoch):
                rewrapped += count
            if not truncate_log(self.engine):  # which may hold what was erased: nothing is called final before
                raise StorageError("a reader such as a backup holds the database's log; end the epoch when it is done")
            if before_destroying is not None:
                before_destroying()
            self.ring.drop_before(Purpose.EPOCH, epoch)
            truncate_log(self.engine)
            with self.write() as session:
                query = select(func.count()).select_from(Erasure).where(Erasure.epoch == epoch - 1)
                erasures = session.scalar(query) or 0
                self.record(session, Act(audit.SYSTEM, "store.epoch-ended", "-"))
        return Upkeep(epoch, rewrapped, erasures)

    def erasures_pending(self) -> int:
        """How many erasures wait for their epoch to end."""
        with self.read() as session:
            mark = select(StoreMark.epoch).scalar_subquery()
            return session.scalar(select(func.count()).select_from(Erasure).where(Erasure.epoch >= mark)) or 0

    def rotate_wrapping(self, wrapping: KeyEncryptionKey) -> tuple[str, ...]:
        """Exchange the key-encryption key and destroy the old one; other processes follow by themselves.

        Returns:
            Names of old keys whose token could not be reached; opening the store tries again to destroy them.

        Raises:
            KeyFileError: Another process that was starting removed the new key's file; nothing was changed.
        """
        with locked(self.ring.folder, "upkeep"):
            self.ring.wrap_under(wrapping)
            left = self.ring.remove_unused()
            with self.write() as session:
                self.record(session, Act(audit.SYSTEM, "store.key-rotated", "-"))
        return left

    def rotate_index_key(self) -> int:
        """Make all blind indexes anew under a new key and destroy the old one; goes on where it broke off.

        Returns:
            How many rows were indexed.
        """
        with locked(self.ring.folder, "upkeep"):
            if len(self.ring.versions(Purpose.INDEX)) == 1:
                self.ring.add(Purpose.INDEX)
            with self.write() as session:  # whoever still writes under the old key ends first
                session.scalar(select(StoreMark.id).with_for_update())
            count = self.reindex()
            self.ring.drop_before(Purpose.INDEX, self.ring.index_version)
        return count

    def reindex(self) -> int:
        """Make each row's index entries anew, a batch at a time.

        Returns:
            How many rows were indexed.
        """
        count = 0
        for model in personal_models():
            last = ""
            while True:
                with self.write() as session:
                    next_ = select(model.id, model.person_id).where(model.id > last).order_by(model.id)
                    listed = session.execute(next_.limit(REWRAP_BATCH)).all()
                    # persons first, as for any write: nobody is erased, and no value changed, before this is done
                    self.people.fetch(session, {person_id for _, person_id in listed}, hold=True)
                    held = select(model).where(model.id.in_([row_id for row_id, _ in listed])).with_for_update()
                    rows = session.scalars(held).all()
                    self.people.reindex(session, model, rows)
                if not listed:
                    break
                last = listed[-1][0]
                count += len(rows)
        return count

    @property
    def audit_stream(self) -> bytes:
        """Under which 16 bytes the digests of this audit chain are anchored."""
        return self.ring.audit_stream

    def audit_salt(self, size: int) -> bytes:
        """Salts what is published when the audit chain has so many entries; 32 bytes."""
        return self.secret(f"audit-anchor/{size}")

    async def publish_audit(self, publisher: Publisher) -> int:
        """Publish the digests of what was added to the audit chain, and of a stretch whose publication broke off.

        While one can't be published no other is made: the next one covers all that came since.

        Returns:
            How many digests were published.
        """
        count = 0
        while count < audit.PENDING_MAX and (batch := await run_in_threadpool(self._next_batch)) is not None:
            reference = await publisher.publish(batch.digest, batch.last)
            # a crash here publishes the same digest again
            await run_in_threadpool(self._published, batch.last, reference)
            count += 1
        return count

    def accept_older(self, anchored: bytes) -> None:
        """Go on with a store that is older than what the ledger knows of it: from now on its chain is anchored anew.

        Args:
            anchored: The digest of the newest anchor, which stands in the chain from here on.
        """
        self.ring.begin_stream()
        with self.write() as session:
            self.record(session, Act(audit.SYSTEM, audit.OLDER_ACCEPTED, anchored.hex()))

    def _next_batch(self) -> AuditBatch | None:
        with self.write() as session:
            waiting = audit.pending(session)
            return waiting[0] if waiting else audit.close_batch(session, self.audit_salt)

    def _published(self, last: int, reference: str) -> None:
        with self.write() as session:
            batch = session.get(AuditBatch, last)
            assert batch is not None, "stretches are never deleted"
            batch.reference = reference

    def _delete(self, digest: bytes, act: Act) -> None:
        """Delete a person and say so in the same transaction; the database deletes rows and index entries with it."""
        with self.write() as session:
            # of two erasures at once the second waits here or at the insertion, and then records nothing
            session.execute(delete(Person).where(Person.digest == digest))
            epoch = session.scalar(select(StoreMark.epoch).with_for_update(read=True))
            if insert_new(session, Erasure(person=digest, at_ms=self._now(), epoch=epoch)):
                self.record(session, act)

    def _rewrap_some(self, epoch: int) -> int:
        with self.write() as session:
            query = select(Person).where(Person.epoch < epoch).order_by(Person.id).limit(REWRAP_BATCH)
            persons = session.scalars(query.with_for_update()).all()
            for person in persons:
                self.people.rewrap(person, epoch)
            return len(persons)
