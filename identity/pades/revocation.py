# SPDX-License-Identifier: Apache-2.0
"""What an authority said of one certificate around a moment, by its lists and its answers; no clock, no network.

All evidence counts together: one piece that says "ended before that moment" outweighs any that says "good". Evidence of
"good" counts where it was in force at the moment, or came so soon after that no suspension can have come and gone.

Source: RFC 5280, section 5 (lists); RFC 6960, 4.2.2.2 (who may answer); ETSI EN 319 102-1, 5.2.5 and 5.6.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponse, OCSPResponseStatus
from cryptography.x509.oid import ExtendedKeyUsageOID

from chain.types import sha256
from identity.cards.authority import InvalidCardCertificate, compressed_key
from identity.cards.verifying import REVOCATION_LIST_BYTES_MAX
from identity.pades.errors import InvalidEvidence

ANSWER_BYTES_MAX: Final = 16 * 1024
"""An answer with its responder's certificate has 1 KB."""
PIECES_MAX: Final = 64
"""Lists and answers in one document: one of each would do; a document that is stamped anew for decades has more."""
GRACE: Final = timedelta(hours=1)
"""How much later than the moment evidence may be made: later evidence no longer tells of a suspension that ended."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an authority said, as of one height of the ledger: `CardAuthority.revocation_list`, `Responder.answer`.

    Attributes:
        lists: Revocation lists, DER.
        answers: Answers about one certificate each, DER; far shorter than a list.
    """

    lists: Sequence[bytes] = ()
    answers: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Good:
    """The authority said that the certificate counted at the moment.

    Attributes:
        said: When.
        ended_later: Since when it does not count any more, where some evidence says that; the moment was before.
    """

    said: datetime
    ended_later: datetime | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """The certificate did not count any more at the moment.

    Attributes:
        since: Since when.
    """

    since: datetime


@dataclass(frozen=True, slots=True)
class Unknown:
    """No evidence that is the authority's speaks of this moment."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One piece of evidence, read and found to be the authority's."""

    begin: datetime
    end: datetime
    ended: datetime | None


def standing_at(
    evidence: Evidence, certificate: x509.Certificate, issuing: x509.Certificate, moment: datetime
) -> Good | Revoked | Unknown:
    """Whether a certificate counted at a moment.

    Args:
        evidence: As it was found, in a document or given by whoever asks; pieces that are not the authority's say
            nothing, whatever they contain.
        certificate: The one that is asked about.
        issuing: Who issued it, and whose word counts.
        moment: Aware of its zone.

    Raises:
        InvalidEvidence: More pieces than anybody needs.
    """
    if len(evidence.lists) + len(evidence.answers) > PIECES_MAX:
        raise InvalidEvidence(f"more than {PIECES_MAX} revocation lists and answers")
    serial = certificate.serial_number
    found = [_from_list(raw, serial, issuing) for raw in evidence.lists]
    found += [_from_answer(raw, serial, issuing) for raw in evidence.answers]
    said = [each for each in found if each is not None]
    ends = [each.ended for each in said if each.ended is not None]
    if ends and min(ends) <= moment:
        return Revoked(min(ends))
    counting = [each.begin for each in said if each.begin - GRACE <= moment <= each.end]
    if not counting:
        return Unknown()
    return Good(min(counting), min(ends) if ends else None)


def _from_list(raw: bytes, serial: int, issuing: x509.Certificate) -> _Said | None:
    if len(raw) > REVOCATION_LIST_BYTES_MAX:
        return None
    try:
        read = x509.load_der_x509_crl(raw)
        key = issuing.public_key()
        assert isinstance(key, EllipticCurvePublicKey), "checked when the chain was loaded"
        if read.issuer != issuing.subject or not read.is_signature_valid(key) or read.next_update_utc is None:
            return None
        if any(extension.critical for extension in read.extensions):
            return None  # a list of some certificates only, or in parts: not ours
        entry = read.get_revoked_certificate_by_serial_number(serial)
        ended = None if entry is None else entry.revocation_date_utc
        return _Said(read.last_update_utc, read.next_update_utc, ended)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return None


def _from_answer(raw: bytes, serial: int, issuing: x509.Certificate) -> _Said | None:
    if len(raw) > ANSWER_BYTES_MAX:
        return None
    try:
        read = ocsp.load_der_ocsp_response(raw)
        if read.response_status != OCSPResponseStatus.SUCCESSFUL or read.serial_number != serial:
            return None
        if not _is_about(read, issuing) or read.next_update_utc is None:
            return None
        _check_answered_by(read, issuing)
        if read.certificate_status == OCSPCertStatus.UNKNOWN:
            return None
        return _Said(read.this_update_utc, read.next_update_utc, read.revocation_time_utc)
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        InvalidCardCertificate,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
    ):
        return None


def _is_about(read: OCSPResponse, issuing: x509.Certificate) -> bool:
    """Whether it names the issuing certificate."""
    digest = _DIGESTS.get(read.hash_algorithm.name)
    if digest is None:
        return False
    key = issuing.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return read.issuer_name_hash == digest(issuing.subject.public_bytes()) and read.issuer_key_hash == digest(key)


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()


_DIGESTS: Final = {"sha1": _sha1, "sha256": sha256}
"""An answer names the issuing key by one; nothing rests on it, the signature is checked against the pinned one."""


def _check_answered_by(read: OCSPResponse, issuing: x509.Certificate) -> None:
    """See that the issuing key answered, or a responder that it appointed.

    Raises:
        ValueError: It did not.
        InvalidSignature: Somebody else signed.
    """
    responder = read.certificates[0] if read.certificates else issuing
    if responder != issuing:
        responder.verify_directly_issued_by(issuing)
        usage = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
            raise ValueError("a certificate that may not answer about others")
        if not responder.not_valid_before_utc <= read.this_update_utc <= responder.not_valid_after_utc:
            raise ValueError("an answer from a time in which its responder's certificate does not hold")
    compressed_key(responder)
    key = responder.public_key()
    assert isinstance(key, EllipticCurvePublicKey), "just checked"
    key.verify(read.signature, read.tbs_response_bytes, ECDSA(SHA256()))
