# SPDX-License-Identifier: Apache-2.0
"""Whole events as the service keeps them: sealed under their owner's key, with the secrets that open their commitments.

Whoever has the database alone sees which rows belong to one owner, how many and how long they are, and the ids that
stand on the chain. Two owners' events of one EPCIS id do not look alike: names are digested under the owner's key.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from service.errors import StorageError
from service.store import Store, cipher
from traceability.api.tables import FoodCaptured, FoodOwner
from traceability.openings import SECRET_BYTES


@dataclass(frozen=True, slots=True)
class Owner:
    """A participant whose events are kept, with the key that opens them.

    Attributes:
        id: Of its row; random.
        key: 32 bytes.
    """

    id: str
    gln: str
    key: bytes

    def name_of(self, event_id: str) -> bytes:
        """Under which digest an event is found by its EPCIS id; 32 bytes."""
        return cipher.keyed_digest(self.key, "event-id", event_id)

    def seal(self, value: bytes, *where: str | int) -> bytes:
        """Seal a value for one place."""
        return cipher.seal(self.key, value, cipher.place("food", self.id, *where))

    def unseal(self, sealed: bytes, *where: str | int) -> bytes:
        """Open it.

        Raises:
            StorageError: It does not open there: the row was changed.
        """
        try:
            return cipher.unseal(self.key, sealed, cipher.place("food", self.id, *where))
        except cipher.Unopened:
            raise StorageError("a captured event does not open: was its row changed?") from None


@dataclass(frozen=True, slots=True)
class Whole:
    """An event with what opens it.

    Attributes:
        secret: 32 bytes; every commitment's salt is derived from it.
        data: Event and context, as `traceability.openings.event_bytes` writes them.
    """

    secret: bytes
    data: bytes

    def opened(self) -> tuple[dict[str, Any], object]:
        """Event and context, read once."""
        return _read(self.data)

    @property
    def event(self) -> dict[str, Any]:
        """The event."""
        return _read(self.data)[0]

    @property
    def context(self) -> object:
        """The `@context` of its document; None where the event has its own."""
        return _read(self.data)[1]


def find_owner(store: Store, session: Session, gln: str) -> Owner | None:
    """A participant's key; None: nothing of it is kept here.

    Raises:
        StorageError: The key does not open.
    """
    row = session.scalar(select(FoodOwner).where(FoodOwner.gln == gln))
    return None if row is None else _owner(store, session, row)


def load_owner(store: Store, session: Session, owner_id: str) -> Owner | None:
    """The same by the row's id; None: it was erased."""
    row = session.get(FoodOwner, owner_id)
    return None if row is None else _owner(store, session, row)


def make_owner(store: Store, session: Session, gln: str) -> Owner:
    """A participant's key, made if there is none.

    Args:
        store: The store.
        session: A transaction of it that writes.
        gln: The participant's.
    """
    found = find_owner(store, session, gln)
    if found is not None:
        return found
    row = FoodOwner(person_id=store.people.add(session), gln=gln)
    key = cipher.new_key()
    store.people.seal(session, row, FoodOwner.key, key.hex())
    session.flush()
    return Owner(row.id, gln, key)


def new_secret() -> bytes:
    """A secret for one event."""
    return secrets.token_bytes(SECRET_BYTES)


def keep(
    session: Session,
    owner: Owner,
    event_id: str,
    chain_id: bytes,
    whole: Whole,
    captured_ms: int,
    *,
    is_declaration: bool = False,
) -> None:
    """Keep an event that is recorded.

    Args:
        session: A transaction that writes.
        owner: Whose event it is.
        event_id: Its EPCIS id.
        chain_id: Its id on the chain; of the event that it declares in error, if it is a declaration.
        whole: The event.
        captured_ms: When.
        is_declaration: It says that an event kept before is in error, and stands beside it.
    """
    row = kept_row(owner, event_id, chain_id, whole, captured_ms, is_declaration=is_declaration)
    session.execute(insert(FoodCaptured), [row])


def kept_row(
    owner: Owner, event_id: str, chain_id: bytes, whole: Whole, captured_ms: int, *, is_declaration: bool = False
) -> dict[str, object]:
    """The row that `keep` writes, for whoever writes many."""
    return {
        "id": chain_id,
        "is_declaration": is_declaration,
        "owner_id": owner.id,
        "name": owner.name_of(event_id),
        "content": owner.seal(whole.secret + whole.data, "captured", chain_id.hex(), int(is_declaration)),
        "captured_ms": captured_ms,
    }


def find_events(
    session: Session, owner: Owner, event_ids: Iterable[str], *, is_declaration: bool = False
) -> dict[str, bytes]:
    """Ids on the chain of events by their EPCIS ids; what is not kept is left out."""
    names = {owner.name_of(event_id): event_id for event_id in event_ids}
    found: dict[str, bytes] = {}
    listed = list(names)
    for start in range(0, len(listed), 500):
        rows = session.execute(
            select(FoodCaptured.name, FoodCaptured.id).where(
                FoodCaptured.owner_id == owner.id,
                FoodCaptured.is_declaration.is_(is_declaration),
                FoodCaptured.name.in_(listed[start : start + 500]),
            )
        )
        found.update((names[name], chain_id) for name, chain_id in rows)
    return found


def load_events(session: Session, owner: Owner, chain_ids: Iterable[bytes]) -> Mapping[bytes, Whole]:
    """An owner's events by their ids on the chain, but for declarations; others' and unknown ones are left out."""
    found: dict[bytes, Whole] = {}
    listed = list(chain_ids)
    for start in range(0, len(listed), 500):
        rows = session.execute(
            select(FoodCaptured.id, FoodCaptured.content).where(
                FoodCaptured.owner_id == owner.id,
                FoodCaptured.is_declaration.is_(False),
                FoodCaptured.id.in_(listed[start : start + 500]),
            )
        )
        for chain_id, content in rows:
            found[chain_id] = unpack(owner.unseal(content, "captured", chain_id.hex(), 0))
    return found


def unpack(raw: bytes) -> Whole:
    """Secret and event out of what was sealed."""
    return Whole(raw[:SECRET_BYTES], raw[SECRET_BYTES:])


def _owner(store: Store, session: Session, row: FoodOwner) -> Owner:
    key = store.people.open(session, row, FoodOwner.key)
    assert key is not None, "an owner is made with its key"
    return Owner(row.id, row.gln, bytes.fromhex(key))


def _read(data: bytes) -> tuple[dict[str, Any], object]:
    found = json.loads(data)
    return found["event"], found["context"]
