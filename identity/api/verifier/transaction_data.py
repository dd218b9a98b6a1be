# SPDX-License-Identifier: Apache-2.0
"""What a holder confirms with their presentation: a payment, or an act for a company or against a thing of their own.

The request carries the words themselves; the wallet shows them, and the holder's key signs their hash in its key
binding. So a page or kiosk that shows one amount and asks for another is found out on the holder's own screen, and an
answer proves which amount was shown. Whether money moves is the relying party's affair.

Source: OpenID4VP 1.0, 5.1 (`transaction_data`), 8.4 and B.3.3.1 (hashes in SD-JWT VC's key binding).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from chain.strict_json import Json
from chain.types import sha256
from identity.api.verifier.findings import Finding, Step
from identity.credential_check import Outcome
from identity.jose import JsonObject, decode_base64url, dump_json, encode_base64url, load_object

PAYMENT: Final = "urn:zhixin:payment-confirmation:1"
ACT: Final = "urn:zhixin:act-confirmation:1"
"""The types that are known; a wallet refuses any other."""
ALGORITHM: Final = "sha-256"
HASHES: Final = "transaction_data_hashes"
HASHES_ALGORITHM: Final = "transaction_data_hashes_alg"
AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,11})\.[0-9]{2}", re.ASCII)
CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
PAYEE_CHARACTERS_MAX: Final = 100
"""What a phone shows whole."""
REFERENCE_CHARACTERS_MAX: Final = 64
SUBJECT_CHARACTERS_MAX: Final = 200
"""A company's name."""
MATTER_CHARACTERS_MAX: Final = 200
"""What is signed, in a sentence."""
COMPANY_NUMBER: Final = re.compile(r"[0-9A-Z]{18}", re.ASCII)
HASHES_MAX: Final = 4
"""One is asked for; a wallet that lists more hashed something that it was not asked."""

MISSING: Final = "verifier.transaction-missing"
OTHER: Final = "verifier.transaction-other"
UNKNOWN_ALGORITHM: Final = "verifier.transaction-algorithm"


class Deed(StrEnum):
    """What is done; the values stand in signed texts and never change their meaning."""

    COMPANY = "company"
    STOP_CARD = "stop-card"
    STOP_PHONE = "stop-phone"
    STOP_SEAL = "stop-seal"


class InvalidTransaction(ValueError):
    """Something that can't be confirmed; the message says what is wrong, without repeating what was sent."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What is confirmed.

    Attributes:
        amount: With two decimals and a point, such as "128.00"; more than zero.
        currency: ISO 4217, such as "CNY".
        payee: Who gets it, in words.
        reference: Of the bill; "" says nothing.
    """

    amount: str
    currency: str
    payee: str
    reference: str = ""

    def check(self) -> None:
        """See that a wallet can show it as it is.

        Raises:
            InvalidTransaction: It can't, or would show something else than what stands there.
        """
        _check_amount(self.amount, self.currency)
        if not self.payee:
            raise InvalidTransaction("payee says who gets it")
        _check_text("payee", self.payee, PAYEE_CHARACTERS_MAX)
        _check_text("reference", self.reference, REFERENCE_CHARACTERS_MAX)


@dataclass(frozen=True, slots=True)
class Act:
    """What the holder does by answering: they sign or agree for a company, or stop a card, a phone or a seal.

    Attributes:
        act: Which; wallets have words for each.
        subject: The company's name; of a card, phone or seal, what is printed on it or shown for it.
        number: The company's unified social credit code; "" for anything else.
        matter: What is signed or agreed for the company, in a sentence; "" for anything else.
        amount: Up to which amount it binds the company, as `Payment.amount`; "": it names none.
        currency: Of that.
    """

    act: str
    subject: str
    number: str = ""
    matter: str = ""
    amount: str = ""
    currency: str = ""

    def check(self) -> None:
        """See that a wallet can show it as it is.

        Raises:
            InvalidTransaction: It can't, or would show something else than what stands there.
        """
        if self.act not in set(Deed):
            raise InvalidTransaction(f"act is one of {', '.join(Deed)}")
        if not self.subject:
            raise InvalidTransaction("subject says for whom, or which one")
        _check_text("subject", self.subject, SUBJECT_CHARACTERS_MAX)
        if self.act != Deed.COMPANY:
            if self.number or self.matter or self.amount or self.currency:
                raise InvalidTransaction("number, matter, amount and currency go with the act company alone")
            return
        if COMPANY_NUMBER.fullmatch(self.number) is None:
            raise InvalidTransaction(
                "number is the company's unified social credit code, 18 capital letters and digits"
            )
        if not self.matter:
            raise InvalidTransaction("matter says what is signed for the company")
        _check_text("matter", self.matter, MATTER_CHARACTERS_MAX)
        if self.amount or self.currency:
            _check_amount(self.amount, self.currency)


def _check_amount(amount: str, currency: str) -> None:
    if AMOUNT.fullmatch(amount) is None or not amount.strip("0."):
        raise InvalidTransaction('amount is more than zero, with two decimals, such as "128.00"')
    if CURRENCY.fullmatch(currency) is None:
        raise InvalidTransaction('currency is three capital letters, such as "CNY"')


def _check_text(name: str, text: str, most: int) -> None:
    if len(text) > most or not text.isprintable() or text != text.strip():
        raise InvalidTransaction(f"{name} has at most {most} characters, all of them visible")


def encode(confirmed: Payment | Act, credentials: Sequence[str]) -> str:
    """The object as it stands in a request, and as it is hashed: base64url of JSON.

    Args:
        confirmed: What is confirmed.
        credentials: Ids of the credential queries whose presentation may confirm it.

    Raises:
        InvalidTransaction: See `Payment.check` and `Act.check`.
    """
    confirmed.check()
    ids: list[Json] = list(credentials)
    algorithms: list[Json] = [ALGORITHM]
    said: JsonObject = {name: value for name, value in asdict(confirmed).items() if value}
    kind = PAYMENT if isinstance(confirmed, Payment) else ACT
    whole: JsonObject = {"type": kind, "credential_ids": ids, HASHES_ALGORITHM: algorithms, **said}
    return encode_base64url(dump_json(whole))


def hash_of(encoded: str) -> str:
    """What the holder's key signs of it: base64url of the SHA-256 of the text as it stood in the request."""
    return encode_base64url(sha256(encoded.encode("ascii")))


def confirmation(encoded: str) -> JsonObject:
    """What a wallet's key binding says once its holder agreed."""
    return {HASHES: [hash_of(encoded)], HASHES_ALGORITHM: ALGORITHM}


def check(encoded: str, bindings: Mapping[str, JsonObject]) -> tuple[Finding, JsonObject]:
    """See that what was presented confirms what was asked.

    Args:
        encoded: `encode`'s, as it stood in the request.
        bindings: The key binding of each credential that was presented, its signature checked, by id.

    Returns:
        The finding, and what was confirmed, for the answer's facts; empty where it was not.
    """
    said = load_object(decode_base64url(encoded, "the transaction"), "the transaction")
    ids = said["credential_ids"]
    assert isinstance(ids, list), "we made it"
    with_hashes = {name: claims for name, claims in bindings.items() if HASHES in claims or HASHES_ALGORITHM in claims}
    if not any(name in with_hashes for name in ids):
        return _failed(MISSING, "the wallet confirmed nothing of the transaction"), {}
    for name, claims in with_hashes.items():
        if claims.get(HASHES_ALGORITHM) != ALGORITHM:
            return _failed(UNKNOWN_ALGORITHM, f"the transaction is hashed otherwise than by {ALGORITHM}", name), {}
        listed = claims.get(HASHES)
        if not isinstance(listed, list) or len(listed) > HASHES_MAX or listed != [hash_of(encoded)]:
            return _failed(OTHER, "the wallet confirmed another transaction than the one asked for", name), {}
    shown: JsonObject = {
        name: value for name, value in said.items() if name not in {"credential_ids", HASHES_ALGORITHM}
    }
    return Finding(Step.TRANSACTION, Outcome.HELD), {"transaction": shown | {"hash": hash_of(encoded)}}


def check_unasked(bindings: Mapping[str, JsonObject]) -> Finding | None:
    """A wallet that confirms what nobody asked for is not believed: somebody may have put another request before it."""
    for name, claims in bindings.items():
        if HASHES in claims:
            return _failed(OTHER, "the wallet confirmed a transaction that was not asked for", name)
    return None


def _failed(code: str, reason: str, subject: str = "") -> Finding:
    return Finding(Step.TRANSACTION, Outcome.FAILED, subject, code, reason)
