# SPDX-License-Identifier: Apache-2.0
"""Mandates at the desk: granted as an officer's signed act, accepted by both sides, ended by either.

Each side gets its codes on paper, once: the desk forgets them when they are printed, for whoever kept them could accept
or end in the side's name. A side may bring an anchor from a device of its own instead. The row keeps terms and parties,
which the ledger knows by a salted commitment only.
"""

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from chain.codec import encode
from chain.transaction import Operation
from chain.types import HASH_BYTES, sha256
from identity.api.desk import legal_problems as kinds
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.desk.cards_history import NOBODY, Signed, keep_receipts, note, sentences, words
from identity.api.desk.cards_people import registered
from identity.api.desk.legal_tables import Mandate
from identity.api.desk.mandate_codes import Secret
from identity.commitments import SALT_BYTES
from identity.mandates import AMOUNT_FEN_MAX, mandate_key
from identity.pb import identity_pb2 as pb
from identity.uscc import is_uscc
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import new_id

VALID_DAYS_MAX: Final = 5 * 366
"""Longer mandates are given anew: the ledger's own limit is a parameter, and refuses besides."""
DOCUMENT_CHARACTERS_MAX: Final = 200
LISTED_MAX: Final = 200
ID_BYTES: Final = 32

_COMMITMENT: Final = b"zhixin/identity/mandate\x00"

KINDS: Final[Mapping[str, pb.MandateKind.ValueType]] = {
    "company": pb.MANDATE_KIND_LEGAL_PERSON,
    "minor": pb.MANDATE_KIND_MINOR,
    "ward": pb.MANDATE_KIND_WARD,
    "person": pb.MANDATE_KIND_PERSON,
}
SCOPES: Final[Mapping[str, pb.Scope.ValueType]] = {
    "general": pb.SCOPE_GENERAL,
    "civil-affairs": pb.SCOPE_CIVIL_AFFAIRS,
    "tax": pb.SCOPE_TAX,
    "social-insurance": pb.SCOPE_SOCIAL_INSURANCE,
    "health": pb.SCOPE_HEALTH,
    "education": pb.SCOPE_EDUCATION,
    "housing": pb.SCOPE_HOUSING,
    "business-register": pb.SCOPE_BUSINESS_REGISTER,
    "food": pb.SCOPE_FOOD,
    "credit": pb.SCOPE_CREDIT,
}
POWERS: Final[Mapping[str, pb.Power.ValueType]] = {
    "view": pb.POWER_VIEW,
    "apply": pb.POWER_APPLY,
    "collect": pb.POWER_COLLECT,
    "sign": pb.POWER_SIGN,
    "pay": pb.POWER_PAY,
}
OFFICER_ACCEPTS: Final = ("minor", "ward")
"""For these a second officer accepts in the principal's place."""


class MandateState(StrEnum):
    """What a mandate is to the desk; all but the first as the ledger says."""

    DRAFT = "draft"
    GRANTED = "granted"
    ACCEPTED = "accepted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an officer enters.

    Attributes:
        kind: One of `KINDS`.
        principal: The principal's code if a company, else the id of a person of this desk.
        agent: Id of the person of this desk who is to act.
        document: What the mandate rests on, such as a resolution's number.
        principal_anchor: Brought by the principal's own device, in hex; "": the desk prints codes.
        agent_anchor: Likewise.
    """

    kind: str
    principal: str
    agent: str
    scopes: Sequence[str]
    powers: Sequence[str]
    amount_fen_max: int
    valid_from_ms: int
    valid_to_ms: int
    may_delegate: bool
    document: str
    principal_anchor: str = ""
    agent_anchor: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What a row seals: terms, and what ties them to the ledger.

    Attributes:
        id: Of the mandate's record on the ledger; 32 bytes in hex.
        salt: Of the commitment; 32 bytes in hex.
        parties: The principal and the agent as the commitment names them.
        anchors: The principal's and the agent's as they are granted; in hex.
    """

    terms: Terms
    id: str
    salt: str
    parties: Sequence[str]
    anchors: Sequence[str]

    def commitment(self) -> bytes:
        """Salted commitment to the parties and the document; 32 bytes."""
        private = json.dumps([*self.parties, self.terms.document], ensure_ascii=False).encode()
        return sha256(_COMMITMENT + bytes.fromhex(self.salt) + private)

    def key(self) -> bytes:
        """State key of the mandate."""
        return mandate_key(bytes.fromhex(self.id))


def faults(terms: Terms, now_ms: int) -> dict[str, str]:
    """What is wrong with what was entered: keys of the catalogues by field."""
    found = {}
    if terms.kind not in KINDS:
        found["kind"] = "mandate.wrong-kind"
    if terms.kind == "company" and not is_uscc(terms.principal):
        found["principal"] = "legal.wrong-uscc"
    if not terms.scopes or any(scope not in SCOPES for scope in terms.scopes):
        found["scopes"] = "mandate.wrong-scopes"
    if not terms.powers or any(power not in POWERS for power in terms.powers):
        found["powers"] = "mandate.wrong-powers"
    if not 0 <= terms.amount_fen_max <= AMOUNT_FEN_MAX:
        found["amount"] = "mandate.wrong-amount"
    lifetime_ms = terms.valid_to_ms - terms.valid_from_ms
    if lifetime_ms <= 0 or terms.valid_to_ms <= now_ms or lifetime_ms > VALID_DAYS_MAX * DAY_MS:
        found["valid_to"] = "mandate.wrong-validity"
    if len(terms.document) > DOCUMENT_CHARACTERS_MAX:
        found["document"] = "mandate.wrong-document"
    for field, anchor in (("principal_anchor", terms.principal_anchor), ("agent_anchor", terms.agent_anchor)):
        if anchor and not (len(anchor) == 2 * HASH_BYTES and all(c in "0123456789abcdef" for c in anchor)):
            found[field] = "mandate.wrong-anchor"
    return found


def draft(desk: DeskContext, officer: Officer, terms: Terms) -> str:
    """Keep a mandate that is to be granted.

    Returns:
        Its id here.

    Raises:
        Problem: The terms are not as they must be, a side is not registered, or both sides are one person.
    """
    if faults(terms, desk.now()):
        raise Problem(kinds.TERMS)
    if terms.agent == terms.principal or (terms.principal_anchor and terms.principal_anchor == terms.agent_anchor):
        raise Problem(kinds.SIDES)
    with desk.store.write() as session:
        agent = registered(desk, session, officer.organisation, terms.agent)
        is_company = terms.kind == "company"
        principal = None if is_company else registered(desk, session, officer.organisation, terms.principal)
        parties = [terms.principal if principal is None else principal.registration.hex(), agent.registration.hex()]
        brought = {"principal": terms.principal_anchor, "agent": terms.agent_anchor}
        made = {side: Secret.new() for side, anchor in brought.items() if not anchor}
        anchors = [made[side].anchor.hex() if side in made else brought[side] for side in ("principal", "agent")]
        content = Content(terms, secrets.token_hex(ID_BYTES), secrets.token_hex(SALT_BYTES), parties, anchors)
        row = Mandate(
            id=new_id(),
            person_id=terms.agent,
            organisation=officer.organisation,
            principal_id=None if is_company else terms.principal,
            company=digest_of(desk, "company", terms.principal.encode()) if is_company else None,
            kind=terms.kind,
            state=MandateState.DRAFT,
            created_ms=desk.now(),
            changed_ms=desk.now(),
            principal_side=digest_of(desk, "side", bytes.fromhex(anchors[0])),
            agent_side=digest_of(desk, "side", bytes.fromhex(anchors[1])),
        )
        desk.store.people.seal(session, row, Mandate.content, json.dumps(asdict(content), ensure_ascii=False))
        slips = {side: secret.raw.hex() for side, secret in made.items()}
        desk.store.people.seal(session, row, Mandate.slips, json.dumps(slips))
        session.flush()
        note(desk, session, row, "draft", row.state, officer.staff_id)
        desk.record(session, officer, "mandate.drafted", row.id)
        return row.id


def reference_of(row_id: str) -> str:
    """What the desk calls a mandate on paper and in acts."""
    return f"M-{row_id[:8].upper()}"


def own(session: Session, organisation: str, row_id: str, *, held: bool = False) -> Mandate:
    """A mandate's row.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    query = select(Mandate).where(Mandate.id == row_id, Mandate.organisation == organisation)
    row = session.scalar(query.with_for_update() if held else query)
    if row is None:
        raise Problem(kinds.UNKNOWN_MANDATE)
    return row


def content_of(desk: DeskContext, session: Session, row: Mandate) -> Content:
    """What a row seals."""
    found = json.loads(desk.store.people.open(session, row, Mandate.content) or "")
    return Content(Terms(**found.pop("terms")), **found)


def listed(session: Session, organisation: str, person_id: str | None = None) -> Sequence[Mandate]:
    """Mandates, of one person or all, the latest changed first; at most 200."""
    query = select(Mandate).where(Mandate.organisation == organisation)
    if person_id is not None:
        query = query.where(or_(Mandate.person_id == person_id, Mandate.principal_id == person_id))
    return session.scalars(query.order_by(Mandate.changed_ms.desc()).limit(LISTED_MAX)).all()


async def on_ledger(desk: DeskContext, content: Content) -> pb.MandateRecord | None:
    """What the ledger says of a mandate, proven; None: it was not granted yet.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
    """
    raw = (await desk.ledger.read([content.key()])).values[content.key()]
    return None if raw is None else pb.MandateRecord.FromString(raw)


def observe(desk: DeskContext, organisation: str, row_id: str, record: pb.MandateRecord | None) -> MandateState:
    """Bring a row to what the ledger says.

    Returns:
        The state that it is in now.
    """
    state = MandateState.DRAFT
    if record is not None:
        state = MandateState.GRANTED
        if record.ended_at_ms:
            state = MandateState.ENDED
        elif record.principal_accepted and record.agent_accepted:
            state = MandateState.ACCEPTED
    with desk.store.write() as session:
        row = own(session, organisation, row_id, held=True)
        keep_receipts(desk, session, row)
        if row.state != state:
            row.state, row.changed_ms = state, desk.now()
            note(desk, session, row, "observed", state, NOBODY)
    return state


def grant(content: Content, reference: str) -> Signed:
    """The act by which a mandate is recorded.

    Args:
        content: What the row seals.
        reference: What the desk calls the mandate; the words of an act outlive persons, and name none.
    """
    terms = content.terms
    message = pb.GrantMandate(
        id=bytes.fromhex(content.id),
        kind=KINDS[terms.kind],
        commitment=content.commitment(),
        legal_person=terms.principal.encode() if terms.kind == "company" else b"",
        scopes=sorted(SCOPES[scope] for scope in set(terms.scopes)),
        powers=sorted(POWERS[power] for power in set(terms.powers)),
        amount_fen_max=terms.amount_fen_max,
        valid_from_ms=terms.valid_from_ms,
        valid_to_ms=terms.valid_to_ms,
        may_delegate=terms.may_delegate,
        principal_anchor=bytes.fromhex(content.anchors[0]),
        agent_anchor=bytes.fromhex(content.anchors[1]),
    )
    said = [words("mandate.act-grant", reference=reference), words("mandate.act-sides")]
    if terms.may_delegate:
        said.append(words("mandate.act-delegates"))
    return [operation_of(message)], sentences(*said)


def officer_accepts(content: Content, reference: str) -> Signed:
    """The act by which a second officer accepts for a minor or a ward.

    Raises:
        Problem: The principal of this kind accepts in person.
    """
    if content.terms.kind not in OFFICER_ACCEPTS:
        raise Problem(kinds.SIDES)
    message = pb.AcceptMandate(id=bytes.fromhex(content.id), side=pb.SIDE_PRINCIPAL)
    return [operation_of(message)], sentences(words("mandate.act-accept", reference=reference))


def officer_ends(content: Content, reference: str) -> Signed:
    """The act by which an officer ends a mandate, as when a side has died or lost the codes."""
    message = pb.EndMandate(id=bytes.fromhex(content.id))
    return [operation_of(message)], sentences(words("mandate.act-end", reference=reference))


def note_act(desk: DeskContext, officer: Officer, row_id: str, step: str, act_id: str) -> None:
    """Write down that an act was prepared."""
    with desk.store.write() as session:
        row = own(session, officer.organisation, row_id, held=True)
        note(desk, session, row, step, row.state, officer.staff_id, act_id=act_id)
        desk.record(session, officer, "mandate.act-prepared", row.id)


def note_sent(desk: DeskContext, officer: Officer, row_id: str, step: str, receipt: bytes) -> None:
    """Write down what a side's code did on the ledger."""
    with desk.store.write() as session:
        row = own(session, officer.organisation, row_id, held=True)
        note(desk, session, row, step, row.state, officer.staff_id, receipt=receipt)
        desk.record(session, officer, "mandate.code-taken", row.id)


# ---------------------------------------------------------------- codes of the sides


def slips(desk: DeskContext, session: Session, row: Mandate) -> dict[str, Secret]:
    """The secrets that are still to be printed, by side."""
    found = json.loads(desk.store.people.open(session, row, Mandate.slips) or "{}")
    return {side: Secret(bytes.fromhex(raw)) for side, raw in found.items()}


def forget_slip(desk: DeskContext, officer: Officer, row_id: str, side: str) -> None:
    """A side has its codes: the desk keeps them no longer."""
    with desk.store.write() as session:
        row = own(session, officer.organisation, row_id, held=True)
        left = {name: secret.raw.hex() for name, secret in slips(desk, session, row).items() if name != side}
        desk.store.people.seal(session, row, Mandate.slips, json.dumps(left) if left else None)
        note(desk, session, row, "codes-given", row.state, officer.staff_id)
        desk.record(session, officer, "mandate.codes-given", row.id)


def of_company(desk: DeskContext, session: Session, organisation: str, uscc: str) -> Sequence[Mandate]:
    """Mandates of a company, the latest changed first; at most 200."""
    wanted = (Mandate.organisation == organisation) & (Mandate.company == digest_of(desk, "company", uscc.encode()))
    return session.scalars(select(Mandate).where(wanted).order_by(Mandate.changed_ms.desc()).limit(LISTED_MAX)).all()


def digest_of(desk: DeskContext, what: str, value: bytes) -> bytes:
    """Keyed digest by which a row is found: of a side's anchor, or of a company's code."""
    return hmac.digest(desk.store.secret(f"desk/mandate-{what}"), value, "sha256")


def operation_of(message: pb.GrantMandate | pb.AcceptMandate | pb.EndMandate) -> Operation:
    """An operation about a mandate."""
    return Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))
