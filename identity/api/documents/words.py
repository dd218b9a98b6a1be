# SPDX-License-Identifier: Apache-2.0
"""Words of printed certificates and receipts, each key named as a literal."""

from collections.abc import Mapping
from typing import Final

from service.language import Language, translate

LEVEL_KEYS: Final[Mapping[str, str]] = {
    "low": "paper.level-low",
    "substantial": "paper.level-substantial",
    "high": "paper.level-high",
}
"""Assurance levels, as credentials name them."""
PROOFED_KEYS: Final[Mapping[str, str]] = {
    "document-chip": "paper.proofed-chip",
    "document-inspected": "paper.proofed-inspected",
    "vouched": "paper.proofed-vouched",
    "remote-video": "paper.proofed-video",
    "remote-data": "paper.proofed-data",
}
"""How a person became known, as the ledger names it."""


def seal_words(sealed_by: str, language: Language) -> str:
    """What a paper says of the electronic seal on it.

    Args:
        sealed_by: Whose; "": it carries none.
        language: Of the paper.
    """
    if sealed_by:
        return translate(language, "paper.sealed", name=sealed_by)
    return translate(language, "paper.unsealed")
