# SPDX-License-Identifier: Apache-2.0
"""One registration for each person: the desk and the uniqueness service.

The service makes a keyed tag of the person's number. Before anything is proposed the desk looks whether the tag stands
on the ledger; right before the approval the service registers it there, which gives this registrar one seat. Of two
desks that enrol the same person at once, the ledger takes one tag; the other's approval ends with
"identity.tag-taken".
"""

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from client.errors import TransportError
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import content, load_case, write
from identity.api.desk.details import Details
from identity.api.desk.persons import Secrets
from identity.api.desk.problems import NO_TAG
from identity.api.desk.states import CaseKind, PersonState
from identity.api.desk.tables import DeskPerson
from identity.commitments import holder_commitment
from identity.officers import registrar_digest
from identity.uniqueness import tag_key
from service.problems import Problem
from service.sign_in.sessions import Officer

SEAT = "seat"
"""Of a case's content: for which registration its seat was asked."""


async def is_known(desk: DeskContext, officer: Officer, case_id: str, details: Details) -> bool:
    """Whether somebody registered or is registering this person, unless it is this case itself.

    Raises:
        Problem: There is no uniqueness service, or it does not answer.
        TransportError: The ledger does not answer.
    """
    if not await run_in_threadpool(_needs_seat, desk, officer, case_id):
        return False
    if desk.tagger is None:
        raise Problem(NO_TAG)
    try:
        tag = await desk.tagger.tag(details.number_kind, details.tagged_number)
    except TransportError:
        raise Problem(NO_TAG) from None
    keys = [tag_key(tag.version, tag.value)]
    if tag.previous is not None:
        keys.append(tag_key(tag.version - 1, tag.previous))
    state = await desk.ledger.read(keys)
    if all(state.values[key] is None for key in keys):
        return False
    if not await run_in_threadpool(_is_over_here, desk, officer, details):
        return True
    try:  # this registrar revoked them: the tag is taken away, so that they can be registered anew
        await desk.tagger.release(details.number_kind, details.tagged_number)
    except Refused:
        return True
    except TransportError:
        raise Problem(NO_TAG) from None
    return False


async def take_seat(desk: DeskContext, officer: Officer, case_id: str, details: Details, secrets: Secrets) -> None:
    """Have the person's tag registered for this registrar, once for each case.

    Raises:
        Problem: The uniqueness service does not answer.
        Refused: The ledger knows the tag: somebody was faster.
    """
    if not await run_in_threadpool(_needs_seat, desk, officer, case_id):
        return
    if desk.tagger is None:
        raise Problem(NO_TAG)
    holder = holder_commitment(secrets.registration_id, bytes.fromhex(secrets.holder_salt))
    try:
        await desk.tagger.register(
            details.number_kind, details.tagged_number, registrar_digest(officer.organisation), holder
        )
    except TransportError:
        raise Problem(NO_TAG) from None
    # a crash here leaves a seat that is asked for again under the same commitment, which the service answers alike
    await run_in_threadpool(_note_seat, desk, officer, case_id, secrets)


def _is_over_here(desk: DeskContext, officer: Officer, details: Details) -> bool:
    """Whether this desk registered the number's holder and revoked the registration."""
    with desk.store.read() as session:
        rows = desk.store.people.find(session, DeskPerson.number, details.number)
        wanted = (
            DeskPerson.id.in_(rows)
            & (DeskPerson.organisation == officer.organisation)
            & (DeskPerson.state == PersonState.REVOKED)
        )
        return session.scalar(select(DeskPerson.id).where(wanted).limit(1)) is not None


def _needs_seat(desk: DeskContext, officer: Officer, case_id: str) -> bool:
    with desk.store.read() as session:
        case = load_case(session, officer, case_id)
        return case.kind == CaseKind.ENROL and SEAT not in content(desk, session, case)


def _note_seat(desk: DeskContext, officer: Officer, case_id: str, secrets: Secrets) -> None:
    with desk.store.write() as session:
        case = load_case(session, officer, case_id, hold=True)
        version = case.version
        write(desk, session, case, content(desk, session, case) | {SEAT: secrets.registration})
        case.version = version  # what is asked for is the same
