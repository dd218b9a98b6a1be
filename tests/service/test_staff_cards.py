# SPDX-License-Identifier: Apache-2.0
"""Staff cards: what they do for whoever works with a service, and what becomes of attacks on them."""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sign_in_rig import Authenticator, Desk, desk_of
from sqlalchemy import select, text
from staff_card_rig import (
    AGENT,
    Holder,
    administrator,
    authority,
    card_desk,
    ceremony,
    colleague,
    joined,
    new_holder,
    staff_cards,
)
from store_rig import Rig
from test_sign_in_acts import OPERATIONS, WORDS, RefusingLedger

from chain.signing import Scheme
from chain.transaction import SignedTransaction, verify_signatures
from chain.types import sha256
from cli.card_agent.agent import CardAgent
from cli.commands.card_agent import agent
from cli.errors import UsageError
from cli.staff_cards import staff_cards as read_cards
from identity.cards.objects import Slot
from service.errors import ConfigError
from service.problems import Problem
from service.settings import StaffSettings
from service.sign_in import cards, challenges, people
from service.sign_in.acts import REGISTRATION, Acts
from service.sign_in.card_message import CardMessage, CardPurpose
from service.sign_in.cards import CLOCK_MS_MAX
from service.sign_in.challenges import LIFETIME_MS
from service.sign_in.key_request import KeyRequest, registration
from service.sign_in.ledger import officer_key_text, parse_officer_key
from service.sign_in.people import first_link
from service.sign_in.roles import Role
from service.sign_in.sessions import AGE_MS_MAX, IDLE_MS_MAX
from service.sign_in.tables import PASSKEY, Passkey
from service.store.engine import close_engine, make_engine
from service.store.migrate import migrate
from tests.cards.authority_rig import new_authority
from tests.rig import NETWORK

MINUTE_MS = 60_000


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return card_desk(rig)


@pytest.fixture
def lone(sqlite_rig: Rig) -> Desk:
    return card_desk(sqlite_rig)


async def options(browser: Any, path: str = "/sign-in") -> dict[str, Any]:
    found: dict[str, Any] = (await browser.post(f"{path}/card/options")).json()
    return found


# ---------------------------------------------------------------- what they do


async def test_invited_person_enrols_a_card_and_signs_in_with_it_again(desk: Desk) -> None:
    boss, _ = await administrator(desk)
    browser, holder = await colleague(desk, boss)
    assert browser.officer().is_card
    other = desk.browser()
    answer = await ceremony(other, "/sign-in", holder, next="/sessions?x=1")
    assert answer.json() == {"next": "/sessions?x=1"}
    assert other.officer().person_id == browser.officer().person_id
    assert {"people.joined", "card.enrolled", "session.opened"} <= set(desk.acts())


async def test_card_is_listed_named_and_removed_beside_a_passkey_but_never_the_last(desk: Desk) -> None:
    browser, first = await desk.administrator()
    holder = new_holder(desk)
    assert (await ceremony(browser, "/passkeys", holder, name="Staff card")).status_code == 200
    page = await browser.web.get("/passkeys", headers={"accept": "text/html"})
    assert "Staff card" in page.text
    people_page = await browser.web.get("/people", headers={"accept": "text/html"})
    assert "2 passkeys and cards" in people_page.text
    assert "2031" in page.text
    with desk.store.read() as session:
        (card_id,) = session.scalars(select(Passkey.id).where(Passkey.kind == "card"))
    assert (await browser.form(f"/passkeys/{card_id}/name", name="Blue card")).status_code == 303
    assert (await browser.form(f"/passkeys/{browser.officer().passkey_id}/remove")).status_code == 303
    other = desk.browser()
    assert (await ceremony(other, "/sign-in", holder)).status_code == 200
    assert (await other.form(f"/passkeys/{card_id}/remove")).status_code == 409
    assert (await desk.browser().sign_in(first)).status_code == 401
    assert {"card.enrolled", "card.renamed", "passkey.removed"} <= set(desk.acts())


async def test_lost_card_is_replaced_by_a_second_administrator_and_ends_at_once(desk: Desk) -> None:
    first, lost = await administrator(desk)
    second, _ = await administrator(desk, "Wang Fang")
    person = first.officer()
    link = people.re_enrol(desk.office, second.officer(), person.staff_id)
    assert not await first.is_in()
    assert (await ceremony(desk.browser(), "/sign-in", lost)).json()["code"] == "sign-in.refused"
    browser, _ = await joined(desk, link)
    assert browser.officer().person_id == person.person_id


async def test_session_of_a_card_has_the_limits_of_all_sessions_and_step_up_renews_it(lone: Desk) -> None:
    browser, holder = await administrator(lone)
    lone.wait(6 * MINUTE_MS)
    assert (await browser.add(Authenticator())).json()["code"] == "sign-in.confirm"
    before = browser.token
    assert (await ceremony(browser, "/confirm", holder)).status_code == 200
    assert browser.token != before
    assert (await browser.add(Authenticator())).status_code == 200
    lone.wait(IDLE_MS_MAX)
    assert not await browser.is_in()
    await ceremony(browser, "/sign-in", holder)
    for _ in range(AGE_MS_MAX // (20 * MINUTE_MS)):
        lone.wait(20 * MINUTE_MS)
    assert not await browser.is_in()


async def test_pages_reach_the_agent_only_where_they_ask_for_a_card_and_cards_are_used(sqlite_rig: Rig) -> None:
    lone = card_desk(sqlite_rig)
    browser, _ = await administrator(lone)
    policies = {}
    for path in ("/sign-in", "/join", "/passkeys", "/sessions", "/people"):
        who = lone.browser() if path in {"/sign-in", "/join"} else browser
        answer = await who.web.get(path, headers={"accept": "text/html"})
        policies[path] = f"connect-src 'self' {AGENT};" in answer.headers["content-security-policy"]
    assert policies == {"/sign-in": True, "/join": True, "/passkeys": True, "/sessions": False, "/people": False}
    without = await desk_of(sqlite_rig).browser().web.get("/sign-in", headers={"accept": "text/html"})
    assert "connect-src 'self';" in without.headers["content-security-policy"]
    assert "data-card-agent" not in without.text


async def test_service_without_staff_cards_takes_none(sqlite_rig: Rig) -> None:
    answer = await desk_of(sqlite_rig).browser().post("/sign-in/card/options")
    assert answer.json()["code"] == "card.off"


def test_store_of_before_keeps_its_passkeys_and_takes_cards(rig: Rig) -> None:
    engine = make_engine(rig.settings())
    migrate(engine, "0001,sign1")
    columns = "id, person_id, staff_id, digest, public_key, sign_count, state, created_ms, used_ms"
    with engine.begin() as connection:
        row = {"digest": b"p" * 32, "key": b"w"}
        columns_of_person = "id, digest, epoch, key_version, wrapped_key"
        connection.execute(text(f"INSERT INTO person ({columns_of_person}) VALUES ('p', :digest, 1, 1, :key)"), row)
        person = "id, person_id, service, organisation, role, state, created_ms"
        connection.execute(text(f"INSERT INTO staff ({person}) VALUES ('s', 'p', 'desk', 'o', 'clerk', 'active', 1)"))
        row = {"digest": b"d" * 32, "key": b"\x02" * 33}
        values = "('k', 'p', 's', :digest, :key, 7, 'active', 1, 2)"
        connection.execute(text(f"INSERT INTO passkey ({columns}) VALUES {values}"), row)
    migrate(engine)
    with engine.begin() as connection:
        kept = connection.execute(text("SELECT kind, sign_key, expires_ms, public_key, sign_count FROM passkey")).one()
    assert (kept[0], kept[1], kept[2], bytes(kept[3]), kept[4]) == (PASSKEY, None, None, b"\x02" * 33, 7)
    close_engine(engine)


# ---------------------------------------------------------------- acts


class CardSigning:
    """An officer with a card at work."""

    def __init__(self, desk: Desk, browser: Any, holder: Holder) -> None:
        self.desk, self.browser, self.holder = desk, browser, holder
        self.ledger = RefusingLedger()
        self.acts = Acts(self.ledger)

    def ask(self) -> tuple[str, dict[str, Any]]:
        officer = self.browser.officer()
        act_id = self.acts.prepare(self.desk.office, officer, OPERATIONS, WORDS)
        shown = self.acts.find(self.desk.office, officer, act_id).shown
        return act_id, self.acts.ask(self.desk.office, officer, act_id, shown)

    def sign(self, act_id: str, answer: dict[str, Any]) -> SignedTransaction:
        return self.acts.sign(self.desk.office, self.browser.officer(), act_id, {"card": answer})


async def card_signing(desk: Desk) -> CardSigning:
    boss, _ = await administrator(desk)
    return CardSigning(desk, *await colleague(desk, boss))


async def test_act_is_signed_with_slot_9c_as_the_ledger_verifies_it(desk: Desk) -> None:
    signing = await card_signing(desk)
    act_id, asked = signing.ask()
    made = signing.sign(act_id, signing.holder.answer(asked))
    verify_signatures(made, signing.ledger.network)
    (signer,) = made.signers
    assert signer == signing.browser.officer().signer
    assert signer.scheme is Scheme.P256
    assert made.operations == tuple(OPERATIONS)
    with pytest.raises(Problem, match=r"sign-in\.challenge"):
        signing.sign(act_id, signing.holder.answer(asked))


async def test_card_is_registered_as_what_it_signs_with(lone: Desk) -> None:
    browser, _ = await administrator(lone)
    officer = browser.officer()
    request = KeyRequest.make(NETWORK, "civil-affairs", officer.signer, 1_000_000)
    assert KeyRequest.decode(request.encode()) == request
    acts = Acts(RefusingLedger())
    words = WORDS
    act_id = acts.prepare(lone.office, officer, [registration(officer.signer)], words, kind=REGISTRATION)
    shown = acts.find(lone.office, officer, act_id).shown
    assert acts.ask(lone.office, officer, act_id, shown)["card"]["key"] == officer.public_key.hex()
    assert parse_officer_key(officer_key_text(officer.signer)) == officer.signer
    assert officer_key_text(officer.signer).startswith("card:")


# ---------------------------------------------------------------- attacks


async def test_replayed_login_signature_signs_nobody_in(desk: Desk) -> None:
    _, holder = await administrator(desk)
    browser = desk.browser()
    said = holder.answer(await options(browser))
    assert (await browser.post("/sign-in/card/verify", {"card": said})).status_code == 200
    for again in (browser, desk.browser()):
        assert (await again.post("/sign-in/card/verify", {"card": said})).json()["code"] == "sign-in.challenge"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://desk.example.org:444", "http://desk.example.org"])
async def test_login_signature_for_a_foreign_origin_is_refused(lone: Desk, origin: str) -> None:
    _, holder = await administrator(lone)
    browser = lone.browser()
    said = holder.answer(await options(browser), origin=origin)
    assert (await browser.post("/sign-in/card/verify", {"card": said})).json()["code"] == "sign-in.refused"


async def test_foreign_nonce_and_a_nonce_of_another_browser_are_refused(lone: Desk) -> None:
    _, holder = await administrator(lone)
    browser, thief = lone.browser(), lone.browser()
    asked = await options(browser)
    made_up = {"card": {**asked["card"], "nonce": secrets.token_hex(32)}}
    for who, nonce in ((browser, made_up), (thief, asked)):
        answer = await who.post("/sign-in/card/verify", {"card": holder.answer(nonce)})
        assert answer.json()["code"] == "sign-in.challenge"


async def test_session_fixation_leaves_the_planted_cookie_worthless(lone: Desk) -> None:
    _, holder = await administrator(lone)
    browser, planted = lone.browser(), "A" * 43
    browser.web.cookies.set(lone.office.session_cookie, planted)
    assert (await ceremony(browser, "/sign-in", holder)).status_code == 200
    thief = lone.browser()
    thief.web.cookies.set(lone.office.session_cookie, planted)
    assert not await thief.is_in()


async def test_session_that_a_browser_brings_ends_when_somebody_signs_in_with_a_card(lone: Desk) -> None:
    browser, holder = await administrator(lone)
    thief = lone.browser()
    thief.web.cookies.set(lone.office.session_cookie, browser.token)
    assert await thief.is_in()
    assert (await ceremony(browser, "/sign-in", holder)).status_code == 200
    assert not await thief.is_in()


async def test_link_that_a_card_has_used_is_good_for_no_second_card_or_passkey(lone: Desk) -> None:
    link = first_link(lone.office, "Li Wei", "civil-affairs")
    await joined(lone, link)
    token = link.partition("#")[2]
    again = await ceremony(lone.browser(), "/join", new_holder(lone), token=token, name="Card")
    assert again.json()["code"] == "invitation.invalid"
    assert (await lone.browser().join(link, Authenticator())).json()["code"] == "invitation.invalid"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_open_redirect_after_sign_in_by_card_stays_here(lone: Desk, target: str) -> None:
    _, holder = await administrator(lone)
    assert (await ceremony(lone.browser(), "/sign-in", holder, next=target)).json() == {"next": "/passkeys"}


async def test_enumeration_of_cards_learns_no_difference(lone: Desk) -> None:
    _, holder = await administrator(lone)
    stranger = new_holder(lone)
    answers = []
    for who, change in ((stranger, {}), (holder, {"signature": "11" * 64}), (holder, {"sign": "02" + "11" * 32})):
        browser = lone.browser()
        said = {**who.answer(await options(browser)), **change}
        answer = await browser.post("/sign-in/card/verify", {"card": said})
        answers.append((answer.status_code, answer.json()["code"], answer.json()["detail"]))
    assert len(set(answers)) == 1


def test_flood_of_challenges_for_cards_pushes_out_its_own(lone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "CHALLENGES_MAX", 3)
    with lone.store.write() as session:
        kept = challenges.issue(session, "desk", challenges.Purpose.CARD_CONFIRM, b"b" * 32, lone.office.now())
    for _ in range(5):
        cards.ask_to_sign_in(lone.office, b"a" * 32)
    with lone.store.write() as session:
        purpose = challenges.Purpose.CARD_CONFIRM
        assert challenges.take(session, "desk", purpose, b"b" * 32, kept, lone.office.now()).challenge == kept


async def test_expired_challenge_is_refused(lone: Desk) -> None:
    _, holder = await administrator(lone)
    browser = lone.browser()
    asked = await options(browser)
    lone.wait(LIFETIME_MS)
    answer = await browser.post("/sign-in/card/verify", {"card": holder.answer(asked)})
    assert answer.json()["code"] == "sign-in.challenge"


async def test_statement_of_a_clock_that_is_off_is_refused_and_says_so(lone: Desk) -> None:
    _, holder = await administrator(lone)
    early = Holder(
        holder.card, holder.pin, CardAgent(lambda: holder.card, lambda: lone.office.now() - CLOCK_MS_MAX - 1)
    )
    browser = lone.browser()
    answer = await browser.post("/sign-in/card/verify", {"card": early.answer(await options(browser))})
    assert answer.json()["code"] == "card.clock"


@pytest.mark.parametrize("field", ["nonce", "time_ms", "authenticate", "sign", "signature"])
async def test_altered_field_of_a_statement_signs_nobody_in(lone: Desk, field: str) -> None:
    _, holder = await administrator(lone)
    browser = lone.browser()
    said = holder.answer(await options(browser))
    other = new_holder(lone).answer(await options(browser))
    said[field] = said[field] + 1 if field == "time_ms" else other[field]
    answer = await browser.post("/sign-in/card/verify", {"card": said})
    assert answer.status_code in {401, 409}
    assert not await browser.is_in()


async def test_statement_for_one_purpose_is_worth_nothing_for_another(lone: Desk) -> None:
    browser, holder = await administrator(lone)
    asked = await options(browser, "/confirm")
    renamed = {"card": {**asked["card"], "purpose": "sign-in"}}
    answer = await browser.post("/confirm/card/verify", {"card": holder.answer(renamed)})
    assert answer.json()["code"] == "sign-in.refused"


async def test_signature_of_slot_9a_is_no_act(lone: Desk) -> None:
    signing = await card_signing(lone)
    act_id, asked = signing.ask()
    good = signing.holder.answer(asked)
    forged = signing.holder.raw_sign(Slot.AUTHENTICATE, bytes.fromhex(good["challenge"]))
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.sign(act_id, {**good, "signature": forged.hex()})
    with lone.store.read() as session:
        card = session.get(Passkey, signing.browser.officer().passkey_id)
        assert card is not None
        key = card.public_key.hex()
    act_id, asked = signing.ask()
    good = signing.holder.answer(asked)
    forged = signing.holder.raw_sign(Slot.AUTHENTICATE, bytes.fromhex(good["challenge"]))
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.sign(act_id, {**good, "key": key, "signature": forged.hex()})


async def test_signature_of_slot_9c_signs_nobody_in(lone: Desk) -> None:
    _, holder = await administrator(lone)
    browser = lone.browser()
    said = holder.answer(await options(browser))
    keys = bytes.fromhex(said["authenticate"]), bytes.fromhex(said["sign"])
    origin = lone.office.address.public_origin
    message = CardMessage(CardPurpose.SIGN_IN, origin, bytes.fromhex(said["nonce"]), said["time_ms"], *keys)
    forged = holder.raw_sign(Slot.SIGN, sha256(message.login()))
    answer = await browser.post("/sign-in/card/verify", {"card": {**said, "signature": forged.hex()}})
    assert answer.json()["code"] == "sign-in.refused"


async def test_act_of_a_passkeys_challenge_or_another_persons_card_is_refused(lone: Desk) -> None:
    signing = await card_signing(lone)
    act_id, asked = signing.ask()
    thief = new_holder(lone)
    good = signing.holder.answer(asked)
    forged = thief.raw_sign(Slot.SIGN, bytes.fromhex(good["challenge"]))
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.sign(act_id, {**good, "signature": forged.hex()})


async def test_removed_card_neither_signs_in_nor_signs_and_its_sessions_end(desk: Desk) -> None:
    browser, _ = await desk.administrator()
    holder = new_holder(desk)
    await ceremony(browser, "/passkeys", holder, name="Staff card")
    elsewhere = desk.browser()
    await ceremony(elsewhere, "/sign-in", holder)
    signing = CardSigning(desk, elsewhere, holder)
    act_id, asked = signing.ask()
    officer = elsewhere.officer()
    assert (await browser.form(f"/passkeys/{officer.passkey_id}/remove")).status_code == 303
    assert not await elsewhere.is_in()
    assert (await ceremony(desk.browser(), "/sign-in", holder)).json()["code"] == "sign-in.refused"
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.acts.sign(desk.office, officer, act_id, {"card": holder.answer(asked)})


async def test_two_people_with_one_card_are_refused(desk: Desk) -> None:
    boss, holder = await administrator(desk)
    link = people.invite(desk.office, boss.officer(), "Zhang Min", "civil-affairs", Role.CLERK)
    token = link.partition("#")[2]
    answer = await ceremony(desk.browser(), "/join", holder, token=token, name="The same card")
    assert answer.json()["code"] == "card.unfit"
    await joined(desk, link)  # the link is still good


async def test_card_of_another_authority_or_an_emulated_one_in_production_is_not_enrolled(sqlite_rig: Rig) -> None:
    lone = card_desk(sqlite_rig)
    link = first_link(lone.office, "Li Wei", "civil-affairs")
    token = link.partition("#")[2]
    foreign = new_holder(lone, new_authority(now_s=lone.office.now() // 1000 // 86_400 * 86_400))
    answer = await ceremony(lone.browser(), "/join", foreign, token=token, name="Card")
    assert answer.json()["code"] == "card.unfit"
    strict = desk_of(sqlite_rig, staff_cards(emulated=False))
    other = first_link(strict.office, "Li Wei", "civil-affairs").partition("#")[2]
    answer = await ceremony(strict.browser(), "/join", new_holder(strict), token=other, name="Card")
    assert answer.json()["code"] == "card.unfit"
    await joined(lone, link)


async def test_card_whose_authority_counts_no_more_signs_nobody_in_and_a_second_one_may_stand_beside(
    sqlite_rig: Rig,
) -> None:
    lone = card_desk(sqlite_rig)
    _, holder = await administrator(lone)
    another = new_authority(now_s=lone.office.now() // 1000 // 86_400 * 86_400)
    for cards_of, status in (((another,), 422), ((another, authority()), 200)):
        lone.office = replace(lone.office, cards=staff_cards(cards_of))
        lone.app.state.office = lone.office
        assert (await ceremony(lone.browser(), "/sign-in", holder)).status_code == status


@pytest.mark.parametrize("fault", ["possession", "swapped", "mixed", "same"])
async def test_enrolment_without_both_keys_of_one_card_is_refused(lone: Desk, fault: str) -> None:
    token = first_link(lone.office, "Li Wei", "civil-affairs").partition("#")[2]
    browser, holder = lone.browser(), new_holder(lone)
    asked = (await browser.post("/join/card/options", {"token": token})).json()
    said, other = holder.answer(asked), new_holder(lone).answer(asked)
    faulty = {
        "possession": {"possession": said["signature"]},
        "swapped": {
            "certificates": said["certificates"][::-1],
            "authenticate": said["sign"],
            "sign": said["authenticate"],
        },
        "mixed": {"certificates": [said["certificates"][0], other["certificates"][1]], "sign": other["sign"]},
        "same": {"certificates": [said["certificates"][0]] * 2, "sign": said["authenticate"]},
    }[fault]
    body = {"token": token, "card": {**said, **faulty}, "name": "Card"}
    assert (await browser.post("/join/card/verify", body)).json()["code"] == "card.unfit"


async def test_expired_card_is_told_so_once_it_has_shown_itself_and_its_session_ends(lone: Desk) -> None:
    browser, holder = await administrator(lone)
    with lone.store.write() as session:
        row = session.get(Passkey, browser.officer().passkey_id)
        assert row is not None
        row.expires_ms = lone.office.now() + MINUTE_MS
    lone.wait(MINUTE_MS)
    assert not await browser.is_in()
    assert (await ceremony(lone.browser(), "/sign-in", holder)).json()["code"] == "card.expired"


async def test_card_of_another_service_in_the_same_store_signs_nobody_in(lone: Desk) -> None:
    _, holder = await administrator(lone)
    with lone.store.write() as session:
        session.execute(text("UPDATE staff SET service = 'office'"))
    assert (await ceremony(lone.browser(), "/sign-in", holder)).json()["code"] == "sign-in.refused"


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"nonce": "00" * 32},
        {"nonce": "g" * 64, "time_ms": 1, "authenticate": "02" * 33, "sign": "02" * 33, "signature": "0" * 128},
        {"nonce": "0" * 64, "time_ms": 2**60, "authenticate": "02" * 33, "sign": "02" * 33, "signature": "0" * 128},
        {"nonce": "0" * 64, "time_ms": True, "authenticate": "02" * 33, "sign": "02" * 33, "signature": "0" * 128},
    ],
)
async def test_malformed_statement_is_refused_and_never_fails_the_service(lone: Desk, card: dict[str, Any]) -> None:
    assert (await lone.browser().post("/sign-in/card/verify", {"card": card})).status_code == 422


def test_statement_begins_with_words_that_no_other_signature_begins_with() -> None:
    message = CardMessage(CardPurpose.JOIN, "https://a.example", bytes(32), 1, b"\x02" * 33, b"\x03" * 33)
    assert message.login().startswith(b"zhixin/staff-card/1\x00{")
    assert message.possession().startswith(b"zhixin/staff-card-possession/1\x00{")
    with pytest.raises(AssertionError):
        CardMessage(CardPurpose.SIGN_IN, "https://a.example", bytes(32), 1, b"\x02" * 33, b"\x03" * 33).possession()


# ---------------------------------------------------------------- settings and commands


def test_settings_name_an_authority_and_an_agent_of_this_machine_or_are_refused(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    assert read_cards(StaffSettings()) is None
    for settings, complaint in (
        (StaffSettings(card_chains=(str(chain),)), "can't be read"),
        (StaffSettings(card_chains=(str(chain),), card_agent="https://evil.example"), "staff.card_agent"),
        (StaffSettings(card_chains=(str(chain),), card_agent="http://127.0.0.1:8820/x"), "staff.card_agent"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            read_cards(settings)
    chain.write_bytes(b"no chain")
    with pytest.raises(ConfigError, match="two certificates"):
        read_cards(StaffSettings(card_chains=(str(chain),)))
    chain.write_bytes(authority().chain_pem)
    found = read_cards(StaffSettings(card_chains=(str(chain),)))
    assert found is not None
    assert found.agent == AGENT


@pytest.mark.parametrize(
    "text", ["", "card:", "02" * 33 + "0", "card:04" + "00" * 32, "CARD:02" + "00" * 32, "zz" * 33]
)
def test_text_that_is_no_officers_key_is_none(text: str) -> None:
    assert parse_officer_key(text) is None


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/", "https://a.example:443", "http://a.example", "a.example", "https://A.example", "null"],
)
def test_command_takes_no_origin_that_browsers_do_not_send_or_anybody_could_forge(origin: str) -> None:
    with pytest.raises(UsageError):
        agent([origin])
