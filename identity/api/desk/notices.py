# SPDX-License-Identifier: Apache-2.0
"""Telling people what the desk did, by every channel that officers confirmed: `service.notices` delivers it.

A channel that a clerk has typed counts once a second officer approved it; until then a person has those from before.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk.base import DeskContext
from identity.api.desk.details import Details
from identity.api.desk.notice_kinds import ANSWERED, KINDS, LOOKED_AT, LOOKED_AT_LATER, SUBJECT_KEYS
from identity.api.desk.persons import Found, read
from identity.api.desk.tables import DeskPerson
from service.notices import NoticeKind, put
from service.notices.outbox import NoticeState, told
from service.notices.tables import Notice


def tell(desk: DeskContext, session: Session, found: Found, kind: str, approved: Details | None = None) -> int:
    """Put a notice to every channel of a person into the outbox.

    Args:
        desk: Which desk.
        session: The transaction that does what the notice is about.
        found: Whom, as they were before.
        kind: What about; a name of `SUBJECT_KEYS`.
        approved: What counts from now on, where that changes: old channels are told as well as new ones.

    Returns:
        How many wait because of it.
    """
    return _put(desk, session, found, KINDS[kind], _channels(found, approved), 0)


def tell_of_look(desk: DeskContext, session: Session, found: Found, visible_after_ms: int) -> int:
    """Tell somebody registered that an officer looked at their data, once they may see it."""
    is_later = visible_after_ms > desk.now()
    kind = LOOKED_AT_LATER if is_later else LOOKED_AT
    return _put(desk, session, found, kind, _channels(found, None), visible_after_ms)


def tell_of_answer(desk: DeskContext, session: Session, person_id: str) -> int:
    """Tell somebody registered, once a day, that a relying party got an answer about them.

    Args:
        desk: Of the store that keeps the person and their list of accesses.
        session: The transaction that keeps what the list's entry says.
        person_id: Whom.

    Returns:
        How many notices wait because of it.
    """
    row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
    if row is None:
        return 0  # erased since the list began
    found = read(desk, session, row)
    return _put(desk, session, found, ANSWERED, _channels(found, None), 0)


def told_by_desk(desk: DeskContext, session: Session, person_id: str, limit: int | None = None) -> Sequence[Notice]:
    """What the desk told a person, newest first, without looks that the person may not see yet."""

    def is_shown(one: Notice) -> bool:
        is_hidden = one.kind == LOOKED_AT_LATER.name and one.state == NoticeState.WAITING and not one.tries
        return one.kind in SUBJECT_KEYS and not (is_hidden and one.due_ms > desk.now())

    return [one for one in told(session, person_id, limit) if is_shown(one)]


def _channels(found: Found, approved: Details | None) -> set[str]:
    known = [details for details in (found.details, approved) if details is not None]
    channels = {channel for details in known for channel in details.channels}
    return channels if known else {found.phone}


def _put(desk: DeskContext, session: Session, found: Found, kind: NoticeKind, channels: set[str], due_ms: int) -> int:
    return put(desk.store, session, kind, found.row.person_id, channels, desk.now(), due_ms=due_ms)
