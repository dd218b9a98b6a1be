# SPDX-License-Identifier: Apache-2.0
"""What the holder's own phone answers: asked of a verifier, judged by the office.

The kiosk asks as a relying party. Its nonce is the digest of what is asked: the opening of a visit, or the very
statement on the screen, so that the verifier's signed answer goes with that and nothing else. What is paid, signed for
a company or stopped stands in the wallet's own words, and the holder's key signs it (`transaction_data`). The office
believes neither kiosk nor screen: it checks the answer, and by its pseudonym whose phone it was.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from chain.errors import InvalidMessage, LedgerError
from chain.genesis import Genesis
from chain.strict_json import parse
from chain.types import sha256
from identity.api.kiosk.base import SCAN_S_MAX, OfficeAway, PhoneQuestion, PhoneState
from identity.api.kiosk.statements import Kind, Statement
from identity.api.verifier.answers import check_answer
from identity.api.verifier.findings import pairwise
from identity.credentials import NATURAL_PERSON
from identity.issuer_keys import Trust
from identity.jose import encode_base64url
from service.errors import ConfigError
from service.language import translate

TIMEOUT_S: Final = 15.0
ANSWER_BYTES_MAX: Final = 1024 * 1024
"""An answer with its receipts, once as a token and once opened."""
QUERY: Final = {
    "credentials": [
        {
            "id": "person",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [NATURAL_PERSON]},
            "claims": [{"path": ["assurance_level"]}],
        }
    ]
}
"""The least that a person's credential shows: the office knows by the pseudonym who it is."""
_OVER: Final = {"refused", "cancelled", "expired"}


def nonce_of(message: bytes) -> str:
    """What ties an answer to what it answers; 43 characters."""
    return encode_base64url(sha256(message))


def payment_of(stated: Statement) -> dict[str, str]:
    """What the wallet shows of a payment."""
    assert stated.kind is Kind.PAYMENT, "payments alone go to the phone"
    fen = int(stated.fields["amount_fen"])
    return {
        "amount": f"{fen // 100}.{fen % 100:02d}",
        "currency": "CNY",
        "payee": stated.fields["payee"],
        "reference": stated.fields["reference"],
    }


def confirmed_of(stated: Statement) -> dict[str, str] | None:
    """What the wallet shows of a statement in its own words, and its holder's key signs; None: nothing."""
    fields = stated.fields
    match stated.kind:
        case Kind.PAYMENT:
            return payment_of(stated)
        case Kind.COMPANY:
            matter = translate(stated.language, "kiosk.statement.company-act")
            return {"act": "company", "subject": fields["company"], "number": fields["uscc"], "matter": matter}
        case Kind.STOP:
            return {"act": "stop-card" if fields["way"] == "card" else "stop-phone", "subject": fields["reference"]}
        case Kind.ADDRESS:
            return None


class VerifierPhones:
    """The holder's phone, by way of a verifier.

    Args:
        origin: The verifier's, such as "https://verifier.example.org".
        key: What it gave this relying party.
        purpose: Number of the purpose on the ledger, which allows `assurance_level`.
        ca_file: Certificates that its own is signed by; "": the system's.
        transport: For tests.

    Raises:
        ConfigError: The address is none, is not encrypted, or the certificates can't be read.
    """

    def __init__(
        self,
        origin: str,
        key: str,
        purpose: int,
        ca_file: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(origin)
        is_here = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if parts.path.strip("/") or (parts.scheme != "https" and not (parts.scheme == "http" and is_here)):
            raise ConfigError("kiosk.verifier is no origin; write https://host or https://host:port")
        self._origin = origin.rstrip("/")
        self._key = key
        self._purpose = purpose
        self._transport = transport
        try:
            self._verify = httpx.create_ssl_context(verify=ca_file or True)
        except OSError as error:
            raise ConfigError(f"kiosk.ca_file cannot be read: {error.strerror}") from None

    async def ask(self, message: bytes, confirmed: Mapping[str, str] | None) -> PhoneQuestion:
        """See `Phones`."""
        shown = {} if confirmed is None else {"act" if "act" in confirmed else "payment": confirmed}
        body = {
            "purpose": self._purpose,
            "query": QUERY,
            "nonce": nonce_of(message),
            "lifetime_s": SCAN_S_MAX,
            **shown,
        }
        made = await self._send("POST", "/v1/verifications", body)
        question, link = made.get("id"), made.get("wallet_link")
        if not isinstance(question, str) or not isinstance(link, str):
            raise OfficeAway("the verifier's answer is none")
        return PhoneQuestion(question, link)

    async def outcome(self, question_id: str) -> tuple[PhoneState, str]:
        """See `Phones`."""
        shown = await self._send("GET", f"/v1/verifications/{question_id}", None)
        state, answer = shown.get("state"), shown.get("answer")
        if state == "answered" and isinstance(answer, str):
            return PhoneState.CONFIRMED, answer
        return (PhoneState.DECLINED if state in _OVER else PhoneState.OPEN), ""

    async def _send(self, method: str, path: str, body: Mapping[str, object] | None) -> Mapping[str, Any]:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            async with httpx.AsyncClient(
                verify=self._verify, timeout=TIMEOUT_S, follow_redirects=False, transport=self._transport
            ) as web:
                response = await web.request(method, self._origin + path, content=content, headers=headers)
            answer: Any = parse(response.content, size_max=ANSWER_BYTES_MAX, depth_max=16)
        except (httpx.HTTPError, InvalidMessage) as error:
            raise OfficeAway(f"the verifier does not answer: {type(error).__name__}") from None
        if not response.is_success or not isinstance(answer, dict):
            raise OfficeAway(f"the verifier answers with {response.status_code}")
        return answer


@dataclass(frozen=True, slots=True)
class PhoneJudge:
    """The office's look at what a phone confirmed.

    Attributes:
        trust: The verifier's certificate.
        genesis: Of the network whose receipts its answers hold.
        party: The relying party as which kiosks ask.
        seed: From a person's id in the store to the secret behind their pseudonyms; 32 bytes.
    """

    trust: Trust
    genesis: Genesis
    party: str
    seed: Callable[[str], bytes]

    def pseudonym(self, message: bytes, confirmed: Mapping[str, str] | None, answer: str) -> str:
        """Under which pseudonym somebody's phone answered exactly this; "": nobody's did.

        Args:
            message: What was asked, by its digest.
            confirmed: What the wallet had to show; None: it showed nothing of the kind.
            answer: The verifier's signed answer.
        """
        try:
            claims: Mapping[str, Any] = check_answer(answer, self.trust, self.genesis, audience=self.party).claims
        except LedgerError:
            return ""
        facts = claims.get("facts")
        shown = facts.get("transaction") if isinstance(facts, dict) else None
        if confirmed is None:
            is_shown = shown is None
        else:
            is_shown = isinstance(shown, dict) and all(shown.get(name) == value for name, value in confirmed.items())
        if claims.get("outcome") != "held" or claims.get("nonce") != nonce_of(message) or not is_shown:
            return ""
        return str(claims.get("pseudonym") or "")

    def is_of(self, person_id: str, pseudonym: str) -> bool:
        """Whether a pseudonym is this person's.

        Args:
            person_id: In the store.
            pseudonym: As `pseudonym` gave it.
        """
        own = pairwise(encode_base64url(self.seed(person_id)), self.party)
        return hmac.compare_digest(pseudonym.encode(), own.encode())

    def confirms(self, person_id: str, stated: Statement, answer: str) -> bool:
        """Whether an answer shows that this person's phone confirmed exactly this statement."""
        pseudonym = self.pseudonym(stated.message, confirmed_of(stated), answer)
        return bool(pseudonym) and self.is_of(person_id, pseudonym)
