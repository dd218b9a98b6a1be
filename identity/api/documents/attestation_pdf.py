# SPDX-License-Identifier: Apache-2.0
"""A certificate that somebody is registered: what the registrar says, and the ledger's proof of it.

The proof shows the registration's record, which holds no name: that the name goes with the record is the registrar's
word, and the paper says so. Making it takes some 0.3 s of a core: make it in a thread.
"""

from dataclasses import dataclass

from identity.api.documents.proof_codes import add_proof
from identity.api.documents.words import LEVEL_KEYS, PROOFED_KEYS, seal_words
from service.language import Language, translate
from service.pdf import Document
from service.wording import clock, instant


@dataclass(frozen=True, slots=True)
class AttestationCertificate:
    """What stands in it.

    Attributes:
        name: The holder's, as the registrar has it.
        registration: Id of the record on the ledger, hex.
        registrar: Name of the organisation that answers for it.
        level: Assurance level: low, substantial or high.
        proofed: How the person became known, as the ledger names it, such as "document-inspected".
        proof: State receipt of the registration.
        time_ms: As of when, by the ledger's time.
        place: Where it was printed; "" says nothing.
        network: Name of the ledger.
        check_url: Of the page that checks the proof.
        sealed_by: Whose electronic seal the file is to carry; "": it carries none, and says so.
    """

    name: str
    registration: str
    registrar: str
    level: str
    proofed: str
    proof: bytes
    time_ms: int
    place: str
    network: str
    check_url: str
    sealed_by: str = ""


def attestation_pdf(said: AttestationCertificate, language: Language) -> bytes:
    """The document.

    Returns:
        PDF, A4.

    Raises:
        KeyError: A level or way of proofing that there is not.
        InvalidMessage: The proof is no receipt.
        TooManyParts: The proof is too long for paper.
    """

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    moment = instant(said.time_ms)
    document = Document(t("paper.attestation-title"), language, moment)
    document.heading(t("paper.attestation-title"))
    document.paragraph(
        t("paper.attestation-says", registrar=said.registrar, moment=clock(language, moment, seconds=True))
    )
    rows = [
        (t("paper.holder"), said.name),
        (t("paper.registration"), said.registration),
        (t("paper.registrar"), said.registrar),
        (t("paper.level"), t(LEVEL_KEYS[said.level])),
        (t("paper.proofed"), t(PROOFED_KEYS[said.proofed])),
        (t("paper.as-of"), clock(language, moment, seconds=True)),
        (t("paper.network"), said.network),
    ]
    document.fields([*rows, (t("paper.place"), said.place)] if said.place else rows)
    document.paragraph(t("paper.attestation-limits"), small=True)
    document.paragraph(seal_words(said.sealed_by, language), small=True)
    add_proof(document, said.proof, said.check_url, language)
    return document.output(allow_missing=True)
