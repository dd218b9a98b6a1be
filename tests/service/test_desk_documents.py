# SPDX-License-Identifier: Apache-2.0
"""Everybody can be enrolled through the pages: each kind of document, rare characters, minors; and a death at last.

Of each the same: what is mistyped is named beside its field in both languages, the right form goes to two officers, and
what counts then is what the ledger commits to.
"""

from collections.abc import AsyncIterator

import pytest
from desk_rig import At, DeskRig, desk_rig, form, resident
from sqlalchemy import select
from store_rig import Rig
from test_desk_persons import signed

from identity.api.desk import deciding, persons
from identity.api.desk.tables import DeskPerson
from identity.registrations import load_person
from identity.resident_number import check_character
from service.sign_in.roles import Role


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


def numbered(first_17: str) -> str:
    return first_17 + check_character(first_17)


ADULT = resident(1).id_number
KINDS: list[tuple[dict[str, str], dict[str, str], str, str]] = [
    (
        {"document": "resident-card", "number": resident(2).id_number, "name": "𠮷野㐂"},
        {"name": "陈\ue000"},
        "自定义区",
        "private use area",
    ),
    (
        {"document": "household-register", "number": ADULT, "name": "陈䶮"},
        {"number": ADULT[:17] + ("0" if ADULT[17] != "0" else "1")},
        "校验码不符",
        "The check character is wrong",
    ),
    (
        {"document": "residence-permit", "number": numbered("81000019800101001"), "name": "黄嘉欣"},
        {"number": ADULT},
        "另一种证件的号码",
        "another kind of document",
    ),
    (
        {"document": "hk-mo-travel-permit", "number": "H12345678", "name": "李泽锋", "born": "1980-01-01"},
        {"number": "X12345678"},
        "号码格式不符",
        "looks different",
    ),
    (
        {"document": "tw-travel-permit", "number": "01234567", "name": "林雨晴", "born": "1981-02-03"},
        {"born": ""},
        "出生日期",
        "birth",
    ),
    (
        {"document": "foreign-permanent", "number": numbered("94484019800101001"), "name": "MARIE DUPONT"},
        {"number": numbered("94484019800101001")[:17] + "?"},
        "",
        "",
    ),
    (
        {
            "document": "passport",
            "number": "L898902C3",
            "country": "UTO",
            "name": "ERIKSSON ANNA",
            "born": "1974-08-12",
        },
        {"mrz_digit": "5"},
        "校验数字与号码不符",
        "The check digit does not fit",
    ),
]


TOKENS: dict[str, str] = {}
"""Of forms, by session."""


async def entered(clerk: At, language: str, fields: dict[str, str]) -> tuple[int, str, str]:
    """Send the form of an enrolment; status, page, and where it leads."""
    if clerk.browser.token not in TOKENS:
        page = await clerk.get("/enrol")
        TOKENS[clerk.browser.token] = page.text.partition('name="csrf_token" value="')[2][:64]
    headers = {"accept": "text/html", "accept-language": language}
    sent = await clerk.browser.web.post(
        "/enrol", data={"csrf_token": TOKENS[clerk.browser.token], "go": "submit", **fields}, headers=headers
    )
    return sent.status_code, sent.text, sent.headers.get("location", "")


async def counting(desk: DeskRig, clerk: At, approver: At, fields: dict[str, str]) -> persons.Found:
    """Enrol somebody whom two officers see; who counts then, and the ledger's commitment is to what they saw."""
    status, page, case = await entered(clerk, "en", fields)
    assert status == 303, page
    case_id = case.rpartition("/")[2]
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    await signed(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    person_id = desk.case(case_id).person_id
    with desk.store.read() as session:
        row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person_id))
        assert row is not None
        found = persons.read(desk.context, session, row)
    assert found.details is not None
    record = load_person(desk.ledger.state.get, found.secrets.registration_id)
    assert record is not None
    assert record.commitment == found.details.commitment(bytes.fromhex(found.secrets.salt))
    return found


async def test_person_with_any_document_is_enrolled_and_what_is_mistyped_is_named_in_both_languages(
    desk: DeskRig,
) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    for right, wrong, chinese, english in KINDS:
        fields = form(resident(), phone="", mail="") | right
        for language, said in (("zh-CN", chinese), ("en", english)):
            status, page, _ = await entered(clerk, language, fields | wrong)
            assert status == 422, right
            assert 'aria-invalid="true"' in page, right
            assert said in page, (right, said)
        found = await counting(desk, clerk, approver, fields)
        assert (found.name, found.number, found.state) == (right["name"], right["number"], "active")


async def test_child_is_enrolled_with_its_guardian_and_a_death_ends_a_registration(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    guardian = await counting(desk, clerk, approver, form(resident(1)))
    child = {"document": "passport", "number": "E11112222", "country": "CHN", "name": "陈小朋", "born": "2020-05-01"}
    for language, said in (("zh-CN", "监护人"), ("en", "needs a guardian who is registered here")):
        status, page, _ = await entered(clerk, language, form(resident(), **child))
        assert (status, said in page) == (422, True)
    named = form(resident(), **child, guardian_1=guardian.number, guardian_consent="yes")
    found = await counting(desk, clerk, approver, named)
    assert found.details is not None
    assert list(found.details.guardians) == [guardian.row.person_id]

    person = guardian.row.person_id
    assert (await approver.post("/look-up", wanted=guardian.number, reason="at-counter")).status_code == 200
    await approver.browser.confirm(approver.device)
    for died in ("2999-01-01", "31.12.2025", ""):  # not yet, no day, none
        refused = await approver.post(f"/persons/{person}/status/deceased", reason="no-longer-true", died=died)
        assert refused.status_code == 409, refused.text
    begun = await approver.post(f"/persons/{person}/status/deceased", reason="no-longer-true", died="2026-01-31")
    case_id = begun.headers["location"].rpartition("/")[2]
    await signed(desk, approver, case_id, deciding.set_status(approver.signing, case_id))
    page = (await approver.get(f"/persons/{person}")).text
    assert "2026" in page
    with desk.store.read() as session:
        row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == person))
        assert row is not None
        ended = persons.read(desk.context, session, row)
    assert ended.state == "deceased"
    assert ended.details is not None
    assert ended.details.deceased_on == "2026-01-31"
