# SPDX-License-Identifier: Apache-2.0
"""The card's agent: who may ask it, what it signs, what it does with a PIN, and what it says when a card fails."""

import logging
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from staff_card_rig import CLOCK_S, new_card

from chain import p256
from chain.codec import signed_bytes
from chain.pb import ledger_pb2 as pb
from chain.signing import Scheme, Signer
from chain.transaction import Operation, SignedTransaction, build, decode
from chain.types import OPERATIONS_MAX, Millis, Network
from cli.card_agent import kinds
from cli.card_agent.agent import LIFETIME_MS, PENDING_MAX, Act, CardAgent, Login
from cli.card_agent.code import is_code, new_code
from cli.card_agent.part import BODY_BYTES_MAX, FORM_BYTES_MAX, agent_parts
from identity.cards.card import Card, CardError, NoCard, PcscMissing, ReaderUnplugged
from identity.cards.emulator import EmulatedCard
from membership.pb import membership_pb2
from membership.state import signer_pb
from service.app import create_app
from service.language import translate
from service.problems import Problem
from service.settings import Address, HttpSettings, LimitSettings, Settings
from service.sign_in.act_rows import CONTENT_BYTES_MAX
from service.sign_in.card_message import CardMessage, CardPurpose
from tests.cards.making_rig import Pulled

SITE = "https://desk.example"
OWN = "http://127.0.0.1:8820"
CODE = "ABCD-EFGH-JKMN-PQRS-TUVW"
NONCE = "5a" * 32
LOGIN = {"purpose": "sign-in", "nonce": NONCE}
NETWORK = Network(b"\x07" * 32)
NOW_MS = CLOCK_S * 1000
REVOKED = b"\x02" + b"\x77" * 32


class Machine:
    """An officer's machine: card, agent, a page of the service, and the agent's window."""

    def __init__(self) -> None:
        self.card, self.pin = new_card()
        self.opened: Callable[[], Card] = lambda: self.card
        self.now_ms = NOW_MS
        self.agent = CardAgent(self._open, lambda: self.now_ms)
        address = Address("card-agent", "127.0.0.1:8820", OWN, ("localhost:8820",))
        limits = LimitSettings(address_per_second=10_000, address_burst=10_000)
        settings = Settings(http=HttpSettings(), limits=limits)
        self.app = create_app(agent_parts(self.agent, [SITE], CODE), settings, address)
        self.app.state.agent_origins = frozenset({SITE})

    def _open(self) -> Card:
        return self.opened()

    def page(self, origin: str | None = SITE, code: str | None = CODE, host: str = OWN) -> httpx.AsyncClient:
        headers = {"accept": "application/json", "accept-language": "en", "sec-fetch-site": "cross-site"}
        headers |= {} if origin is None else {"origin": origin}
        headers |= {} if code is None else {"x-card-agent-code": code}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=host, headers=headers)

    def window(self, origin: str = OWN) -> httpx.AsyncClient:
        headers = {"accept": "text/html", "accept-language": "en", "origin": origin, "sec-fetch-site": "same-origin"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=OWN, headers=headers)

    async def ask(self, body: dict[str, Any] | None = None) -> str:
        answer = await self.page().post("/agent/requests", json=body or LOGIN)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def enter(self, question: str, pin: str | None = None, **fields: str) -> httpx.Response:
        """What the person does in the window."""
        window = self.window()
        page = await window.get(f"/window/{question}")
        token = page.text.partition('name="csrf_token" value="')[2][:64]
        data = {"csrf_token": token, "pin": self.pin if pin is None else pin, **fields}
        return await window.post(f"/window/{question}", data=data)

    async def outcome(self, question: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.page().get(f"/agent/requests/{question}")).json()
        return found

    def key(self) -> bytes:
        return self.agent.look().keys()[1]

    def transaction(self, *, key: bytes | None = None, expires_ms: int | None = None) -> SignedTransaction:
        signer = _Blank(Signer(Scheme.P256, self.key() if key is None else key))
        revoked = membership_pb2.RevokeKey(key=signer_pb(Signer(Scheme.P256, REVOKED)))
        operation = Operation.make("membership.RevokeKey", revoked.SerializeToString())
        expires = Millis(NOW_MS + 60_000 if expires_ms is None else expires_ms)
        return build([operation], [signer], expires, bytes(16), NETWORK)

    def act(self, made: SignedTransaction | None = None, **changed: Any) -> dict[str, Any]:
        made = self.transaction() if made is None else made
        operations = [one.raw.hex() for one in made.operations]
        fields = {"network": NETWORK.hex(), "header": made.header.hex(), "operations": operations}
        return {**fields, "key": self.key().hex(), **changed}


class _Blank:
    def __init__(self, signer: Signer) -> None:
        self.signer = signer

    def sign(self, _message: bytes) -> bytes:
        return b"\0"


@pytest.fixture
def machine() -> Machine:
    return Machine()


# ---------------------------------------------------------------- what it does


async def test_page_learns_of_the_card_without_a_pin(machine: Machine) -> None:
    seen = (await machine.page().get("/agent/card")).json()
    assert set(seen) == {"guid", "expires", "emulated", "certificates", "pin_tries_left"}
    assert set(seen["certificates"]) == {"9A", "9C"}
    assert (seen["emulated"], seen["pin_tries_left"], seen["expires"]) == (True, 3, "2031-11-21")


async def test_login_is_worded_by_the_agent_and_signed_after_the_pin_alone(machine: Machine) -> None:
    question = await machine.ask()
    assert await machine.outcome(question) == {"state": "waiting", "answer": None}
    assert "Sign in with your card" in (await machine.window().get(f"/window/{question}")).text
    assert "Signed" in (await machine.enter(question)).text
    answer = (await machine.outcome(question))["answer"]
    keys = machine.agent.look().keys()
    message = CardMessage(CardPurpose.SIGN_IN, SITE, bytes.fromhex(NONCE), NOW_MS, *keys)
    p256.verify(keys[0], message.login(), bytes.fromhex(answer["signature"]))
    assert set(answer) == {"nonce", "time_ms", "authenticate", "sign", "signature"}


async def test_enrolment_shows_both_keys_and_hands_out_both_certificates(machine: Machine) -> None:
    question = await machine.ask({"purpose": "join", "nonce": NONCE})
    await machine.enter(question)
    answer = (await machine.outcome(question))["answer"]
    keys = machine.agent.look().keys()
    message = CardMessage(CardPurpose.JOIN, SITE, bytes.fromhex(NONCE), NOW_MS, *keys)
    p256.verify(keys[1], message.possession(), bytes.fromhex(answer["possession"]))
    assert len(answer["certificates"]) == 2


async def test_act_is_shown_in_the_agents_own_words_and_signed_as_the_ledger_has_it(machine: Machine) -> None:
    made = machine.transaction()
    question = await machine.ask(machine.act(made))
    window = await machine.window().get(f"/window/{question}")
    assert REVOKED.hex() in window.text
    assert "membership.RevokeKey" in window.text
    assert made.id.hex() in window.text
    await machine.enter(question)
    answer = (await machine.outcome(question))["answer"]
    p256.verify(machine.key(), signed_bytes("transaction", NETWORK, made.header), bytes.fromhex(answer["signature"]))


async def test_act_of_very_many_operations_shows_every_one_of_them(machine: Machine) -> None:
    keys = [b"\x02" + number.to_bytes(32) for number in range(OPERATIONS_MAX)]
    revoked = [membership_pb2.RevokeKey(key=signer_pb(Signer(Scheme.P256, key))) for key in keys]
    operations = [Operation.make("membership.RevokeKey", one.SerializeToString()) for one in revoked]
    signer = _Blank(Signer(Scheme.P256, machine.key()))
    made = build(operations, [signer], Millis(NOW_MS + 60_000), bytes(16), NETWORK)
    question = await machine.ask(machine.act(made))
    page = (await machine.window().get(f"/window/{question}")).text
    asked, _, pin = page.partition('name="pin"')
    assert pin
    assert all(key.hex() in asked for key in keys)
    assert translate("en", "agent.operations", count=OPERATIONS_MAX) in asked


async def test_person_who_declines_signs_nothing(machine: Machine) -> None:
    question = await machine.ask()
    window = machine.window()
    page = await window.get(f"/window/{question}")
    token = page.text.partition('name="csrf_token" value="')[2][:64]
    declined = await window.post(f"/window/{question}/decline", data={"csrf_token": token})
    assert "Nothing was signed" in declined.text
    assert await machine.outcome(question) == {"state": "declined", "answer": None}
    with pytest.raises(Problem, match=r"agent\.unknown"):
        machine.agent.sign(question, machine.pin)


async def test_chinese_window_speaks_chinese_throughout(machine: Machine) -> None:
    question = await machine.ask(machine.act())
    page = await machine.window().get(f"/window/{question}?lang=zh-CN")
    assert "用工作卡签署" in page.text
    assert "剩余次数：3" in page.text


# ---------------------------------------------------------------- PIN


async def test_wrong_pin_says_what_is_left_and_the_last_try_is_never_used_unsaid(machine: Machine) -> None:
    question = await machine.ask()
    first = await machine.enter(question, "000000")
    assert first.status_code == 403
    assert "Tries left: 2" in first.text
    second = await machine.enter(question, "000000")
    assert "This is the last try" in second.text
    unsaid = await machine.enter(question)
    assert (unsaid.status_code, machine.agent.look().tries_left) == (409, 1)
    dared = await machine.enter(question, last_try="yes")
    assert "Signed" in dared.text
    assert machine.agent.look().tries_left == 3


async def test_blocked_pin_is_explained_and_not_asked_for(machine: Machine) -> None:
    question = await machine.ask()
    for _ in range(3):
        last = await machine.enter(question, "000000", last_try="yes")
    assert "The PIN is blocked" in last.text
    page = await machine.window().get(f"/window/{question}")
    assert 'name="pin"' not in page.text
    assert "The PIN is blocked" in page.text


@pytest.mark.parametrize("pin", ["", "12345", "abcdef", "１２３４５６"])
async def test_text_that_is_no_pin_costs_no_try(machine: Machine, pin: str) -> None:
    answer = await machine.enter(await machine.ask(), pin)
    assert answer.status_code == 422
    assert machine.agent.look().tries_left == 3


async def test_pin_stands_in_no_log_no_answer_and_no_question(
    machine: Machine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    question = await machine.ask()
    answers = [await machine.enter(question, "93817264"), await machine.enter(question)]
    said = capfd.readouterr()
    for pin in ("93817264", machine.pin):
        assert pin not in said.out + said.err + caplog.text
        assert pin not in "".join(answer.text for answer in answers)
        assert pin not in repr(machine.agent.find(question))


async def test_card_keeps_no_verified_pin_after_a_signature(machine: Machine) -> None:
    await machine.enter(await machine.ask())
    assert machine.agent.look().tries_left == 3  # it would be None while a PIN is verified


# ---------------------------------------------------------------- cards and readers that fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoCard("no reader is plugged in"), "agent.no-card"),
        (ReaderUnplugged(), "agent.reader-unplugged"),
        (PcscMissing("pcscd is not running"), "agent.pcsc-missing"),
        (CardError("another program holds the card"), "agent.card-failed"),
    ],
)
async def test_reader_that_fails_is_explained_to_page_and_window(machine: Machine, error: CardError, code: str) -> None:
    question = await machine.ask()

    def fail() -> Card:
        raise error

    machine.opened = fail
    page = await machine.page().get("/agent/card")
    assert page.json()["code"] == code
    assert page.headers["access-control-allow-origin"] == SITE
    window = await machine.window().get(f"/window/{question}")
    assert page.json()["title"] in window.text.replace("&#39;", "'")
    assert "Look for the card again" in window.text


@pytest.mark.parametrize("at", range(9))
async def test_card_pulled_out_at_any_command_signs_nothing_and_can_be_put_back(machine: Machine, at: int) -> None:
    question = await machine.ask()
    machine.opened = lambda: Pulled(machine.card, at)
    with pytest.raises(Problem, match=r"agent\.card-removed"):
        machine.agent.sign(question, machine.pin)
    assert (await machine.outcome(question))["state"] == "waiting"
    machine.opened = lambda: machine.card
    assert "Signed" in (await machine.enter(question)).text


async def test_blank_card_is_no_staff_card(machine: Machine) -> None:
    machine.opened = EmulatedCard
    assert (await machine.page().get("/agent/card")).json()["code"] == "agent.card-unsupported"


async def test_other_card_than_the_acts_signs_nothing_and_loses_no_try(machine: Machine) -> None:
    question = await machine.ask(machine.act())
    other, _ = new_card()
    machine.opened = lambda: other
    assert "This is another card" in (await machine.enter(question, "000000")).text
    assert machine.agent.look().tries_left == 3


# ---------------------------------------------------------------- attacks


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://desk.example.evil.example", "http://desk.example", "null", OWN, None]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_agent_called_from_a_foreign_origin_answers_nothing(
    machine: Machine, origin: str | None, method: str
) -> None:
    path = "/agent/requests" if method == "POST" else "/agent/card"
    answer = await machine.page(origin).request(method, path, json=LOGIN if method == "POST" else None)
    assert answer.status_code == 403
    assert answer.json()["code"] == "agent.origin"
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-private-network" not in answer.headers


@pytest.mark.parametrize("host", ["http://rebound.evil.example:8820", "http://127.0.0.1", "http://desk.example"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_dns_rebinding_reaches_neither_agent_nor_window(machine: Machine, host: str, method: str) -> None:
    question = await machine.ask()
    for path in ("/agent/card", "/", f"/window/{question}"):
        answer = await machine.page(host=host).request(method, path)
        assert answer.status_code == 421
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("code", [None, "", "ABCD-EFGH-JKMN-PQRS-TUVX", "ABCD", "ABCD-EFGH-JKMN-PQRS-TUVW-A"])
async def test_page_without_the_code_gets_no_signature(machine: Machine, code: str | None) -> None:
    question = await machine.ask()
    page = machine.page(code=code)
    for answer in (
        await page.get("/agent/card"),
        await page.post("/agent/requests", json=LOGIN),
        await page.get(f"/agent/requests/{question}"),
    ):
        assert answer.status_code == 401
        assert answer.json()["code"] == "agent.unpaired"


async def test_preflight_allows_what_pages_send_and_the_way_to_a_private_address(machine: Machine) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-private-network": "true"}
    answer = await machine.page(code=None).options("/agent/requests", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SITE
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert "x-card-agent-code" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_oversized_body_to_the_agent_or_its_window_is_refused(machine: Machine) -> None:
    answer = await machine.page().post("/agent/requests", content=b" " * (BODY_BYTES_MAX + 1))
    assert answer.status_code == 413
    question = await machine.ask()
    answer = await machine.window().post(f"/window/{question}", content=b"pin=" + b"1" * FORM_BYTES_MAX)
    assert answer.status_code == 413
    assert machine.agent.look().tries_left == 3


async def test_act_as_large_as_a_service_prepares_is_signed(machine: Machine) -> None:
    operation = Operation.make("membership.Withdraw", b"x" * CONTENT_BYTES_MAX)
    made = build([operation], [_Blank(Signer(Scheme.P256, machine.key()))], Millis(NOW_MS + 60_000), bytes(16), NETWORK)
    question = await machine.ask(machine.act(made))
    assert "Signed" in (await machine.enter(question)).text


@pytest.mark.parametrize(
    "body",
    [
        {"purpose": "sign-in", "nonce": NONCE, "digest": "00" * 32},
        {"purpose": "act", "nonce": NONCE},
        {"purpose": "sign-in", "nonce": "00" * 31},
        {"digest": "00" * 32},
        {"purpose": "sign-in", "nonce": NONCE, "origin": "https://bank.example"},
    ],
)
async def test_arbitrary_digests_and_foreign_origins_are_not_to_be_had_by_asking(
    machine: Machine, body: dict[str, Any]
) -> None:
    assert (await machine.page().post("/agent/requests", json=body)).status_code == 422


async def test_act_whose_operations_are_not_those_of_its_header_is_refused(machine: Machine) -> None:
    harmless = Operation.make("membership.Withdraw", b"").raw.hex()
    for changed in (
        {"operations": [harmless]},
        {"operations": [harmless] * 2},
        {"header": "00"},
        {"key": "02" + "5a" * 32},
    ):
        answer = await machine.page().post("/agent/requests", json=machine.act(**changed))
        assert answer.json()["code"] == "agent.act-unfit"


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
async def test_act_whose_time_is_past_or_far_ahead_is_not_signed(machine: Machine, ahead_ms: int) -> None:
    made = machine.transaction(expires_ms=NOW_MS + ahead_ms)
    assert (await machine.page().post("/agent/requests", json=machine.act(made))).json()["code"] == "agent.act-unfit"


async def test_act_that_another_key_signs_is_not_for_this_card(machine: Machine) -> None:
    made = machine.transaction(key=b"\x02" + b"\x11" * 32)
    assert (await machine.page().post("/agent/requests", json=machine.act(made))).json()["code"] == "agent.act-unfit"


async def test_other_allowed_site_does_not_get_what_was_signed_for_the_first(machine: Machine) -> None:
    machine.app.state.agent_origins = frozenset({SITE, "https://other.example"})
    question = await machine.ask()
    await machine.enter(question)
    other = await machine.page("https://other.example").get(f"/agent/requests/{question}")
    assert (other.status_code, other.json()["code"]) == (404, "agent.unknown")


async def test_question_is_answered_once_and_forgotten_in_time(machine: Machine) -> None:
    question = await machine.ask()
    await machine.enter(question)
    with pytest.raises(Problem, match=r"agent\.unknown"):
        machine.agent.sign(question, machine.pin)
    machine.now_ms += LIFETIME_MS
    assert (await machine.page().get(f"/agent/requests/{question}")).status_code == 404


def test_flood_of_questions_is_bounded(machine: Machine) -> None:
    made = [machine.agent.ask(SITE, Login(CardPurpose.SIGN_IN, bytes(32))) for _ in range(PENDING_MAX + 1)]
    with pytest.raises(Problem, match=r"agent\.unknown"):
        machine.agent.find(made[0].id)
    assert machine.agent.find(made[1].id) is made[1]


async def test_forged_form_to_the_window_signs_nothing(machine: Machine) -> None:
    question = await machine.ask()
    data = {"pin": machine.pin}
    without_token = await machine.window().post(f"/window/{question}", data=data)
    foreign = await machine.window("https://desk.example").post(f"/window/{question}", data=data)
    assert {without_token.status_code, foreign.status_code} == {403}
    assert (await machine.outcome(question))["state"] == "waiting"


async def test_text_that_turns_its_direction_does_not_hide_what_is_signed(machine: Machine) -> None:
    endpoint = membership_pb2.SetEndpoint(endpoint=membership_pb2.Endpoint(address="\u202egpj.exe\u200b:1"))
    operation = Operation.make("membership.SetEndpoint", endpoint.SerializeToString())
    made = build([operation], [_Blank(Signer(Scheme.P256, machine.key()))], Millis(NOW_MS + 60_000), bytes(16), NETWORK)
    page = await machine.window().get(f"/window/{await machine.ask(machine.act(made))}")
    assert "\u202e" not in page.text
    assert "\\u202e" in page.text


async def test_markup_in_an_operation_is_shown_as_the_text_that_it_is(machine: Machine) -> None:
    operation = Operation.make("<script>alert(1)</script>", b"{{ 7*7 }}")
    made = build([operation], [_Blank(Signer(Scheme.P256, machine.key()))], Millis(NOW_MS + 60_000), bytes(16), NETWORK)
    page = await machine.window().get(f"/window/{await machine.ask(machine.act(made))}")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


async def test_window_can_be_framed_by_nobody_and_is_kept_by_no_cache(machine: Machine) -> None:
    answer = await machine.window().get(f"/window/{await machine.ask()}")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_guessed_question_has_no_window(machine: Machine) -> None:
    assert (await machine.window().get("/window/" + "A" * 43)).status_code == 404


def test_code_is_long_and_reads_however_it_is_typed() -> None:
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(re.fullmatch(r"([A-HJKMNP-Z2-9]{4}-){4}[A-HJKMNP-Z2-9]{4}", one) for one in codes)
    assert is_code("abcd efgh jkmn pqrs tuvw", CODE)
    assert not is_code("", CODE)
    assert not is_code("ÄBCD", CODE)


def test_act_read_is_what_the_ledger_decodes(machine: Machine) -> None:
    made = machine.transaction()
    act = Act.read(NETWORK, made.header, [one.raw for one in made.operations], machine.key(), NOW_MS)
    assert act.id == made.id
    assert decode(made.raw).header == act.header
    assert pb.Header.FromString(act.header).operation_count == 1


def test_each_error_of_a_card_has_words() -> None:
    assert len({kind.code for kind in kinds.KINDS}) == len(kinds.KINDS)
