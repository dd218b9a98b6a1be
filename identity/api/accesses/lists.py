# SPDX-License-Identifier: Apache-2.0
"""Lists of accesses in the registrar's store: begun with a person's credential, handed out slot by slot.

What follows the free slot is drawn once and kept, so it is the same for whoever writes there. Of two writers at once
the ledger takes one; the other asks again, and then the ledger says that the list has gone on. So a writer who never
tells what it wrote leaves no hole: its entry is proven, and says only who wrote it and when. An entry that goes on with
another link than the one handed out ends the list for good: what would follow can't be proven. The log shows who wrote
it, and the person's next credential begins another list.

Source: docs/identity.md, "Accesses".
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.types import sha256
from identity.access import ENTRIES_MAX, Handed, claim_of_slot, slot_of_claim
from identity.access_content import CONTENT_BYTES_MAX, content_commitment
from identity.access_rules import access_key
from identity.api.accesses.tables import AccessListRow, AccessOpeningRow
from identity.commitments import SALT_BYTES
from identity.jose import encode_base64url
from identity.pb import access_pb2, identity_pb2
from identity.slots import SLOT_BYTES
from service.store import Store

log = structlog.get_logger(__name__)

STEPS_MAX: Final = 64
"""Entries that a list may have gone on by since it was last looked at; more are caught up with by the next question."""

Read: TypeAlias = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, bytes | None]]]
"""State keys, proven, at one height."""
TellPerson: TypeAlias = Callable[[Session, str], object]
"""Tells a person of an answer about them; in the transaction that keeps what the entry says. By the person's id."""


class UnknownList(Exception):
    """There is no list, or no entry, as it was named; or what is told of an entry is not what stands on the ledger."""


class Exhausted(Exception):
    """The list holds as many entries as one report can prove; a new credential begins another."""


class Broken(Exhausted):
    """Somebody's entry in the free slot goes on with another link: nothing follows; a new credential begins another."""


@dataclass(frozen=True, slots=True)
class Head:
    """A list's secrets that move on.

    Attributes:
        first: Where it begins.
        free: The first slot that nobody has written to, as far as is known.
        next_slot: The one after; empty once the free slot was taken with another link: then none follows.
        next_salt: Of the commitment to it; likewise.
    """

    first: bytes
    free: bytes
    next_slot: bytes
    next_salt: bytes

    @classmethod
    def begin(cls) -> "Head":
        """A new list's."""
        first = secrets.token_bytes(SLOT_BYTES)
        return cls(first, first, secrets.token_bytes(SLOT_BYTES), secrets.token_bytes(SALT_BYTES))

    def moved(self) -> "Head":
        """Once the free slot is taken."""
        return Head(self.first, self.next_slot, secrets.token_bytes(SLOT_BYTES), secrets.token_bytes(SALT_BYTES))

    def ended(self) -> "Head":
        """Once the free slot is taken with another link."""
        return Head(self.first, self.free, b"", b"")

    @property
    def is_broken(self) -> bool:
        """Whether nothing can follow."""
        return not self.next_slot

    @property
    def handed(self) -> Handed:
        """For a writer."""
        return Handed(self.free, self.next_slot, self.next_salt)

    def to_text(self) -> str:
        """For the store."""
        return json.dumps({name: getattr(self, name).hex() for name in self.__slots__})

    @classmethod
    def from_text(cls, text: str) -> "Head":
        """What `to_text` wrote."""
        return cls(**{name: bytes.fromhex(value) for name, value in json.loads(text).items()})


def own_claims(session: Session, store: Store, person_id: str, now_ms: int) -> dict[str, str]:
    """What a natural person's credential says for verifiers alone: `access_slot` and `pairwise_seed`.

    Both are the same in each credential of the person, whichever phone or card it is bound to. A list is begun where
    there is none, and where the newest one is full or broken.

    Args:
        session: A transaction that writes.
        store: Of the session.
        person_id: Whose.
        now_ms: Unix time in ms.
    """
    row = session.scalar(
        select(AccessListRow)
        .where(AccessListRow.person_id == person_id)
        .order_by(AccessListRow.made_ms.desc())
        .limit(1)
    )
    if row is None or row.entries >= ENTRIES_MAX or _head(session, store, row).is_broken:
        head = Head.begin()
        made_ms = now_ms if row is None else max(now_ms, row.made_ms + 1)  # the newest one is the one that counts
        row = AccessListRow(person_id=person_id, first_digest=_digest(store, head.first), entries=0, made_ms=made_ms)
        store.people.seal(session, row, AccessListRow.head, head.to_text())
    seed = pairwise_seed(store, person_id)
    slot = claim_of_slot(_head(session, store, row).first)
    return {"access_slot": slot, "pairwise_seed": encode_base64url(seed)}


def pairwise_seed(store: Store, person_id: str) -> bytes:
    """What a person's pseudonyms are made of, in each of their credentials; 32 bytes.

    Args:
        store: Where the person is.
        person_id: Whose.
    """
    return hmac.digest(store.secret("accesses/pairwise-seed"), person_id.encode(), "sha256")


async def hand_out(store: Store, read: Read, first_slot: str) -> Handed:
    """The free slot of the list that begins at a slot; catches up with what others wrote.

    Args:
        store: Where lists are.
        read: Reads the ledger.
        first_slot: The claim `access_slot`.

    Raises:
        UnknownList: There is none.
        Exhausted: It is full; `Broken`: somebody's entry ended it.
        TransportError: Nobody answers for the ledger.
    """
    try:
        digest = _digest(store, slot_of_claim(first_slot))
    except LedgerError:
        raise UnknownList from None
    for _ in range(STEPS_MAX):
        head = await run_in_threadpool(_head_at, store, digest)
        where = access_key(head.free)
        raw = (await read([where]))[where]
        if raw is None:
            return head.handed
        await run_in_threadpool(_advance, store, digest, head, identity_pb2.AccessRecord.FromString(raw).next)
    raise Exhausted


async def tell(
    store: Store, read: Read, slot: bytes, content: bytes, salt: bytes, tell_person: TellPerson | None = None
) -> str:
    """Keep what an entry says, once it stands on the ledger and commits to just that.

    Args:
        store: Where lists are.
        read: Reads the ledger.
        slot: The entry's.
        content: Bytes of `AccessContent`.
        salt: The entry's.
        tell_person: Called the first time that this entry is told; None: whoever calls tells the person.

    Returns:
        Id of the row that opens the slot.

    Raises:
        UnknownList: No list here has this slot, or the entry there commits to something else.
        TransportError: Nobody answers for the ledger.
    """
    where = access_key(slot)
    raw = (await read([where]))[where]
    is_formed = len(salt) == SALT_BYTES and len(content) <= CONTENT_BYTES_MAX and len(slot) == SLOT_BYTES
    if raw is None or not is_formed:
        raise UnknownList
    if identity_pb2.AccessRecord.FromString(raw).content != content_commitment(content, salt):
        raise UnknownList
    return await run_in_threadpool(_keep, store, slot, content, salt, tell_person)


def _keep(store: Store, slot: bytes, content: bytes, salt: bytes, tell_person: TellPerson | None) -> str:
    with store.write() as session:
        row = session.scalar(
            select(AccessOpeningRow).where(AccessOpeningRow.slot_digest == _digest(store, slot)).with_for_update()
        )
        if row is None:
            raise UnknownList
        text = store.people.open(session, row, AccessOpeningRow.opening)
        assert text is not None, "each row has its opening"
        opening = access_pb2.AccessOpening.FromString(bytes.fromhex(text))
        if tell_person is not None and not opening.content:
            tell_person(session, row.person_id)
        opening.content, opening.content_salt = content, salt
        store.people.seal(session, row, AccessOpeningRow.opening, opening.SerializeToString(deterministic=True).hex())
        return row.id


def _head_at(store: Store, digest: bytes) -> Head:
    with store.read() as session:
        row = session.scalar(select(AccessListRow).where(AccessListRow.first_digest == digest))
        if row is None:
            raise UnknownList
        if row.entries >= ENTRIES_MAX:
            raise Exhausted
        head = _head(session, store, row)
        if head.is_broken:
            raise Broken
        return head


def _advance(store: Store, digest: bytes, head: Head, link: bytes) -> None:
    """Go on by one slot that the ledger has, unless somebody did meanwhile; end the list if its link is another."""
    with store.write() as session:
        row = session.scalar(select(AccessListRow).where(AccessListRow.first_digest == digest).with_for_update())
        if row is None:
            raise UnknownList
        if _head(session, store, row) != head:
            return
        if link != head.handed.link:
            log.warning("accesses.list-broken", list=row.id)
            store.people.seal(session, row, AccessListRow.head, head.ended().to_text())
            return
        taken = AccessOpeningRow(
            person_id=row.person_id, list_id=row.id, number=row.entries, slot_digest=_digest(store, head.free)
        )
        opening = head.handed.opening(b"", b"")
        store.people.seal(session, taken, AccessOpeningRow.slot, head.free.hex())
        store.people.seal(session, taken, AccessOpeningRow.opening, opening.SerializeToString(deterministic=True).hex())
        row.entries += 1
        store.people.seal(session, row, AccessListRow.head, head.moved().to_text())


def _head(session: Session, store: Store, row: AccessListRow) -> Head:
    text = store.people.open(session, row, AccessListRow.head)
    assert text is not None, "each list has its head"
    return Head.from_text(text)


def _digest(store: Store, slot: bytes) -> bytes:
    return hmac.digest(store.secret("accesses/slot"), sha256(slot), "sha256")
