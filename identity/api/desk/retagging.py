# SPDX-License-Identifier: Apache-2.0
"""Moves the tags of a registrar's people to the uniqueness service's new key, from the desk's own records.

The service keeps no numbers, so only the desk can tell it whose tag to move. The new commitment's salt is made from the
old one: a crash between the ledger and the store leaves what makes the same commitment again. Whoever was moved before
is left alone, so it can be run as often as one likes.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from client.errors import TransportError
from identity.api.desk.details import Details
from identity.api.desk.persons import Secrets
from identity.api.desk.tables import DeskPerson
from identity.api.tagging.client import Tagger
from identity.api.tagging.problems import NO_ROTATION, NOT_YOURS
from identity.commitments import holder_commitment
from service.store import Act, Store, audit

BATCH: Final = 32
"""People moved at once: the ledger takes their tags in one block, and the service's budget is used evenly."""


_MOVED: Final = ""
_KNOWN: Final = frozenset({_MOVED, NO_ROTATION.code, NOT_YOURS.code})


@dataclass(frozen=True, slots=True)
class Moved:
    """What was done.

    Attributes:
        moved: People whose tag was moved now.
        before: People whose tag needed no move.
        without: People who have no tag of this registrar.
        last: Id of the last person that was looked at; go on after it.
        stopped: Code of what kept it from going on; empty: everybody was looked at.
    """

    moved: int = 0
    before: int = 0
    without: int = 0
    last: str = ""
    stopped: str = ""


async def move_tags(
    store: Store, tagger: Tagger, organisation: str, after: str = "", tell: Callable[[Moved], None] | None = None
) -> Moved:
    """Move the tags of everybody whom an organisation registered here.

    Args:
        store: The desk's.
        tagger: The uniqueness service, as the organisation asks it.
        organisation: The registrar.
        after: Begin after this person's id; empty: with the first.
        tell: Is told of each batch.

    Raises:
        StorageError: The store failed.
    """
    done = Moved(last=after)
    while batch := await run_in_threadpool(_batch, store, organisation, done.last):
        outcomes = await asyncio.gather(*(_move(store, tagger, one) for one in batch))
        failed = next((outcome for outcome in outcomes if outcome not in _KNOWN), "")
        done = replace(
            done,
            moved=done.moved + outcomes.count(_MOVED),
            before=done.before + outcomes.count(NO_ROTATION.code),
            without=done.without + outcomes.count(NOT_YOURS.code),
            last=done.last if failed else batch[-1].person_id,
            stopped=failed,
        )
        if tell is not None:
            tell(done)
        if failed:
            break
    return done


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody who may have a tag."""

    row_id: str
    person_id: str
    details: Details
    secrets: Secrets


def _batch(store: Store, organisation: str, after: str) -> list[_Person]:
    """The next people of an organisation whose data count or have counted."""
    found: list[_Person] = []
    with store.read() as session:
        wanted = (DeskPerson.organisation == organisation) & (DeskPerson.person_id > after)
        query = select(DeskPerson).where(wanted, DeskPerson.details.is_not(None)).order_by(DeskPerson.person_id)
        for row in session.scalars(query.limit(BATCH)):
            details = store.people.open(session, row, DeskPerson.details)
            secrets = store.people.open(session, row, DeskPerson.secrets)
            assert details is not None, "the query asked for it"
            found.append(_Person(row.id, row.person_id, Details.decode(details), Secrets.decode(secrets or "")))
    return found


async def _move(store: Store, tagger: Tagger, person: _Person) -> str:
    """Move one person's tag; a code of `_KNOWN`, or of what went wrong."""
    old = bytes.fromhex(person.secrets.holder_salt)
    salt = hashlib.sha256(b"zhixin/retagged-holder-salt/1|" + old).digest()
    details = person.details
    holder = holder_commitment(person.secrets.registration_id, salt)
    try:
        await tagger.retag(details.number_kind, details.tagged_number, holder)
    except (Refused, TransportError) as error:
        return error.code
    # a crash here leaves the old salt, from which the same commitment is made and taken for done
    await run_in_threadpool(_keep, store, person, old, salt)
    return _MOVED


def _keep(store: Store, person: _Person, old: bytes, salt: bytes) -> None:
    with store.write() as session:
        row = session.get(DeskPerson, person.row_id, with_for_update=True)
        if row is None:
            return  # erased meanwhile
        present = Secrets.decode(store.people.open(session, row, DeskPerson.secrets) or "")
        if present.holder_salt != old.hex():
            return
        store.people.seal(session, row, DeskPerson.secrets, replace(present, holder_salt=salt.hex()).encode())
        store.record(session, Act(audit.SYSTEM, "person.retagged", person.person_id))
