# SPDX-License-Identifier: Apache-2.0
"""A proof on paper: a code that leads to the check page, and the receipt itself as codes that are photographed there.

The page checks on the reader's own device, without a network once it was opened; nobody learns what is checked.
"""

from typing import Final

from chain.receipt_text import to_compact
from service.explorer.receipt_codes import parts_of
from service.language import Language, translate
from service.pdf import Document

_LINK_MM: Final = 34.0
_PROOF_MM: Final = 84.0
"""Half a millimetre and more for each module of the fullest code, which phones read from paper."""


def add_proof(document: Document, proof: bytes, check_url: str, language: Language) -> None:
    """Print a receipt so that a phone can check it.

    Args:
        document: Is written on where it stands.
        proof: A receipt, as `chain.receipt.verify` takes it.
        check_url: Of the check page, such as https://ledger.example/check.
        language: Of the words beside the codes.

    Raises:
        InvalidMessage: It is no receipt that goes into a text.
        TooManyParts: It is too long for paper.
    """
    parts = parts_of(to_compact(proof))
    document.heading(translate(language, "paper.check-heading"), 2)
    document.paragraph(translate(language, "paper.check-how", count=len(parts)))
    document.qr(check_url, _LINK_MM, caption=f"{translate(language, 'paper.check-open')}\n{check_url}")
    document.gap(3)
    for index, part in enumerate(parts, 1):
        words = translate(language, "paper.check-part", index=index, count=len(parts))
        document.qr(part, _PROOF_MM, caption=words)
        document.gap(3)
