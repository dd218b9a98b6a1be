# SPDX-License-Identifier: Apache-2.0
"""An organisation's seal: the key with which it signs the papers that it hands out, as PAdES B-LTA.

A seal is an authority of its own beside the card authority's: root, issuing certificate, and one certificate for one
key, which names the organisation. Who verifies pins its `chain.pem`, as with cards. The root's key signs once, while
the seal is made, and is kept nowhere; the issuing key says, at the moment of each signature, that the seal counts.

Source: ETSI EN 319 142-1 (PAdES baseline), ETSI EN 319 411-1 (seals of legal persons); docs/documents.md.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from identity.cards.authority import CardAuthority, InvalidCardCertificate, compressed_key
from identity.cards.objects import Slot
from identity.cards.profile import POLICY_SEAL, USES, Places, make_issuing, make_root, point, sign
from identity.cards.statuses import StatusTable
from identity.cards.verifying import Chain
from identity.jose import KeySigner, MemorySigner, compressed
from identity.pades.revocation import Evidence
from identity.pades.signing import SignedPdf, Statement, sign_pdf
from identity.pades.time_stamps import TimeStampAuthority
from identity.pades.verifying import Trust

SEAL_YEARS: Final = 5
"""How long one key seals; what it sealed stays verifiable by its time stamps."""
SEALING_MAX: Final = 1
"""Documents that are sealed at one time: each takes a core for a third of a second; the others wait."""


@dataclass(frozen=True, slots=True)
class SealCertificates:
    """What `make_certificates` makes.

    Attributes:
        chain: For whoever verifies.
        certificate: The seal's own.
    """

    chain: Chain
    certificate: x509.Certificate


def make_certificates(
    organisation: str, issuing_signer: KeySigner, signer: KeySigner, today: datetime
) -> SealCertificates:
    """Make a seal's certificates; the root's key is gone afterwards.

    Args:
        organisation: Whose seal it is, 1 to 64 characters; stands in all three.
        issuing_signer: The issuing key.
        signer: The seal's key.
        today: They begin to hold with this day.
    """
    root_signer = MemorySigner(generate_private_key(SECP256R1()))
    root = make_root(root_signer, organisation, today, of="Document")
    issuing = make_issuing(root, root_signer, issuing_signer.public_key, today, Places(), of="Document")
    key, use = point(signer.public_key), USES[Slot.SIGN]
    name = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(NameOID.COMMON_NAME, f"Document Seal {secrets.token_hex(4)}"),
    ]
    begin = issuing.not_valid_before_utc
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(name))
        .issuer_name(issuing.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * SEAL_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(use.usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([use.extended]), critical=False)
        .add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(POLICY_SEAL, None)]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    return SealCertificates(Chain(root, issuing), sign(builder, issuing_signer))


class DocumentSeal:
    """Seals papers; the keys are wherever their `KeySigner`s are."""

    def __init__(
        self,
        certificates: SealCertificates,
        issuing_signer: KeySigner,
        signer: KeySigner,
        stamps: TimeStampAuthority,
        clock: Callable[[], float],
    ) -> None:
        """Take up the seal.

        Args:
            certificates: `make_certificates`'s.
            issuing_signer: The issuing key, which says that the seal counts.
            signer: The seal's key.
            stamps: The time-stamp authority.
            clock: Seconds since 1970.

        Raises:
            InvalidCardCertificate: A key is not that of its certificate, or the certificate is no seal's.
        """
        self._key = _SealKey(certificates.certificate, signer)
        self._authority = CardAuthority(certificates.chain.issuing, issuing_signer, Places())
        self._serial = certificates.certificate.serial_number
        self._stamps = stamps
        self._clock = clock
        self._threads = ThreadPoolExecutor(SEALING_MAX, thread_name_prefix="seal")
        self.organisation = organisation_of(certificates.certificate)
        if not self.organisation:
            raise InvalidCardCertificate("the certificate is none of an organisation's seal")
        self.trust = Trust([certificates.chain], [stamps.certificate])

    async def seal(self, pdf: bytes, statement: Statement) -> SignedPdf:
        """Seal a paper, in a thread, since it takes a third of a second of a core.

        Args:
            pdf: Nobody has signed it.
            statement: Stands in the signature, for everybody to read.

        Raises:
            InvalidDocument: It can't be signed.
            InvalidCardCertificate: The seal's certificate has expired.
            InvalidEvidence: What came out does not verify.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: asyncio.run(self._sealed(pdf, statement))
        )

    async def _sealed(self, pdf: bytes, statement: Statement) -> SignedPdf:
        now_s = int(self._clock())
        listed = self._authority.revocation_list(StatusTable(now_s, now_s, {self._serial: None}))
        return await sign_pdf(pdf, self._key, statement, Evidence([listed]), self._stamps, self.trust)


class _SealKey:
    """See `DocumentKey`."""

    def __init__(self, certificate: x509.Certificate, signer: KeySigner) -> None:
        if compressed_key(certificate) != compressed(signer.public_key):
            raise InvalidCardCertificate("the seal's key is not that of its certificate")
        self.certificate = certificate.public_bytes(Encoding.DER)
        self._signer = signer

    async def sign(self, digest: bytes) -> bytes:
        """See `DocumentKey`; already in a thread of its own."""
        return self._signer.sign(digest)


def organisation_of(certificate: x509.Certificate) -> str:
    """Whose seal a certificate is; "" where it is none of a seal, such as a card's."""
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return ""
    if not any(each.policy_identifier == POLICY_SEAL for each in policies):
        return ""
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if names else ""
