# SPDX-License-Identifier: Apache-2.0
"""Consents count as the ledger has them, and each look stands in the person's own list there, whole or refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from credit_service_rig import ACTOR, KEEPER, SOURCE_X, CreditService, context_of, credit_service
from sqlalchemy import select
from store_rig import Rig
from test_credit_crashes import Killed, mortal

from chain import receipt
from chain.errors import LedgerError
from chain.transaction import Operation
from client.errors import TransportError
from credit.api import accesses, consents
from credit.api.batches import prepare, send
from credit.api.drawing import Wanted
from credit.api.reading import StoredAccesses
from credit.api.reports import report_for
from credit.api.tables import CreditAccess, CreditConsent
from credit.pb import credit_pb2 as pb
from credit.slots import Content
from identity import access
from identity.access_rules import BATCH_SIZES
from identity.consents import consent_key, counts, decode_consent, load_consent
from identity.pb import access_pb2, identity_pb2
from service.problems import Problem
from tests.rig import transaction

DAY_MS = 86_400_000


@pytest.fixture
def lite(sqlite_rig: Rig) -> Iterator[CreditService]:
    with credit_service(sqlite_rig) as made:
        yield made


@pytest.fixture
async def ann(lite: CreditService) -> str:
    return await lite.open_log("440601199001011234")


def sent(service: CreditService, kind: str) -> list[Operation]:
    return [one for each in service.ledger.sent for one in each.operations if one.type == f"identity.{kind}"]


async def listed(service: CreditService, subject_id: str) -> list[access.Access]:
    """What the person's own device learns from genesis alone."""
    found: list[access.Access] = []
    for one in await accesses.reports(service.context, subject_id):
        found += access.verify(one.report, one.first_slot, service.context.ledger.genesis).accesses
    return found


def rows(service: CreditService) -> list[CreditConsent]:
    with service.store.read() as session:
        return list(session.scalars(select(CreditConsent).order_by(CreditConsent.made_ms)))


# ---------------------------------------------------------------- consents


async def test_report_shows_the_consent_by_which_it_was_read_and_its_state_on_the_ledger(
    lite: CreditService, ann: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    found = await report_for(lite.context, ann, "org-y", "tender")
    proven = receipt.verify(found.consent.receipt, lite.context.ledger.genesis)
    states = {one.key: one.value for one in proven.states}
    kept = found.consent.kept
    assert counts(load_consent(states.get, kept.commitment), proven.checkpoint.time_ms)
    content = decode_consent(kept.content)
    assert (content.organisation, content.purpose) == ("org-y", 13)
    assert ann not in lite.ledger.state.__repr__()


async def test_consent_that_the_store_alone_has_lets_nobody_read(lite: CreditService, ann: str) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    del lite.ledger.state[consent_key(rows(lite)[0].commitment)]
    with pytest.raises(Problem, match=r"credit\.consent"):
        await report_for(lite.context, ann, "org-y", "tender")
    assert await listed(lite, ann) == []


async def test_consent_that_its_organisation_ended_on_the_ledger_lets_it_read_no_more(
    lite: CreditService, ann: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    kept = (await consents.check(lite.context, ann, "org-y", "tender")).kept

    ended = identity_pb2.EndConsent(commitment=kept.commitment, proof=kept.party)
    assert lite.ledger.codes(transaction([ended], [KEEPER.signer], lite.ledger.time_ms + 10_000, 900)) == [""]
    with pytest.raises(Problem, match=r"credit\.consent"):
        await report_for(lite.context, ann, "org-y", "tender")


async def test_consent_given_anew_ends_the_one_before_in_the_same_transaction(lite: CreditService, ann: str) -> None:
    first = await consents.give(lite.context, ann, "org-y", "tender", 3)
    second = await consents.give(lite.context, ann, "org-y", "tender", 1)
    assert [one.id for one in consents.listed(lite.context, ann) if not one.ended_ms] == [second] != [first]
    lite.ledger.pass_blocks(DAY_MS)
    with pytest.raises(Problem, match=r"credit\.consent"):
        await consents.check(lite.context, ann, "org-y", "tender")


async def test_nothing_is_read_while_the_ledger_cannot_be_asked_for_the_consent(lite: CreditService, ann: str) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    lite.ledger.is_reachable = False
    with pytest.raises(TransportError):
        await report_for(lite.context, ann, "org-y", "tender")


@pytest.mark.parametrize("way", ["the ledger took it", "it never arrived"])
async def test_consent_whose_giving_broke_off_counts_if_the_ledger_has_it_and_goes_otherwise(
    lite: CreditService, ann: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_transaction: object) -> None:
        raise TransportError("the connection broke")

    with monkeypatch.context() as broken:
        lite.ledger.loses_answers = True
        if way == "it never arrived":
            broken.setattr(lite.ledger, "submit_one", lost)
        with pytest.raises(TransportError):
            await consents.give(lite.context, ann, "org-y", "tender", 3)
    lite.ledger.loses_answers = False
    assert consents.listed(lite.context, ann) == []
    lite.ledger.pass_blocks(20 * 60_000)
    assert await consents.follow(lite.context) == 1
    assert len(consents.listed(lite.context, ann)) == (way == "the ledger took it") == len(rows(lite))


async def test_somebody_else_ends_no_consent(lite: CreditService, ann: str) -> None:
    bob = await lite.open_log("440601199001015678")
    consent = await consents.give(lite.context, ann, "org-y", "tender", 3)
    await consents.end(lite.context, bob, consent)
    assert sent(lite, "EndConsent") == []
    await consents.end(lite.context, ann, consent)
    assert len(sent(lite, "EndConsent")) == 1
    await consents.end(lite.context, ann, consent)
    assert len(sent(lite, "EndConsent")) == 1


# ---------------------------------------------------------------- accesses


async def test_each_look_stands_in_the_persons_list_before_anything_is_handed_out(
    lite: CreditService, ann: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    await report_for(lite.context, ann, "org-y", "tender")
    await report_for(lite.context, ann, "org-y", "tender")
    found = await listed(lite, ann)
    contents = [
        (one.content.organisation, one.content.purpose, list(one.content.attributes)) for one in found if one.content
    ]
    assert contents == [("org-y", 13, ["credit-tender/report"])] * 2
    assert await listed(lite, await lite.open_log("440601199001015678")) == []


async def test_looks_go_out_among_decoys_and_two_of_one_person_in_two_batches(lite: CreditService, ann: str) -> None:
    bob = await lite.open_log("440601199001015678")
    with lite.store.write() as session:
        for subject_id in (ann, ann, bob):
            StoredAccesses(lite.context).note(session, subject_id, "org-x", "attest", "handle", {})
    assert await accesses.enter(lite.context) == 2
    assert await accesses.enter(lite.context) == 1
    assert await accesses.enter(lite.context) == 0
    batches = [identity_pb2.RecordAccesses.FromString(one.body) for one in sent(lite, "RecordAccesses")]
    assert [len(batch.entries) for batch in batches] == [BATCH_SIZES[0]] * 2
    assert (len(await listed(lite, ann)), len(await listed(lite, bob))) == (2, 1)


async def test_many_looks_at_one_person_hold_up_neither_others_nor_that_persons_reports(
    lite: CreditService, ann: str
) -> None:
    bob = await lite.open_log("440601199001015678")
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    with lite.store.write() as session:
        for _ in range(BATCH_SIZES[-1] + 1):
            StoredAccesses(lite.context).note(session, ann, "org-x", "attest", "handle", {})
        StoredAccesses(lite.context).note(session, bob, "org-x", "attest", "handle", {})
    assert await accesses.enter(lite.context) == 2
    await report_for(lite.context, ann, "org-y", "tender")
    assert [len(await listed(lite, who)) for who in (ann, bob)] == [2, 1]


async def test_report_is_refused_while_its_look_cannot_be_entered_and_the_look_is_entered_later(
    lite: CreditService, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)

    async def away(_transaction: object) -> None:
        raise TransportError("no node answers")

    with monkeypatch.context() as patched:
        patched.setattr(lite.ledger, "submit_one", away)
        with pytest.raises(TransportError):
            await report_for(lite.context, ann, "org-y", "tender")
    assert await accesses.enter(lite.context) == 1
    assert len(await listed(lite, ann)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_process_killed_at_any_commit_of_an_entry_leaves_the_look_in_the_list_once(
    lite: CreditService, ann: str, after: bool
) -> None:
    for at in range(20):
        with lite.store.write() as session:
            StoredAccesses(lite.context).note(session, ann, "org-x", "attest", "handle", {})
        try:
            await accesses.enter(mortal(lite, at, after=after))
            is_killed = False
        except Killed:
            is_killed = True
        await accesses.enter(context_of(lite.rig, lite.store, lite.ledger))
        found = await listed(lite, ann)
        assert len(found) == at + 1
        assert all(one.content is not None for one in found)
        if not is_killed:
            assert at >= 4
            return
    raise AssertionError("an entry has more commits than this test kills at")


async def test_report_of_accesses_with_an_entry_left_out_is_refused(lite: CreditService, ann: str) -> None:
    for _ in range(2):
        with lite.store.write() as session:
            StoredAccesses(lite.context).note(session, ann, "org-x", "attest", "handle", {})
        await accesses.enter(lite.context)
    (whole,) = await accesses.reports(lite.context, ann)
    message: Any = access_pb2.AccessReport.FromString(whole.report)
    del message.openings[1:]
    with pytest.raises(LedgerError):
        access.verify(message.SerializeToString(deterministic=True), whole.first_slot, lite.context.ledger.genesis)


async def test_look_whose_slot_another_writer_took_is_entered_in_the_next(lite: CreditService, ann: str) -> None:
    with lite.store.write() as session:
        StoredAccesses(lite.context).note(session, ann, "org-x", "attest", "handle", {})
    waiting = accesses._waiting(lite.context)  # the moment between drawing and sending
    (access_id,) = waiting
    drawn = await accesses._draw(lite.context, access_id)  # likewise
    assert drawn is not None
    theirs = access.make_entry(drawn.slot, drawn.link, drawn.content, bytes(32))
    batch = access.make_batch([theirs])
    assert lite.ledger.codes(transaction([batch], [KEEPER.signer], lite.ledger.time_ms + 10_000, 901)) == [""]
    assert await accesses.enter(lite.context) == 0
    assert await accesses.enter(lite.context) == 1
    assert [one.content is None for one in await listed(lite, ann)] == [True, False]
    with lite.store.read() as session:
        assert session.scalars(select(CreditAccess.entered_ms)).one() > 0


# ---------------------------------------------------------------- batches on the chain


async def test_events_of_one_person_are_no_neighbours_in_the_transaction_that_records_them(
    lite: CreditService, ann: str
) -> None:
    bob = await lite.open_log("440601199001015678")
    day = lite.context.today
    wanted = [Wanted(who, 301, Content("none", day, day), f"{who}-{i}") for who in (ann, bob) for i in range(12)]
    asked = [
        [event.slot for event in made.drawn.events] == [slot_of(one) for one in made.drawn.operations]
        for made in [await prepare(lite.context, ACTOR, "org-x", wanted, SOURCE_X.signer)]
    ]
    assert asked == [False]  # in the order asked by chance: once in 24! runs


async def test_signed_batches_go_out_on_the_tick(lite: CreditService, ann: str) -> None:
    context = replace(lite.context, tick_ms=200, now=lambda: lite.rig.clock_ms + 150)
    day = context.today
    made = await prepare(context, ACTOR, "org-x", [Wanted(ann, 301, Content("none", day, day), "1")], SOURCE_X.signer)
    waited: list[float] = []

    async def passed() -> None:
        waited.append(1)

    context.batch_tick.pass_by = passed  # type: ignore[method-assign]  # that it is waited for is what counts
    done = await send(context, "org-x", made.drawn.batch_id, SOURCE_X.sign(made.to_sign))
    assert (done.state, waited) == ("done", [1])


def slot_of(one: Operation) -> bytes:
    return pb.RecordEvent.FromString(one.body).slot


async def test_access_report_of_a_person_is_theirs_alone(lite: CreditService, ann: str) -> None:
    with lite.store.write() as session:
        StoredAccesses(lite.context).note(session, ann, "org-x", "attest", "handle", {})
    await accesses.enter(lite.context)
    (mine,) = await accesses.reports(lite.context, ann)
    (theirs,) = await accesses.reports(lite.context, await lite.open_log("440601199001015678"))
    assert mine.first_slot != theirs.first_slot
    with pytest.raises(LedgerError):
        access.verify(mine.report, theirs.first_slot, lite.context.ledger.genesis)
