# SPDX-License-Identifier: Apache-2.0
"""A person's list of accesses: how entries are made, batched among decoys, sent again, opened and verified.

A list begins at the slot that a credential of the registrar names (`access_slot`). The service that keeps the list
hands out its free slot with the commitment to the one after; what was handed out counts once the ledger has taken the
entry, and until then the same slot is handed out anew, so a failed attempt leaves no hole.

`verify` takes a report with genesis alone and is complete or refuses: nothing *recorded* in this list up to its
checkpoint is left out, except what the law keeps sealed, of which it tells the city's count. It cannot tell that
whoever looked recorded it. Only drawing needs randomness.  Source: docs/identity.md, "Accesses".
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from chain import receipt
from chain.checkpoint import Checkpoint
from chain.codec import decode, encode
from chain.errors import InvalidMessage, InvalidReceipt
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.overlay import ReadState
from identity.access_content import content_commitment, decode_content, link_commitment
from identity.access_rules import BATCH_SIZES, CITY_COUNT_KEY, access_key, load_access
from identity.commitments import SALT_BYTES
from identity.jose import decode_base64url, encode_base64url
from identity.pb import access_pb2, identity_pb2
from identity.slots import SLOT_BYTES, ShownStates

Draw = Callable[[int], bytes]

ENTRIES_MAX: Final = 4_096
"""Of one list; a receipt holds 16,384 states. Before a list is full, the next credential begins another."""
REPORT_BYTES_MAX: Final = 16 * 1024 * 1024


class ListFull(Exception):
    """A list holds as many entries as one report can prove."""


# ---------------------------------------------------------------- entries


def make_entry(slot: bytes, link: bytes, content: bytes, salt: bytes) -> identity_pb2.AccessEntry:
    """An entry, by a writer that was handed a slot.

    Args:
        slot: The free slot, 32 bytes.
        link: The commitment to the one after, 32 bytes.
        content: Bytes of `AccessContent`.
        salt: 32 random bytes, for this entry alone; with the content, for whoever keeps the list.
    """
    return identity_pb2.AccessEntry(slot=slot, content=content_commitment(content, salt), next=link)


def claim_of_slot(slot: bytes) -> str:
    """How a credential names the slot at which a list begins (`access_slot`)."""
    assert len(slot) == SLOT_BYTES, "a slot has 32 bytes"
    return encode_base64url(slot)


def slot_of_claim(claim: str) -> bytes:
    """Read what `claim_of_slot` wrote; 32 bytes.

    Raises:
        LedgerError: It names no slot.
    """
    slot = decode_base64url(claim, "access_slot")
    if len(slot) != SLOT_BYTES:
        raise InvalidMessage(f"access_slot has {len(slot)} bytes; a slot has {SLOT_BYTES}")
    return slot


# ---------------------------------------------------------------- lists


@dataclass(frozen=True, slots=True)
class Handed:
    """The free slot of a list, for one entry.

    Attributes:
        slot: For the writer; whoever else learns of it before it is written could take it.
        next_slot: Stays with whoever keeps the list.
        next_salt: Likewise.
    """

    slot: bytes = field(repr=False)
    next_slot: bytes = field(repr=False)
    next_salt: bytes = field(repr=False)

    @property
    def link(self) -> bytes:
        """For the writer: the commitment to the slot after this one."""
        return link_commitment(self.next_slot, self.next_salt)

    def opening(self, content: bytes, salt: bytes) -> access_pb2.AccessOpening:
        """What opens the slot once an entry with this content stands there."""
        return access_pb2.AccessOpening(
            content=content, content_salt=salt, next_slot=self.next_slot, next_salt=self.next_salt
        )


@dataclass(frozen=True, slots=True)
class AccessList:
    """A list with its secrets, as the service that keeps it and the person know it; personal.

    Attributes:
        first_slot: Where it begins; in the person's credential.
        openings: Of each slot taken, in order.
    """

    first_slot: bytes = field(repr=False)
    openings: tuple[access_pb2.AccessOpening, ...] = field(default=(), repr=False)

    @classmethod
    def begin(cls, draw: Draw = secrets.token_bytes) -> "AccessList":
        """A new list. Nothing of it stands on the chain before its first entry."""
        return cls(draw(SLOT_BYTES))

    @property
    def slots(self) -> tuple[bytes, ...]:
        """Each slot taken, then the free one."""
        return (self.first_slot, *(opening.next_slot for opening in self.openings))

    def hand_out(self, draw: Draw = secrets.token_bytes) -> Handed:
        """The free slot, for the next entry. Nothing is kept of it before `took`.

        Raises:
            ListFull: No report could prove another entry.
        """
        if len(self.openings) >= ENTRIES_MAX:
            raise ListFull
        return Handed(self.slots[-1], draw(SLOT_BYTES), draw(SALT_BYTES))

    def took(self, handed: Handed, content: bytes, salt: bytes) -> "AccessList":
        """The list once the ledger has taken an entry, or for a further entry of the same batch.

        Args:
            handed: What the entry was made with.
            content: Bytes of `AccessContent`.
            salt: The entry's.
        """
        assert handed.slot == self.slots[-1], "entries are taken in the list's order"
        return replace(self, openings=(*self.openings, handed.opening(content, salt)))

    def state_keys(self) -> tuple[bytes, ...]:
        """The state keys that a report's receipt proves, sorted."""
        return tuple(sorted({CITY_COUNT_KEY, *map(access_key, self.slots)}))

    def report(self, proof: bytes) -> bytes:
        """Put a report together.

        Args:
            proof: A receipt of the states under `state_keys`.
        """
        return encode(access_pb2.AccessReport(receipt=proof, openings=self.openings))


# ---------------------------------------------------------------- batches


@dataclass(frozen=True, slots=True)
class Retry:
    """What is to be done about a batch whose outcome is not known, or that was refused.

    Attributes:
        recorded: Slots of entries that stand on the ledger as they were sent.
        lost: Slots that hold something else: another writer took them, and their lists end before them for good.
        batch: What to send instead; None: nothing is left.
    """

    recorded: tuple[bytes, ...]
    lost: tuple[bytes, ...]
    batch: identity_pb2.RecordAccesses | None


def make_batch(
    entries: Iterable[identity_pb2.AccessEntry], draw: Draw = secrets.token_bytes
) -> identity_pb2.RecordAccesses:
    """Fill entries up with decoys to the next batch size, sorted, so that neither order nor number tells anything.

    Entries of one list may stand in one batch: all of it is written, or nothing. Keep the batch as it is until its
    outcome is known; `retry` says what to send then.

    Args:
        entries: 1 to 256, each with a slot of its own.
        draw: Random bytes.

    Raises:
        InvalidMessage: There is none, they are too many, or two have one slot.
    """
    real = list(entries)
    if not 1 <= len(real) <= BATCH_SIZES[-1] or len({entry.slot for entry in real}) != len(real):
        raise InvalidMessage(f"a batch has 1 to {BATCH_SIZES[-1]} entries, each with a slot of its own")
    size = min(size for size in BATCH_SIZES if size >= len(real))
    return _filled(real, size, draw)


def retry(batch: identity_pb2.RecordAccesses, read: ReadState, draw: Draw = secrets.token_bytes) -> Retry:
    """What to do about a batch, by the state of its slots.

    A refused batch has left nothing, and everybody has seen it. So what is sent instead keeps each entry that is still
    possible, decoys too, and replaces the others alone: what two batches have in common tells nothing.

    Args:
        batch: As it was sent.
        read: Looks up state that is certified, at one checkpoint.
        draw: Random bytes.
    """
    recorded, lost, left = list[bytes](), list[bytes](), list[identity_pb2.AccessEntry]()
    for entry in batch.entries:
        record = load_access(read, entry.slot)
        if record is None:
            left.append(entry)
        elif (record.content, record.next) == (entry.content, entry.next):
            recorded.append(entry.slot)
        else:
            lost.append(entry.slot)
    again = _filled(left, len(batch.entries), draw) if left else None
    return Retry(tuple(recorded), tuple(lost), again)


def _filled(entries: Sequence[identity_pb2.AccessEntry], size: int, draw: Draw) -> identity_pb2.RecordAccesses:
    decoys = [
        identity_pb2.AccessEntry(slot=draw(SLOT_BYTES), content=draw(SLOT_BYTES), next=draw(SLOT_BYTES))
        for _ in range(size - len(entries))
    ]
    return identity_pb2.RecordAccesses(entries=sorted([*entries, *decoys], key=_slot_of))


def _slot_of(entry: identity_pb2.AccessEntry) -> bytes:
    """The order of a batch."""
    return entry.slot


# ---------------------------------------------------------------- reports


@dataclass(frozen=True, slots=True)
class Access:
    """One access, opened and proven.

    Attributes:
        slot: 32 bytes.
        writer: SHA-256 of the id of the organisation that wrote it; proven.
        recorded_ms: When it was written; proven. `content.at_ms` is what the writer says of when it happened.
        content: Opened from its commitment. None: it was erased, or the writer never told it or committed to nothing
            that can be read; that the writer saw something is proven all the same.
    """

    slot: bytes
    writer: bytes
    recorded_ms: int
    content: access_pb2.AccessContent | None


@dataclass(frozen=True, slots=True)
class VerifiedAccesses:
    """What a report proves.

    Attributes:
        checkpoint: Under which all of it stands; it says the time.
        accesses: All that is recorded in this list, in order.
        free_slot: Where the next entry will stand; a later report may begin here.
        sealed: How many entries are sealed in the whole city; whether one is this person's, nobody can tell from it.
    """

    checkpoint: Checkpoint
    accesses: tuple[Access, ...]
    free_slot: bytes
    sealed: int


def verify(
    report: bytes,
    first_slot: bytes,
    genesis: Genesis | bytes | TrustAnchor,
    *,
    age_ms_max: int | None = None,
    now_ms: int | None = None,
) -> VerifiedAccesses:
    """Verify that a report tells all that is recorded in a list, and nothing else.

    Args:
        report: Bytes of `AccessReport`.
        first_slot: As the person's credential says (`slot_of_claim`), or the free slot of an earlier report.
        genesis: The same loaded, a genesis file's bytes, or a kept anchor.
        age_ms_max: The oldest checkpoint that is accepted; needs `now_ms`.
        now_ms: The verifier's clock.

    Raises:
        LedgerError: It does not prove what it claims, something is left out, added or altered, or it is too old.
    """
    message = decode(access_pb2.AccessReport, report, REPORT_BYTES_MAX)
    if len(message.openings) > ENTRIES_MAX:
        raise InvalidReceipt(f"a report has at most {ENTRIES_MAX} entries")
    proven = receipt.verify(message.receipt, genesis, state_age_ms_max=age_ms_max, now_ms=now_ms)
    states = ShownStates(proven)
    accesses: list[Access] = []
    slot = first_slot
    for i, opening in enumerate(message.openings):
        key = access_key(slot)
        if states.is_used(key):
            raise InvalidReceipt(f"entry {i} stands in the report already")
        raw = states.value(key)
        if raw is None:
            raise InvalidReceipt(f"entry {i} stands in a slot that is free")
        accesses.append(_open(i, slot, identity_pb2.AccessRecord.FromString(raw), opening))
        slot = opening.next_slot
    if states.value(access_key(slot)) is not None:
        raise InvalidReceipt(
            "the list goes on where the report ends: something is left out", "identity.report-incomplete"
        )
    counts = identity_pb2.SealCounts.FromString(states.value(CITY_COUNT_KEY) or b"")
    states.check_all_used()
    return VerifiedAccesses(proven.checkpoint, tuple(accesses), slot, counts.sealed)


def _open(i: int, slot: bytes, record: identity_pb2.AccessRecord, opening: access_pb2.AccessOpening) -> Access:
    """Check one opening against what stands in its slot.

    Raises:
        InvalidReceipt: It opens something else, or is of another form.
    """
    if len(opening.next_slot) != SLOT_BYTES or len(opening.next_salt) != SALT_BYTES:
        raise InvalidReceipt(f"entry {i}: a slot and a salt have {SLOT_BYTES} bytes each")
    if link_commitment(opening.next_slot, opening.next_salt) != record.next:
        raise InvalidReceipt(f"entry {i}: the next slot is not what the chain commits to", "identity.report-altered")
    if not opening.content and not opening.content_salt:
        return Access(slot, record.writer, record.time_ms, None)
    if len(opening.content_salt) != SALT_BYTES:
        raise InvalidReceipt(f"entry {i}: a salt has {SALT_BYTES} bytes")
    if content_commitment(opening.content, opening.content_salt) != record.content:
        raise InvalidReceipt(f"entry {i}: its content is not what the chain commits to", "identity.report-altered")
    try:
        content = decode_content(opening.content)
    except InvalidMessage:
        content = None
    return Access(slot, record.writer, record.time_ms, content)
