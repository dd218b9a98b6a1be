# SPDX-License-Identifier: Apache-2.0
"""Ed25519 by libsodium's rules, which are the ledger's: no other library may judge these signatures.

Libraries differ on small-order keys, non-canonical points and large scalars, and a difference between validators is a
fork. libsodium refuses all three.  Source: RFC 8032, 5.1; docs/protocol.md, section 1.
"""

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from chain.errors import InvalidSignature
from chain.signing import Scheme, Signer

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
SEED_BYTES = 32


class Ed25519Signer:
    """Signs with an Ed25519 key in memory."""

    __slots__ = ("_secret", "_signer")

    def __init__(self, seed: bytes) -> None:
        """Take the 32 secret bytes of RFC 8032.

        Raises:
            InvalidSignature: Not 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise InvalidSignature(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        public_key, self._secret = crypto_sign_seed_keypair(seed)
        self._signer = Signer(Scheme.ED25519, public_key)

    @property
    def signer(self) -> Signer:
        """What the header names: scheme and public key."""
        return self._signer

    def sign(self, message: bytes) -> bytes:
        """Sign; 64 bytes, the same for the same message."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"Ed25519Signer({self._signer.public_key.hex()})"


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check one signature; libsodium works outside the interpreter's lock.

    Raises:
        InvalidSignature: Wrong lengths, a key or point that libsodium refuses, or it does not verify.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature("an Ed25519 public key has 32 bytes and a signature 64")
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        raise InvalidSignature("the Ed25519 signature does not verify") from None
