# SPDX-License-Identifier: Apache-2.0
"""Time stamps: an authority that says that some bytes were there at a moment, and the check of what it said.

The authority is an end of trust of its own: its certificate is self-signed and pinned by whoever verifies, so that
whoever has the keys of the card authority still can't date a signature back. It is told a digest and nothing else. Its
clock is the machine's; where the ledger's time counts, the receipt of the digest says it.

Source: RFC 3161 (2.3: the extended key usage is critical and alone; 2.4: request and answer), RFC 5816 (ESSCertIDv2).
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Protocol

from asn1crypto import algos, cms, core, tsp  # type: ignore[import-untyped]  # it has no types
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.sign.general import CMSExtractionError, as_signing_certificate_v2, extract_signer_info
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.timestamps.common_utils import handle_tsp_response
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.generic_cms import extract_certs_for_validation, validate_sig_integrity

from chain.types import sha256
from identity.cards.authority import compressed_key, load_certificate
from identity.cards.profile import point, seconds, sign
from identity.jose import KeySigner, compressed
from identity.pades.errors import InvalidTimeStamp

POLICY: Final = "2.25.282134728244531192273119901731145967026.4"
"""Of our time stamps: the machine's clock, kept by NTP, one second of accuracy."""
CERTIFICATE_YEARS: Final = 10
"""How long stamps of one key can be verified without a newer stamp over them."""
REQUEST_BYTES_MAX: Final = 512
"""A digest with a nonce has about 70 bytes."""
TOKEN_BYTES_MAX: Final = 16 * 1024
"""A token with its certificate has 1.5 KB."""
HASH_BYTES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
"""Digests that are stamped, and how long each is."""
TRUSTED_MAX: Final = 16
"""One for each key that an authority had in a century, and some neighbours'."""
_ALLOWED_USAGE: Final = [ExtendedKeyUsageOID.TIME_STAMPING]


class TimeStampResponse(core.Sequence):  # type: ignore[misc]  # the library has no types
    """A response (RFC 3161, 2.4.2); the library's own knows none without a token, which is how one is refused."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]


class Stamps(Protocol):
    """Whoever answers requests for time stamps: in this process, or far away."""

    async def answer(self, request: bytes) -> bytes:
        """Answer a request (RFC 3161, both in DER).

        Raises:
            OSError: It can't be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A time stamp that held.

    Attributes:
        time: When the bytes were there.
        certificate: Whose it is, in DER.
    """

    time: datetime
    certificate: bytes


class TimeStampAuthority:
    """Stamps digests with the time; the key is wherever a `KeySigner` is."""

    def __init__(
        self, certificate: x509.Certificate, signer: KeySigner, clock: Callable[[], float], *, serial: int | None = None
    ) -> None:
        """Take up the authority's work.

        Args:
            certificate: `make_certificate`'s.
            signer: Its key.
            clock: Seconds since 1970; the machine's clock is kept right by the operator.
            serial: Of each stamp; None: 64 random bits each. Fixed in tests alone.

        Raises:
            InvalidTimeStamp: The certificate is not for this, or not this key's.
        """
        check_certificate(certificate)
        if compressed_key(certificate) != compressed(signer.public_key):
            raise InvalidTimeStamp("the time-stamp key is not that of its certificate")
        self.certificate = certificate
        self._signer = signer
        self._clock = clock
        self._serial = serial
        self._asn1 = asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))

    async def answer(self, request: bytes) -> bytes:
        """As `respond`, at the clock's moment."""
        return self.respond(request, self._clock())

    def respond(self, request: bytes, now_s: float) -> bytes:
        """Answer a request.

        Args:
            request: As it came from whoever asks; anything at all.
            now_s: Seconds since 1970; whole seconds stand in the stamp.

        Returns:
            A response in DER: granted with a token, or refused with the reason.
        """
        wanted = _decode_request(request)
        if isinstance(wanted, str):
            return _refusal(wanted)
        now = seconds(int(now_s))
        if not self.certificate.not_valid_before_utc <= now < self.certificate.not_valid_after_utc:
            return _refusal("time_not_available")
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": POLICY,
                "message_imprint": wanted["message_imprint"],
                "serial_number": self._serial or secrets.randbits(64) | 1 << 63,
                "gen_time": now,
                "accuracy": tsp.Accuracy({"seconds": 1}),
            }
        )
        if wanted["nonce"].native is not None:
            info["nonce"] = wanted["nonce"].native
        token = self._signed(info.dump(), now)
        granted = tsp.PKIStatusInfo({"status": tsp.PKIStatus("granted")})
        return bytes(TimeStampResponse({"status": granted, "time_stamp_token": token}).dump())

    def _signed(self, info: bytes, now: datetime) -> Any:
        """The token: signed data around what is said."""
        attributes = cms.CMSAttributes(
            [
                _attribute("content_type", "tst_info"),
                _attribute("signing_time", cms.Time({"utc_time": core.UTCTime(now)})),
                _attribute("signing_certificate_v2", as_signing_certificate_v2(self._asn1)),
                _attribute("message_digest", sha256(info)),
            ]
        )
        raw = self._signer.sign(sha256(attributes.dump()))
        digest = algos.DigestAlgorithm({"algorithm": "sha256"})
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    {
                        "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                            {"issuer": self._asn1.issuer, "serial_number": self._asn1.serial_number}
                        )
                    }
                ),
                "digest_algorithm": digest,
                "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
                "signed_attrs": attributes,
                "signature": encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
            }
        )
        content = {"content_type": cms.ContentType("tst_info"), "content": cms.ParsableOctetString(info)}
        signed = {
            "version": "v3",
            "digest_algorithms": cms.DigestAlgorithms((digest,)),
            "encap_content_info": cms.EncapsulatedContentInfo(content),
            "certificates": [self._asn1],
            "signer_infos": [signer],
        }
        return cms.ContentInfo({"content_type": cms.ContentType("signed_data"), "content": cms.SignedData(signed)})


class Stamper(TimeStamper):
    """What pyHanko asks for time stamps; it asks whoever it was given."""

    def __init__(self, stamps: Stamps) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # pyHanko's lacks types
        self._stamps = stamps

    async def async_request_tsa_response(self, req: Any) -> Any:
        """Pass the request on.

        Raises:
            InvalidTimeStamp: The answer is none.
        """
        try:
            answer = TimeStampResponse.load(await self._stamps.answer(req.dump()), strict=True)
            handle_tsp_response(answer, req["nonce"].native)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidTimeStamp(f"the time-stamp authority's answer is malformed: {error}") from None
        return answer


def make_certificate(signer: KeySigner, organisation: str, today: datetime) -> x509.Certificate:
    """An authority's certificate, self-signed: whoever verifies its stamps pins it.

    Args:
        signer: The key.
        organisation: Whose authority this is, 1 to 64 characters.
        today: It begins to hold with this day.
    """
    key = point(signer.public_key)
    begin = today.replace(hour=0, minute=0, second=0, microsecond=0)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Time Stamps {secrets.token_hex(4)}"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(_ALLOWED_USAGE), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    return sign(builder, signer)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates of time-stamp authorities that one trusts, one or several in PEM.

    Raises:
        InvalidTimeStamp: There is none, or one is not for this.
        InvalidCardCertificate: One is malformed.
    """
    end = b"-----END CERTIFICATE-----"
    parts = [part + end for part in pem.split(end)[:-1]]
    if not 1 <= len(parts) <= TRUSTED_MAX:
        raise InvalidTimeStamp(f"1 to {TRUSTED_MAX} certificates in PEM are wanted, of authorities of time stamps")
    found = [load_certificate(part) for part in parts]
    for certificate in found:
        check_certificate(certificate)
    return found


def check_certificate(certificate: x509.Certificate) -> None:
    """See that a certificate is for time stamps and for nothing else.

    Raises:
        InvalidTimeStamp: It is not.
        InvalidCardCertificate: Its key is none of P-256.
    """
    try:
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        is_alone = extended.critical and list(extended.value) == _ALLOWED_USAGE
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        is_alone = False
    if not is_alone:
        raise InvalidTimeStamp("a certificate of a time-stamp authority is self-signed and, critically, for that alone")
    compressed_key(certificate)


def verify_token(signed: Any, imprint: Callable[[str], bytes], trusted: Sequence[x509.Certificate]) -> TimeStamp:
    """Verify a token against the authorities that one trusts.

    Args:
        signed: The token's signed data, as asn1crypto has it.
        imprint: The digest of what it should be about, by the digest's name.
        trusted: Pinned certificates.

    Raises:
        InvalidTimeStamp: It is not theirs, about something else, or malformed; the reason says which.
    """
    try:
        content = signed["encap_content_info"]["content"]
        info = tsp.TSTInfo.load(content.contents, strict=True)
        if signed["encap_content_info"]["content_type"].native != "tst_info":
            raise InvalidTimeStamp("a time stamp whose content is something else")
        certificate = extract_certs_for_validation(signed).signer_cert
        der = bytes(certificate.dump())
        when, algorithm = info["gen_time"].native, info["message_imprint"]["hash_algorithm"]["algorithm"].native
        signer = extract_signer_info(signed)
        digest_algorithm = signer["digest_algorithm"]["algorithm"].native
        if digest_algorithm != "sha256" or algorithm not in HASH_BYTES:
            raise InvalidTimeStamp(f"a time stamp with {digest_algorithm} over {algorithm}; SHA-2 alone is believed")
        intact, valid = validate_sig_integrity(signer, certificate, "tst_info", sha256(content.contents))
        stamped = info["message_imprint"]["hashed_message"].native
    except (SignatureValidationError, CMSExtractionError) as error:
        raise InvalidTimeStamp(f"the time stamp: {error}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidTimeStamp(f"no time stamp, or a malformed one: {error}") from None
    pinned = next((each for each in trusted if each.public_bytes(Encoding.DER) == der), None)
    if pinned is None:
        raise InvalidTimeStamp("the time stamp is from an authority that is not among the pinned ones")
    if not (intact and valid):
        raise InvalidTimeStamp("the time stamp's signature does not verify: it was forged or altered")
    if stamped != imprint(algorithm):
        raise InvalidTimeStamp("the time stamp is about something else")
    if when.tzinfo is None or not pinned.not_valid_before_utc <= when <= pinned.not_valid_after_utc:
        raise InvalidTimeStamp("the time stamp is of a moment in which its authority's certificate does not hold")
    return TimeStamp(when.astimezone(UTC), der)


def _attribute(name: str, value: Any) -> Any:
    return cms.CMSAttribute({"type": cms.CMSAttributeType(name), "values": (value,)})


def _decode_request(raw: bytes) -> Any:
    """A request that we answer; else the reason (PKIFailureInfo) why not."""
    if len(raw) > REQUEST_BYTES_MAX:
        return "bad_data_format"
    try:
        request = tsp.TimeStampReq.load(raw, strict=True)
        imprint = request["message_imprint"]
        algorithm, digest = imprint["hash_algorithm"]["algorithm"].native, imprint["hashed_message"].native
        version, policy, extensions = request["version"].native, request["req_policy"].native, request["extensions"]
        nonce = request["nonce"].native
    except (ValueError, TypeError, KeyError, AttributeError):
        return "bad_data_format"
    if algorithm not in HASH_BYTES:
        return "bad_alg"
    if version != "v1" or len(digest) != HASH_BYTES[algorithm] or (nonce is not None and nonce.bit_length() > 160):
        return "bad_data_format"
    if policy is not None and policy != POLICY:
        return "unaccepted_policy"
    if extensions.native:
        return "unaccepted_extensions"
    return request


def _refusal(reason: str) -> bytes:
    status = {"status": tsp.PKIStatus("rejection"), "fail_info": tsp.PKIFailureInfo({reason})}
    return bytes(TimeStampResponse({"status": tsp.PKIStatusInfo(status)}).dump())
