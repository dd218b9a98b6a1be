# SPDX-License-Identifier: Apache-2.0
"""Cards for many from a CSV file: each bad line told by number and reason, a kill at any line gone on with."""

from collections.abc import Callable

import pytest
from desk_cards_rig import ORGANISATION, CardsRig
from sqlalchemy import select
from store_rig import Rig

from identity.api.desk import batch, cards, stock
from identity.api.desk.batch import RowState
from identity.api.desk.batch_file import FILE_BYTES_MAX, ROWS_MAX, Fault
from identity.api.desk.batch_pages import FAULT_KEYS
from identity.api.desk.cards_life import CardState
from identity.api.desk.tables import DeskAccess
from identity.cards.card import CardError
from identity.cards.emulator import EmulatedCard
from identity.cards.making import Journal, PersonalisedCard
from service.language import LANGUAGES, translate
from service.problems import Problem
from service.sign_in.roles import Role

PEOPLE = [("甲", "N-1001"), ("乙", "N-1002"), ("丙", "N-1003"), ("丁", "N-1004")]


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def desk(rig: Rig) -> CardsRig:
    return _peopled(CardsRig(rig))


@pytest.fixture
def small(sqlite_rig: Rig) -> CardsRig:
    return _peopled(CardsRig(sqlite_rig))


def _peopled(made: CardsRig) -> CardsRig:
    made.stock(10)
    for name, number in PEOPLE:
        made.person(name, number)
    return made


def table(*rows: tuple[str, ...], head: str = "name,number") -> bytes:
    return "\r\n".join([head, *(",".join(row) for row in rows)]).encode()


def tray(desk: CardsRig, dies_at: int = 0) -> Callable[[Journal, str], PersonalisedCard]:
    """Makes cards from blanks that stay in the tray; dies in the middle of one of them."""
    chips: dict[str, EmulatedCard] = {}
    made = 0

    def personalise(journal: Journal, serial: str) -> PersonalisedCard:
        nonlocal made
        made += 1
        if made == dies_at:

            class Dying:
                def load(self) -> str:
                    return journal.load()

                def save(self, text: str) -> None:
                    journal.save(text)
                    if '"certified"' in text:
                        raise Killed

            return desk.shop.personalise(desk.desk, chips.setdefault(serial, EmulatedCard()), Dying())
        return desk.shop.personalise(desk.desk, chips.setdefault(serial, EmulatedCard()), journal)

    return personalise


def lines(desk: CardsRig, batch_id: str) -> list[tuple[int, str, str]]:
    with desk.store.read() as session:
        return [(row.line, row.state, row.code) for row, _ in batch.report(session, batch_id)]


def test_each_line_becomes_a_card(desk: CardsRig) -> None:
    batch_id = batch.take(desk.desk, desk.clerk, table(*PEOPLE))
    made = batch.run(desk.desk, desk.clerk, batch_id, tray(desk))
    assert (made.done, made.failed, made.ready, made.total) == (4, 0, 0, 4)
    with desk.store.read() as session:
        found = [card for _, card in batch.report(session, batch_id) if card is not None]
        assert {card.state for card in found} == {CardState.PERSONALISED}
        assert len({card.serial for card in found}) == 4
        assert stock.figures(session).of(stock.BlankState.ISSUED) == 4


@pytest.mark.parametrize("dies_at", [1, 3])
def test_batch_killed_in_the_middle_of_a_card_goes_on_with_that_card(desk: CardsRig, dies_at: int) -> None:
    batch_id = batch.take(desk.desk, desk.clerk, table(*PEOPLE))
    maker = tray(desk, dies_at)
    with pytest.raises(Killed):
        batch.run(desk.desk, desk.clerk, batch_id, maker)
    with desk.store.read() as session:
        assert batch.progress(session, batch_id).done == dies_at - 1
        assert stock.figures(session).of(stock.BlankState.ASSIGNED) == 1
    made = batch.run(desk.desk, desk.clerk, batch_id, maker)
    assert (made.done, made.failed) == (4, 0)
    with desk.store.read() as session:
        figures = stock.figures(session)
        assert figures.of(stock.BlankState.ISSUED) == 4, "no blank was taken twice"
        assert figures.of(stock.BlankState.IN_STOCK) == 6


def test_bad_lines_are_told_by_number_and_reason_and_the_others_go_on(desk: CardsRig) -> None:
    raw = table(
        ("甲", "N-1001"),
        ("乙", "N-9999"),
        ("不是丙", "N-1003"),
        ("", "N-1004"),
        ("甲", "n 1001"),
        ("丁", "N-1004", "更多"),
        ("长" * 101, "N-7"),
        ("丙", "N-1003"),
    )
    batch_id = batch.take(desk.desk, desk.clerk, raw)
    expected = {
        3: Fault.UNKNOWN,
        4: Fault.UNKNOWN,
        5: Fault.EMPTY,
        6: Fault.TWICE,
        7: Fault.COLUMNS,
        8: Fault.TOO_LONG,
        9: Fault.TWICE,
    }
    assert {line: code for line, state, code in lines(desk, batch_id) if state == RowState.FAILED} == expected
    assert batch.run(desk.desk, desk.clerk, batch_id, tray(desk)).done == 1


def test_each_person_whom_a_file_finds_sees_who_looked(desk: CardsRig) -> None:
    batch.take(desk.desk, desk.clerk, table(*PEOPLE[:2], ("不是丙", "N-1003")))
    with desk.store.read() as session:
        looked = session.scalars(select(DeskAccess)).all()
    assert [entry.staff_id for entry in looked] == [desk.clerk.staff_id] * 2


def test_each_reason_has_words_in_both_languages() -> None:
    for fault in Fault:
        for language in LANGUAGES:
            assert translate(language, FAULT_KEYS[fault])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"name,number\r\n",
        b"name;number\r\nx;y\r\n",
        "姓名,号码\r\n甲,1\r\n".encode(),
        b"\xff\xff\xff\xff",
        b'name,number\r\n"x,y\r\n',
        b"name,number\r\n" + b"x,y\r\n" * (ROWS_MAX + 1),
        b"name,number\r\n" + b"x" * FILE_BYTES_MAX,
    ],
    ids=["empty", "no-lines", "semicolons", "other-head", "no-text", "open-quote", "too-many", "too-large"],
)
def test_file_that_is_none_is_refused_whole(small: CardsRig, raw: bytes) -> None:
    with pytest.raises(Problem, match=r"batch\.file"):
        batch.take(small.desk, small.clerk, raw)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_files_of_spreadsheets_are_read(small: CardsRig, encoding: str) -> None:
    raw = table(*PEOPLE).decode().encode(encoding)
    assert batch.run(small.desk, small.clerk, batch.take(small.desk, small.clerk, raw), tray(small)).done == 4


def test_person_who_has_a_card_gets_no_second_one(small: CardsRig) -> None:
    first = batch.take(small.desk, small.clerk, table(*PEOPLE))
    second = batch.take(small.desk, small.clerk, table(*PEOPLE))
    batch.run(small.desk, small.clerk, first, tray(small))
    made = batch.run(small.desk, small.clerk, second, tray(small))
    assert (made.done, made.faults) == (0, {Fault.HAS_CARD: 4})
    third = batch.take(small.desk, small.clerk, table(PEOPLE[0]))
    assert lines(small, third) == [(2, RowState.FAILED, Fault.HAS_CARD)]


def test_batch_ends_with_a_reason_where_the_stock_does(sqlite_rig: Rig) -> None:
    desk = CardsRig(sqlite_rig)
    desk.stock(2)
    for name, number in PEOPLE:
        desk.person(name, number)
    made = batch.run(desk.desk, desk.clerk, batch.take(desk.desk, desk.clerk, table(*PEOPLE)), tray(desk))
    assert (made.done, made.faults) == (2, {Fault.NO_BLANK: 2})


def test_card_that_fails_is_spoilt_and_the_next_line_goes_on(small: CardsRig) -> None:
    good, count = tray(small), 0

    def personalise(journal: Journal, serial: str) -> PersonalisedCard:
        nonlocal count
        count += 1
        if count == 2:
            raise CardError("it smokes")
        return good(journal, serial)

    made = batch.run(small.desk, small.clerk, batch.take(small.desk, small.clerk, table(*PEOPLE)), personalise)
    assert (made.done, made.faults) == (3, {Fault.CARD: 1})
    with small.store.read() as session:
        assert stock.figures(session).of(stock.BlankState.FAILED) == 1


def test_batch_stops_when_its_time_is_over_and_goes_on_later(small: CardsRig) -> None:
    batch_id = batch.take(small.desk, small.clerk, table(*PEOPLE))
    maker = tray(small)
    assert batch.run(small.desk, small.clerk, batch_id, maker, 1e-9).done == 1
    assert batch.run(small.desk, small.clerk, batch_id, maker).done == 4


async def test_two_officers_bind_the_keys_of_a_whole_batch_in_two_acts(desk: CardsRig) -> None:
    batch_id = batch.take(desk.desk, desk.clerk, table(*PEOPLE))
    batch.run(desk.desk, desk.clerk, batch_id, tray(desk))
    proposal, words = await batch.to_propose(desk.desk, desk.clerk, batch_id)
    assert "4" in words["en"][0]
    assert desk.act(Role.CLERK, proposal) == ""
    with pytest.raises(Problem, match=r"batch\.nothing-waits"):
        await batch.to_propose(desk.desk, desk.clerk, batch_id)
    confirmation, _ = await batch.to_confirm(desk.desk, desk.approver, batch_id)
    assert desk.act(Role.APPROVER, confirmation) == ""
    with pytest.raises(Problem, match=r"batch\.nothing-waits"):
        await batch.to_confirm(desk.desk, desk.approver, batch_id)
    with desk.store.read() as session:
        assert {card.state for card in cards.in_state(session, ORGANISATION, CardState.BOUND)} == {CardState.BOUND}
        assert len(cards.in_state(session, ORGANISATION, CardState.BOUND)) == 4


def test_another_organisation_sees_no_batch(small: CardsRig) -> None:
    batch_id = batch.take(small.desk, small.clerk, table(*PEOPLE))
    with pytest.raises(Problem, match=r"batch\.unknown"), small.store.read() as session:
        batch.own(session, "org-s", batch_id)
