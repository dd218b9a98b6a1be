# SPDX-License-Identifier: Apache-2.0
"""Accesses to people's data in one-time slots: batches of entries and decoys, and entries that the law delays.

A list of accesses is a chain of slots. Each is a random key, written once; its value commits to what was seen and to
the next slot, so that whoever holds the openings can show the list up to the first absent slot, and nobody else can
tell two entries of one person from entries of two, or from decoys. Entries go in batches of a few fixed sizes, sorted
by slot: all of a batch are written, or none.

A sealed entry is a commitment with a due day, counted for its authority and for the city; it ends by showing that a
slot holds exactly what was sealed. That the slot is in the right person's list, rules cannot know.

Under `identity/access/…`, `identity/sealed/…` and `identity/sealed-count/…`.  Source: docs/identity.md.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import HASH_BYTES
from identity.commitments import SALT_BYTES, check_commitment, salted
from identity.issuing import REGISTRAR_ROLE
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from membership.authority import signing_organisations
from membership.pb import membership_pb2
from membership.state import Organisation

VERIFIER_ROLE: Final = "verifier"
SEALING_ROLE: Final = "sealing-authority"
WRITER_ROLES: Final = (REGISTRAR_ROLE, VERIFIER_ROLE)
"""Of organisations that write entries: they are the ones that see people's data."""

BATCH_SIZES: Final = (4, 16, 64, 256)
"""Few, so that a batch's size says little of how many entries are real; the largest takes 27 KiB of a transaction."""
DAY_MS: Final = 86_400_000
SEALED_DAYS_MAX: Final = 2 * 366
"""Two years: long enough for an investigation, and short enough that somebody still answers for it."""

CITY_COUNT_KEY: Final = b"identity/sealed-count/city"
_SEAL: Final = b"zhixin/identity/access-seal\x00"


def access_key(slot: bytes) -> bytes:
    """State key of a slot: its absence proves that a list ends before it."""
    return b"identity/access/" + slot.hex().encode()


def seal_key(authority: bytes, seal: bytes) -> bytes:
    """State key of a sealed entry; `authority` is SHA-256 of its id."""
    return b"identity/sealed/%s/%s" % (authority.hex().encode(), seal.hex().encode())


def seal_count_key(authority: bytes) -> bytes:
    """State key of how many entries an authority has sealed; `CITY_COUNT_KEY` is that of all together."""
    return b"identity/sealed-count/" + authority.hex().encode()


def load_access(read: ReadState, slot: bytes) -> pb.AccessRecord | None:
    """What stands in a slot, or None."""
    raw = read(access_key(slot))
    return None if raw is None else pb.AccessRecord.FromString(raw)


def load_seal(read: ReadState, authority: bytes, seal: bytes) -> pb.SealRecord | None:
    """A sealed entry, also one that has joined its list; None: this authority never sealed it."""
    raw = read(seal_key(authority, seal))
    return None if raw is None else pb.SealRecord.FromString(raw)


def load_seal_counts(read: ReadState, key: bytes = CITY_COUNT_KEY) -> pb.SealCounts:
    """How many entries are sealed, in the city or by one authority; all 0 before the first."""
    return pb.SealCounts.FromString(read(key) or b"")


def seal_of(content: bytes, salt: bytes) -> bytes:
    """What an authority seals; 32 bytes.

    Args:
        content: The content commitment that the entry will have, 32 bytes (`identity.access.content_commitment`).
        salt: 32 random bytes, for this seal alone.
    """
    assert len(content) == HASH_BYTES, "a commitment has 32 bytes"
    return salted(_SEAL, salt, content)


# ---------------------------------------------------------------- operations


def record_accesses(context: Context, message: pb.RecordAccesses) -> None:
    """Write a batch of entries. One write for each.

    Raises:
        Refused: Not one registrar or verifier signs, the batch has another size or order, or a slot is taken. Then none
            of its entries is written.
    """
    writer = registrar_digest(writing_organisation(context))
    entries = message.entries
    if len(entries) not in BATCH_SIZES:
        raise Refused(f"a batch has one of the sizes {BATCH_SIZES}; fill it with decoys", "identity.batch-size")
    for i in range(1, len(entries)):
        if entries[i - 1].slot >= entries[i].slot:
            raise Refused("entries stand in ascending order of their slots, each slot once", "identity.batch-order")
    for entry in entries:
        check_commitment(entry.content)
        check_commitment(entry.next)
        if len(entry.slot) != HASH_BYTES:
            raise Refused(f"a slot has {HASH_BYTES} bytes", "identity.invalid-slot")
        if context.read(access_key(entry.slot)) is not None:
            raise Refused("a slot of this batch is taken", "identity.slot-taken")
    for entry in entries:
        record = pb.AccessRecord(writer=writer, time_ms=context.block.time_ms, content=entry.content, next=entry.next)
        context.write(access_key(entry.slot), encode(record))


def seal_access(context: Context, message: pb.SealAccess) -> None:
    """Commit to an entry that the law delays. Three writes.

    Raises:
        Refused: No authority that may seal signs, the seal was used, or it is due too late or today.
    """
    authority = registrar_digest(_sealing(context))
    check_commitment(message.seal)
    if load_seal(context.read, authority, message.seal) is not None:
        raise Refused("this authority used this seal before", "identity.seal-used")
    today = context.block.time_ms // DAY_MS
    if not today < message.due_day <= today + SEALED_DAYS_MAX:
        raise Refused(f"a sealed entry is due within {SEALED_DAYS_MAX} days, from tomorrow on", "identity.seal-due")
    record = pb.SealRecord(due_day=message.due_day, since_ms=context.block.time_ms)
    context.write(seal_key(authority, message.seal), encode(record))
    for key in (seal_count_key(authority), CITY_COUNT_KEY):
        counts = load_seal_counts(context.read, key)
        counts.sealed += 1
        context.write(key, encode(counts))


def join_sealed(context: Context, message: pb.JoinSealed) -> None:
    """Show that a sealed entry stands in a slot. Three writes.

    Raises:
        Refused: The authority that sealed it does not sign, it has joined before, or the slot holds something else.
    """
    authority = registrar_digest(_sealing(context))
    check_commitment(message.seal)
    record = load_seal(context.read, authority, message.seal)
    if record is None:
        raise Refused("this authority has no such seal", "identity.unknown-seal")
    if record.joined_at_ms:
        raise Refused("this entry has joined its list already", "identity.seal-joined")
    if len(message.slot) != HASH_BYTES:
        raise Refused(f"a slot has {HASH_BYTES} bytes", "identity.invalid-slot")
    entry = load_access(context.read, message.slot)
    if entry is None or len(message.salt) != SALT_BYTES or seal_of(entry.content, message.salt) != message.seal:
        raise Refused("the slot does not hold what was sealed", "identity.wrong-seal")
    record.joined_at_ms = context.block.time_ms
    context.write(seal_key(authority, message.seal), encode(record))
    for key in (seal_count_key(authority), CITY_COUNT_KEY):
        counts = load_seal_counts(context.read, key)
        counts.sealed -= 1
        counts.joined += 1
        context.write(key, encode(counts))


# ---------------------------------------------------------------- who signs


def writing_organisation(context: Context) -> str:
    """The id of the one registrar or verifier that signs, with a key that submits.

    Raises:
        Refused: None does, several do, or it is suspended.
    """
    signing = signing_organisations(context, membership_pb2.PURPOSE_SUBMIT)
    found = [one for one in signing if any(role in one.roles for role in WRITER_ROLES)]
    if not found:
        raise Refused("no registrar or verifier signs with a key that submits", "identity.not-writer")
    return _only(found)


def _sealing(context: Context) -> str:
    """The id of the one authority that may seal and signs, with a key that attests.

    Raises:
        Refused: None does, several do, or it is suspended.
    """
    signing = signing_organisations(context, membership_pb2.PURPOSE_ATTEST)
    found = [one for one in signing if SEALING_ROLE in one.roles]
    if not found:
        raise Refused(f"no organisation with the role {SEALING_ROLE} signs", "identity.not-sealing-authority")
    return _only(found)


def _only(found: list[Organisation]) -> str:
    if len(found) > 1:
        raise Refused(
            "keys of several organisations sign that could act; one acts at a time", "identity.ambiguous-writer"
        )
    if not found[0].is_active:
        raise Refused("the organisation is suspended", "identity.issuer-suspended")
    return found[0].id
