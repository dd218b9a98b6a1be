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
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.strict_json import Json
from chain.types import sha256
from client.errors import TransportError
from identity.api.verifier import answers
from identity.api.verifier.asking import LIFETIME_S, SAME_DEVICE, Asked, checked_query, new_token, token_digest
from identity.api.verifier.cards import CardTrust
from identity.api.verifier.checking import disclosed
from identity.api.verifier.clients import Client, Known
from identity.api.verifier.dcql import BeyondPurpose, InvalidQuery
from identity.api.verifier.findings import Report
from identity.api.verifier.kept import Kept
from identity.api.verifier.outbound import NotReached, Outbound, parse_place
from identity.api.verifier.problems import ADDRESS, BEYOND, NO_ENTRIES, NO_KEY, OVER, PURPOSE, QUERY, RATE
from identity.api.verifier.questions import Concluded, Made, Question, Realm, access_text
from identity.api.verifier.registered import Access, NotRegistered, Purpose
from identity.api.verifier.tables import ANSWERED, NO_ENTRY, RECORDING, REFUSED, WANTED
from identity.api.verifier.transaction_data import Act, InvalidTransaction, Payment, encode
from identity.issuer_keys import IssuingKey, KeySet
from identity.jose import InvalidToken, JsonObject, encode_base64url
from service.problems import Problem
from service.rates import Buckets
from service.store import Store

__all__ = ["Concluded", "Made", "Question", "Realm", "Verifier"]

log = structlog.get_logger(__name__)

CALLERS_MAX: Final = 4_096
"""Programs whose rate is remembered."""
ENTRY_S_MAX: Final = 15
"""For how long a wallet waits for an entry; the answer itself waits on."""
CONSENT_REASON: Final = "the purpose needs the citizen's consent, which only credentials can show: ask with a query"

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
    kept: Kept = field(init=False)
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        """Look after the questions of this store, and know its programs."""
        object.__setattr__(self, "kept", Kept(self.store, self.keep_days, self.now_ms))
        object.__setattr__(self, "known", Known(self.store, self.now_ms))

    @property
    def now_s(self) -> int:
        """Unix time in s."""
        return self.now_ms() // 1000

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

    async def purpose(
        self, client: Client, number: int, browser: str = "", *, is_for_credentials: bool = False
    ) -> Purpose:
        """A purpose of a relying party that counts now; takes one of its requests.

        Args:
            client: Who asks.
            number: For what.
            is_for_credentials: Whether credentials answer, with which alone a consent can be shown.
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
        if purpose.needs_consent and not is_for_credentials:
            raise Problem(PURPOSE, members={"reason": CONSENT_REASON})
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
        confirmed: Payment | Act | None = None,
    ) -> Made:
        """Make a question.

        Args:
            client: Who asks.
            asked: What, but for its query.
            query: DCQL as it came; not looked at if `is_card_alone`.
            lifetime_s: How long it can be answered.
            is_card_alone: Whether a card answers without a credential, which discloses nothing.
            browser: See `purpose`.
            confirmed: What the holder confirms with a credential; None: nothing.

        Raises:
            Problem: It goes beyond the purpose, an address is not the program's own, or nothing can be recorded.
            TransportError: Nobody answers for the ledger.
        """
        self.key()
        purpose = await self.purpose(client, asked.purpose, browser, is_for_credentials=not is_card_alone)
        self._check_addresses(client, asked)
        if not is_card_alone:
            realm = self.realm_of(client)
            if realm.needs_entries and realm.recorder is None:
                raise Problem(NO_ENTRIES)
            asked = _with_confirmed(_with_query(asked, query, purpose), confirmed)
        return await self.kept.add(client.id, asked, lifetime_s)

    def _check_addresses(self, client: Client, asked: Asked) -> None:
        for url in filter(None, (asked.return_url, asked.notify_url, asked.origin)):
            try:
                origin = parse_place(url).origin
            except NotReached:
                raise Problem(ADDRESS) from None
            if origin not in client.origins:
                raise Problem(ADDRESS)

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
            claims |= {"entry": {"state": "none" if access is None else "queued"}}
            text = self.signed(client, claims)
        sealing = self.kept.sealing
        values = {
            "state": RECORDING if is_waiting else ANSWERED if report.holds else REFUSED,
            "presented": sealing.seal(question.id, "presented", kept),
            "answer": sealing.seal(question.id, "answer", text),
            "access": None if access is None else sealing.seal(question.id, "access", access_text(access)),
            "entry": NO_ENTRY if access is None else WANTED,
            "code_digest": token_digest(code) if code else None,
            "notice_due_ms": self.now_ms() if question.asked.notify_url and not is_waiting else None,
        }
        if not await self.kept.take(question.id, values):
            raise Problem(OVER)
        if access is not None and is_waiting:  # a crash here leaves WANTED, and the next tick goes on
            told = await self.finish(question.id, access, client)
            return Concluded(code) if told is None else Concluded(code, *told)
        return Concluded(code, text, claims)

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

    async def finish(self, identifier: str, access: Access, client: Client) -> tuple[str, JsonObject] | None:
        """Write an answer's entry, then let the answer out. What could not be written the next tick tries again.

        Returns:
            The signed answer and what it says, if it came out here.
        """
        recorder = self.realm_of(client).recorder
        assert recorder is not None, "it was there when the entry became due"
        try:
            async with asyncio.timeout(ENTRY_S_MAX):
                recorded = await recorder.record(access)
        except TimeoutError:
            log.warning("verifier.entry-waits", code="timeout")
            return None
        except (TransportError, LedgerError) as error:
            log.warning("verifier.entry-waits", code=error.code)
            return None
        salt = secrets.token_bytes(32)
        opening = {"salt": salt.hex(), "slot": recorded.slot.hex(), "receipt": encode_base64url(recorded.receipt)}
        commitment = sha256(b"zhixin/verifier/entry\x00" + salt + recorded.slot).hex()
        entry: JsonObject = {"state": "written", "commitment": commitment}
        sign = partial(self.signed, client)
        return await run_in_threadpool(self.kept.let_out, identifier, access, opening, entry, sign)

    def _access(self, question: Question, purpose: Purpose, report: Report) -> Access:
        return Access(
            question.id,
            report.slot,
            purpose.relying_party,
            purpose.id,
            disclosed(question.asked.parsed, report.claims),
            self.now_ms(),
            purpose.is_emergency,
        )


def _with_query(asked: Asked, query: Json, purpose: Purpose) -> Asked:
    """A question with its query.

    Raises:
        Problem: Malformed, or beyond the purpose.
    """
    try:
        return replace(asked, query=checked_query(query, purpose))
    except InvalidQuery as error:
        kind = BEYOND if isinstance(error, BeyondPurpose) else QUERY
        faults = error.faults if isinstance(error, BeyondPurpose) else (error,)
        raise Problem(kind, members={"errors": [_fault(one) for one in faults]}) from None


def _fault(error: InvalidQuery) -> dict[str, str]:
    """What is wrong with a query, and with which claim of it if one is meant: the asker's own words."""
    told = {"where": error.where[:_REASON_CHARACTERS], "what": error.reason[:_REASON_CHARACTERS]}
    return told | {"claim": error.claim[:_REASON_CHARACTERS]} if error.claim else told


def _with_confirmed(asked: Asked, confirmed: Payment | Act | None) -> Asked:
    """A question with what its holder confirms.

    Raises:
        Problem: No wallet can show it as it is.
    """
    if confirmed is None:
        return asked
    try:
        return replace(asked, transaction=encode(confirmed, [one.id for one in asked.parsed.credentials]))
    except InvalidTransaction as error:
        where = "payment" if isinstance(confirmed, Payment) else "act"
        raise Problem(QUERY, members={"errors": [{"where": where, "what": str(error)}]}) from None
