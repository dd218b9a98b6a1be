# SPDX-License-Identifier: Apache-2.0
"""What stands in the certificates of cards and of the authority that issues them.

A card's certificates can be read by every reader without a PIN, so they name nobody: the subject is random, another one
for each key. Only the certificate in slot 9E also carries the card's GUID, which the card shows anyway.

Source: RFC 5280; RFC 9336 (document signing); NIST SP 800-73-5 part 1, section 3; FIPS 201-3, 4.2 (GUID as UUID,
id-PIV-cardAuth); ITU-T X.667 (object identifiers under 2.25).
"""

import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from identity.cards.foreign_key import ForeignKey
from identity.cards.objects import Slot
from identity.jose import KeySigner

_ARC: Final = "2.25.282134728244531192273119901731145967026"
POLICY_CARD: Final = x509.ObjectIdentifier(f"{_ARC}.1")
"""The key was made on a card and cannot leave it, as far as the card's maker is right."""
POLICY_EMULATED: Final = x509.ObjectIdentifier(f"{_ARC}.2")
"""The key is bytes in a file: worth nothing outside development and tests."""
POLICY_SEAL: Final = x509.ObjectIdentifier(f"{_ARC}.5")
"""The key is an organisation's, for documents that it hands out; `.4` is that of time stamps (`identity.pades`)."""
USAGE_OPEN: Final = x509.ObjectIdentifier(f"{_ARC}.3")
"""Opens what was encrypted to the holder."""
USAGE_CARD: Final = x509.ObjectIdentifier("2.16.840.1.101.3.6.8")
"""id-PIV-cardAuth: shows that this very card is present."""

EMULATED_TEXT: Final = "Emulated card, for tests only"
ROOT_YEARS: Final = 20
ISSUING_YEARS: Final = 10
RESPONDER_DAYS: Final = 90
"""A responder's certificate can't be revoked, so it is short-lived and made anew."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Places:
    """Where relying parties find what goes with a certificate; an empty one is left out.

    Attributes:
        issuer: URL of the issuing certificate.
        crl: URL of the revocation list.
        ocsp: URL of the responder.
    """

    issuer: str = ""
    crl: str = ""
    ocsp: str = ""

    def extensions(self) -> list[x509.ExtensionType]:
        """As they stand in a certificate."""
        found: list[x509.ExtensionType] = []
        access = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
            for method, url in (
                (AuthorityInformationAccessOID.OCSP, self.ocsp),
                (AuthorityInformationAccessOID.CA_ISSUERS, self.issuer),
            )
            if url
        ]
        if access:
            found.append(x509.AuthorityInformationAccess(access))
        if self.crl:
            name = x509.UniformResourceIdentifier(self.crl)
            found.append(x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)]))
        return found


@dataclass(frozen=True, slots=True)
class Use:
    """What one slot's certificate allows.

    Attributes:
        usage: Key usage.
        extended: The only extended key usage.
    """

    usage: x509.KeyUsage
    extended: x509.ObjectIdentifier


def _key_usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in every})


USES: Final = {
    Slot.AUTHENTICATE: Use(_key_usage("digital_signature"), ExtendedKeyUsageOID.CLIENT_AUTH),
    Slot.SIGN: Use(_key_usage("digital_signature", "content_commitment"), x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")),
    Slot.KEY_MANAGEMENT: Use(_key_usage("key_agreement"), USAGE_OPEN),
    Slot.CARD: Use(_key_usage("digital_signature"), USAGE_CARD),
}

CA_USAGE: Final = _key_usage("key_cert_sign", "crl_sign")


def card_subject(*, emulated: bool) -> x509.Name:
    """A name that says nothing: 128 random bits; and, for an emulated card, that it is one."""
    mark = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, EMULATED_TEXT)] if emulated else []
    return x509.Name([*mark, x509.NameAttribute(NameOID.COMMON_NAME, secrets.token_hex(16))])


def policy(*, emulated: bool) -> x509.CertificatePolicies:
    """Which promise a certificate makes about its key."""
    if not emulated:
        return x509.CertificatePolicies([x509.PolicyInformation(POLICY_CARD, None)])
    notice = x509.UserNotice(None, EMULATED_TEXT)
    return x509.CertificatePolicies([x509.PolicyInformation(POLICY_EMULATED, [notice])])


def card_certificate(
    slot: Slot,
    public_key: EllipticCurvePublicKey,
    guid: bytes,
    not_before: datetime,
    not_after: datetime,
    issuer: x509.Certificate,
    places: Places,
    *,
    emulated: bool,
) -> x509.CertificateBuilder:
    """The certificate of one slot's key, ready to be signed."""
    use = USES[slot]
    builder = _builder(card_subject(emulated=emulated), public_key, issuer.subject, not_before, not_after)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(use.usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([use.extended]), critical=slot is Slot.CARD)
        .add_extension(policy(emulated=emulated), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
    )
    if slot is Slot.CARD:
        name = x509.UniformResourceIdentifier(uuid.UUID(bytes=guid).urn)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    for extension in places.extensions():
        builder = builder.add_extension(extension, critical=False)
    return builder


def make_root(signer: KeySigner, organisation: str, today: datetime, *, of: str = "Card") -> x509.Certificate:
    """The root's certificate; its key signs issuing certificates and is kept offline.

    Args:
        signer: The root's key.
        organisation: Whose authority this is, 1 to 64 characters.
        today: It begins to hold with this day, so that cards made on the same day fit into it.
        of: Of what it is an authority; stands in the name.
    """
    key = point(signer.public_key)
    subject = _authority_name(organisation, f"{of} Root")
    today = _beginning(today)
    builder = _builder(subject, key, subject, today, today + 365 * ROOT_YEARS * _DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return sign(_authority(builder, key), signer)


def make_issuing(
    root: x509.Certificate,
    signer: KeySigner,
    public_key: bytes,
    today: datetime,
    places: Places,
    *,
    of: str = "Card",
) -> x509.Certificate:
    """A certificate of the key that issues cards' certificates.

    Args:
        root: The root's certificate.
        signer: The root's key.
        public_key: The issuing key, 33 or 65 bytes.
        today: It begins to hold with this day, so that cards made on the same day fit into it.
        places: Where the root's certificate and revocation list are found.
        of: Of what it is an authority; stands in the name.
    """
    key = point(public_key)
    organisation = str(root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)
    today = max(_beginning(today), root.not_valid_before_utc)
    end = min(today + 365 * ISSUING_YEARS * _DAY, root.not_valid_after_utc)
    name = _authority_name(organisation, f"{of} Issuing {secrets.token_hex(4)}")
    builder = _builder(name, key, root.subject, today, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = _authority(builder, key).add_extension(_issued_by(root), critical=False)
    any_policy = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)])
    builder = builder.add_extension(any_policy, critical=False)
    for extension in places.extensions():
        builder = builder.add_extension(extension, critical=False)
    return sign(builder, signer)


def make_responder(
    issuing: x509.Certificate, signer: KeySigner, public_key: bytes, today: datetime
) -> x509.Certificate:
    """A certificate of the key that answers questions about revocation, so that the issuing key need not be there."""
    key = point(public_key)
    organisation = str(issuing.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)
    name = _authority_name(organisation, f"Card Status {secrets.token_hex(4)}")
    end = min(today + RESPONDER_DAYS * _DAY, issuing.not_valid_after_utc)
    builder = _builder(name, key, issuing.subject, today, end)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=True)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(_issued_by(issuing), critical=False)
    )
    return sign(builder, signer)


def point(public_key: bytes) -> EllipticCurvePublicKey:
    """A public key from its 33 or 65 bytes. Raises ValueError for anything else."""
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)


def sign(builder: x509.CertificateBuilder, signer: KeySigner) -> x509.Certificate:
    """Have a key sign a certificate, wherever the key is."""
    return builder.sign(ForeignKey(signer), SHA256())


def seconds(moment_s: int) -> datetime:
    """Seconds since 1970 as certificates take them."""
    return datetime.fromtimestamp(moment_s, UTC)


def _beginning(moment: datetime) -> datetime:
    """The beginning of a moment's day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _authority_name(organisation: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, role),
        ]
    )


def _authority(builder: x509.CertificateBuilder, key: EllipticCurvePublicKey) -> x509.CertificateBuilder:
    builder = builder.add_extension(CA_USAGE, critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _builder(
    subject: x509.Name, key: EllipticCurvePublicKey, issuer: x509.Name, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
