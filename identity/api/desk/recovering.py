# SPDX-License-Identifier: Apache-2.0
"""Recovery: somebody comes in without their keys; two officers sign one transaction that ends old and binds new ones.

Both signatures cover the same header, so that it is made once, for the two keys that it names: the officer who enrols
signs first, the one who confirms second, each on the case's page under the same words. What was signed first is
kept with the case; with the second signature the transaction goes out as any other act (`follow`).
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from chain.errors import InvalidMessage, InvalidSignature
from chain.signing import Scheme, Signer
from chain.transaction import Operation, SignedTransaction, build, verify_signatures
from chain.types import SALT_BYTES, Millis
from identity.api.desk import persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import content, load_case, move, open_case, write
from identity.api.desk.deciding import Signing
from identity.api.desk.details import METHODS, Method
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.problems import NOT_NOW, OWN_WORK
from identity.api.desk.registering import Words, operation
from identity.api.desk.states import CaseKind, CaseState, PersonState, Step
from identity.api.desk.tables import DeskCase
from identity.pb import identity_pb2 as pb
from service.language import LANGUAGES, Language, translate
from service.problems import Problem
from service.sign_in import challenges, kinds
from service.sign_in.acts import EXPIRY_MS, State
from service.sign_in.challenges import Purpose
from service.sign_in.passkeys import Answer
from service.sign_in.roles import Permission, Role
from service.sign_in.sessions import Officer
from service.sign_in.signing import challenge_answered, challenge_of, options_for, signature_in, verify_answer
from service.sign_in.tables import ACTIVE, Challenge, Passkey, PreparedAct, StaffMember

JOINT = "joint"
"""Of a case's content: the act that two officers sign."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of the two who sign: passkey or card, its public key in hex, whose it is, what it signed ("" before)."""

    passkey: str
    public_key: str
    staff: str
    assertion: str = ""
    scheme: int = Scheme.WEBAUTHN_ES256

    @classmethod
    def of(cls, credential: Passkey) -> "Place":
        """That of a passkey or card."""
        signer = credential.signer
        return cls(credential.id, signer.public_key.hex(), credential.staff_id, scheme=int(signer.scheme))

    @property
    def signer(self) -> Signer:
        """As the ledger names it."""
        return Signer(Scheme(self.scheme), bytes.fromhex(self.public_key))


@dataclass(frozen=True, slots=True)
class Joint:
    """An act of two officers: all that makes its header, and what was signed of it so far."""

    first: Place
    second: Place
    expires_ms: int
    salt: str

    def turn(self) -> Place | None:
        """Who signs next; None: both have."""
        return next((place for place in (self.first, self.second) if not place.assertion), None)

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Joint":
        """What `encode` wrote."""
        found = json.loads(text)
        return cls(Place(**found["first"]), Place(**found["second"]), found["expires_ms"], found["salt"])


@dataclass(frozen=True, slots=True)
class Shown:
    """The act as its page shows it to one of the two.

    Attributes:
        sentences: What it does, in each language.
        digest: Over words and operations, which the page hands back; 64 hex digits.
        is_turn: Whether this officer signs now.
        waits_for_second: The first has signed.
    """

    sentences: Mapping[Language, Sequence[str]]
    digest: str
    is_turn: bool
    waits_for_second: bool


@dataclass(frozen=True, slots=True)
class _Made:
    """Stands for a signer whose passkey signed, or will."""

    signer: Signer
    assertion: bytes

    def sign(self, _message: bytes) -> bytes:
        """What the passkey answered."""
        return self.assertion


def open_recovery(
    desk: DeskContext, officer: Officer, person_id: str, method: Method, binds: Sequence[pb.NewKey]
) -> str:
    """Open a recovery for somebody who is at the counter.

    Args:
        desk: Which desk.
        officer: Who opens it.
        person_id: Who came in.
        method: How they were proofed; in person.
        binds: The keys that they get, such as those of a card that was made for them.

    Returns:
        The case's id.

    Raises:
        Problem: The person is not registered, nothing is bound, or a recovery is open.
    """
    with desk.store.write() as session:
        found = persons.load(desk, session, officer, person_id, hold=True)
        if found.state not in {PersonState.ACTIVE, PersonState.SUSPENDED} or not binds:
            raise Problem(NOT_NOW)
        case = open_case(desk, session, officer, person_id, CaseKind.RECOVER)
        note_access(desk, session, officer, person_id, Reason.CASE)
        listed = json.dumps([[int(one.purpose), one.commitment.hex()] for one in binds])
        write(desk, session, case, {"reason": "key-compromised", "method": method, "binds": listed})
        move(desk, session, officer, case, Step.SUBMIT)
        return case.id


def colleagues(desk: DeskContext, session: Session, officer: Officer) -> list[tuple[str, str]]:
    """Officers who confirm and have a passkey: id and name of each."""
    wanted = (
        (StaffMember.organisation == officer.organisation)
        & (StaffMember.role == Role.APPROVER)
        & (StaffMember.state == ACTIVE)
        & (StaffMember.id != officer.staff_id)
        & StaffMember.id.in_(select(Passkey.staff_id).where(Passkey.state == ACTIVE))
    )
    rows = session.scalars(select(StaffMember).where(wanted).order_by(StaffMember.id)).all()
    return [(row.id, desk.store.people.open(session, row, StaffMember.name) or "") for row in rows]


def begin(signing: Signing, case_id: str, second: str) -> None:
    """Make the act for two officers: the one who asks, and a colleague.

    Args:
        signing: Who asks, and signs first.
        case_id: Which case.
        second: Id of the colleague, who confirms.

    Raises:
        Problem: The case is no recovery that waits, or there is no such colleague.
    """
    desk, officer = signing.desk, signing.officer
    with desk.store.write() as session:
        case = _open(session, officer, case_id)
        if not officer.may(Permission.ENROL) or second not in dict(colleagues(desk, session, officer)):
            raise Problem(NOT_NOW)
        own = session.get(Passkey, officer.passkey_id)
        newest = select(Passkey).where((Passkey.staff_id == second) & (Passkey.state == ACTIVE))
        other = session.scalar(newest.order_by(Passkey.used_ms.desc()).limit(1))
        if own is None or other is None:
            raise Problem(NOT_NOW)
        if own.signer == other.signer:
            raise Problem(OWN_WORK)
        joint = Joint(
            Place.of(own),
            Place.of(other),
            desk.now() + EXPIRY_MS,
            secrets.token_hex(SALT_BYTES),
        )
        write(desk, session, case, content(desk, session, case) | {JOINT: joint.encode()})


def shown(desk: DeskContext, officer: Officer, case_id: str) -> Shown | None:
    """The act for one officer; None: there is none, or it is not theirs to see."""
    with desk.store.read() as session:
        case = load_case(session, officer, case_id)
        values = content(desk, session, case)
        if case.state != CaseState.READY or JOINT not in values:
            return None
        joint = Joint.decode(values[JOINT])
        turn = joint.turn()
        if turn is None or officer.staff_id not in {joint.first.staff, joint.second.staff}:
            return None
        if joint.expires_ms <= desk.now():
            return None
        operations, words = _act(desk, session, officer, case, values)
        is_turn = turn.staff == officer.staff_id
        return Shown(words, _digest(operations, words), is_turn, bool(joint.first.assertion))


def ask(signing: Signing, case_id: str, digest: str) -> dict[str, Any]:
    """Options whose challenge is the digest of the header that both sign.

    Raises:
        Problem: It is not this officer's turn, it is not what was shown, or another passkey is to sign.
    """
    desk, office, officer = signing.desk, signing.office, signing.officer
    with desk.store.write() as session:
        case = _open(session, officer, case_id)
        values = content(desk, session, case)
        joint, place = _turn(desk, officer, values)
        operations, words = _act(desk, session, officer, case, values)
        if not secrets.compare_digest(_digest(operations, words).encode(), digest.encode()):
            raise Problem(kinds.ALTERED)
        passkey = session.get(Passkey, place.passkey)
        if passkey is None or passkey.id != officer.passkey_id:
            raise Problem(kinds.OTHER_PASSKEY)
        blank = _blank(desk, joint, operations)
        options = options_for(office, session, passkey, blank, desk.ledger.network)
        challenge = challenge_of(blank, desk.ledger.network)
        # one that was asked for and never answered says the same, and may be asked for again
        session.execute(delete(Challenge).where(Challenge.digest == hashlib.sha256(challenge).digest()))
        challenges.issue(
            session, office.service, Purpose.ACT, officer.binding, office.now(), challenge=challenge, subject=case_id
        )
    return options


def sign(signing: Signing, case_id: str, answer: Answer) -> str | None:
    """Take one officer's signature; with the second one the transaction is kept before it goes anywhere.

    Returns:
        The act's id once both have signed; None: the other signs next.

    Raises:
        Problem: The challenge was used or is too old, the answer does not hold, or it signs something else.
    """
    desk, office, officer = signing.desk, signing.office, signing.officer
    challenge = challenge_answered(answer)
    with desk.store.write() as session:
        binding, now_ms = officer.binding, office.now()
        asked = challenges.take(session, office.service, Purpose.ACT, binding, challenge, now_ms, case_id)
    signed_by = verify_answer(office, asked.challenge, answer, officer.staff_id)
    with desk.store.write() as session:
        case = _open(session, officer, case_id)
        values = content(desk, session, case)
        joint, place = _turn(desk, officer, values)
        operations, words = _act(desk, session, officer, case, values)
        blank = _blank(desk, joint, operations)
        if signed_by != place.passkey or challenge_of(blank, desk.ledger.network) != challenge:
            raise Problem(kinds.ALTERED)
        made = replace(place, assertion=signature_in(answer).hex())
        joint = replace(joint, first=made) if place == joint.first else replace(joint, second=made)
        write(desk, session, case, values | {JOINT: joint.encode()})
        desk.record(session, officer, "case.signed", case.id)
    if joint.turn() is not None:
        return None
    transaction = _built(desk, joint, operations)
    act_id = signing.acts.prepare(office, officer, operations, words)
    # a crash here leaves both signatures with the case: the second officer signs once more
    with desk.store.write() as session:
        case = _open(session, officer, case_id)
        row = session.get(PreparedAct, act_id)
        assert row is not None, "it was just made"
        row.state, row.transaction = State.SIGNED, transaction.raw
        case.act_id, case.act_step, case.code = act_id, Step.ACT, ""
        rest = {name: value for name, value in content(desk, session, case).items() if name != JOINT}
        write(desk, session, case, rest)
        desk.record(session, officer, "act.signed", transaction.id.hex())
    return act_id


def _open(session: Session, officer: Officer, case_id: str) -> DeskCase:
    case = load_case(session, officer, case_id, hold=True)
    if case.kind != CaseKind.RECOVER or case.state != CaseState.READY or case.act_id:
        raise Problem(NOT_NOW)
    return case


def _turn(desk: DeskContext, officer: Officer, values: Mapping[str, str]) -> tuple[Joint, Place]:
    """The act, and the place of this officer, whose turn it is."""
    if JOINT not in values:
        raise Problem(NOT_NOW)
    joint = Joint.decode(values[JOINT])
    if joint.expires_ms <= desk.now():
        raise Problem(kinds.ACT_EXPIRED)
    # of a pair that broke off after the second signature, the second one is asked for anew
    place = joint.turn() or joint.second
    if place.staff != officer.staff_id:
        raise Problem(OWN_WORK if officer.staff_id == joint.first.staff else NOT_NOW)
    return joint, place


def _act(
    desk: DeskContext, session: Session, officer: Officer, case: DeskCase, values: Mapping[str, str]
) -> tuple[list[Operation], Words]:
    found = persons.load(desk, session, officer, case.person_id)
    binds = [
        pb.NewKey(purpose=pb.ControlPurpose.ValueType(purpose), commitment=bytes.fromhex(commitment))
        for purpose, commitment in json.loads(values["binds"])
    ]
    method = METHODS[Method(values["method"])]
    recover = pb.Recover(id=found.secrets.registration_id, proofing_method=method, binds=binds)
    words = {
        language: [
            translate(language, "desk.act-recover", case=case.reference),
            translate(language, "desk.act-recover-keys", count=len(binds)),
            translate(language, "desk.act-recover-week"),
        ]
        for language in LANGUAGES
    }
    return [operation(recover)], words


def _digest(operations: Sequence[Operation], words: Words) -> str:
    said = json.dumps({language: list(words[language]) for language in LANGUAGES}, ensure_ascii=False, sort_keys=True)
    raw = b"".join(len(one.raw).to_bytes(4) + one.raw for one in operations)
    return hashlib.sha256(b"zhixin/joint-shown/1|" + raw + said.encode()).hexdigest()


def _blank(desk: DeskContext, joint: Joint, operations: Sequence[Operation]) -> SignedTransaction:
    """The transaction whose header both sign, before either has."""
    return _build(desk, joint, operations, [_Made(place.signer, b"\0") for place in (joint.first, joint.second)])


def _built(desk: DeskContext, joint: Joint, operations: Sequence[Operation]) -> SignedTransaction:
    signed = [_Made(place.signer, bytes.fromhex(place.assertion)) for place in (joint.first, joint.second)]
    made = _build(desk, joint, operations, signed)
    try:
        verify_signatures(made, desk.ledger.network)
    except InvalidSignature:
        raise Problem(kinds.ACT_SIGNATURE) from None
    return made


def _build(
    desk: DeskContext, joint: Joint, operations: Sequence[Operation], signers: Sequence[_Made]
) -> SignedTransaction:
    try:
        return build(operations, signers, Millis(joint.expires_ms), bytes.fromhex(joint.salt), desk.ledger.network)
    except InvalidMessage:
        raise Problem(kinds.ACT_SIGNATURE) from None
