# SPDX-License-Identifier: Apache-2.0
"""A registrar moves its people's tags to the new key from its desk's records, over crashes and used-up budgets."""

import asyncio

import pytest
from sqlalchemy import select
from store_rig import Rig
from tagging_rig import Office, number, office

import identity.uniqueness as rules
from identity.api.desk import retagging
from identity.api.desk.details import Details
from identity.api.desk.persons import Secrets
from identity.api.desk.retagging import Moved, move_tags
from identity.api.desk.tables import DeskPerson
from identity.commitments import holder_commitment
from identity.documents import DocumentKind
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb

R = registrar_digest("org-r")


async def register(made: Office, count: int, organisation: str = "org-r") -> None:
    """People of a desk, each with a tag."""
    for which in range(count):
        secrets = add(made, which, organisation)
        holder = holder_commitment(secrets.registration_id, bytes.fromhex(secrets.holder_salt))
        await made.tagger().register("resident", number(which), R, holder)


def add(made: Office, which: int, organisation: str = "org-r") -> Secrets:
    people, secrets = made.store.people, Secrets.new()
    with made.store.write() as session:
        row = DeskPerson(
            person_id=people.add(session), organisation=organisation, state="active", created_ms=1, changed_ms=1
        )
        details = Details(DocumentKind.RESIDENT_CARD, number(which), f"人{which}", "1949-12-31")
        people.seal(session, row, DeskPerson.details, details.encode())
        people.seal(session, row, DeskPerson.secrets, secrets.encode())
    return secrets


def openings(made: Office) -> int:
    """How many people's kept salts open the commitment that stands on the ledger."""
    fits = 0
    tags = [key for key in made.ledger.rules.state if key.startswith(b"identity/tag/")]
    held = [pb.TagRecord.FromString(made.ledger.rules.state[key]).holder for key in tags]
    with made.store.read() as session:
        for row in session.scalars(select(DeskPerson)):
            secrets = Secrets.decode(made.store.people.open(session, row, DeskPerson.secrets) or "")
            fits += holder_commitment(secrets.registration_id, bytes.fromhex(secrets.holder_salt)) in held
    return fits


@pytest.fixture
def made(sqlite_rig: Rig) -> Office:
    return office(sqlite_rig)


async def test_everybody_is_moved_once_and_the_kept_salts_open_what_stands_on_the_ledger(
    made: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retagging, "BATCH", 3)
    await register(made, 7)
    add(made, 8, "org-s")  # another organisation's
    assert openings(made) == 7
    await made.service.rotate()
    told: list[Moved] = []
    done = await move_tags(made.store, made.tagger(), "org-r", tell=told.append)
    assert (done.moved, done.before, done.without, done.stopped) == (7, 0, 0, "")
    assert [one.moved for one in told] == [3, 6, 7]
    assert rules.load_tag_key(made.ledger.rules.state.get) == pb.TagKeyRecord(key_version=2, tags=7)
    assert openings(made) == 7
    again = await move_tags(made.store, made.tagger(), "org-r")
    assert (again.moved, again.before) == (0, 7)
    assert openings(made) == 7
    assert await made.service.forget() == 2


async def test_crash_between_ledger_and_store_loses_no_opening(made: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await register(made, 2)
    await made.service.rotate()
    with monkeypatch.context() as dying:
        dying.setattr(retagging, "_keep", lambda *_: None)  # the ledger has taken them, the store has not
        await move_tags(made.store, made.tagger(), "org-r")
    assert openings(made) == 0
    done = await move_tags(made.store, made.tagger(), "org-r")
    assert (done.moved, done.stopped) == (2, "")
    assert openings(made) == 2


async def test_ledger_down_or_budget_used_up_says_so_and_it_goes_on_later(
    made: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retagging, "BATCH", 2)
    await register(made, 5)
    await made.service.rotate()
    made.ledger.down = True
    done = await move_tags(made.store, made.tagger(), "org-r")
    assert (done.moved, done.last, done.stopped) == (0, "", "transport.unavailable")
    made.ledger.down = False
    made.service._moves = made.service._moves.__class__("moves", 3, 100)
    done = await move_tags(made.store, made.tagger(), "org-r")
    assert (done.moved, done.stopped) == (3, "uniqueness.rate")
    made.rig.clock_ms += 60_000
    done = await move_tags(made.store, made.tagger(), "org-r", after=done.last)
    assert done.stopped == ""
    assert rules.load_tag_key(made.ledger.rules.state.get).previous_tags == 0
    assert openings(made) == 5


async def test_person_erased_while_their_tag_moves_stays_erased(made: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await register(made, 1)
    await made.service.rotate()
    with made.store.read() as session:
        person = session.scalars(select(DeskPerson.person_id)).one()
    tagger = made.tagger()
    move = tagger.retag

    async def erased_meanwhile(kind: str, text: str, holder: bytes) -> None:
        await move(kind, text, holder)
        await asyncio.to_thread(made.store.erase, person)

    monkeypatch.setattr(tagger, "retag", erased_meanwhile)
    assert (await move_tags(made.store, tagger, "org-r")).moved == 1
    with made.store.read() as session:
        assert session.scalars(select(DeskPerson)).all() == []


async def test_person_of_another_registrar_is_counted_and_left_alone(made: Office) -> None:
    await register(made, 1)
    add(made, 5)
    await made.service.rotate()
    done = await move_tags(made.store, made.tagger(), "org-r")
    assert (done.moved, done.without) == (1, 1)
