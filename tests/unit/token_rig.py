# SPDX-License-Identifier: Apache-2.0
"""Keys, salts and tokens for tests of credentials."""

import hashlib
import json

from cryptography.hazmat.primitives.asymmetric import ec

from identity.jose import KeySigner, MemorySigner, encode_base64url

NOW_S = 1_790_000_000
"""In September 2026."""
YEAR_S = 31_536_000


def key(number: int) -> MemorySigner:
    return MemorySigner(ec.derive_private_key(number + 1, ec.SECP256R1()))


ISSUER, HOLDER, STRANGER = key(1), key(2), key(3)


class Salts:
    """Random bytes that repeat from run to run."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(b"salt %d" % self.count).digest(size)


def b64(value: object) -> str:
    return encode_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def digest(text: str) -> str:
    return encode_base64url(hashlib.sha256(text.encode()).digest())


def jws(header: object, payload: object, signer: KeySigner = ISSUER) -> str:
    """A signed token of whatever is given, also of what our own signer would refuse to make."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{encode_base64url(signer.sign(hashlib.sha256(signed.encode()).digest()))}"
