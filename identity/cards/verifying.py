# SPDX-License-Identifier: Apache-2.0
"""Whether a card is what it says: its certificates hold, nobody ended them, and it uses the keys in them.

Without a PIN only the key of slot 9E is tried: a copy of everything readable does not hold it. The answer is for the
moment of asking and this authority alone; it says nothing of who holds the card.

Source: RFC 5280, section 6 (as far as our own profile goes: one issuing certificate under one root); docs/cards.md.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.cards.authority import InvalidCardCertificate, check_issuing, compressed_key, load_certificate
from identity.cards.objects import Chuid, Slot
from identity.cards.personalise import prove_slot
from identity.cards.piv import Piv
from identity.cards.profile import POLICY_EMULATED, USES, seconds

CHAIN_BYTES_MAX: Final = 64 * 1024
"""Two certificates in PEM have 2 KB."""
REVOCATION_LIST_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chain:
    """Whom one trusts: a root and its issuing certificate.

    Attributes:
        root: Trusted because the caller says so.
        issuing: Signed by the root.
    """

    root: x509.Certificate
    issuing: x509.Certificate


@dataclass(frozen=True, slots=True)
class VerifiedCard:
    """A card that held.

    Attributes:
        chuid: What it says that it is.
        certificates: By slot.
        emulated: Whether its certificates say that it exists as software alone.
        proven: Slots whose key it used just now.
    """

    chuid: Chuid
    certificates: dict[Slot, x509.Certificate]
    emulated: bool
    proven: list[Slot]


def load_chain(pem: bytes) -> Chain:
    """Read an issuing certificate and its root, in this order, as `zhixin card authority` writes them.

    Raises:
        InvalidCardCertificate: It is something else, or the root did not sign the issuing certificate.
    """
    end = b"-----END CERTIFICATE-----"
    parts = [part + end for part in pem.split(end)[:-1]]
    if len(pem) > CHAIN_BYTES_MAX or len(parts) != 2:
        raise InvalidCardCertificate("a chain is two certificates in PEM: the issuing one, then the root")
    issuing, root = (load_certificate(part) for part in parts)
    for certificate in (root, issuing):
        check_issuing(certificate)
        compressed_key(certificate)
    _check_signed("the issuing certificate", issuing, root)
    return Chain(root, issuing)


def load_revocation_list(raw: bytes, chain: Chain, now_s: int) -> x509.CertificateRevocationList:
    """Read a revocation list (DER or PEM), and see that it is the authority's and still counts.

    Raises:
        InvalidCardCertificate: It is none, another's, or too old.
    """
    try:
        load = x509.load_pem_x509_crl if raw.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_crl
        found = load(raw)
        key = chain.issuing.public_key()
        assert isinstance(key, EllipticCurvePublicKey), "checked when the chain was loaded"
        is_theirs = found.issuer == chain.issuing.subject and found.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidCardCertificate("this is no revocation list, or a malformed one") from None
    if not is_theirs:
        raise InvalidCardCertificate("the revocation list is not from this authority")
    if found.next_update_utc is None or not found.last_update_utc <= seconds(now_s) <= found.next_update_utc:
        raise InvalidCardCertificate(
            f"the revocation list is of {found.last_update_utc:%Y-%m-%d %H:%M} UTC; get a new one"
        )
    return found


def verify_card(
    piv: Piv,
    chain: Chain,
    now_s: int,
    *,
    pin: str | None = None,
    revoked: x509.CertificateRevocationList | None = None,
) -> VerifiedCard:
    """Verify a card in the reader.

    Args:
        piv: The card, selected.
        chain: Whom one trusts.
        now_s: Seconds since 1970.
        pin: The holder's; with it the keys of all slots are tried, else that of 9E alone.
        revoked: The authority's list, as `load_revocation_list` read it; None asks nobody.

    Raises:
        InvalidCardCertificate: Something does not hold; the reason says what.
        CardError: The card failed, or refused the PIN.
    """
    chuid = piv.chuid()
    if chuid is None:
        raise InvalidCardCertificate("the card is blank: it has no identifier")
    read: dict[Slot, bytes] = {}
    for slot in Slot:
        raw = piv.certificate(slot)
        if raw is None:
            raise InvalidCardCertificate(f"the card has no certificate in slot {slot:02X}")
        read[slot] = raw
    certificates = verify_certificates(read, chain, now_s, revoked=revoked)
    _check_guid(certificates[Slot.CARD], chuid)
    emulated = {is_emulated(certificate) for certificate in certificates.values()}
    if len(emulated) != 1:
        raise InvalidCardCertificate("some certificates say that the card is emulated, and some do not")
    proven = list(Slot) if pin is not None else [Slot.CARD]
    for slot in proven:
        if not prove_slot(piv, slot, _uncompressed(certificates[slot]), pin):
            raise InvalidCardCertificate(f"the card does not hold the key of slot {slot:02X}: it is a copy")
    if pin is not None:
        piv.log_out()
    return VerifiedCard(chuid, certificates, emulated.pop(), proven)


def verify_certificates(
    read: Mapping[Slot, bytes], chain: Chain, now_s: int, *, revoked: x509.CertificateRevocationList | None = None
) -> dict[Slot, x509.Certificate]:
    """Verify certificates that somebody says are a card's; whether it holds their keys, only the card can show.

    Args:
        read: DER by slot.
        chain: Whom one trusts.
        now_s: Seconds since 1970.
        revoked: The authority's list; None asks nobody.

    Raises:
        InvalidCardCertificate: One does not hold; the reason says which and what.
    """
    now = seconds(now_s)
    for name, certificate in (("root", chain.root), ("issuing certificate", chain.issuing)):
        _check_time(f"the {name}", certificate, now)
    certificates: dict[Slot, x509.Certificate] = {}
    for slot, raw in read.items():
        certificates[slot] = load_certificate(raw)
        _check(slot, certificates[slot], chain, now, revoked)
    return certificates


def is_emulated(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that its key is bytes in a file."""
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False
    return any(each.policy_identifier == POLICY_EMULATED for each in policies)


def _check(
    slot: Slot,
    certificate: x509.Certificate,
    chain: Chain,
    now: datetime,
    revoked: x509.CertificateRevocationList | None,
) -> None:
    what = f"the certificate of slot {slot:02X}"
    compressed_key(certificate)
    _check_signed(what, certificate, chain.issuing)
    _check_time(what, certificate, now)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise InvalidCardCertificate(f"{what} does not say what its key is for") from None
    use = USES[slot]
    if usage != use.usage or list(extended) != [use.extended] or constraints.ca:
        raise InvalidCardCertificate(f"{what} is for something else than this slot")
    entry = None if revoked is None else revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise InvalidCardCertificate(
            f"{what} was suspended or revoked on {entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC"
        )


def _check_signed(what: str, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise InvalidCardCertificate(f"{what} is not from this authority") from None


def _check_time(what: str, certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        raise InvalidCardCertificate(f"{what} holds from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, not on {now:%Y-%m-%d}")


def _check_guid(certificate: x509.Certificate, chuid: Chuid) -> None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [uuid.UUID(bytes=chuid.guid).urn]:
        raise InvalidCardCertificate("the card's identifier is not the one that its certificate in slot 9E names")


def _uncompressed(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
