# SPDX-License-Identifier: Apache-2.0
"""Looks that the law delays: counted in the city at once, in their person's list when due, by the real rules."""

from dataclasses import replace
from typing import Any

import pytest
from desk_cards_rig import ORGANISATION
from space_rig import SEALER, SpaceOffice
from sqlalchemy import select

from chain.errors import Refused
from chain.transaction import Operation
from client.errors import TransportError
from identity import access
from identity.access_rules import load_seal_counts
from identity.api.accesses.lists import own_claims
from identity.api.accesses.reading import opened
from identity.api.desk import access_ticks
from identity.api.desk.base import DAY_MS
from identity.api.desk.looking_up import HIDDEN_MS, Reason, note_access
from identity.api.desk.tables import DeskAccess
from identity.api.space import sealing
from identity.api.space.sealing import Sealing
from identity.api.space.tables import SpaceSeal
from identity.pb import access_pb2


@pytest.fixture
def office(sqlite_rig: Any) -> SpaceOffice:
    return SpaceOffice(sqlite_rig)


def sealer(office: SpaceOffice, *, loses_answers: bool = False) -> Sealing:
    """An authority that may seal; its key signs by the rules."""

    async def submit(operation: Operation) -> None:
        code = office.space_ledger.rules.code(f"{SEALER}:attest", operation)
        if code:
            raise Refused("the rules refuse it", code)
        if loses_answers:
            raise TransportError("the connection broke")

    return Sealing(office.store, SEALER, office.space_ledger, submit, office.rig.now)


def look(office: SpaceOffice, reason: Reason) -> None:
    with office.store.write() as session:
        note_access(office.desk, session, office.officer(), office.person, reason)


def counts(office: SpaceOffice) -> tuple[int, int]:
    """Sealed and joined in the city."""
    found = load_seal_counts(office.space_ledger.rules.state.get)
    return found.sealed, found.joined


async def proven(office: SpaceOffice) -> access.VerifiedAccesses:
    """The person's list, as they verify it."""
    with office.store.write() as session:
        slot = own_claims(session, office.store, office.person, 0)["access_slot"]
        (own,) = opened(session, office.store, office.person)
    receipt, _ = await office.space_ledger.prove(own.state_keys())
    return access.verify(own.report(receipt), access.slot_of_claim(slot), office.space_ledger.chain.genesis)


async def test_look_of_an_investigation_is_counted_at_once_and_joins_its_persons_list_when_due(
    office: SpaceOffice,
) -> None:
    look(office, Reason.INVESTIGATION)
    look(office, Reason.COUNTER)
    with office.store.write() as session:
        own_claims(session, office.store, office.person, 0)  # their list begins
    assert await sealing.tick(sealer(office)) == (1, 0)
    assert counts(office) == (1, 0)
    await access_ticks.tick(office.desk)
    shown = await proven(office)
    assert [one.content.reason for one in shown.accesses if one.content] == [access_pb2.LOOK_UP_REASON_COUNTER]
    assert shown.sealed == 1  # complete except sealed entries, of which the city has one
    assert await sealing.tick(sealer(office)) == (0, 0)

    office.rig.clock_ms += HIDDEN_MS + DAY_MS
    await access_ticks.tick(office.desk)
    assert await sealing.tick(sealer(office)) == (0, 1)
    shown = await proven(office)
    reasons = [one.content.reason for one in shown.accesses if one.content]
    assert reasons == [access_pb2.LOOK_UP_REASON_COUNTER, access_pb2.LOOK_UP_REASON_INVESTIGATION]
    assert (shown.sealed, counts(office)) == (0, (0, 1))
    assert await sealing.tick(sealer(office)) == (0, 0)


async def test_seal_whose_answer_was_lost_is_sent_once(office: SpaceOffice) -> None:
    look(office, Reason.INVESTIGATION)
    with pytest.raises(TransportError):
        await sealing.tick(sealer(office, loses_answers=True))
    assert counts(office) == (1, 0)
    assert await sealing.tick(sealer(office)) == (1, 0)  # it looks, and finds it there
    assert counts(office) == (1, 0)


async def test_authority_that_may_not_seal_leaves_the_look_waiting(office: SpaceOffice) -> None:
    look(office, Reason.INVESTIGATION)

    async def refuse(operation: Operation) -> None:
        raise Refused("no organisation that may seal signs", "identity.not-sealing-authority")

    assert await sealing.tick(replace(sealer(office), submit=refuse)) == (0, 0)
    assert await sealing.tick(sealer(office)) == (1, 0)


async def test_erased_person_takes_the_secrets_of_their_seals_along(office: SpaceOffice) -> None:
    look(office, Reason.INVESTIGATION)
    await sealing.tick(sealer(office))
    office.store.erase(office.person, "-")
    with office.store.read() as session:
        assert session.scalars(select(SpaceSeal)).all() == []
        assert session.scalars(select(DeskAccess)).all() == []
    assert await sealing.tick(sealer(office)) == (0, 0)
    assert counts(office) == (1, 0)  # overdue it stays, for all to see
    assert ORGANISATION != SEALER
