# SPDX-License-Identifier: Apache-2.0
"""Cards from the request to the end: emulated chips, the ledger's real rules, and a crash between any two steps."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from desk_cards_rig import ORGANISATION, OWN_PIN, CardsRig
from sqlalchemy import select
from store_rig import Rig

from identity.api.desk import cards, cards_binding, cards_handover, cards_making, cards_phone, stock
from identity.api.desk.cards import Reason
from identity.api.desk.cards_history import history
from identity.api.desk.cards_life import CardState, CardStep
from identity.api.desk.cards_tables import Card
from identity.api.desk.stock import BlankState
from identity.cards.card import CardRemoved, WrongPin
from identity.cards.emulator import EmulatedCard
from identity.cards.making import Journal, PersonalisedCard, Stage
from identity.cards.objects import Slot
from identity.cards.personalise import personalise
from identity.cards.piv import Piv
from identity.pb import identity_pb2 as pb
from identity.registrations import counting_key
from service.problems import Problem
from service.sign_in.roles import Role

INSPECTED = pb.PROOFING_METHOD_DOCUMENT_INSPECTED


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def desk(rig: Rig) -> CardsRig:
    made = CardsRig(rig)
    made.stock()
    return made


@pytest.fixture
def small(sqlite_rig: Rig) -> CardsRig:
    made = CardsRig(sqlite_rig)
    made.stock()
    return made


def blanks(desk: CardsRig) -> dict[BlankState, int]:
    with desk.store.read() as session:
        return dict(stock.figures(session).by_state)


def making(desk: CardsRig, chip: EmulatedCard) -> Callable[[Journal, str], PersonalisedCard]:
    """How the workshop makes this card."""
    return lambda journal, _serial: desk.shop.personalise(desk.desk, chip, journal)


def is_counting(desk: CardsRig, card_id: str) -> bool:
    card = desk.card(card_id)
    record = desk.record(card.person_id)
    found = [counting_key(record, one, desk.rules.time_ms) is not None for one in card.commitments]
    assert len(set(found)) == 1, "both keys of a card count, or neither"
    return found[0]


# ---------------------------------------------------------------- the way of one card


def test_card_is_made_bound_printed_handed_over_and_signed_for(desk: CardsRig) -> None:
    person = desk.person()
    card_id, chip = desk.active(person)
    card = desk.card(card_id)
    assert card.state is CardState.ACTIVE
    assert is_counting(desk, card_id)
    assert blanks(desk) == {BlankState.IN_STOCK: 4, BlankState.ISSUED: 1}
    signed = cards_handover.receipt_of(desk.desk, ORGANISATION, card_id)
    assert signed is not None
    assert signed.is_valid()
    Piv(chip).verify_pin(OWN_PIN)
    with desk.store.read() as session:
        row = cards.own(session, ORGANISATION, card_id)
        steps = [one.step for one in reversed(history(session, row))]
    assert steps == ["request", "begin", "personalise", "bind", "print", "hand-over", "activate"]


def test_keys_count_only_when_a_second_officer_confirmed_exactly_them(desk: CardsRig) -> None:
    person = desk.person()
    card_id, _ = desk.made(person)
    registration, card = desk.registration(person), desk.card(card_id)
    with pytest.raises(Problem, match=r"card\.not-proposed"):
        cards_binding.confirmation(card, None, registration, desk.record(person))
    operations, _ = cards_binding.proposal(card, None, registration, desk.record(person))
    assert desk.act(Role.CLERK, operations) == ""
    assert desk.observe(card_id) is CardState.PERSONALISED
    assert not is_counting(desk, card_id)
    confirmation, _ = cards_binding.confirmation(card, None, registration, desk.record(person))
    assert desk.act("eve@p256", confirmation) == ""
    assert desk.observe(card_id) is CardState.BOUND
    assert is_counting(desk, card_id)


def test_proposal_of_other_keys_is_not_confirmed_for_this_card(small: CardsRig) -> None:
    person = small.person()
    card_id, _ = small.made(person)
    stranger = pb.NewKey(purpose=pb.CONTROL_PURPOSE_SIGN, commitment=b"x" * 32)
    change = pb.ProposeChange(id=small.registration(person), change=pb.Change(binds=[stranger]))
    assert small.rules.code("ann@p256", change) == ""
    with pytest.raises(Problem, match=r"card\.not-proposed"):
        cards_binding.confirmation(small.card(card_id), None, small.registration(person), small.record(person))


def test_no_words_of_an_act_name_the_holder(small: CardsRig) -> None:
    person = small.person(name="陈小明")
    card_id, _ = small.made(person)
    card, registration, record = small.card(card_id), small.registration(person), small.record(person)
    _, words = cards_binding.proposal(card, None, registration, record)
    assert "陈小明" not in str(words)
    assert cards_binding.reference_of(card_id) in words["en"][0]


def test_person_has_one_card_and_gets_a_second_only_in_its_place(desk: CardsRig) -> None:
    person = desk.person()
    card_id, _ = desk.active(person)
    for reason, replaces in ((Reason.FIRST, None), (Reason.FIRST, card_id)):
        with pytest.raises(Problem, match=r"card\.has-one"):
            cards.request(desk.desk, desk.clerk, person, reason, replaces)
    with pytest.raises(Problem, match=r"card\.unknown"):
        cards.request(desk.desk, desk.clerk, person, Reason.LOST, "0" * 32)
    cards.request(desk.desk, desk.clerk, person, Reason.DAMAGED, card_id)
    with pytest.raises(Problem, match=r"card\.has-one"):
        cards.request(desk.desk, desk.clerk, person, Reason.DAMAGED, card_id)


def test_lost_card_is_stopped_before_another_is_asked_for_and_ends_when_that_is_bound(desk: CardsRig) -> None:
    person = desk.person()
    old, _ = desk.active(person)
    with pytest.raises(Problem, match=r"card\.stop-first"):
        cards.request(desk.desk, desk.clerk, person, Reason.LOST, old)
    operations = cards_binding.suspension(desk.card(old), desk.registration(person), desk.record(person))
    assert desk.act("desk@p256", operations) == ""
    assert desk.observe(old) is CardState.SUSPENDED
    new, _ = desk.made(person, Reason.LOST, old)
    assert not is_counting(desk, old)
    assert desk.bind(new) is CardState.BOUND
    assert not is_counting(desk, old)
    assert is_counting(desk, new)
    assert desk.card(old).state is CardState.REPLACED
    assert desk.observe(old) is CardState.REPLACED


def test_card_goes_and_its_row_with_the_person_who_is_erased(small: CardsRig) -> None:
    person = small.person()
    small.active(person)
    small.store.erase(person)
    with small.store.read() as session:
        assert session.scalars(select(Card)).all() == []
    assert blanks(small)[BlankState.ISSUED] == 1


# ---------------------------------------------------------------- stopped and ended


def test_suspended_card_counts_again_only_with_its_holder_there(desk: CardsRig) -> None:
    person = desk.person()
    card_id, _ = desk.active(person)
    registration = desk.registration(person)
    operations = cards_binding.suspension(desk.card(card_id), registration, desk.record(person))
    assert desk.act("desk@p256", operations) == "", "the service's own key"
    assert desk.observe(card_id) is CardState.SUSPENDED
    assert not is_counting(desk, card_id)
    remote, _ = cards_binding.reinstatement(
        desk.card(card_id), registration, desk.record(person), pb.PROOFING_METHOD_REMOTE_VIDEO
    )
    assert desk.act(Role.CLERK, remote) == "identity.not-in-person"
    present, _ = cards_binding.reinstatement(desk.card(card_id), registration, desk.record(person), INSPECTED)
    assert desk.act("desk@p256", present) == "identity.no-officer"
    assert desk.act(Role.CLERK, present) == ""
    assert desk.observe(card_id) is CardState.ACTIVE
    assert is_counting(desk, card_id)


def test_card_suspended_before_it_was_handed_over_waits_for_its_holder_afterwards(small: CardsRig) -> None:
    person = small.person()
    card_id, _ = small.printed(person)
    registration = small.registration(person)
    small.act("desk@p256", cards_binding.suspension(small.card(card_id), registration, small.record(person)))
    assert small.observe(card_id) is CardState.SUSPENDED
    operations, _ = cards_binding.reinstatement(small.card(card_id), registration, small.record(person), INSPECTED)
    assert small.act(Role.CLERK, operations) == ""
    assert small.observe(card_id) is CardState.PRINTED


def test_revoked_card_never_counts_again_and_is_destroyed_by_two(desk: CardsRig) -> None:
    person = desk.person()
    card_id, _ = desk.active(person)
    with pytest.raises(Problem, match=r"card\.step"):
        cards.destroy(desk.desk, desk.supervisor, card_id)
    operations, _ = cards_binding.revocation(
        desk.card(card_id), desk.registration(person), desk.record(person), Reason.LOST
    )
    assert desk.act(Role.CLERK, operations) == "identity.not-on-duty"
    assert desk.act(Role.APPROVER, operations) == ""
    assert desk.observe(card_id) is CardState.REVOKED
    with pytest.raises(Problem, match=r"card\.step"):
        cards_binding.revocation(desk.card(card_id), desk.registration(person), desk.record(person), Reason.LOST)
    cards.destroy(desk.desk, desk.supervisor, card_id)
    assert blanks(desk)[BlankState.FAILED] == 1


def test_recovery_at_another_counter_ends_the_card_here(small: CardsRig) -> None:
    person = small.person()
    card_id, _ = small.active(person)
    key = pb.NewKey(purpose=pb.CONTROL_PURPOSE_WALLET, commitment=b"w" * 32)
    recover = pb.Recover(id=small.registration(person), proofing_method=INSPECTED, binds=[key])
    assert small.rules.code(["ann@p256", "bob@webauthn"], recover) == ""
    assert small.observe(card_id) is CardState.REVOKED


def test_card_whose_last_day_is_over_expires_and_its_keys_are_ended_by_an_officer(small: CardsRig) -> None:
    person = small.person()
    card_id, _ = small.active(person)
    with small.store.write() as session:
        assert cards.expire_due(small.desk, session, ORGANISATION) == 0
    small.rig.clock_ms = (small.card(card_id).expires_ms or 0) + 1
    with small.store.write() as session:
        assert cards.expire_due(small.desk, session, ORGANISATION) == 1
    operations, _ = cards_binding.revocation(
        small.card(card_id), small.registration(person), small.record(person), Reason.EXPIRING
    )
    assert small.act(Role.APPROVER, operations) == ""
    assert small.observe(card_id) is CardState.REVOKED


# ---------------------------------------------------------------- broken off


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.VOID])
def test_making_that_was_killed_at_any_stage_goes_on_with_the_same_blank(desk: CardsRig, stage: Stage) -> None:
    person = desk.person()
    card_id, chip = cards.request(desk.desk, desk.clerk, person, Reason.FIRST), EmulatedCard()

    def reached(now: Stage) -> None:
        if now is stage:
            raise Killed

    def dying(journal: Journal, _serial: str) -> PersonalisedCard:
        now_s, shop = desk.desk.now() // 1000, desk.shop
        return personalise(
            chip, shop.authority, shop.diversifier, journal, now_s=now_s, expires=date(2028, 1, 1), reached=reached
        )

    with pytest.raises(Killed):
        cards_making.make(desk.desk, desk.clerk, card_id, dying)
    card = desk.card(card_id)
    assert (card.state, card.keys) == (CardState.REQUESTED, [])
    assert blanks(desk)[BlankState.ASSIGNED] == 1, "the blank is named before it is touched"
    taken = cards_making.make(desk.desk, desk.clerk, card_id, making(desk, chip))
    assert taken == card.serial
    assert blanks(desk) == {BlankState.IN_STOCK: 4, BlankState.ISSUED: 1}
    made, piv = desk.card(card_id), Piv(chip)
    piv.select()
    assert (piv.guid() or b"").hex() == made.guid
    assert [(piv.certificate(Slot(key.slot)) or b"").hex() for key in made.keys] == [k.certificate for k in made.keys]


def test_crash_between_the_finished_card_and_its_record_leaves_one_of_each(desk: CardsRig) -> None:
    card_id, chip = cards.request(desk.desk, desk.clerk, desk.person(), Reason.FIRST), EmulatedCard()
    journal = cards_making.StoredJournal(desk.desk, ORGANISATION, card_id)
    cards_making.begin(desk.desk, desk.clerk, card_id)
    first = desk.shop.personalise(desk.desk, chip, journal)  # and the process dies here
    cards_making.make(desk.desk, desk.clerk, card_id, making(desk, chip))
    assert desk.card(card_id).guid == first.guid.hex()


def test_another_blank_is_not_taken_where_one_was_begun(small: CardsRig) -> None:
    card_id = cards.request(small.desk, small.clerk, small.person(), Reason.FIRST)
    cards_making.begin(small.desk, small.clerk, card_id, "CC26-0003")
    with pytest.raises(Problem, match=r"card\.other-blank"):
        cards_making.begin(small.desk, small.clerk, card_id, "CC26-0004")
    other = cards.request(small.desk, small.clerk, small.person(), Reason.FIRST)
    with pytest.raises(Problem, match=r"stock\.state"):
        cards_making.begin(small.desk, small.clerk, other, "CC26-0003")


def test_made_card_is_not_made_twice(small: CardsRig) -> None:
    card_id, chip = small.made(small.person())
    with pytest.raises(Problem, match=r"card\.step"):
        cards_making.make(small.desk, small.clerk, card_id, making(small, chip))


def test_spoilt_blank_is_counted_as_such_and_the_person_may_have_another_card(desk: CardsRig) -> None:
    person = desk.person()
    card_id = cards.request(desk.desk, desk.clerk, person, Reason.FIRST)
    cards_making.begin(desk.desk, desk.clerk, card_id)
    cards_making.give_up(desk.desk, desk.clerk, card_id)
    assert desk.card(card_id).state is CardState.FAILED
    assert blanks(desk) == {BlankState.IN_STOCK: 4, BlankState.FAILED: 1}
    desk.made(person)


def test_card_that_nobody_wants_gives_an_untouched_blank_back_and_a_touched_one_not(desk: CardsRig) -> None:
    first, second = (cards.request(desk.desk, desk.clerk, desk.person(), Reason.FIRST) for _ in range(2))
    for card_id in (first, second):
        cards_making.begin(desk.desk, desk.clerk, card_id)
    cards_making.StoredJournal(desk.desk, ORGANISATION, second).save("keys")
    for card_id in (first, second):
        cards.cancel(desk.desk, desk.clerk, card_id)
    assert blanks(desk) == {BlankState.IN_STOCK: 4, BlankState.FAILED: 1}


def test_bound_card_is_not_cancelled(small: CardsRig) -> None:
    card_id, _ = small.printed(small.person())
    with pytest.raises(Problem, match=r"card\.step"):
        cards.cancel(small.desk, small.clerk, card_id)


# ---------------------------------------------------------------- handed over


class DyingPiv(Piv):
    """The process dies, or the card is pulled out, at one command."""

    def __init__(self, card: EmulatedCard, at: str, error: type[BaseException]) -> None:
        super().__init__(card)
        self.at, self.error = at, error

    def change_pin(self, old: str, new: str) -> None:
        if self.at == "before-pin":
            raise self.error
        super().change_pin(old, new)
        if self.at == "after-pin":
            raise self.error

    def sign(self, slot: Any, digest: bytes) -> bytes:
        if self.at == "before-signature":
            raise self.error
        super().sign(slot, digest)
        raise self.error


@pytest.mark.parametrize("error", [Killed, CardRemoved])
@pytest.mark.parametrize("at", ["before-pin", "after-pin", "before-signature", "after-signature"])
def test_hand_over_that_broke_off_goes_on_with_the_same_form(
    small: CardsRig, at: str, error: type[BaseException]
) -> None:
    card_id, chip = small.printed(small.person())
    letter = small.pin(card_id)
    with pytest.raises(error):
        cards_handover.hand_over(small.desk, small.clerk, card_id, DyingPiv(chip, at, error), letter, OWN_PIN)
    assert small.card(card_id).state is not CardState.ACTIVE
    cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(chip), letter, OWN_PIN)
    assert small.card(card_id).state is CardState.ACTIVE
    assert Piv(chip).pin_tries_left() == 3


def test_another_card_in_the_reader_is_not_handed_over_and_keeps_its_pin(small: CardsRig) -> None:
    card_id, _ = small.printed(small.person())
    other_id, other = small.printed(small.person())
    with pytest.raises(Problem, match=r"card\.other-card"):
        cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(other), small.pin(card_id), OWN_PIN)
    Piv(other).verify_pin(small.pin(other_id))


def test_holder_may_not_keep_the_pin_of_the_letter(small: CardsRig) -> None:
    card_id, chip = small.printed(small.person())
    with pytest.raises(Problem, match=r"card\.same-pin"):
        cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(chip), *[small.pin(card_id)] * 2)


def test_wrong_pin_of_the_letter_leaves_the_card_where_it_was(small: CardsRig) -> None:
    card_id, chip = small.printed(small.person())
    with pytest.raises(WrongPin):
        cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(chip), "111111", OWN_PIN)
    assert small.card(card_id).state is CardState.PRINTED
    cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(chip), small.pin(card_id), OWN_PIN)


def test_letter_is_forgotten_when_the_card_is_handed_over(small: CardsRig) -> None:
    card_id, chip = small.printed(small.person())
    assert len(small.pin(card_id)) == 8
    cards_handover.hand_over(small.desk, small.clerk, card_id, Piv(chip), small.pin(card_id), OWN_PIN)
    with pytest.raises(Problem, match=r"card\.letter-gone"):
        cards_making.letter_of(small.desk, ORGANISATION, card_id)


def test_receipt_altered_in_any_field_is_not_what_the_holder_signed(small: CardsRig) -> None:
    card_id, _ = small.active(small.person())
    signed = cards_handover.receipt_of(small.desk, ORGANISATION, card_id)
    assert signed is not None
    assert cards_handover.SignedReceipt.decode(signed.encode()) == signed
    for change in ({"at_ms": 1}, {"serial": "X"}, {"guid": "00"}, {"organisation": "org-s"}):
        altered = cards_handover.Receipt(**({**vars_of(signed.receipt), **change}))
        assert not cards_handover.SignedReceipt(altered, signed.signature, signed.certificate).is_valid()


def vars_of(receipt: cards_handover.Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in ("guid", "serial", "at_ms", "organisation")}


# ---------------------------------------------------------------- by telephone


def test_caller_with_name_and_number_is_found_and_others_learn_nothing(desk: CardsRig) -> None:
    person = desk.person("陈小明", "11010519491231002X")
    card_id, _ = desk.active(person)
    call = cards_phone.answer(desk.desk, desk.clerk, "陈 小明".replace(" ", ""), "110105 19491231 002x")
    assert call.cards == (card_id,)
    codes = set()
    for name, number in (("陈大明", "11010519491231002X"), ("陈小明", "440524188001010014")):
        with pytest.raises(Problem) as refused:
            cards_phone.answer(desk.desk, desk.clerk, name, number)
        codes.add(refused.value.kind.code)
    assert codes == {"card.no-match"}


def test_calls_about_one_number_are_limited_also_when_they_fit_nobody(small: CardsRig) -> None:
    for _ in range(cards_phone.NUMBER_DAY_MAX):
        with pytest.raises(Problem, match=r"card\.no-match"):
            cards_phone.answer(small.desk, small.clerk, "某某", "440524188001010014")
    with pytest.raises(Problem, match=r"card\.too-many-calls"):
        cards_phone.answer(small.desk, small.supervisor, "某某", "440524188001010014")
    small.rig.clock_ms += 86_400_001
    with pytest.raises(Problem, match=r"card\.no-match"):
        cards_phone.answer(small.desk, small.clerk, "某某", "440524188001010014")


def test_officer_who_takes_too_many_calls_is_held_up(small: CardsRig) -> None:
    for call in range(cards_phone.OFFICER_HOUR_MAX):
        with pytest.raises(Problem, match=r"card\.no-match"):
            cards_phone.answer(small.desk, small.clerk, "某某", f"N-{call}")
    with pytest.raises(Problem, match=r"card\.too-many-calls"):
        cards_phone.answer(small.desk, small.clerk, "某某", "N-x")


async def test_desk_without_a_key_of_its_own_says_that_an_officer_signs(small: CardsRig) -> None:
    card_id, _ = small.active(small.person())
    with pytest.raises(Problem, match=r"card\.no-service-key"):
        await cards_phone.suspend(small.desk, small.clerk, card_id)


# ---------------------------------------------------------------- other desks


def test_another_organisation_sees_no_card(small: CardsRig) -> None:
    card_id, _ = small.made(small.person())
    with pytest.raises(Problem, match=r"card\.unknown"), small.store.read() as session:
        cards.opened(small.desk, session, "org-s", card_id)


def test_card_in_a_reader_is_found_by_what_it_says_of_itself(small: CardsRig) -> None:
    card_id, chip = small.made(small.person())
    piv = Piv(chip)
    piv.select()
    with small.store.read() as session:
        found = cards.find_by_guid(small.desk, session, ORGANISATION, piv.guid() or b"")
        assert found is not None
        assert found.id == card_id
        assert cards.find_by_guid(small.desk, session, "org-s", piv.guid() or b"") is None


def test_step_that_does_not_follow_is_refused_and_leaves_no_trace(small: CardsRig) -> None:
    card_id, _ = small.made(small.person())
    with small.store.write() as session:
        row = cards.own(session, ORGANISATION, card_id, held=True)
        with pytest.raises(Problem, match=r"card\.step"):
            cards.step(small.desk, session, row, CardStep.HAND_OVER, small.clerk)
    assert small.card(card_id).state is CardState.PERSONALISED
