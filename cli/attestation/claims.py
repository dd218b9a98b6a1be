# SPDX-License-Identifier: Apache-2.0
"""Claims about one person, and the salted commitment that alone goes on the chain.

Canonical encoding: a JSON object in UTF-8, keys in code point order, NFC text values, no white space. Commitment:
SHA-256 of the domain, a 32-byte random salt and the encoding; without the salt it tells nothing, whatever is guessed.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping

SALT_BYTES = 32
_DOMAIN = b"zhixin/1/claims\x00"


def canonical(claims: Mapping[str, str]) -> bytes:
    """The one encoding of a person's claims."""
    normal = {name: unicodedata.normalize("NFC", value) for name, value in claims.items()}
    return json.dumps(normal, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def commitment(claims: Mapping[str, str], salt: bytes) -> bytes:
    """The 32 bytes that the chain gets to see."""
    assert len(salt) == SALT_BYTES
    return hashlib.sha256(_DOMAIN + salt + canonical(claims)).digest()
