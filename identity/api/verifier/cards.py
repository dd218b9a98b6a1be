# SPDX-License-Identifier: Apache-2.0
"""Cards at a distance: log-in by a signature over site and challenge, and signatures of documents.

The browser's token has the form of Web eID's: certificate, algorithm, signature. Slot 9A signs SHA-256 of the origin
followed by SHA-256 of the challenge, so that a site in the middle gets a signature over its own name; slot 9C signs
documents. Of the certificate are checked path, times and use; whether it counts, by the authority's list, which is made
of what the ledger says of the key; and, if the holder opens their registration, the key's place in it on the ledger.

Source: Web eID authentication token format 1.0; RFC 5280, 6; docs/cards.md.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from chain import p256
from chain.errors import InvalidSignature, LedgerError
from chain.signing import Scheme, Signer
from chain.types import sha256
from client.errors import TransportError
from identity.api.verifier.findings import Finding, Step
from identity.api.verifier.ledger import States
from identity.api.verifier.outbound import NotReached
from identity.cards.authority import InvalidCardCertificate, compressed_key, load_certificate
from identity.cards.objects import Slot
from identity.cards.profile import USES, seconds
from identity.cards.verifying import Chain, load_revocation_list
from identity.commitments import SALT_BYTES, control_commitment
from identity.credential_check import Outcome
from identity.issuing import ID_BYTES
from identity.pb import identity_pb2 as pb
from identity.registrations import counting_key, person_key

TOKEN_FORMAT: Final = "web-eid:1"  # noqa: S105 - the name of a format
ALGORITHM: Final = "ES256"
CERTIFICATE_BYTES_MAX: Final = 4_096
"""Ours have below 1,000."""
LISTS_MAX: Final = 16
"""Card authorities that one city knows."""
FETCH_S: Final = 30
"""As often as the desk makes a list. Also after a try that failed: a host that hangs costs one look its time-out."""
CERTIFICATES_MAX: Final = 1_024
"""Cards that are remembered, some kilobytes each: one that signs fifty documents, or tries again, is read once."""
_RAW_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Opening:
    """What shows a card's key in its holder's registration; the holder's data space has it.

    Attributes:
        registration: The registration's id, 16 or 32 bytes.
        salt: Of the key's commitment, 32 bytes.
    """

    registration: bytes
    salt: bytes

    @property
    def is_formed(self) -> bool:
        """Whether it has the form of one."""
        return len(self.registration) in ID_BYTES and len(self.salt) == SALT_BYTES


@dataclass(frozen=True, slots=True)
class Revoked:
    """An authority's list, ready for look-ups.

    Attributes:
        serials: That don't count.
        issued_s: As of when.
        due_s: When to fetch it anew.
        ends_s: From when it may be relied on no longer.
    """

    serials: frozenset[int]
    issued_s: int
    due_s: int
    ends_s: int


class CardTrust:
    """Card authorities whose cards count, and their lists.

    Args:
        chains: The authorities.
        fetch: Gets a revocation list, DER or PEM; raises NotReached.
        states: Reads the ledger.
        now_s: Unix time in s.
    """

    def __init__(
        self,
        chains: Sequence[Chain],
        fetch: Callable[[str], Awaitable[bytes]],
        states: States,
        now_s: Callable[[], int],
    ) -> None:
        self._chains = tuple(chains)
        self._fetch = fetch
        self._states = states
        self._now_s = now_s
        self._lists: OrderedDict[str, Revoked] = OrderedDict()
        self._read: OrderedDict[bytes, tuple[x509.Certificate, Chain]] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = {}

    async def check(
        self, der: bytes, slot: Slot, status_age_s_max: int | None, subject: str = ""
    ) -> tuple[list[Finding], x509.Certificate | None, int | None]:
        """Check a card's certificate.

        Args:
            der: As it came.
            slot: What its key must be for.
            status_age_s_max: How old the list may be; None: the answer says how old it is.
            subject: Named in findings.

        Returns:
            The steps; the certificate unless it is none; as of when the list is, Unix time in s, if there is one.
        """
        try:
            certificate, chain = self._known(der[:CERTIFICATE_BYTES_MAX])  # one cut short is none
            _check_times(certificate, chain, seconds(self._now_s()))
            _check_use(certificate, slot)
        except InvalidCardCertificate as error:
            return [Finding(Step.CERTIFICATE, Outcome.FAILED, subject, "card.certificate", str(error))], None, None
        findings = [Finding(Step.CERTIFICATE, Outcome.HELD, subject)]
        try:
            revoked = await self._revoked(certificate, chain)
        except (NotReached, InvalidCardCertificate) as error:
            reason = f"no revocation list is at hand: {error}"
            code = "verifier.status-unreachable"
            return [*findings, Finding(Step.CERTIFICATE_STATUS, Outcome.FAILED, subject, code, reason)], None, None
        age_s = max(0, self._now_s() - revoked.issued_s)
        if certificate.serial_number in revoked.serials:
            found = Finding(
                Step.CERTIFICATE_STATUS, Outcome.FAILED, subject, "card.ended", "it is suspended or revoked"
            )
        elif status_age_s_max is not None and age_s > status_age_s_max:
            reason = f"the newest list is {age_s} s old; the purpose takes at most {status_age_s_max}"
            found = Finding(Step.CERTIFICATE_STATUS, Outcome.FAILED, subject, "verifier.status-stale", reason)
        else:
            found = Finding(Step.CERTIFICATE_STATUS, Outcome.HELD, subject)
        return [*findings, found], certificate, revoked.issued_s

    async def check_opening(
        self, certificate: x509.Certificate, slot: Slot, opening: Opening | None, subject: str = ""
    ) -> tuple[Finding, bytes]:
        """See how a card's key stands in its holder's registration, and the receipt that proves it.

        Args:
            certificate: Which was checked.
            slot: What its key is for.
            opening: Shows it; None: nobody opened it, and the authority's list is all there is.
            subject: Named in the finding.
        """
        if opening is None:
            return Finding(Step.LEDGER_KEY, Outcome.NOT_ASKED, subject), b""
        if not opening.is_formed:
            reason = "a registration's id has 16 or 32 bytes, a salt 32"
            return Finding(Step.LEDGER_KEY, Outcome.FAILED, subject, "card.opening", reason), b""
        purpose = pb.CONTROL_PURPOSE_AUTHENTICATE if slot is Slot.AUTHENTICATE else pb.CONTROL_PURPOSE_SIGN
        where = person_key(opening.registration)
        try:
            proven = await self._states.read([where])
        except (TransportError, LedgerError) as error:
            reason = "the ledger can't be asked about the card's key"
            return Finding(Step.LEDGER_KEY, Outcome.FAILED, subject, error.code, reason), b""
        raw = proven.values[where]
        record = None if raw is None else pb.PersonRecord.FromString(raw)
        signer = Signer(Scheme.P256, compressed_key(certificate))
        counting = counting_key(record, control_commitment(purpose, signer, opening.salt), proven.time_ms)
        if counting is None or counting.purpose != purpose:
            reason = "the registration that was opened has no such key that counts"
            return Finding(Step.LEDGER_KEY, Outcome.FAILED, subject, "card.not-bound", reason), b""
        code, reason = ("card.recovered", "bound by a recovery some days ago") if counting.is_recovered else ("", "")
        return Finding(Step.LEDGER_KEY, Outcome.HELD, subject, code, reason), proven.receipts[where]

    def _known(self, der: bytes) -> tuple[x509.Certificate, Chain]:
        """A certificate and the authority that signed it. Whether it counts now is not remembered.

        Raises:
            InvalidCardCertificate: It is none of a card authority's that counts here.
        """
        digest = sha256(der)
        found = self._read.get(digest)
        if found is None:
            certificate = load_certificate(der)
            compressed_key(certificate)
            found = self._read[digest] = certificate, self._chain_of(certificate)
            if len(self._read) > CERTIFICATES_MAX:
                self._read.popitem(last=False)
        self._read.move_to_end(digest)
        return found

    def _chain_of(self, certificate: x509.Certificate) -> Chain:
        for chain in self._chains:
            if certificate.issuer != chain.issuing.subject:
                continue
            try:
                certificate.verify_directly_issued_by(chain.issuing)
            except (ValueError, TypeError, BadSignature, UnsupportedAlgorithm):
                continue
            return chain
        raise InvalidCardCertificate("no card authority that counts here issued it")

    async def _revoked(self, certificate: x509.Certificate, chain: Chain) -> Revoked:
        """The list of the authority, at the address that the authority wrote into the certificate.

        Raises:
            NotReached: It names none, or none is at hand that still counts.
            InvalidCardCertificate: What is there is no list of this authority that counts now.
        """
        url = _list_address(certificate)
        now_s = self._now_s()
        kept = self._lists.get(url)
        if kept is not None and now_s < kept.due_s:
            return kept
        turn = self._turns.setdefault(url, asyncio.Lock())  # of one list: a host that hangs holds up no other's
        try:
            async with turn:
                return await self._found(url, chain, now_s)
        finally:
            if not turn.locked():
                self._turns.pop(url, None)

    async def _found(self, url: str, chain: Chain, now_s: int) -> Revoked:
        """The list at an address, fetched anew if that is due.

        Raises:
            NotReached: None is at hand that still counts.
            InvalidCardCertificate: What is there is no list of this authority that counts now.
        """
        kept = self._lists.get(url)
        if kept is not None and now_s < kept.due_s:
            return kept
        try:
            found = load_revocation_list(await self._fetch(url), chain, now_s)
        except NotReached:
            if kept is None or now_s >= kept.ends_s:
                raise
            self._lists[url] = replace(kept, due_s=min(self._now_s() + FETCH_S, kept.ends_s))
            return kept
        assert found.next_update_utc is not None, "it was checked"
        serials = frozenset(entry.serial_number for entry in found)
        issued_s, ends_s = int(found.last_update_utc.timestamp()), int(found.next_update_utc.timestamp())
        newest = Revoked(serials, issued_s, 0, ends_s)
        if kept is not None and now_s < kept.ends_s and kept.issued_s > issued_s:
            newest = kept  # an older one came: a card that was stopped meanwhile stays so
        self._lists[url] = replace(newest, due_s=min(now_s + FETCH_S, newest.ends_s))
        if len(self._lists) > LISTS_MAX:
            self._lists.popitem(last=False)
        return self._lists[url]


def login_message(origin: str, challenge: str) -> bytes:
    """What slot 9A signs by ECDSA with SHA-256; 64 bytes."""
    return sha256(origin.encode()) + sha256(challenge.encode())


def check_signature(certificate: x509.Certificate, digest: bytes, signature: bytes, subject: str = "") -> Finding:
    """Whether a certificate's key signed by ECDSA what has this SHA-256 digest.

    Args:
        certificate: Which was checked.
        digest: 32 bytes.
        signature: r || s, or DER as cards give it.
        subject: Named in the finding.
    """
    key = certificate.public_key()
    assert isinstance(key, EllipticCurvePublicKey), "it was checked"
    try:
        raw = signature if len(signature) == _RAW_SIGNATURE_BYTES else p256.raw_signature(signature)
        r, s = (int.from_bytes(raw[i : i + 32], "big") for i in (0, 32))
        key.verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, BadSignature, ValueError):
        reason = "the key of this certificate did not sign this"
        return Finding(Step.CARD_KEY, Outcome.FAILED, subject, "card.signature", reason)
    return Finding(Step.CARD_KEY, Outcome.HELD, subject)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of a certificate."""
    return sha256(certificate.public_bytes(Encoding.DER))


def _check_times(certificate: x509.Certificate, chain: Chain, now: datetime) -> None:
    for one in (chain.root, chain.issuing, certificate):
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise InvalidCardCertificate("a certificate of the path does not hold at this time")


def _check_use(certificate: x509.Certificate, slot: Slot) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise InvalidCardCertificate("it does not say what its key is for") from None
    if usage != USES[slot].usage or list(extended) != [USES[slot].extended] or constraints.ca:
        raise InvalidCardCertificate(f"its key is for something else than slot {slot:02X}")


def _list_address(certificate: x509.Certificate) -> str:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        raise NotReached("the certificate names none") from None
    names = [name.value for point in points for name in point.full_name or ()]
    if not names or not isinstance(names[0], str):
        raise NotReached("the certificate names none")
    return names[0]
