# SPDX-License-Identifier: Apache-2.0
"""Compact JSON web signatures as credentials, status lists and proofs use them: ES256 alone, decoded strictly.

Base64url without padding and with no bits left over, JSON without repeated names or fractions, bounded depth: each
token has one reading, whoever reads it. Keys are compressed P-256 points of 33 bytes, as on the ledger. A signer is
asked for a signature of a digest, so that a file, a PKCS#11 token and a card all fit.

Source: RFC 7515 (JWS), RFC 7517 and 7518 (JWK, ES256), RFC 8725 (algorithms, typ), RFC 7638 (thumbprint).
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from chain import p256
from chain.errors import InvalidMessage, InvalidSignature, LedgerError
from chain.strict_json import Json, parse
from chain.types import sha256

JsonObject: TypeAlias = dict[str, Json]

ALGORITHM: Final = "ES256"
TOKEN_CHARACTERS_MAX: Final = 64 * 1024
"""Ours have 1 to 4 KB; a status list has a bound of its own."""
DEPTH_MAX: Final = 16
"""Of nested JSON; credentials nest 3 deep, and each level costs a reader a stack frame."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_COORDINATE_BYTES = 32


class InvalidToken(LedgerError):
    """A token, credential, presentation or status list that must not be believed; the code says why."""

    default_code = "identity.token-malformed"


class KeySigner(Protocol):
    """A P-256 key that signs digests: in memory, in a file, in a PKCS#11 token or on a card."""

    @property
    def public_key(self) -> bytes:
        """33 bytes compressed, or the 65 of the whole point."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest; 64 bytes r || s."""
        ...


class MemorySigner:
    """A key in memory; nonces follow RFC 6979."""

    __slots__ = ("_private_key", "_public_key")

    def __init__(self, private_key: EllipticCurvePrivateKey) -> None:
        """Take a private key of the curve P-256.

        Raises:
            InvalidSignature: A key of another curve.
        """
        if not isinstance(private_key.curve, SECP256R1):
            raise InvalidSignature(f"a key of {private_key.curve.name} cannot sign as P-256")
        self._private_key = private_key
        self._public_key = p256.compress(private_key.public_key())

    @property
    def public_key(self) -> bytes:
        """33 bytes, compressed."""
        return self._public_key

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest; 64 bytes r || s."""
        return p256.raw_signature(
            self._private_key.sign(digest, ECDSA(Prehashed(SHA256()), deterministic_signing=True))
        )

    def __repr__(self) -> str:
        return f"MemorySigner({self._public_key.hex()})"


@dataclass(frozen=True, slots=True)
class Jws:
    """A token taken apart, its signature not checked yet.

    Attributes:
        header: The protected header.
        payload: The bytes that were signed.
        signed: What the signature covers.
        signature: 64 bytes.
    """

    header: JsonObject
    payload: bytes
    signed: bytes
    signature: bytes


def encode_base64url(data: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str, what: str) -> bytes:
    """Decode base64url without padding, of one reading only.

    Args:
        text: The characters.
        what: Named in the error.

    Raises:
        InvalidToken: Other characters, padding, or bits left over that are not zero.
    """
    if _BASE64URL.fullmatch(text) is None or len(text) % 4 == 1:
        raise InvalidToken(f"{what} is no base64url without padding")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise InvalidToken(f"{what} is base64url with bits left over")
    return data


def dump_json(value: Json) -> bytes:
    """JSON as short as it goes, UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def load_json(data: bytes, what: str, *, size_max: int = TOKEN_CHARACTERS_MAX) -> Json:
    """Read JSON that has one reading.

    Raises:
        InvalidToken: See `chain.strict_json`: no JSON, repeated names, a fraction, nested too deep.
    """
    try:
        return parse(data, size_max=size_max, depth_max=DEPTH_MAX)
    except InvalidMessage as error:
        raise InvalidToken(f"{what}: {error.reason}") from None


def load_object(data: bytes, what: str, *, size_max: int = TOKEN_CHARACTERS_MAX) -> JsonObject:
    """Read a JSON object.

    Raises:
        InvalidToken: As `load_json`, or it is another value.
    """
    value = load_json(data, what, size_max=size_max)
    if not isinstance(value, dict):
        raise InvalidToken(f"{what} is no JSON object")
    return value


def sign_jws(header: Mapping[str, Json], payload: Mapping[str, Json], key: KeySigner) -> str:
    """Make a compact token.

    Args:
        header: What stands beside `alg`.
        payload: The claims.
        key: Signs.
    """
    first = encode_base64url(dump_json({"alg": ALGORITHM, **header}))
    signed = f"{first}.{encode_base64url(dump_json(dict(payload)))}"
    return f"{signed}.{encode_base64url(key.sign(sha256(signed.encode())))}"


def decode_jws(token: str, typ: str | None, what: str, *, characters_max: int = TOKEN_CHARACTERS_MAX) -> Jws:
    """Take a compact token apart and check its header.

    Args:
        token: Three parts with dots between.
        typ: The type that the header must name; a token made for one purpose serves no other. None: who reads its own
            token needs no check.
        what: Named in errors.
        characters_max: Longer ones are refused unread.

    Raises:
        InvalidToken: Too long, malformed, another algorithm or type, or header parameters that must be understood.
    """
    if len(token) > characters_max:
        raise InvalidToken(f"{what} is longer than {characters_max} characters", "identity.token-too-large")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken(f"{what} does not have three parts with dots between")
    header = load_object(decode_base64url(parts[0], f"{what}'s header"), f"{what}'s header")
    if header.get("alg") != ALGORITHM:
        raise InvalidToken(f"{what} is not signed by {ALGORITHM}", "identity.token-algorithm")
    if typ is not None and header.get("typ") != typ:
        raise InvalidToken(f"{what} is not of type {typ}", "identity.token-type")
    if "crit" in header or "b64" in header:
        raise InvalidToken(f"{what} has header parameters that nobody here understands", "identity.token-algorithm")
    return Jws(
        header,
        decode_base64url(parts[1], f"{what}'s payload"),
        f"{parts[0]}.{parts[1]}".encode("ascii"),
        decode_base64url(parts[2], f"{what}'s signature"),
    )


def verify_jws(jws: Jws, public_key: bytes, what: str) -> None:
    """Check a token's signature.

    Args:
        jws: The token.
        public_key: 33 bytes, compressed.
        what: Named in the error.

    Raises:
        InvalidToken: It does not verify under this key.
    """
    try:
        p256.verify(public_key, jws.signed, jws.signature)
    except InvalidSignature as error:
        raise InvalidToken(f"{what}: {error.reason}", "identity.token-signature") from None


def jwk_of(public_key: bytes) -> JsonObject:
    """A public key as JWK.

    Args:
        public_key: 33 bytes, compressed.
    """
    point = decompress(public_key).public_numbers()
    x, y = (encode_base64url(n.to_bytes(_COORDINATE_BYTES, "big")) for n in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def key_of_jwk(jwk: Json, what: str) -> bytes:
    """A JWK's public key; 33 bytes, compressed.

    Raises:
        InvalidToken: Not of P-256, no point of the curve, or a private key.
    """
    if not isinstance(jwk, dict):
        raise InvalidToken(f"{what} is no JWK", "identity.token-key")
    x, y = jwk.get("x"), jwk.get("y")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not isinstance(x, str) or not isinstance(y, str):
        raise InvalidToken(f"{what} is no public key of P-256", "identity.token-key")
    if "d" in jwk:
        raise InvalidToken(f"{what} holds a private key", "identity.token-key")
    coordinates = [decode_base64url(x, what), decode_base64url(y, what)]
    if any(len(one) != _COORDINATE_BYTES for one in coordinates):
        raise InvalidToken(f"{what} has coordinates that are not 32 bytes each", "identity.token-key")
    try:
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + b"".join(coordinates))
    except ValueError:
        raise InvalidToken(f"{what} is no point of P-256", "identity.token-key") from None
    return p256.compress(point)


def compressed(public_key: bytes) -> bytes:
    """A public key's 33 bytes, from these or from the 65 of the whole point."""
    return p256.compress(decompress(public_key))


def decompress(public_key: bytes) -> EllipticCurvePublicKey:
    """A public key as `cryptography` has it; ours, so that a wrong one is our mistake."""
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)


def thumbprint(public_key: bytes) -> str:
    """A key's name: base64url of the SHA-256 of its JWK in canonical form. Source: RFC 7638, 3."""
    return encode_base64url(sha256(dump_json(dict(sorted(jwk_of(public_key).items())))))
