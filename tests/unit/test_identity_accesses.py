# SPDX-License-Identifier: Apache-2.0
"""Rules of access entries: batches of fixed sizes, slots that are written once, entries that the law delays."""

import pytest

from chain.types import TRANSACTION_BYTES_MAX
from identity.access_rules import (
    BATCH_SIZES,
    SEALED_DAYS_MAX,
    load_access,
    load_seal,
    load_seal_counts,
    seal_count_key,
    seal_of,
)
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from membership.pb import membership_pb2
from tests.access_rig import DAY_MS, SEALER, VERIFIER, WRITER, AccessRig, batch, entry
from tests.identity_rig import hidden
from tests.rig import BLOCK_MS

FOUR = [entry(i) for i in range(4)]
SALT = hidden("salt")


@pytest.fixture
def rig() -> AccessRig:
    return AccessRig()


def seal(rig: AccessRig, i: int = 0, days: int = 30) -> pb.SealAccess:
    """A seal of what entry i commits to."""
    return pb.SealAccess(seal=seal_of(entry(i).content, SALT), due_day=rig.today + days)


def join(i: int = 0, **changes: bytes) -> pb.JoinSealed:
    fields = {"seal": seal_of(entry(i).content, SALT), "slot": entry(i).slot, "salt": SALT}
    return pb.JoinSealed(**{**fields, **changes})


@pytest.mark.parametrize("signer", [WRITER, VERIFIER])
def test_batch_of_registrar_or_verifier_is_written_with_its_writer_and_time(rig: AccessRig, signer: str) -> None:
    time_ms = rig.time_ms
    assert rig.code(signer, batch(*FOUR)) == ""
    for one in FOUR:
        record = load_access(rig.state.get, one.slot)
        assert record == pb.AccessRecord(
            writer=registrar_digest(signer.partition(":")[0]), time_ms=time_ms, content=one.content, next=one.next
        )


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_batch_of_each_size_is_taken_and_fits_a_transaction(rig: AccessRig, size: int) -> None:
    message = batch(*(entry(i) for i in range(size)))
    assert rig.code(WRITER, message) == ""
    assert message.ByteSize() < TRANSACTION_BYTES_MAX // 2


@pytest.mark.parametrize("size", [0, 1, 3, 5, 63, 65, 257])
def test_batch_of_another_size_is_refused(rig: AccessRig, size: int) -> None:
    assert rig.code(WRITER, batch(*(entry(i) for i in range(size)))) == "identity.batch-size"


@pytest.mark.parametrize(
    ("circumstance", "entries", "code"),
    [
        ("out of order", sorted(FOUR, key=lambda one: one.slot)[::-1], "identity.batch-order"),
        (
            "one slot twice",
            sorted([*FOUR[:3], entry(9, slot=FOUR[0].slot)], key=lambda e: e.slot),
            "identity.batch-order",
        ),
        ("short slot", [entry(9, slot=b"\x00"), *sorted(FOUR[:3], key=lambda e: e.slot)], "identity.invalid-slot"),
        ("long slot", [entry(9, slot=bytes(33)), *sorted(FOUR[:3], key=lambda e: e.slot)], "identity.invalid-slot"),
        ("no slot", [entry(9, slot=b""), *sorted(FOUR[:3], key=lambda e: e.slot)], "identity.invalid-slot"),
        ("short content", batch(*FOUR[:3], entry(9, content=bytes(31))).entries, "identity.invalid-commitment"),
        ("no link", batch(*FOUR[:3], entry(9, next=b"")).entries, "identity.invalid-commitment"),
    ],
)
def test_batch_of_another_form_is_refused(
    rig: AccessRig, circumstance: str, entries: list[pb.AccessEntry], code: str
) -> None:
    before = dict(rig.state)
    assert rig.code(WRITER, pb.RecordAccesses(entries=entries)) == code, circumstance
    assert rig.state == before


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("another organisation", "org-a:submit", "identity.not-writer"),
        ("an authority that seals", "org-p:submit", "identity.not-writer"),
        ("a registrar's key that attests", "org-r:attest", "identity.not-writer"),
        ("a registrar and a verifier", (WRITER, VERIFIER), "identity.ambiguous-writer"),
        ("a registrar beside somebody else", (WRITER, "org-a:submit"), ""),
    ],
)
def test_one_registrar_or_verifier_writes_with_a_key_that_submits(
    rig: AccessRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    assert rig.code(signers, batch(*FOUR)) == code, circumstance


def test_suspended_writer_whose_batch_another_submits_is_refused(rig: AccessRig) -> None:
    suspend = membership_pb2.Act(suspend_organisation=membership_pb2.SuspendOrganisation(id="org-v"))
    proposal = membership_pb2.Propose(epoch=1, expires_at_ms=rig.time_ms + DAY_MS, acts=[suspend])
    assert rig.code("org-a:govern", proposal) == ""
    assert rig.code((VERIFIER, "org-a:submit"), batch(*FOUR)) == "identity.issuer-suspended"


def test_batch_with_one_slot_that_is_taken_leaves_nothing(rig: AccessRig) -> None:
    assert rig.code(WRITER, batch(*FOUR)) == ""
    before = dict(rig.state)
    for i in range(4):
        again = batch(entry(9, slot=FOUR[i].slot), *(entry(10 + j) for j in range(3)))
        assert rig.code(VERIFIER, again) == "identity.slot-taken"
    assert rig.state == before


def test_same_batch_sent_twice_is_written_once(rig: AccessRig) -> None:
    assert rig.codes(rig.sign(WRITER, batch(*FOUR)), rig.sign(WRITER, batch(*FOUR))) == ["", "identity.slot-taken"]


# ---------------------------------------------------------------- entries that the law delays


def test_sealed_entry_is_counted_until_it_joins_its_list(rig: AccessRig) -> None:
    own, city = seal_count_key(registrar_digest("org-p")), load_seal_counts
    since_ms, message = rig.time_ms, seal(rig)
    assert rig.code(SEALER, message) == ""
    assert rig.code("org-q:attest", seal(rig, 1)) == ""
    assert (city(rig.state.get).sealed, city(rig.state.get, own).sealed) == (2, 1)
    assert rig.code(WRITER, batch(*FOUR)) == ""
    joined_ms = rig.time_ms
    assert rig.code(SEALER, join()) == ""
    assert (city(rig.state.get).sealed, city(rig.state.get).joined) == (1, 1)
    assert (city(rig.state.get, own).sealed, city(rig.state.get, own).joined) == (0, 1)
    record = load_seal(rig.state.get, registrar_digest("org-p"), message.seal)
    assert record == pb.SealRecord(due_day=message.due_day, since_ms=since_ms, joined_at_ms=joined_ms)


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("another slot", {"slot": entry(1).slot}, "identity.wrong-seal"),
        ("a slot that is free", {"slot": hidden("free")}, "identity.wrong-seal"),
        ("a short slot", {"slot": b"\x01"}, "identity.invalid-slot"),
        ("another salt", {"salt": hidden("other")}, "identity.wrong-seal"),
        ("a short salt", {"salt": SALT[:31]}, "identity.wrong-seal"),
        ("another seal", {"seal": hidden("other")}, "identity.unknown-seal"),
        ("a short seal", {"seal": b""}, "identity.invalid-commitment"),
    ],
)
def test_only_what_was_sealed_joins(rig: AccessRig, circumstance: str, changes: dict[str, bytes], code: str) -> None:
    assert rig.code(SEALER, seal(rig)) == ""
    assert rig.code(WRITER, batch(*FOUR)) == ""
    assert rig.code(SEALER, join(**changes)) == code, circumstance
    assert load_seal_counts(rig.state.get).sealed == 1


def test_entry_joins_once_and_its_seal_is_never_used_again(rig: AccessRig) -> None:
    assert rig.code(SEALER, seal(rig)) == ""
    assert rig.code(SEALER, seal(rig)) == "identity.seal-used"
    assert rig.code(WRITER, batch(*FOUR)) == ""
    assert rig.code(SEALER, join()) == ""
    assert rig.code(SEALER, join()) == "identity.seal-joined"
    assert rig.code(SEALER, seal(rig)) == "identity.seal-used"


def test_overdue_entry_may_still_join(rig: AccessRig) -> None:
    assert rig.code(SEALER, seal(rig, days=1)) == ""
    rig.height += 3 * DAY_MS // BLOCK_MS
    assert rig.code(WRITER, batch(*FOUR)) == ""
    assert rig.code(SEALER, join()) == ""


@pytest.mark.parametrize(
    ("days", "code"),
    [
        (-1, "identity.seal-due"),
        (0, "identity.seal-due"),
        (1, ""),
        (SEALED_DAYS_MAX, ""),
        (SEALED_DAYS_MAX + 1, "identity.seal-due"),
    ],
)
def test_sealed_entry_is_due_within_bounds(rig: AccessRig, days: int, code: str) -> None:
    assert rig.code(SEALER, seal(rig, days=days)) == code


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("a registrar", "org-r:attest", "identity.not-sealing-authority"),
        ("the authority's key that submits", "org-p:submit", "identity.not-sealing-authority"),
        ("two authorities", (SEALER, "org-q:attest"), "identity.ambiguous-writer"),
    ],
)
def test_one_authority_seals_with_a_key_that_attests(
    rig: AccessRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    assert rig.code(signers, seal(rig)) == code, circumstance
    assert rig.code(signers, join()) == code, circumstance


def test_authority_joins_no_entry_of_another(rig: AccessRig) -> None:
    assert rig.code(SEALER, seal(rig)) == ""
    assert rig.code(WRITER, batch(*FOUR)) == ""
    assert rig.code("org-q:attest", join()) == "identity.unknown-seal"


def test_seal_of_another_length_is_refused(rig: AccessRig) -> None:
    assert rig.code(SEALER, pb.SealAccess(seal=bytes(31), due_day=rig.today + 1)) == "identity.invalid-commitment"
