# SPDX-License-Identifier: Apache-2.0
"""What officers answer, kept by the act that says it: what was signed is what the person reads, and nothing else is.

Several officers may prepare different answers to one request, and one officer may change their mind. Each answer stands
under its own act; which of them holds, the acts' states say.
"""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from credit.api.base import MINUTE_MS, CreditContext
from credit.api.problems import NOT_NOW
from service.problems import Problem
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct

ANSWERS: Final = "answers"
"""Where a request's content holds them."""
ANSWERS_MAX: Final = 8
"""Of one request that can still be signed at once: what is sealed has at most 64 KiB, and an answer up to six."""

Words = dict[str, Any]


def keep_answer(context: CreditContext, session: Session, words: Words, act_id: str, answer: Words) -> None:
    """Keep what an act answers, in a request's words; what nobody can sign any more is let go.

    Raises:
        Problem: As many other answers wait for their signature.
    """
    living = _living(context, session, words)
    if len(living) >= ANSWERS_MAX:
        raise Problem(NOT_NOW)
    words[ANSWERS] = {**living, act_id: answer}


def answered(session: Session, words: Words, *, is_on_ledger: bool = False) -> tuple[str, Words] | None:
    """The act that answered a request, with what it says; None: none did.

    Args:
        session: Of the store.
        words: The request's.
        is_on_ledger: The ledger shows an answer: one that was signed and awaits its receipt holds then, too.
    """
    kept: dict[str, Words] = words.get(ANSWERS, {})
    query = select(PreparedAct.id, PreparedAct.state).where(PreparedAct.id.in_(list(kept)))
    rows = session.execute(query.order_by(PreparedAct.created_ms)).all() if kept else []
    states = {row.state: row.id for row in rows}
    act_id = states.get(State.DONE) or (states.get(State.SIGNED) if is_on_ledger else None)
    return None if act_id is None else (act_id, kept[act_id])


def _living(context: CreditContext, session: Session, words: Words) -> dict[str, Words]:
    """Answers that were signed or can still be."""
    kept: dict[str, Words] = words.get(ANSWERS, {})
    rows = session.scalars(select(PreparedAct).where(PreparedAct.id.in_(list(kept)))).all() if kept else []
    return {row.id: kept[row.id] for row in rows if not _is_over(row, context.now())}


def _is_over(row: PreparedAct, now_ms: int) -> bool:
    """Whether an act can neither be signed nor come to stand on the ledger any more."""
    if row.state == State.PREPARED:
        return row.expires_ms + MINUTE_MS < now_ms  # a signature that is just being taken read the clock before
    # what nodes merely refused may still come into a block
    return row.state == State.REFUSED and row.receipt is not None
