# SPDX-License-Identifier: Apache-2.0
"""A governing key that stays offline: request, answer, the command that signs, and the page that takes it back."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from sign_in_rig import ADDRESS, GENEROUS, Authenticator, Browser, Desk, desk_of
from store_rig import Rig

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidMessage, InvalidSignature
from chain.p256 import P256Signer, compress
from chain.signing import Scheme, Signer, TransactionSigner
from chain.transaction import SignedTransaction, verify_signatures
from chain.types import Network
from cli.exits import Exit
from client.answers import ProvenTransaction
from client.errors import TransportError
from client.signing import now_ms
from membership.pb import membership_pb2 as pb
from membership.state import organisation_key, signer_key
from service.app import Part, create_app
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.key_request import (
    LIFETIME_MS,
    STEP_MS,
    STEPS,
    KeyAnswer,
    KeyRequest,
    answer_request,
    registration,
    verify_answer,
)
from service.sign_in.ledger import AGE_MS_MAX
from service.sign_in.part import OFFICE_SITE, sign_in_part
from service.sign_in.roles import Role
from service.sign_in.standings import Standings

HTML = {"accept": "text/html"}
ROOT = Path(__file__).resolve().parents[2]
NETWORK = Network(b"n" * 32)
GOVERNOR = Ed25519Signer(bytes(range(32)))
PASSKEY = b"\x02" + bytes(range(32))
OFFICER = Signer(Scheme.WEBAUTHN_ES256, PASSKEY)
REQUEST = KeyRequest.make(NETWORK, "civil-affairs", OFFICER, 1_000_000)


@pytest.mark.parametrize("governor", [GOVERNOR, P256Signer(ec.generate_private_key(ec.SECP256R1()))])
def test_answer_signs_every_transaction_of_the_request_and_survives_its_file(governor: TransactionSigner) -> None:
    request = KeyRequest.decode(REQUEST.encode())
    assert request == REQUEST
    answer = KeyAnswer.decode(answer_request(request, governor).encode())
    verify_answer(request, answer)
    assert answer.governor == governor.signer


def test_operation_gives_the_passkey_submitting_and_attesting_and_nothing_else() -> None:
    grant = pb.AddKey.FromString(registration(OFFICER).body).key
    assert (grant.key.scheme, grant.key.public_key) == (Scheme.WEBAUTHN_ES256, PASSKEY)
    assert list(grant.purposes) == [pb.PURPOSE_SUBMIT, pb.PURPOSE_ATTEST]


def test_each_moment_of_the_half_day_has_a_transaction_that_lives_two_to_four_minutes_and_no_other_moment_has() -> None:
    for now in range(REQUEST.from_ms, REQUEST.until_ms, 37_117):
        step = REQUEST.step_at(now)
        assert step is not None
        assert STEP_MS < REQUEST.expires_at_ms(step) - now <= 2 * STEP_MS
    assert REQUEST.step_at(REQUEST.from_ms - 1) is None
    assert REQUEST.step_at(REQUEST.from_ms + LIFETIME_MS) is None
    assert len({REQUEST.salt(step) for step in range(STEPS)}) == STEPS


@pytest.mark.parametrize(
    "changed",
    [
        {"network": Network(b"m" * 32)},
        {"organisation": "trade-office"},
        {"officer": Signer(Scheme.WEBAUTHN_ES256, b"\x03" + bytes(32))},
        {"officer": Signer(Scheme.P256, PASSKEY)},
        {"seed": bytes(16)},
        {"from_ms": 1_000_001},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_answer_to_one_request_is_none_to_another(changed: dict[str, object]) -> None:
    answer = answer_request(REQUEST, GOVERNOR)
    other = replace(REQUEST, **changed)  # type: ignore[arg-type]  # one field at a time
    with pytest.raises(InvalidSignature):
        verify_answer(other, answer)
    if changed.keys() != {"organisation"}:  # that field is words; which organisation it is, the governing key decides
        with pytest.raises(InvalidSignature):
            verify_answer(other, replace(answer, request=other.digest))


def test_answer_with_one_foreign_signature_does_not_hold() -> None:
    answer = answer_request(REQUEST, GOVERNOR)
    forged = [*answer.signatures[:-1], GOVERNOR.sign(b"something else")]
    with pytest.raises(InvalidSignature):
        verify_answer(REQUEST, replace(answer, signatures=forged))
    with pytest.raises(InvalidSignature):
        verify_answer(REQUEST, replace(answer, governor=Ed25519Signer(bytes(32)).signer))


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["", "format", "network", "passkey", "seed", "from_ms", "scheme", "key"])
)
def test_any_bytes_are_a_file_or_an_invalid_message(raw: bytes, dropped: str) -> None:
    answer = answer_request(REQUEST, GOVERNOR).encode() if dropped in {"scheme", "key"} else b""
    for kind, good in ((KeyRequest, REQUEST.encode()), (KeyAnswer, answer)):
        with pytest.raises(InvalidMessage):
            kind.decode(raw)  # type: ignore[attr-defined]  # both have it
        fields = json.loads(good or b"{}")
        if dropped in fields:
            fields[dropped] = raw.hex() + "x"  # without it, as long as it should be, it would be another good one
            with pytest.raises(InvalidMessage):
                kind.decode(json.dumps(fields).encode())  # type: ignore[attr-defined]  # both have it


# ---------------------------------------------------------------- the command


def office(folder: Path, *argv: str, code: int = 0) -> dict[str, object]:
    """The command on a machine that reaches no network."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.offline", "office", *argv, "--home", str(folder), "--json"],
        cwd=ROOT,
        env={**os.environ, "ZHIXIN_LANG": "en", "ZHIXIN_PASSPHRASE": "correct horse"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    found: dict[str, object] = json.loads(done.stdout or done.stderr)
    return found


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A machine with a governing key and nothing else."""
    from node.keys import Algorithm, KeyPair, Purpose, public_key_of, save_key  # noqa: PLC0415 - this fixture alone

    seed = bytes(range(32))
    pair = KeyPair(Purpose.ORGANISATION, Algorithm.ED25519, public_key_of(Algorithm.ED25519, seed), seed)
    save_key(tmp_path / "keys" / "governor.json", pair, None)
    return tmp_path


def test_command_shows_a_request_and_signs_it_only_with_the_officers_digits(vault: Path) -> None:
    request = KeyRequest.make(NETWORK, "civil-affairs", OFFICER, now_ms())
    file = vault / request.file_name
    file.write_bytes(request.encode())
    shown = office(vault, "sign-registration", str(file), "--key", "governor")
    assert (shown["signed"], shown["organisation"], shown["fingerprint"]) == (
        False,
        "civil-affairs",
        request.fingerprint,
    )
    assert not file.with_suffix(".answer").exists()
    wrong = office(
        vault, "sign-registration", str(file), "--key", "governor", "--fingerprint", "0" * 16, code=Exit.INPUT
    )
    assert "office.fingerprint" in json.dumps(wrong)
    assert not file.with_suffix(".answer").exists()
    office(vault, "sign-registration", str(file), "--key", "governor", "--fingerprint", request.fingerprint)
    verify_answer(request, KeyAnswer.decode(file.with_suffix(".answer").read_bytes()))


@pytest.mark.parametrize(
    ("shift_ms", "code"), [(-LIFETIME_MS, "office.expired"), (2 * 3_600_000, "office.early"), (None, "office.request")]
)
def test_command_refuses_a_request_that_is_old_early_or_none(vault: Path, shift_ms: int | None, code: str) -> None:
    file = vault / "some.request"
    if shift_ms is None:
        file.write_text("{}")
    else:
        file.write_bytes(KeyRequest.make(NETWORK, "civil-affairs", OFFICER, now_ms() + shift_ms).encode())
    refused = office(vault, "sign-registration", str(file), "--key", "governor", code=Exit.INPUT)
    assert code in json.dumps(refused)


# ---------------------------------------------------------------- the pages


@dataclass
class _State:
    key: bytes
    value: bytes | None
    checkpoint: "_Clock"


@dataclass
class _Clock:
    time_ms: int


@dataclass
class Ledger:
    """A ledger of a few state keys; what is submitted is kept."""

    states: dict[bytes, bytes] = field(default_factory=dict)
    sent: list[SignedTransaction] = field(default_factory=list)
    network: Network = NETWORK

    @property
    def session(self) -> "Ledger":
        return self

    async def read_many(self, keys: list[bytes], *, age_ms_max: int) -> list[_State]:
        assert age_ms_max == AGE_MS_MAX
        return [_State(key, self.states.get(key), _Clock(1_000)) for key in keys]

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        self.sent.append(transaction)
        raise TransportError("nothing is known yet")

    def grant(self, signer: Signer, organisation: str, *purposes: pb.Purpose.ValueType, revoked_at_ms: int = 0) -> None:
        record = pb.KeyRecord(organisation=organisation, purposes=purposes, revoked_at_ms=revoked_at_ms)
        self.states[signer_key(signer)] = encode(record)


@dataclass
class Registering:
    """An officer at the page of a registration whose governing key is elsewhere."""

    desk: Desk
    ledger: Ledger
    browser: Browser
    act: str

    async def request(self) -> KeyRequest:
        answer = await self.browser.web.get(f"{self.act}/request")
        return KeyRequest.decode(answer.content)

    async def hand_in(self, raw: bytes, name: str = "some.answer") -> int | str:
        """Upload an answer; the problem's code, else the status."""
        page = await self.browser.web.get("/passkeys", headers={"accept": "text/html"})
        token = page.text.partition('name="csrf_token" value="')[2][:64]
        done = await self.browser.web.post(
            f"{self.act}/answer",
            data={"csrf_token": token},
            files={"answer": (name, raw)},
            headers={"accept": "application/json"},
        )
        return done.status_code if done.status_code == 303 else str(done.json()["code"])

    async def sign(self, device: Authenticator) -> dict[str, object]:
        acts: Acts = self.desk.app.state.acts
        shown = acts.find(self.desk.office, self.browser.officer(), self.act.rpartition("/")[2]).shown
        options = await self.browser.post(f"{self.act}/options", {"shown": shown})
        if options.status_code != 200:
            return dict(options.json())
        credential = device.get(options.json())
        return dict((await self.browser.post(f"{self.act}/verify", {"credential": credential})).json())


async def registering(rig: Rig, governor: Signer | None = None) -> tuple[Registering, Authenticator]:
    desk, ledger = desk_of(rig), Ledger()
    ordinary, registrations = Acts(ledger), Acts(ledger)
    router = act_router(ordinary, registrations, ledger, OFFICE_SITE, governor)  # type: ignore[arg-type]  # as a door

    async def start(app: object) -> None:
        app.state.acts = ordinary  # type: ignore[attr-defined]  # an application

    sign_in = sign_in_part(desk.store, ADDRESS, OFFICE_SITE, office=desk.office)
    parts = [shell_part(OFFICE_SITE), sign_in, Part("acts", [router], start=start)]
    desk.app = create_app(parts, GENEROUS, ADDRESS, secret=desk.store.secret("http/desk"))
    desk.app.state.office, desk.app.state.acts = desk.office, ordinary
    desk.app.state.standings = Standings(lambda: ledger, "")  # type: ignore[arg-type, return-value]  # states stand in for proven ones
    organisation = pb.OrganisationRecord(id="civil-affairs", status=pb.ORGANISATION_STATUS_ACTIVE)
    ledger.states[organisation_key("civil-affairs")] = encode(organisation)
    ledger.grant(GOVERNOR.signer, "civil-affairs", pb.PURPOSE_GOVERN)
    administrator, _ = await desk.administrator()
    browser, device = await desk.colleague(administrator, role=Role.CLERK)
    page = await browser.form("/passkeys/register")
    return Registering(desk, ledger, browser, page.headers["location"]), device


async def test_officer_registers_a_passkey_with_a_governing_key_that_never_left_its_machine(rig: Rig) -> None:
    at, device = await registering(rig)
    page = await at.browser.web.get(at.act, headers={"accept": "text/html"})
    request = await at.request()
    assert request.fingerprint in page.text
    assert request.organisation == "civil-affairs"
    assert (await at.sign(device))["code"] == "act.unanswered"
    at.desk.wait(3 * STEP_MS)
    assert await at.hand_in(answer_request(request, GOVERNOR).encode()) == 303
    await at.browser.confirm(device)
    assert (await at.sign(device))["next"] == at.act
    (sent,) = at.ledger.sent
    verify_signatures(sent, NETWORK)
    assert {signer.scheme for signer in sent.signers} == {Scheme.ED25519, Scheme.WEBAUTHN_ES256}
    assert sent.operations == (registration(request.officer),)
    assert sent.expires_at_ms == request.expires_at_ms(3)
    assert [act for act in at.desk.acts() if act.startswith("act.")] == ["act.prepared", "act.answered", "act.signed"]


async def test_answer_to_another_request_a_damaged_one_and_one_of_a_key_that_does_not_govern_are_refused(
    rig: Rig,
) -> None:
    at, device = await registering(rig)
    request = await at.request()
    assert await at.hand_in(answer_request(REQUEST, GOVERNOR).encode()) == "act.answer-foreign"
    assert await at.hand_in(b"not an answer") == "act.answer-unfit"
    forged = replace(answer_request(request, Ed25519Signer(bytes(32))), governor=GOVERNOR.signer)
    assert await at.hand_in(forged.encode()) == "act.answer-unfit"
    other = Ed25519Signer(b"o" * 32)
    answered = answer_request(request, other).encode()
    assert await at.hand_in(answered) == "act.not-governing"
    at.ledger.grant(other.signer, "civil-affairs", pb.PURPOSE_SUBMIT)
    assert await at.hand_in(answered) == "act.not-governing"
    at.ledger.grant(other.signer, "trade-office", pb.PURPOSE_GOVERN)
    assert await at.hand_in(answered) == "act.not-governing"
    at.ledger.grant(other.signer, "civil-affairs", pb.PURPOSE_GOVERN, revoked_at_ms=1)
    assert await at.hand_in(answered) == "act.not-governing"
    assert (await at.sign(device))["code"] == "act.unanswered"


async def test_answer_is_worth_nothing_after_the_request_has_expired(sqlite_rig: Rig) -> None:
    at, device = await registering(sqlite_rig)
    request = await at.request()
    at.desk.wait(LIFETIME_MS)
    await at.browser.sign_in(device)
    page = await at.browser.web.get(at.act, headers={"accept": "text/html"})
    assert "The time for this has passed" in page.text
    assert await at.hand_in(answer_request(request, GOVERNOR).encode()) == "act.expired"


async def test_another_officer_neither_fetches_the_request_nor_answers_it(sqlite_rig: Rig) -> None:
    at, _ = await registering(sqlite_rig)
    request = await at.request()
    other, _ = await at.desk.administrator("Wang Fang")
    theirs = replace(at, browser=other)
    assert (await other.web.get(f"{at.act}/request")).status_code == 404
    assert await theirs.hand_in(answer_request(request, GOVERNOR).encode()) == "people.unknown"


async def test_registration_is_signed_with_the_passkey_that_it_registers(sqlite_rig: Rig) -> None:
    at, _ = await registering(sqlite_rig)
    request = await at.request()
    await at.hand_in(answer_request(request, GOVERNOR).encode())
    second = Authenticator()
    assert (await at.browser.add(second)).status_code == 200
    assert (await at.browser.confirm(second)).status_code == 200
    assert (await at.sign(second))["code"] == "act.other-passkey"
    assert at.ledger.sent == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x", "/etc/passwd", "x\x00.answer", "a" * 5000])
async def test_path_tricks_in_the_name_of_an_upload_reach_no_file(sqlite_rig: Rig, name: str) -> None:
    at, _ = await registering(sqlite_rig)
    before = {path for path in sqlite_rig.folder.rglob("*") if path.suffix not in {".sqlite-wal", ".sqlite-shm"}}
    assert await at.hand_in(answer_request(await at.request(), GOVERNOR).encode(), name) in {303, "request.malformed"}
    after = {path for path in sqlite_rig.folder.rglob("*") if path.suffix not in {".sqlite-wal", ".sqlite-shm"}}
    assert before == after


async def test_oversized_answer_is_refused(sqlite_rig: Rig) -> None:
    at, _ = await registering(sqlite_rig)
    assert await at.hand_in(b"x" * 100_000) == "act.answer-unfit"
    assert await at.hand_in(b"x" * 300_000) == "request.too-large"


async def test_passkeys_that_end_here_are_named_for_revocation_on_the_ledger(sqlite_rig: Rig) -> None:
    at, _ = await registering(sqlite_rig)
    clerk, (administrator, _) = at.browser.officer(), await at.desk.administrator("Wang Fang")
    second = Authenticator()
    await at.browser.add(second)
    other = at.desk.browser()
    await other.sign_in(second)
    removed = await other.form(f"/passkeys/{clerk.passkey_id}/remove")
    assert f"revoke-registration {clerk.public_key.hex()}" in removed.text
    for way in ("re-enrol", "remove"):
        page = await administrator.form(f"/people/{clerk.staff_id}/{way}")
        assert (f"revoke-registration {other_key(second)}" in page.text) is (way == "re-enrol")


def other_key(device: Authenticator) -> str:
    return compress(device.key.public_key()).hex()


async def test_governing_key_that_the_service_holds_registers_officers_of_its_own_organisation_alone(
    sqlite_rig: Rig,
) -> None:
    at, _ = await registering(sqlite_rig, GOVERNOR.signer)
    page = await at.browser.web.get(at.act, headers=HTML)
    assert "The governing key lies with this service" in page.text
    at.ledger.grant(GOVERNOR.signer, "trade-office", pb.PURPOSE_GOVERN)
    refused = await at.browser.form("/passkeys/register")
    assert (refused.status_code, "does not govern your organisation" in refused.text) == (409, True)


async def test_passkey_that_was_revoked_is_not_offered_for_registration_again(sqlite_rig: Rig) -> None:
    at, _ = await registering(sqlite_rig)
    signer = at.browser.officer().signer
    at.ledger.grant(signer, "civil-affairs", pb.PURPOSE_SUBMIT)
    fresh = await at.desk.administrator("Wang Fang")
    assert "Register this passkey" in (await fresh[0].web.get("/passkeys", headers=HTML)).text
    at.desk.app.state.standings = Standings(lambda: at.ledger, "")  # type: ignore[arg-type, return-value]  # as above
    assert "the ledger says so, proven" in (await at.browser.web.get("/passkeys", headers=HTML)).text
    assert (await at.browser.form("/passkeys/register")).headers["location"] == "/passkeys"
    at.ledger.grant(signer, "civil-affairs", pb.PURPOSE_SUBMIT, revoked_at_ms=1)
    at.desk.app.state.standings = Standings(lambda: at.ledger, "")  # type: ignore[arg-type, return-value]  # as above
    assert "Not usable" in (await at.browser.web.get("/passkeys", headers=HTML)).text
    assert "cannot be registered again" in (await at.browser.form("/passkeys/register")).text
