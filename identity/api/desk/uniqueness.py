# SPDX-License-Identifier: Apache-2.0
"""One registration for each person: the desk and the uniqueness service.

The service makes a keyed tag of the person's number. Before anything is proposed the desk looks whether the tag stands
on the ledger; right before the approval the service registers it there, which gives this registrar one seat. Of two
desks that enrol the same person at once, the ledger takes one tag; the other's approval ends with
"identity.tag-taken".
"""

from starlette.concurrency import run_in_threadpool

from client.errors import TransportError
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import content, load_case, write
from identity.api.desk.details import Details
from identity.api.desk.persons import Secrets
from identity.api.desk.problems import NO_TAG
from identity.api.desk.states import CaseKind
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
    return any(state.values[key] is not None for key in keys)


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
