# SPDX-License-Identifier: Apache-2.0
"""Stopping lost cards for somebody who has none with them: easy, as by telephone, and limited.

Source: docs/kiosk.md, "What the office checks".
"""

import hmac
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from chain.types import sha256
from client.errors import TransportError
from identity.api.desk import cards_phone
from identity.api.desk.base import DAY_MS, HOUR_MS, DeskContext
from identity.api.desk.cards_life import COUNTS, CardState
from identity.api.desk.cards_problems import TOO_MANY_CALLS
from identity.api.desk.cards_tables import Card, PhoneCall
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.tables import DeskPerson
from identity.api.kiosk.base import OfficeAway, OfficeRefused
from identity.api.kiosk.device import Device
from service.problems import Problem
from service.store import new_id
from service.store.normal import Normal, normalise

NUMBER_HOUR_MAX: Final = 5
"""Misses for one document number at one kiosk in an hour: then it is silent about that number for a while, there."""
PHONE_HOUR_MAX: Final = 20
"""The same for one telephone number: a telephone is known to more people, and numbers are tried with it."""
MISSES_HOUR_MAX: Final = 200
"""All misses at one kiosk in an hour, by any number: more than a finger types, fewer than a program would. Below that
numbers that were made up take nothing from a pair that fits."""


async def stop_lost(desk: DeskContext, device: Device, number: str, phone: str) -> int:
    """Stop the cards of whoever is registered with this document number and this telephone number.

    That is weak, and enough to stop: stopping harms little, and only an officer who sees the holder undoes it.

    Returns:
        How many cards are stopped now.

    Raises:
        OfficeRefused: They fit nobody with a card that counts, or there were too many tries.
        OfficeAway: The ledger does not answer.
    """
    found = await run_in_threadpool(_fitting, desk, device, number, phone)
    stopped = 0
    try:
        for card_id in found:
            state = await cards_phone.suspend(desk, device.actor, card_id)
            stopped += state is CardState.SUSPENDED
    except TransportError as error:
        raise OfficeAway(error.reason) from None
    except Problem as problem:
        raise OfficeRefused("kiosk.too-many" if problem.kind is TOO_MANY_CALLS else "kiosk.nobody-fits") from None
    except Refused:
        raise OfficeRefused("kiosk.nobody-fits") from None
    return stopped


def _fitting(desk: DeskContext, device: Device, number: str, phone: str) -> list[str]:
    tries = _Tries(desk, device, number, phone)
    with desk.store.write() as session:
        tries.check(session)
        people = desk.store.people
        by_number = people.find(session, DeskPerson.number, number)
        by_phone = people.find(session, DeskPerson.phone, phone)
        wanted = DeskPerson.id.in_(by_number) & DeskPerson.id.in_(by_phone)
        own = select(DeskPerson.person_id).where(wanted, DeskPerson.organisation == device.registrar)
        person_id = session.scalar(own)
        held = select(Card.id).where(Card.person_id == (person_id or ""), Card.state.in_(COUNTS))
        found = list(session.scalars(held))
        if person_id is not None and found:
            note_access(desk, session, device.actor, person_id, Reason.TELEPHONE, is_anew=True)
            return found
        tries.note_miss(session)
    raise OfficeRefused("kiosk.nobody-fits")


class _Tries:
    """Misses at one kiosk: counted for each number and each telephone, so that none can be guessed here."""

    def __init__(self, desk: DeskContext, device: Device, number: str, phone: str) -> None:
        self._desk = desk
        own = device.actor.staff_id
        secret = desk.store.secret("kiosk/lost")

        def subject(what: str) -> bytes:
            return hmac.digest(secret, f"{own} {normalise(Normal.IDENTIFIER, what)}".encode(), "sha256")

        # by names of their own: stops by telephone count what the kiosk itself has stopped
        self._limits = (
            (_actor(own, "number"), subject(number), NUMBER_HOUR_MAX),
            (_actor(own, "phone"), subject(phone), PHONE_HOUR_MAX),
        )

    def check(self, session: Session) -> None:
        """See that there were not too many misses before, whether this would be one or not.

        Raises:
            OfficeRefused: There were.
        """
        count = select(func.count()).select_from(PhoneCall).where(PhoneCall.at_ms > self._desk.now() - HOUR_MS)
        for actor, subject, most in self._limits:
            own = count.where(PhoneCall.actor == actor)
            about = session.scalar(own.where(PhoneCall.subject == subject)) or 0
            if about >= most or (session.scalar(own) or 0) >= MISSES_HOUR_MAX:
                raise OfficeRefused("kiosk.too-many")

    def note_miss(self, session: Session) -> None:
        """Count a try that fitted nobody."""
        session.execute(delete(PhoneCall).where(PhoneCall.at_ms <= self._desk.now() - DAY_MS))
        for actor, subject, _ in self._limits:
            session.add(PhoneCall(id=new_id(), actor=actor, subject=subject, at_ms=self._desk.now()))


def _actor(own: str, what: str) -> str:
    return sha256(f"zhixin/kiosk/misses/{what} {own}".encode()).hex()[:32]
