# SPDX-License-Identifier: Apache-2.0
"""A report of accesses is complete or refused: whatever is left out, added or altered, it fails."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.codec import decode, encode
from chain.errors import InvalidMessage, LedgerError
from identity import access
from identity.access import (
    AccessList,
    Draw,
    ListFull,
    VerifiedAccesses,
    claim_of_slot,
    make_batch,
    make_entry,
    retry,
    slot_of_claim,
    verify,
)
from identity.access_content import content_commitment, decode_content, encode_content, link_commitment
from identity.access_rules import BATCH_SIZES, CITY_COUNT_KEY, access_key, seal_of
from identity.officers import registrar_digest
from identity.pb import access_pb2, identity_pb2
from sim.instant_ledger import InstantLedger
from tests.access_rig import DAY_MS, SEALER, VERIFIER, AccessRig, Draws, answer, entry, grown, look_up, write
from tests.identity_rig import hidden
from tests.rig import BLOCK_MS

CONTENTS = [look_up(0), answer(1), look_up(2), answer(3), look_up(4)]
FIRST = hidden("first slot")


class Kept:
    """Two lists of five entries each on one ledger."""

    def __init__(self) -> None:
        self.rig, draw = AccessRig(), Draws(1)
        self.list, entries = grown(AccessList(FIRST), CONTENTS, draw)
        self.other, others = grown(AccessList(hidden("other slot")), CONTENTS, draw)
        write(self.rig, [*entries[:2], others[0]], draw)
        write(self.rig, [*entries[2:], *others[1:]], draw, VERIFIER)
        self.ledger = InstantLedger(("a", "b", "c", "d"))
        self.ledger.append([], dict(self.rig.state))

    def report(self, one: AccessList | None = None) -> bytes:
        """The report of a list, proven by the ledger."""
        shown = self.list if one is None else one
        return shown.report(self.ledger.receipt([], list(shown.state_keys())))

    def code(self, raw: bytes, first_slot: bytes = FIRST) -> str:
        try:
            verify(raw, first_slot, self.ledger.genesis)
        except LedgerError as error:
            return error.code
        return ""


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


def test_report_tells_all_that_is_recorded_with_who_wrote_it_and_when(kept: Kept) -> None:
    found = verify(kept.report(), FIRST, kept.ledger.genesis)
    assert [encode(one.content) for one in found.accesses if one.content] == CONTENTS
    writers = [registrar_digest("org-r")] * 2 + [registrar_digest("org-v")] * 3
    assert [one.writer for one in found.accesses] == writers
    assert found.accesses[0].recorded_ms < found.accesses[2].recorded_ms
    assert (found.free_slot, found.sealed) == (kept.list.slots[-1], 0)
    assert found.checkpoint == kept.ledger.checkpoint


def test_list_without_entries_is_a_report_too(kept: Kept) -> None:
    empty = AccessList.begin(Draws(2))
    assert verify(kept.report(empty), empty.first_slot, kept.ledger.genesis).accesses == ()


def test_report_tells_how_many_entries_the_city_keeps_sealed() -> None:
    made = InstantLedger(("a", "b", "c", "d"))
    made.append([], {CITY_COUNT_KEY: encode(identity_pb2.SealCounts(sealed=3, joined=1))})
    empty = AccessList(FIRST)
    raw = empty.report(made.receipt([], list(empty.state_keys())))
    assert verify(raw, FIRST, made.genesis).sealed == 3


def test_report_may_begin_where_an_earlier_one_ended(kept: Kept) -> None:
    later = AccessList(kept.list.slots[3], kept.list.openings[3:])
    found = verify(kept.report(later), kept.list.slots[3], kept.ledger.genesis)
    assert [one.slot for one in found.accesses] == list(kept.list.slots[3:5])


def test_sealed_entry_is_counted_at_once_and_shown_once_it_has_joined() -> None:
    rig, draw, made = AccessRig(), Draws(14), InstantLedger(("a", "b", "c", "d"))
    content, salt, seal_salt = look_up(1), draw(32), draw(32)
    seal = seal_of(content_commitment(content, salt), seal_salt)
    one = AccessList(FIRST)

    def report() -> VerifiedAccesses:
        made.append([], dict(rig.state))
        return verify(one.report(made.receipt([], list(one.state_keys()))), FIRST, made.genesis)

    assert rig.code(SEALER, identity_pb2.SealAccess(seal=seal, due_day=rig.today + 1)) == ""
    assert (report().accesses, report().sealed) == ((), 1)
    rig.height += DAY_MS // BLOCK_MS
    handed = one.hand_out(draw)
    write(rig, [make_entry(handed.slot, handed.link, content, salt)], draw)
    one = one.took(handed, content, salt)
    assert rig.code(SEALER, identity_pb2.JoinSealed(seal=seal, slot=handed.slot, salt=seal_salt)) == ""
    found = report()
    assert ([access.content for access in found.accesses], found.sealed) == ([decode_content(content)], 0)


@pytest.mark.parametrize("end", range(len(CONTENTS)))
def test_report_that_ends_early_is_refused(kept: Kept, end: int) -> None:
    short = AccessList(FIRST, kept.list.openings[:end])
    assert kept.code(kept.report(short)) == "identity.report-incomplete"


@pytest.mark.parametrize("missing", range(len(CONTENTS)))
def test_report_with_one_entry_left_out_is_refused(kept: Kept, missing: int) -> None:
    openings = [access_pb2.AccessOpening.FromString(encode(one)) for one in kept.list.openings]
    gone = openings.pop(missing)
    first = gone.next_slot
    if missing:
        openings[missing - 1].next_slot, first = gone.next_slot, FIRST
    short = AccessList(first, tuple(openings))
    # a list that begins later is no list of this person's: the credential says where it begins
    assert kept.code(kept.report(short)) == ("identity.report-altered" if missing else "receipt.invalid")


def test_report_of_another_persons_list_is_refused(kept: Kept) -> None:
    assert kept.code(kept.report(kept.other), kept.other.first_slot) == ""
    assert kept.code(kept.report(kept.other)) != ""


def test_entry_of_another_list_cannot_be_put_in(kept: Kept) -> None:
    openings = [access_pb2.AccessOpening.FromString(encode(one)) for one in kept.list.openings[:2]]
    openings[1].next_slot = kept.other.slots[2]
    mixed = AccessList(FIRST, (*openings, *kept.other.openings[2:]))
    assert kept.code(kept.report(mixed)) == "identity.report-altered"


def test_entry_that_stands_nowhere_cannot_be_added(kept: Kept) -> None:
    longer, _ = grown(kept.list, [look_up(9)], Draws(3))
    assert kept.code(kept.report(longer)) == "receipt.invalid"


def test_content_that_was_not_committed_to_is_refused(kept: Kept) -> None:
    openings = [access_pb2.AccessOpening.FromString(encode(one)) for one in kept.list.openings]
    openings[1].content = answer(99)
    assert kept.code(kept.report(AccessList(FIRST, tuple(openings)))) == "identity.report-altered"


def test_entry_whose_content_was_erased_stands_without_it(kept: Kept) -> None:
    openings = [access_pb2.AccessOpening.FromString(encode(one)) for one in kept.list.openings]
    openings[1].content, openings[1].content_salt = b"", b""
    found = verify(kept.report(AccessList(FIRST, tuple(openings))), FIRST, kept.ledger.genesis)
    assert [one.content is None for one in found.accesses] == [False, True, False, False, False]
    assert found.accesses[1].writer == registrar_digest("org-r")


def test_content_that_nobody_can_read_does_not_hide_the_rest_of_the_list() -> None:
    rig, draw = AccessRig(), Draws(4)
    one, entries = grown(AccessList(FIRST), [b"\xff no content", look_up(1)], draw)
    write(rig, entries, draw)
    made = InstantLedger(("a", "b", "c", "d"))
    made.append([], dict(rig.state))
    found = verify(one.report(made.receipt([], list(one.state_keys()))), FIRST, made.genesis)
    assert [access.content is None for access in found.accesses] == [True, False]


def test_list_that_leads_back_to_itself_is_refused() -> None:
    made, salt = InstantLedger(("a", "b", "c", "d")), hidden("salt")
    record = identity_pb2.AccessRecord(content=hidden("content"), next=link_commitment(FIRST, salt))
    made.append([], {access_key(FIRST): encode(record)})
    opening = access_pb2.AccessOpening(next_slot=FIRST, next_salt=salt)
    looped = AccessList(FIRST, (opening, opening))
    raw = looped.report(made.receipt([], list(looped.state_keys())))
    with pytest.raises(LedgerError, match="already"):
        verify(raw, FIRST, made.genesis)


def test_receipt_that_proves_too_little_or_too_much_is_refused(kept: Kept) -> None:
    keys = list(kept.list.state_keys())
    for key in keys:
        raw = kept.list.report(kept.ledger.receipt([], [other for other in keys if other != key]))
        with pytest.raises(LedgerError, match="lacks"):
            verify(raw, FIRST, kept.ledger.genesis)
    more = sorted([*keys, access_key(kept.other.first_slot)])
    with pytest.raises(LedgerError, match="more than"):
        verify(kept.list.report(kept.ledger.receipt([], more)), FIRST, kept.ledger.genesis)


def test_report_of_another_network_is_refused(kept: Kept) -> None:
    with pytest.raises(LedgerError):
        verify(kept.report(), FIRST, InstantLedger(("e", "f", "g", "h")).genesis)


def test_report_older_than_accepted_is_refused(kept: Kept) -> None:
    now_ms = kept.ledger.checkpoint.time_ms + 10_000
    verify(kept.report(), FIRST, kept.ledger.genesis, age_ms_max=10_000, now_ms=now_ms)
    with pytest.raises(LedgerError) as caught:
        verify(kept.report(), FIRST, kept.ledger.genesis, age_ms_max=9_999, now_ms=now_ms)
    assert caught.value.code == "receipt.too-old"


def alter_byte(raw: bytes, pick: random.Random) -> bytes:
    made = bytearray(raw)
    made[pick.randrange(len(made))] ^= pick.randint(1, 255)
    return bytes(made)


def change_openings(raw: bytes, pick: random.Random) -> bytes:
    """Drop, repeat, exchange, or swap the fields of one or two openings."""
    message = decode(access_pb2.AccessReport, raw, access.REPORT_BYTES_MAX)
    openings = list(message.openings)
    i, j = pick.sample(range(len(openings)), 2)
    match pick.randrange(5):
        case 0:
            del openings[i]
        case 1:
            openings.insert(i, openings[j])
        case 2:
            openings[i], openings[j] = openings[j], openings[i]
        case 3:
            openings[i].content, openings[i].content_salt = openings[j].content, openings[j].content_salt
        case _:
            openings[i].next_slot, openings[i].next_salt = openings[j].next_slot, openings[j].next_salt
    return encode(access_pb2.AccessReport(receipt=message.receipt, openings=openings))


@pytest.mark.parametrize("change", [alter_byte, change_openings])
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_change_makes_a_report_fail(kept: Kept, change: Callable[[bytes, random.Random], bytes], seed: int) -> None:
    changed = change(kept.report(), random.Random(seed))
    assert changed != kept.report()
    assert kept.code(changed) != ""


# ---------------------------------------------------------------- lists and batches


def test_slot_that_was_handed_out_is_handed_out_anew_until_it_is_taken() -> None:
    one = AccessList.begin(Draws(5))
    first, second = one.hand_out(Draws(6)), one.hand_out(Draws(7))
    assert first.slot == second.slot == one.first_slot
    assert first.link != second.link


def test_full_list_hands_out_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ENTRIES_MAX", 2)
    full, _ = grown(AccessList(FIRST), CONTENTS[:2], Draws(8))
    with pytest.raises(ListFull):
        full.hand_out()


def test_secrets_of_a_list_are_not_printed() -> None:
    one, _ = grown(AccessList(FIRST), CONTENTS[:1], Draws(9))
    assert repr(one) == "AccessList()"
    assert repr(one.hand_out()) == "Handed()"


@pytest.mark.parametrize(("count", "size"), [(1, 4), (4, 4), (5, 16), (17, 64), (65, 256), (256, 256)])
def test_batch_is_filled_to_the_next_size_in_order(count: int, size: int) -> None:
    entries = [entry(i) for i in range(count)]
    made = make_batch(entries, Draws(count))
    assert len(made.entries) == size
    slots = [one.slot for one in made.entries]
    assert slots == sorted(set(slots))
    assert all(one in made.entries for one in entries)


@pytest.mark.parametrize("entries", [[], [entry(i) for i in range(257)], [entry(1), entry(1)]])
def test_batch_of_nothing_too_much_or_one_slot_twice_is_not_made(entries: list[identity_pb2.AccessEntry]) -> None:
    with pytest.raises(InvalidMessage):
        make_batch(entries)


def test_decoys_have_the_form_of_entries() -> None:
    one, entries = grown(AccessList(FIRST), CONTENTS[:1], Draws(10))
    made = make_batch(entries)
    assert {(len(e.slot), len(e.content), len(e.next)) for e in made.entries} == {(32, 32, 32)}
    assert {e.ByteSize() for e in made.entries} == {entries[0].ByteSize()}
    assert one.slots[1] not in {e.slot for e in made.entries}


def test_batch_whose_outcome_was_lost_is_known_by_its_slots() -> None:
    rig, draw = AccessRig(), Draws(11)
    sent = make_batch([entry(1), entry(2)], draw)
    pending = retry(sent, rig.state.get, draw)
    assert (pending.recorded, pending.lost, pending.batch) == ((), (), sent), "the same is sent again, decoys too"
    assert rig.code(VERIFIER, sent) == ""
    done = retry(sent, rig.state.get, draw)
    assert (set(done.recorded), done.lost, done.batch) == ({one.slot for one in sent.entries}, (), None)


def test_refused_batch_is_sent_again_with_all_that_is_still_possible() -> None:
    rig, draw = AccessRig(), Draws(12)
    sent = make_batch([entry(1), entry(2)], draw)
    squatted = make_batch([entry(3, slot=entry(1).slot)], draw)
    assert rig.code(VERIFIER, squatted) == ""
    assert rig.code(VERIFIER, sent) == "identity.slot-taken"
    again = retry(sent, rig.state.get, draw)
    assert (again.recorded, again.lost) == ((), (entry(1).slot,))
    assert again.batch is not None
    kept = [one for one in sent.entries if one.slot != entry(1).slot]
    assert all(one in again.batch.entries for one in kept)
    assert len(again.batch.entries) in BATCH_SIZES
    assert rig.code(VERIFIER, again.batch) == ""


# ---------------------------------------------------------------- claims and contents


def test_slot_in_a_credential_reads_back() -> None:
    assert slot_of_claim(claim_of_slot(FIRST)) == FIRST


@pytest.mark.parametrize("claim", ["", "c2xvdA", "=", claim_of_slot(FIRST) + "AA", claim_of_slot(FIRST)[:-1] + "!"])
def test_claim_that_names_no_slot_is_refused(claim: str) -> None:
    with pytest.raises(LedgerError):
        slot_of_claim(claim)


def content(**changes: object) -> access_pb2.AccessContent:
    return access_pb2.AccessContent(**{"kind": 2, "organisation": "bank", "at_ms": 1, "purpose": 1, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"purpose": 65_535},
        {"kind": 1, "purpose": 0, "reason": 7},
        {"kind": 3},
        {"third_party": True},
        {"attributes": [f"a{i:03}" for i in range(64)]},
        {"evidence": bytes(32)},
    ],
)
def test_content_within_its_bounds_reads_back(changes: dict[str, object]) -> None:
    assert decode_content(encode_content(content(**changes))) == content(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": 0},
        {"kind": 4},
        {"organisation": ""},
        {"organisation": "x" * 65},
        {"at_ms": 0},
        {"purpose": 0},
        {"purpose": 65_536},
        {"reason": 1},
        {"kind": 1},
        {"kind": 1, "purpose": 0},
        {"kind": 1, "purpose": 0, "reason": 8},
        {"kind": 1, "reason": 1},
        {"attributes": ["b", "a"]},
        {"attributes": ["a", "a"]},
        {"attributes": [""]},
        {"attributes": ["x" * 65]},
        {"attributes": [f"a{i:03}" for i in range(65)]},
        {"evidence": bytes(31)},
    ],
)
def test_content_out_of_its_bounds_is_neither_written_nor_read(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage):
        encode_content(content(**changes))
    with pytest.raises(InvalidMessage):
        decode_content(encode(content(**changes)))


def test_entry_that_a_writer_makes_opens_with_what_the_keeper_holds() -> None:
    draw: Draw = Draws(13)
    one = AccessList(FIRST)
    handed, salt = one.hand_out(draw), draw(32)
    made = make_entry(handed.slot, handed.link, look_up(), salt)
    assert (made.slot, made.next) == (FIRST, link_commitment(handed.next_slot, handed.next_salt))
    assert one.took(handed, look_up(), salt).openings[0].content_salt == salt
