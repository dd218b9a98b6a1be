# SPDX-License-Identifier: Apache-2.0
"""A person's data in the one encoding that is committed to.

What Unicode calls normal is a table of the interpreter's, so no rule may import this: rules see the commitment alone.
"""

import json
import unicodedata
from collections.abc import Mapping
from typing import Final

from chain.types import sha256
from identity.commitments import SALT_BYTES

_DATA: Final = b"zhixin/identity/data\x00"


def data_commitment(data: bytes, salt: bytes) -> bytes:
    """Commitment to a person's data in their canonical encoding; 32 bytes.

    Args:
        data: See `canonical_data`.
        salt: 32 random bytes, for this commitment alone.
    """
    assert len(salt) == SALT_BYTES, "a salt has 32 bytes"
    return sha256(_DATA + salt + data)


def canonical_data(data: Mapping[str, str]) -> bytes:
    """The one encoding of a person's data: a JSON object in UTF-8, keys in code point order, NFC, no white space."""
    normal = {name: unicodedata.normalize("NFC", value) for name, value in data.items()}
    return json.dumps(normal, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
