# SPDX-License-Identifier: Apache-2.0
"""Acts as the store keeps them: content sealed under their officer's key, their states, and what is swept away.

`service.sign_in.acts` says what becomes of them.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.transaction import Operation
from service.language import Language
from service.problems import Problem
from service.sign_in import kinds, tables
from service.sign_in.key_request import KeyAnswer, KeyRequest
from service.sign_in.office import Office
from service.sign_in.sessions import Officer
from service.sign_in.tables import PreparedAct

OVER_MS_MAX = 24 * 3_600_000
"""An act that was not signed in time says so on its page for a day."""
WAITING_MAX = 500
"""Acts of one officer that wait for a signature: a batch that is prepared ahead, and no store full of them."""
CONTENT_BYTES_MAX = 48 * 1024
"""Operations and words together; what is sealed may have 64 KiB."""
ORDINARY, REGISTRATION = "ordinary", "registration"
"""Which of a service's `Acts` an act belongs to: they differ in who signs beside the officer."""


class State(StrEnum):
    """How far an act has come."""

    PREPARED = tables.PREPARED
    SIGNED = "signed"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An act as its page shows it.

    Attributes:
        words: What it does, sentence by sentence, in each language.
        operations: What goes on the ledger.
        shown: Digest over both, which the page hands back; 64 hex digits.
        expires_ms: Until when it can be signed; Unix time.
        passkey_id: With which passkey it has to be signed; "": with any of the officer's.
        request: What the keeper of a governing key is asked to sign first; None: nobody is.
        answer: What that keeper answered; None: nothing yet.
        receipt: Proves that it stands on the ledger; None before it does.
        code: Which rule of the ledger refused it; "" otherwise.
    """

    id: str
    state: State
    words: Mapping[Language, Sequence[str]]
    operations: Sequence[Operation]
    shown: str
    kind: str
    expires_ms: int
    passkey_id: str
    request: KeyRequest | None
    answer: KeyAnswer | None
    receipt: bytes | None
    code: str


def content_text(content: dict[str, Any]) -> str:
    """An act's content as it is sealed, and as what was shown is digested."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    assert len(text.encode()) <= CONTENT_BYTES_MAX, "callers bound what an act holds"
    return text


def sweep(office: Office, session: Session, officer: Officer, now_ms: int) -> None:
    """Forget an officer's acts that nobody signed and that were over a day ago; count those that wait.

    Raises:
        Problem: There are as many as may wait.
    """
    unsigned = (PreparedAct.staff_id == officer.staff_id) & (PreparedAct.state == State.PREPARED)
    over = select(PreparedAct).where(unsigned, PreparedAct.expires_ms <= now_ms - OVER_MS_MAX)
    for row in session.scalars(over).all():
        office.store.people.remove(session, row)
    waiting = select(func.count()).select_from(PreparedAct).where(unsigned, PreparedAct.expires_ms > now_ms)
    if (session.scalar(waiting) or 0) >= WAITING_MAX:
        raise Problem(kinds.TOO_MANY)


def own_act(session: Session, officer: Officer, act_id: str) -> PreparedAct:
    """One of an officer's own acts, held.

    Raises:
        Problem: There is no such act of theirs.
    """
    query = select(PreparedAct).where(PreparedAct.id == act_id, PreparedAct.staff_id == officer.staff_id)
    row = session.scalar(query.with_for_update())
    if row is None:
        raise Problem(kinds.UNKNOWN)
    return row


def check_open(row: PreparedAct, now_ms: int) -> None:
    """Check that an act can still be signed.

    Raises:
        Problem: It was signed, or waited for too long.
    """
    if row.state != State.PREPARED or row.expires_ms <= now_ms:
        raise Problem(kinds.ACT_EXPIRED)


def read_act(office: Office, session: Session, row: PreparedAct) -> Prepared:
    """An act, opened."""
    text = office.store.people.open(session, row, PreparedAct.content) or ""
    content = json.loads(text)
    return Prepared(
        id=row.id,
        state=State(row.state),
        words=content["words"],
        operations=[Operation.decode(base64.b64decode(raw)) for raw in content["operations"]],
        shown=hashlib.sha256(b"zhixin/act-shown/1|" + text.encode()).hexdigest(),
        kind=content["kind"],
        expires_ms=row.expires_ms,
        passkey_id=content["passkey"],
        request=KeyRequest.decode(content["request"].encode()) if content["request"] else None,
        answer=KeyAnswer.decode(content["answer"].encode()) if content["answer"] else None,
        receipt=row.receipt,
        code=row.code,
    )
