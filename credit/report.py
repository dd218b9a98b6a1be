# SPDX-License-Identifier: Apache-2.0
"""A report: a person's whole log, opened up to the first absent slot, at one checkpoint. It is complete or refused.

What it proves: nothing *recorded* in this log up to this checkpoint is left out. Not: that a source recorded all it
knew. The report's receipt holds, under one certificate, the log's record, each slot, the absent one, each class version
that an event names, and the scorecard; nothing else rides along. Pure functions of bytes.  Source: docs/credit.md.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chain import p256, receipt
from chain.checkpoint import Checkpoint
from chain.codec import decode, encode
from chain.errors import InvalidMessage, InvalidReceipt
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.pb import ledger_pb2
from chain.signing import Signer, TransactionSigner
from chain.types import Network
from credit import slots
from credit.catalogue import PUBLICATION_DAYS, class_key, class_number
from credit.events import slot_key
from credit.logs import log_key
from credit.pb import credit_pb2 as pb
from credit.score import Event, Score, Status, score
from credit.scorecard import parse
from credit.scorecards import scorecard_key
from credit.slots import SEVERITIES, Content, content_commitment, link_commitment, log_commitment
from identity.slots import ShownStates

REPORT_BYTES_MAX: Final = 16 * 1024 * 1024
EVENTS_MAX: Final = 4_096
"""Of one log; a receipt holds 16,384 states."""
AUDIENCE_BYTES_MAX: Final = 256
NONCE_BYTES: Final = (16, 64)
SHOWN_MS_MAX: Final = 5 * 60_000
"""How old a holder's signature may be: whoever asks waits for it."""
DAY_MS: Final = 86_400_000

_SHOWN: Final = b"zhixin/1/credit-report\x00"
STATUS_NAMES: Final[Mapping[int, Status]] = {
    pb.EVENT_STATUS_ACTIVE: "active",
    pb.EVENT_STATUS_DISPUTED: "disputed",
    pb.EVENT_STATUS_CORRECTED: "corrected",
    pb.EVENT_STATUS_REPAIRED: "repaired",
    pb.EVENT_STATUS_EXPIRED: "expired",
    pb.EVENT_STATUS_WITHDRAWN: "withdrawn",
    pb.EVENT_STATUS_OPEN: "open",
    pb.EVENT_STATUS_KEPT: "kept",
    pb.EVENT_STATUS_BROKEN: "broken",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a report, opened and proven.

    Attributes:
        record: As it stands on the chain.
        catalogued: The version of its class that it names.
        content: Opened from its commitment; None: withheld, where the verifier allowed that.
    """

    slot: bytes
    record: pb.EventRecord
    catalogued: pb.PutClass
    content: Content | None

    @property
    def event(self) -> Event:
        """What the score takes from it; only where its content is shown."""
        assert self.content is not None, "only who allows withheld content meets it"
        return Event(
            number=class_number(self.record),
            found=self.content.severity,
            status=STATUS_NAMES[self.record.status],
            document_day=self.content.document_day,
            published_days_max=published_days_max(self.catalogued, self.content.severity),
        )


def published_days_max(catalogued: pb.PutClass, severity: str) -> int:
    """How long an event may be published, and so counts: what its class says, and what it was found to be allows.

    Args:
        catalogued: The version of its class that it names.
        severity: What it was found to be, which may be less than its class's.
    """
    if severity == "none":
        return catalogued.publication_days_max
    longest = PUBLICATION_DAYS[pb.Severity.ValueType(SEVERITIES.index(severity) + 1)][1]
    return min(catalogued.publication_days_max, longest)


@dataclass(frozen=True, slots=True)
class VerifiedReport:
    """What a report proves.

    Attributes:
        checkpoint: Under which all of it stands; it says the time.
        log: Its commitment on the chain; the holder's credential names the same first slot.
        first_slot: 32 bytes.
        record: Who keeps the log, and whether it is closed.
        entries: All that is recorded in it, in order.
        scorecard: The document; None: the report shows none.
    """

    checkpoint: Checkpoint
    log: bytes
    first_slot: bytes
    record: pb.LogRecord
    entries: tuple[Entry, ...]
    scorecard: bytes | None

    @property
    def as_of(self) -> int:
        """The checkpoint's day, in days since 1970-01-01."""
        return self.checkpoint.time_ms // DAY_MS

    def score(self) -> Score:
        """The score on the checkpoint's day; only where the report shows a scorecard."""
        assert self.scorecard is not None, "callers look whether there is one"
        return score([entry.event for entry in self.entries], parse(self.scorecard), self.as_of)


@dataclass(frozen=True, slots=True)
class Opened:
    """A log as the service that keeps it knows it.

    Attributes:
        first_slot: 32 bytes.
        log_salt: Of the log's commitment.
        openings: Of each slot taken, in order; the last one's `next_slot` is free.
    """

    first_slot: bytes
    log_salt: bytes
    openings: tuple[pb.Opening, ...] = ()

    @property
    def log(self) -> bytes:
        """The log's commitment."""
        return log_commitment(self.first_slot, self.log_salt)

    @property
    def slots(self) -> tuple[bytes, ...]:
        """Each slot taken, then the free one."""
        return (self.first_slot, *(opening.next_slot for opening in self.openings))


def keys_of(
    opened: Opened, events: Sequence[pb.EventRecord], scorecard: tuple[int, int] | None = None
) -> tuple[bytes, ...]:
    """The state keys that a report's receipt proves, sorted.

    Args:
        opened: The log.
        events: What stands in its slots, in order.
        scorecard: Number and version, or None.
    """
    assert len(events) == len(opened.openings), "one record for each slot taken"
    keys = {log_key(opened.log), *map(slot_key, opened.slots)}
    keys |= {class_key(class_number(event), event.class_version) for event in events}
    if scorecard is not None:
        keys.add(scorecard_key(*scorecard))
    return tuple(sorted(keys))


def make(opened: Opened, proof: bytes, scorecard: tuple[int, int] | None = None) -> bytes:
    """Put a report together.

    Args:
        opened: The log.
        proof: A receipt of the states under `keys_of`.
        scorecard: Number and version, or None.
    """
    number, version = (0, 0) if scorecard is None else scorecard
    return encode(
        pb.Report(
            receipt=proof,
            log_salt=opened.log_salt,
            first_slot=opened.first_slot,
            openings=opened.openings,
            scorecard=number,
            scorecard_version=version,
        )
    )


def verify(
    report: bytes,
    genesis: Genesis | TrustAnchor | bytes,
    *,
    age_ms_max: int | None = None,
    now_ms: int | None = None,
    allow_withheld: bool = False,
) -> VerifiedReport:
    """Verify a report: each slot's inclusion, and that the log ends where the report ends.

    Args:
        report: Bytes of `Report`.
        genesis: A genesis file's bytes, the same loaded, or a kept anchor.
        allow_withheld: Whether an event may keep back what it says beyond its class, source and status. It is counted
            all the same; who allows it gets no score.
        age_ms_max: The oldest checkpoint that the purpose allows; needs `now_ms`.
        now_ms: The verifier's clock.

    Raises:
        LedgerError: It does not prove what it claims, something is left out, added or altered, or it is too old.
    """
    message = decode(pb.Report, report, REPORT_BYTES_MAX)
    if len(message.openings) > EVENTS_MAX:
        raise InvalidReceipt(f"a report has at most {EVENTS_MAX} events")
    proven = receipt.verify(message.receipt, genesis, state_age_ms_max=age_ms_max, now_ms=now_ms)
    states = ShownStates(proven)
    _check_lengths(message)
    log = log_commitment(message.first_slot, message.log_salt)
    raw_log = states.value(log_key(log))
    if raw_log is None:
        raise InvalidReceipt("no such log was opened", "receipt.unknown-log")
    entries: list[Entry] = []
    slot = message.first_slot
    for i, opening in enumerate(message.openings):
        if states.is_used(slot_key(slot)):
            raise InvalidReceipt(f"event {i} stands in the report already")
        raw = states.value(slot_key(slot))
        if raw is None:
            raise InvalidReceipt(f"event {i} stands in a slot that is free")
        record = pb.EventRecord.FromString(raw)
        raw_class = states.value(class_key(class_number(record), record.class_version))
        assert raw_class is not None, "no event names a version that was never put"
        entries.append(_open(i, slot, record, pb.PutClass.FromString(raw_class), opening, may_withhold=allow_withheld))
        slot = opening.next_slot
    if states.value(slot_key(slot)) is not None:
        raise InvalidReceipt("the log goes on where the report ends: something is left out", "receipt.incomplete")
    scorecard = None
    if message.scorecard or message.scorecard_version:
        scorecard = states.value(scorecard_key(message.scorecard, message.scorecard_version))
        if scorecard is None:
            raise InvalidReceipt("there is no such scorecard")
    states.check_all_used()
    return VerifiedReport(
        proven.checkpoint, log, message.first_slot, pb.LogRecord.FromString(raw_log), tuple(entries), scorecard
    )


def show(
    report: bytes,
    network: Network,
    signer: TransactionSigner,
    audience: str,
    purpose: str,
    nonce: bytes,
    at_ms: int,
) -> bytes:
    """Sign a report for whoever asked for it, and for what they asked it for alone.

    Args:
        report: Bytes of `Report`.
        network: Of the ledger.
        signer: The holder's P-256 key.
        audience: Who asked.
        purpose: For what, such as "tender".
        nonce: What they sent; 16 to 64 bytes.
        at_ms: Now, in Unix milliseconds.
    """
    shown = pb.ShownReport(report=report, audience=audience, purpose=purpose, nonce=nonce, at_ms=at_ms)
    shown.holder.CopyFrom(
        ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(signer.signer.scheme), public_key=signer.signer.public_key)
    )
    shown.signature = signer.sign(_SHOWN + network + encode(shown))
    return encode(shown)


def verify_shown(
    shown: bytes,
    genesis: Genesis,
    *,
    holder: Signer,
    audience: str,
    purpose: str,
    nonce: bytes,
    now_ms: int,
    age_ms_max: int,
) -> VerifiedReport:
    """Verify a report that its holder signed for this audience, this purpose and this request.

    Args:
        shown: Bytes of `ShownReport`.
        genesis: Of the network.
        holder: The key that the holder's credential confirms.
        audience: Who asked.
        purpose: For what: what was signed for another purpose proves nothing for this one.
        nonce: What they sent.
        now_ms: The verifier's clock.
        age_ms_max: The oldest checkpoint that the purpose allows.

    Raises:
        LedgerError: The report does not verify, it is too old, or it was made by or for somebody else.
    """
    message = decode(pb.ShownReport, shown, REPORT_BYTES_MAX + 1024)
    assert NONCE_BYTES[0] <= len(nonce) <= NONCE_BYTES[1], "whoever asks draws a nonce that nobody guesses"
    if message.audience != audience or message.nonce != nonce:
        raise InvalidReceipt("the report was made for somebody else or for another request", "receipt.audience")
    if not purpose or message.purpose != purpose:
        raise InvalidReceipt("the report was signed for another purpose", "receipt.purpose")
    if abs(now_ms - message.at_ms) > SHOWN_MS_MAX:
        raise InvalidReceipt("the report was not signed just now", "receipt.shown-time")
    if int(message.holder.scheme) != int(holder.scheme) or message.holder.public_key != holder.public_key:
        raise InvalidReceipt("another key than the holder's signed the report", "receipt.holder")
    check_signature(message, genesis.network)
    return verify(message.report, genesis, age_ms_max=age_ms_max, now_ms=now_ms)


def check_signature(message: pb.ShownReport, network: Network) -> None:
    """Check that the key that a shown report names signed all of it; whose key that is, and the report, are not judged.

    Raises:
        InvalidSignature: It did not.
        InvalidReceipt: Holders' keys are of another kind.
    """
    if message.holder.scheme != ledger_pb2.SCHEME_P256:
        raise InvalidReceipt("a holder's key is a P-256 key", "receipt.holder")
    unsigned = pb.ShownReport()
    unsigned.CopyFrom(message)
    unsigned.ClearField("signature")
    p256.verify(message.holder.public_key, _SHOWN + network + encode(unsigned), message.signature)


def withhold(report: bytes, shown: Collection[bytes]) -> bytes:
    """Keep back what a report's events say, but for some; each still stands in it, and that it is complete.

    Args:
        report: Bytes of `Report`.
        shown: Slots of the events that are shown.
    """
    message = decode(pb.Report, report, REPORT_BYTES_MAX)
    slot = message.first_slot
    for opening in message.openings:
        if slot not in shown:
            opening.content, opening.content_salt = b"", b""
        slot = opening.next_slot
    return encode(message)


def _open(
    i: int,
    slot: bytes,
    record: pb.EventRecord,
    catalogued: pb.PutClass,
    opening: pb.Opening,
    *,
    may_withhold: bool,
) -> Entry:
    """Check one opening against what stands in its slot.

    Raises:
        InvalidReceipt: It opens something else, or is of another form.
    """
    if len(opening.next_salt) != slots.SALT_BYTES:
        raise InvalidReceipt(f"event {i}: a salt has {slots.SALT_BYTES} bytes")
    if len(opening.next_slot) != slots.SLOT_BYTES:
        raise InvalidReceipt(f"event {i}: a slot has {slots.SLOT_BYTES} bytes")
    if link_commitment(opening.next_slot, opening.next_salt) != record.next:
        raise InvalidReceipt(f"event {i}: the next slot is not what the chain commits to", "receipt.altered")
    if not opening.content and not opening.content_salt:
        if not may_withhold:
            raise InvalidReceipt(f"event {i}: what it says is withheld", "receipt.withheld")
        return Entry(slot, record, catalogued, None)
    if len(opening.content_salt) != slots.SALT_BYTES:
        raise InvalidReceipt(f"event {i}: a salt has {slots.SALT_BYTES} bytes")
    try:
        content = Content.decode(opening.content)
    except InvalidMessage as error:
        raise InvalidReceipt(f"event {i}: {error.reason}") from None
    if content_commitment(content, opening.content_salt) != record.content:
        raise InvalidReceipt(f"event {i}: its content is not what the chain commits to", "receipt.altered")
    if SEVERITIES.index(content.severity) > max(0, catalogued.severity - 1):
        raise InvalidReceipt(f"event {i}: it is said to be more severe than its class allows")
    return Entry(slot, record, catalogued, content)


def _check_lengths(message: pb.Report) -> None:
    """Check the log's opening.

    Raises:
        InvalidReceipt: A field has another length.
    """
    if len(message.first_slot) != slots.SLOT_BYTES or len(message.log_salt) != slots.SALT_BYTES:
        raise InvalidReceipt("a slot and a salt have 32 bytes")
