# SPDX-License-Identifier: Apache-2.0
"""Acts that officers sign with their passkeys: what they sign is what is submitted, and nothing else is."""

import json
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sign_in_rig import Authenticator, Browser, Desk, desk_of, raw
from sqlalchemy import select
from store_rig import Rig

from chain import transaction, webauthn
from chain.codec import signed_bytes
from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.p256 import compress
from chain.signing import Scheme, Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction, verify_signatures
from chain.types import Network
from client.answers import ProvenTransaction
from client.errors import TransportError
from service.problems import Problem
from service.sign_in import act_rows
from service.sign_in import acts as acts_module
from service.sign_in.acts import REGISTRATION, Acts, State
from service.sign_in.door import Door
from service.sign_in.key_request import registration
from service.sign_in.roles import Role
from service.sign_in.tables import PreparedAct

WORDS = {"zh-CN": ["登记一批水表。"], "en": ["Register a batch of meters."]}
OPERATIONS = [Operation.make("test.Put", b"meters=12")]
NETWORK = Network(b"n" * 32)
SERVICE_KEY = Ed25519Signer(bytes(range(32)))


@dataclass
class RefusingLedger:
    """Takes transactions and refuses each, which is enough to see what was sent."""

    sent: list[SignedTransaction] = field(default_factory=list)
    network: Network = NETWORK

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        self.sent.append(transaction)
        raise Refused("no", "test.refused")


@dataclass
class Signing:
    """An officer about to sign."""

    desk: Desk
    browser: Browser
    device: Authenticator
    ledger: RefusingLedger
    acts: Acts

    def prepare(self) -> str:
        return self.acts.prepare(self.desk.office, self.browser.officer(), OPERATIONS, WORDS)

    def shown(self, act_id: str) -> str:
        return self.acts.find(self.desk.office, self.browser.officer(), act_id).shown

    def ask(self, act_id: str) -> dict[str, object]:
        return self.acts.ask(self.desk.office, self.browser.officer(), act_id, self.shown(act_id))

    def sign(self, act_id: str, answer: dict[str, object]) -> SignedTransaction:
        return self.acts.sign(self.desk.office, self.browser.officer(), act_id, answer)

    def alter(self, act_id: str, operations: list[Operation]) -> None:
        """What somebody with the store's keys could do."""
        from base64 import b64encode  # noqa: PLC0415 - used here alone

        people = self.desk.store.people
        with self.desk.store.write() as session:
            row = session.scalars(select(PreparedAct).where(PreparedAct.id == act_id)).one()
            content = json.loads(people.open(session, row, PreparedAct.content) or "")
            content["operations"] = [b64encode(operation.raw).decode() for operation in operations]
            people.seal(session, row, PreparedAct.content, json.dumps(content, ensure_ascii=False, sort_keys=True))


async def signing_of(rig: Rig, *cosigners: TransactionSigner) -> Signing:
    desk, ledger = desk_of(rig), RefusingLedger()
    administrator, _ = await desk.administrator()
    browser, device = await desk.colleague(administrator, role=Role.CLERK)
    return Signing(desk, browser, device, ledger, Acts(ledger, cosigners))


async def test_officers_signature_is_a_valid_signature_of_the_transaction_itself(rig: Rig) -> None:
    signing = await signing_of(rig, SERVICE_KEY)
    act_id = signing.prepare()
    made = signing.sign(act_id, signing.device.get(signing.ask(act_id)))
    verify_signatures(made, signing.ledger.network)
    assert made.operations == tuple(OPERATIONS)
    assert {signer.scheme for signer in made.signers} == {Scheme.ED25519, Scheme.WEBAUTHN_ES256}
    waiting = signing.acts.waiting(signing.desk.office, signing.browser.officer(), act_id)
    assert waiting is not None
    assert waiting.raw == made.raw
    assert signing.desk.acts()[-1] == "act.signed"


async def test_challenge_is_the_digest_of_the_header_that_is_submitted(sqlite_rig: Rig) -> None:
    signing = await signing_of(sqlite_rig)
    act_id = signing.prepare()
    options = signing.ask(act_id)
    made = signing.sign(act_id, signing.device.get(options))
    message = signed_bytes("transaction", signing.ledger.network, made.header)
    assert raw(str(options["challenge"])) == webauthn.challenge(message)


async def test_operation_altered_after_it_was_shown_is_not_asked_for(rig: Rig) -> None:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    shown = signing.shown(act_id)
    signing.alter(act_id, [Operation.make("test.Put", b"meters=9999")])
    with pytest.raises(Problem, match=r"act\.altered"):
        signing.acts.ask(signing.desk.office, signing.browser.officer(), act_id, shown)


async def test_operation_altered_while_the_passkey_signs_is_refused(rig: Rig) -> None:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    answer = signing.device.get(signing.ask(act_id))
    signing.alter(act_id, [Operation.make("test.Put", b"meters=9999")])
    with pytest.raises(Problem, match=r"act\.altered"):
        signing.sign(act_id, answer)
    assert signing.acts.waiting(signing.desk.office, signing.browser.officer(), act_id) is None


async def test_act_row_changed_in_the_database_does_not_open(sqlite_rig: Rig) -> None:
    signing = await signing_of(sqlite_rig)
    first, second = signing.prepare(), signing.prepare()
    with signing.desk.store.write() as session:
        rows = {row.id: row for row in session.scalars(select(PreparedAct))}
        rows[first].content = rows[second].content
    with pytest.raises(Exception, match="does not open"):
        signing.shown(first)


async def test_signature_is_taken_once(rig: Rig) -> None:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    answer = signing.device.get(signing.ask(act_id))
    signing.sign(act_id, answer)
    with pytest.raises(Problem, match=r"sign-in\.challenge"):
        signing.sign(act_id, answer)
    with pytest.raises(Problem, match=r"act\.expired"):
        signing.ask(act_id)


async def test_signature_for_one_act_is_worth_nothing_for_another_or_for_signing_in(rig: Rig) -> None:
    signing = await signing_of(rig)
    first, second = signing.prepare(), signing.prepare()
    answer = signing.device.get(signing.ask(first))
    signing.ask(second)
    with pytest.raises(Problem, match=r"sign-in\.challenge"):
        signing.sign(second, answer)
    confirmed = await signing.browser.post("/confirm/verify", {"credential": answer})
    assert confirmed.json()["code"] == "sign-in.challenge"


async def test_sign_in_assertion_does_not_sign_an_act(sqlite_rig: Rig) -> None:
    signing = await signing_of(sqlite_rig)
    act_id = signing.prepare()
    signing.ask(act_id)
    options = (await signing.browser.post("/confirm/options")).json()
    with pytest.raises(Problem, match=r"sign-in\.challenge"):
        signing.sign(act_id, signing.device.get(options))


@pytest.mark.parametrize("fault", [{"verified": False}, {"origin": "https://evil.example"}, {"party": "evil.example"}])
async def test_act_signed_without_user_verification_or_elsewhere_is_refused(
    sqlite_rig: Rig, fault: dict[str, str]
) -> None:
    signing = await signing_of(sqlite_rig)
    act_id = signing.prepare()
    answer = replace(signing.device, **fault).get(signing.ask(act_id))  # type: ignore[arg-type]
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.sign(act_id, answer)


async def test_act_signed_by_another_key_is_refused(sqlite_rig: Rig) -> None:
    signing = await signing_of(sqlite_rig)
    act_id = signing.prepare()
    forged = replace(signing.device, key=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Problem, match=r"sign-in\.refused"):
        signing.sign(act_id, forged.get(signing.ask(act_id)))


async def test_another_officer_neither_sees_nor_signs_the_act(rig: Rig) -> None:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    administrator, _ = await signing.desk.administrator("Wang Fang")
    with pytest.raises(Problem, match=r"people\.unknown"):
        signing.acts.find(signing.desk.office, administrator.officer(), act_id)
    with pytest.raises(Problem, match=r"people\.unknown"):
        signing.acts.ask(signing.desk.office, administrator.officer(), act_id, signing.shown(act_id))


async def test_act_that_waited_too_long_is_not_signed(sqlite_rig: Rig) -> None:
    signing = await signing_of(sqlite_rig)
    act_id = signing.prepare()
    shown = signing.shown(act_id)
    officer = signing.browser.officer()
    signing.desk.wait(acts_module.PREPARED_MS)
    with pytest.raises(Problem, match=r"act\.expired"):
        signing.acts.ask(signing.desk.office, officer, act_id, shown)


async def test_refusal_of_the_ledger_is_kept_with_its_code(rig: Rig) -> None:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    made = signing.sign(act_id, signing.device.get(signing.ask(act_id)))
    outcome = await signing.acts.submit(made)
    assert isinstance(outcome, Refused)
    signing.acts.settle(signing.desk.office, signing.browser.officer(), act_id, outcome)
    found = signing.acts.find(signing.desk.office, signing.browser.officer(), act_id)
    assert (found.state, found.code) == (State.REFUSED, "test.refused")
    assert transaction.decode(signing.ledger.sent[0].raw).id == made.id


async def test_officers_unsigned_acts_are_bounded_and_swept_a_day_after_their_time(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_rows, "WAITING_MAX", 2)
    signing = await signing_of(sqlite_rig)
    officer, office = signing.browser.officer(), signing.desk.office
    first, _ = signing.prepare(), signing.prepare()
    with pytest.raises(Problem, match="too-many"):
        signing.prepare()
    signing.desk.wait(acts_module.PREPARED_MS)
    later = signing.acts.prepare(office, officer, OPERATIONS, WORDS)
    assert signing.acts.find(office, officer, first).state == State.PREPARED
    signing.desk.wait(act_rows.OVER_MS_MAX)
    signing.acts.prepare(office, officer, OPERATIONS, WORDS)
    with pytest.raises(Problem, match=r"people\.unknown"):
        signing.acts.find(office, officer, first)
    assert signing.acts.find(office, officer, later).state == State.PREPARED


# ---------------------------------------------------------------- time passed while the fate was unknown


@dataclass
class Forgetful:
    """A network that refuses a transaction as too old, and may have executed it before."""

    executed: bool
    is_missing: bool = False

    async def submit_one(self, _transaction: object, *, timeout_s: float) -> object:
        assert timeout_s > 0
        raise Refused("too old", "transaction.expired")

    async def receipts(self, identifiers: list[object]) -> dict[object, list[str]]:
        return {identifiers[0]: ["proven"]} if self.executed else {}

    async def is_missing_everywhere(self, _identifier: object, _expires_at_ms: int) -> bool:
        return self.is_missing


async def outcome_of(rig: Rig, network: Forgetful) -> object:
    signing = await signing_of(rig)
    act_id = signing.prepare()
    made = signing.sign(act_id, signing.device.get(signing.ask(act_id)))
    door = Door(None, None)  # type: ignore[arg-type]  # nothing is dialled
    door._session = network  # type: ignore[assignment]  # in a client's place
    return await door.submit_one(made)


async def test_act_that_was_executed_is_not_called_refused_because_it_is_sent_again_too_late(sqlite_rig: Rig) -> None:
    assert await outcome_of(sqlite_rig, Forgetful(executed=True)) == "proven"


async def test_act_that_expired_is_refused_only_once_it_is_known_to_be_nowhere(sqlite_rig: Rig) -> None:
    with pytest.raises(TransportError):
        await outcome_of(sqlite_rig, Forgetful(executed=False))


async def test_act_that_expired_and_is_nowhere_is_refused(sqlite_rig: Rig) -> None:
    with pytest.raises(Refused, match="too old"):
        await outcome_of(sqlite_rig, Forgetful(executed=False, is_missing=True))


async def test_governing_key_at_hand_signs_the_registration_of_the_officers_own_passkey_and_nothing_else(
    rig: Rig,
) -> None:
    signing = await signing_of(rig, SERVICE_KEY)
    office, officer = signing.desk.office, signing.browser.officer()

    def prepare(operation: Operation) -> str:
        return signing.acts.prepare(office, officer, [operation], WORDS, kind=REGISTRATION)

    stranger = Authenticator()
    for operation in (
        Operation.make("membership.Propose", b""),
        registration(Signer(Scheme.WEBAUTHN_ES256, compress(stranger.key.public_key()))),
    ):
        with pytest.raises(Problem, match=r"act\.altered"):
            signing.ask(prepare(operation))
    act_id = prepare(registration(officer.signer))
    answer = signing.device.get(signing.ask(act_id))
    signing.alter(act_id, [Operation.make("membership.Propose", b"")])
    with pytest.raises(Problem, match=r"act\.altered"):
        signing.sign(act_id, answer)
    good = prepare(registration(officer.signer))
    made = signing.sign(good, signing.device.get(signing.ask(good)))
    assert SERVICE_KEY.signer in made.signers
