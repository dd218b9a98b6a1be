# SPDX-License-Identifier: Apache-2.0
"""Sign-in of people who work with a service: what it does for them."""

import pytest
from sign_in_rig import Authenticator, Desk, desk_of
from sqlalchemy import select
from store_rig import Rig, readable

from service.problems import Problem
from service.sign_in import people
from service.sign_in.people import AdministratorThere, first_link, invite, list_people
from service.sign_in.roles import PERMISSIONS, Duty, Permission, Role, take_duty
from service.sign_in.sessions import AGE_MS_MAX, IDLE_MS_MAX
from service.sign_in.tables import Passkey
from service.store import audit
from service.store.models import new_id

MINUTE_MS = 60_000


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return desk_of(rig)


@pytest.fixture
def lone(sqlite_rig: Rig) -> Desk:
    return desk_of(sqlite_rig)


async def test_first_administrator_joins_by_link_and_signs_in_again(desk: Desk) -> None:
    browser, device = await desk.joined(first_link(desk.office, "Li Wei", "civil-affairs"))
    assert await browser.is_in()
    other = desk.browser()
    answer = await other.sign_in(device, "/sessions?x=1")
    assert answer.json() == {"next": "/sessions?x=1"}
    assert await other.is_in()
    assert {"people.first-link", "people.joined", "passkey.registered", "session.opened"} <= set(desk.acts())
    with desk.store.read() as session:
        assert audit.verify_chain(session) == len(desk.acts())


async def test_first_link_is_refused_once_there_is_an_administrator_unless_asked_for(desk: Desk) -> None:
    await desk.joined(first_link(desk.office, "Li Wei", "civil-affairs"))
    with pytest.raises(AdministratorThere):
        first_link(desk.office, "Wang Fang", "civil-affairs")
    browser, _ = await desk.joined(first_link(desk.office, "Wang Fang", "civil-affairs", another=True))
    assert await browser.is_in()


async def test_earlier_first_link_ends_when_another_is_made(desk: Desk) -> None:
    earlier = first_link(desk.office, "Li Wei", "civil-affairs")
    first_link(desk.office, "Li Wei", "civil-affairs")
    answer = await desk.browser().join(earlier, Authenticator())
    assert answer.json()["code"] == "invitation.invalid"


async def test_administrator_invites_and_the_page_shows_the_link_once(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    page = await browser.form("/people", name="Zhang Min", organisation="civil-affairs", role="clerk")
    link = page.text.partition('<code id="link">')[2].partition("<")[0]
    assert link.startswith("https://desk.example.org/join#")
    again = await browser.web.get("/people", headers={"accept": "text/html"})
    assert link not in again.text
    assert "Zhang Min" in again.text
    clerk, _ = await desk.joined(link)
    assert clerk.officer().role is Role.CLERK


async def test_wrong_fields_of_an_invitation_are_explained_beside_them(lone: Desk) -> None:
    browser, _ = await lone.administrator()
    page = await browser.form("/people", name="", organisation="Not An Id", role="king")
    assert page.status_code == 422
    assert page.text.count('aria-invalid="true"') == 2
    assert "Choose one" in page.text
    assert len(list_people(lone.office)) == 1


async def test_several_passkeys_are_added_named_and_removed_but_never_the_last(desk: Desk) -> None:
    browser, first = await desk.administrator()
    second = Authenticator()
    assert (await browser.add(second)).status_code == 200
    listed = await browser.web.get("/passkeys", headers={"accept": "text/html"})
    assert "Key ring" in listed.text
    with desk.store.read() as session:
        rows = session.scalars(select(Passkey).order_by(Passkey.created_ms, Passkey.id)).all()
        ids = {row.public_key: row.id for row in rows}
    assert len(ids) == 2
    for place in ids.values():
        answer = await browser.form(f"/passkeys/{place}/name", name="Renamed")
        assert answer.status_code == 303
    own = browser.officer()
    other = next(place for place in ids.values() if place != own.passkey_id)
    assert (await browser.form(f"/passkeys/{other}/remove")).status_code == 303
    last = await browser.form(f"/passkeys/{own.passkey_id}/remove")
    assert last.status_code == 409
    assert "last passkey" in last.text
    assert [(await desk.browser().sign_in(device)).status_code for device in (first, second)] == [200, 401]


async def test_same_credential_is_registered_once(desk: Desk) -> None:
    browser, device = await desk.administrator()
    assert (await browser.add(device)).json()["code"] == "passkey.unfit"


@pytest.mark.parametrize("fault", [{"algorithm": -257}, {"verified": False}, {"origin": "https://evil.example"}])
async def test_passkey_of_another_kind_is_not_registered(lone: Desk, fault: dict[str, object]) -> None:
    link = first_link(lone.office, "Li Wei", "civil-affairs")
    answer = await lone.browser().join(link, Authenticator(**fault))  # type: ignore[arg-type]
    assert answer.json()["code"] == "passkey.unfit"
    await lone.joined(link)  # the link is still good


async def test_lost_passkey_is_replaced_by_a_second_administrator_and_the_old_one_ends_at_once(desk: Desk) -> None:
    first, lost = await desk.administrator("Li Wei")
    second, _ = await desk.administrator("Wang Fang")
    wei = first.officer()
    link = people.re_enrol(desk.office, second.officer(), wei.staff_id)
    assert not await first.is_in()
    assert (await desk.browser().sign_in(lost)).json()["code"] == "sign-in.refused"
    browser, fresh = await desk.joined(link)
    assert browser.officer().person_id == wei.person_id
    assert (await desk.browser().sign_in(fresh)).status_code == 200


async def test_session_ends_when_it_is_idle_or_old(desk: Desk) -> None:
    browser, device = await desk.administrator()
    desk.wait(IDLE_MS_MAX - 1)
    assert await browser.is_in()
    desk.wait(IDLE_MS_MAX)
    assert not await browser.is_in()
    await browser.sign_in(device)
    for _ in range(AGE_MS_MAX // (20 * MINUTE_MS) - 1):
        desk.wait(20 * MINUTE_MS)
        assert await browser.is_in()
    desk.wait(20 * MINUTE_MS)
    assert not await browser.is_in()
    assert desk.acts().count("session.expired") == 2


async def test_sensitive_act_asks_for_the_passkey_again(desk: Desk) -> None:
    browser, device = await desk.administrator()
    desk.wait(6 * MINUTE_MS)
    assert (await browser.add(Authenticator())).json()["code"] == "sign-in.confirm"
    page = await browser.form("/people", name="Zhang Min", organisation="civil-affairs", role="clerk")
    assert page.headers["location"].startswith("/confirm?next=/")
    before = browser.token
    assert (await browser.confirm(device)).status_code == 200
    assert browser.token not in {"", before}
    assert (await browser.add(Authenticator())).status_code == 200


async def test_own_sessions_are_listed_and_ended(desk: Desk) -> None:
    browser, device = await desk.administrator()
    others = [desk.browser() for _ in range(2)]
    for other in others:
        await other.sign_in(device)
    page = await browser.web.get("/sessions", headers={"accept": "text/html"})
    assert page.text.count("Chrome, Linux") == 3
    assert (await browser.form("/sessions/end-others")).status_code == 303
    assert [await other.is_in() for other in (browser, *others)] == [True, False, False]
    await browser.form("/sign-out")
    assert not await browser.is_in()


async def test_role_decides_what_somebody_may_do_and_a_refusal_is_recorded(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    clerk, _ = await desk.colleague(browser)
    answer = await clerk.web.get("/people", headers={"accept": "application/json"})
    assert answer.json()["code"] == "role.not-allowed"
    assert desk.acts()[-1] == "access.refused-manage-people"


def test_no_role_both_enrols_and_approves() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert not [role for role, may in PERMISSIONS.items() if {Permission.ENROL, Permission.APPROVE} <= may]


def test_one_person_never_both_enrols_and_approves_the_same_thing(rig: Rig) -> None:
    desk = desk_of(rig)
    subject, clerk, approver = new_id(), new_id(), new_id()
    with desk.store.write() as session:
        take_duty(session, subject, Duty.ENROL, clerk)
    with pytest.raises(Problem, match="same-person"), desk.store.write() as session:
        take_duty(session, subject, Duty.APPROVE, clerk)
    with desk.store.write() as session:
        take_duty(session, subject, Duty.APPROVE, approver)
    with pytest.raises(Problem, match="same-person"), desk.store.write() as session:
        take_duty(session, subject, Duty.APPROVE, new_id())


async def test_erased_person_leaves_neither_name_nor_sign_in(sqlite_rig: Rig) -> None:
    desk = desk_of(sqlite_rig)
    browser, device = await desk.administrator("Wang Xiaoming")
    person = browser.officer().person_id
    files = [path for path in sqlite_rig.folder.rglob("*") if path.is_file()]
    assert not readable(files, [b"Wang Xiaoming", device.credential])
    desk.store.erase(person)
    assert not await browser.is_in()
    assert (await desk.browser().sign_in(device)).json()["code"] == "sign-in.refused"


async def test_people_of_one_service_are_strangers_to_another(sqlite_rig: Rig) -> None:
    desk = desk_of(sqlite_rig)
    browser, _ = await desk.administrator()
    from dataclasses import replace  # noqa: PLC0415

    other = replace(desk.office, address=replace(desk.office.address, service="lab"))
    desk.app.state.office = other
    browser.web.cookies.set(other.session_cookie, browser.token, domain="desk.example.org", path="/")
    assert not await browser.is_in()
    assert list_people(other) == []


async def test_page_that_needs_sign_in_sends_a_browser_there_and_back_and_tells_a_program(lone: Desk) -> None:
    browser = lone.browser()
    page = await browser.web.get("/people?x=1", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/people%3Fx%3D1")
    answer = await browser.web.get("/people", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in.needed")


async def test_invitation_is_refused_when_a_service_is_full(lone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, _ = await lone.administrator()
    monkeypatch.setattr(people, "PEOPLE_MAX", 1)
    with pytest.raises(Problem, match="too-many"):
        invite(lone.office, browser.officer(), "Zhang Min", "civil-affairs", Role.CLERK)
