# SPDX-License-Identifier: Apache-2.0
"""A person's private compartment: something that two keys of theirs open, each by itself, and nothing else.

The two are the key 9D of their card and a key of their wallet: whoever loses one still opens with the other. Whoever
keeps the compartment has neither. It is a JWE in JSON with exactly these two recipients, so that other programs open it
too; the content's key is wrapped to each by ECDH with a key pair that is made for this and forgotten.

What this does not prove: who sealed it, for that takes public keys alone, and that it is the newest one. A holder who
needs that signs the content with the card before it is sealed.

Source: RFC 7516 (JWE, general JSON serialization); RFC 7518, 4.6 (ECDH-ES+A256KW) and 5.3 (A256GCM).
"""

import secrets
from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain.strict_json import Json
from identity.jose import (
    InvalidToken,
    JsonObject,
    compressed,
    decode_base64url,
    decompress,
    dump_json,
    encode_base64url,
    jwk_of,
    key_of_jwk,
    load_object,
    thumbprint,
)

CONTENT_BYTES_MAX: Final = 32 * 1024
"""A will, a list of allergies, a page of passwords; no archive."""
SEALED_BYTES_MAX: Final = 48 * 1024
"""Of that content in Base64, with the two recipients."""

ALGORITHM: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_RECIPIENTS = 2

Agree: TypeAlias = Callable[[bytes], bytes]
"""ECDH with a key that is somewhere else, such as in a card: from the other side's public key, uncompressed, 65 bytes,
to the shared point's x coordinate, 32 bytes."""


def seal(content: bytes, card_key: bytes, wallet_key: bytes) -> bytes:
    """Seal something for a holder. Takes public keys alone.

    Args:
        content: At most `CONTENT_BYTES_MAX`.
        card_key: Of the card's slot 9D, compressed, 33 bytes.
        wallet_key: Of the wallet, likewise; another one.

    Returns:
        The compartment, UTF-8 JSON.
    """
    assert len(content) <= CONTENT_BYTES_MAX, "callers bound what they take"
    assert card_key != wallet_key, "two keys, so that one can be lost"
    protected = encode_base64url(dump_json({"enc": ENCRYPTION}))
    key, nonce = secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, content, protected.encode("ascii"))
    recipients: list[Json] = [_wrapped(key, one) for one in (card_key, wallet_key)]
    return dump_json(
        {
            "protected": protected,
            "recipients": recipients,
            "iv": encode_base64url(nonce),
            "ciphertext": encode_base64url(sealed[:-_TAG_BYTES]),
            "tag": encode_base64url(sealed[-_TAG_BYTES:]),
        }
    )


def unseal(sealed: bytes, public_key: bytes, agree: Agree) -> bytes:
    """Open a compartment with one of the holder's two keys.

    Args:
        sealed: The compartment.
        public_key: Which key; 33 bytes.
        agree: Uses it, as `identity.cards.piv.Piv.agree` does for the card's.

    Raises:
        InvalidToken: No compartment, none for this key, or altered.
    """
    whole = _checked(sealed)
    recipients = {_text(one, "kid"): one for one in _recipients(whole)}
    mine = recipients.get(thumbprint(public_key))
    if mine is None:
        raise InvalidToken("the compartment is sealed for other keys", "identity.compartment-key")
    point = decompress(key_of_jwk(mine["epk"], "epk"))
    shared = agree(point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    protected = _text(whole, "protected")
    try:
        key = aes_key_unwrap(_wrapping_key(shared), decode_base64url(_text(mine, "encrypted_key"), "encrypted_key"))
        body = b"".join(decode_base64url(_text(whole, name), name) for name in ("ciphertext", "tag"))
        return AESGCM(key).decrypt(decode_base64url(_text(whole, "iv"), "iv"), body, protected.encode("ascii"))
    except (InvalidUnwrap, InvalidTag, ValueError):
        raise InvalidToken("the compartment was altered, or another key answered", "identity.compartment") from None


def keys_of(sealed: bytes) -> tuple[str, str]:
    """By what names the two keys are known that open a compartment: thumbprints of RFC 7638.

    Raises:
        InvalidToken: It is no compartment.
    """
    first, second = (_text(one, "kid") for one in _recipients(_checked(sealed)))
    return first, second


def agreeing(key: EllipticCurvePrivateKey) -> Agree:
    """For a key in memory, as a wallet's in tests."""

    def agree(other: bytes) -> bytes:
        return key.exchange(ECDH(), decompress(compressed(other)))

    return agree


def _wrapped(key: bytes, holder_key: bytes) -> JsonObject:
    once = generate_private_key(SECP256R1())
    shared = once.exchange(ECDH(), decompress(holder_key))
    own = once.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    header: JsonObject = {"alg": ALGORITHM, "kid": thumbprint(holder_key), "epk": jwk_of(own)}
    return {"header": header, "encrypted_key": encode_base64url(aes_key_wrap(_wrapping_key(shared), key))}


def _wrapping_key(shared: bytes) -> bytes:
    """RFC 7518, 4.6.2: the algorithm's name, neither side's, and the length in bits."""
    name = ALGORITHM.encode("ascii")
    bits = (8 * _KEY_BYTES).to_bytes(4, "big")
    info = len(name).to_bytes(4, "big") + name + bytes(4) + bytes(4) + bits
    return ConcatKDFHash(SHA256(), _KEY_BYTES, info).derive(shared)


def _checked(sealed: bytes) -> JsonObject:
    """A compartment's outer form.

    Raises:
        InvalidToken: It has another.
    """
    whole = load_object(sealed, "the compartment", size_max=SEALED_BYTES_MAX)
    if whole.keys() != {"protected", "recipients", "iv", "ciphertext", "tag"}:
        raise InvalidToken("a compartment has a protected header, two recipients, iv, ciphertext and tag")
    header = load_object(decode_base64url(_text(whole, "protected"), "protected"), "the compartment's header")
    if header != {"enc": ENCRYPTION}:
        raise InvalidToken(f"a compartment is encrypted by {ENCRYPTION}, and its header says nothing else")
    for name, size in (("iv", _NONCE_BYTES), ("tag", _TAG_BYTES)):
        if len(decode_base64url(_text(whole, name), name)) != size:
            raise InvalidToken(f"the compartment's {name} has {size} bytes")
    return whole


def _recipients(whole: JsonObject) -> list[JsonObject]:
    """Its two recipients, each with its header's fields and the wrapped key.

    Raises:
        InvalidToken: More or fewer, one key twice, or by another algorithm.
    """
    listed = whole["recipients"]
    if not isinstance(listed, list) or len(listed) != _RECIPIENTS:
        raise InvalidToken("a compartment has two recipients", "identity.compartment-key")
    found: list[JsonObject] = []
    for one in listed:
        header = one.get("header") if isinstance(one, dict) else None
        if not isinstance(one, dict) or one.keys() != {"header", "encrypted_key"} or not isinstance(header, dict):
            raise InvalidToken("a recipient has a header and an encrypted key")
        if header.keys() != {"alg", "kid", "epk"} or header["alg"] != ALGORITHM:
            raise InvalidToken(f"a recipient is named by kid, with epk, for {ALGORITHM}")
        key_of_jwk(header["epk"], "epk")
        found.append({**header, "encrypted_key": one["encrypted_key"]})
    if len({_text(one, "kid") for one in found}) != _RECIPIENTS:
        raise InvalidToken("a compartment is sealed for two different keys", "identity.compartment-key")
    return found


def _text(value: JsonObject, name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise InvalidToken(f"{name} is no text")
    return found
