# SPDX-License-Identifier: Apache-2.0
"""Looks at the desk become entries in people's own lists on the ledger: each once, whatever dies when."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk_cards_rig import ORGANISATION, CardsRig
from sqlalchemy import func, select
from store_rig import Rig

from chain.errors import Refused
from chain.types import sha256
from client.errors import TransportError
from identity import access
from identity.access import AccessList, VerifiedAccesses
from identity.access_rules import BATCH_SIZES, load_access
from identity.api.accesses.lists import own_claims
from identity.api.accesses.reading import opened
from identity.api.desk import access_ticks, upkeep
from identity.api.desk.access_ticks import tick
from identity.api.desk.base import DAY_MS
from identity.api.desk.looking_up import HIDDEN_MS, LOOK_MS, Reason, note_access
from identity.api.desk.tables import DeskAccess, DeskAccessBatch, DeskAccessEntry
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from sim.instant_ledger import InstantLedger
from tests.rig import Shell, signer


class Killed(BaseException):
    """The process dies here."""


def made(rig: Rig) -> CardsRig:
    desk = CardsRig(rig)
    desk.desk = replace(desk.desk, service_key=Shell(signer("org-r:submit")))
    return desk


@pytest.fixture
def desk(sqlite_rig: Rig) -> CardsRig:
    return made(sqlite_rig)


def look(desk: CardsRig, person_id: str, reason: Reason = Reason.COUNTER) -> None:
    """An officer looks, long enough after the last time."""
    desk.rig.clock_ms += LOOK_MS + 1
    with desk.store.write() as session:
        note_access(desk.desk, session, desk.clerk, person_id, reason)


def lists(desk: CardsRig, person_id: str) -> list[AccessList]:
    with desk.store.read() as session:
        return opened(session, desk.store, person_id)


def proven(desk: CardsRig, person_id: str) -> VerifiedAccesses:
    """What the person verifies with nothing but genesis and where their list begins."""
    (own,) = lists(desk, person_id)
    ledger = InstantLedger(("a", "b", "c", "d"))
    ledger.append([], dict(desk.rules.state))
    report = own.report(ledger.receipt([], list(own.state_keys())))
    with desk.store.write() as session:
        claim = own_claims(session, desk.store, person_id, desk.desk.now())["access_slot"]
    return access.verify(report, access.slot_of_claim(claim), ledger.genesis)


def left(desk: CardsRig) -> tuple[int, int, int]:
    """Accesses without an opening, accesses on their way, batches on their way."""
    with desk.store.read() as session:
        unopened = select(func.count()).select_from(DeskAccess).where(DeskAccess.opening_id.is_(None))
        counts = [session.scalar(select(func.count()).select_from(one)) for one in (DeskAccessEntry, DeskAccessBatch)]
        return (session.scalar(unopened) or 0, *(count or 0 for count in counts))  # type: ignore[return-value]  # three


def written(folder: Path) -> bytes:
    """Every byte of the store's files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def batch(desk: CardsRig) -> pb.RecordAccesses:
    with desk.store.read() as session:
        return pb.RecordAccesses.FromString(session.scalars(select(DeskAccessBatch.entries)).one())


async def ticks(desk: CardsRig, count: int) -> None:
    for _ in range(count):
        await tick(desk.desk)


async def test_each_look_is_an_entry_that_the_person_verifies_with_genesis_alone(rig: Rig) -> None:
    desk = made(rig)
    person, other = desk.person(), desk.person("李小红", "440524188001010014")
    looks = [(person, Reason.COUNTER), (other, Reason.COUNTER), (person, Reason.COMPLAINT), (person, Reason.TELEPHONE)]
    for who, reason in looks:
        look(desk, who, reason)
    await ticks(desk, 3)
    assert left(desk) == (0, 0, 0)
    found = proven(desk, person)
    assert [one.content.reason for one in found.accesses if one.content] == [
        access_pb2.LOOK_UP_REASON_COUNTER,
        access_pb2.LOOK_UP_REASON_COMPLAINT,
        access_pb2.LOOK_UP_REASON_TELEPHONE,
    ]
    assert {one.content.organisation for one in found.accesses if one.content} == {ORGANISATION}
    assert {one.writer for one in found.accesses} == {sha256(ORGANISATION.encode())}
    assert len(proven(desk, other).accesses) == 1


async def test_entries_go_in_batches_of_few_sizes_and_two_of_one_person_in_two(desk: CardsRig) -> None:
    people = [desk.person(f"某{i}", f"N-{i}") for i in range(5)]
    for one in [*people, people[0]]:
        look(desk, one)
    sizes = []
    submit = desk.ledger.submit_one

    async def watched(transaction: Any) -> Any:
        entries = pb.RecordAccesses.FromString(transaction.operations[0].body).entries
        sizes.append(len(entries))
        assert [one.slot for one in entries] == sorted(one.slot for one in entries)
        return await submit(transaction)

    desk.ledger.submit_one = watched  # type: ignore[method-assign]  # counts what is sent
    assert [await tick(desk.desk) for _ in range(3)] == [5, 1, 0]
    assert sizes == [16, 4]
    assert set(sizes) <= set(BATCH_SIZES)


def dies_unsent(desk: CardsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_transaction: Any) -> Any:
        raise Killed

    monkeypatch.setattr(desk.ledger, "submit_one", never)


def dies_sent(desk: CardsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = desk.ledger.submit_one

    async def lost(transaction: Any) -> Any:
        await submit(transaction)
        raise Killed

    monkeypatch.setattr(desk.ledger, "submit_one", lost)


def dies_telling(_desk: CardsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: Any) -> Any:
        raise Killed

    monkeypatch.setattr(access_ticks.lists, "tell", never)


def dies_told(_desk: CardsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: Any) -> Any:
        raise Killed

    monkeypatch.setattr(access_ticks, "_let_go", never)


def dies_unplaced(_desk: CardsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: Any) -> Any:
        raise Killed

    monkeypatch.setattr(access_ticks, "_sign", never)


@pytest.mark.parametrize("death", [dies_unplaced, dies_unsent, dies_sent, dies_telling, dies_told])
@pytest.mark.parametrize("expires", [False, True], ids=["in time", "expired"])
async def test_desk_that_dies_at_any_step_gives_each_access_exactly_one_slot(
    desk: CardsRig,
    death: Callable[[CardsRig, pytest.MonkeyPatch], None],
    expires: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person, other = desk.person(), desk.person("李小红", "440524188001010014")
    for one in (person, other, person):
        look(desk, one)
    with monkeypatch.context() as dying:
        death(desk, dying)
        with pytest.raises(Killed):
            await tick(desk.desk)
    if expires:  # the transaction is too old by now: nodes refuse it without looking whether it was executed
        submit, refused = desk.ledger.submit_one, list[bytes]()

        async def once(transaction: Any) -> Any:
            if not refused:
                refused.append(transaction.id)
                raise Refused("it has expired", "transaction.expired")
            return await submit(transaction)

        monkeypatch.setattr(desk.ledger, "submit_one", once)
    await ticks(desk, 4)
    assert left(desk) == (0, 0, 0)
    accesses = proven(desk, person).accesses
    assert [one.content is not None for one in accesses] == [True, True]
    assert len({one.content.at_ms for one in accesses if one.content}) == 2
    assert len(proven(desk, other).accesses) == 1


async def test_ledger_out_of_reach_keeps_the_batch_as_it_was_signed(desk: CardsRig) -> None:
    look(desk, desk.person())
    submit, sent = desk.ledger.submit_one, list[bytes]()

    async def watched(transaction: Any) -> Any:
        sent.append(transaction.raw)
        if len(sent) < 3:
            raise TransportError("nobody answers")
        return await submit(transaction)

    desk.ledger.submit_one = watched  # type: ignore[method-assign]  # notes what is sent
    for _ in range(2):
        with pytest.raises(TransportError):
            await tick(desk.desk)
    assert await tick(desk.desk) == 1
    assert len(set(sent)) == 1


async def test_access_whose_slot_a_verifier_took_gets_the_next_one_and_decoys_stay(
    desk: CardsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other = desk.person(), desk.person("李小红", "440524188001010014")
    look(desk, person)
    look(desk, other)
    with monkeypatch.context() as dying:
        dies_unsent(desk, dying)
        with pytest.raises(Killed):
            await tick(desk.desk)
    before = batch(desk)
    with desk.store.write() as session:
        claim = own_claims(session, desk.store, person, desk.desk.now())["access_slot"]
    handed = await access_ticks.lists.hand_out(desk.store, access_ticks._reader(desk.desk), claim)
    rival = access.make_entry(handed.slot, handed.link, b"what a verifier saw", bytes(32))
    assert desk.rules.code("desk@p256", access.make_batch([rival])) == ""
    assert await tick(desk.desk) == 0
    after = batch(desk)
    kept = [one for one in before.entries if one.slot != handed.slot]
    assert all(one in after.entries for one in kept), "what was seen already goes out as it was"
    await ticks(desk, 2)
    assert left(desk) == (0, 0, 0)
    assert [one.content is not None for one in proven(desk, person).accesses] == [False, True]
    assert len(proven(desk, other).accesses) == 1


async def test_look_of_an_investigation_is_written_once_the_person_may_see_it(desk: CardsRig) -> None:
    person = desk.person()
    look(desk, person, Reason.INVESTIGATION)
    look(desk, person)
    await ticks(desk, 2)
    assert len(proven(desk, person).accesses) == 1
    desk.rig.clock_ms += HIDDEN_MS
    await ticks(desk, 1)
    reasons = [one.content.reason for one in proven(desk, person).accesses if one.content]
    assert reasons == [access_pb2.LOOK_UP_REASON_COUNTER, access_pb2.LOOK_UP_REASON_INVESTIGATION]


async def test_desk_without_a_key_of_its_own_writes_nothing_and_keeps_what_waits(desk: CardsRig) -> None:
    look(desk, desk.person())
    assert await tick(replace(desk.desk, service_key=None)) == 0
    assert left(desk) == (1, 0, 0)
    assert await tick(desk.desk) == 1


async def test_person_erased_while_their_access_is_on_its_way_holds_up_nobody(
    desk: CardsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other = desk.person(), desk.person("李小红", "440524188001010014")
    look(desk, person)
    look(desk, other)
    with monkeypatch.context() as dying:
        dies_sent(desk, dying)
        with pytest.raises(Killed):
            await tick(desk.desk)
    desk.store.erase(person)
    await ticks(desk, 1)
    look(desk, other)
    await ticks(desk, 1)
    assert left(desk) == (0, 0, 0)
    assert len(proven(desk, other).accesses) == 2


async def test_neither_database_nor_ledger_joins_two_entries_of_one_person(sqlite_rig: Rig) -> None:
    desk = made(sqlite_rig)
    person = desk.person()
    for _ in range(2):
        look(desk, person)
        await ticks(desk, 1)
    (own,) = lists(desk, person)
    records = [load_access(desk.rules.state.get, slot) for slot in own.slots[:-1]]
    assert all(record is not None for record in records)
    public = b"".join(key + value for key, value in desk.rules.state.items())
    database = written(desk.rig.folder)
    assert len(database) > 10_000
    opens = [salt for one in own.openings for salt in (one.next_salt, one.content_salt)]
    secret = [own.slots[-1], *opens]  # a slot that is taken is public, and whose it is, is not
    for one in secret:
        for text in (one, one.hex().encode()):
            assert text not in public
            assert text not in database, "sealed under the person's key"
    first, second = (record for record in records if record is not None)
    assert own.slots[1] not in first.content + first.next
    assert own.slots[0] not in second.content + second.next


async def test_entry_kept_long_enough_loses_its_content_and_the_list_stays_complete(desk: CardsRig) -> None:
    person = desk.person()
    look(desk, person)
    await ticks(desk, 1)
    desk.rig.clock_ms += (desk.desk.retention.access_days + 1) * DAY_MS
    look(desk, person)  # waits for its slot
    upkeep.tidy(desk.desk)
    await ticks(desk, 1)
    assert [one.content is None for one in proven(desk, person).accesses] == [True, False]
    with desk.store.read() as session:
        assert session.scalars(select(DeskAccess.number)).all() == [2]
