# SPDX-License-Identifier: Apache-2.0
"""A verifier over its public interface: a method is a request or a few; each answer is checked before it is given.

Questions are made under an idempotency key, so that a request which is sent again after a broken connection makes no
second question.
"""

import secrets
import time
from base64 import b64encode
from dataclasses import asdict, dataclass
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Self

import httpx

from zhixin_rp.answers import Act, Answer, Forged, Payment, Root

NATURAL_PERSON: Final = "urn:imi:cn-gd-fs-chancheng:natural-person:1"
TIMEOUT_S: Final = 30.0
"""An answer waits for its access entry on the ledger."""
POLL_S: Final = 1.0
TRIES_MAX: Final = 3


class Refused(Exception):
    """The verifier refuses a request.

    Its text says all that the verifier said, in the language that `Verifier` was given.

    Attributes:
        code: Stable, such as "verifier.beyond-purpose"; docs/service-codes.md explains it. "unknown": whoever answered
            is no verifier.
        status: The HTTP status.
        errors: What is wrong with the request and where: each has `where`, the place in the query, and `what`; `claim`,
            such as "birthdate", where it is about one claim. Empty: the code says it all.
        document: The whole problem document.
    """

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.code = str(document.get("code", "unknown"))
        self.status = status
        self.errors = _errors(document)
        self.document = document
        super().__init__(self._text())

    def _text(self) -> str:
        if "code" not in self.document:
            return f"HTTP {self.status} without a reason: what answered there is no verifier"
        words = [str(self.document.get(name, "")) for name in ("title", "detail", "reason")]
        faults = "; ".join(
            f"{' '.join(filter(None, (one['where'], one.get('claim'))))}: {one['what']}" for one in self.errors
        )
        said = " – ".join(word for word in words if word)
        return f"{self.code}: {said}{f' ({faults})' if faults else ''}"


class Unreachable(Exception):
    """The verifier did not answer: a wrong address, no verifier there, a broken connection, an unknown certificate.

    What creates a question was sent several times already, which made one question at most. Of anything else nobody
    knows whether it arrived; a code of a phone that was being checked may have been used up.

    Attributes:
        address: The verifier's.
    """

    def __init__(self, address: str, error: httpx.TransportError) -> None:
        self.address = address
        why = str(error) or type(error).__name__
        super().__init__(
            f"no answer from the verifier at {address}: {why}. See whether the address is right and the verifier runs "
            f"({address}/ready says so), then try again"
        )


class NotAnswered(Exception):
    """The citizen did not answer in time, or the question was cancelled."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that waits for a wallet.

    Attributes:
        id: Its own.
        nonce: Which the answer repeats.
        wallet_link: For a QR code, or a link on the same device.
        qr: Address of the QR code as an SVG image.
        expires_ms: Until when it can be answered, Unix time in ms.
        payment: What the holder confirms by answering; None: no payment.
        act: What the holder does by answering; None: nothing.
    """

    id: str
    nonce: str
    wallet_link: str
    qr: str
    expires_ms: int
    payment: Payment | None = None
    act: Act | None = None


@dataclass(frozen=True, slots=True)
class CardChallenge:
    """A challenge that waits for a card.

    Attributes:
        id: Its own.
        nonce: Which the answer repeats.
        challenge: Which the card signs, with the origin.
        origin: Of the page that shows it.
    """

    id: str
    nonce: str
    challenge: str
    origin: str


def person(*claims: str, name: str = "person") -> dict[str, Any]:
    """A query for claims of a natural person.

    Args:
        claims: At the top of the credential, such as "age_over_18".
        name: Under which the answer has them.
    """
    credential: dict[str, Any] = {
        "id": name,
        "format": "dc+sd-jwt",
        "meta": {"vct_values": [NATURAL_PERSON]},
    }
    return {"credentials": [credential | ({"claims": [{"path": [claim]} for claim in claims]} if claims else {})]}


class Verifier:
    """A verifier; use it as a context manager, or close it.

    Each method that asks it raises `Refused`, and `Unreachable` where nobody answers.

    Args:
        url: Its origin.
        key: Your program's, "zxv_…" ("zxt_…" for the sandbox).
        relying_party: Your organisation's id on the ledger.
        root: The verifier's own certificate, DER.
        certificate: Files of a client certificate and its key, if yours goes with one.
        language: Of the words in refusals, "en" or "zh-CN"; codes are the same in both.
        transport: Another way to send requests, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        relying_party: str,
        root: bytes,
        certificate: tuple[str, str] | None = None,
        language: str = "en",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.root = Root(root)
        self.relying_party = relying_party
        self._is_sandbox = key.startswith("zxt_")
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json", "Accept-Language": language},
            timeout=TIMEOUT_S,
            follow_redirects=False,
            cert=certificate,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ask(
        self,
        purpose: int,
        query: dict[str, Any],
        *,
        payment: Payment | None = None,
        act: Act | None = None,
        **more: Any,
    ) -> Question:
        """Ask a citizen's wallet.

        Args:
            purpose: The purpose's number on the ledger.
            query: DCQL; `person` makes simple ones.
            payment: What the holder confirms by answering, in the words that their wallet shows; None: no payment.
            act: What the holder does by answering, likewise; not beside a payment; None: nothing.
            more: `flow`, `return_url`, `notify_url`, `lifetime_s`: see the guide.

        Raises:
            Refused: It goes beyond the purpose, or the verifier can't ask now.
        """
        nonce = secrets.token_urlsafe(24)
        body = {"purpose": purpose, "query": query, "nonce": nonce, **more}
        if payment is not None:
            body["payment"] = asdict(payment)
        if act is not None:
            body["act"] = {name: said for name, said in asdict(act).items() if said}
        made = self._post("/v1/verifications", body, once=True)
        qr = self._url + made["qr"]
        return Question(made["id"], nonce, made["wallet_link"], qr, made["expires_ms"], payment, act)

    def look(self, question: Question, response_code: str | None = None) -> Answer | None:
        """The answer, if there is one.

        Args:
            question: As `ask` made it.
            response_code: With which the citizen came back, for questions on the same device.

        Raises:
            NotAnswered: There will be none.
            Refused: The code is missing or wrong.
            Forged: The answer is not the verifier's.
        """
        parameters = {} if response_code is None else {"response_code": response_code}
        found = self._checked(self._sent("GET", f"/v1/verifications/{question.id}", params=parameters))
        if found["state"] in {"expired", "cancelled"}:
            raise NotAnswered(found["state"])
        return None if found["answer"] is None else self._answered(question, found["answer"])

    def wait(self, question: Question, *, timeout_s: float = 300.0) -> Answer:
        """Wait for the answer.

        Raises:
            NotAnswered: There was none in time.
            Forged: The answer is not the verifier's.
        """
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            found = self.look(question)
            if found is not None:
                return found
            time.sleep(POLL_S)
        raise NotAnswered("timeout")

    def cancel(self, question: Question) -> None:
        """End a question that nobody answered."""
        response = self._sent("DELETE", f"/v1/verifications/{question.id}")
        if not response.is_success:
            self._checked(response)

    def answer_in_sandbox(self, question: Question, person: str = "adult") -> Answer:
        """Have a made-up person answer: "adult", "minor" or "revoked".

        Raises:
            Refused: Your key is none of the sandbox.
        """
        found = self._post(f"/v1/sandbox/verifications/{question.id}/answer", {"person": person})
        return self._answered(question, found["answer"])

    def challenge_card(self, purpose: int, origin: str, query: dict[str, Any] | None = None) -> CardChallenge:
        """Make a challenge for a card.

        Args:
            purpose: The purpose's number on the ledger.
            origin: Of your page that shows it.
            query: What a credential bound to the card is to disclose; None: the card alone.
        """
        nonce = secrets.token_urlsafe(24)
        body = {"purpose": purpose, "origin": origin, "query": query, "nonce": nonce}
        made = self._post("/v1/card-logins", body, once=True)
        return CardChallenge(made["id"], nonce, made["challenge"], made["origin"])

    def answer_card(
        self, challenge: CardChallenge, token: dict[str, Any], presented: dict[str, str] | None = None
    ) -> Answer:
        """Hand over what the card signed.

        Args:
            challenge: As `challenge_card` made it.
            token: Web eID's, from the browser.
            presented: Credentials bound to the card, by id of the query.
        """
        body = {"token": token, "presented": presented}
        found = self._post(f"/v1/card-logins/{challenge.id}/answer", body)
        if found["answer"] is None:  # the entry is on its way to the ledger
            return self.wait(Question(challenge.id, challenge.nonce, "", "", 0))
        return self._answer(found["answer"], challenge.nonce)

    def check_signatures(self, purpose: int, signatures: list[tuple[bytes, bytes, bytes]]) -> Answer:
        """Check signatures of cards.

        Args:
            purpose: The purpose's number on the ledger.
            signatures: Each a document, the certificate (DER) and the signature (r || s, or DER).
        """
        listed = [
            {
                "document_sha256": sha256(document).hexdigest(),
                "certificate": b64encode(certificate).decode(),
                "signature": b64encode(signature).decode(),
            }
            for document, certificate, signature in signatures
        ]
        return self._direct("/v1/signatures/check", purpose, {"signatures": listed})

    def check_code(self, purpose: int, code: str) -> Answer:
        """Check an offline code that somebody shows."""
        return self._direct("/v1/offline-codes/check", purpose, {"code": code})

    def check_mandate(self, purpose: int, mandate: str, **act: Any) -> Answer:
        """May she act?

        Args:
            purpose: The purpose's number on the ledger.
            mandate: The record's id in hex.
            act: `scope`, `power`, `amount_fen`, `legal_person`.
        """
        return self._direct("/v1/mandates/check", purpose, {"mandate": mandate, **act})

    def _direct(self, path: str, purpose: int, body: dict[str, Any]) -> Answer:
        nonce = secrets.token_urlsafe(24)
        found = self._post(path, {"purpose": purpose, "nonce": nonce, **body})
        return self._answer(found["answer"], nonce)

    def _answered(self, question: Question, token: str) -> Answer:
        """An answer to a question; one that held confirms the very payment or act that was asked for."""
        answer = self._answer(token, question.nonce)
        if answer.held and (answer.payment, answer.act) != (question.payment, question.act):
            raise Forged("the answer confirms something else than what was asked for")
        return answer

    def _answer(self, token: str, nonce: str) -> Answer:
        return self.root.answer(token, self.relying_party, nonce=nonce, sandbox=self._is_sandbox)

    def _post(self, path: str, body: dict[str, Any], *, once: bool = False) -> dict[str, Any]:
        headers = {"Idempotency-Key": secrets.token_urlsafe(24)} if once else {}
        for attempt in range(TRIES_MAX):
            try:
                return self._checked(self._sent("POST", path, json=body, headers=headers))
            except Unreachable:
                if not once or attempt == TRIES_MAX - 1:
                    raise
        raise AssertionError("the last try raises or returns")

    def _sent(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise Unreachable(self._url, error) from error

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not response.is_success or not isinstance(document, dict):
            raise Refused(response.status_code, document if isinstance(document, dict) else {})
        return document


def _errors(document: dict[str, Any]) -> list[dict[str, str]]:
    """A problem document's `errors`, whatever else stands there."""
    listed = document.get("errors")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [
        {"where": str(one.get("where", "")), "what": str(one.get("what", ""))}
        | ({"claim": str(one["claim"])} if "claim" in one else {})
        for one in found
    ]
