# SPDX-License-Identifier: Apache-2.0
"""How a value is made comparable before it is searched for: what people write differently and mean the same.

A change here needs a new name, for the old digests stand in databases.
"""

import re
import unicodedata
from enum import StrEnum

_BLANKS = re.compile(r"\s+")
_SEPARATORS = re.compile(r"[\s().\-_/·•‐-―]+")


class Normal(StrEnum):
    """A way to compare; its value stands in the digest."""

    TEXT = "text/1"
    """Names and words: width, case and runs of blanks don't matter."""
    IDENTIFIER = "identifier/1"
    """Numbers of documents and phones: separators don't matter either."""


def normalise(kind: Normal, value: str) -> str:
    """The form of a value that is compared.

    Source: Unicode Standard Annex 15 (NFKC).
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    if kind is Normal.IDENTIFIER:
        return _SEPARATORS.sub("", text)
    return _BLANKS.sub(" ", text).strip()
