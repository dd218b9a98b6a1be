# SPDX-License-Identifier: Apache-2.0
"""A desk whose server is the attacker's, and what people's data leave behind where they must not be.

The attacker has the service's own key, the database, the store's keys and every session. What they lack is officers'
passkeys, which never leave their devices.
"""

import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from desk_rig import REGISTRAR, At, DeskRig, KnownTagger, desk_rig, form, picture, resident
from google.protobuf.message import Message
from sqlalchemy import select
from store_rig import Rig

from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.signing import Scheme, Signer, TransactionSigner
from chain.transaction import build
from chain.types import Millis, sha256
from identity.api.desk import deciding, enrolling, images, persons
from identity.api.desk.follow import follow
from identity.api.desk.images import ImageKind
from identity.api.desk.registering import operation
from identity.api.desk.states import CaseKind
from identity.api.desk.tables import DeskCase, DeskPerson
from identity.commitments import control_commitment
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person, proposal_digest
from membership.pb import membership_pb2
from membership.state import signer_pb
from service.problems import Problem
from service.sign_in.roles import Role
from service.sign_in.tables import Passkey, PreparedAct
from tests.rig import NETWORK, signer, transaction

SERVICE_KEY = Ed25519Signer(sha256(b"the desk's own key"))


@pytest_asyncio.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig, service_key=SERVICE_KEY) as made:
        grant = membership_pb2.KeyGrant(key=signer_pb(SERVICE_KEY.signer), purposes=[membership_pb2.PURPOSE_SUBMIT])
        add = transaction(
            [membership_pb2.AddKey(key=grant)],
            [signer(f"{REGISTRAR}:govern"), SERVICE_KEY.signer],
            made.ledger.time_ms + 10_000,
            99,
        )
        assert made.ledger.codes(add) == [""]
        yield made


async def step(desk: DeskRig, officer: At, case_id: str, act_id: str) -> None:
    assert (await officer.sign(act_id)).status_code == 200
    follow(desk.context, case_id)


async def proposed(desk: DeskRig, clerk: At, index: int = 0) -> str:
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), form(resident(index)))
    assert not (await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")).errors
    await step(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    return case_id


async def registered(desk: DeskRig, clerk: At, approver: At, index: int = 0) -> str:
    case_id = await proposed(desk, clerk, index)
    await step(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    return case_id


def secrets_of(desk: DeskRig, case_id: str) -> persons.Secrets:
    with desk.store.read() as session:
        row = session.scalar(select(DeskPerson).where(DeskPerson.person_id == desk.case(case_id).person_id))
        assert row is not None
        return persons.read(desk.context, session, row).secrets


@dataclass(frozen=True)
class Forged:
    """A signature under somebody's public key by whoever does not have the private one."""

    signer: Signer
    signature: bytes = bytes(64)

    def sign(self, _message: bytes) -> bytes:
        return self.signature


async def tried(desk: DeskRig, message: Message, *signers: TransactionSigner) -> str:
    """Submit an operation as the attacker can; why it came to nothing, or "" if it did not."""
    made = build(
        [operation(message)],
        list(signers),
        Millis(desk.ledger.time_ms + 60_000),
        secrets.token_bytes(16),
        NETWORK,
    )
    try:
        answer = await desk.ledger.submit_one(made)
    except Refused as refused:
        return refused.code
    return answer.code


def passkeys(desk: DeskRig) -> list[Signer]:
    """Public keys of all officers, from the database."""
    with desk.store.read() as session:
        return [Signer(Scheme.WEBAUTHN_ES256, key) for key in session.scalars(select(Passkey.public_key))]


async def test_compromised_desk_server_with_service_key_and_database_cannot_approve_issue_or_reinstate(
    desk: DeskRig,
) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    waiting = secrets_of(desk, await proposed(desk, clerk)).registration_id
    stopped = secrets_of(desk, await registered(desk, clerk, approver, 1)).registration_id
    suspend = pb.SetPersonStatus(id=stopped, status=pb.STATUS_SUSPENDED, reason=pb.REASON_HOLDER_REQUEST)
    assert await tried(desk, suspend, SERVICE_KEY) == ""  # the one thing that it may: easy to stop, hard to undo
    record = load_person(desk.ledger.state.get, waiting)
    assert record is not None
    own = Ed25519Signer(secrets.token_bytes(32))
    bind = pb.NewKey(
        purpose=pb.CONTROL_PURPOSE_SIGN,
        commitment=control_commitment(pb.CONTROL_PURPOSE_SIGN, own.signer, secrets.token_bytes(32)),
    )
    change = pb.Change(
        commitment=secrets.token_bytes(32),
        assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        proofing_method=pb.PROOFING_METHOD_DOCUMENT_CHIP,
    )
    inspected = pb.PROOFING_METHOD_DOCUMENT_INSPECTED
    reinstated = pb.SetPersonStatus(
        id=stopped, status=pb.STATUS_REINSTATED, reason=pb.REASON_HOLDER_REQUEST, proofing_method=inspected
    )
    wanted: dict[str, Message] = {
        "approve": pb.Confirm(id=waiting, digest=proposal_digest(record.proposal)),
        "reinstate": reinstated,
        "revoke": pb.SetPersonStatus(id=stopped, status=pb.STATUS_REVOKED, reason=pb.REASON_ISSUED_IN_ERROR),
        "recover": pb.Recover(id=stopped, proofing_method=inspected, binds=[bind]),
        "enrol": pb.Enrol(id=secrets.token_bytes(16), change=change),
        "bind a key": pb.ProposeChange(id=waiting, change=pb.Change(binds=[bind])),
        "issue": pb.Attest(
            id=secrets.token_bytes(16),
            schema=pb.SCHEMA_RESIDENT,
            schema_version=1,
            commitment=secrets.token_bytes(32),
            assurance_level=pb.ASSURANCE_LEVEL_HIGH,
            valid_from_ms=desk.ledger.time_ms,
            valid_to_ms=desk.ledger.time_ms + 60_000,
        ),
        "appoint an officer": pb.AppointOfficer(
            key=signer_pb(SERVICE_KEY.signer), officer=secrets.token_bytes(16), duties=[pb.DUTY_CONFIRM]
        ),
        "register a tag": pb.RegisterTag(
            key_version=1, tag=secrets.token_bytes(32), registrar=secrets.token_bytes(32), holder=bytes(32)
        ),
    }
    state = dict(desk.ledger.state)
    ways: list[list[TransactionSigner]] = [
        [SERVICE_KEY],
        [own],
        *([SERVICE_KEY, Forged(key)] for key in passkeys(desk)),
    ]
    for what, message in wanted.items():
        for signers in ways:
            assert await tried(desk, message, *signers) != "", what
    assert desk.ledger.state == state
    assert desk.ledger.status(waiting) == pb.PERSON_STATUS_PROPOSED
    assert desk.ledger.status(stopped) == pb.PERSON_STATUS_SUSPENDED


async def test_compromised_server_cannot_turn_an_officers_signature_into_another_act(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    seen, unseen = await proposed(desk, clerk), await proposed(desk, clerk, 1)
    act_id = await deciding.approve(approver.signing, seen)
    await step(desk, approver, seen, act_id)
    with desk.store.read() as session:
        row = session.get(PreparedAct, act_id)
        assert row is not None
        assert row.transaction is not None
    given = next(sent for sent in desk.ledger.sent if sent.raw == row.transaction)
    other = secrets_of(desk, unseen).registration_id
    record = load_person(desk.ledger.state.get, other)
    assert record is not None
    confirm = pb.Confirm(id=other, digest=proposal_digest(record.proposal))
    for officer, signature in zip(given.signers, given.signatures, strict=True):  # over what they saw
        code = await tried(desk, confirm, Forged(officer, signature))
        assert code == "transaction.signature"
    assert desk.ledger.status(other) == pb.PERSON_STATUS_PROPOSED


async def test_server_that_shows_other_words_than_it_has_signed_is_found_by_the_digest(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    act_id = await deciding.approve(approver.signing, case_id)
    await approver.browser.confirm(approver.device)
    shown = desk.to_sign.find(desk.office, approver.browser.officer(), act_id).shown
    with desk.store.write() as session:
        row = session.get(PreparedAct, act_id)
        assert row is not None
        content = json.loads(desk.store.people.open(session, row, PreparedAct.content) or "")
        content["words"]["en"] = ["Approve nothing."]
        desk.store.people.seal(session, row, PreparedAct.content, json.dumps(content))
    answer = await approver.browser.post(f"/acts/{act_id}/options", {"shown": shown})
    assert answer.json()["code"] == "act.altered"


async def test_officer_on_the_telephone_stops_a_person_at_once_and_only_so_many_in_an_hour(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await registered(desk, clerk, approver)
    person_id = desk.case(case_id).person_id
    await approver.post("/look-up", wanted=resident().id_number, reason="on-telephone")
    stopped = await approver.post(f"/persons/{person_id}/stop", reason="key-compromised")
    assert stopped.status_code == 303, stopped.text
    assert "Done" in (await approver.get(stopped.headers["location"])).text
    registration = secrets_of(desk, case_id).registration_id
    assert desk.ledger.status(registration) == pb.PERSON_STATUS_SUSPENDED
    (signer_of_it,) = desk.ledger.sent[-1].signers
    assert signer_of_it == SERVICE_KEY.signer
    again = await approver.post(f"/persons/{person_id}/stop", reason="key-compromised")
    assert again.status_code == 409
    with desk.store.write() as session:
        for number in range(deciding.HOUR_STOPS_MAX):
            row = DeskCase(
                person_id=person_id,
                organisation=REGISTRAR,
                kind=CaseKind.SUSPEND,
                state="done",
                reference=f"r{number}",
                opened_by=approver.browser.officer().staff_id,
                opened_ms=desk.context.now(),
                changed_ms=0,
                expires_ms=0,
                version=1,
                act_id="",
                act_step="",
                code="",
            )
            session.add(row)
        with pytest.raises(Problem) as slowed:
            deciding.check_stops(desk.context, session, approver.browser.officer())
    assert slowed.value.kind.code == "desk.slow-down"


# ---------------------------------------------------------------- what is left behind


def traces(desk: DeskRig) -> list[bytes]:
    """Everything by which the sample people could be known, also as plain hashes."""
    words = ["13900001234", "佛山市禅城区同济西路 9 号"]
    for index in (0, 1):
        one = resident(index)
        words += [
            one.name,
            one.id_number,
            one.id_number[:17],
            f"resident|{one.id_number}",
            f"{one.name} {one.id_number}",
        ]
    raw = [word.encode() for word in words]
    hashed = [maker(word).digest() for word in raw for maker in (hashlib.sha256, hashlib.sha1, hashlib.md5)]
    return [*raw, *hashed, *(digest.hex().encode() for digest in hashed)]


async def test_no_name_number_phone_or_picture_of_anybody_is_on_the_ledger_or_in_the_logs(
    desk: DeskRig, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    made = images.remake(picture(size=(300, 200)), ImageKind.PHOTO)
    for index in (0, 1):
        case_id = await registered(desk, clerk, approver, index)
        with desk.store.write() as session:
            images.keep(desk.context, session, desk.case(case_id).person_id, ImageKind.PHOTO, made)
        person_id = desk.case(case_id).person_id
        await clerk.get(f"/persons/{person_id}")
        await clerk.post("/look-up", wanted=resident(index).id_number, reason="at-counter")
        opened = deciding.open_status_case(
            desk.context, approver.browser.officer(), person_id, CaseKind.SUSPEND, "holder-request"
        )
        await step(desk, approver, opened, deciding.set_status(approver.signing, opened))
    desk.tagger.is_reachable = False
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), form(resident(2)))
    with pytest.raises(Problem):
        await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    written = b"\n".join(key + b"=" + value for key, value in desk.ledger.state.items())
    sent = b"\n".join(one.raw for one in desk.ledger.sent)
    printed = capsys.readouterr()
    logged = (caplog.text + printed.out + printed.err).encode()
    assert len(sent) > 1_000
    assert b"request" in logged
    picked = (
        made.content[200:232],
        hashlib.sha256(made.content).digest(),
        hashlib.sha256(made.content).hexdigest().encode(),
    )
    for trace in [*traces(desk), *picked]:
        assert trace not in written
        assert trace not in sent
        assert trace not in logged


async def test_database_file_holds_nothing_of_a_person_in_the_open_and_nothing_after_their_erasure(
    desk: DeskRig, sqlite_rig: Rig
) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await registered(desk, clerk, approver)
    registration = secrets_of(desk, case_id).registration
    path = sqlite_rig.folder
    found = b"".join(file.read_bytes() for file in path.rglob("store.sqlite*"))
    assert b"SQLite format 3" in found
    for trace in [*traces(desk), registration.encode()]:
        assert trace not in found
    assert isinstance(desk.tagger, KnownTagger)
    with desk.store.read() as session:
        assert session.scalar(select(DeskCase.id)) == case_id


async def test_no_two_records_of_one_person_share_a_value_that_joins_them(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    case_id = await proposed(desk, clerk)
    first = secrets_of(desk, case_id)
    enrolling.save(desk.context, clerk.browser.officer(), case_id, form(resident(), address="佛山市禅城区"))
    assert not (await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")).errors
    await step(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    await step(desk, approver, case_id, await deciding.approve(approver.signing, case_id))
    second = secrets_of(desk, case_id)
    assert first.registration != second.registration
    assert first.proposed_salt != second.salt
    values = [desk.ledger.state[b"identity/person/" + one.registration.encode()] for one in (first, second)]
    assert not {values[0][place : place + 16] for place in range(34, len(values[0]) - 16)} & {
        values[1][place : place + 16] for place in range(34, len(values[1]) - 16)
    }
