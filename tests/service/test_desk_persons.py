# SPDX-License-Identifier: Apache-2.0
"""The desk's work on natural persons, over the real rules of the ledger and on both databases."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from desk_rig import At, DeskRig, desk_rig, form, resident
from sqlalchemy import select
from store_rig import Rig

from chain.errors import Refused
from identity.api.desk import deciding, enrolling, persons, recovering
from identity.api.desk.cases import history
from identity.api.desk.details import Details, Method
from identity.api.desk.follow import follow, follow_all, send_again
from identity.api.desk.looking_up import LOOK_MS, Reason, look_up, require_reason
from identity.api.desk.problems import (
    KNOWN_ELSEWHERE,
    NO_TAG,
    NOT_AS_PROPOSED,
    NOT_NOW,
    ON_ITS_WAY,
    OWN_WORK,
    REASON_NEEDED,
    UNDER_WAY,
    UNKNOWN_CASE,
)
from identity.api.desk.states import CaseKind
from identity.api.desk.tables import DeskAccess, DeskDuplicate, DeskPerson
from identity.pb import identity_pb2 as pb
from identity.registrations import PROPOSAL_LIFETIME_MS, RECOVERED_MS, load_person
from service.notices.tables import Notice
from service.problems import Problem, ProblemKind
from service.sign_in.people import invite
from service.sign_in.roles import Role
from service.store import audit


@pytest_asyncio.fixture
async def desk(rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(rig) as made:
        yield made


async def submitted(desk: DeskRig, clerk: At, index: int = 0, **changes: str) -> str:
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), form(resident(index), **changes))
    checked = await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    assert not checked.errors
    return case_id


async def proposed(desk: DeskRig, clerk: At, index: int = 0, **changes: str) -> str:
    case_id = await submitted(desk, clerk, index, **changes)
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    assert desk.case_state(case_id) == "proposed"
    return case_id


async def approved(desk: DeskRig, clerk: At, approver: At, index: int = 0, **changes: str) -> str:
    case_id = await proposed(desk, clerk, index, **changes)
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    assert desk.case_state(case_id) == "done"
    return case_id


async def signed(desk: DeskRig, officer: At, case_id: str, act_id: str) -> None:
    answer = await officer.sign(act_id)
    assert answer.status_code == 200, answer.text
    follow(desk.context, case_id)


def person_of(desk: DeskRig, case_id: str) -> str:
    return desk.case(case_id).person_id


def opened(desk: DeskRig, person_id: str) -> persons.Found:
    with desk.store.read() as session:
        row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
        assert row is not None
        return persons.read(desk.context, session, row)


def record_of(desk: DeskRig, person_id: str) -> pb.PersonRecord | None:
    return load_person(desk.ledger.state.get, opened(desk, person_id).secrets.registration_id)


class Refusal:
    """Expects a problem of one kind."""

    def __init__(self, kind: ProblemKind) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _trace: object) -> bool:
        assert isinstance(error, Problem), f"no problem but {error!r}"
        assert error.kind == self.kind
        return True


# ---------------------------------------------------------------- looking up


async def test_nothing_of_a_person_is_open_before_a_reason_and_each_look_is_the_persons_to_see(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))
    other = (await desk.officer(name="He Yong")).browser.officer()
    with desk.store.read() as session, Refusal(REASON_NEEDED):
        require_reason(desk.context, session, other, person_id)
    assert list(look_up(desk.context, other, Reason.COMPLAINT, resident().id_number)) == [person_id]
    with desk.store.read() as session:
        require_reason(desk.context, session, other, person_id)
        entries = session.scalars(select(DeskAccess).where(DeskAccess.person_id == person_id)).all()
    assert [one.number for one in sorted(entries, key=lambda one: one.number)] == list(range(1, len(entries) + 1))
    (look,) = [one for one in entries if one.staff_id == other.staff_id]
    assert (look.reason, look.role, look.organisation) == ("complaint", "clerk", "org-r")
    desk.wait(LOOK_MS)
    with desk.store.read() as session, Refusal(REASON_NEEDED):
        require_reason(desk.context, session, other, person_id)
    assert desk.acts().count("look-up.made") == 1


async def test_look_of_an_investigation_is_counted_at_once_and_shown_later(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    await approved(desk, clerk, approver)
    other = (await desk.officer(name="He Yong")).browser.officer()
    look_up(desk.context, other, Reason.INVESTIGATION, resident().name)
    with desk.store.read() as session:
        row = session.scalar(select(DeskAccess).where(DeskAccess.staff_id == other.staff_id))
    assert row is not None
    assert row.number > 1
    assert row.visible_after_ms > row.at_ms


@pytest.mark.parametrize("wanted", ["number", "name", "phone", "spaced number"])
async def test_person_is_found_by_number_name_or_phone_and_by_nothing_near_it(desk: DeskRig, wanted: str) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))
    one, officer = resident(), clerk.browser.officer()
    known = {"number": one.id_number, "name": one.name, "phone": "139-0000-1234", "spaced number": one.id_number[:6]}
    spaced = f"{one.id_number[:6]} {one.id_number[6:14]} {one.id_number[14:]}"
    asked = spaced if wanted == "spaced number" else known[wanted]
    assert list(look_up(desk.context, officer, Reason.COUNTER, asked)) == [person_id]
    assert not look_up(desk.context, officer, Reason.COUNTER, known[wanted][:-1] if wanted != "name" else "陈")


# ---------------------------------------------------------------- enrolment


async def test_enrolment_that_two_officers_sign_counts_and_the_ledger_commits_to_what_they_saw(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await approved(desk, clerk, approver)
    found = opened(desk, person_of(desk, case_id))
    record = record_of(desk, person_of(desk, case_id))
    assert record is not None
    assert record.status == pb.PERSON_STATUS_ACTIVE
    assert found.details is not None
    assert record.commitment == found.details.commitment(bytes.fromhex(found.secrets.salt))
    assert found.state == "active"
    assert (
        found.details.born
        == f"{resident().id_number[6:10]}-{resident().id_number[10:12]}-{resident().id_number[12:14]}"
    )
    with desk.store.read() as session:
        kinds = set(session.scalars(select(Notice.kind)))
        assert audit.verify_chain(session) > 0
    assert kinds == {"enrol-approved"}


async def test_draft_with_faults_is_kept_as_typed_and_each_fault_is_named(desk: DeskRig) -> None:
    clerk = await desk.officer()
    typed = form(resident(), number="110105194912310021", name="陈\ue000", phone="12", sex="male")
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), typed)
    for language, word in (("en", "check"), ("zh-CN", "校验")):
        checked = await enrolling.submit(desk.context, clerk.browser.officer(), case_id, language)
        assert set(checked.errors) == {"number", "name", "phone"}
        assert word in checked.errors["number"]
    assert desk.case_state(case_id) == "draft"
    assert not desk.ledger.sent


async def test_clerk_cannot_approve_their_own_work_here_nor_with_a_second_key_on_the_ledger(desk: DeskRig) -> None:
    clerk = await desk.officer(person="ann")
    case_id = await proposed(desk, clerk)
    with Refusal(OWN_WORK):
        await deciding.approve(clerk.signing, case_id)
    twin = await desk.officer(Role.APPROVER, person="ann")  # another account of the same person
    await signed(desk, twin, case_id, await deciding.approve(twin.signing, case_id))
    assert desk.case_state(case_id) == "proposed"
    assert desk.case(case_id).code == "identity.own-proposal"


async def test_proposal_that_the_ledger_shows_otherwise_is_not_approved(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    with desk.store.write() as session:  # somebody with the database changes what the approver would be shown
        case = desk.case(case_id)
        session.add(case)
        values = enrolling.content(desk.context, session, case)
        altered = Details.decode(values["details"]).encode().replace("同济", "季华")
        enrolling.write(desk.context, session, case, values | {"details": altered})
    with Refusal(NOT_AS_PROPOSED):
        await deciding.approve(approver.signing, case_id)


async def test_case_returned_for_correction_is_proposed_anew_under_another_id(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    first = opened(desk, person_of(desk, case_id)).secrets.registration_id
    deciding.give_back(approver.signing, case_id, "The address is another")
    assert desk.case_state(case_id) == "returned"
    enrolling.save(
        desk.context, clerk.browser.officer(), case_id, form(resident(), address="佛山市禅城区汾江南路 1 号")
    )
    checked = await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    assert not checked.errors
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    second = opened(desk, person_of(desk, case_id)).secrets.registration_id
    assert first != second
    assert desk.ledger.status(first) == pb.PERSON_STATUS_WITHDRAWN
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    assert desk.ledger.status(second) == pb.PERSON_STATUS_ACTIVE


async def test_approval_prepared_before_a_correction_can_no_longer_be_signed(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    act_id = await deciding.approve(approver.signing, case_id)
    enrolling.save(desk.context, clerk.browser.officer(), case_id, form(resident(), name="陈改名"))
    shown = desk.to_sign.find(desk.office, approver.browser.officer(), act_id).shown
    answer = await approver.browser.post(f"/acts/{act_id}/options", {"shown": shown})
    assert (answer.status_code, answer.json()["code"]) == (410, "act.expired")


async def test_proposal_that_ran_out_is_refused_and_proposed_anew(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    desk.wait(PROPOSAL_LIFETIME_MS)
    for officer in (clerk, approver):
        await officer.browser.sign_in(officer.device)
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    assert (desk.case_state(case_id), desk.case(case_id).code) == ("proposed", "identity.proposal-expired")
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    assert desk.case_state(case_id) == "done"


async def test_approval_signed_while_the_ledger_is_out_of_reach_is_kept_and_sent_again(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    act_id = await deciding.approve(approver.signing, case_id)
    desk.ledger.is_reachable = False
    await signed(desk, approver, case_id, act_id)
    assert desk.case_state(case_id) == "proposed"
    with Refusal(ON_ITS_WAY):  # nobody changes what is on its way
        enrolling.save(desk.context, clerk.browser.officer(), case_id, form(resident()))
    desk.wait(10_000)
    assert await send_again(desk.context) == 0
    desk.ledger.is_reachable = True
    assert await send_again(desk.context) == 1
    assert follow_all(desk.context) == 1
    assert desk.case_state(case_id) == "done"


async def test_case_follows_its_act_once_however_often_it_is_looked_at(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await approved(desk, clerk, approver)
    for _ in range(3):
        follow(desk.context, case_id)
    with desk.store.read() as session:
        steps = [step.step for step in history(session, case_id)]
    assert steps == ["open", "submit", "propose", "confirm"]


# ---------------------------------------------------------------- one registration for each person


async def test_two_desks_that_enrol_the_same_number_at_once_go_on_with_one(desk: DeskRig) -> None:
    clerk, other = await desk.officer(), await desk.officer(name="He Yong")
    officers = [clerk.browser.officer(), other.browser.officer()]
    cases = [enrolling.begin(desk.context, officer, form(resident())) for officer in officers]
    ended = await asyncio.gather(
        *(enrolling.submit(desk.context, officer, one, "en") for officer, one in zip(officers, cases, strict=True)),
        return_exceptions=True,
    )
    (refused,) = [one for one in ended if isinstance(one, BaseException)]
    assert isinstance(refused, Problem)
    assert refused.kind == UNDER_WAY
    assert sorted(desk.case_state(one) for one in cases) == ["draft", "ready"]


async def test_person_whose_tag_stands_on_the_ledger_for_another_registrar_is_not_enrolled(desk: DeskRig) -> None:
    clerk = await desk.officer()
    await desk.tagger.register("resident", resident().id_number, b"r" * 32, b"h" * 32)
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), form(resident()))
    with Refusal(KNOWN_ELSEWHERE):
        await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    assert desk.case_state(case_id) == "draft"


async def test_person_whom_another_registrar_tags_before_the_approval_is_not_approved(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    await desk.tagger.register("resident", resident().id_number, b"r" * 32, b"h" * 32)
    with pytest.raises(Refused) as refused:
        await deciding.approve(approver.signing, case_id)
    assert refused.value.code == "identity.tag-taken"


async def test_without_the_uniqueness_service_nobody_is_enrolled_and_nothing_is_lost(desk: DeskRig) -> None:
    clerk = await desk.officer()
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), form(resident()))
    desk.tagger.is_reachable = False
    with Refusal(NO_TAG):
        await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    desk.tagger.is_reachable = True
    assert not (await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")).errors


async def test_person_alike_under_another_number_waits_for_a_supervisor(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    boss = (await desk.officer(Role.SUPERVISOR)).browser.officer()
    await approved(desk, clerk, approver)
    one = resident()
    born = f"{one.id_number[6:10]}-{one.id_number[10:12]}-{one.id_number[12:14]}"
    passport = form(one, document="passport", number="E12345678", country="CHN", born=born)
    held = []
    for number in ("E12345678", "E87654321"):
        case_id = enrolling.begin(desk.context, clerk.browser.officer(), passport | {"number": number})
        assert not (await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")).errors
        assert desk.case_state(case_id) == "adjudication"
        held.append(case_id)
    with desk.store.read() as session:
        rows = {row.case_id: row.id for row in session.scalars(select(DeskDuplicate))}
    enrolling.decide(desk.context, boss, rows[held[0]], same=False)
    assert desk.case_state(held[0]) == "ready"
    enrolling.decide(desk.context, boss, rows[held[1]], same=True)
    assert desk.case_state(held[1]) in {"adjudication", "dropped"}
    with Refusal(NOT_NOW):
        enrolling.decide(desk.context, boss, rows[held[0]], same=True)


async def test_minor_needs_a_registered_adult_and_a_child_the_guardians_consent(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    child = {"document": "passport", "number": "E11112222", "country": "CHN", "name": "陈小朋", "born": "2020-05-01"}
    officer = clerk.browser.officer()
    case_id = enrolling.begin(desk.context, officer, form(resident(), **child))
    assert set((await enrolling.submit(desk.context, officer, case_id, "en")).errors) == {
        "guardian_1",
        "guardian_consent",
    }
    named = form(resident(), **child, guardian_1=resident(1).id_number, guardian_consent="yes")
    enrolling.save(desk.context, officer, case_id, named)
    assert set((await enrolling.submit(desk.context, officer, case_id, "en")).errors) == {"guardian_1"}
    guardian = person_of(desk, await approved(desk, clerk, approver, 1))
    checked = await enrolling.submit(desk.context, officer, case_id, "en")
    assert checked.details is not None
    assert list(checked.details.guardians) == [guardian]
    assert "guardians" not in checked.details.claims()


# ---------------------------------------------------------------- what comes after


async def test_change_of_data_counts_once_two_officers_signed_it_and_the_old_channel_is_told(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))
    case_id = deciding.open_change(desk.context, clerk.browser.officer(), person_id)
    enrolling.save(desk.context, clerk.browser.officer(), case_id, form(resident(), name="陈新名", phone="13900009999"))
    assert not (await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")).errors
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    assert opened(desk, person_id).name == resident().name
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    found, record = opened(desk, person_id), record_of(desk, person_id)
    assert (found.name, found.phone) == ("陈新名", "13900009999")
    assert found.details is not None
    assert record is not None
    assert record.commitment == found.details.commitment(bytes.fromhex(found.secrets.salt))
    with desk.store.read() as session:
        told = [
            desk.store.people.open(session, row, Notice.channel)
            for row in session.scalars(select(Notice).where(Notice.kind == "change-approved"))
        ]
    assert sorted(told) == ["13900001234", "13900009999"]
    assert list(look_up(desk.context, clerk.browser.officer(), Reason.COUNTER, resident().name)) == []


async def test_suspended_by_any_officer_reinstated_in_person_and_revoked_by_one_who_confirms(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))

    def opened_case(officer: At, kind: CaseKind, reason: str, method: Method | None = None) -> str:
        return deciding.open_status_case(
            desk.context, officer.browser.officer(), person_id, kind, reason, method=method
        )

    case_id = opened_case(approver, CaseKind.SUSPEND, "holder-request")
    await signed(desk, approver, case_id, deciding.set_status(approver.signing, case_id))
    assert opened(desk, person_id).state == "suspended"
    case_id = opened_case(clerk, CaseKind.REINSTATE, "holder-request", Method.INSPECTED)
    await signed(desk, clerk, case_id, deciding.set_status(clerk.signing, case_id))
    assert opened(desk, person_id).state == "active"
    case_id = opened_case(clerk, CaseKind.REVOKE, "issued-in-error")
    await signed(desk, clerk, case_id, deciding.set_status(clerk.signing, case_id))
    assert (desk.case(case_id).code, opened(desk, person_id).state) == ("identity.not-on-duty", "active")
    await signed(desk, approver, case_id, deciding.set_status(approver.signing, case_id))
    assert opened(desk, person_id).state == "revoked"
    record = record_of(desk, person_id)
    assert record is not None
    assert record.status == pb.PERSON_STATUS_REVOKED


async def test_person_whose_registration_was_revoked_here_is_registered_anew_under_another_id(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))
    case_id = deciding.open_status_case(
        desk.context, approver.browser.officer(), person_id, CaseKind.REVOKE, "issued-in-error"
    )
    await signed(desk, approver, case_id, deciding.set_status(approver.signing, case_id))
    again = person_of(desk, await approved(desk, clerk, approver))
    assert again != person_id
    assert (opened(desk, person_id).state, opened(desk, again).state) == ("revoked", "active")


def new_keys(count: int = 1) -> list[pb.NewKey]:
    return [pb.NewKey(purpose=pb.CONTROL_PURPOSE_SIGN, commitment=secrets.token_bytes(32)) for _ in range(count)]


async def joint_signed(desk: DeskRig, officer: At, case_id: str) -> httpx.Response:
    """One of two signatures, as the page's script makes it."""
    await officer.browser.confirm(officer.device)
    shown = recovering.shown(desk.context, officer.browser.officer(), case_id)
    assert shown is not None
    options = await officer.browser.post(f"/cases/{case_id}/joint/options", {"shown": shown.digest})
    if options.status_code != 200:
        return options
    answer = officer.device.get(options.json())
    return await officer.browser.post(f"/cases/{case_id}/joint/verify", {"credential": answer})


async def test_recovery_takes_two_officers_over_one_transaction_and_old_keys_stop_at_once(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, name="Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    before = new_keys()
    first = recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.INSPECTED, before)
    second = approver.browser.officer().staff_id
    recovering.begin(clerk.signing, first, second)
    refused = await joint_signed(desk, approver, first)  # not before the first
    assert refused.status_code == 409
    assert (await joint_signed(desk, clerk, first)).status_code == 200
    assert desk.case_state(first) == "ready"
    again = await joint_signed(desk, clerk, first)  # one officer is not two
    assert (again.status_code, again.json()["code"]) == (409, "desk.own-work")
    assert (await joint_signed(desk, approver, first)).status_code == 200
    assert desk.case_state(first) == "done"
    record = record_of(desk, person_id)
    assert record is not None
    assert [key.commitment for key in record.keys] == [key.commitment for key in before]
    assert record.recovered_until_ms == desk.rig.clock_ms + RECOVERED_MS
    after = new_keys(2)
    case_id = recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.CHIP, after)
    recovering.begin(clerk.signing, case_id, second)
    for officer in (clerk, approver):
        assert (await joint_signed(desk, officer, case_id)).status_code == 200
    record = record_of(desk, person_id)
    assert record is not None
    assert {key.commitment for key in record.keys} == {key.commitment for key in after}
    with desk.store.read() as session:
        assert "recover" in set(session.scalars(select(Notice.kind)))


async def test_recovery_signed_while_the_ledger_is_out_of_reach_goes_out_later(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, name="Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    case_id = recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.INSPECTED, new_keys())
    recovering.begin(clerk.signing, case_id, approver.browser.officer().staff_id)
    desk.ledger.is_reachable = False
    for officer in (clerk, approver):
        assert (await joint_signed(desk, officer, case_id)).status_code == 200
    assert desk.case_state(case_id) == "ready"
    desk.ledger.is_reachable = True
    desk.wait(10_000)
    assert await send_again(desk.context) == 1
    follow(desk.context, case_id)
    assert desk.case_state(case_id) == "done"


async def test_recovery_without_new_keys_is_not_begun(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, name="Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    with Refusal(NOT_NOW):
        recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.INSPECTED, [])
    await clerk.browser.confirm(clerk.device)
    answer = await clerk.browser.form(f"/persons/{person_id}/recover", method="document-inspected")
    assert answer.status_code == 409
    assert "desk.no-new-keys" in answer.text


async def test_case_of_another_organisation_is_unknown_here(desk: DeskRig) -> None:
    clerk = await desk.officer()
    case_id = await submitted(desk, clerk)
    assert desk.boss is not None
    stranger, _ = await desk.joined(invite(desk.office, desk.boss.officer(), "Sue", "org-s", Role.CLERK))
    with Refusal(UNKNOWN_CASE):
        enrolling.save(desk.context, stranger.officer(), case_id, form(resident()))
    assert not look_up(desk.context, stranger.officer(), Reason.COUNTER, resident().id_number)
