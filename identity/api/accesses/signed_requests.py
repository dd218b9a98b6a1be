# SPDX-License-Identifier: Apache-2.0
"""Requests that are signed with a key of the ledger: what the signature covers, and how it stands in a header.

    Zhixin-Signature: SCHEME.PUBLIC-KEY.TIME-MS.NONCE.SIGNATURE

The scheme and the time are decimal, the rest base64url without padding. The signature covers host, method, path, the
body's digest, time and nonce, so that no request serves twice, elsewhere, or later.

Source: docs/identity.md, "Accesses".
"""

import secrets
from dataclasses import dataclass
from typing import Final

from chain import ed25519, p256
from chain.errors import LedgerError
from chain.signing import Scheme, Signer, TransactionSigner
from chain.types import sha256
from identity.jose import decode_base64url, encode_base64url

HEADER: Final = "Zhixin-Signature"
AGE_MS_MAX: Final = 60_000
"""By how much two services' clocks may differ, the way of the request included."""
NONCE_BYTES: Final = 16
HEADER_CHARACTERS_MAX: Final = 256
"""The longest that `sign` makes has 174."""

_PREFIX = b"zhixin/signed-request/1\x00"
_VERIFY = {Scheme.ED25519: ed25519.verify, Scheme.P256: p256.verify}
_PARTS = 5
_TIME_DIGITS_MAX = 15


class NotSigned(Exception):
    """A request has no signature of this form, one of another request, or one of another time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as both sides see it.

    Attributes:
        host: As the header `Host` says it.
        method: Such as "POST".
        path: With its query.
        body: Its bytes.
    """

    host: str
    method: str
    path: str
    body: bytes

    def covered(self, time_ms: int, nonce: bytes) -> bytes:
        """What a signature covers; each part is hashed, so that no two requests have the same bytes."""
        parts = (self.host.encode(), self.method.encode(), self.path.encode(), self.body, b"%d" % time_ms, nonce)
        return _PREFIX + b"".join(sha256(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a signature says.

    Attributes:
        signer: Whose key made it; nothing is known yet of how the key stands on the ledger.
        nonce: Counts once; 16 bytes.
    """

    signer: Signer
    nonce: bytes


def sign(key: TransactionSigner, asked: Asked, now_ms: int) -> str:
    """The header's value.

    Args:
        key: Ed25519 or P-256.
        asked: The request.
        now_ms: Unix time in ms.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    signature = key.sign(asked.covered(now_ms, nonce))
    coded = [encode_base64url(part) for part in (key.signer.public_key, nonce, signature)]
    return f"{int(key.signer.scheme)}.{coded[0]}.{now_ms}.{coded[1]}.{coded[2]}"


def check(header: str, asked: Asked, now_ms: int) -> Proven:
    """Check a header's value against the request that it came with.

    Args:
        header: Its value.
        asked: The request.
        now_ms: Unix time in ms.

    Raises:
        NotSigned: It is of another form, another request or another time.
    """
    parts = header.split(".") if len(header) <= HEADER_CHARACTERS_MAX and header.isascii() else []
    if len(parts) != _PARTS or not (parts[0].isdigit() and parts[2].isdigit() and len(parts[2]) <= _TIME_DIGITS_MAX):
        raise NotSigned
    scheme, time_ms = int(parts[0]), int(parts[2])
    if scheme not in _VERIFY or abs(now_ms - time_ms) > AGE_MS_MAX:
        raise NotSigned
    try:
        public_key, nonce, signature = (decode_base64url(parts[i], HEADER) for i in (1, 3, 4))
        if len(nonce) != NONCE_BYTES:
            raise NotSigned
        _VERIFY[Scheme(scheme)](public_key, asked.covered(time_ms, nonce), signature)
    except LedgerError:
        raise NotSigned from None
    return Proven(Signer(Scheme(scheme), public_key), nonce)
