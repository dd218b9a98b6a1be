# SPDX-License-Identifier: Apache-2.0
"""Companies at the desk: drafted by one officer, proposed and confirmed on the ledger as acts that two officers sign.

What counts stands on the ledger; a row here holds what is asked for, and who represents the company, which the ledger
knows by a salted commitment only. `observe` brings the row to what the ledger says, whenever somebody looks.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.codec import encode
from chain.errors import Refused
from chain.transaction import Operation
from chain.types import sha256
from identity.api.desk import legal_problems as kinds
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_history import NOBODY, Signed, keep_receipts, note, sentences, words
from identity.api.desk.legal_tables import Company
from identity.commitments import SALT_BYTES
from identity.legal_persons import legal_person_key
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from identity.uscc import is_uscc
from membership.names import check_display_names
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import new_id

NAME_CHARACTERS_MAX: Final = 64
"""What the ledger takes in Chinese; Latin letters take a third of the room, and 64 are enough for them too."""
NUMBER_CHARACTERS_MAX: Final = 32
LISTED_MAX: Final = 200

_COMMITMENT: Final = b"zhixin/identity/legal-person\x00"


class CompanyState(StrEnum):
    """What a company is to the desk; all but the first as the ledger says."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DISSOLVED = "dissolved"


_STATES: Final[Mapping[pb.PersonStatus.ValueType, CompanyState]] = {
    pb.PERSON_STATUS_PROPOSED: CompanyState.PROPOSED,
    pb.PERSON_STATUS_ACTIVE: CompanyState.ACTIVE,
    pb.PERSON_STATUS_SUSPENDED: CompanyState.SUSPENDED,
    pb.PERSON_STATUS_REVOKED: CompanyState.DISSOLVED,
}


@dataclass(frozen=True, slots=True)
class Particulars:
    """What an officer enters.

    Attributes:
        uscc: Unified social credit code.
        representative: The legal representative's name.
        representative_number: The number of their document.
        salt: 32 random bytes in hex, new for each proposal; part of the commitment.
    """

    uscc: str
    name_zh: str
    name_en: str
    representative: str
    representative_number: str
    salt: str = ""

    def commitment(self) -> bytes:
        """Salted commitment to what is not public; 32 bytes."""
        assert len(self.salt) == 2 * SALT_BYTES, "a proposal is salted"
        private = [self.uscc, self.representative, self.representative_number]
        return sha256(_COMMITMENT + bytes.fromhex(self.salt) + json.dumps(private, ensure_ascii=False).encode())

    def message(self) -> pb.ProposeLegalPerson:
        """What is proposed on the ledger."""
        return pb.ProposeLegalPerson(
            uscc=self.uscc, name_zh=self.name_zh, name_en=self.name_en, commitment=self.commitment()
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A company as a page shows it.

    Attributes:
        pending: What is asked for and does not count yet.
        present: What counts; None before the first confirmation.
    """

    id: str
    uscc: str
    state: CompanyState
    changed_ms: int
    drafted_by: str
    pending: Particulars | None
    present: Particulars | None


def faults(entered: Particulars) -> dict[str, str]:
    """What is wrong with what was entered: keys of the catalogues by field."""
    found = {}
    if not is_uscc(entered.uscc):
        found["uscc"] = "legal.wrong-uscc"
    for field, name in (("name_zh", entered.name_zh), ("name_en", entered.name_en)):
        if len(name) > NAME_CHARACTERS_MAX:
            found[field] = "legal.wrong-name"
    if not entered.name_zh:
        found["name_zh"] = "legal.wrong-name"
    if not found:
        try:
            check_display_names(entered.name_zh, entered.name_en)
        except Refused:
            found["name_zh"] = "legal.wrong-name"
    if not 2 <= len(entered.representative) <= NAME_CHARACTERS_MAX:
        found["representative"] = "legal.wrong-representative"
    if not 5 <= len(entered.representative_number) <= NUMBER_CHARACTERS_MAX:
        found["representative_number"] = "legal.wrong-number"
    return found


def draft(desk: DeskContext, officer: Officer, entered: Particulars) -> str:
    """Keep what an officer entered, for a new company or as a change of one.

    Returns:
        The company's id.

    Raises:
        Problem: It is not as it must be, or the company is dissolved.
    """
    if faults(entered):
        raise Problem(kinds.PARTICULARS)
    salted = Particulars(**(asdict(entered) | {"salt": secrets.token_hex(SALT_BYTES)}))
    with desk.store.write() as session:
        row = _by_code(session, officer.organisation, entered.uscc)
        if row is None:
            row = Company(
                id=new_id(),
                person_id=desk.store.people.add(session),
                organisation=officer.organisation,
                uscc=entered.uscc,
                name_zh=entered.name_zh,
                name_en=entered.name_en,
                state=CompanyState.DRAFT,
                changed_ms=desk.now(),
                drafted_by=officer.staff_id,
            )
            session.add(row)
            session.flush()
        elif row.state == CompanyState.DISSOLVED:
            raise Problem(kinds.DISSOLVED)
        row.drafted_by, row.changed_ms = officer.staff_id, desk.now()
        if row.state in (CompanyState.DRAFT, CompanyState.PROPOSED):
            row.name_zh, row.name_en = entered.name_zh, entered.name_en
        desk.store.people.seal(session, row, Company.pending, json.dumps(asdict(salted), ensure_ascii=False))
        desk.store.people.seal(session, row, Company.representative, entered.representative)
        note(desk, session, row, "draft", row.state, officer.staff_id)
        desk.record(session, officer, "company.drafted", row.id)
        return row.id


def open_company(desk: DeskContext, session: Session, organisation: str, company_id: str) -> Opened:
    """A company with what is sealed about it.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    row = own(session, organisation, company_id)
    return Opened(
        row.id,
        row.uscc,
        CompanyState(row.state),
        row.changed_ms,
        row.drafted_by,
        _particulars(desk.store.people.open(session, row, Company.pending)),
        _particulars(desk.store.people.open(session, row, Company.private)),
    )


def own(session: Session, organisation: str, company_id: str, *, held: bool = False) -> Company:
    """A company's row.

    Raises:
        Problem: There is none of this id at this organisation.
    """
    query = select(Company).where(Company.id == company_id, Company.organisation == organisation)
    row = session.scalar(query.with_for_update() if held else query)
    if row is None:
        raise Problem(kinds.UNKNOWN)
    return row


def listed(session: Session, organisation: str, state: CompanyState | None = None) -> Sequence[Company]:
    """Companies, the latest changed first; at most 200."""
    query = select(Company).where(Company.organisation == organisation)
    if state is not None:
        query = query.where(Company.state == state)
    return session.scalars(query.order_by(Company.changed_ms.desc()).limit(LISTED_MAX)).all()


def find(session: Session, organisation: str, uscc: str) -> str | None:
    """Id of the company of a code, if this desk has it."""
    row = _by_code(session, organisation, uscc)
    return None if row is None else row.id


async def on_ledger(desk: DeskContext, uscc: str) -> pb.LegalPersonRecord | None:
    """What the ledger says of a code, proven; None: it was never proposed.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
    """
    raw = (await desk.ledger.read([legal_person_key(uscc)])).values[legal_person_key(uscc)]
    return None if raw is None else pb.LegalPersonRecord.FromString(raw)


def observe(desk: DeskContext, organisation: str, company_id: str, record: pb.LegalPersonRecord | None) -> None:
    """Bring a company's row to what the ledger says: what is confirmed counts, what is withdrawn is a draft again."""
    with desk.store.write() as session:
        row = own(session, organisation, company_id, held=True)
        keep_receipts(desk, session, row)
        state = CompanyState.DRAFT if record is None else _STATES[record.status]
        pending = _particulars(desk.store.people.open(session, row, Company.pending))
        if record is not None and pending is not None and record.commitment == pending.commitment():
            text = json.dumps(asdict(pending), ensure_ascii=False)
            desk.store.people.seal(session, row, Company.private, text)
            desk.store.people.seal(session, row, Company.pending, None)
            row.name_zh, row.name_en = record.name_zh, record.name_en
        elif row.state == state:
            return
        row.state, row.changed_ms = state, desk.now()
        note(desk, session, row, "observed", state, NOBODY)


def proposal(company: Opened) -> Signed:
    """The act by which a draft is proposed.

    Raises:
        Problem: Nothing is drafted.
    """
    if company.pending is None or company.state is CompanyState.DISSOLVED:
        raise Problem(kinds.NOTHING)
    names = company.pending.name_zh + (f" ({company.pending.name_en})" if company.pending.name_en else "")
    said = words("legal.act-propose", uscc=company.uscc, names=names)
    return [_operation(company.pending.message())], sentences(said, words("legal.act-propose-next"))


def confirmation(company: Opened, record: pb.LegalPersonRecord | None) -> Signed:
    """The act by which a second officer confirms exactly what this desk drafted and the ledger holds as proposed.

    Raises:
        Problem: Nothing is proposed, or something else than what stands here.
    """
    if record is None or not record.HasField("proposal"):
        raise Problem(kinds.NOTHING)
    if company.pending is None or record.proposal.content != company.pending.message():
        raise Problem(kinds.DIFFERENT)
    message = pb.ConfirmLegalPerson(uscc=company.uscc, digest=proposal_digest(record.proposal))
    names = company.pending.name_zh + (f" ({company.pending.name_en})" if company.pending.name_en else "")
    said = words("legal.act-confirm", uscc=company.uscc, names=names)
    return [_operation(message)], sentences(said, words("legal.act-confirm-representative"))


def withdrawal(company: Opened) -> Signed:
    """The act by which what is proposed is dropped."""
    message = pb.WithdrawLegalPerson(uscc=company.uscc)
    return [_operation(message)], sentences(words("legal.act-withdraw", uscc=company.uscc))


def suspension(company: Opened) -> Signed:
    """The act by which a company is suspended: its mandates do not count meanwhile."""
    return _status(company, pb.STATUS_SUSPENDED, pb.REASON_UNDER_INVESTIGATION), sentences(
        words("legal.act-suspend", uscc=company.uscc), words("legal.act-mandates")
    )


def reinstatement(company: Opened) -> Signed:
    """The act by which a suspended company counts again."""
    return _status(company, pb.STATUS_REINSTATED, pb.REASON_INVESTIGATION_CLOSED), sentences(
        words("legal.act-reinstate", uscc=company.uscc)
    )


def dissolution(company: Opened) -> Signed:
    """The act by which a company ends, for good."""
    return _status(company, pb.STATUS_REVOKED, pb.REASON_NO_LONGER_TRUE), sentences(
        words("legal.act-dissolve", uscc=company.uscc), words("legal.act-for-good")
    )


def note_act(desk: DeskContext, officer: Officer, company_id: str, step: str, act_id: str) -> None:
    """Write down that an act was prepared."""
    with desk.store.write() as session:
        row = own(session, officer.organisation, company_id, held=True)
        note(desk, session, row, step, row.state, officer.staff_id, act_id=act_id)
        desk.record(session, officer, "company.act-prepared", row.id)


def _status(company: Opened, status: pb.Status.ValueType, reason: pb.Reason.ValueType) -> Sequence[Operation]:
    return [_operation(pb.SetLegalPersonStatus(uscc=company.uscc, status=status, reason=reason))]


def _operation(
    message: pb.ProposeLegalPerson | pb.ConfirmLegalPerson | pb.WithdrawLegalPerson | pb.SetLegalPersonStatus,
) -> Operation:
    return Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))


def _by_code(session: Session, organisation: str, uscc: str) -> Company | None:
    return session.scalar(
        select(Company).where(Company.organisation == organisation, Company.uscc == uscc).with_for_update()
    )


def _particulars(text: str | None) -> Particulars | None:
    return None if text is None else Particulars(**json.loads(text))
