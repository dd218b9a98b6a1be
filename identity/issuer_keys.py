# SPDX-License-Identifier: Apache-2.0
"""Keys by which a registrar issues credentials and status lists, and whom a verifier trusts for them.

An issuing key signs for some months and then makes room for the next one; its certificate counts for as long as
anything that it signed may, so rotation invalidates nothing. Tokens carry the certificate (`x5c`); it is signed by the
registrar's own, which a verifier has and which no token brings along. A stolen key is ended on the ledger, where it
stands with the purpose attest; whoever checks offline hears of that with the next certificates that they are given.

Source: RFC 5280, 6 (path of one step), 4.2.1.3, 4.2.1.9; RFC 7515, 4.1.6 (x5c); RFC 7517, 5 (JWK set); HAIP 1.0, 6.1.1.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from chain import p256
from chain.strict_json import Json
from chain.types import sha256
from identity.jose import InvalidToken, JsonObject, KeySigner, compressed, decompress, jwk_of, thumbprint

KEY_ID_BYTES: Final = 8
"""Enough to tell a registrar's keys apart in a small code; the signature is what proves."""
CHAIN_CERTIFICATES_MAX: Final = 1
"""The registrar's own certificate signs issuing keys directly; the trust anchor stays out of the chain."""
CERTIFICATE_BYTES_MAX: Final = 4096
"""Ours have 500."""
KEYS_MAX: Final = 64
"""Of one registrar at once: one in use and those whose tokens still count; six a year for ten years."""
DAY_S: Final = 86_400
_READ_MAX: Final = 4 * KEYS_MAX
"""Certificates that are read once, and paths that are checked once; some kilobytes each. Whether they count now is
looked at each time."""


@dataclass(frozen=True, slots=True)
class IssuingKey:
    """One key, with the certificate that says whose it is.

    Attributes:
        public_key: 33 bytes, compressed.
        certificate: The registrar's word for it; DER.
        signs_from_s: Unix time in s from which it signs.
        signs_until_s: From when it signs no longer; what it signed counts on.
        ends_s: When its certificate ends; nothing that it signs may count longer.
        signer: Signs; None once the private key was destroyed.
    """

    public_key: bytes
    certificate: bytes
    signs_from_s: int
    signs_until_s: int
    ends_s: int
    signer: KeySigner | None

    @property
    def kid(self) -> str:
        """Its name: the thumbprint of RFC 7638."""
        return _named_once(self.public_key)

    @property
    def key_id(self) -> bytes:
        """Its name in offline codes; 8 bytes."""
        return key_id_of(self.public_key)

    @property
    def header(self) -> JsonObject:
        """What stands in the header of a token that it signs."""
        return {"kid": self.kid, "x5c": [b64encode(self.certificate).decode("ascii")]}


class KeySet:
    """A registrar's issuing keys, old and new."""

    def __init__(self, keys: Iterable[IssuingKey]) -> None:
        """Take them in any order.

        Raises:
            InvalidToken: More than 64, or one of them twice.
        """
        self._keys = sorted(keys, key=lambda one: (one.signs_from_s, one.public_key))
        if len(self._keys) > KEYS_MAX or len({one.public_key for one in self._keys}) != len(self._keys):
            raise InvalidToken(f"a registrar has at most {KEYS_MAX} issuing keys, each once", "identity.issuer-key")

    def __iter__(self) -> Iterator[IssuingKey]:
        return iter(self._keys)

    def current(self, now_s: int) -> IssuingKey:
        """The key that signs now: of those that may, the newest.

        Raises:
            InvalidToken: None may: a new one is due.
        """
        usable = [k for k in self._keys if k.signer is not None and k.signs_from_s <= now_s < k.signs_until_s]
        if not usable:
            raise InvalidToken("no issuing key signs at this time: make a new one", "identity.issuer-key")
        return usable[-1]

    def jwks(self, now_s: int) -> JsonObject:
        """All keys whose tokens may still count, as a JWK set."""
        keys: list[Json] = []
        for one in self._keys:
            if now_s < one.ends_s:
                x5c: list[Json] = [b64encode(one.certificate).decode("ascii")]
                keys.append({**jwk_of(one.public_key), "kid": one.kid, "use": "sig", "alg": "ES256", "x5c": x5c})
        return {"keys": keys}


class Trust:
    """The registrars whom a verifier trusts, by their certificates."""

    def __init__(self, anchors: Sequence[bytes], issuing: Sequence[bytes] = ()) -> None:
        """Take certificates that came by a way the verifier trusts.

        Args:
            anchors: Registrars' own, DER.
            issuing: Certificates of issuing keys, DER; needed for offline codes, which have no room for them. Each must
                be signed by an anchor.

        Raises:
            InvalidToken: One of them is no certificate of P-256, or no anchor may sign others.
        """
        self._anchors = [load_certificate(one) for one in anchors]
        for anchor in self._anchors:
            if not _may_certify(anchor):
                raise InvalidToken("a registrar's certificate may sign no other", "identity.issuer-untrusted")
        self._issuing = {key_id_of(_public_key(cert)): cert for cert in map(load_certificate, issuing)}

    def key_of(self, header: JsonObject, now_s: int) -> bytes:
        """The key of whoever signed a token; 33 bytes.

        Args:
            header: The token's.
            now_s: Unix time in s.

        Raises:
            InvalidToken: It names no certificate, or none that a trusted registrar signed and that counts now.
        """
        return self._trusted(_leaf_of(header), now_s)[0]

    def registrar_of(self, header: JsonObject, now_s: int) -> "Trust":
        """Trust in one registrar alone: the one that certified the key of a token.

        A status list counts for a credential only if the same registrar signed it: another one, though trusted for its
        own credentials, could otherwise say of this one that it is valid, or revoked.

        Args:
            header: The credential's.
            now_s: Unix time in s.

        Raises:
            InvalidToken: As `key_of`.
        """
        return Trust([self._trusted(_leaf_of(header), now_s)[1].public_bytes(Encoding.DER)])

    def registrar_of_id(self, key_id: bytes, now_s: int) -> "Trust":
        """As `registrar_of`, for the key that an offline code names.

        Raises:
            InvalidToken: As `key_of_id`.
        """
        return Trust([self._trusted(self._named(key_id), now_s)[1].public_bytes(Encoding.DER)])

    def key_of_id(self, key_id: bytes, now_s: int) -> bytes:
        """The key that an offline code names; 33 bytes.

        Raises:
            InvalidToken: No certificate of it is known, or it does not count now.
        """
        return self._trusted(self._named(key_id), now_s)[0]

    def _named(self, key_id: bytes) -> x509.Certificate:
        certificate = self._issuing.get(key_id)
        if certificate is None:
            raise InvalidToken("nobody who is trusted has the key that the code names", "identity.issuer-untrusted")
        return certificate

    def _trusted(self, leaf: x509.Certificate, now_s: int) -> tuple[bytes, x509.Certificate]:
        """A leaf's key, and the anchor that certified it."""
        now = datetime.fromtimestamp(now_s, UTC)
        for anchor in self._anchors:
            if not _is_issued_by(leaf, anchor):
                continue
            for certificate in (leaf, anchor):
                if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
                    raise InvalidToken("the issuer's certificate does not count at this time", "identity.token-expired")
            if not _may_sign(leaf):
                raise InvalidToken("the issuer's certificate is for something else", "identity.issuer-untrusted")
            return _public_key(leaf), anchor
        raise InvalidToken("nobody who is trusted has certified the issuer's key", "identity.issuer-untrusted")


@lru_cache(maxsize=KEYS_MAX)
def _named_once(public_key: bytes) -> str:
    """The thumbprint of a key that signs again and again: to find its point costs as much as a signature."""
    return thumbprint(public_key)


def key_id_of(public_key: bytes) -> bytes:
    """A key's name in offline codes; 8 bytes."""
    return sha256(compressed(public_key))[:KEY_ID_BYTES]


def issuing_key(certificate: bytes, signer: KeySigner | None, *, signs_from_s: int, signs_until_s: int) -> IssuingKey:
    """Put a key and its certificate together.

    Raises:
        InvalidToken: The certificate is another key's, or ends before the key stops to sign.
    """
    loaded = load_certificate(certificate)
    public_key = _public_key(loaded)
    if signer is not None and compressed(signer.public_key) != public_key:
        raise InvalidToken("the certificate is another key's", "identity.issuer-key")
    ends_s = int(loaded.not_valid_after_utc.timestamp())
    begins_s = int(loaded.not_valid_before_utc.timestamp())
    if not begins_s <= signs_from_s < signs_until_s <= ends_s:
        raise InvalidToken("the key would sign while its certificate does not count", "identity.issuer-key")
    return IssuingKey(public_key, certificate, signs_from_s, signs_until_s, ends_s, signer)


def make_registrar(
    name: str, private_key: EllipticCurvePrivateKey, *, serial: int, begins_s: int, ends_s: int
) -> bytes:
    """A registrar's own certificate, signed by itself, which verifiers are given; DER.

    Args:
        name: The organisation's.
        private_key: Of P-256; it certifies issuing keys and signs nothing else.
        serial: Random, below 2^159.
        begins_s: Unix time in s.
        ends_s: Unix time in s.
    """
    subject = _named(name)
    made = (
        _builder(subject, subject, private_key.public_key(), serial, begins_s, ends_s)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certifies=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
    )
    return made.sign(private_key, SHA256()).public_bytes(Encoding.DER)


def certify(
    registrar: bytes,
    private_key: EllipticCurvePrivateKey,
    public_key: bytes,
    *,
    serial: int,
    begins_s: int,
    ends_s: int,
) -> bytes:
    """Certify an issuing key; DER.

    Args:
        registrar: The registrar's own certificate, DER.
        private_key: Its key.
        public_key: The issuing key's, 33 or 65 bytes.
        serial: Random, below 2^159.
        begins_s: Unix time in s.
        ends_s: Unix time in s; as long as anything that the key signs may count.

    Raises:
        InvalidToken: The certificate given is no registrar's, or another key's.
    """
    issuer = load_certificate(registrar)
    if _public_key(issuer) != p256.compress(private_key.public_key()) or not _may_certify(issuer):
        raise InvalidToken("this is not the registrar's certificate and key", "identity.issuer-key")
    subject_key = decompress(public_key)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(private_key.public_key())
    made = (
        _builder(issuer.subject, issuer.subject, subject_key, serial, begins_s, ends_s)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certifies=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(authority, critical=False)
    )
    return made.sign(private_key, SHA256()).public_bytes(Encoding.DER)


def check_issued_by(certificate: bytes, registrar: bytes) -> None:
    """Check that a registrar certified an issuing key, so that verifiers will believe what it signs.

    Raises:
        InvalidToken: It did not.
    """
    if not _is_issued_by(load_certificate(certificate), load_certificate(registrar)):
        raise InvalidToken("the registrar's certificate here did not certify this issuing key", "identity.issuer-key")


@lru_cache(maxsize=_READ_MAX)
def load_certificate(der: bytes) -> x509.Certificate:
    """Read a certificate of a P-256 key.

    Raises:
        InvalidToken: Anything else.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise InvalidToken(f"a certificate has more than {CERTIFICATE_BYTES_MAX} bytes", "identity.issuer-untrusted")
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        _ = certificate.extensions
    except (ValueError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension):
        raise InvalidToken("this is no certificate", "identity.issuer-untrusted") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidToken("the certificate is of no P-256 key", "identity.issuer-untrusted")
    return certificate


def _leaf_of(header: JsonObject) -> x509.Certificate:
    """The certificate that a token carries."""
    chain = header.get("x5c")
    if not isinstance(chain, list) or not 1 <= len(chain) <= CHAIN_CERTIFICATES_MAX:
        raise InvalidToken("the token does not carry its issuer's certificate", "identity.issuer-untrusted")
    text = chain[0]
    if not isinstance(text, str) or len(text) > CERTIFICATE_BYTES_MAX * 4 // 3 + 4:
        raise InvalidToken("x5c holds no certificate", "identity.issuer-untrusted")
    try:
        der = b64decode(text, validate=True)
    except ValueError:
        raise InvalidToken("x5c holds no certificate", "identity.issuer-untrusted") from None
    return load_certificate(der)


@lru_cache(maxsize=_READ_MAX)
def _public_key(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    assert isinstance(key, EllipticCurvePublicKey), "it was loaded here"
    return p256.compress(key)


@lru_cache(maxsize=_READ_MAX)
def _is_issued_by(leaf: x509.Certificate, anchor: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(anchor)
    except (ValueError, TypeError, BadSignature):
        return False
    return True


def _may_certify(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def _may_sign(certificate: x509.Certificate) -> bool:
    """Whether a certificate is an issuing key's: it signs, certifies nobody, and asks for nothing unknown here."""
    known = (x509.BasicConstraints.oid, x509.KeyUsage.oid)
    if any(extension.critical and extension.oid not in known for extension in certificate.extensions):
        return False
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return usage.digital_signature and not constraints.ca


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    serial: int,
    begins_s: int,
    ends_s: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(datetime.fromtimestamp(begins_s, UTC))
        .not_valid_after(datetime.fromtimestamp(ends_s, UTC))
    )


def _usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        key_cert_sign=certifies,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
