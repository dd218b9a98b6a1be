# SPDX-License-Identifier: Apache-2.0
"""The verifier itself: questions are made, answered once, recorded, and told.

    open --wallet or card answers, something failed--> refused
    open --it held, an entry is due--> recording --the ledger has the entry--> answered
    open --it held, no entry is due, or the purpose is an emergency's--> answered

What a crash leaves: an answer whose entry is due stands in the store before the entry is written, so the next tick goes
on with it; nobody is told before. An entry that is written twice stands once. A purpose for emergencies is answered
first, and its entry is written as soon as the ledger takes it.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from sqlalchemy import CursorResult, Result, delete, func, select, update
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.strict_json import Json, parse
from chain.types import sha256
from client.errors import TransportError
from identity.api.verifier import answers
from identity.api.verifier.asking import (
    LIFETIME_S,
    SAME_DEVICE,
    Asked,
    checked_query,
    new_token,
    token_digest,
)
from identity.api.verifier.cards import CardTrust
from identity.api.verifier.clients import Client
from identity.api.verifier.dcql import BeyondPurpose, InvalidQuery
from identity.api.verifier.findings import Report
from identity.api.verifier.outbound import NotReached, Outbound, parse_place
from identity.api.verifier.problems import (
    ADDRESS,
    BEYOND,
    NO_ENTRIES,
    NO_KEY,
    OVER,
    PURPOSE,
    QUERY,
    RATE,
    UNKNOWN,
)
from identity.api.verifier.questions import Concluded, Made, Question, Realm, access_text, read_access
from identity.api.verifier.registered import Access, NotRegistered, Purpose
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
from identity.issuer_keys import IssuingKey, KeySet
from identity.jose import InvalidToken, JsonObject, encode_base64url
from service.problems import Problem
from service.rates import Buckets
from service.store import Store, new_id

__all__ = ["Concluded", "Made", "Question", "Realm", "Verifier"]

log = structlog.get_logger(__name__)

DAY_MS: Final = 86_400_000
CALLERS_MAX: Final = 4_096
"""Programs whose rate is remembered."""
TICK_ROWS_MAX: Final = 100
"""Entries and notices that one tick looks after."""
ENTRY_S_MAX: Final = 15
"""For how long a wallet waits for an entry; the answer itself waits on."""
UNFINISHED_MS: Final = 10_000
"""An answer that has waited so long for its entry lost whoever wrote it."""
RECORDING_MS_MAX: Final = 3_600_000
"""An answer whose entry can't be written for an hour is given to nobody; whoever asked has long gone on."""

_TEXT_BYTES_MAX = 1024 * 1024
_REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Verifier:
    """The service.

    Attributes:
        store: Where questions stand.
        keys: Sign requests and answers.
        origin: Public, such as "https://verifier.example.org".
        realm: For real people.
        sandbox: For made-up ones; None: there is no sandbox.
        cards: Card authorities that count; None: no cards.
        outbound: Sends notices.
        keep_days: How long answers are kept.
        now_ms: Unix time in ms.
        rates: Requests of each purpose.
    """

    store: Store
    keys: KeySet
    origin: str
    realm: Realm
    sandbox: Realm | None
    cards: CardTrust | None
    outbound: Outbound
    keep_days: int
    now_ms: Callable[[], int]
    rates: dict[int, Buckets] = field(default_factory=dict)

    @property
    def now_s(self) -> int:
        """Unix time in s."""
        return self.now_ms() // 1000

    @property
    def sealing(self) -> Sealing:
        """Opens and seals rows."""
        return Sealing.of(self.store)

    def key(self) -> IssuingKey:
        """The key that signs now.

        Raises:
            Problem: None does.
        """
        try:
            return self.keys.current(self.now_s)
        except InvalidToken:
            raise Problem(NO_KEY) from None

    def realm_of(self, client: Client) -> Realm:
        """Real people, or made-up ones.

        Raises:
            Problem: A sandbox's program at a verifier without one.
        """
        if not client.is_sandbox:
            return self.realm
        if self.sandbox is None:
            raise Problem(PURPOSE)
        return self.sandbox

    # ------------------------------------------------------------ asking

    async def purpose(self, client: Client, number: int, browser: str = "") -> Purpose:
        """A purpose of a relying party that counts now; takes one of its requests.

        Args:
            client: Who asks.
            number: For what.
            browser: The address that a log-in came from; it has a rate of its own, for anybody knows a client's id.

        Raises:
            Problem: There is none, or it asks too often.
            TransportError: Nobody answers for the ledger.
        """
        directory = self.realm_of(client).directory
        if directory is None:
            raise Problem(NO_ENTRIES)
        try:
            purpose = await directory.purpose(client.relying_party, number)
        except NotRegistered as error:
            raise Problem(PURPOSE, members={"reason": error.reason[:_REASON_CHARACTERS]}) from None
        per_second = max(1, purpose.per_second_max)
        buckets = self.rates.setdefault(per_second, Buckets(per_second, 2 * per_second, CALLERS_MAX))
        wait_s = buckets.take(f"{client.relying_party}/{number}/{browser}", self.now_ms())
        if wait_s:
            raise Problem(RATE, {"seconds": wait_s}, headers={"Retry-After": str(wait_s)})
        return purpose

    async def ask(
        self,
        client: Client,
        asked: Asked,
        query: Json,
        *,
        lifetime_s: int = LIFETIME_S,
        is_card_alone: bool = False,
        browser: str = "",
    ) -> Made:
        """Make a question.

        Args:
            client: Who asks.
            asked: What, but for its query.
            query: DCQL as it came; not looked at if `is_card_alone`.
            lifetime_s: How long it can be answered.
            is_card_alone: Whether a card answers without a credential, which discloses nothing.
            browser: See `purpose`.

        Raises:
            Problem: It goes beyond the purpose, an address is not the program's own, or nothing can be recorded.
            TransportError: Nobody answers for the ledger.
        """
        self.key()
        purpose = await self.purpose(client, asked.purpose, browser)
        self._check_addresses(client, asked)
        if not is_card_alone:
            realm = self.realm_of(client)
            if realm.needs_entries and realm.recorder is None:
                raise Problem(NO_ENTRIES)
            asked = _with_query(asked, query, purpose)
        return await run_in_threadpool(self._insert, client, asked, lifetime_s)

    def _check_addresses(self, client: Client, asked: Asked) -> None:
        for url in filter(None, (asked.return_url, asked.notify_url, asked.origin)):
            try:
                origin = parse_place(url).origin
            except NotReached:
                raise Problem(ADDRESS) from None
            if origin not in client.origins:
                raise Problem(ADDRESS)

    def _insert(self, client: Client, asked: Asked, lifetime_s: int) -> Made:
        now_ms, identifier, token = self.now_ms(), new_id(), new_token()
        row = Verification(
            id=identifier,
            client_id=client.id,
            token_digest=token_digest(token),
            state=OPEN,
            asked=self.sealing.seal(identifier, "asked", asked.to_text()),
            entry=NO_ENTRY,
            notice_tries=0,
            created_ms=now_ms,
            expires_ms=now_ms + lifetime_s * 1000,
            gone_ms=now_ms + self.keep_days * DAY_MS,
        )
        with self.store.write() as session:
            session.add(row)
        return Made(Question(identifier, client.id, asked, OPEN, now_ms, now_ms + lifetime_s * 1000), token)

    # ------------------------------------------------------------ looking

    def by_token(self, token: str) -> Question | None:
        """A question by the address that a wallet has; blocks."""
        with self.store.read() as session:
            row = session.scalar(select(Verification).where(Verification.token_digest == token_digest(token)))
            return None if row is None else self._question(row)

    def by_id(self, client: Client, identifier: str) -> Question:
        """A program's own question; blocks.

        Raises:
            Problem: It has none of this id.
        """
        with self.store.read() as session:
            row = session.get(Verification, identifier)
            if row is None or row.client_id != client.id:
                raise Problem(UNKNOWN)
            return self._question(row)

    def answer(self, identifier: str) -> tuple[str, bytes | None]:
        """The signed answer, "" while there is none, and the digest of the code that the citizen brought; blocks."""
        with self.store.read() as session:
            row = session.get(Verification, identifier)
            if row is None or row.state not in {ANSWERED, REFUSED}:
                return "", None
            return self.sealing.open(row.id, "answer", row.answer) or "", row.code_digest

    def cancel(self, identifier: str) -> bool:
        """End an open question; False: it was not open any more. Blocks."""
        with self.store.write() as session:
            found = update(Verification).where(Verification.id == identifier, Verification.state == OPEN)
            return _changed(session.execute(found.values(state=CANCELLED)))

    def is_open(self, question: Question) -> bool:
        """Whether it can be answered now."""
        return question.state == OPEN and self.now_ms() < question.expires_ms

    def _question(self, row: Verification) -> Question:
        text = self.sealing.open(row.id, "asked", row.asked)
        assert text is not None, "each question says what it asks"
        return Question(row.id, row.client_id, Asked.from_text(text), row.state, row.created_ms, row.expires_ms)

    # ------------------------------------------------------------ concluding

    async def conclude(
        self, question: Question, client: Client, purpose: Purpose, report: Report, presented: Json
    ) -> Concluded:
        """Keep an answer, write its entry, and let it be told. The first of two answers counts.

        Args:
            question: Which was open.
            client: Whose.
            purpose: For what.
            report: What was found.
            presented: As it came; it stays here, sealed.

        Raises:
            Problem: Somebody answered before, or entries can't be written here.
        """
        realm = self.realm_of(client)
        access = self._access(question, purpose, report) if realm.needs_entries and report.discloses else None
        if access is not None and realm.recorder is None:
            raise Problem(NO_ENTRIES)
        code = new_token() if question.asked.flow == SAME_DEVICE else ""
        claims = self.claims(client, question.asked, report, question.id, purpose)
        is_waiting = access is not None and not purpose.is_emergency
        kept = json.dumps({"presented": presented}, ensure_ascii=False)
        if is_waiting:
            text = json.dumps(claims, ensure_ascii=False)
        else:
            entry: JsonObject = {"state": "none" if access is None else "queued"}
            text = self.signed(client, claims | {"entry": entry})
        values = {
            "state": RECORDING if is_waiting else ANSWERED if report.holds else REFUSED,
            "presented": self.sealing.seal(question.id, "presented", kept),
            "answer": self.sealing.seal(question.id, "answer", text),
            "access": None if access is None else self.sealing.seal(question.id, "access", access_text(access)),
            "entry": NO_ENTRY if access is None else WANTED,
            "code_digest": token_digest(code) if code else None,
            "notice_due_ms": self.now_ms() if question.asked.notify_url and not is_waiting else None,
        }
        if not await run_in_threadpool(self._take, question.id, values):
            raise Problem(OVER)
        if access is not None and is_waiting:  # a crash here leaves WANTED, and the next tick goes on
            await self.finish(question.id, access, client)
        return Concluded(code, "" if is_waiting else text)

    def claims(
        self, client: Client, asked: Asked, report: Report, identifier: str, purpose: Purpose | None
    ) -> JsonObject:
        """What an answer says, but for its entry."""
        registration: list[Json] = []
        if purpose is not None and purpose.receipt:
            registration = [{"of": "registration", "receipt": encode_base64url(purpose.receipt)}]
        told = report.to_json()
        receipts = told["receipts"]
        assert isinstance(receipts, list), "we made it"
        return {
            "iss": self.origin,
            "aud": client.relying_party,
            "jti": identifier,
            "iat": self.now_s,
            "kind": asked.kind,
            "purpose": asked.purpose,
            "nonce": asked.nonce,
            **told,
            "receipts": [*receipts, *registration],
        }

    def signed(self, client: Client, claims: JsonObject) -> str:
        """The signed answer.

        Raises:
            Problem: No key signs now.
        """
        return answers.sign_answer(claims, self.key(), is_sandbox=client.is_sandbox)

    async def finish(self, identifier: str, access: Access, client: Client) -> bool:
        """Write an answer's entry, then let the answer out.

        Returns:
            Whether it is written; otherwise the next tick tries again.
        """
        recorder = self.realm_of(client).recorder
        assert recorder is not None, "it was there when the entry became due"
        try:
            async with asyncio.timeout(ENTRY_S_MAX):
                recorded = await recorder.record(access)
        except TimeoutError:
            log.warning("verifier.entry-waits", code="timeout")
            return False
        except (TransportError, LedgerError) as error:
            log.warning("verifier.entry-waits", code=error.code)
            return False
        salt = secrets.token_bytes(32)
        opening = {"salt": salt.hex(), "slot": recorded.slot.hex(), "receipt": encode_base64url(recorded.receipt)}
        commitment = sha256(b"zhixin/verifier/entry\x00" + salt + recorded.slot).hex()
        await run_in_threadpool(self._let_out, identifier, client, access, opening, commitment)
        return True

    def _let_out(
        self, identifier: str, client: Client, access: Access, opening: Mapping[str, str], commitment: str
    ) -> None:
        with self.store.write() as session:
            row = session.get(Verification, identifier, with_for_update=True)
            if row is None or row.entry != WANTED:
                return
            row.entry = WRITTEN
            kept = json.loads(access_text(access)) | {"opening": dict(opening)}
            row.access = self.sealing.seal(identifier, "access", json.dumps(kept, ensure_ascii=False))
            if row.state != RECORDING:
                return  # an emergency's answer went out before
            text = self.sealing.open(identifier, "answer", row.answer)
            assert text is not None, "it waits"
            claims = parse(text.encode(), size_max=_TEXT_BYTES_MAX, depth_max=16)
            assert isinstance(claims, dict), "we wrote it"
            entry: JsonObject = {"state": "written", "commitment": commitment}
            row.answer = self.sealing.seal(identifier, "answer", self.signed(client, claims | {"entry": entry}))
            row.state = ANSWERED
            if self._question(row).asked.notify_url:
                row.notice_due_ms = self.now_ms()

    def _access(self, question: Question, purpose: Purpose, report: Report) -> Access:
        names = {
            f"{vct.split(':')[-2]}/{name}"
            for one in question.asked.parsed.credentials
            for vct in one.types
            for name in report.claims.get(one.id, {})
        }
        return Access(
            question.id,
            report.slot,
            purpose.relying_party,
            purpose.id,
            tuple(sorted(names)),
            self.now_ms(),
            purpose.is_emergency,
        )

    def _take(self, identifier: str, values: Mapping[str, object]) -> bool:
        """Of two answers at once one takes the question."""
        with self.store.write() as session:
            found = update(Verification).where(
                Verification.id == identifier, Verification.state == OPEN, Verification.expires_ms > self.now_ms()
            )
            return _changed(session.execute(found.values(**values)))

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


def _with_query(asked: Asked, query: Json, purpose: Purpose) -> Asked:
    """A question with its query.

    Raises:
        Problem: Malformed, or beyond the purpose.
    """
    try:
        return replace(asked, query=checked_query(query, purpose))
    except InvalidQuery as error:
        kind = BEYOND if isinstance(error, BeyondPurpose) else QUERY
        faults = [{"where": error.where[:_REASON_CHARACTERS], "what": error.reason[:_REASON_CHARACTERS]}]
        raise Problem(kind, members={"errors": faults}) from None


def _changed(result: Result[Any]) -> bool:
    """Whether an update found its row."""
    assert isinstance(result, CursorResult), "updates have one"
    return result.rowcount == 1
