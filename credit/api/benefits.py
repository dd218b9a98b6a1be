# SPDX-License-Identifier: Apache-2.0
"""Benefits that a grade opens: asked for with a report that the holder showed, decided by a human, explained, reviewed.

Whoever asks hands in a `ShownReport` that the holder's key signed for that organisation, just now; it is good once.
The request says whether the grade is met and what took most; granting and refusing are acts of an officer on the ledger
(`Decide`), and a refusal can be reviewed by another officer (`Review`). Burdens are not here: the rules ask for a
class on the statutory list and a human, and no page prepares one.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Session

from chain.errors import LedgerError
from chain.signing import Scheme, Signer
from credit.api.base import CreditContext, load_subject
from credit.api.problems import PURPOSE, REPORT, TOO_OLD, USED_UP
from credit.api.reading import GRADES, PURPOSES, StoredAccesses, told
from credit.api.requests import BENEFIT, OPEN, check_place
from credit.api.subjects import secrets_of
from credit.api.tables import CreditNonce, CreditRequest
from credit.report import SHOWN_MS_MAX, VerifiedReport, verify_shown
from service.problems import Problem
from service.store.engine import insert_new

SHOWN_KEPT_MS: Final = 3 * SHOWN_MS_MAX
"""How long what was shown is remembered: the holder's clock may be ahead and the signature as old as it may be, each by
`SHOWN_MS_MAX`; as much again for an answer that is slow to begin."""
TOO_OLD_CODES: Final = frozenset({"receipt.too-old", "receipt.shown-time"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A benefit that was asked for.

    Attributes:
        met: Whether the grade is what the benefit asks for.
        lost: Classes that took most, with the points they took.
    """

    request_id: str
    grade: str
    met: bool
    lost: tuple[tuple[int, int], ...]


def ask_benefit(
    context: CreditContext, organisation: str, subject_id: str, purpose: str, shown: bytes, nonce: bytes
) -> Asked:
    """Take a benefit's request with the report that its holder showed.

    Args:
        context: Which service.
        organisation: Who decides, and for whom the report was signed.
        subject_id: Whose request.
        purpose: Which benefit.
        shown: Bytes of `ShownReport`.
        nonce: What the organisation gave the holder.

    Raises:
        Problem: No such benefit, the report does not verify, is another's, is older than the benefit allows or was
            shown before, or too many benefits of this subject wait.
    """
    if purpose not in PURPOSES:
        raise Problem(PURPOSE)
    with context.store.read() as session:
        begun = secrets_of(context, session, load_subject(session, subject_id))
    try:
        found: VerifiedReport = verify_shown(
            shown,
            context.ledger.genesis,
            holder=Signer(Scheme.P256, begun.key),
            audience=organisation,
            purpose=purpose,
            nonce=nonce,
            now_ms=context.now(),
            age_ms_max=PURPOSES[purpose].age_ms_max,
        )
    except LedgerError as error:
        raise Problem(TOO_OLD if error.code in TOO_OLD_CODES else REPORT, members={"ledger_code": error.code}) from None
    if found.first_slot != begun.first_slot or found.scorecard is None:
        raise Problem(REPORT)
    score = found.score()
    met = GRADES.index(score.grade) <= GRADES.index(PURPOSES[purpose].least)
    lost = [list(pair) for pair in score.lost]
    content = {"purpose": purpose, "grade": score.grade, "met": met, "lost": lost, "why": "", "decision": ""}
    noted = {entry.slot.hex(): told(entry.record.status, entry.record.content) for entry in found.entries}
    with context.store.write() as session:
        subject = load_subject(session, subject_id, hold=True)
        _use_up(context, session, begun.key, organisation, nonce)
        check_place(session, subject_id, BENEFIT)
        row = CreditRequest(
            person_id=subject.person_id,
            kind=BENEFIT,
            subject_id=subject_id,
            event_id="",
            organisation=organisation,
            state=OPEN,
            opened_ms=context.now(),
            due_day=0,
            closed_ms=0,
            act_id="",
        )
        context.store.people.seal(session, row, CreditRequest.content, json.dumps(content))
        StoredAccesses(context).note(session, subject_id, organisation, purpose, "report", noted)
        context.record(session, subject.person_id, "credit.benefit-asked", row.id)
        return Asked(row.id, score.grade, met, score.lost)


def _use_up(context: CreditContext, session: Session, holder: bytes, audience: str, nonce: bytes) -> None:
    """Note that a holder answered a nonce; what is refused after this leaves no note.

    Raises:
        Problem: It was answered before.
    """
    now_ms = context.now()
    parts = (b"zhixin/credit-shown/1", holder, audience.encode(), nonce)
    digest = hashlib.sha256(b"".join(len(part).to_bytes(2) + part for part in parts)).digest()
    session.execute(delete(CreditNonce).where(CreditNonce.expires_ms <= now_ms))
    if not insert_new(session, CreditNonce(digest=digest, expires_ms=now_ms + SHOWN_KEPT_MS)):
        raise Problem(USED_UP)
