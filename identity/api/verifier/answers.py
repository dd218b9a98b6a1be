# SPDX-License-Identifier: Apache-2.0
"""The verifier's signed answer: what a relying party keeps as evidence, and anybody checks later without the verifier.

A compact token with ES256 whose header carries the certificate of the verifier's key; the receipts in it are checked
against the network's genesis file. It holds the disclosed attributes, never what was presented.

Source: RFC 7515; RFC 8725, 3.11 (typ).
"""

from dataclasses import dataclass
from typing import Final

from chain import receipt
from chain.genesis import Genesis
from chain.strict_json import Json
from identity.issuer_keys import IssuingKey, Trust
from identity.jose import InvalidToken, JsonObject, Jws, decode_base64url, decode_jws, load_object, sign_jws, verify_jws

ANSWER_TYPE: Final = "zhixin-answer+jwt"
SANDBOX_TYPE: Final = "zhixin-sandbox-answer+jwt"
"""Of made-up people: no program that checks real answers takes one."""
NOTICE_TYPE: Final = "zhixin-notice+jwt"
ANSWER_CHARACTERS_MAX: Final = 512 * 1024
"""Receipts of a network of 31 validators have some kilobytes each; an answer has a few."""
RECEIPTS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer that the verifier gave.

    Attributes:
        claims: All that it says.
        receipts: How many receipts in it were checked against genesis.
    """

    claims: JsonObject
    receipts: int


def sign_answer(claims: JsonObject, key: IssuingKey, *, is_sandbox: bool) -> str:
    """Sign an answer.

    Args:
        claims: What it says.
        key: The verifier's.
        is_sandbox: Whether the person in it is made up.
    """
    assert key.signer is not None, "the current key signs"
    return sign_jws({"typ": SANDBOX_TYPE if is_sandbox else ANSWER_TYPE, **key.header}, claims, key.signer)


def sign_notice(claims: JsonObject, key: IssuingKey) -> str:
    """Sign what is posted to a relying party when a verification is over."""
    assert key.signer is not None, "the current key signs"
    return sign_jws({"typ": NOTICE_TYPE, **key.header}, claims, key.signer)


def check_answer(token: str, trust: Trust, genesis: Genesis | None, *, audience: str | None = None) -> CheckedAnswer:
    """Check an answer that somebody kept; no network is needed.

    The verifier's certificate is looked at as of the answer's own time, so that evidence outlives keys. That time is
    the verifier's word.

    Args:
        token: As it was given.
        trust: The verifier's own certificate.
        genesis: Of the network whose receipts it holds; None: they are not looked at.
        audience: The relying party that it must be for; None: any.

    Raises:
        InvalidToken: It is none, was altered, is a sandbox's, or is of another verifier, kind or audience.
        LedgerError: A receipt in it does not verify.
    """
    jws = decode_jws(token.strip(), None, "the answer", characters_max=ANSWER_CHARACTERS_MAX)
    _check_type(jws)
    claims = load_object(jws.payload, "the answer's payload", size_max=ANSWER_CHARACTERS_MAX)
    made_s = claims.get("iat")
    if not isinstance(made_s, int) or isinstance(made_s, bool) or not 0 < made_s < 2**36:
        raise InvalidToken("the answer does not say when it was made")
    verify_jws(jws, trust.key_of(jws.header, made_s), "the answer")
    if audience is not None and claims.get("aud") != audience:
        raise InvalidToken("the answer is for another relying party", "identity.binding-audience")
    listed = _receipts(claims)
    if genesis is not None:
        for raw in listed:
            receipt.verify(raw, genesis, older_epochs=True)
    return CheckedAnswer(claims, 0 if genesis is None else len(listed))


def _check_type(jws: Jws) -> None:
    """Only answers about real people count; who kept one of a sandbox did nothing wrong, and is told what it is."""
    typ = jws.header.get("typ")
    if typ == SANDBOX_TYPE:
        raise InvalidToken(f"the answer is of type {SANDBOX_TYPE}", "identity.token-sandbox")
    if typ != ANSWER_TYPE:
        raise InvalidToken(f"the answer is not of type {ANSWER_TYPE}", "identity.token-type")


def _receipts(claims: JsonObject) -> list[bytes]:
    found = claims.get("receipts", [])
    if not isinstance(found, list) or len(found) > RECEIPTS_MAX:
        raise InvalidToken("the answer's receipts are no list")
    return [_receipt(one) for one in found]


def _receipt(value: Json) -> bytes:
    text = value.get("receipt") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InvalidToken("the answer's receipts are no receipts")
    return decode_base64url(text, "a receipt")
