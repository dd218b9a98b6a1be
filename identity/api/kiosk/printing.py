# SPDX-License-Identifier: Apache-2.0
"""What a holder takes away, made of a kiosk's records; see `identity.api.documents` for how it looks."""

from dataclasses import dataclass

from identity.api.documents.attestation_pdf import AttestationCertificate, attestation_pdf
from identity.api.documents.receipt_pdf import SignedReceipt, receipt_pdf
from identity.api.kiosk.base import Attested, Receipt
from identity.api.kiosk.statements import TITLES
from service.language import Language, translate


@dataclass(frozen=True, slots=True)
class PaperPrinter:
    """Makes PDFs in memory; nothing of them is written to a disk here.

    Attributes:
        network: Name of the ledger.
        check_url: Of the page that checks proofs.
        sealed_by: Whose seal comes on what is printed; "": none does, and the paper says so.
    """

    network: str
    check_url: str
    sealed_by: str = ""

    def receipt(self, receipt: Receipt) -> bytes:
        """The receipt of a statement; with the ledger's proof, unless it waits to be recorded."""
        stated = receipt.signed.statement
        done = SignedReceipt(
            translate(stated.language, TITLES[stated.kind]),
            stated.lines,
            receipt.signed.recorded.hex(),
            "" if receipt.filed is None else receipt.filed.reference,
            receipt.proof,
            receipt.time_ms,
            receipt.place,
            self.network,
            self.check_url,
            self.sealed_by,
        )
        return receipt_pdf(done, stated.language)

    def certificate(self, attested: Attested, language: Language) -> bytes:
        """A certificate that the holder is registered, with the ledger's proof of the registration."""
        holder = attested.holder
        said = AttestationCertificate(
            holder.name,
            holder.registration,
            holder.registrar,
            holder.level,
            holder.proofed,
            attested.proof,
            attested.time_ms,
            attested.place,
            self.network,
            self.check_url,
            self.sealed_by,
        )
        return attestation_pdf(said, language)
