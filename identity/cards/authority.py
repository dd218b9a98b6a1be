# SPDX-License-Identifier: Apache-2.0
"""The authority that issues cards' certificates and says which of them no longer count.

It is no licensed certification authority: see docs/cards.md for what that means in law. Its root key stays offline; its
issuing key signs wherever a `KeySigner` is (an encrypted file, a PKCS#11 token).

Source: RFC 5280 (certificates, revocation lists).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from chain.errors import LedgerError
from chain.p256 import compress
from identity.cards.foreign_key import ForeignKey
from identity.cards.objects import GUID_BYTES, Slot
from identity.cards.profile import CA_USAGE, Places, card_certificate, point, seconds, sign
from identity.cards.statuses import Ending, Reason, StatusView
from identity.jose import KeySigner, compressed

REVOCATION_LIST_VALID: Final = timedelta(hours=1)
"""How long a relying party may rely on one list; a new one comes out every minute."""
REVOCATION_LIST_ENTRIES_MAX: Final = 250_000
"""10 MB of list; beyond it relying parties need OCSP, and the authority a second issuing key."""

REASONS: Final = {
    Reason.HOLD: x509.ReasonFlags.certificate_hold,
    Reason.LOST: x509.ReasonFlags.key_compromise,
    Reason.REPLACED: x509.ReasonFlags.superseded,
    Reason.ENDED: x509.ReasonFlags.cessation_of_operation,
}


class InvalidCardCertificate(LedgerError):
    """A certificate, chain or key that is not what a card or an authority of cards must have."""

    default_code = "identity.card-certificate"


class CardAuthority:
    """Issues cards' certificates and lists of revoked ones."""

    def __init__(
        self,
        issuing: x509.Certificate,
        signer: KeySigner,
        places: Places,
        *,
        allows_emulated: bool = False,
        log: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        """Take up the authority's work.

        Args:
            issuing: The issuing certificate (`profile.make_issuing`).
            signer: Its key.
            places: Where relying parties find the issuing certificate, the list and the responder.
            allows_emulated: Whether emulated cards get certificates: for development and tests alone.
            log: Is given the card's GUID and each certificate before `certify` returns it, and writes it down durably:
                a certificate that nobody knows of can't be revoked. None: nobody asks about this authority's cards.

        Raises:
            InvalidCardCertificate: The key is not the certificate's, or the certificate issues nothing.
        """
        check_issuing(issuing)
        if compressed_key(issuing) != compressed(signer.public_key):
            raise InvalidCardCertificate("the issuing key is not that of the issuing certificate")
        self.issuing = issuing
        self.allows_emulated = allows_emulated
        self._signer = signer
        self._places = places
        self._log = log

    def check(self, not_before_s: int, not_after_s: int, *, emulated: bool) -> None:
        """See whether a card may get certificates, before it is touched.

        Raises:
            InvalidCardCertificate: An emulated card where none is allowed, or a time in which the issuing certificate
                does not hold.
        """
        if emulated and not self.allows_emulated:
            raise InvalidCardCertificate("this authority certifies no emulated cards: they are for tests alone")
        begin, end = seconds(not_before_s), seconds(not_after_s)
        issuing = self.issuing
        if not issuing.not_valid_before_utc <= begin < end <= issuing.not_valid_after_utc:
            raise InvalidCardCertificate(
                f"the issuing certificate holds from {issuing.not_valid_before_utc:%Y-%m-%d} to "
                f"{issuing.not_valid_after_utc:%Y-%m-%d}; a card's can't from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
            )

    def certify(
        self, slot: Slot, public_key: bytes, guid: bytes, not_before_s: int, not_after_s: int, *, emulated: bool
    ) -> bytes:
        """Issue the certificate of one slot's key; the caller has seen that the card holds the key.

        Args:
            slot: Decides what the key may be used for.
            public_key: 65 bytes, from the card.
            guid: The card's; it stands in the certificate of slot 9E alone.
            not_before_s: When it begins to hold, in seconds since 1970; best a day's beginning, which tells less.
            not_after_s: When it ends.
            emulated: Whether the card exists as software alone; the certificate says so.

        Returns:
            The certificate in DER, below 1,000 bytes.

        Raises:
            InvalidCardCertificate: No key of P-256, or what `check` refuses.
        """
        assert len(guid) == GUID_BYTES, "a GUID has 16 bytes"
        self.check(not_before_s, not_after_s, emulated=emulated)
        try:
            key = point(public_key)
        except ValueError:
            raise InvalidCardCertificate("the card's key is no point of P-256") from None
        begin, end = seconds(not_before_s), seconds(not_after_s)
        builder = card_certificate(slot, key, guid, begin, end, self.issuing, self._places, emulated=emulated)
        der = sign(builder, self._signer).public_bytes(Encoding.DER)
        if self._log is not None:
            self._log(guid, der)
        return der

    def revocation_list(self, view: StatusView) -> bytes:
        """The list of certificates that no longer count, as of one height; its number is the height.

        Returns:
            The list in DER; the same view gives the same list but for its signature's nonce.

        Raises:
            InvalidCardCertificate: More entries than one list may have.
        """
        now = seconds(view.time_s)
        entries: list[x509.RevokedCertificate] = []
        for serial, ending in view.endings():
            if len(entries) == REVOCATION_LIST_ENTRIES_MAX:
                raise InvalidCardCertificate(f"a list has at most {REVOCATION_LIST_ENTRIES_MAX} entries; use OCSP")
            entries.append(_entry(serial, ending, now))
        number = x509.Extension(x509.CRLNumber.oid, critical=False, value=x509.CRLNumber(view.height))
        identifier = self.issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = x509.CertificateRevocationListBuilder(
            self.issuing.subject,
            now.replace(tzinfo=None),
            (now + REVOCATION_LIST_VALID).replace(tzinfo=None),
            [number, x509.Extension(x509.AuthorityKeyIdentifier.oid, critical=False, value=authority)],
            entries,  # all at once: the builder's own method copies the list for each entry
        )
        return builder.sign(ForeignKey(self._signer), SHA256()).public_bytes(Encoding.DER)


def load_certificate(raw: bytes) -> x509.Certificate:
    """A certificate from PEM or DER.

    Raises:
        InvalidCardCertificate: It is none, or a malformed one.
    """
    try:
        if raw.lstrip().startswith(b"-----BEGIN"):
            certificate = x509.load_pem_x509_certificate(raw)
        else:
            certificate = x509.load_der_x509_certificate(raw)
        _ = certificate.extensions, certificate.public_key(), certificate.subject, certificate.issuer
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise InvalidCardCertificate("this is no certificate, or a malformed one") from None
    return certificate


def check_issuing(certificate: x509.Certificate) -> None:
    """See that a certificate may issue others.

    Raises:
        InvalidCardCertificate: It may not.
    """
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        raise InvalidCardCertificate("the issuing certificate does not say that it is one") from None
    if not constraints.ca or usage != CA_USAGE:
        raise InvalidCardCertificate("the issuing certificate may not issue certificates and lists")


def compressed_key(certificate: x509.Certificate) -> bytes:
    """A certificate's P-256 key, 33 bytes.

    Raises:
        InvalidCardCertificate: It has a key of another kind.
    """
    key = certificate.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidCardCertificate("the certificate's key is none of P-256")
    return compress(key)


def _entry(serial: int, ending: Ending, now: datetime) -> x509.RevokedCertificate:
    reason = x509.CRLReason(REASONS[ending.reason])
    since = min(seconds(ending.since_s), now)
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
    return builder.add_extension(reason, critical=False).build()
