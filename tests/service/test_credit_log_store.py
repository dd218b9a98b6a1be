# SPDX-License-Identifier: Apache-2.0
"""The private store of logs keeps step with the ledger: no event without its opening, and the other way round."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from credit_service_rig import ACTOR, KEEPER, SOURCE_X, SOURCE_Y, CreditService, context_of, credit_service
from sqlalchemy import func, insert, select
from store_rig import Rig

from chain.signing import TransactionSigner
from client.errors import TransportError
from credit.api import drawing
from credit.api.batches import Prepared, load_batch, prepare, send, send_again
from credit.api.drafts import DRAFTS_MAX
from credit.api.drawing import BATCH_EVENTS_MAX, FLOOD_MAX, OTHERS_MAX, Wanted
from credit.api.reports import make_report
from credit.api.settling import settle
from credit.api.slot_index import SlotIndex, SlotSubscriber, logs_table
from credit.api.subjects import Kind, State, add_subject, open_waiting, send_open
from credit.api.tables import CreditBatch, CreditEvent, CreditSubject
from credit.slots import Content
from service.problems import Problem
from service.settings import StoreSettings
from service.store.engine import make_engine


@pytest.fixture
def service(rig: Rig) -> Iterator[CreditService]:
    with credit_service(rig) as made:
        yield made


@pytest.fixture
def lite(sqlite_rig: Rig) -> Iterator[CreditService]:
    """Where the database makes no difference."""
    with credit_service(sqlite_rig) as made:
        yield made


def wanted(
    service: CreditService, subject_id: str, reference: str = "r-1", number: int = 301, **fields: object
) -> Wanted:
    day = service.context.today - 3
    content = Content(str(fields.get("severity", "none" if number != 101 else "general")), day, day + 1)
    return Wanted(subject_id, number, content, reference)


async def prepared(service: CreditService, *events: Wanted, source: TransactionSigner = SOURCE_X) -> Prepared:
    organisation = "org-x" if source is SOURCE_X else "org-y"
    return await prepare(service.context, ACTOR, organisation, events, source.signer)


async def recorded(service: CreditService, *events: Wanted, source: TransactionSigner = SOURCE_X) -> CreditBatch:
    made = await prepared(service, *events, source=source)
    organisation = "org-x" if source is SOURCE_X else "org-y"
    return await send(service.context, organisation, made.drawn.batch_id, source.sign(made.to_sign))


def rows(service: CreditService) -> list[CreditEvent]:
    with service.store.read() as session:
        return list(session.scalars(select(CreditEvent).order_by(CreditEvent.subject_id, CreditEvent.position)))


async def test_events_of_several_subjects_under_one_signature_stand_in_their_logs(service: CreditService) -> None:
    ann, bob = [await service.open_log(number) for number in ("440601199001011234", "440601199001015678")]
    batch = await recorded(
        service,
        wanted(service, ann, "1"),
        wanted(service, bob, "2"),
        wanted(service, ann, "3", number=101),
    )
    assert (batch.state, batch.code, batch.receipt != b"") == ("done", "", True)
    report = await make_report(service.context, ann)
    assert [entry.record.source for entry in report.verified.entries] == ["org-x", "org-x"]
    assert report.score.points == 600 + 70 - 60
    assert len((await make_report(service.context, bob)).verified.entries) == 1


async def test_event_that_nobody_signed_leaves_nothing_once_its_time_is_over(service: CreditService) -> None:
    ann = await service.open_log("440601199001011234")
    made = await prepared(service, wanted(service, ann))
    assert settle(service.context) == 0
    service.ledger.pass_blocks(10 * 60_000)
    assert settle(service.context) == 1
    assert rows(service) == []
    assert load_batch(service.context, "org-x", made.drawn.batch_id).state == "expired"
    assert (await recorded(service, wanted(service, ann))).state == "done"


async def test_answer_lost_after_the_ledger_took_a_batch_is_found_again_and_counted_once(
    service: CreditService,
) -> None:
    ann = await service.open_log("440601199001011234")
    service.ledger.loses_answers = True
    batch = await recorded(service, wanted(service, ann))
    assert batch.state == "signed"
    service.ledger.loses_answers = False
    later = context_of(service.rig, service.store, service.ledger)  # a new process: nothing but the store is left
    assert settle(later) == 1
    assert settle(later) == 0
    assert [row.position for row in rows(service)] == [0]
    assert len((await make_report(later, ann)).verified.entries) == 1


async def test_batch_signed_while_the_ledger_is_away_is_sent_again_and_executes_once(service: CreditService) -> None:
    ann = await service.open_log("440601199001011234")
    made = await prepared(service, wanted(service, ann))
    service.ledger.is_reachable = False
    batch = await send(service.context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))
    assert batch.state == "signed"
    service.ledger.is_reachable = True
    service.rig.clock_ms += 6_000
    assert await send_again(service.context) == 1
    assert await send_again(service.context) == 0
    assert [row.position for row in rows(service)] == [0]


async def test_two_batches_for_one_free_slot_leave_one_event_and_no_opening_of_the_other(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    first = await prepared(lite, wanted(lite, ann, "1"))
    second = await prepared(lite, wanted(lite, ann, "2"), source=SOURCE_Y)
    done = await send(lite.context, "org-y", second.drawn.batch_id, SOURCE_Y.sign(second.to_sign))
    late = await send(lite.context, "org-x", first.drawn.batch_id, SOURCE_X.sign(first.to_sign))
    assert (done.state, late.state, late.code) == ("done", "refused", "credit.slot-taken")
    assert [(row.source, row.position) for row in rows(lite)] == [("org-y", 0)]
    assert (await recorded(lite, wanted(lite, ann, "1"))).state == "done"


async def test_what_nodes_refuse_keeps_its_openings_until_it_can_no_longer_execute(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    made = await prepared(lite, wanted(lite, ann))
    lite.rig.clock_ms += 5 * 60_000 - 1
    with pytest.raises(Problem, match=r"credit\.batch-over"):
        await send(lite.context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))
    assert len(rows(lite)) == 1
    lite.ledger.pass_blocks(60_000)
    settle(lite.context)
    assert rows(lite) == []


async def test_signature_of_another_key_is_refused_and_nothing_is_sent(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    made = await prepared(lite, wanted(lite, ann))
    before = len(lite.ledger.sent)
    with pytest.raises(Problem, match=r"credit\.signature"):
        await send(lite.context, "org-x", made.drawn.batch_id, SOURCE_Y.sign(made.to_sign))
    with pytest.raises(Problem, match=r"credit\.unknown-batch"):
        await send(lite.context, "org-y", made.drawn.batch_id, SOURCE_Y.sign(made.to_sign))
    assert len(lite.ledger.sent) == before


async def test_key_of_another_organisation_or_of_the_registrar_prepares_no_batch(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    for key in (SOURCE_Y, KEEPER):
        with pytest.raises(Problem, match=r"credit\.rights"):
            await prepare(lite.context, ACTOR, "org-x", [wanted(lite, ann)], key.signer)


async def test_second_log_for_one_number_is_refused(service: CreditService) -> None:
    await service.open_log("440601199001011234")
    with pytest.raises(Problem, match=r"credit\.second-log"):
        add_subject(service.context, ACTOR, Kind.PERSON, "44060119 9001011234", "somebody else")


async def test_log_beyond_the_living_registrations_is_refused_by_the_ledger(lite: CreditService) -> None:
    for i in range(4):
        await lite.open_log(f"44060119900101123{i}")
    subject_id = add_subject(lite.context, ACTOR, Kind.PERSON, "440601199001019999", "one too many")
    assert await send_open(lite.context, subject_id) == "credit.second-log"
    with lite.store.read() as session:
        assert session.get_one(CreditSubject, subject_id).state == State.REFUSED


async def test_opening_of_a_log_that_broke_off_is_gone_on_with_and_opens_one_log(lite: CreditService) -> None:
    subject_id = add_subject(lite.context, ACTOR, Kind.PERSON, "440601199001011234", "王芳")
    lite.ledger.loses_answers = True
    with pytest.raises(TransportError):
        await send_open(lite.context, subject_id)
    lite.ledger.loses_answers = False
    assert await open_waiting(lite.context) == 1
    assert len([one for one in lite.ledger.sent if one.operations[0].type == "credit.OpenLog"]) == 1
    with lite.store.read() as session:
        assert session.get_one(CreditSubject, subject_id).state == State.OPEN


@pytest.mark.parametrize(
    ("code", "number", "content"),
    [
        ("credit.class", 999, ("none", 0, 0)),
        ("credit.severity", 101, ("none", 0, 0)),
        ("credit.severity", 301, ("minor", 0, 0)),
        ("credit.dates", 301, ("none", 1, 0)),
        ("credit.dates", 301, ("none", 0, 10)),
        ("credit.dates", 201, ("none", 0, 0)),
    ],
    ids=[
        "outside the catalogue",
        "negative without severity",
        "severity too high",
        "document before",
        "future",
        "pledge without end",
    ],
)
async def test_event_that_may_not_be_recorded_is_refused_with_its_place_and_reason(
    lite: CreditService, code: str, number: int, content: tuple[str, int, int]
) -> None:
    ann = await lite.open_log("440601199001011234")
    day = lite.context.today - 5
    bad = Wanted(ann, number, Content(content[0], day + content[1], day + content[2]), "bad")
    with pytest.raises(Problem, match=code) as refused:
        await prepared(lite, wanted(lite, ann, "good"), bad)
    assert refused.value.members["errors"] == [{"where": "events/1", "what": code}]
    assert rows(lite) == []


async def test_source_outside_its_rights_is_refused(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    with pytest.raises(Problem, match=r"credit\.rights"):
        await prepared(lite, wanted(lite, ann, number=201), source=SOURCE_Y)


async def test_same_event_twice_is_refused_in_one_batch_and_in_two(service: CreditService) -> None:
    ann = await service.open_log("440601199001011234")
    with pytest.raises(Problem, match=r"credit\.duplicate"):
        await prepared(service, wanted(service, ann, "1"), wanted(service, ann, "1"))
    await recorded(service, wanted(service, ann, "1"))
    with pytest.raises(Problem, match=r"credit\.duplicate"):
        await prepared(service, wanted(service, ann, "1"))
    assert (await recorded(service, wanted(service, ann, "1"), source=SOURCE_Y)).state == "done"


async def test_source_that_floods_a_rival_with_bad_events_is_stopped_for_the_day(lite: CreditService) -> None:
    rival = await lite.open_log("91440604MA1234567A", "对手公司", Kind.COMPANY)
    bad = [wanted(lite, rival, f"{i}", number=101) for i in range(FLOOD_MAX + 1)]
    with pytest.raises(Problem, match=r"credit\.flood"):
        await prepared(lite, *bad)
    assert (await recorded(lite, *bad[:FLOOD_MAX])).state == "done"
    with pytest.raises(Problem, match=r"credit\.flood"):
        await prepared(lite, bad[FLOOD_MAX])
    assert (await recorded(lite, bad[FLOOD_MAX], source=SOURCE_Y)).state == "done"
    lite.ledger.pass_blocks(86_400_001)
    assert (await recorded(lite, bad[FLOOD_MAX])).state == "done"


async def test_praise_of_a_source_ends_for_the_day_and_keeps_no_room_from_its_bad_events(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    good = [wanted(lite, ann, f"{i}") for i in range(OTHERS_MAX + 1)]
    with pytest.raises(Problem, match=r"credit\.flood") as refused:
        await prepared(lite, *good)
    assert refused.value.members["errors"] == [{"where": f"events/{OTHERS_MAX}", "what": "credit.flood"}]
    assert (await recorded(lite, *good[:OTHERS_MAX])).state == "done"
    with pytest.raises(Problem, match=r"credit\.flood"):
        await prepared(lite, good[OTHERS_MAX])
    bad = [wanted(lite, ann, f"bad {i}", number=101) for i in range(FLOOD_MAX + 1)]
    assert (await recorded(lite, *bad[:FLOOD_MAX])).state == "done"
    with pytest.raises(Problem, match=r"credit\.flood"):
        await prepared(lite, bad[FLOOD_MAX])
    lite.ledger.pass_blocks(86_400_001)
    assert (await recorded(lite, good[OTHERS_MAX])).state == "done"


@pytest.mark.parametrize("number", [101, 301], ids=["bad drafts", "good drafts"])
async def test_drafts_that_nobody_signs_keep_no_bad_event_out_of_the_log(lite: CreditService, number: int) -> None:
    ann = await lite.open_log("440601199001011234")
    await prepared(lite, *(wanted(lite, ann, f"draft {i}", number=number) for i in range(FLOOD_MAX)))
    assert (await recorded(lite, wanted(lite, ann, "bad", number=101))).state == "done"


async def test_many_batches_drawn_at_once_record_no_more_bad_events_than_a_day_allows(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    made = [
        await prepared(lite, *(wanted(lite, ann, f"{batch}-{i}", number=101) for i in range(FLOOD_MAX)))
        for batch in range(3)
    ]
    for one in made:
        await send(lite.context, "org-x", one.drawn.batch_id, SOURCE_X.sign(one.to_sign))
    assert len([row for row in rows(lite) if row.position is not None]) == FLOOD_MAX


async def test_log_filled_with_praise_has_room_for_bad_events(
    lite: CreditService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "EVENTS_MAX", 6)
    monkeypatch.setattr(drawing, "NEGATIVES_ROOM", 2)
    ann = await lite.open_log("440601199001011234")
    with pytest.raises(Problem, match=r"credit\.log-full"):
        await prepared(lite, *(wanted(lite, ann, f"{i}") for i in range(5)))
    await recorded(lite, *(wanted(lite, ann, f"{i}") for i in range(4)))
    for source in (SOURCE_X, SOURCE_Y):
        with pytest.raises(Problem, match=r"credit\.log-full"):
            await prepared(lite, wanted(lite, ann, "5"), source=source)
        assert (await recorded(lite, wanted(lite, ann, "bad", number=101), source=source)).state == "done"
    with pytest.raises(Problem, match=r"credit\.log-full"):
        await prepared(lite, wanted(lite, ann, "one too many", number=101))


async def test_erased_subject_leaves_events_on_the_ledger_that_nobody_opens(service: CreditService) -> None:
    ann = await service.open_log("440601199001011234")
    await recorded(service, wanted(service, ann))
    with service.store.read() as session:
        person = session.get_one(CreditSubject, ann).person_id
    service.store.erase(person)
    assert rows(service) == []
    with service.store.read() as session:
        assert session.scalar(select(func.count()).select_from(CreditSubject)) == 0
    assert settle(service.context) == 0


async def test_largest_batch_fits_one_transaction(lite: CreditService) -> None:
    subjects_ = [await lite.open_log(f"44060119900101123{i}") for i in range(4)]
    events = [wanted(lite, subjects_[i % 4], str(i)) for i in range(BATCH_EVENTS_MAX)]
    assert (await recorded(lite, *events)).state == "done"
    assert sorted({row.position for row in rows(lite)}) == list(range(BATCH_EVENTS_MAX // 4))
    report = await make_report(lite.context, subjects_[0])
    assert len(report.verified.entries) == BATCH_EVENTS_MAX // 4


async def test_batch_that_is_no_longer_at_hand_is_signed_and_settled_from_the_store(lite: CreditService) -> None:
    ann = await lite.open_log("440601199001011234")
    made = await prepared(lite, wanted(lite, ann, "a"), wanted(lite, ann, "b"))
    for i in range(DRAFTS_MAX):
        lite.context.drafts.keep(str(i), {}, None)
    assert lite.context.drafts.events(made.drawn.batch_id) is None
    done = await send(lite.context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))
    assert done.state == "done"
    assert [row.position for row in rows(lite)] == [0, 1]
    assert len((await make_report(lite.context, ann)).event_ids) == 2


async def test_subject_erased_between_drawing_and_signing_leaves_the_others_events_in_place(
    lite: CreditService,
) -> None:
    ann, bob = [await lite.open_log(number) for number in ("440601199001011234", "440601199001015678")]
    made = await prepared(lite, wanted(lite, ann, "a"), wanted(lite, bob, "b"))
    with lite.store.read() as session:
        person = session.get_one(CreditSubject, ann).person_id
    lite.store.erase(person)
    done = await send(lite.context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))
    assert done.state == "done"
    assert [(row.subject_id, row.position) for row in rows(lite)] == [(bob, 0)]
    assert lite.context.drafts.events(made.drawn.batch_id) is None


def test_looking_into_the_index_waits_for_no_writer(tmp_path: Path) -> None:
    engine = make_engine(StoreSettings(url=f"sqlite:///{tmp_path / 'index.sqlite'}", busy_ms=10))
    SlotSubscriber.metadata.create_all(engine)
    with engine.begin() as indexer:
        indexer.execute(insert(logs_table).values(log=bytes(32), closed=False))
        assert not SlotIndex(engine).has_log(bytes(32))
    assert SlotIndex(engine).has_log(bytes(32))
    engine.dispose()
