# SPDX-License-Identifier: Apache-2.0
"""A PDF signed with a card: PAdES B-LTA, made in four steps, each an addition that leaves the bytes before it alone.

    signature      what was there, signed by the card's key 9C           B-B
    its stamp      inside the signature: when it was there at the latest  B-T
    evidence       certificates, and what the authority says of them      B-LT
    closing stamp  over all of that                                       B-LTA

What comes out was verified with what stands in it; else nothing comes out. Nothing is fetched: evidence and stamps come
from the caller. No name stands in the signature: a card's certificate names nobody.

Source: ETSI EN 319 142-1 (PAdES baseline), ISO 32000-2, 12.8.
"""

import asyncio
import io
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from asn1crypto import algos  # type: ignore[import-untyped]  # it has no types
from asn1crypto import crl as asn1_crl
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers.pdf_cms import Signer
from pyhanko.sign.signers.pdf_signer import PdfSignatureMetadata, PdfSigner, PdfTimeStamper
from pyhanko.sign.timestamps.common_utils import TimestampRequestError
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko_certvalidator.registry import SimpleCertificateStore

from chain.types import sha256
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.cards.verifying import Chain
from identity.pades.errors import InvalidDocument, InvalidEvidence
from identity.pades.reading import DAMAGED, read_pdf, signatures_of
from identity.pades.revocation import Evidence
from identity.pades.time_stamps import Stamper, Stamps
from identity.pades.verifying import Report, Trust, verify_pdf

TEXT_CHARACTERS_MAX: Final = 200
"""Of a reason or place in a signature: one line of a reader's window."""
FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
SIGNATURE_BYTES: Final = 72
"""The longest ECDSA signature of P-256 in DER."""


class DocumentKey(Protocol):
    """A key that signs documents, with its certificate: a card's slot 9C, wherever the card is."""

    @property
    def certificate(self) -> bytes:
        """DER."""
        ...

    async def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest, once for each document; 64 bytes r || s."""
        ...


class CardKey:
    """Slot 9C of a card in this process or in a reader. It asks for the PIN before each signature, as the card does."""

    def __init__(self, piv: Piv, pin: str) -> None:
        """Take a card that is selected.

        Raises:
            InvalidDocument: It has no certificate in slot 9C.
            CardError: The card failed.
        """
        certificate = piv.certificate(Slot.SIGN)
        if certificate is None:
            raise InvalidDocument(
                "the card has no certificate in slot 9C; it can't sign documents", "identity.document-key"
            )
        self._certificate = certificate
        self._piv = piv
        self._pin = pin

    @property
    def certificate(self) -> bytes:
        """DER."""
        return self._certificate

    async def sign(self, digest: bytes) -> bytes:
        """Verify the PIN and sign, in a thread.

        Raises:
            CardError: The card failed, or refused the PIN.
        """
        return await asyncio.to_thread(self._sign, digest)

    def _sign(self, digest: bytes) -> bytes:
        self._piv.verify_pin(self._pin)
        try:
            return self._piv.sign(Slot.SIGN, digest)
        finally:
            self._piv.log_out()

    def __repr__(self) -> str:
        return "CardKey()"


@dataclass(frozen=True, slots=True)
class Statement:
    """What the signature says beside the document; readers show it, so no name and no number belongs here.

    Attributes:
        reason: Why it was signed, at most 200 characters; "" says nothing.
        location: Where, at most 200 characters; "" says nothing.
        field: The name of the signature's field.
    """

    reason: str = ""
    location: str = ""
    field: str = "Signature"


@dataclass(frozen=True, slots=True)
class SignedPdf:
    """A signed document, and what verifying it says.

    Attributes:
        content: The file.
        digest: SHA-256 of the bytes that the card signed the digest of: what a receipt names.
        report: Of the checks, all passed.
    """

    content: bytes
    digest: bytes
    report: Report


async def sign_pdf(
    pdf: bytes, key: DocumentKey, statement: Statement, evidence: Evidence, stamps: Stamps, trust: Trust
) -> SignedPdf:
    """Sign a document that nobody has signed yet; holds the event loop for some 0.3 s, most of it pyHanko's.

    Args:
        pdf: The document, as it was shown to whoever signs.
        key: Signs.
        statement: Stands in the signature.
        evidence: What the card's authority says of the certificate now; see `CardAuthority`, `Responder`.
        stamps: The time-stamp authority.
        trust: What the result is verified against before it is given out.

    Returns:
        The signed document.

    Raises:
        InvalidDocument: No PDF, an encrypted one, one that is signed already, or a statement that is too long.
        InvalidCardCertificate: The key's certificate is not the authority's, has expired, or is for something else.
        InvalidEvidence: What came out does not verify; the reason names the step that failed.
        InvalidTimeStamp: The authority's answer is none.
        OSError: The authority can't be reached, or refused.
        CardError: The card failed, or refused the PIN.
    """
    _check_statement(statement)
    _check_unsigned(pdf)
    certificate = key.certificate
    chain = trust.chain_of(certificate)
    stamper = Stamper(stamps)
    try:
        signed = await _signed(pdf, key, statement, chain, stamper)
        closed = await _closed(signed, certificate, chain, evidence, stamper)
    except TimestampRequestError as error:
        raise ConnectionRefusedError(f"the time-stamp authority refused: {error}") from None
    except DAMAGED as error:
        raise InvalidDocument(f"this PDF can't be signed: {error}") from None
    report = verify_pdf(closed, trust)
    if not report.is_valid:
        failed = report.first_failure
        raise InvalidEvidence(f"the signed document does not verify ({failed.name}): {failed.reason}")
    return SignedPdf(closed, report.signed_digest, report)


def _check_statement(statement: Statement) -> None:
    for what, text in (("reason", statement.reason), ("location", statement.location)):
        if len(text) > TEXT_CHARACTERS_MAX or not text.isprintable():
            raise InvalidDocument(f"the {what} of a signature has at most {TEXT_CHARACTERS_MAX} characters of text")
    if FIELD.fullmatch(statement.field) is None:
        raise InvalidDocument("a signature field's name is 1 to 64 ASCII letters, digits, - or _, a letter first")


def _check_unsigned(pdf: bytes) -> None:
    reader = read_pdf(pdf)
    if signatures_of(reader):
        raise InvalidDocument(
            "this document is signed already; further signatures are not supported: sign the original",
            "identity.document-signed",
        )


class _Signer(Signer):
    """What pyHanko asks to sign; it asks the key once."""

    def __init__(self, key: DocumentKey, chain: Chain) -> None:
        store = SimpleCertificateStore()  # type: ignore[no-untyped-call]  # pyHanko's lacks types
        store.register(_asn1(chain.issuing.public_bytes(Encoding.DER)))
        super().__init__(
            signing_cert=_asn1(key.certificate),
            cert_registry=store,
            signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            embed_roots=False,
        )
        self._key = key

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """The signature in DER, or room for it."""
        assert digest_algorithm == "sha256", "asked for below"
        if dry_run:
            return bytes(SIGNATURE_BYTES)
        raw = await self._key.sign(sha256(data))
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


async def _signed(pdf: bytes, key: DocumentKey, statement: Statement, chain: Chain, stamper: Stamper) -> bytes:
    """With the signature and the stamp inside it."""
    metadata = PdfSignatureMetadata(
        field_name=statement.field,
        md_algorithm="sha256",
        reason=statement.reason or None,
        location=statement.location or None,
        subfilter=SigSeedSubFilter.PADES,
    )
    signer = PdfSigner(metadata, _Signer(key, chain), timestamper=stamper, new_field_spec=SigFieldSpec(statement.field))
    out = await signer.async_sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)))
    return bytes(out.getbuffer())


async def _closed(signed: bytes, certificate: bytes, chain: Chain, evidence: Evidence, stamper: Stamper) -> bytes:
    """With the evidence, and a stamp over everything."""
    writer = IncrementalPdfFileWriter(io.BytesIO(signed))
    contents = signatures_of(read_pdf(signed))[0].pkcs7_content.hex().encode("ascii")
    ders = (certificate, chain.issuing.public_bytes(Encoding.DER))
    DocumentSecurityStore.supply_dss_in_writer(
        writer,
        contents,
        certs=[_asn1(der) for der in ders],
        crls=[asn1_crl.CertificateList.load(raw) for raw in evidence.lists],
        ocsps=[asn1_ocsp.OCSPResponse.load(raw) for raw in evidence.answers],
    )
    filled = io.BytesIO()
    writer.write(filled)  # type: ignore[no-untyped-call]  # likewise
    out = await PdfTimeStamper(stamper, field_name="TimeStamp").async_timestamp_pdf(
        IncrementalPdfFileWriter(filled), "sha256"
    )
    return bytes(out.getbuffer())


def _asn1(der: bytes) -> Any:
    return asn1_x509.Certificate.load(der)
