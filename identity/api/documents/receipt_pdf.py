# SPDX-License-Identifier: Apache-2.0
"""A receipt of something that was signed: what, when, the digest, and the ledger's proof that it was recorded.

While it waits to be recorded it says so and holds no proof. Making it takes some 0.3 s of a core: make it in a thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from identity.api.documents.proof_codes import add_proof
from identity.api.documents.words import seal_words
from service.language import Language, translate
from service.pdf import Document
from service.wording import clock, instant


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """What stands in it.

    Attributes:
        title: What was done, in the holder's language.
        lines: What was shown and signed, line by line.
        digest: SHA-256 of what was signed, hex.
        number: To ask by, such as the record's place on the ledger; "" while there is none.
        proof: Receipt of the record; empty while it waits to be recorded.
        time_ms: When it was recorded, by the ledger's time; when it was signed, while it waits.
        place: Where; "" says nothing.
        network: Name of the ledger.
        check_url: Of the page that checks the proof.
        sealed_by: Whose electronic seal the file is to carry; "": it carries none, and says so.
    """

    title: str
    lines: Sequence[str]
    digest: str
    number: str
    proof: bytes
    time_ms: int
    place: str
    network: str
    check_url: str
    sealed_by: str = ""


def receipt_pdf(done: SignedReceipt, language: Language) -> bytes:
    """The document.

    Returns:
        PDF, A4.

    Raises:
        InvalidMessage: The proof is no receipt.
        TooManyParts: The proof is too long for paper.
    """

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    moment = instant(done.time_ms)
    document = Document(t("paper.receipt-title"), language, moment)
    document.heading(t("paper.receipt-title"))
    document.heading(done.title, 3)
    for line in done.lines:
        document.paragraph(line)
    rows = [
        (t("paper.recorded") if done.proof else t("paper.signed"), clock(language, moment, seconds=True)),
        (t("paper.digest"), done.digest),
        (t("paper.number"), done.number),
        (t("paper.place"), done.place),
        (t("paper.network"), done.network),
    ]
    document.fields([row for row in rows if row[1]])
    document.paragraph(seal_words(done.sealed_by, language), small=True)
    if not done.proof:
        document.paragraph(t("paper.pending"), bold=True)
        return document.output(allow_missing=True)
    document.paragraph(t("paper.receipt-limits"), small=True)
    add_proof(document, done.proof, done.check_url, language)
    return document.output(allow_missing=True)
