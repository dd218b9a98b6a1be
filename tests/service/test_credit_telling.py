# SPDX-License-Identifier: Apache-2.0
"""What happens to credit is told by the notices' gateway: to sources, to readers of reports, to whom it is about."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from credit_service_rig import DAY_MS, CreditDesk, credit_desk
from sqlalchemy import select
from store_rig import Rig

from credit.api import consents, ends, telling
from credit.api.base import date_of
from credit.api.page_tables import CreditContact
from credit.api.reports import make_report, report_for
from credit.api.requests import dispute, follow_requests
from identity.api.desk.details import Details, DocumentKind
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from service.notices.kinds import wording
from service.notices.tables import Notice
from service.sign_in.roles import Role

ANN = "440601199001011234"
MAIL, SOURCE, READER = "ann@example.org", "desk@source.example.org", "+8675712345678"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig) as made:
        yield made


async def penalised(desk: CreditDesk, severity: str = "serious") -> str:
    """Ann, with one penalty of ten days ago."""
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    day = (date_of(desk.service.context.today) - timedelta(days=10)).isoformat()
    fields = {"number": ANN, "event_class": "101", "severity": severity, "reference": "P-1"}
    await clerk.post_and_sign("/attest", **fields, occurred=day, document=day)
    return ann


def told(desk: CreditDesk) -> list[tuple[str, str]]:
    """Each notice in the outbox: what about, and where to."""
    people = desk.store.people
    with desk.store.read() as session:
        rows = session.scalars(select(Notice).order_by(Notice.at_ms, Notice.kind)).all()
        return [(row.kind, people.open(session, row, Notice.channel) or "") for row in rows]


async def test_objection_and_its_answer_are_told_to_the_source_the_person_and_readers_of_earlier_reports(
    desk: CreditDesk,
) -> None:
    context, ann = desk.service.context, await penalised(desk)
    holder = await desk.holder(ann)
    assert (await holder.post("/me/contact", channels=f" {MAIL} ")).status_code == 303
    assert MAIL in (await holder.get("/me/readers")).text
    boss = await desk.officer("org-x", Role.SUPERVISOR, "He Lan")
    assert (await boss.post("/clients/contact", channels=SOURCE)).status_code == 303
    assert SOURCE in (await boss.get("/clients")).text
    telling.set_channels(context, "0" * 32, "org-y", [READER])
    await consents.give(context, ann, "org-y", "tender", 30)
    await report_for(context, ann, "org-y", "tender")
    (event_id,) = (await make_report(context, ann)).event_ids
    assert told(desk) == []
    request = await dispute(context, ann, event_id, "It was a small thing")
    assert told(desk) == [("credit-answer-due", SOURCE)]
    approver = await desk.officer("org-x", Role.APPROVER, "Chen Hua")
    await approver.post_and_sign(f"/requests/{request}/answer", verdict="withdraw", answer="You are right")
    assert set(told(desk)[1:]) == {("credit-answered", MAIL), ("credit-report-changed", READER)}
    follow_requests(context)
    await make_report(context, ann)
    assert len(told(desk)) == 3


async def test_record_that_counts_against_somebody_is_told_to_them_once_and_no_other_one_is(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    telling.set_channels(context, "0" * 32, ann, [MAIL])
    clerk = await desk.officer("org-x", Role.CLERK)
    day = (date_of(context.today) - timedelta(days=10)).isoformat()
    fields = {"number": ANN, "occurred": day, "document": day}
    await clerk.post_and_sign("/attest", **fields, event_class="301", severity="none", reference="P-1")
    assert not ends.are_recorded_waiting(context)
    await clerk.post_and_sign("/attest", **fields, event_class="101", severity="minor", reference="P-2")
    await clerk.post_and_sign("/attest", **fields, event_class="101", severity="minor", reference="P-3")
    assert told(desk) == []
    assert ends.are_recorded_waiting(context)
    with pytest.MonkeyPatch.context() as patched:  # killed before its commit: nothing was told, nothing is lost
        patched.setattr(ends, "delete", broken)
        with pytest.raises(ZeroDivisionError):
            ends.tell_recorded(context)
    assert told(desk) == []
    assert ends.tell_recorded(context)
    assert not ends.tell_recorded(context)
    assert told(desk) == [("credit-recorded", MAIL)]


async def test_clock_of_a_source_that_runs_out_is_told_to_both_sides(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await penalised(desk)
    for owner, channel in ((ann, MAIL), ("org-x", SOURCE)):
        telling.set_channels(context, "0" * 32, owner, [channel])
    (event_id,) = (await make_report(context, ann)).event_ids
    await dispute(context, ann, event_id, "no")
    desk.service.ledger.pass_blocks(20 * DAY_MS)
    follow_requests(context)
    assert set(told(desk)[1:]) == {("credit-answer-late", SOURCE), ("credit-escalated", MAIL)}


@pytest.fixture
async def penalty(desk: CreditDesk) -> str:
    """Ann, who is told, with a minor penalty whose publication ends in 82 days, and a pass that was made today."""
    ann = await penalised(desk, "minor")
    telling.set_channels(desk.service.context, "0" * 32, ann, [MAIL])
    assert not ends.tell_of_ends(desk.service.context)
    return ann


LEFT_DAYS = 82


async def test_end_of_publication_is_told_on_the_day_after_and_once(desk: CreditDesk, penalty: str) -> None:
    context = desk.service.context
    assert penalty
    desk.rig.clock_ms += LEFT_DAYS * DAY_MS
    ends.tell_of_ends(context)
    assert told(desk) == []
    for _ in range(2):
        desk.rig.clock_ms += DAY_MS
        for _ in range(2):
            ends.tell_of_ends(context)
        assert told(desk) == [("credit-publication-over", MAIL)]


async def test_end_of_publication_while_the_service_stood_still_is_told_once_its_index_is_whole_again(
    desk: CreditDesk, penalty: str
) -> None:
    context = desk.service.context
    assert penalty
    desk.rig.clock_ms += (LEFT_DAYS + 30) * DAY_MS
    with pytest.MonkeyPatch.context() as patched:  # it is being filled anew
        patched.setattr(ends, "scored_events", lambda _context, _session, rows: {row.id: [] for row in rows})
        assert not ends.tell_of_ends(context)
    assert told(desk) == []
    ends.tell_of_ends(context)
    assert told(desk) == [("credit-publication-over", MAIL)]
    desk.rig.clock_ms += 2 * DAY_MS
    ends.tell_of_ends(context)
    assert len(told(desk)) == 1


async def test_end_of_publication_long_ago_is_told_nobody(desk: CreditDesk, penalty: str) -> None:
    assert penalty
    desk.rig.clock_ms += (LEFT_DAYS + 1 + ends.CATCH_UP_DAYS_MAX) * DAY_MS
    ends.tell_of_ends(desk.service.context)
    assert told(desk) == []


async def test_pass_that_is_killed_anywhere_goes_on_and_tells_each_person_once(
    desk: CreditDesk, penalty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = desk.service.context
    assert penalty
    for number in ("440601199001012018", "440601199001013010"):
        await desk.service.open_log(number)
    monkeypatch.setattr(ends, "STEP", 1)
    desk.rig.clock_ms += (LEFT_DAYS + 1) * DAY_MS
    steps = 0
    while True:
        killed = monkeypatch.context()
        with killed as patched:  # each step breaks before its commit, and is done again
            patched.setattr(ends, "_tell", broken)
            with pytest.raises(ZeroDivisionError):
                ends.tell_of_ends(context)
        steps += 1
        if not ends.tell_of_ends(context):
            break
    assert steps == 4
    assert told(desk) == [("credit-publication-over", MAIL)]


def broken(*_arguments: object) -> None:
    raise ZeroDivisionError


async def test_person_whom_the_desk_registered_is_told_where_officers_confirmed(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await penalised(desk)
    details = Details(DocumentKind.RESIDENT_CARD, ANN, "王芳", "1990-01-01", phone="13800138000")
    with desk.store.write() as session:
        people = desk.store.people
        row = DeskPerson(person_id=people.add(session), organisation="org-r", state=PersonState.ACTIVE)
        row.created_ms = row.changed_ms = 1
        people.seal(session, row, DeskPerson.number, ANN)
        people.seal(session, row, DeskPerson.details, details.encode())
    with desk.store.write() as session:
        assert telling.tell_subject(context, session, telling.LISTED, ann) == 1
    assert told(desk) == [("credit-listed", "13800138000")]


async def test_what_is_no_number_or_address_is_kept_nowhere(desk: CreditDesk) -> None:
    holder = await desk.holder(await desk.service.open_log(ANN))
    for channels in ("me", "a@example.org, b@example.org, c@example.org", "+1", "a b@example.org"):
        assert (await holder.post("/me/contact", channels=channels)).status_code == 422, channels
    with desk.store.read() as session:
        assert session.scalar(select(CreditContact.id)) is None


async def test_who_wrote_nothing_down_is_told_nothing_and_may_take_it_back(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    for channels in (MAIL, ""):
        assert (await holder.post("/me/contact", channels=channels)).status_code == 303
    with desk.store.write() as session:
        assert telling.tell_subject(context, session, telling.LISTED, ann) == 0
        assert telling.tell_organisation(context, session, telling.ANSWER_DUE, "org-x") == 0


def test_each_notice_has_words_in_both_languages_that_say_nothing_of_anybody() -> None:
    kinds = [one for one in vars(telling).values() if isinstance(one, telling.NoticeKind)]
    assert len(kinds) == 12
    for kind in kinds:
        subject, text = wording(kind, None, {})
        assert "信用" in subject
        assert "Credit" in subject
        assert not any(character in text for character in "{}0123456789@/")
