# SPDX-License-Identifier: Apache-2.0
"""When a replaced card ends: a lost one at once, any other when the new one is in its holder's hand."""

from dataclasses import replace

import pytest
from desk_cards_rig import ORGANISATION, OWN_PIN, CardsRig
from store_rig import Rig

from chain.errors import Refused
from chain.transaction import SignedTransaction
from client.answers import ProvenTransaction
from client.errors import TransportError
from identity.api.desk import cards, cards_binding, cards_replacing
from identity.api.desk.cards import Reason
from identity.api.desk.cards_handover import hand_over
from identity.api.desk.cards_history import history
from identity.api.desk.cards_life import CardState
from identity.cards.piv import Piv
from identity.pb import identity_pb2 as pb
from identity.registrations import counting_key
from service.problems import Problem
from service.sign_in.roles import Role
from tests.rig import Shell, signer

INSPECTED = pb.PROOFING_METHOD_DOCUMENT_INSPECTED


@pytest.fixture
def desk(rig: Rig) -> CardsRig:
    made = CardsRig(rig)
    made.desk = replace(made.desk, service_key=Shell(signer("org-r:submit")))
    made.stock()
    return made


@pytest.fixture
def small(sqlite_rig: Rig) -> CardsRig:
    made = CardsRig(sqlite_rig)
    made.desk = replace(made.desk, service_key=Shell(signer("org-r:submit")))
    made.stock()
    return made


def is_counting(desk: CardsRig, card_id: str) -> bool:
    card = desk.card(card_id)
    record = desk.record(card.person_id)
    found = {counting_key(record, one, desk.rules.time_ms) is not None for one in card.commitments}
    assert len(found) == 1, "both keys of a card count, or neither"
    return found.pop()


def lost(desk: CardsRig, card_id: str) -> None:
    """Somebody lost a card, and it was stopped."""
    person = desk.card(card_id).person_id
    operations = cards_binding.suspension(desk.card(card_id), desk.registration(person), desk.record(person))
    assert desk.act("desk@p256", operations) == ""
    assert desk.observe(card_id) is CardState.SUSPENDED


def ended(desk: CardsRig, card_id: str) -> CardState:
    """An approver ends a card's keys."""
    card = desk.card(card_id)
    registration, record = desk.registration(card.person_id), desk.record(card.person_id)
    operations, _ = cards_binding.revocation(card, registration, record, Reason.DAMAGED)
    assert desk.act(Role.APPROVER, operations) == ""
    return desk.observe(card_id)


@pytest.mark.parametrize("reason", [Reason.DAMAGED, Reason.NAME_CHANGED, Reason.EXPIRING])
async def test_card_that_was_not_lost_works_until_the_new_one_is_in_its_holders_hand(
    small: CardsRig, reason: Reason
) -> None:
    person = small.person()
    old, _ = small.active(person)
    new, chip = small.printed(person, reason, old)
    assert await cards_replacing.stop_all(small.desk) == 0
    assert (is_counting(small, old), is_counting(small, new)) == (True, True)
    assert small.card(old).state is CardState.ACTIVE
    hand_over(small.desk, small.clerk, new, Piv(chip), small.pin(new), OWN_PIN)
    assert await cards_replacing.stop_all(small.desk) == 1
    assert (is_counting(small, old), is_counting(small, new)) == (False, True)
    assert small.card(old).state is CardState.SUSPENDED


async def test_replaced_card_ends_for_good_by_an_approver_and_stands_as_replaced(desk: CardsRig) -> None:
    person = desk.person()
    old, _ = desk.active(person)
    new, _ = desk.active(person, Reason.DAMAGED, old)
    await cards_replacing.stop_all(desk.desk)
    with desk.store.read() as session:
        assert [row.id for row in cards_replacing.ending(session, ORGANISATION)] == [old]
        assert cards_replacing.ending(session, "org-s") == []
        found = cards_replacing.successor(session, old)
        assert found is not None
        assert found.id == new
    assert ended(desk, old) is CardState.REPLACED
    with desk.store.read() as session:
        assert cards_replacing.ending(session, ORGANISATION) == []
        steps = [one.step for one in history(session, cards.own(session, ORGANISATION, old))]
    assert steps[:3] == ["replace", "suspend", "supersede"]
    assert is_counting(desk, new)


def test_lost_card_is_stopped_first_and_ends_in_the_act_that_binds_the_new_one(desk: CardsRig) -> None:
    person = desk.person()
    old, _ = desk.active(person)
    with pytest.raises(Problem, match=r"card\.stop-first"):
        cards.request(desk.desk, desk.clerk, person, Reason.LOST, old)
    lost(desk, old)
    new, _ = desk.made(person, Reason.LOST, old)
    assert not is_counting(desk, old)
    assert desk.bind(new) is CardState.BOUND
    assert not is_counting(desk, old)
    assert is_counting(desk, new)
    assert desk.card(old).state is CardState.REPLACED
    assert desk.observe(old) is CardState.REPLACED


async def test_crash_between_the_holders_signature_and_the_stop_leaves_a_card_that_the_next_round_stops(
    desk: CardsRig,
) -> None:
    person = desk.person()
    old, _ = desk.active(person)
    desk.active(person, Reason.DAMAGED, old)  # and the process dies here
    assert desk.card(old).is_ending
    assert is_counting(desk, old)
    desk.ledger.is_reachable = False
    assert await cards_replacing.stop_all(desk.desk) == 0
    with pytest.raises(TransportError):
        await cards_replacing.stop(desk.desk, ORGANISATION, old)
    desk.ledger.is_reachable = True
    assert await cards_replacing.stop_all(desk.desk) == 1
    assert await cards_replacing.stop_all(desk.desk) == 0
    assert not is_counting(desk, old)


async def test_stop_that_the_ledger_made_and_nobody_heard_of_is_found_and_not_made_twice(small: CardsRig) -> None:
    person = small.person()
    old, _ = small.active(person)
    small.active(person, Reason.DAMAGED, old)
    registration = small.registration(person)
    operations = cards_binding.suspension(small.card(old), registration, small.record(person))
    assert small.act("desk@p256", operations) == ""
    height = small.rules.height
    assert await cards_replacing.stop(small.desk, ORGANISATION, old) is CardState.SUSPENDED
    assert small.rules.height == height


async def test_replaced_card_is_not_reinstated(small: CardsRig) -> None:
    person = small.person()
    old, _ = small.active(person)
    small.active(person, Reason.DAMAGED, old)
    await cards_replacing.stop_all(small.desk)
    with pytest.raises(Problem, match=r"card\.step"):
        cards_binding.reinstatement(small.card(old), small.registration(person), small.record(person), INSPECTED)


async def test_new_card_that_never_reached_its_holder_leaves_the_old_one_working(small: CardsRig) -> None:
    person = small.person()
    old, _ = small.active(person)
    new, _ = small.printed(person, Reason.DAMAGED, old)
    assert ended(small, new) is CardState.REVOKED
    assert await cards_replacing.stop_all(small.desk) == 0
    assert is_counting(small, old)
    assert not small.card(old).is_ending


async def test_new_card_is_itself_replaced_while_the_keys_of_the_first_wait_for_an_approver(small: CardsRig) -> None:
    person = small.person()
    first, _ = small.active(person)
    second, _ = small.active(person, Reason.DAMAGED, first)
    await cards_replacing.stop_all(small.desk)
    third, _ = small.active(person, Reason.EXPIRING, second)
    assert await cards_replacing.stop_all(small.desk) == 1
    assert [is_counting(small, one) for one in (first, second, third)] == [False, False, True]


async def test_desk_without_a_key_of_its_own_leaves_the_stop_to_an_officer(small: CardsRig) -> None:
    person = small.person()
    old, _ = small.active(person)
    small.active(person, Reason.DAMAGED, old)
    small.desk = replace(small.desk, service_key=None)
    assert await cards_replacing.stop_all(small.desk) == 0
    with pytest.raises(Problem, match=r"card\.no-service-key"):
        await cards_replacing.stop(small.desk, ORGANISATION, old)
    lost(small, old)
    assert ended(small, old) is CardState.REPLACED


async def test_one_card_that_the_rules_refuse_does_not_hold_up_the_next(
    small: CardsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    olds = []
    for number in ("11010519491231002X", "440524188001010014"):
        person = small.person(number=number)
        old, _ = small.active(person)
        small.active(person, Reason.DAMAGED, old)
        olds.append(old)
        small.rig.clock_ms += 1
    refused = small.registration(small.card(olds[0]).person_id)
    submit = small.ledger.submit_one

    async def refusing(transaction: SignedTransaction) -> ProvenTransaction:
        if pb.SetPersonStatus.FromString(transaction.operations[0].body).id == refused:
            raise Refused("a rule says no", "identity.some-rule")
        return await submit(transaction)

    monkeypatch.setattr(small.ledger, "submit_one", refusing)
    assert await cards_replacing.stop_all(small.desk) == 1
    assert [is_counting(small, one) for one in olds] == [True, False]
