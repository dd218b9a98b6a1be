# SPDX-License-Identifier: Apache-2.0
"""The desk's pages over HTTP: who sees what, what each refusal says in both languages, and where work goes on."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from desk_rig import At, DeskRig, desk_rig, form, picture, resident
from PIL import Image
from sqlalchemy import select
from store_rig import Rig

from identity.api.desk.problems import KINDS
from identity.api.desk.tables import DeskCase, DeskErasure, DeskPerson
from identity.api.desk.upkeep import tidy
from identity.person_data import canonical_data, data_commitment
from service.language import LANGUAGES, translate
from service.sign_in.roles import Role
from service.sign_in.sessions import IDLE_MS_MAX


@pytest_asyncio.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


async def enrolled(desk: DeskRig, clerk: At, approver: At, index: int = 0) -> tuple[str, str]:
    """A case and its person, by pages alone."""
    sent = await clerk.post("/enrol", **form(resident(index)), go="submit")
    assert sent.status_code == 303, sent.text
    case = sent.headers["location"]
    await sign(desk, clerk, case, "propose")
    await sign(desk, approver, case, "approve")
    assert "Done" in (await clerk.get(case)).text
    return case, desk.case(case.rpartition("/")[2]).person_id


async def sign(desk: DeskRig, officer: At, case: str, step: str) -> None:
    await officer.browser.confirm(officer.device)
    answer = await officer.post(f"{case}/{step}")
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == case
    assert "data-ceremony" in (await officer.get(case)).text
    signed = await officer.sign(desk.case(case.rpartition("/")[2]).act_id)
    assert signed.status_code == 200


async def test_enrolment_goes_by_pages_from_the_form_to_the_receipts(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case, person_id = await enrolled(desk, clerk, approver)
    shown = await approver.get(case)
    receipts = [
        part.partition('"')[0] for part in shown.text.split('href="')[1:] if "/receipt" in part.partition('"')[0]
    ]
    assert len(receipts) == 2
    for path in receipts:
        answer = await approver.get(path)
        assert answer.content.startswith(b"receipt ")
        assert "attachment" in answer.headers["content-disposition"]
    page = await clerk.get(f"/persons/{person_id}")
    assert resident().name in page.text
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_page_of_the_desk_opens_in_both_languages_for_who_may_see_it(desk: DeskRig, language: str) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    boss, auditor = await desk.officer(Role.SUPERVISOR), await desk.officer(Role.AUDITOR)
    case, person_id = await enrolled(desk, clerk, approver)
    pages = (
        (clerk, ("/look-up", "/enrol", "/cases", case, f"/persons/{person_id}")),
        (approver, ("/look-up", "/cases", case)),
        (boss, ("/look-up", "/duplicates", "/erasures")),
        (auditor, ("/look-up", "/look-ups", "/cases", "/notices")),
    )
    for officer, paths in pages:
        await officer.browser.confirm(officer.device)
        for path in paths:
            answer = await officer.get(path, language)
            assert answer.status_code == 200, (path, answer.text[:500])
            assert f'lang="{language}"' in answer.text
    for officer, path in ((approver, "/enrol"), (clerk, "/erasures"), (clerk, "/look-ups"), (auditor, "/duplicates")):
        assert (await officer.get(path, language)).status_code == 403


async def test_person_is_not_shown_before_a_reason_and_the_page_asks_for_one(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    other = await desk.officer(name="He Yong")
    answer = await other.get(f"/persons/{person_id}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/look-up?person={person_id}")
    json_answer = await other.browser.web.get(f"/persons/{person_id}", headers={"accept": "application/json"})
    assert (json_answer.status_code, json_answer.json()["code"]) == (403, "desk.reason-needed")
    asked = await other.get(answer.headers["location"])
    assert resident().name not in asked.text
    assert (await other.post("/look-up", person=person_id)).status_code == 422
    given = await other.post("/look-up", person=person_id, reason="complaint")
    assert given.headers["location"] == f"/persons/{person_id}"
    assert resident().name in (await other.get(f"/persons/{person_id}")).text
    found = await other.post("/look-up", wanted=resident().id_number, reason="complaint")
    assert resident().name in found.text
    assert resident().id_number not in found.text  # no more than tells people apart


async def test_faults_of_a_form_stand_beside_their_fields_and_what_was_typed_stays(desk: DeskRig) -> None:
    clerk = await desk.officer()
    wrong = form(resident(), number="11010519491231002", phone="12")
    for language, words in (("en", "18 characters"), ("zh-CN", "18 位")):
        answer = await clerk.browser.web.post(
            "/enrol",
            data={"csrf_token": await token(clerk), **wrong, "go": "submit"},
            headers={"accept": "text/html", "accept-language": language},
        )
        assert answer.status_code == 422
        assert words in answer.text
        assert 'id="number-error"' in answer.text
        assert 'value="11010519491231002"' in answer.text
        assert answer.text.count('aria-invalid="true"') == 2


async def token(officer: At) -> str:
    page = await officer.get("/passkeys")
    return page.text.partition('name="csrf_token" value="')[2][:64]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_refusal_has_words_in_both_languages(kind: object, language: str) -> None:
    assert kind.title(language)
    assert translate(language, f"problem.{kind.code}.detail", seconds=1)


async def test_session_that_ran_out_leads_to_sign_in_and_the_draft_is_still_there(desk: DeskRig) -> None:
    clerk = await desk.officer()
    sent = await clerk.post("/enrol", **form(resident()), go="save")
    case = sent.headers["location"]
    form_token = await token(clerk)
    desk.wait(IDLE_MS_MAX + 1)
    late = await clerk.browser.web.post(
        f"{case}/edit",
        data={"csrf_token": form_token, **form(resident()), "go": "save"},
        headers={"accept": "text/html", "referer": f"https://desk.example.org{case}/edit"},
    )
    assert (late.status_code, late.headers["location"]) == (303, f"/sign-in?next={case}/edit")
    await clerk.browser.sign_in(clerk.device)
    assert resident().id_number in (await clerk.get(f"{case}/edit")).text


async def test_picture_is_made_anew_without_what_the_camera_wrote(desk: DeskRig) -> None:
    clerk = await desk.officer()
    case = (await clerk.post("/enrol", **form(resident()), go="save")).headers["location"]
    case_id = case.rpartition("/")[2]
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    await clerk.browser.confirm(clerk.device)
    sent = await clerk.browser.web.post(
        f"/pictures/{case_id}/photo",
        data={"csrf_token": await token(clerk)},
        files={"picture": ("p.jpg", picture(exif=exif, size=(3000, 2000)), "image/jpeg")},
        headers={"accept": "text/html"},
    )
    assert sent.status_code == 303
    shown = await clerk.get(f"/pictures/{case_id}/photo")
    assert shown.headers["content-type"] == "image/jpeg"
    assert b"taken at home" not in shown.content
    assert b"Exif" not in shown.content
    for name, content in (("no picture", b"GIF89a not really"), ("a bomb", bomb()), ("nothing", b"")):
        refused = await clerk.browser.web.post(
            f"/pictures/{case_id}/photo",
            data={"csrf_token": await token(clerk)},
            files={"picture": ("p.png", content, "image/png")},
            headers={"accept": "application/json"},
        )
        assert (refused.status_code, refused.json()["code"]) == (422, "desk.image"), name
    assert (await clerk.get(f"/pictures/{case_id}/photo")).content == shown.content


def bomb() -> bytes:
    """A small file of very many pixels."""
    return picture("PNG", size=(9_000, 9_000))


async def test_picture_of_another_persons_case_is_not_shown_without_a_reason(desk: DeskRig) -> None:
    clerk, other = await desk.officer(), await desk.officer(name="He Yong")
    case = (await clerk.post("/enrol", **form(resident()), go="save")).headers["location"]
    answer = await other.browser.web.get(
        f"/pictures/{case.rpartition('/')[2]}/photo", headers={"accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "desk.reason-needed")


async def test_erasure_takes_two_supervisors_and_a_waiting_period_and_says_what_was_erased(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    first, second = await desk.officer(Role.SUPERVISOR), await desk.officer(Role.SUPERVISOR, name="Wu Fang")
    _, person_id = await enrolled(desk, clerk, approver)
    for officer in (first, second):
        await officer.browser.confirm(officer.device)
    assert (await first.post("/look-up", person=person_id, reason="correction")).status_code == 303
    counting = await first.post(f"/persons/{person_id}/erase", ground="own-request")
    assert counting.status_code == 409  # it counts still
    await approver.browser.confirm(approver.device)
    opened = await approver.post(f"/persons/{person_id}/status/revoke", reason="holder-request")
    assert opened.status_code == 303, opened.text
    await sign(desk, approver, opened.headers["location"], "sign")
    await approver.get(opened.headers["location"])
    assert (await first.post(f"/persons/{person_id}/erase", ground="own-request")).status_code == 303
    with desk.store.read() as session:
        erasure = session.scalar(select(DeskErasure.id))
    assert (await first.post(f"/erasures/{erasure}/confirm")).status_code == 409
    assert (await second.post(f"/erasures/{erasure}/confirm")).status_code == 303
    assert tidy(desk.context)["erasures"] == 0
    desk.wait(14 * 86_400_000)
    assert tidy(desk.context)["erasures"] == 1
    with desk.store.read() as session:
        assert session.scalar(select(DeskPerson.id)) is None
        assert session.scalar(select(DeskCase.id)) is None
    await first.browser.sign_in(first.device)
    page = await first.get("/erasures")
    assert "Erased" in page.text
    assert "2 cases" in page.text
    assert tidy(desk.context)["erasures"] == 0


async def test_export_holds_what_checks_the_ledgers_commitment_and_who_looked(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    await clerk.browser.confirm(clerk.device)
    document = json.loads((await clerk.get(f"/persons/{person_id}/export")).content)
    assert document["data"]["name"] == resident().name
    commitment = data_commitment(canonical_data(document["data"]), bytes.fromhex(document["ledger"]["salt"]))
    record = desk.ledger.person(bytes.fromhex(document["ledger"]["registration"]))
    assert record.commitment == commitment
    looks = document["accesses"]
    assert looks, "who looked is there"
    assert all("number" not in look for look in looks), "a gap would tell of a look that the law delays"
    assert [look["at_ms"] for look in looks] == sorted(look["at_ms"] for look in looks)
    assert sum(bool(step["receipt"]) for case in document["cases"] for step in case["steps"]) == 2


async def test_old_drafts_are_erased_and_open_proposals_are_not(desk: DeskRig) -> None:
    clerk = await desk.officer()
    await clerk.post("/enrol", **form(resident()), go="save")
    proposal = (await clerk.post("/enrol", **form(resident(1)), go="submit")).headers["location"]
    await sign(desk, clerk, proposal, "propose")
    desk.wait(31 * 86_400_000)
    assert tidy(desk.context)["drafts"] == 1
    with desk.store.read() as session:
        assert [row.id for row in session.scalars(select(DeskCase))] == [proposal.rpartition("/")[2]]


async def test_start_page_leads_each_role_to_what_it_may_see_and_accuses_nobody(desk: DeskRig) -> None:
    await desk.officer()
    assert desk.boss is not None
    auditor, operator = await desk.officer(Role.AUDITOR), await desk.officer(Role.OPERATOR)
    for browser, path in ((desk.boss, "/people"), (auditor.browser, "/look-up"), (operator.browser, "/passkeys")):
        answer = await browser.web.get("/", headers={"accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, path)
    for language in LANGUAGES:
        told = translate(language, "sign-in.no-place", role=translate(language, "role.operator"))
        assert told in (await operator.get("/passkeys", language)).text
        assert told not in (await auditor.get("/passkeys", language)).text
    assert not [act for act in desk.acts() if act.startswith("access.refused")]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_page_of_a_refusal_has_the_navigation_of_whoever_is_refused(desk: DeskRig, language: str) -> None:
    clerk, operator = await desk.officer(), await desk.officer(Role.OPERATOR)
    for officer, seen in ((clerk, {"/look-up", "/enrol", "/passkeys"}), (operator, {"/passkeys", "/sessions"})):
        page = await officer.get("/erasures", language)
        assert page.status_code == 403
        assert translate(language, "problem.role.not-allowed.title") in page.text
        shown = {part.partition('"')[0] for part in page.text.partition("<main")[0].split('href="')[1:]}
        assert seen <= shown
        assert not shown & {"/erasures", "/people"}
    assert "/enrol" not in (await operator.get("/erasures", language)).text
