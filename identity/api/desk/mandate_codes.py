# SPDX-License-Identifier: Apache-2.0
"""What each side of a mandate gets on paper: one code that accepts it, one that ends it, each with its own checksum.

A side's secret is 32 random bytes; the code that ends shows the secret, the code that accepts its hash, so that whoever
is shown the one cannot use the other. In Crockford's base 32, without the letters that are taken for figures, in groups
of four; 3 bytes of a hash find a slip of the pen before anything is sent to the ledger.
"""

import base64
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chain.types import HASH_BYTES, sha256
from identity.commitments import anchor_of

_CHECK_BYTES: Final = 3
_GROUP: Final = 4
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD: Final = str.maketrans(_RFC4648, _CROCKFORD)
_FROM_CROCKFORD: Final = str.maketrans(_CROCKFORD + "ILO", _RFC4648 + "BBA")
"""What is read as I or L was a 1, an O a 0: so the code says."""
CODE_CHARACTERS_MAX: Final = 120
"""The code with its letter, blanks and hyphens."""


class CodeUse(StrEnum):
    """What a code does; its first letter."""

    ACCEPT = "A"
    END = "E"


class WrongCode(ValueError):
    """The text is no code, or a character of it is wrong."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One side's secret.

    Attributes:
        raw: 32 random bytes.
    """

    raw: bytes

    @classmethod
    def new(cls) -> "Secret":
        """A new one."""
        return cls(secrets.token_bytes(HASH_BYTES))

    @property
    def anchor(self) -> bytes:
        """What stands on the ledger for the side; 32 bytes."""
        return anchor_of(anchor_of(self.raw))

    def code(self, use: CodeUse) -> str:
        """The code that accepts or ends."""
        return write(use, self.raw if use is CodeUse.END else anchor_of(self.raw))


def write(use: CodeUse, proof: bytes) -> str:
    """A proof as a code to print."""
    whole = base64.b32encode(proof + _check(use, proof)).decode().rstrip("=").translate(_TO_CROCKFORD)
    return f"{use}-" + "-".join(whole[i : i + _GROUP] for i in range(0, len(whole), _GROUP))


def read(code: str) -> tuple[CodeUse, bytes]:
    """What a code says, however it was typed.

    Returns:
        What it is for, and the 32 bytes that are revealed.

    Raises:
        WrongCode: It is none.
    """
    plain = "".join(code.upper().replace("-", "").split())[:CODE_CHARACTERS_MAX]
    try:
        use = CodeUse(plain[:1])
        digits = plain[1:].translate(_FROM_CROCKFORD)
        raw = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except ValueError:
        raise WrongCode("this is no code of a mandate") from None
    proof, check = raw[:HASH_BYTES], raw[HASH_BYTES:]
    if len(proof) != HASH_BYTES or check != _check(use, proof):
        raise WrongCode("a character of this code is wrong")
    return use, proof


def _check(use: CodeUse, proof: bytes) -> bytes:
    return sha256(b"zhixin/mandate-code\x00" + use.encode() + proof)[:_CHECK_BYTES]
