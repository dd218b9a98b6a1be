# SPDX-License-Identifier: Apache-2.0
"""The TLS certificate of a node: self-signed P-256, pinned by peers as it stands.

Each certificate has a subject of its own: with equal subjects OpenSSL looks for the issuer of one under the key of
another and refuses it. Ed25519 certificates find no signature algorithm in gRPC's TLS, hence P-256.
"""

import datetime as dt
import hashlib
import ipaddress

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from node.errors import ConfigError
from node.keys import Algorithm, KeyPair

LIFETIME_DAYS = 3650
"""The pin is what counts; a certificate changes with membership.SetEndpoint, not by running out in a bad night."""
CERTIFICATE_BYTES_MAX = 4096
_EXTENSIONS = frozenset({x509.SubjectAlternativeName.oid, x509.BasicConstraints.oid})
"""What `make_certificate` writes. TLS libraries disagree about others, and one that fails to load fails for all."""


def server_name(public_key: bytes) -> str:
    """The name that a node's certificate bears, from its key; peers and clients expect it whatever the address."""
    return f"{hashlib.sha256(public_key).hexdigest()[:32]}.node.zhixin"


def make_certificate(key: KeyPair, hosts: tuple[str, ...], now: dt.datetime) -> bytes:
    """A self-signed certificate for a TLS key.

    Args:
        key: A P-256 key.
        hosts: Names and addresses under which clients reach the node.
        now: Valid from a day before, for clocks that lag.

    Returns:
        DER.
    """
    assert key.algorithm is Algorithm.P256, "only P-256 serves TLS"
    private = ec.derive_private_key(int.from_bytes(key.secret, "big"), ec.SECP256R1())
    name = server_name(key.public_key)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    alternatives = [x509.DNSName(name), *(_general_name(host) for host in dict.fromkeys(hosts))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def to_pem(der: bytes) -> bytes:
    """A certificate as PEM, the way gRPC wants it and shows it.

    Raises:
        ConfigError: Not a P-256 certificate.
    """
    return _load(der)[0].public_bytes(serialization.Encoding.PEM)


def from_pem(pem: bytes) -> bytes:
    """A PEM certificate as DER, the way membership pins it.

    Raises:
        ConfigError: Not a node's certificate; see `verify_certificate`.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigError("not a PEM certificate") from None
    der = certificate.public_bytes(serialization.Encoding.DER)
    verify_certificate(der)
    return der


def certificate_name(der: bytes) -> str:
    """The server name that a certificate bears.

    Raises:
        ConfigError: Not a P-256 certificate.
    """
    return server_name(certificate_key(der))


def certificate_key(der: bytes) -> bytes:
    """A certificate's public key, P-256 compressed.

    Raises:
        ConfigError: Not a P-256 certificate.
    """
    return _load(der)[1].public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


def verify_certificate(der: bytes) -> bytes:
    """Check that a certificate is such as `make_certificate` makes: fit to be trusted beside those of other peers.

    The ledger checks only that it is DER, so any validator can pin anything. Above all the subject must be the one that
    belongs to the key: with another peer's subject, that peer's own certificate would be refused.

    Returns:
        Its public key, P-256 compressed.

    Raises:
        ConfigError: It is not.
    """
    certificate, key = _load(der)
    try:
        if certificate.public_bytes(serialization.Encoding.DER) != der:
            raise ConfigError("a node's certificate must be plain DER")
        public_key = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, server_name(public_key))])
        if certificate.subject != subject or certificate.issuer != subject:
            raise ConfigError("a node's certificate must bear the name that belongs to its key, and no other")
        if not {extension.oid for extension in certificate.extensions} <= _EXTENSIONS:
            raise ConfigError("a node's certificate has no extensions but its names and basic constraints")
        if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256):
            raise ConfigError("a node's certificate must be signed with SHA-256")
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise ConfigError("a node's certificate has fields that can't be read") from None
    except InvalidSignature:
        raise ConfigError("a node's certificate must be signed with its own key") from None
    return public_key


def _load(der: bytes) -> tuple[x509.Certificate, ec.EllipticCurvePublicKey]:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise ConfigError(f"a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise ConfigError("not a DER certificate") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("a node's certificate must have a P-256 key")
    return certificate, key


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
