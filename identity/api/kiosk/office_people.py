# SPDX-License-Identifier: Apache-2.0
"""Who stands at a kiosk, as the office finds it: by a phone's pseudonym, by a visit's ticket; and how sure that is."""

import hmac
from collections.abc import Mapping
from typing import Final, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage
from chain.types import sha256
from identity import liveness
from identity.api.desk.base import DeskContext
from identity.api.desk.tables import DeskPerson
from identity.api.kiosk.base import OfficeRefused
from identity.api.kiosk.device import Device
from identity.api.kiosk.statements import Statement
from identity.api.kiosk.tables import KioskPresence
from identity.liveness import Evidence, InvalidLiveness
from service.store import new_id

VISIT_MS_MAX: Final = 30 * 60_000
"""How long a visit's ticket fetches papers: longer than anybody stands at a kiosk without going away."""
TICKET_CHARACTERS_MAX: Final = 160
_PAGE: Final = 1_000
"""People that are looked at in one step."""


class Judge(Protocol):
    """Judges what a verifier says that a phone answered; `phone.PhoneJudge` is one."""

    def pseudonym(self, message: bytes, confirmed: Mapping[str, str] | None, answer: str) -> str:
        """Under which pseudonym somebody's phone answered exactly this; "": nobody's did."""

    def is_of(self, person_id: str, pseudonym: str) -> bool:
        """Whether a pseudonym is this person's."""

    def confirms(self, person_id: str, stated: Statement, answer: str) -> bool:
        """Whether an answer shows that this person's phone confirmed exactly this statement."""


def find_by_pseudonym(desk: DeskContext, device: Device, judge: Judge, pseudonym: str) -> str | None:
    """Whose phone answered; None: nobody's who is registered here. Blocks.

    Each person's pseudonym is made and compared, since none is kept: some microseconds each.

    Args:
        desk: Which desk.
        device: The kiosk; its registrar's people are looked at.
        judge: Knows pseudonyms.
        pseudonym: The verifier's.
    """
    last = ""
    while True:
        query = select(DeskPerson.person_id).where(
            DeskPerson.organisation == device.registrar, DeskPerson.person_id > last
        )
        with desk.store.read() as session:
            found = list(session.scalars(query.order_by(DeskPerson.person_id).limit(_PAGE)))
        for person_id in found:
            if judge.is_of(person_id, pseudonym):
                return person_id
        if len(found) < _PAGE:
            return None
        last = found[-1]


def ticket(desk: DeskContext, device: Device, person_id: str) -> str:
    """What a kiosk names a visit by: it fetches this person's papers for a while, at this kiosk alone."""
    said = f"{desk.now() + VISIT_MS_MAX}.{person_id}"
    return f"{said}.{_mac(desk, device, said)}"


def holder_of_ticket(desk: DeskContext, device: Device, text: str) -> str:
    """Whose visit it is: their id in the store.

    Raises:
        OfficeRefused: It is over, or was never this kiosk's.
    """
    said, _, mac = text.rpartition(".")
    ends, _, person_id = said.partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(desk, device, said).encode()) or desk.now() > int(ends):
        raise OfficeRefused("kiosk.visit")
    return person_id


def _mac(desk: DeskContext, device: Device, said: str) -> str:
    return hmac.digest(desk.store.secret("kiosk/visit"), device.public_key + said.encode(), "sha256").hex()


def judge_presence(raw: bytes, message: bytes, methods: frozenset[str], now_ms: int) -> tuple[Evidence | None, bool]:
    """What a kiosk brings of a liveness check.

    Args:
        raw: `liveness.Evidence`, encoded; empty: there is none.
        message: The opening that it must be about.
        methods: Names of methods that count here.
        now_ms: Unix time in ms, the kiosk's clock allowed for.

    Returns:
        What is to be kept, a check that found nobody included; and whether it raises the level.
    """
    if not raw:
        return None, False
    try:
        evidence = Evidence.decode(raw)
    except InvalidMessage:
        return None, False
    try:
        liveness.verify(evidence, sha256(message), methods, now_ms)
    except InvalidLiveness as error:
        return (evidence if error.code == "identity.liveness-failed" else None), False
    return evidence, True


def keep_presence(desk: DeskContext, session: Session, device: Device, person_id: str, evidence: Evidence) -> None:
    """Write down what a method said of whoever opened a visit: sealed, and its digest in the audit chain.

    Args:
        desk: Which desk.
        session: A transaction that writes.
        device: Where.
        person_id: As whom they opened it.
        evidence: What the method said.
    """
    row = KioskPresence(
        id=new_id(),
        person_id=person_id,
        organisation=device.registrar,
        device=device.public_key.hex(),
        opened_ms=desk.now(),
    )
    desk.store.people.seal(session, row, KioskPresence.content, evidence.encode().decode("ascii"))
    desk.record(session, device.actor, "kiosk.presence", evidence.digest.hex())
