# SPDX-License-Identifier: Apache-2.0
"""Whether a PDF was signed with a key that counted at that moment: step by step, offline, against pinned roots.

    signature    the signer's key (a card's, or an organisation's seal: `seals`) signed exactly these bytes
    unaltered    what stands after them is evidence and time stamps, nothing that a reader shows
    time         an authority that one trusts saw the signature at a moment, and each later stamp covers the one before
    certificate  the signer's certificate was for signing and held at that moment, from the pinned authority
    revocation   the authority said of that moment that it was not suspended or revoked
    closing      a stamp covers the whole file; without it the rest counts, but not beyond the first stamp's key

A step that can't be decided is `unknown` and says what is missing; nothing that was not checked counts as checked.
The answer says nothing of who holds the card. Source: ETSI EN 319 142-1; EN 319 102-1, 5.6 (long-term validation).
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.decode_limits import DecodePurpose
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import DiffResult, ModificationLevel
from pyhanko.sign.general import find_unique_cms_attribute
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.errors import NoDSSFoundError
from pyhanko.sign.validation.generic_cms import validate_sig_integrity
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from chain.errors import LedgerError
from identity.cards.authority import InvalidCardCertificate, load_certificate
from identity.cards.objects import Slot
from identity.cards.verifying import Chain, is_emulated, verify_certificates
from identity.pades.errors import InvalidDocument, InvalidTimeStamp
from identity.pades.reading import DAMAGED, read_pdf, signatures_of
from identity.pades.revocation import Evidence, Good, Revoked, Unknown, standing_at
from identity.pades.time_stamps import HASH_BYTES, TimeStamp, verify_token

SUBFILTER: Final = "/ETSI.CAdES.detached"


class StepName(StrEnum):
    """A step; its value stands in stored reports."""

    SIGNATURE = "signature"
    UNALTERED = "unaltered"
    TIME = "time"
    CERTIFICATE = "certificate"
    REVOCATION = "revocation"
    CLOSING = "closing"


class Outcome(StrEnum):
    """How a step, or the whole, came out."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be decided; the reason says what is missing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check.

    Attributes:
        name: Which.
        outcome: How it came out.
        code: Stable, why it did not pass; "" where it did.
        reason: One English sentence.
    """

    name: StepName
    outcome: Outcome
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one document.

    Attributes:
        steps: In order; each step once.
        signed_at: When the signature was there at the latest; None where no stamp says it.
        closed_at: When the newest stamp over the file was made, or None.
        signed_digest: SHA-256 of the bytes that were signed; empty where there is no signature to read.
        certificate: The signer's, DER; empty likewise.
        emulated: Whether the certificate says that the card is software for tests.
    """

    steps: tuple[Step, ...]
    signed_at: datetime | None
    closed_at: datetime | None
    signed_digest: bytes
    certificate: bytes
    emulated: bool

    @property
    def outcome(self) -> Outcome:
        """Of the whole: failed where a step failed; passed where each did, the closing stamp aside."""
        outcomes = {step.outcome for step in self.steps}
        if Outcome.FAILED in outcomes:
            return Outcome.FAILED
        needed = {step.outcome for step in self.steps if step.name is not StepName.CLOSING}
        return Outcome.PASSED if needed == {Outcome.PASSED} else Outcome.UNKNOWN

    @property
    def is_valid(self) -> bool:
        """Whether the document counts as signed."""
        return self.outcome is Outcome.PASSED

    @property
    def level(self) -> str:
        """What it is, of ETSI's levels: "B-LTA", "B-LT", or "" where it is not valid."""
        if not self.is_valid:
            return ""
        return "B-LT" if self.closed_at is None else "B-LTA"

    @property
    def first_failure(self) -> Step:
        """The step that decided against it; there is one unless it is valid."""
        return next(
            step for wanted in (Outcome.FAILED, Outcome.UNKNOWN) for step in self.steps if step.outcome is wanted
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom one trusts, because one has their certificates from somewhere else than the document.

    Attributes:
        chains: Of card authorities.
        time_stamps: Certificates of time-stamp authorities.
    """

    chains: Sequence[Chain]
    time_stamps: Sequence[x509.Certificate]

    def chain_of(self, certificate: bytes) -> Chain:
        """The chain that a certificate says it belongs to; its signature is not checked here.

        Args:
            certificate: DER.

        Raises:
            InvalidCardCertificate: It is none, or of an authority that is not among these.
        """
        issuer = load_certificate(certificate).issuer
        for chain in self.chains:
            if chain.issuing.subject == issuer:
                return chain
        raise InvalidCardCertificate(
            f"the certificate is from {issuer.rfc4514_string()}, which is not among the pinned authorities"
        )


def verify_pdf(pdf: bytes, trust: Trust, later: Evidence | None = None, at: datetime | None = None) -> Report:
    """Verify a document that was signed with one card.

    Args:
        pdf: The file.
        trust: Whom one trusts.
        later: What the authority said since, by whatever way it came; a signature made after a card's end is found
            only with it.
        at: The moment from which one looks back, aware of its zone; None: the newest stamp's. A stamp from after it is
            not believed, and a stamp's key must still have held then, or under a newer stamp. Whoever asks whether a
            document counts today says so: nothing here reads a clock.

    Returns:
        The report; a document that does not count is a report, too.

    Raises:
        InvalidDocument: No PDF, one that can't be read, or with more than one signature.
    """
    reader = read_pdf(pdf)
    found = signatures_of(reader)
    by_cards = [each for each in found if each.sig_object_type != "/DocTimeStamp"]
    stamps = [each for each in found if each.sig_object_type == "/DocTimeStamp"]
    if not by_cards:
        raise InvalidDocument(
            "nobody signed this document, or not in a way that PAdES knows", "identity.document-unsigned"
        )
    if len(by_cards) > 1:
        raise InvalidDocument(
            f"this document has {len(by_cards)} signatures; only documents with one are verified",
            "identity.document-signatures",
        )
    try:
        return _Check(reader, by_cards[0], stamps, trust, later or Evidence(), at).report()
    except DAMAGED as error:
        raise InvalidDocument(f"the signature in this PDF can't be read: {error}") from None


class _Check:
    """The checks of one signature, in their order; a later one uses what an earlier one found."""

    def __init__(
        self,
        reader: PdfFileReader,
        signature: EmbeddedPdfSignature,
        stamps: Sequence[EmbeddedPdfSignature],
        trust: Trust,
        later: Evidence,
        at: datetime | None,
    ) -> None:
        self._reader = reader
        self._signature = signature
        self._stamps = stamps
        self._trust = trust
        self._later = later
        self._at = at
        self._digest = b""
        self._is_signed = False
        self._signed_at: datetime | None = None
        self._closed_at: datetime | None = None
        self._certificate = bytes(signature.signer_cert.dump())
        self._parsed: x509.Certificate | None = None

    def report(self) -> Report:
        checks: tuple[tuple[StepName, Callable[[], str]], ...] = (
            (StepName.SIGNATURE, self._check_signature),
            (StepName.UNALTERED, self._check_unaltered),
            (StepName.TIME, self._check_time),
            (StepName.CERTIFICATE, self._check_certificate),
            (StepName.REVOCATION, self._check_revocation),
            (StepName.CLOSING, self._check_closing),
        )
        steps = tuple(_step(name, check) for name, check in checks)
        emulated = self._parsed is not None and is_emulated(self._parsed)
        return Report(steps, self._signed_at, self._closed_at, self._digest, self._certificate, emulated)

    def _check_signature(self) -> str:
        signature = self._signature
        if signature.sig_object.get("/SubFilter") != SUBFILTER:
            raise Failed("the signature is none of PAdES (ETSI.CAdES.detached)", "identity.document-signature")
        algorithm = signature.signer_info["signature_algorithm"]["algorithm"].native
        if algorithm != "sha256_ecdsa" or signature.md_algorithm != "sha256":
            raise Failed(f"the signature is one of {algorithm}; cards sign otherwise", "identity.document-signature")
        attributes = signature.signer_info["signed_attrs"]
        find_unique_cms_attribute(attributes, "signing_certificate_v2")  # KeyError: a swapped certificate would fit
        signature.compute_integrity_info(skip_diff=True)  # type: ignore[no-untyped-call]  # likewise
        self._digest = signature.compute_digest()
        intact, valid = validate_sig_integrity(signature.signer_info, signature.signer_cert, "data", self._digest)
        if not intact:
            raise Failed("the bytes that were signed have been changed", "identity.document-altered")
        if not valid:
            raise Failed("the signature does not verify under its certificate's key", "identity.document-signature")
        self._is_signed = True
        return "the signer's key signed these bytes"

    def _check_unaltered(self) -> str:
        if not self._is_signed:
            raise Undecided(
                "the signature does not verify, so nobody knows what was signed", "identity.document-signature"
            )
        self._signature.compute_integrity_info()  # type: ignore[no-untyped-call]  # pyHanko's lacks types
        if self._signature.coverage not in {SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION}:
            raise Failed("the signature leaves out a part of what it was put into", "identity.document-altered")
        found = self._signature.diff_result
        if not isinstance(found, DiffResult):
            raise Failed(f"something was changed after signing: {found}", "identity.document-altered")
        if found.modification_level > ModificationLevel.LTA_UPDATES:
            raise Failed("form fields were filled in or added after signing", "identity.document-altered")
        return "nothing that is shown was changed after signing"

    def _check_time(self) -> str:
        tokens = [
            each
            for attribute in self._signature.signer_info["unsigned_attrs"] or ()
            if attribute["type"].native == "signature_time_stamp_token"
            for each in attribute["values"]
        ]
        if len(tokens) != 1:
            raise Undecided("no time stamp says when this was signed", "identity.document-time")
        value = self._signature.signer_info["signature"].native
        try:
            found = [verify_token(tokens[0]["content"], functools.partial(_digest, value), self._trust.time_stamps)]
            found += [
                verify_token(each.signed_data, each.compute_digest, self._trust.time_stamps) for each in self._stamps
            ]
        except InvalidTimeStamp as error:
            raise Failed(error.reason, "identity.document-time-forged") from None
        self._check_order(found)
        self._signed_at = found[0].time
        return f"signed at {found[0].time:%Y-%m-%d %H:%M:%S} UTC at the latest"

    def _check_order(self, found: Sequence[TimeStamp]) -> None:
        """Each stamp's key must have held until the next one covered it, the last one's until the moment of looking."""
        moments = [stamp.time for stamp in found]
        if moments != sorted(moments) or (self._at is not None and moments[-1] > self._at):
            raise Failed(
                "a time stamp is from after the moment that it must be before", "identity.document-time-forged"
            )
        keys = {each.public_bytes(_DER): each.not_valid_after_utc for each in self._trust.time_stamps}
        for stamp, until in zip(found, [*moments[1:], self._at or moments[-1]], strict=True):
            if keys[stamp.certificate] < until:
                raise Undecided(
                    f"the key of the stamp of {stamp.time:%Y-%m-%d} ended before a newer stamp covered it",
                    "identity.document-time",
                )

    def _check_certificate(self) -> str:
        moment = self._moment()
        try:
            chain = self._trust.chain_of(self._certificate)
            read = verify_certificates({Slot.SIGN: self._certificate}, chain, int(moment.timestamp()))
        except InvalidCardCertificate as error:
            raise Failed(error.reason, "identity.document-certificate") from None
        self._parsed = read[Slot.SIGN]
        return "the certificate is the pinned authority's, for signing documents, and held when it was used"

    def _check_revocation(self) -> str:
        moment = self._moment()
        if self._parsed is None:
            raise Undecided("nobody's word counts for a certificate that does not hold", "identity.document-revocation")
        lists, answers = _stored(self._reader)
        every = Evidence([*lists, *self._later.lists], [*answers, *self._later.answers])
        match standing_at(every, self._parsed, self._trust.chain_of(self._certificate).issuing, moment):
            case Revoked(since):
                raise Failed(
                    f"the certificate had been suspended or revoked since {since:%Y-%m-%d %H:%M:%S} UTC",
                    "identity.document-revoked",
                )
            case Unknown():
                raise Undecided(
                    "no list or answer of the authority says whether the certificate counted then",
                    "identity.document-revocation",
                )
            case Good(said, ended):
                later = "" if ended is None else f"; it ended later, on {ended:%Y-%m-%d %H:%M:%S} UTC"
                return f"not suspended or revoked, as of {said:%Y-%m-%d %H:%M:%S} UTC{later}"

    def _check_closing(self) -> str:
        if not self._stamps:
            raise Undecided(
                "no stamp covers the whole file; add one before its first key ends", "identity.document-open"
            )
        if self._signed_at is None:
            raise Undecided("the stamps are not believed, see above", "identity.document-time")
        newest = self._stamps[-1]
        newest.compute_integrity_info(skip_diff=True)  # type: ignore[no-untyped-call]  # likewise
        if newest.coverage is not SignatureCoverageLevel.ENTIRE_FILE:
            raise Failed("something was added after the last stamp", "identity.document-altered")
        moment = newest.signed_data["encap_content_info"]["content"].parsed["gen_time"].native
        self._closed_at = moment.astimezone(UTC)
        return f"a stamp of {self._closed_at:%Y-%m-%d %H:%M:%S} UTC covers the whole file"

    def _moment(self) -> datetime:
        if self._signed_at is None:
            raise Undecided("without a time stamp nobody knows for which moment to ask", "identity.document-time")
        return self._signed_at


class Failed(LedgerError):
    """A check that failed."""

    default_code = "identity.document-signature"


class Undecided(LedgerError):
    """A check that could not be made."""

    default_code = "identity.document-time"


_DER: Final = Encoding.DER


def _step(name: StepName, check: Callable[[], str]) -> Step:
    try:
        return Step(name, Outcome.PASSED, "", check())
    except Undecided as error:
        return Step(name, Outcome.UNKNOWN, error.code, error.reason)
    except LedgerError as error:
        return Step(name, Outcome.FAILED, error.code, error.reason)
    except DAMAGED as error:
        return Step(name, Outcome.FAILED, "identity.document-signature", f"malformed: {error}")


def _stored(reader: PdfFileReader) -> tuple[list[bytes], list[bytes]]:
    """Revocation lists and answers that stand in the document."""
    try:
        store = DocumentSecurityStore.read_dss(reader)
    except NoDSSFoundError:
        return [], []
    lists = [each.get_object().read_data(DecodePurpose.CRL) for each in store.crls]
    return lists, [each.get_object().read_data(DecodePurpose.OCSP_RESPONSE) for each in store.ocsps]


def _digest(value: bytes, algorithm: str) -> Any:
    assert algorithm in HASH_BYTES, "looked at before it is asked for"
    return hashlib.new(algorithm, value).digest()
