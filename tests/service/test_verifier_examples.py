# SPDX-License-Identifier: Apache-2.0
"""The package for relying parties and the examples: the public interface is enough, and forgeries are not taken."""

import ast
import contextlib
import importlib.util
import re
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from verifier_rig import BANK, PAGE, STATUS_URI, Caller, CardOffice, Citizen, signer

from identity import offline_qr, sd_jwt
from identity.api.verifier.answers import sign_notice
from identity.api.verifier.part import SITE, verifier_part
from identity.api.verifier.sandbox import make_sandbox
from identity.api.verifier.transaction_data import confirmation
from identity.issuer_keys import make_registrar
from identity.jose import MemorySigner, decode_jws, sign_jws
from identity.sd_jwt import Binding, StatusReference
from service.app import create_app
from service.settings import Address, parse_settings
from service.shell import shell_part

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk" / "python"))

import zhixin_rp  # noqa: E402 - after the path is set

ALLOWED = {"zhixin_rp", "fastapi", "uvicorn", "httpx", "cryptography"}


class OpenOffice(CardOffice):
    """An office on a port of this machine, with a sandbox; its programs may be on this machine, too."""

    def __init__(self, rig, origin: str) -> None:
        super().__init__(rig, origin=origin)
        self.box = make_sandbox(lambda: self.now_s)
        object.__setattr__(self.verifier, "sandbox", self.box.realm)
        _, self.trial_key = self.client(BANK, is_sandbox=True)
        for number in (201, 202):
            self.directory.purposes[BANK, number] = self.purpose(BANK, 103 if number == 202 else 104)

    def app(self, **_more):
        part = verifier_part(self.verifier, self.states, sandbox=self.box)
        address = Address("verifier", "127.0.0.1:0", self.origin)
        settings = parse_settings("[limits]\naddress_burst = 5000\naddress_per_second = 1000\n", {})
        return create_app([shell_part(SITE), part], settings, address, secret=bytes(32), replays=self.store.replays())

    def relying(self, key: str | None = None, **more: str) -> zhixin_rp.Verifier:
        return zhixin_rp.Verifier(
            self.origin, key=key or self.bank_key, relying_party=BANK, root=self.own_anchor, **more
        )


def anchor() -> bytes:
    """A verifier's certificate of which no question comes to be asked."""
    return make_registrar(
        "V", ec.derive_private_key(7, ec.SECP256R1()), serial=1, begins_s=1_700_000_000, ends_s=1_800_000_000
    )


@pytest.fixture
def office(sqlite_rig) -> Iterator[OpenOffice]:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = OpenOffice(sqlite_rig, f"http://localhost:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(made.app(), log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                thread.join(0.01)
            yield made
        finally:
            server.should_exit = True
            thread.join(60)


def example(name: str):
    """An example's module, as it stands in its file."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / name / "app.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def wallet(office: OpenOffice, link: str, citizen: Citizen) -> None:
    """A citizen's wallet answers what a link asks, and confirms the payment that stands in it."""
    async with httpx.AsyncClient(timeout=60) as http:
        caller = Caller(office, http, "")
        claims = await caller.request({"wallet_link": link})
        key = caller.new_key()
        extra = confirmation(claims["transaction_data"][0]) if "transaction_data" in claims else None
        token = caller.present(claims, office.credential(citizen, key), key, extra=extra)
        assert (await caller.post(claims, {"person": token})).status_code == 200


@contextlib.contextmanager
def nowhere() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def link_on(page: str) -> str:
    return "openid4vp" + page.partition('href="openid4vp')[2].partition('"')[0].replace("&amp;", "&")


@pytest.mark.parametrize(
    "path", [*(ROOT / "sdk" / "python" / "zhixin_rp").glob("*.py"), *(ROOT / "examples").glob("*/app.py")], ids=str
)
def test_package_and_examples_import_nothing_of_the_ledger(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) <= ALLOWED


async def test_bank_opens_one_account_for_one_person_by_wallet_and_by_card(office):
    bank = example("bank")
    with office.relying() as verifier:
        shop = bank.Bank(verifier, PAGE)
        transport = httpx.ASGITransport(bank.make_app(shop))
        async with httpx.AsyncClient(transport=transport, base_url=PAGE, follow_redirects=True) as browser:
            waiting = await browser.post("/open")
            assert "Scan this with your wallet" in waiting.text
            await wallet(office, link_on(waiting.text), Citizen(12))
            done = await browser.get("/open")
            assert "李小明, your account is" in done.text
            asked = (await browser.post("/card/challenge")).json()
            card = office.card()
            shown = [(name,) for name in ("family_name", "given_name", "birthdate", "access_slot", "pairwise_seed")]
            presented = sd_jwt.present(
                office.credential(Citizen(12), card.key),
                shown,
                key=card.key,
                binding=Binding(PAGE, asked["challenge"]),
                now_s=office.now_s,
            )
            body = {
                "visitor": asked["visitor"],
                "token": card.token(PAGE, asked["challenge"]),
                "presented": {"person": presented},
            }
            by_card = await browser.post("/card/answer", json=body)
            assert (await browser.post("/card/answer", json=body)).status_code == 409
    assert by_card.json()["account"] in done.text, "a phone and a card are one person"
    assert len(shop.accounts) == 1
    (evidence,) = shop.evidence.values()
    assert zhixin_rp.Root(office.own_anchor).answer(evidence, BANK).held
    assert len(office.recorder.entries) == 2


async def test_bank_pays_a_bill_once_from_the_account_of_whoever_confirmed_amount_and_payee(office):
    bank = example("bank")
    with office.relying() as verifier:
        shop = bank.Bank(verifier, PAGE)
        transport = httpx.ASGITransport(bank.make_app(shop))

        async def told(place: str, citizen: Citizen) -> str:
            async with httpx.AsyncClient(transport=transport, base_url=PAGE, follow_redirects=True) as browser:
                waiting = await browser.post(place)
                await wallet(office, link_on(waiting.text), citizen)
                return (await browser.get("/open")).text

        await told("/open", Citizen(12))
        stranger, paid, again = [await told("/pay", citizen) for citizen in (Citizen(13), Citizen(12), Citizen(12))]
    assert "You have no account here." in stranger
    assert f"128.00 CNY went to 禅城供水有限公司 from {next(iter(shop.accounts.values()))}." in paid
    assert "This bill was paid before." in again
    (evidence,) = shop.paid.values()
    assert zhixin_rp.Root(office.own_anchor).answer(evidence, BANK).payment == bank.BILL


def test_package_hands_out_no_answer_that_confirms_another_payment_or_none(office):
    payments = [zhixin_rp.Payment(amount, "CNY", "禅城供水有限公司", "4711") for amount in ("128.00", "1.00")]
    with office.relying(office.trial_key) as verifier:
        question = verifier.ask(101, zhixin_rp.person("age_over_18"), payment=payments[0])
        assert verifier.answer_in_sandbox(question).payment == payments[0]
        for other in (payments[1], None):
            with pytest.raises(zhixin_rp.Forged):
                verifier.look(replace(question, payment=other))
        plain = verifier.ask(101, zhixin_rp.person("age_over_18"))
        assert verifier.answer_in_sandbox(plain).payment is None
        with pytest.raises(zhixin_rp.Forged):
            verifier.look(replace(plain, payment=payments[0]))
        with pytest.raises(zhixin_rp.Refused) as caught:
            verifier.ask(101, zhixin_rp.person(), payment=zhixin_rp.Payment("128", "CNY", "Water"))
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "act",
    [
        zhixin_rp.Act("company", "禅城陶瓷有限公司", "91440604MA4W12345X", "租用一座窑", "50000.00", "CNY"),
        zhixin_rp.Act("company", "禅城陶瓷有限公司", "91440604MA4W12345X", "年度报告"),
        zhixin_rp.Act("stop-card", "K-0A1B2C3D"),
    ],
    ids=["company", "without-amount", "stop-card"],
)
def test_package_hands_out_the_act_that_was_asked_for_and_no_other(office, act):
    with office.relying(office.trial_key) as verifier:
        question = verifier.ask(101, zhixin_rp.person("age_over_18"), act=act)
        answer = verifier.answer_in_sandbox(question)
        assert (answer.act, answer.payment) == (act, None)
        other = replace(act, subject="another")
        for wrong in (replace(question, act=other), replace(question, act=None)):
            with pytest.raises(zhixin_rp.Forged, match="something else"):
                verifier.look(wrong)
        plain = verifier.ask(101, zhixin_rp.person("age_over_18"))
        assert verifier.answer_in_sandbox(plain).act is None
        with pytest.raises(zhixin_rp.Forged, match="something else"):
            verifier.look(replace(plain, act=act))
        bill = zhixin_rp.Payment("128.00", "CNY", "Water")
        with pytest.raises(zhixin_rp.Refused):
            verifier.ask(101, zhixin_rp.person("age_over_18"), act=act, payment=bill)


def read_aloud(page: str) -> str:
    """What a page says: no tags, no scripts; names of pictures too, and nothing that is for technicians."""
    said = re.sub(r"<(script|style|details)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join([re.sub(r"<[^>]*>", " ", said), *re.findall(r'alt="([^"]*)"', said)])


LATIN, CHINESE = re.compile(r"\b(?!CNY\b)[A-Za-z]{2,}"), re.compile(r"[\u3400-\u9fff]")
INVENTED = re.compile("李小明|禅城供水有限公司")


@pytest.mark.parametrize("name", ["bank", "hospital"])
def test_each_sentence_of_an_example_exists_in_both_languages(name):
    for english, chinese in example(name).WORDS.values():
        assert LATIN.search(english) or english.startswith("$")
        assert not CHINESE.search(english)
        assert not LATIN.search(chinese)
        assert english.count("$") == chinese.count("$")


@pytest.mark.parametrize(("wish", "other"), [("zh-CN,en;q=0.5", LATIN), ("en-GB", CHINESE), ("fr", CHINESE)])
async def test_examples_speak_the_readers_language_on_each_page(office, wish, other):
    bank, hospital = example("bank"), example("hospital")
    seen = []
    with nowhere() as address, office.relying() as verifier, office.relying(office.trial_key) as trial:
        gone = zhixin_rp.Verifier(address, key="zxv_x", relying_party=BANK, root=office.own_anchor)
        apps = [
            bank.make_app(bank.Bank(verifier, PAGE)),
            bank.make_app(bank.Bank(trial, PAGE), is_sandbox=True),
            bank.make_app(bank.Bank(gone, PAGE)),
            hospital.make_app(hospital.Counter(gone)),
        ]
        for at, app in enumerate(apps):
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url=PAGE,
                follow_redirects=True,
                headers={"accept-language": wish},
            ) as browser:
                seen.append((await browser.get("/")).text)
                if at == 3:
                    seen.append((await browser.post("/ask")).text)
                    continue
                waiting = await browser.post("/open")
                seen.append(waiting.text)
                if at == 0:
                    await wallet(office, link_on(waiting.text), Citizen(12))
                    seen.append((await browser.get("/open")).text)
                    for _ in range(2):
                        await wallet(office, link_on((await browser.post("/pay")).text), Citizen(12))
                        seen.append((await browser.get("/open")).text)
        gone.close()
    assert len(seen) == 11
    for page in seen:
        assert f'lang="{"zh-CN" if wish.startswith("zh") else "en"}"' in page
        found = INVENTED.sub("", read_aloud(page))
        assert not other.search(found), found


@pytest.mark.parametrize("name", ["bank", "hospital"])
def test_example_says_in_both_languages_why_an_answer_did_not_hold(name):
    made = example(name)
    steps = [
        {"code": "verifier.not-answered", "claims": ["birthdate"], "reason": "English"},
        {"code": "identity.credential-revoked", "reason": "English"},
        {"code": "identity.other", "reason": "English"},
    ]
    for wish, words in (
        ("en", ["not shown, or is not as it must be: birth date.", "was revoked", "A check failed (identity.other)"]),
        ("zh-CN", ["没有出示，或不符合要求：出生日期。", "凭证已吊销", "有一项核验未通过（identity.other）"]),
    ):
        request = SimpleNamespace(headers={"accept-language": wish})
        said = made.reasons(request, SimpleNamespace(failures=steps))
        assert all(word in said for word in words), said
        assert "English" not in said


async def test_bank_with_a_key_of_the_sandbox_runs_without_a_wallet(office):
    bank = example("bank")
    with office.relying(office.trial_key) as verifier:
        shop = bank.Bank(verifier, PAGE)
        transport = httpx.ASGITransport(bank.make_app(shop, is_sandbox=True))
        async with httpx.AsyncClient(transport=transport, base_url=PAGE, follow_redirects=True) as browser:
            await browser.post("/open")
            done = await browser.post("/sandbox")
    assert "样例, your account is" in done.text
    assert not office.recorder.entries


async def test_bank_tells_its_script_by_code_why_a_card_does_not_work_and_says_of_each_page_that_it_failed(office):
    bank = example("bank")
    object.__setattr__(office.verifier, "cards", None)
    with nowhere() as address, office.relying(office.trial_key) as verifier:
        gone = zhixin_rp.Verifier(address, key="zxv_x", relying_party=BANK, root=office.own_anchor)
        for asked, code in ((verifier, "verifier.no-cards"), (gone, "unreachable")):
            transport = httpx.ASGITransport(bank.make_app(bank.Bank(asked, PAGE), is_sandbox=True))
            async with httpx.AsyncClient(transport=transport, base_url=PAGE) as browser:
                refused = await browser.post("/card/challenge")
                assert (refused.status_code, refused.json()) == (503, {"error": code})
                assert f'"{code}": [' in (await browser.get("/card.js")).text, "the script has words for it"
                page = await browser.post("/open")
        gone.close()
        assert page.status_code == 503
        assert address in page.text


async def test_hospital_reads_a_code_once_and_asks_the_wallet_for_the_rest(office):
    hospital = example("hospital")
    holder = signer(88)
    token = offline_qr.issue(
        {"family_name": "李", "age_over_18": True},
        office.issuing,
        office.key.key_id,
        holder.public_key,
        token_id=bytes(range(16)),
        issued_s=office.now_s,
        expires_s=office.now_s + 3_600,
        status=StatusReference(STATUS_URI, 5),
    )
    code = offline_qr.show(token, holder, now_s=office.now_s)
    with office.relying() as verifier:
        counter = hospital.Counter(verifier)
        transport = httpx.ASGITransport(hospital.make_app(counter))
        async with httpx.AsyncClient(transport=transport, base_url=PAGE, follow_redirects=True) as browser:
            good = await browser.post("/code", data={"code": code})
            again = await browser.post("/code", data={"code": code})
            asked = await browser.post("/ask")
            question = next(iter(counter.waiting.values()))
            assert "Have the patient scan this" in asked.text
            await wallet(office, question.wallet_link, Citizen(13))
            done = await browser.get(f"/patients/{question.id}")
    assert "李" in good.text
    assert "Status known as of 0 s ago" in good.text
    assert "was shown here before" in again.text
    assert "1990-05-17" in done.text


def test_package_takes_no_answer_that_is_forged_for_another_or_to_another_question(office):
    with office.relying(office.trial_key) as verifier:
        question = verifier.ask(101, zhixin_rp.person("age_over_18"))
        answer = verifier.answer_in_sandbox(question)
    root = zhixin_rp.Root(office.own_anchor)
    assert root.answer(answer.token, BANK, sandbox=True).claims == {"person": {"age_over_18": True}}
    forged = MemorySigner(ec.derive_private_key(5, ec.SECP256R1()))
    header = {name: value for name, value in decode_jws(answer.token, None, "x").header.items() if name != "alg"}
    head, payload, signature = answer.token.split(".")
    cases = [
        (answer.token, {}),  # a made-up person where a real one is wanted
        (sign_jws(header, answer.content, forged), {"sandbox": True}),
        (f"{head}.{payload[:-2]}AA.{signature}", {"sandbox": True}),
        (answer.token, {"sandbox": True, "nonce": "another"}),
        ("a.b.c", {"sandbox": True}),
        ("", {"sandbox": True}),
    ]
    with pytest.raises(zhixin_rp.Forged, match="made up"):
        root.answer(answer.token, BANK)
    for token, more in cases:
        with pytest.raises(zhixin_rp.Forged):
            root.answer(token, BANK, **more)
    with pytest.raises(zhixin_rp.Forged):
        root.answer(answer.token, "clinic-two", sandbox=True)
    with pytest.raises(zhixin_rp.Forged):
        zhixin_rp.Root(office.anchor).answer(answer.token, BANK, sandbox=True)


def test_forged_notice_or_an_old_one_is_not_taken(office):
    root = zhixin_rp.Root(office.own_anchor)
    now = datetime.fromtimestamp(office.now_s, UTC)
    claims = {
        "iss": office.origin,
        "aud": BANK,
        "iat": office.now_s,
        "jti": "1",
        "verification": "v",
        "state": "answered",
    }
    key = office.keys.current(office.now_s)
    good = sign_notice(claims, key)
    assert root.notice(good, BANK, now).verification == "v"
    header = {name: value for name, value in decode_jws(good, None, "x").header.items() if name != "alg"}
    rogue = MemorySigner(ec.derive_private_key(6, ec.SECP256R1()))
    for token in (
        sign_jws(header, claims, rogue),
        sign_notice(claims | {"aud": "clinic-two"}, key),
        sign_notice(claims | {"iat": office.now_s - 4_000}, key),
        sign_jws({**header, "typ": "zhixin-answer+jwt"}, claims, key.signer),
    ):
        with pytest.raises(zhixin_rp.Forged):
            root.notice(token, BANK, now)


@pytest.mark.parametrize(
    ("language", "words"), [({}, "more than the purpose allows"), ({"language": "zh-CN"}, "超出")], ids=["en", "zh-CN"]
)
def test_package_names_code_and_fault_of_a_refusal_in_english_unless_the_program_says_otherwise(
    office, language, words
):
    with office.relying(**language) as verifier, pytest.raises(zhixin_rp.Refused) as caught:
        verifier.ask(101, zhixin_rp.person("proofing"))
    assert caught.value.code == "verifier.beyond-purpose"
    assert [sorted(one) for one in caught.value.errors] == [["claim", "what", "where"]]
    assert caught.value.errors[0]["claim"] == "proofing"
    assert words in str(caught.value)
    assert "credentials/0/claims/0 proofing" in str(caught.value), "what is too much"
    assert caught.value.errors == caught.value.document["errors"]


def test_package_says_that_what_answered_is_no_verifier():
    pages = httpx.MockTransport(lambda _: httpx.Response(200, text="<h1>Welcome</h1>"))
    with (
        zhixin_rp.Verifier("http://shop", key="zxv_x", relying_party=BANK, root=anchor(), transport=pages) as verifier,
        pytest.raises(zhixin_rp.Refused, match="is no verifier") as caught,
    ):
        verifier.check_code(101, "IMI1:")
    assert (caught.value.code, caught.value.errors) == ("unknown", [])


def test_package_says_at_which_address_nobody_answers_and_what_to_do():
    with (
        nowhere() as address,
        zhixin_rp.Verifier(f"{address}/", key="zxv_x", relying_party=BANK, root=anchor()) as verifier,
    ):
        question = zhixin_rp.Question("1", "n", "", "", 0)
        for ask in (
            lambda: verifier.ask(101, zhixin_rp.person()),
            lambda: verifier.look(question),
            lambda: verifier.cancel(question),
            lambda: verifier.check_code(101, "IMI1:"),
        ):
            with pytest.raises(zhixin_rp.Unreachable, match="the verifier runs") as caught:
                ask()
            assert caught.value.address == address
            assert address in str(caught.value)
