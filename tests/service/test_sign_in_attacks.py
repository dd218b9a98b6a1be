# SPDX-License-Identifier: Apache-2.0
"""Attacks on sign-in, each named by what the attacker tries."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from html import unescape

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sign_in_rig import FIREFOX, ORIGIN, Authenticator, Browser, Desk, desk_of, words
from sqlalchemy import select
from starlette.requests import Request
from store_rig import Rig

from service.problems import Problem
from service.sign_in import attempts, challenges, people
from service.sign_in.access import NOTED_BURST
from service.sign_in.people import LINK_MS, first_link, invite, list_people
from service.sign_in.roles import Role
from service.sign_in.tables import Challenge, Passkey, SignInSession

HTML = {"accept": "text/html"}


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return desk_of(rig)


@pytest.fixture
def lone(sqlite_rig: Rig) -> Desk:
    return desk_of(sqlite_rig)


async def test_session_fixation_leaves_the_planted_cookie_worthless(desk: Desk) -> None:
    _, device = await desk.administrator()
    victim, planted = desk.browser(), "A" * 43
    victim.web.cookies.set(desk.office.session_cookie, planted, domain="desk.example.org", path="/")
    assert (await victim.sign_in(device)).status_code == 200
    assert planted not in victim.web.cookies.get(desk.office.session_cookie, domain="desk.example.org", default="")
    attacker = desk.browser()
    attacker.web.cookies.set(desk.office.session_cookie, planted, domain="desk.example.org", path="/")
    assert not await attacker.is_in()


async def test_session_cookie_copied_before_signing_in_anew_is_worthless_after_it(desk: Desk) -> None:
    browser, device = await desk.administrator()
    thief = desk.browser()
    thief.web.cookies.set(desk.office.session_cookie, browser.token)
    assert await thief.is_in()
    assert (await browser.sign_in(device)).status_code == 200
    assert await browser.is_in()
    assert not await thief.is_in()


async def test_session_cookie_copied_before_step_up_is_worthless_after_it(desk: Desk) -> None:
    browser, device = await desk.administrator()
    copied = browser.token
    await browser.confirm(device)
    thief = desk.browser()
    thief.web.cookies.set(desk.office.session_cookie, copied, domain="desk.example.org", path="/")
    assert not await thief.is_in()
    assert await browser.is_in()


async def test_stolen_cookie_on_another_device_ends_the_session(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    thief = desk.browser(agent=FIREFOX)
    thief.web.cookies.set(desk.office.session_cookie, browser.token, domain="desk.example.org", path="/")
    assert not await thief.is_in()
    assert not await browser.is_in()
    assert desk.acts()[-1] == "session.carried-off"


async def test_stolen_cookie_in_another_network_gets_nowhere_without_the_passkey(desk: Desk) -> None:
    browser, device = await desk.administrator()
    thief = desk.browser(address="203.0.113.9")
    thief.web.cookies.set(desk.office.session_cookie, browser.token, domain="desk.example.org", path="/")
    answer = await thief.web.get("/sessions", headers={"accept": "application/json"})
    assert answer.json()["code"] == "sign-in.confirm"
    assert (await thief.confirm(Authenticator())).json()["code"] == "sign-in.refused"
    assert desk.acts()[-1] == "session.moved"
    assert not await browser.is_in()  # its owner is asked, too, and thereby learns of it
    assert (await browser.confirm(device)).status_code == 200
    assert await browser.is_in()
    assert not await thief.is_in()


async def test_forged_request_of_another_site_changes_nothing(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    before = desk.acts()
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    form = {"name": "Mallory", "organisation": "evil", "role": "administrator"}
    assert (await browser.web.post("/people", data=form, headers=foreign)).status_code == 403
    assert (await browser.web.post("/passkeys/options", json={}, headers=foreign)).status_code == 403
    assert (await browser.web.post("/people", data=form)).json()["code"] == "request.form-token"
    assert desk.acts() == before


async def test_replayed_assertion_signs_nobody_in(desk: Desk) -> None:
    _, device = await desk.administrator()
    browser = desk.browser()
    answer = device.get((await browser.post("/sign-in/options")).json())
    assert (await browser.post("/sign-in/verify", {"credential": answer})).status_code == 200
    again = await browser.post("/sign-in/verify", {"credential": answer})
    assert again.json()["code"] == "sign-in.challenge"


async def test_challenge_is_used_up_by_a_wrong_answer(desk: Desk) -> None:
    _, device = await desk.administrator()
    browser = desk.browser()
    options = (await browser.post("/sign-in/options")).json()
    forged = replace(device, key=ec.generate_private_key(ec.SECP256R1())).get(options)
    assert (await browser.post("/sign-in/verify", {"credential": forged})).json()["code"] == "sign-in.refused"
    late = await browser.post("/sign-in/verify", {"credential": device.get(options)})
    assert late.json()["code"] == "sign-in.challenge"


async def test_challenge_of_another_browser_purpose_or_hour_is_refused(desk: Desk) -> None:
    signed, device = await desk.administrator()
    mine, other = desk.browser(), desk.browser()
    options = (await mine.post("/sign-in/options")).json()
    await other.post("/sign-in/options")
    carried = await other.post("/sign-in/verify", {"credential": device.get(options)})
    assert carried.json()["code"] == "sign-in.challenge"
    crossed = await signed.post("/confirm/verify", {"credential": device.get(options)})
    assert crossed.json()["code"] == "sign-in.challenge"
    desk.wait(challenges.LIFETIME_MS)
    late = await mine.post("/sign-in/verify", {"credential": device.get(options)})
    assert late.json()["code"] == "sign-in.challenge"
    await mine.post("/sign-in/options")
    with desk.store.read() as session:
        assert len(session.scalars(select(Challenge)).all()) == 1  # old ones are swept


@pytest.mark.parametrize(
    "fault",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://desk.example.org"},
        {"origin": ORIGIN + ":8443"},
        {"origin": "https://desk.example.org.evil.example"},
        {"party": "example.org"},
        {"verified": False},
        {"cross_origin": True},
    ],
    ids=["foreign origin", "plain http", "other port", "suffix", "foreign RP id", "user not verified", "framed"],
)
async def test_assertion_of_a_foreign_origin_or_rp_id_or_without_user_verification_is_refused(
    lone: Desk, fault: dict[str, str]
) -> None:
    _, device = await lone.administrator()
    answer = await lone.browser().sign_in(replace(device, **fault))  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in.refused")


async def test_assertion_of_another_persons_credential_confirms_nothing(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    _, theirs = await desk.colleague(browser)
    token = browser.token
    assert (await browser.confirm(theirs)).json()["code"] == "sign-in.refused"
    assert browser.token == token


async def test_cloned_authenticator_is_noticed_by_its_counter_and_blocked(desk: Desk) -> None:
    link = first_link(desk.office, "Li Wei", "civil-affairs")
    browser, device = await desk.joined(link, count=5)
    clone = replace(device, count=5)
    assert (await desk.browser().sign_in(device)).status_code == 200
    assert (await desk.browser().sign_in(device)).status_code == 200
    assert (await desk.browser().sign_in(clone)).json()["code"] == "sign-in.refused"
    assert (await desk.browser().sign_in(device)).json()["code"] == "sign-in.refused"
    assert "passkey.cloned" in desk.acts()
    assert not await browser.is_in()  # whoever holds the copy may have signed in with it


async def test_owner_of_a_cloned_passkey_is_told_when_they_come_with_another(desk: Desk) -> None:
    link = first_link(desk.office, "Li Wei", "civil-affairs")
    browser, device = await desk.joined(link, count=5)
    other = Authenticator()
    await browser.add(other)
    assert (await desk.browser().sign_in(device)).status_code == 200
    assert (await desk.browser().sign_in(replace(device, count=5))).json()["code"] == "sign-in.refused"
    again = desk.browser()
    assert (await again.sign_in(other)).status_code == 200
    page = await again.web.get("/passkeys", headers=HTML)
    assert "seen in two places" in page.text


async def test_session_of_a_removed_passkey_ends_on_the_device_that_was_lost(desk: Desk) -> None:
    browser, lost = await desk.administrator()
    other, phone = Authenticator(), desk.browser()
    await browser.add(other)
    await phone.sign_in(lost)
    home = desk.browser()
    await home.sign_in(other)
    assert (await home.form(f"/passkeys/{phone.officer().passkey_id}/remove")).status_code == 303
    assert [await one.is_in() for one in (phone, browser, home)] == [False, False, True]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
async def test_open_redirect_after_sign_in_stays_here(lone: Desk, target: str) -> None:
    browser, device = await lone.administrator()
    assert (await lone.browser().sign_in(device, target)).json() == {"next": "/passkeys"}
    page = await browser.web.get("/sign-in", params={"next": target}, headers=HTML)
    assert page.headers["location"] == "/passkeys"
    shown = await lone.browser().web.get("/sign-in", params={"next": target}, headers=HTML)
    assert "evil" not in shown.text.partition("<main")[2].partition("</main>")[0]


async def test_invitation_used_twice_is_good_once(desk: Desk) -> None:
    link = first_link(desk.office, "Li Wei", "civil-affairs")
    await desk.joined(link)
    answer = await desk.browser().join(link, Authenticator())
    assert (answer.status_code, answer.json()["code"]) == (410, "invitation.invalid")


async def test_invitation_raced_by_five_is_won_by_one(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    link = invite(desk.office, administrator.officer(), "Zhang Min", "civil-affairs", Role.CLERK)
    token = link.partition("#")[2]
    browsers, devices = [desk.browser() for _ in range(5)], [Authenticator() for _ in range(5)]
    made = [
        device.create((await browser.post("/join/options", {"token": token})).json())
        for browser, device in zip(browsers, devices, strict=True)
    ]
    answers = await asyncio.gather(
        *(
            browser.post("/join/verify", {"token": token, "credential": credential, "name": "Phone"})
            for browser, credential in zip(browsers, made, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]
    with desk.store.read() as session:
        assert len(session.scalars(select(Passkey)).all()) == 2


async def test_expired_or_guessed_invitation_tells_nothing(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    link = invite(desk.office, administrator.officer(), "Zhang Min", "civil-affairs", Role.CLERK)
    desk.wait(LINK_MS)
    bodies = []
    for token in (link.partition("#")[2], "A" * 43, "x"):
        answer = await desk.browser().post("/join/look", {"token": token})
        bodies.append({name: value for name, value in answer.json().items() if name != "request_id"})
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["code"] == "invitation.invalid"


async def test_enumeration_of_people_learns_no_difference(desk: Desk) -> None:
    administrator, known = await desk.administrator()
    clerk, removed = await desk.colleague(administrator)
    people.remove(desk.office, administrator.officer(), clerk.officer().staff_id)
    wrong_key = replace(known, key=ec.generate_private_key(ec.SECP256R1()))
    bodies = []
    for device in (Authenticator(), removed, wrong_key):
        answer = await desk.browser().sign_in(device)
        bodies.append((answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}))
    assert bodies[0] == bodies[1] == bodies[2]
    options = (await desk.browser().post("/sign-in/options")).json()
    assert options["allowCredentials"] == []


async def test_officer_who_asks_for_what_is_not_theirs_without_end_leaves_no_rows_without_end(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, _ = await desk.colleague(administrator)
    for _ in range(40):
        answer = await clerk.web.get("/people", headers={"accept": "application/json"})
        assert answer.json()["code"] == "role.not-allowed"
    assert desk.acts().count("access.refused-manage-people") == NOTED_BURST
    desk.rig.clock_ms += 60_000
    await clerk.web.get("/people", headers={"accept": "application/json"})
    assert desk.acts().count("access.refused-manage-people") == NOTED_BURST + 1


@pytest.mark.usefixtures("still_rates")
async def test_brute_force_of_one_address_is_slowed_down(lone: Desk) -> None:
    browser = lone.browser()
    codes = [
        (await browser.post("/join/look", {"token": f"guess-{number}"})).json()["code"]
        for number in range(attempts.TRIES_BURST + 20)
    ]
    assert codes[: attempts.TRIES_BURST] == ["invitation.invalid"] * attempts.TRIES_BURST
    assert codes[-1] == "sign-in.slow-down"
    other = await lone.browser(address="192.0.2.1").post("/join/look", {"token": "x"})
    assert other.json()["code"] == "invitation.invalid"


def test_flood_of_challenges_pushes_out_its_own_and_no_signed_in_officers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenges, "CHALLENGES_MAX", 4)
    purpose, now_ms, binding = challenges.Purpose, desk.office.now(), bytes(32)
    with desk.store.write() as session:
        act = challenges.issue(session, "desk", purpose.ACT, binding, now_ms, subject="a" * 32)
        made = [challenges.issue(session, "desk", purpose.SIGN_IN, binding, now_ms + place) for place in range(20)]
    with desk.store.read() as session:
        assert len(session.scalars(select(Challenge)).all()) == 4
    with desk.store.write() as session:
        assert challenges.take(session, "desk", purpose.SIGN_IN, binding, made[-1], now_ms).challenge == made[-1]
        assert challenges.take(session, "desk", purpose.ACT, binding, act, now_ms, "a" * 32).challenge == act
    with pytest.raises(Problem, match="challenge"), desk.store.write() as session:
        challenges.take(session, "desk", purpose.SIGN_IN, binding, made[0], now_ms)


def test_challenges_of_signed_in_people_are_bounded(lone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "CHALLENGES_MAX", 3)
    with lone.store.write() as session:
        for _ in range(3):
            challenges.issue(session, "desk", challenges.Purpose.ACT, bytes(32), lone.office.now())
    with pytest.raises(Problem, match="busy"), lone.store.write() as session:
        challenges.issue(session, "desk", challenges.Purpose.SIGN_IN, bytes(32), lone.office.now())


async def test_administrator_neither_re_enrols_nor_removes_themselves(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    officer = browser.officer()
    for change in (people.re_enrol, people.remove, people.end_sessions_of):
        with pytest.raises(Problem, match="not-oneself"):
            change(desk.office, officer, officer.staff_id)
    answer = await browser.form(f"/people/{officer.staff_id}/re-enrol")
    assert answer.status_code == 409
    assert await browser.is_in()


async def test_removed_persons_session_and_passkey_end_at_once(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, device = await desk.colleague(administrator)
    staff = clerk.officer().staff_id
    assert (await administrator.form(f"/people/{staff}/remove")).status_code == 303
    assert not await clerk.is_in()
    assert (await clerk.sign_in(device)).json()["code"] == "sign-in.refused"
    with desk.store.read() as session:
        assert session.scalars(select(SignInSession).where(SignInSession.staff_id == staff)).all() == []


async def test_two_administrators_who_remove_each_other_leave_one(desk: Desk) -> None:
    first, _ = await desk.administrator("Li Wei")
    second, _ = await desk.administrator("Wang Fang")
    wei, fang = first.officer(), second.officer()
    people.remove(desk.office, wei, fang.staff_id)
    with pytest.raises(Problem, match=r"sign-in\.needed"):
        people.remove(desk.office, fang, wei.staff_id)
    assert sorted(person.state for person in list_people(desk.office)) == ["active", "removed"]


async def test_clerk_does_not_invite_an_administrator(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, _ = await desk.colleague(administrator)
    answer = await clerk.form("/people", name="Mallory", organisation="civil-affairs", role="administrator")
    assert answer.status_code == 403
    assert len(list_people(desk.office)) == 2


async def test_somebody_elses_session_and_passkey_cannot_be_ended_by_their_ids(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, _ = await desk.colleague(administrator)
    officer = administrator.officer()
    await clerk.form(f"/sessions/{officer.session_id}/end")
    assert await administrator.is_in()
    assert (await clerk.form(f"/passkeys/{officer.passkey_id}/remove")).status_code == 404


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": "AA"},
        {"id": "AA", "response": {"clientDataJSON": "!!!!"}},
        {"id": "AA", "response": {"clientDataJSON": "bnVsbA"}},
        {"id": 7, "response": []},
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "W1tbW1tbW1s"}},
    ],
)
async def test_malformed_credential_is_refused_and_never_fails_the_service(
    lone: Desk, credential: dict[str, object]
) -> None:
    browser = lone.browser()
    await browser.post("/sign-in/options")
    answer = await browser.post("/sign-in/verify", {"credential": credential})
    assert answer.json()["code"] == "sign-in.refused"


def test_cookies_are_for_this_host_alone_and_out_of_reach_of_scripts(lone: Desk) -> None:
    from starlette.responses import Response  # noqa: PLC0415

    from service.sign_in.access import set_browser, set_session  # noqa: PLC0415

    response = Response()
    set_session(response, lone.office, "T")
    set_browser(response, lone.office, "B")
    cookies = response.headers.getlist("set-cookie")
    assert cookies[0] == "__Host-desk-session=T; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert cookies[2] == "__Host-desk-browser=B; Path=/; HttpOnly; SameSite=Strict; Secure"


def test_referer_of_another_site_is_no_way_back(lone: Desk) -> None:
    from service.redirects import Elsewhere  # noqa: PLC0415
    from service.sign_in.access import away  # noqa: PLC0415
    from service.sign_in.kinds import CONFIRM  # noqa: PLC0415

    headers = [(b"accept", b"text/html"), (b"referer", b"https://evil.example//evil.example/x")]
    scope = {"type": "http", "method": "POST", "path": "/people", "query_string": b"", "headers": headers}
    found = away(Request(scope), "/confirm", CONFIRM)
    assert isinstance(found, Elsewhere)
    assert found.path == "/confirm?next=/"


Resend = Callable[[Browser, str], Awaitable[httpx.Response]]


async def invited_under_a_key(desk: Desk) -> tuple[Browser, Resend]:
    """An administrator who invited somebody under an idempotency key; and the same bytes again, with any session."""
    browser, _ = await desk.administrator()
    page = await browser.web.get("/passkeys", headers=HTML)
    form = {"csrf_token": page.text.partition('name="csrf_token" value="')[2][:64]}
    form |= {"name": "Zhang Min", "organisation": "civil-affairs", "role": "clerk"}
    others = [f"{name}={value}" for name, value in browser.web.cookies.items() if name != desk.office.session_cookie]

    async def send(sender: Browser, token: str) -> httpx.Response:
        sender.web.cookies.clear()
        cookies = "; ".join([*others, f"{desk.office.session_cookie}={token}"])
        key = "8e03978e-40d5-43dd-bc93-6894a57f9324"
        return await sender.web.post("/people", data=form, headers={**HTML, "idempotency-key": key, "cookie": cookies})

    assert '<code id="link">' in (await send(desk.browser(), browser.token)).text
    return browser, send


async def test_stored_answer_is_not_handed_out_once_the_session_has_ended(desk: Desk) -> None:
    browser, send = await invited_under_a_key(desk)
    token = browser.token
    again = await send(desk.browser(), token)
    assert again.headers["idempotency-replayed"] == "true"
    assert "/join#" in again.text
    await browser.form("/sign-out")
    answer = await send(desk.browser(), token)
    assert "idempotency-replayed" not in answer.headers
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/")
    assert desk.acts().count("people.invited") == 1


async def test_stored_answer_is_not_handed_to_a_stolen_cookie_on_another_device(desk: Desk) -> None:
    browser, send = await invited_under_a_key(desk)
    answer = await send(desk.browser(agent=FIREFOX), browser.token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/")
    assert desk.acts().count("people.invited") == 1


async def ask_under_a_key(desk: Desk, token: str) -> httpx.Response:
    """A script's request that changes something, always the same bytes."""
    browser = desk.browser()
    cookie, key = f"{desk.office.session_cookie}={token}", "8e03978e-40d5-43dd-bc93-6894a57f9324"
    return await browser.web.post("/passkeys/options", json={}, headers={"idempotency-key": key, "cookie": cookie})


async def test_stored_answer_is_not_handed_to_another_persons_session(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    clerk, _ = await desk.colleague(browser)
    first = await ask_under_a_key(desk, browser.token)
    other = await ask_under_a_key(desk, clerk.token)
    assert (first.status_code, other.status_code) == (200, 200)
    assert "idempotency-replayed" not in other.headers
    assert other.json()["challenge"] != first.json()["challenge"]


async def test_request_repeated_after_the_token_was_renewed_is_still_carried_out_once(desk: Desk) -> None:
    browser, device = await desk.administrator()
    token = browser.token
    first = await ask_under_a_key(desk, token)
    await browser.confirm(device)
    again = await ask_under_a_key(desk, browser.token)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    copied = await ask_under_a_key(desk, token)
    assert (copied.status_code, copied.json()["code"]) == (401, "sign-in.needed")


@pytest.mark.parametrize(
    "attack", ["{{ 7 * 191 }}", "{% raise %}", "<script>alert(1)</script>", "'><img src=x>", "${7*191}"]
)
async def test_template_injection_in_a_name_is_shown_as_the_text_that_it_is(lone: Desk, attack: str) -> None:
    browser, _ = await lone.administrator(attack)
    await browser.add(Authenticator(), attack)
    for path in ("/people", "/passkeys", "/sessions"):
        page = await browser.web.get(path, headers=HTML)
        assert page.status_code == 200
        assert "1337" not in re.sub(r"[0-9a-f]{32,}", "", page.text), "ids and tokens are drawn, and may hold it"
        assert attack in unescape(page.text) or path == "/sessions"
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


@pytest.mark.parametrize(
    "attestation",
    [
        b"",
        b"\xff",
        b"\x81" * 150_000,
        b"\xbf" * 50_000,
        b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58\x25" + bytes(37),
    ],
    ids=["empty", "no CBOR", "nested deep", "maps without end", "no credential"],
)
async def test_malformed_attestation_is_refused_and_never_fails_the_service(lone: Desk, attestation: bytes) -> None:
    token = first_link(lone.office, "Li Wei", "civil-affairs").partition("#")[2]
    browser = lone.browser()
    credential = Authenticator().create((await browser.post("/join/options", {"token": token})).json())
    credential["response"]["attestationObject"] = words(attestation)
    answer = await browser.post("/join/verify", {"token": token, "credential": credential, "name": "Phone"})
    assert answer.json()["code"] == "passkey.unfit"


async def test_assertion_made_for_another_service_on_the_same_host_is_refused(desk: Desk) -> None:
    _, device = await desk.administrator()
    elsewhere = replace(device, origin="https://desk.example.org:8803")
    assert (await desk.browser().sign_in(elsewhere)).json()["code"] == "sign-in.refused"


async def test_passkey_of_another_service_in_the_same_store_signs_nobody_in(desk: Desk) -> None:
    _, device = await desk.administrator()
    lab = replace(desk.office, address=replace(desk.office.address, service="lab"))
    desk.app.state.office = lab
    assert (await desk.browser().sign_in(device)).json()["code"] == "sign-in.refused"
    desk.app.state.office = desk.office
    assert (await desk.browser().sign_in(device)).status_code == 200
