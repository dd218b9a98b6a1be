# SPDX-License-Identifier: Apache-2.0
"""Answers about one certificate, now: request in, response out; a service puts HTTP around it.

Answers come from a view of one finalized height; only `producedAt` is this machine's time, which the signer's act has.
A request asks about one certificate, as in the profile for large environments.

Source: RFC 6960 (OCSP); RFC 5019 (one certificate a request); RFC 9654 (nonces).
"""

from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, Hash, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPRequest, OCSPResponderEncoding, OCSPResponseStatus
from cryptography.x509.oid import ExtendedKeyUsageOID

from identity.cards.authority import REASONS, InvalidCardCertificate, compressed_key
from identity.cards.foreign_key import ForeignKey
from identity.cards.profile import seconds
from identity.cards.statuses import StatusView
from identity.jose import KeySigner, compressed

REQUEST_BYTES_MAX: Final = 1024
"""A request about one certificate with a nonce has about 130 bytes."""
NONCE_BYTES_MAX: Final = 128
"""RFC 9654, 2.1."""
ANSWER_VALID: Final = timedelta(minutes=5)
"""How long an answer may be relied on; a new view comes every minute."""
MEDIA_TYPE: Final = "application/ocsp-response"

_HASHES: Final = (SHA1, SHA256, SHA384, SHA512)
"""Requests name the issuer by a hash. SHA-1 is what most programs use for it; nothing rests on it here."""


class Responder:
    """Answers for one issuing certificate, with a key of its own."""

    def __init__(self, issuing: x509.Certificate, certificate: x509.Certificate, signer: KeySigner) -> None:
        """Take up the responder's work.

        Args:
            issuing: Whose certificates are asked about.
            certificate: The responder's (`profile.make_responder`).
            signer: Its key.

        Raises:
            InvalidCardCertificate: The certificate is not the issuing key's, not for this, or not this key's.
        """
        try:
            certificate.verify_directly_issued_by(issuing)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            raise InvalidCardCertificate("the responder's certificate is not from the issuing key") from None
        if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
            raise InvalidCardCertificate("the responder's certificate is not for answering about others")
        if compressed_key(certificate) != compressed(signer.public_key):
            raise InvalidCardCertificate("the responder's key is not that of its certificate")
        self._certificate = certificate
        self._signer = signer
        names = issuing.subject.public_bytes()
        key = issuing.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._issuer = {kind.name: (_digest(kind(), names), _digest(kind(), key)) for kind in _HASHES}

    def answer(self, request: bytes, view: StatusView) -> bytes:
        """Answer a request.

        Args:
            request: As it came from whoever asks; anything at all.
            view: The certificates as of one height.

        Returns:
            A response in DER: signed, or one that says why there is no answer.
        """
        asked = _decode(request)
        if asked is None:
            return _refusal(OCSPResponseStatus.MALFORMED_REQUEST)
        question, nonce = asked
        named = (question.issuer_name_hash, question.issuer_key_hash)
        if self._issuer.get(question.hash_algorithm.name) != named:
            return _refusal(OCSPResponseStatus.UNAUTHORIZED)
        now = seconds(view.time_s)
        status, since, reason = OCSPCertStatus.UNKNOWN, None, None
        if view.is_issued(question.serial_number):
            status = OCSPCertStatus.GOOD
            if (ending := view.ending(question.serial_number)) is not None:
                status, reason = OCSPCertStatus.REVOKED, REASONS[ending.reason]
                since = min(seconds(ending.since_s), now)
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                question.issuer_name_hash,
                question.issuer_key_hash,
                question.serial_number,
                question.hash_algorithm,
                status,
                now,
                now + ANSWER_VALID,
                since,
                reason,
            )
            .responder_id(OCSPResponderEncoding.HASH, self._certificate)
            .certificates([self._certificate])
        )
        if nonce is not None:
            builder = builder.add_extension(nonce, critical=False)
        return builder.sign(ForeignKey(self._signer), SHA256()).public_bytes(Encoding.DER)


def _decode(raw: bytes) -> tuple[OCSPRequest, x509.OCSPNonce | None] | None:
    """A request with its nonce, or None where it is none that we answer."""
    if len(raw) > REQUEST_BYTES_MAX:
        return None
    try:
        question = ocsp.load_der_ocsp_request(raw)
        extensions = question.extensions
        _ = question.issuer_name_hash, question.issuer_key_hash, question.serial_number, question.hash_algorithm
    except (
        ValueError,
        TypeError,
        NotImplementedError,  # several certificates in one request
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        return None
    nonce: x509.OCSPNonce | None = None
    for extension in extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            nonce = extension.value
        elif extension.critical:
            return None
    if nonce is not None and not 1 <= len(nonce.nonce) <= NONCE_BYTES_MAX:
        return None
    return question, nonce


def _refusal(status: OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _digest(algorithm: HashAlgorithm, content: bytes) -> bytes:
    digest = Hash(algorithm)
    digest.update(content)
    return digest.finalize()


TRY_LATER: Final = _refusal(OCSPResponseStatus.TRY_LATER)
"""What is answered while nobody can say."""
