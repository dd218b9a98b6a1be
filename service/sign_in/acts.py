# SPDX-License-Identifier: Apache-2.0
"""Acts that an officer signs with the passkey or staff card itself, so that the ledger sees who did what.

A part prepares operations and says in words, in both languages, what they do. The officer's page shows the words. When
the officer agrees, the transaction's header is made, and the challenge is its digest (`service.sign_in.signing`): the
answer is a signature of exactly these operations. What was shown and what is signed are compared by a digest over both.

The service's own key may sign beside; a key's first registration is also signed by one that governs.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chain.errors import InvalidMessage, InvalidSignature, Refused
from chain.signing import Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction, build, decode, verify_signatures
from chain.types import SALT_BYTES, TRANSACTION_LIFETIME_MS_MAX, Millis, Network
from client.answers import ProvenTransaction
from service.language import LANGUAGES, Language
from service.problems import Problem
from service.sign_in import challenges, kinds
from service.sign_in.act_rows import (
    ORDINARY,
    REGISTRATION,
    Prepared,
    State,
    check_open,
    content_text,
    own_act,
    read_act,
    sweep,
)
from service.sign_in.challenges import Purpose
from service.sign_in.key_request import KeyAnswer, KeyRequest, registration
from service.sign_in.office import Office
from service.sign_in.passkeys import Answer
from service.sign_in.sessions import Officer
from service.sign_in.signing import challenge_answered, challenge_of, options_for, signature_in, verify_answer
from service.sign_in.tables import Passkey, PreparedAct
from service.store import Act

__all__ = ["ORDINARY", "REGISTRATION", "Acts", "Ledger", "Prepared", "State"]

PREPARED_MS = 30 * 60_000
"""To read it, to ask somebody, to come back."""
SENTENCES_MAX = 20
"""What fits on a page that somebody reads before signing."""
EXPIRY_MS = TRANSACTION_LIFETIME_MS_MAX - 60_000
"""From the moment of asking; a minute is left for clocks that differ."""


class Ledger(Protocol):
    """What acts need of a client of the ledger; `client.session.Session` is one."""

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A signer whose signature was made elsewhere; the blank one stands in while the header is made."""

    signer: Signer
    signature: bytes = b"\0"

    def sign(self, _message: bytes) -> bytes:
        """The signature."""
        return self.signature


@dataclass(frozen=True, slots=True)
class _Draft:
    """All that makes a header, so that the same one is made again once it is signed."""

    passkey_id: str
    expires_at_ms: int
    salt: bytes
    step: int = 0

    def encode(self) -> bytes:
        return json.dumps([self.passkey_id, self.expires_at_ms, self.salt.hex(), self.step]).encode()

    @classmethod
    def decode(cls, raw: bytes) -> "_Draft":
        passkey_id, expires_at_ms, salt, step = json.loads(raw)
        return cls(passkey_id, expires_at_ms, bytes.fromhex(salt), step)


class Acts:
    """Acts of one service's officers.

    Args:
        ledger: Where they go.
        cosigners: Keys of the service or its organisation that sign beside the officer.
    """

    def __init__(self, ledger: Ledger, cosigners: Sequence[TransactionSigner] = ()) -> None:
        self._ledger = ledger
        self._cosigners = tuple(cosigners)

    def prepare(
        self,
        office: Office,
        officer: Officer,
        operations: Sequence[Operation],
        words: Mapping[Language, Sequence[str]],
        *,
        kind: str = ORDINARY,
        passkey_id: str = "",
        request: KeyRequest | None = None,
    ) -> str:
        """Keep an act for an officer to read and sign.

        Args:
            office: Which service.
            officer: Who will sign.
            operations: What goes on the ledger.
            words: What that does, in each language; at most 20 sentences.
            kind: `REGISTRATION` where the organisation's governing key signs beside.
            passkey_id: The one passkey or card that may sign it; "": any of the officer's.
            request: Goes to the keeper of a governing key, whose answer is awaited; None: nobody else signs first.

        Returns:
            Its id, for `/acts/<id>`.

        Raises:
            Problem: Too many of the officer's acts wait for a signature.
        """
        assert operations, "an act does something"
        assert all(1 <= len(words[language]) <= SENTENCES_MAX for language in LANGUAGES), "an act is said in words"
        content = {
            "operations": [base64.b64encode(operation.raw).decode() for operation in operations],
            "words": {language: list(words[language]) for language in LANGUAGES},
            "kind": kind,
            "passkey": passkey_id,
            "request": "" if request is None else request.encode().decode(),
            "answer": "",
        }
        text = content_text(content)
        now_ms = office.now()
        row = PreparedAct(
            person_id=officer.person_id,
            staff_id=officer.staff_id,
            state=State.PREPARED,
            created_ms=now_ms,
            expires_ms=now_ms + PREPARED_MS if request is None else request.until_ms,
            code="",
        )
        with office.store.write() as session:
            sweep(office, session, officer, now_ms)
            office.store.people.seal(session, row, PreparedAct.content, text)
            session.flush()
            office.store.record(session, Act(officer.person_id, "act.prepared", row.id))
        return row.id

    def find(self, office: Office, officer: Officer, act_id: str) -> Prepared:
        """One of an officer's own acts.

        Raises:
            Problem: There is no such act of theirs.
        """
        with office.store.read() as session:
            return read_act(office, session, own_act(session, officer, act_id))

    def attach(self, office: Office, officer: Officer, act_id: str, answer: KeyAnswer) -> None:
        """Keep the answer of a governing key's keeper; it was verified.

        Raises:
            Problem: The act can no longer be signed.
        """
        with office.store.write() as session:
            row = own_act(session, officer, act_id)
            check_open(row, office.now())
            content = json.loads(office.store.people.open(session, row, PreparedAct.content) or "")
            content["answer"] = answer.encode().decode()
            office.store.people.seal(session, row, PreparedAct.content, content_text(content))
            office.store.record(session, Act(officer.person_id, "act.answered", row.id))

    def ask(self, office: Office, officer: Officer, act_id: str, shown: str) -> dict[str, Any]:
        """Make the header, and options whose challenge is its digest.

        Args:
            office: Which service.
            officer: Who signs, with the passkey or card that they signed in with.
            act_id: Which act.
            shown: The digest of what the page showed.

        Raises:
            Problem: The act is not what was shown, or can no longer be signed.
        """
        now_ms = office.now()
        with office.store.write() as session:
            row = own_act(session, officer, act_id)
            act = read_act(office, session, row)
            check_open(row, now_ms)
            if not secrets.compare_digest(act.shown.encode(), shown.encode()):
                raise Problem(kinds.ALTERED)
            passkey = session.get(Passkey, officer.passkey_id)
            if passkey is None:
                raise Problem(kinds.CONFIRM)
            if act.passkey_id not in {"", passkey.id}:
                raise Problem(kinds.OTHER_PASSKEY)
            draft = _draft(act, passkey.id, now_ms)
            blank = self._blank(act, passkey.signer, draft)
            options = options_for(office, session, passkey, blank, self._ledger.network)
            challenges.issue(
                session,
                office.service,
                Purpose.ACT,
                officer.binding,
                now_ms,
                challenge=challenge_of(blank, self._ledger.network),
                subject=act_id,
                payload=draft.encode(),
            )
        return options

    def sign(self, office: Office, officer: Officer, act_id: str, answer: Answer) -> SignedTransaction:
        """Take the officer's signature; the transaction is kept before it goes anywhere.

        Raises:
            Problem: The challenge was used or is too old; the answer does not hold; or it signs something else.
        """
        challenge = challenge_answered(answer)
        with office.store.write() as session:
            asked = challenges.take(
                session, office.service, Purpose.ACT, officer.binding, challenge, office.now(), act_id
            )
        draft = _Draft.decode(asked.payload)
        if verify_answer(office, asked.challenge, answer, officer.staff_id) != draft.passkey_id:
            raise Problem(kinds.ACT_SIGNATURE)
        with office.store.write() as session:
            row = own_act(session, officer, act_id)
            check_open(row, office.now())
            passkey = session.get(Passkey, draft.passkey_id)
            if passkey is None:
                raise Problem(kinds.REFUSED)
            act = read_act(office, session, row)
            if challenge_of(self._blank(act, passkey.signer, draft), self._ledger.network) != challenge:
                raise Problem(kinds.ALTERED)
            transaction = self._signed(act, _Made(passkey.signer, signature_in(answer)), draft)
            row.state, row.transaction = State.SIGNED, transaction.raw
            office.store.record(session, Act(officer.person_id, "act.signed", transaction.id.hex()))
        return transaction

    async def submit(self, transaction: SignedTransaction) -> ProvenTransaction | Refused:
        """Send it and wait for its receipt; the same transaction may be sent again, it executes once.

        Raises:
            TransportError: Nothing is known of it yet.
        """
        try:
            return await self._ledger.submit_one(transaction)
        except Refused as refused:
            return refused

    def settle(self, office: Office, officer: Officer, act_id: str, outcome: ProvenTransaction | Refused) -> None:
        """Write down what became of it."""
        with office.store.write() as session:
            row = own_act(session, officer, act_id)
            if isinstance(outcome, Refused):
                row.state, row.code = State.REFUSED, outcome.code[:64]
            elif outcome.failed is not None:
                row.state, row.code, row.receipt = State.REFUSED, outcome.failed.code[:64], outcome.receipt()
            else:
                row.state, row.receipt = State.DONE, outcome.receipt()
            office.store.record(session, Act(officer.person_id, f"act.{row.state}", row.id))

    def waiting(self, office: Office, officer: Officer, act_id: str) -> SignedTransaction | None:
        """The transaction of an act that was signed and whose fate is not known; None: it is known."""
        with office.store.read() as session:
            row = own_act(session, officer, act_id)
            if row.state != State.SIGNED or row.transaction is None:
                return None
            return decode(row.transaction)

    def _blank(self, act: Prepared, officer: Signer, draft: _Draft) -> SignedTransaction:
        """The transaction that every signer signs the header of, before anybody has.

        Raises:
            Problem: It is called a registration and is something else: no governing key ever signs that.
        """
        if act.kind == REGISTRATION and list(act.operations) != [registration(officer)]:
            raise Problem(kinds.ALTERED)
        stand_ins = [_Made(one.signer) for one in self._beside(act, draft)]
        return self._build(act, [_Made(officer), *stand_ins], draft)

    def _signed(self, act: Prepared, officer: _Made, draft: _Draft) -> SignedTransaction:
        made = self._build(act, [officer, *self._beside(act, draft)], draft)
        try:
            verify_signatures(made, self._ledger.network)
        except InvalidSignature:
            raise Problem(kinds.ACT_SIGNATURE) from None
        return made

    def _beside(self, act: Prepared, draft: _Draft) -> Sequence[TransactionSigner]:
        """Who signs beside the officer: whoever answered, or the keys at hand."""
        if act.answer is None:
            return self._cosigners
        return [_Made(act.answer.governor, act.answer.signatures[draft.step])]

    def _build(self, act: Prepared, signers: Sequence[TransactionSigner], draft: _Draft) -> SignedTransaction:
        try:
            return build(act.operations, signers, Millis(draft.expires_at_ms), draft.salt, self._ledger.network)
        except InvalidMessage:
            raise Problem(kinds.ACT_SIGNATURE) from None


def _draft(act: Prepared, passkey_id: str, now_ms: int) -> _Draft:
    """What makes the header: free to choose, unless a governing key has signed ahead."""
    if act.request is None:
        return _Draft(passkey_id, now_ms + EXPIRY_MS, secrets.token_bytes(SALT_BYTES))
    if act.answer is None:
        raise Problem(kinds.UNANSWERED)
    step = act.request.step_at(now_ms)
    if step is None:
        raise Problem(kinds.ACT_EXPIRED)
    return _Draft(passkey_id, act.request.expires_at_ms(step), act.request.salt(step), step)
