# SPDX-License-Identifier: Apache-2.0
"""A wallet's proofs that it holds the keys to which credentials are to be bound, and the nonces that make them fresh.

A nonce is a time and chance under an HMAC: handing one out writes nothing, so nobody fills the store by asking for
many. Only a nonce that a proof has used is remembered, until it ends.

Source: OpenID4VCI 1.0, 7 (nonce endpoint), 8.2.1.1 and appendix F.1 (`jwt` proofs), F.4 (what to verify).
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.strict_json import Json
from identity.api.issuer.denied import Denied, Error
from identity.jose import (
    InvalidToken,
    JsonObject,
    decode_base64url,
    decode_jws,
    encode_base64url,
    key_of_jwk,
    load_object,
    verify_jws,
)
from identity.sd_jwt import SKEW_S

PROOF_TYPE: Final = "openid4vci-proof+jwt"
PROOF_CHARACTERS_MAX: Final = 4_096
"""Ours have 500."""
PROOF_AGE_S_MAX: Final = 300
"""A wallet proves its keys just before it asks."""
NONCE_MS: Final = 300_000
"""From asking for a nonce to using it: a wallet's user reads, and confirms with a finger or PIN."""

_TIME_BYTES, _CHANCE_BYTES, _MAC_BYTES = 8, 16, 16


@dataclass(frozen=True, slots=True)
class Proven:
    """What proofs of one request show.

    Attributes:
        keys: Public keys, 33 bytes each, all different, in the order of the proofs.
        nonce: The nonce that all of them used.
        nonce_ends_ms: When it counts no longer.
    """

    keys: tuple[bytes, ...]
    nonce: str
    nonce_ends_ms: int


def make_nonce(secret: bytes, now_ms: int) -> str:
    """A fresh nonce.

    Args:
        secret: 32 bytes of the issuer's own.
        now_ms: Unix time in ms.
    """
    body = (now_ms + NONCE_MS).to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_CHANCE_BYTES)
    return encode_base64url(body + _mac(secret, body))


def verify_proofs(proofs: Sequence[Json], issuer: str, secret: bytes, now_ms: int) -> Proven:
    """Check the proofs of one request.

    Args:
        proofs: As they came; the caller bounded how many.
        issuer: The credential issuer's identifier, which proofs name as their audience.
        secret: Under which nonces were made.
        now_ms: Unix time in ms.

    Raises:
        Denied: A proof is malformed, forged, old, for somebody else, of a key that occurs twice, or under a nonce that
            is none of ours or has ended.
    """
    keys: list[bytes] = []
    nonces: set[str] = set()
    for proof in proofs:
        key, nonce = _verify(proof, issuer, now_ms)
        keys.append(key)
        nonces.add(nonce)
    if len(set(keys)) != len(keys):
        raise Denied(Error.INVALID_PROOF, "each proof is of a key of its own")
    if len(nonces) != 1:
        raise Denied(Error.INVALID_NONCE, "all proofs of a request use the same nonce")
    nonce = nonces.pop()
    return Proven(tuple(keys), nonce, _nonce_ends_ms(nonce, secret, now_ms))


def nonce_alone(nonce: Json, secret: bytes, now_ms: int) -> Proven:
    """A nonce of ours that no proof of a new key goes with: what is presented is bound to it.

    Args:
        nonce: As it came.
        secret: Under which nonces were made.
        now_ms: Unix time in ms.

    Raises:
        Denied: It is none of ours, or has ended.
    """
    if not isinstance(nonce, str):
        raise Denied(Error.INVALID_NONCE, "nonce is one of the nonce endpoint")
    return Proven((), nonce, _nonce_ends_ms(nonce, secret, now_ms))


def _verify(proof: Json, issuer: str, now_ms: int) -> tuple[bytes, str]:
    if not isinstance(proof, str):
        raise Denied(Error.INVALID_PROOF, "a proof is a text")
    try:
        jws = decode_jws(proof, PROOF_TYPE, "the proof", characters_max=PROOF_CHARACTERS_MAX)
        if "kid" in jws.header or "x5c" in jws.header or "jwk" not in jws.header:
            raise Denied(Error.INVALID_PROOF, "a proof names its key by jwk, and by nothing else")
        key = key_of_jwk(jws.header["jwk"], "the proof's jwk")
        verify_jws(jws, key, "the proof")
        claims = load_object(jws.payload, "the proof's payload")
    except InvalidToken as error:
        raise Denied(Error.INVALID_PROOF, f"a proof is refused ({error.code})") from None
    return key, _nonce_of(claims, issuer, now_ms // 1000)


def _nonce_of(claims: JsonObject, issuer: str, now_s: int) -> str:
    if claims.get("aud") != issuer:
        raise Denied(Error.INVALID_PROOF, "a proof was made for another issuer")
    made_s, nonce = claims.get("iat"), claims.get("nonce")
    if not isinstance(made_s, int) or isinstance(made_s, bool):
        raise Denied(Error.INVALID_PROOF, "a proof does not say when it was made")
    if not now_s - PROOF_AGE_S_MAX <= made_s <= now_s + SKEW_S:
        raise Denied(Error.INVALID_PROOF, "a proof was not made just now")
    if not isinstance(nonce, str):
        raise Denied(Error.INVALID_NONCE, "a proof needs a nonce of the nonce endpoint")
    return nonce


def _nonce_ends_ms(nonce: str, secret: bytes, now_ms: int) -> int:
    try:
        raw = decode_base64url(nonce, "the nonce")
    except InvalidToken:
        raw = b""
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    is_ours = len(raw) == _TIME_BYTES + _CHANCE_BYTES + _MAC_BYTES and hmac.compare_digest(_mac(secret, body), mac)
    ends_ms = int.from_bytes(body[:_TIME_BYTES], "big") if is_ours else 0
    if now_ms >= ends_ms:
        raise Denied(Error.INVALID_NONCE, "the nonce is none of this issuer's, or has ended")
    return ends_ms


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"nonce" + body, "sha256")[:_MAC_BYTES]
