# SPDX-License-Identifier: Apache-2.0
"""People's lists of accesses, opened: for the person alone, and for what law lets be forgotten of them."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.access import AccessList
from identity.api.accesses.lists import Head
from identity.api.accesses.tables import AccessListRow, AccessOpeningRow
from identity.pb import access_pb2
from service.store import Store


def opened(session: Session, store: Store, person_id: str) -> list[AccessList]:
    """A person's lists as far as they are known here, the oldest first; the last one takes entries.

    Whoever shows a list catches up first (`lists.hand_out`), since others write there too. `AccessList.report` with a
    receipt of its `state_keys` is what anybody verifies with genesis alone.

    Args:
        session: A transaction.
        store: Of the session.
        person_id: Whose; the caller has made sure that it is the person who asks.
    """
    query = select(AccessListRow).where(AccessListRow.person_id == person_id).order_by(AccessListRow.made_ms)
    return [_opened(session, store, row) for row in session.scalars(query).all()]


def _opened(session: Session, store: Store, row: AccessListRow) -> AccessList:
    head = store.people.open(session, row, AccessListRow.head)
    assert head is not None, "each list has its head"
    query = select(AccessOpeningRow).where(AccessOpeningRow.list_id == row.id).order_by(AccessOpeningRow.number)
    openings = [_opening(session, store, one) for one in session.scalars(query).all()]
    return AccessList(Head.from_text(head).first, tuple(openings))


def forget_contents(session: Session, store: Store, opening_ids: Collection[str]) -> None:
    """Entries were kept long enough: a list keeps its links, and no longer says what was seen.

    Args:
        session: A transaction that writes.
        store: Of the session.
        opening_ids: What `lists.tell` returned.
    """
    query = select(AccessOpeningRow).where(AccessOpeningRow.id.in_(opening_ids))
    for row in session.scalars(query).all():
        opening = _opening(session, store, row)
        opening.ClearField("content")
        opening.ClearField("content_salt")
        store.people.seal(session, row, AccessOpeningRow.opening, opening.SerializeToString(deterministic=True).hex())


def _opening(session: Session, store: Store, row: AccessOpeningRow) -> access_pb2.AccessOpening:
    text = store.people.open(session, row, AccessOpeningRow.opening)
    assert text is not None, "each row has its opening"
    return access_pb2.AccessOpening.FromString(bytes.fromhex(text))
