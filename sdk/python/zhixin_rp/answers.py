# SPDX-License-Identifier: Apache-2.0
"""Answers and notices of a verifier, believed only once their signature and certificate were checked.

Trust begins with the verifier's own certificate, which its operator handed over. It certifies the keys that sign; each
token carries the certificate of its key. ES256 and no other algorithm.

Source: RFC 7515; RFC 8725.
"""

import json
import re
from base64 import b64decode, urlsafe_b64decode
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

TOKEN_CHARACTERS_MAX: Final = 512 * 1024
"""An answer with the receipts of a large network."""
SKEW_S: Final = 60
NOTICE_AGE_S_MAX: Final = 3_600
"""A verifier tries for some twenty minutes; older notices are replayed ones."""

PAYMENT_TYPE: Final = "urn:zhixin:payment-confirmation:1"
ACT_TYPE: Final = "urn:zhixin:act-confirmation:1"

_ANSWER, _SANDBOX, _NOTICE = "zhixin-answer+jwt", "zhixin-sandbox-answer+jwt", "zhixin-notice+jwt"
_PART = re.compile(r"[A-Za-z0-9_-]+")


class Forged(Exception):
    """A token that the verifier did not make, or not for you or of real people, or that was altered."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What a holder confirms on their own screen; whether money moves is your affair.

    Attributes:
        amount: With two decimals and a point, such as "128.00"; more than zero.
        currency: ISO 4217, such as "CNY".
        payee: Who gets it, in words.
        reference: Of the bill, so that it is paid once; "" says nothing.
    """

    amount: str
    currency: str
    payee: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """What a holder does by answering, in their wallet's own words; that they may is for a mandate to say.

    Attributes:
        act: "company", "stop-card", "stop-phone" or "stop-seal".
        subject: The company's name, or which card, phone or seal.
        number: Of "company": its 18-character code.
        matter: Of "company": what is signed, as the holder sees it.
        amount: Of "company": up to how much, with two decimals; "": it names none.
        currency: ISO 4217; with `amount` alone.
    """

    act: str
    subject: str
    number: str = ""
    matter: str = ""
    amount: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verifier's answer, checked.

    Attributes:
        token: As it was given: keep it as evidence.
        content: All that it says.
    """

    token: str
    content: dict[str, Any]

    @property
    def held(self) -> bool:
        """Whether each check held: only then rely on anything else here."""
        return bool(self.content["outcome"] == "held")

    @property
    def claims(self) -> dict[str, dict[str, Any]]:
        """What was asked for and disclosed, by the id of the credential query; empty unless it held."""
        return dict(self.content["claims"])

    @property
    def pseudonym(self) -> str:
        """The person at your organisation, the same on each visit, whatever phone or card; "" where there is none."""
        return str(self.content["pseudonym"])

    @property
    def assurance_level(self) -> str:
        """low, substantial or high; "" where no credential says."""
        return str(self.content["assurance_level"])

    @property
    def payment(self) -> Payment | None:
        """The payment that the holder's key confirmed; None if it confirmed none, or a check failed."""
        said = self._confirmed(PAYMENT_TYPE, Payment)
        return None if said is None else Payment(**said)

    @property
    def act(self) -> Act | None:
        """The act that the holder's key confirmed; None if it confirmed none, or a check failed."""
        said = self._confirmed(ACT_TYPE, Act)
        return None if said is None else Act(**said)

    def _confirmed(self, kind: str, shape: type[Payment | Act]) -> dict[str, str] | None:
        said = self.content["facts"].get("transaction") if self.held else None
        if not isinstance(said, dict) or said.get("type") != kind:
            return None
        return {field.name: str(said.get(field.name, "")) for field in fields(shape)}

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Steps that failed, each with its code and reason; `claims` names the claims that it is about."""
        return [step for step in self.content["steps"] if step["outcome"] == "failed"]

    @property
    def unanswered(self) -> list[str]:
        """Claims that you asked for and were not shown, such as "birthdate" or "address/region".

        Where all were shown and one has none of the values that you wanted, those of which you wanted values: which
        of them it was nobody says, for a refused answer leaves no entry in the person's list of accesses.
        """
        named = [claim for step in self.failures for claim in step.get("claims", [])]
        return list(dict.fromkeys(str(claim) for claim in named))


@dataclass(frozen=True, slots=True)
class Notice:
    """That a verification is over; fetch its answer.

    Attributes:
        id: Of this notice; take each once.
        verification: Which.
        state: answered or refused.
    """

    id: str
    verification: str
    state: str


class Root:
    """The verifier's own certificate.

    Args:
        certificate: DER, as its operator handed it over.

    Raises:
        ValueError: It is no certificate of a P-256 key that certifies others.
    """

    def __init__(self, certificate: bytes) -> None:
        self._root = x509.load_der_x509_certificate(certificate)
        constraints = self._root.extensions.get_extension_for_class(x509.BasicConstraints).value
        _key(self._root)
        if not constraints.ca:
            raise ValueError("this certificate certifies nobody: take the verifier's own, registrar.cer")

    def answer(self, token: str, relying_party: str, *, nonce: str | None = None, sandbox: bool = False) -> Answer:
        """Check an answer; also one that was kept for years.

        Args:
            token: As it was given.
            relying_party: You.
            nonce: Of the question; None: it is not looked at, as for evidence from long ago.
            sandbox: Whether it is to be of the sandbox; its people are made up.

        Raises:
            Forged: It is not the verifier's, was altered, or is for somebody else or another question.
        """
        content = self._opened(token, _SANDBOX if sandbox else _ANSWER)
        if content.get("aud") != relying_party:
            raise Forged("the answer is for somebody else")
        if nonce is not None and content.get("nonce") != nonce:
            raise Forged("the answer is to another question")
        return Answer(token, content)

    def notice(self, token: str, relying_party: str, now: datetime) -> Notice:
        """Check a notice that was posted to you.

        Args:
            token: The body.
            relying_party: You.
            now: The time.

        Raises:
            Forged: It is not the verifier's, is for somebody else, or is not of now.
        """
        content = self._opened(token, _NOTICE)
        age_s = now.timestamp() - content["iat"]
        if content.get("aud") != relying_party or not -SKEW_S <= age_s <= NOTICE_AGE_S_MAX:
            raise Forged("the notice is for somebody else, or not of now")
        return Notice(str(content["jti"]), str(content["verification"]), str(content["state"]))

    def _opened(self, token: str, typ: str) -> dict[str, Any]:
        """A token's content, its signature and certificate checked as of its own time."""
        parts = token.strip().split(".")
        if len(token) > TOKEN_CHARACTERS_MAX or len(parts) != 3 or not all(map(_PART.fullmatch, parts)):
            raise Forged("this is no token of a verifier")
        try:
            header, content = (_object(part) for part in parts[:2])
            leaf = x509.load_der_x509_certificate(b64decode(header["x5c"][0], validate=True))
            signature = _decoded(parts[2])
            made = datetime.fromtimestamp(content["iat"], UTC)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, OSError, RecursionError):
            raise Forged("this is no token of a verifier") from None
        if header.get("typ") == _SANDBOX != typ:
            raise Forged("this is a sandbox's answer: made up, no evidence")
        if header.get("alg") != "ES256" or header.get("typ") != typ or "crit" in header or len(signature) != 64:
            raise Forged("the token is of another kind")
        self._check_certificate(leaf, made)
        r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
        try:
            _key(leaf).verify(encode_dss_signature(r, s), ".".join(parts[:2]).encode(), ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            raise Forged("the token's signature does not verify") from None
        return content

    def _check_certificate(self, leaf: x509.Certificate, made: datetime) -> None:
        try:
            leaf.verify_directly_issued_by(self._root)
            constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            raise Forged("the verifier did not certify the token's key") from None
        if constraints.ca or not leaf.not_valid_before_utc <= made < leaf.not_valid_after_utc:
            raise Forged("the certificate of the token's key did not hold when it was made")


def _key(certificate: x509.Certificate) -> EllipticCurvePublicKey:
    key = certificate.public_key()
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError("a verifier's keys are of P-256")


def _object(part: str) -> dict[str, Any]:
    value = json.loads(_decoded(part))
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return value


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
