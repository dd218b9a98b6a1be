# SPDX-License-Identifier: Apache-2.0
"""What people are told of about their data space, by every channel that officers confirmed."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk import persons
from identity.api.desk.base import HOUR_MS, DeskContext
from identity.api.desk.tables import DeskPerson
from service.notices import NoticeKind, add_kind, put

LOCKED: Final = add_kind(NoticeKind("space-locked", "space.told-locked", "space.told-locked-text"))
DEVICES_ENDED: Final = add_kind(NoticeKind("space-devices", "space.told-devices", "space.told-devices-text"))
COMPARTMENT: Final = add_kind(
    NoticeKind(
        "space-compartment",
        "space.told-compartment",
        "space.told-compartment-text",
        is_urgent=False,
        every_ms=HOUR_MS,
    )
)
"""Whoever has the phone makes these as often as they like: they take no turn from what is urgent."""
ANSWERED: Final = add_kind(
    NoticeKind("space-answered", "space.told-answered", "space.told-answered-text", is_urgent=False)
)


def tell(desk: DeskContext, session: Session, person_id: str, kind: NoticeKind) -> None:
    """Put a notice into the outbox, in the transaction that does what it is about; who is not at the desk has none."""
    row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
    details = None if row is None else persons.read(desk, session, row).details
    if details is not None:
        put(desk.store, session, kind, person_id, details.channels, desk.now())
