# SPDX-License-Identifier: Apache-2.0
"""Sealing bytes so that they open only where they belong: AES-256-GCM with the place as associated data.

Source: NIST SP 800-38D; random 96-bit nonces, so one key seals fewer than 2^32 values.
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_VERSION = b"\x01"
_PAD_BYTES = 32
"""Lengths are hidden up to this: most names, numbers and phones look alike."""


class Unopened(Exception):
    """A sealed value that does not open: another key, another place, or changed bytes."""


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


def place(*parts: str | int) -> bytes:
    """Names of a place as bytes that no other names make."""
    encoded = [str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def seal(key: bytes, value: bytes, where: bytes) -> bytes:
    """Encrypt a value for one place; its length is rounded up to a multiple of 32 bytes.

    Args:
        key: 32 bytes.
        value: Anything.
        where: See `place`; the value opens there alone.
    """
    padded = len(value).to_bytes(4, "big") + value
    padded += bytes(-len(padded) % _PAD_BYTES)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, padded, where)


def unseal(key: bytes, sealed: bytes, where: bytes) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        Unopened: Another key or place, or not the same bytes.
    """
    if sealed[:1] != _VERSION:
        raise Unopened("sealed in a way that this version does not know")
    try:
        padded = AESGCM(key).decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], where)
    except (InvalidTag, ValueError):
        raise Unopened("does not open: another key or place, or changed bytes") from None
    return padded[4 : 4 + int.from_bytes(padded[:4], "big")]


def keyed_digest(key: bytes, *parts: str | int) -> bytes:
    """HMAC-SHA-256 over names and a value."""
    return hmac.digest(key, place(*parts), hashlib.sha256)
