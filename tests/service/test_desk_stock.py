# SPDX-License-Identifier: Apache-2.0
"""Blank cards: counted blind by two people, taken one at a time, spoilt ones destroyed under a second pair of eyes."""

import pytest
from store_rig import Rig

from identity.api.desk import stock
from identity.api.desk.cards_tables import Blank
from identity.api.desk.stock import BlankState, CountState
from service.problems import Problem
from service.store import Store, new_id

NOW = 1_763_780_000_000
ANNA, BAO = new_id(), new_id()


def receive(store: Store, first: str = "CC26-000998", count: int = 5) -> str:
    with store.write() as session:
        return stock.receive(store, session, ANNA, "LS-118", first, count, NOW)


def count(store: Store, count_id: str, *entries: tuple[str, int]) -> CountState:
    state = CountState.OPEN
    for who, figure in entries:
        with store.write() as session:
            state = stock.enter_figure(store, session, who, count_id, figure, NOW)
    return state


def figures(store: Store) -> dict[BlankState, int]:
    with store.read() as session:
        return dict(stock.figures(session).by_state)


def stocked(rig: Rig, cards: int = 5) -> Store:
    store = rig.open(rig.settings())
    count(store, receive(store, count=cards), (ANNA, cards), (BAO, cards))
    return store


def test_serial_numbers_count_up_and_keep_their_width() -> None:
    assert stock.serials_of("CC26-000998", 4) == ["CC26-000998", "CC26-000999", "CC26-001000", "CC26-001001"]


@pytest.mark.parametrize("first", ["", "CC26-", "cc-1", "CC 01", "CC-99", "字1", "C" * 40 + "1"])
def test_text_that_is_no_serial_number_or_runs_over_is_refused(first: str) -> None:
    with pytest.raises(Problem, match=r"stock\.serial"):
        stock.serials_of(first, 2)


def test_delivery_is_in_stock_only_when_two_people_counted_the_same(rig: Rig) -> None:
    store = rig.open(rig.settings())
    count_id = receive(store)
    assert figures(store) == {BlankState.AWAITED: 5}
    assert count(store, count_id, (ANNA, 5)) is CountState.OPEN
    assert figures(store) == {BlankState.AWAITED: 5}
    assert count(store, count_id, (BAO, 5)) is CountState.AGREED
    assert figures(store) == {BlankState.IN_STOCK: 5}


def test_one_person_does_not_count_twice(rig: Rig) -> None:
    store = rig.open(rig.settings())
    count_id = receive(store)
    with pytest.raises(Problem, match=r"stock\.second-person"):
        count(store, count_id, (ANNA, 5), (ANNA, 5))
    assert figures(store) == {BlankState.AWAITED: 5}


def test_figures_that_differ_begin_the_count_anew(rig: Rig) -> None:
    store = rig.open(rig.settings())
    first = receive(store)
    assert count(store, first, (ANNA, 5), (BAO, 4)) is CountState.DIFFERS
    with store.read() as session:
        (again,) = (row.id for row, _ in stock.counts(session) if row.state == CountState.OPEN)
    assert count(store, again, (BAO, 5), (ANNA, 5)) is CountState.AGREED
    with pytest.raises(Problem, match=r"stock\.count-over"):
        count(store, first, (BAO, 5))


def test_missing_cards_are_named_before_the_others_are_in_stock(rig: Rig) -> None:
    store = rig.open(rig.settings())
    count_id = receive(store)
    assert count(store, count_id, (ANNA, 4), (BAO, 4)) is CountState.SHORT
    for wrong in ([], ["CC26-000999", "CC26-001000"], ["CC26-777777"]):
        with pytest.raises(Problem, match=r"stock\.missing-list"), store.write() as session:
            stock.name_missing(store, session, ANNA, count_id, wrong, NOW)
    with store.write() as session:
        stock.name_missing(store, session, ANNA, count_id, ["CC26-001000"], NOW)
    assert figures(store) == {BlankState.IN_STOCK: 4, BlankState.MISSING: 1}
    with pytest.raises(Problem, match=r"stock\.state"), store.write() as session:
        stock.assign(session, new_id(), NOW, serial="CC26-001000")


def test_more_cards_than_announced_are_not_counted_in(rig: Rig) -> None:
    store = rig.open(rig.settings())
    with pytest.raises(Problem, match=r"stock\.figure"):
        count(store, receive(store), (ANNA, 6))


def test_serial_number_is_received_once(rig: Rig) -> None:
    store = stocked(rig)
    with pytest.raises(Problem, match=r"stock\.serial-taken"):
        receive(store, first="CC26-001002", count=1)


def test_cards_are_assigned_until_none_is_left(rig: Rig) -> None:
    store = stocked(rig, cards=2)
    taken = []
    for _ in range(2):
        with store.write() as session:
            taken.append(stock.assign(session, new_id(), NOW))
    assert len(set(taken)) == 2
    with pytest.raises(Problem, match=r"stock\.none-left"), store.write() as session:
        stock.assign(session, new_id(), NOW)
    with store.write() as session:
        stock.put_back(session, taken[0], NOW)
        stock.issued(session, taken[1], NOW)
    assert figures(store) == {BlankState.IN_STOCK: 1, BlankState.ISSUED: 1}


def test_card_that_is_not_counted_yet_is_not_assigned(rig: Rig) -> None:
    store = rig.open(rig.settings())
    receive(store)
    with pytest.raises(Problem, match=r"stock\.none-left"), store.write() as session:
        stock.assign(session, new_id(), NOW)


def test_spoilt_card_is_destroyed_by_two_people_and_never_used(rig: Rig) -> None:
    store = stocked(rig, cards=1)
    with store.write() as session:
        serial = stock.assign(session, new_id(), NOW)
        stock.fail(store, session, ANNA, serial, NOW)
    with pytest.raises(Problem, match=r"stock\.state"), store.write() as session:
        stock.assign(session, new_id(), NOW, serial=serial)
    with pytest.raises(Problem, match=r"stock\.state"), store.write() as session:
        stock.destroy(store, session, BAO, serial, NOW)
    with store.write() as session:
        stock.ask_destroying(store, session, ANNA, serial)
    with pytest.raises(Problem, match=r"stock\.second-person"), store.write() as session:
        stock.destroy(store, session, ANNA, serial, NOW)
    with store.write() as session:
        stock.destroy(store, session, BAO, serial, NOW)
        blank = session.get(Blank, serial)
        assert blank is not None
        assert blank.state == BlankState.DESTROYED
    with pytest.raises(Problem, match=r"stock\.state"), store.write() as session:
        stock.fail(store, session, ANNA, serial, NOW)


def test_count_of_the_whole_stock_expects_what_should_be_there(rig: Rig) -> None:
    store = stocked(rig)
    with store.write() as session:
        stock.assign(session, new_id(), NOW)
        count_id = stock.open_count(store, session, ANNA, NOW)
        assert stock.open_count(store, session, BAO, NOW) == count_id
    assert count(store, count_id, (ANNA, 4), (BAO, 4)) is CountState.AGREED


def test_second_counter_is_told_no_first_figure_by_the_refusal(rig: Rig) -> None:
    store = rig.open(rig.settings())
    count_id = receive(store)
    count(store, count_id, (ANNA, 3))
    with pytest.raises(Problem) as refused:
        count(store, count_id, (BAO, 9))
    assert refused.value.parameters == {"max": 5}
