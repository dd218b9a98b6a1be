# SPDX-License-Identifier: Apache-2.0
"""Questions as they stand in the store: made, found, taken once, given up, forgotten.

Statements are made once, and rows are read as what they are: each answer waits for a few of these, at a counter with
a queue. What is read blocks; what each answer writes is committed together with others' (`service.store.together`). A
challenge for a card is written with the next answer, and stays at hand until it is answered.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    CursorResult,
    Result,
    Row,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.strict_json import parse
from identity.api.verifier.asking import CARD, Asked, new_token, token_digest
from identity.api.verifier.problems import UNKNOWN
from identity.api.verifier.questions import Made, Question, access_text, read_access
from identity.api.verifier.registered import Access
from identity.api.verifier.sealing import Sealing
from identity.api.verifier.tables import (
    ANSWERED,
    CANCELLED,
    NO_ENTRY,
    OPEN,
    RECORDING,
    REFUSED,
    WANTED,
    WRITTEN,
    Verification,
    VerifierLogin,
)
from identity.jose import JsonObject
from service.api_keys import table_of
from service.problems import Problem
from service.store import Store, new_id
from service.store.together import Together

DAY_MS: Final = 86_400_000
TICK_ROWS_MAX: Final = 100
"""Entries and notices that one tick looks after."""
UNFINISHED_MS: Final = 10_000
"""An answer that has waited so long for its entry lost whoever wrote it."""
RECORDING_MS_MAX: Final = 3_600_000
"""An answer whose entry can't be written for an hour is given to nobody; whoever asked has long gone on."""
TEXT_BYTES_MAX: Final = 1024 * 1024
LATELY_MAX: Final = 2_048
"""Challenges of this process that are at hand without the store: forty seconds of fifty a second."""
LATELY_CHARACTERS_MAX: Final = 2_048
"""One with a longer query is read from the store, so that all that are at hand have some megabytes."""

Sign = Callable[[JsonObject], str]
"""Signs an answer that was found to be complete."""


_ROWS: Final = table_of(Verification)
_SHORT: Final = [_ROWS.c[name] for name in ("id", "client_id", "asked", "state", "created_ms", "expires_ms")]
_INSERT: Final = insert(_ROWS)
_BY_ID: Final = select(*_SHORT).where(_ROWS.c.id == bindparam("id"))
_BY_TOKEN: Final = select(*_SHORT).where(_ROWS.c.token_digest == bindparam("digest"))
_ANSWER: Final = select(_ROWS.c.state, _ROWS.c.answer, _ROWS.c.code_digest).where(_ROWS.c.id == bindparam("id"))
_TAKE: Final = update(_ROWS).where(
    _ROWS.c.id == bindparam("which"), _ROWS.c.state == OPEN, _ROWS.c.expires_ms > bindparam("now_ms")
)


@dataclass(frozen=True, slots=True)
class Kept:
    """The verifier's questions.

    Attributes:
        store: Where they stand.
        keep_days: How long answers are kept; a question that nobody answered is gone after a day.
        now_ms: Unix time in ms.
    """

    store: Store
    keep_days: int
    now_ms: Callable[[], int]
    _together: Together = field(init=False, repr=False, compare=False)
    _lately: OrderedDict[str, Question] = field(init=False, repr=False, compare=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        """Begin with nothing that waits to be written."""
        object.__setattr__(self, "_together", Together(self.store))

    @property
    def sealing(self) -> Sealing:
        """Opens and seals rows."""
        return Sealing.of(self.store)

    # ------------------------------------------------------------ questions

    async def add(self, client_id: str, asked: Asked, lifetime_s: int) -> Made:
        """Keep a new question.

        Args:
            client_id: Whose.
            asked: What.
            lifetime_s: How long it can be answered.
        """
        now_ms, identifier, token, text = self.now_ms(), new_id(), new_token(), asked.to_text()
        row = {
            "id": identifier,
            "client_id": client_id,
            "token_digest": token_digest(token),
            "state": OPEN,
            "asked": self.sealing.seal(identifier, "asked", text),
            "entry": NO_ENTRY,
            "notice_tries": 0,
            "created_ms": now_ms,
            "expires_ms": now_ms + lifetime_s * 1000,
            "gone_ms": now_ms + lifetime_s * 1000 + DAY_MS,  # one that nobody answers: strangers begin log-ins
        }

        def write(session: Session) -> None:
            session.connection().execute(_INSERT, row)

        question = Question(identifier, client_id, asked, OPEN, now_ms, now_ms + lifetime_s * 1000)
        if asked.kind != CARD or len(text) > LATELY_CHARACTERS_MAX:
            await self._together.write(write)
            return Made(question, token)
        self._together.later(write)  # a crash here loses a challenge: whoever holds the card asks for another one
        self._lately[identifier] = question
        if len(self._lately) > LATELY_MAX:
            self._lately.popitem(last=False)
        return Made(question, token)

    def lately(self, client_id: str, identifier: str) -> Question | None:
        """A program's own challenge that this process made a moment ago, as it was then: open.

        Whether it still is, the store decides when it is answered (`take`): another process may have ended it.
        """
        found = self._lately.get(identifier)
        return found if found is not None and found.client_id == client_id else None

    async def find(self, client_id: str, identifier: str) -> Question:
        """A program's own question, as it stands in the store.

        Raises:
            Problem: It has none of this id.
        """
        if identifier in self._lately:
            await self._together.written()
        return await run_in_threadpool(self.by_id, client_id, identifier)

    def by_token(self, token: str) -> Question | None:
        """A question by the address that a wallet has; blocks."""
        with self.store.read() as session:
            row = session.connection().execute(_BY_TOKEN, {"digest": token_digest(token)}).one_or_none()
        return None if row is None else self._question(row)

    def by_id(self, client_id: str, identifier: str) -> Question:
        """A program's own question; blocks.

        Raises:
            Problem: It has none of this id.
        """
        with self.store.read() as session:
            row = session.connection().execute(_BY_ID, {"id": identifier}).one_or_none()
        if row is None or row.client_id != client_id:
            raise Problem(UNKNOWN)
        return self._question(row)

    def answer(self, identifier: str) -> tuple[str, bytes | None]:
        """The signed answer, "" while there is none, and the digest of the code that the citizen brought; blocks."""
        with self.store.read() as session:
            row = session.connection().execute(_ANSWER, {"id": identifier}).one_or_none()
        if row is None or row.state not in {ANSWERED, REFUSED}:
            return "", None
        return self.sealing.open(identifier, "answer", row.answer) or "", row.code_digest

    def cancel(self, identifier: str) -> bool:
        """End an open question; False: it was not open any more. Blocks."""
        with self.store.write() as session:
            found = update(Verification).where(Verification.id == identifier, Verification.state == OPEN)
            return _changed(session.execute(found.values(state=CANCELLED)))

    def is_open(self, question: Question) -> bool:
        """Whether it can be answered now."""
        return question.state == OPEN and self.now_ms() < question.expires_ms

    # ------------------------------------------------------------ answers

    async def take(self, identifier: str, values: Mapping[str, object]) -> bool:
        """Write an answer to an open question; of two at once one takes it.

        Args:
            identifier: Which question.
            values: Of the row's columns.
        """
        self._lately.pop(identifier, None)
        now_ms = self.now_ms()
        values = {"which": identifier, "now_ms": now_ms, "gone_ms": now_ms + self.keep_days * DAY_MS, **values}

        def write(session: Session) -> bool:
            return _changed(session.connection().execute(_TAKE, values))

        return await self._together.write(write)

    def let_out(
        self, identifier: str, access: Access, opening: Mapping[str, str], entry: JsonObject, sign: Sign
    ) -> tuple[str, JsonObject] | None:
        """Note that an answer's entry is written, and let it be told; blocks.

        Args:
            identifier: Which question.
            access: The entry.
            opening: Shows the entry behind the commitment in the answer.
            entry: What the answer says of it.
            sign: Signs it.

        Returns:
            The signed answer and what it says; None if it went out before, or waits no longer.
        """
        with self.store.write() as session:
            row = session.get(Verification, identifier, with_for_update=True)
            if row is None or row.entry != WANTED:
                return None
            row.entry = WRITTEN
            kept = json.loads(access_text(access)) | {"opening": dict(opening)}
            row.access = self.sealing.seal(identifier, "access", json.dumps(kept, ensure_ascii=False))
            if row.state != RECORDING:
                return None  # an emergency's answer went out before
            text = self.sealing.open(identifier, "answer", row.answer)
            assert text is not None, "it waits"
            claims = parse(text.encode(), size_max=TEXT_BYTES_MAX, depth_max=16)
            assert isinstance(claims, dict), "we wrote it"
            claims |= {"entry": entry}
            answer = sign(claims)
            row.answer = self.sealing.seal(identifier, "answer", answer)
            row.state = ANSWERED
            if self._asked(row.id, row.asked).notify_url:
                row.notice_due_ms = self.now_ms()
            return answer, claims

    # ------------------------------------------------------------ upkeep

    def give_up(self) -> None:
        """Drop answers that nobody can be given, with what they say; blocks. An emergency's entry is never given up."""
        with self.store.write() as session:
            late = update(Verification).where(
                Verification.entry == WANTED,
                Verification.state == RECORDING,
                Verification.created_ms < self.now_ms() - RECORDING_MS_MAX,
            )
            session.execute(late.values(state=CANCELLED, entry=NO_ENTRY, answer=None, access=None, presented=None))

    def unfinished(self) -> list[tuple[str, str, Access]]:
        """Answers whose entries were not written: id, client's id, entry; some of them, drawn. Blocks."""
        with self.store.read() as session:
            query = select(Verification).where(
                Verification.entry == WANTED, Verification.created_ms < self.now_ms() - UNFINISHED_MS
            )
            rows = session.scalars(query.order_by(func.random()).limit(TICK_ROWS_MAX)).all()
            found = []
            for row in rows:
                text = self.sealing.open(row.id, "access", row.access)
                assert text is not None, "it is wanted"
                found.append((row.id, row.client_id, read_access(text)))
            return found

    def forget(self) -> None:
        """Delete what was kept for long enough, with what was sealed in it; blocks."""
        with self.store.write() as session:
            session.execute(delete(Verification).where(Verification.gone_ms <= self.now_ms()))
            session.execute(delete(VerifierLogin).where(VerifierLogin.gone_ms <= self.now_ms()))

    def _question(self, row: Row[Any]) -> Question:
        asked = self._asked(row.id, row.asked)
        return Question(row.id, row.client_id, asked, row.state, row.created_ms, row.expires_ms)

    def _asked(self, identifier: str, sealed: bytes) -> Asked:
        text = self.sealing.open(identifier, "asked", sealed)
        assert text is not None, "each question says what it asks"
        return Asked.from_text(text)


def _changed(result: Result[Any]) -> bool:
    """Whether an update found its row."""
    assert isinstance(result, CursorResult), "updates have one"
    return result.rowcount == 1
