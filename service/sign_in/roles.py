# SPDX-License-Identifier: Apache-2.0
"""What each role may do within its organisation, and duties that one person never does twice over.

A role is local to a service; what the organisation itself may do stands on the ledger (`membership`). A person has one
role in a service. Who enrols never approves the same thing, even after a change of roles.
"""

from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.tables import DutyDone
from service.store.engine import insert_new
from service.store.models import AuditHead


class Role(StrEnum):
    """Who somebody is within the organisation."""

    ADMINISTRATOR = "administrator"
    CLERK = "clerk"
    APPROVER = "approver"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    TRADER = "trader"


class Permission(StrEnum):
    """What somebody may do; parts name the one that a page needs."""

    MANAGE_PEOPLE = "manage-people"
    ENROL = "enrol"
    APPROVE = "approve"
    READ_RECORDS = "read-records"
    READ_AUDIT = "read-audit"
    ADJUDICATE = "adjudicate"
    MANAGE_STOCK = "manage-stock"
    ERASE = "erase"
    REGISTER_KEY = "register-key"
    OPERATE = "operate"
    TRADE = "trade"


PERMISSIONS = MappingProxyType(
    {
        Role.ADMINISTRATOR: frozenset({Permission.MANAGE_PEOPLE, Permission.REGISTER_KEY}),
        Role.CLERK: frozenset({Permission.ENROL, Permission.READ_RECORDS, Permission.REGISTER_KEY}),
        Role.APPROVER: frozenset({Permission.APPROVE, Permission.READ_RECORDS, Permission.REGISTER_KEY}),
        Role.SUPERVISOR: frozenset(
            {
                Permission.ADJUDICATE,
                Permission.MANAGE_STOCK,
                Permission.ERASE,
                Permission.READ_RECORDS,
                Permission.REGISTER_KEY,
            }
        ),
        Role.AUDITOR: frozenset({Permission.READ_RECORDS, Permission.READ_AUDIT}),
        Role.OPERATOR: frozenset({Permission.OPERATE}),
        Role.TRADER: frozenset({Permission.TRADE}),
    }
)
"""Administrators manage people and touch no records; nobody both enrols and approves. A trader works for somebody who
is no member of the network: a farm, a carrier, a market. What they may sign for stands on the ledger."""


class Duty(StrEnum):
    """Steps of one procedure that two persons do."""

    ENROL = "enrol"
    APPROVE = "approve"


def take_duty(session: Session, subject: str, duty: Duty, person_id: str) -> None:
    """Note who carries out a duty, in the transaction of what it does.

    Args:
        session: A transaction that writes.
        subject: Random id or digest of what it is done to, in hex; at most 64 characters.
        duty: Which step.
        person_id: Who.

    Raises:
        Problem: The same person did the other step, or the step was done before by somebody else.
    """
    session.scalar(
        select(AuditHead.id).with_for_update()
    )  # both steps at once by one person: one waits, and sees the other
    if not insert_new(session, DutyDone(subject=subject, duty=duty, person_id=person_id)):
        raise Problem(kinds.SAME_PERSON)
    done = session.scalars(select(DutyDone.person_id).where(DutyDone.subject == subject)).all()
    if len(done) != len(set(done)):
        raise Problem(kinds.SAME_PERSON)
