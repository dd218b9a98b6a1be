# SPDX-License-Identifier: Apache-2.0
"""Whether the lines that a holder saw and signed say what the office acts on: the fields of the statement.

A kiosk that was taken over could show one thing and have another signed. So the office makes the lines anew, of the
fields, of where the ledger says that the kiosk stands, and of what the office itself knows of who stood there.
"""

from sqlalchemy import select

from chain.errors import InvalidMessage
from identity.api.desk.base import DeskContext
from identity.api.kiosk.base import OfficeRefused
from identity.api.kiosk.device import Device
from identity.api.kiosk.office_people import VISIT_MS_MAX
from identity.api.kiosk.presence import presence_line
from identity.api.kiosk.statements import Statement, lines_of
from identity.api.kiosk.tables import KioskPresence
from identity.liveness import Evidence, presence_level
from identity.pb import identity_pb2 as pb

LEVELS = {
    pb.ASSURANCE_LEVEL_LOW: "low",
    pb.ASSURANCE_LEVEL_SUBSTANTIAL: "substantial",
    pb.ASSURANCE_LEVEL_HIGH: "high",
}
SEEN_MAX = 8
"""Liveness checks of one person at one kiosk within a visit that are looked at; each opening makes one."""


def check_lines(desk: DeskContext, device: Device, person_id: str, stated: Statement, record: pb.PersonRecord) -> None:
    """See that what was shown is what was signed for. Blocks.

    Args:
        desk: Which desk.
        device: The kiosk.
        person_id: Who signed.
        stated: Lines and fields.
        record: The person's, as the ledger has it.

    Raises:
        OfficeRefused: The lines are others than those of the fields, or claim to be surer than the office is.
    """
    try:
        lines = lines_of(stated.kind, stated.fields, stated.language, device.place(stated.language))
    except ValueError:  # an amount that is no number
        raise OfficeRefused("kiosk.statement") from None
    said = list(stated.lines)
    if said == lines:  # nobody could say how sure it is, as without a network
        return
    level = LEVELS.get(record.assurance_level, "")
    if not level or said[:-1] != lines:
        raise OfficeRefused("kiosk.statement")
    unseen = presence_line(presence_level(level, None), "", stated.language)
    if said[-1] != unseen and said[-1] not in _seen(desk, device, person_id, stated, level):
        raise OfficeRefused("kiosk.statement")


def _seen(desk: DeskContext, device: Device, person_id: str, stated: Statement, level: str) -> set[str]:
    """What may be said of a person in whom a liveness method found somebody living, in this visit."""
    own = (KioskPresence.person_id == person_id) & (KioskPresence.device == device.public_key.hex())
    around = KioskPresence.opened_ms.between(stated.time_ms - VISIT_MS_MAX, stated.time_ms + VISIT_MS_MAX)
    query = select(KioskPresence).where(own, around).order_by(KioskPresence.opened_ms.desc()).limit(SEEN_MAX)
    found = set()
    with desk.store.read() as session:
        for row in session.scalars(query):
            try:
                evidence = Evidence.decode((desk.store.people.open(session, row, KioskPresence.content) or "").encode())
            except InvalidMessage:
                continue
            if evidence.is_live:  # only what was verified is kept, beside checks that found nobody
                found.add(presence_line(presence_level(level, evidence), evidence.method, stated.language))
    return found
