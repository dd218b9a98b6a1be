# SPDX-License-Identifier: Apache-2.0
"""What a block does: skips, entries, atomicity, canonical bodies, and the end of an epoch.

Source of the rules: docs/protocol.md, sections 2, 4 and 5.
"""

from collections.abc import Mapping
from typing import ClassVar

import pytest
from google.protobuf.message import Message

from chain.checkpoint import Validator, ValidatorSet
from chain.consensus.block import Block
from chain.errors import Refused
from chain.executor import Executor, Outcome, digests_by_module
from chain.genesis import Genesis
from chain.module import Context, Registry
from chain.overlay import Overlay, ReadState
from chain.pb import ledger_pb2 as pb
from chain.remembered import Remembered
from chain.signing import Signer
from chain.transaction import Operation, SignedTransaction, decode
from chain.types import (
    FIRST_EPOCH,
    STATE_VALUE_BYTES_MAX,
    BlockId,
    BlsKey,
    Height,
    Millis,
    TransactionId,
    View,
    sha256,
)
from tests.rig import NETWORK, bls_key, signer, transaction

TIME_MS = 1_000_000
SET = ValidatorSet(FIRST_EPOCH, (Validator(bls_key("v0"), "org-a"),))


class Board:
    """A module to test with: `board.Operation` writes key=value, or does what its type says."""

    name = "board"
    grants: ClassVar[tuple[str, ...]] = ("notes/",)
    operations: ClassVar[Mapping[str, type[Message]]] = {"board.Put": pb.StateProof, "board.Refuse": pb.Success}

    def genesis(self, genesis: Genesis, context: Context) -> None:
        raise AssertionError("not used here")

    def execute(self, context: Context, message: Message) -> None:
        if isinstance(message, pb.Success):
            raise Refused("asked to", "board.refused")
        assert isinstance(message, pb.StateProof)
        if message.value:
            context.write(message.key, message.value)
        else:
            context.delete(message.key)


class Guard(Board):
    """Authority: keys named under `guard/known/` are known, `guard/set` names validators."""

    name = "guard"
    grants: ClassVar[tuple[str, ...]] = ()
    operations: ClassVar[Mapping[str, type[Message]]] = {"guard.Put": pb.StateProof}

    def is_known(self, read: ReadState, one: Signer, time_ms: int) -> bool:
        del time_ms
        return read(b"guard/known/" + one.public_key.hex().encode()) is not None

    def validator_set(self, read: ReadState) -> tuple[Validator, ...]:
        raw = read(b"guard/set") or b""
        return tuple(Validator(BlsKey(raw[i : i + 48]), "org-a") for i in range(0, len(raw), 48))


STATE = {
    b"guard/known/" + signer("alice").public_key.hex().encode(): b"1",
    b"guard/set": bls_key("v0"),
}


def put(key: bytes, value: bytes, module: str = "board") -> Operation:
    return Operation.make(f"{module}.Put", pb.StateProof(key=key, value=value).SerializeToString(deterministic=True))


REFUSE = Operation.make("board.Refuse", b"")


def signed(
    *operations: Operation, by: tuple[str, ...] = ("alice",), salt: int = 1, expires_at_ms: int = TIME_MS
) -> SignedTransaction:
    return transaction(operations, [signer(name) for name in by], expires_at_ms, salt)


def run(
    *transactions: SignedTransaction,
    state: Mapping[bytes, bytes] = STATE,
    remembered: tuple[TransactionId, ...] = (),
    height: int = 7,
) -> Outcome:
    guard = Guard()
    executor = Executor(NETWORK, Registry([guard, Board()]), guard)
    digests = tuple(t.digest for t in transactions)
    block = Block.make(FIRST_EPOCH, View(9), Height(height), BlockId(NETWORK), Millis(TIME_MS), digests)
    return executor.execute(block, transactions, SET, state.get, remembered.__contains__)


def results(outcome: Outcome) -> list[tuple[str, int] | None]:
    """Code and operation of each failure, None for each success."""
    entries = [pb.Entry.FromString(entry) for entry in outcome.entries]
    return [(e.failure.code, e.failure.operation) if e.HasField("failure") else None for e in entries]


# ---------------------------------------------------------------- which transactions count


@pytest.mark.parametrize(
    ("circumstance", "expires_at_ms", "counts"),
    [
        ("expired before the block", TIME_MS - 1, False),
        ("expiring with the block", TIME_MS, True),
        ("expiring as late as allowed", TIME_MS + 300_000, True),
        ("expiring too late", TIME_MS + 300_001, False),
    ],
)
def test_transaction_outside_its_time_window_is_skipped(circumstance: str, expires_at_ms: int, counts: bool) -> None:
    one = signed(put(b"board/a", b"1"), expires_at_ms=expires_at_ms)
    outcome = run(one)
    assert len(outcome.entries) == counts, circumstance
    assert outcome.skipped == (() if counts else (one.digest,))
    assert bool(outcome.writes) is counts


def test_transaction_with_an_entry_is_skipped() -> None:
    one = signed(put(b"board/a", b"1"))
    outcome = run(one, remembered=(one.id,))
    assert (outcome.entries, outcome.writes, outcome.skipped) == ((), (), (one.digest,))


def test_second_envelope_of_one_header_in_a_block_is_skipped() -> None:
    one = signed(put(b"board/a", b"1"))
    message = pb.Transaction.FromString(one.raw)
    message.signatures[0] = b"\x01" * 64
    raw = message.SerializeToString(deterministic=True)
    other = decode(raw)
    assert other.id == one.id
    outcome = run(one, other)
    assert len(outcome.entries) == 1
    assert outcome.skipped == (other.digest,)


def test_failed_transaction_consumes_its_id_too() -> None:
    failed = signed(REFUSE)
    outcome = run(failed, signed(put(b"board/a", b"1"), salt=2))
    assert outcome.executed[0] is failed
    assert run(failed, remembered=(failed.id,)).skipped == (failed.digest,)


@pytest.mark.parametrize(
    ("circumstance", "by", "counts"),
    [
        ("nobody known", ("bob",), False),
        ("several and nobody known", ("bob", "carol"), False),
        ("one of several known", ("bob", "alice", "carol"), True),
    ],
)
def test_transaction_is_skipped_when_none_of_its_signers_is_known(
    circumstance: str, by: tuple[str, ...], counts: bool
) -> None:
    assert len(run(signed(put(b"board/a", b"1"), by=by)).entries) == counts, circumstance


def test_signer_made_known_in_the_block_is_known_to_later_transactions_only() -> None:
    known = b"guard/known/" + signer("bob").public_key.hex().encode()
    before, after = signed(REFUSE, by=("bob",), salt=2), signed(put(b"board/b", b"1"), by=("bob",), salt=3)
    outcome = run(before, signed(put(known, b"1", "guard")), after)
    assert outcome.skipped == (before.digest,)
    assert results(outcome) == [None, None]


def test_signer_made_unknown_in_the_block_is_unknown_to_later_transactions() -> None:
    known = b"guard/known/" + signer("alice").public_key.hex().encode()
    late = signed(put(b"board/a", b"1"), salt=2)
    outcome = run(signed(put(known, b"", "guard")), late)
    assert outcome.skipped == (late.digest,)


# ---------------------------------------------------------------- entries


def test_entries_carry_height_position_time_and_header_and_skipped_transactions_take_no_position() -> None:
    transactions = [signed(put(b"board/a", b"1"), salt=i, by=(("alice",), ("bob",))[i == 1]) for i in range(3)]
    outcome = run(*transactions)
    entries = [pb.Entry.FromString(entry) for entry in outcome.entries]
    assert [(e.height, e.position, e.time_ms) for e in entries] == [(7, 0, TIME_MS), (7, 1, TIME_MS)]
    assert [e.header for e in entries] == [transactions[0].header, transactions[2].header]
    assert [e.WhichOneof("result") for e in entries] == ["success", "success"]
    assert [entry.SerializeToString(deterministic=True) for entry in entries] == list(outcome.entries)


def test_entry_is_pinned_byte_for_byte() -> None:
    entry = pb.Entry(height=7, position=0, time_ms=TIME_MS, header=signed(REFUSE).header)
    head = entry.SerializeToString(deterministic=True)
    assert run(signed(REFUSE)).entries == (head + b"\x32\x0f\x0a\x0dboard.refused",)
    assert run(signed(put(b"board/a", b"1"))).entries[0].endswith(b"\x2a\x00"), "a success is an empty message"


@pytest.mark.parametrize(
    ("circumstance", "operations", "failure"),
    [
        ("refused by a rule", [REFUSE], ("board.refused", 0)),
        ("refused after a success", [put(b"board/a", b"1"), REFUSE, put(b"board/b", b"1")], ("board.refused", 1)),
        ("unknown module", [Operation.make("weather.Put", b"")], ("operation.unknown-type", 0)),
        ("unknown operation", [put(b"board/a", b"1"), Operation.make("board.Get", b"")], ("operation.unknown-type", 1)),
        ("message name without its module", [Operation.make("Put", b"")], ("operation.unknown-type", 0)),
        ("body that does not decode", [Operation.make("board.Put", b"\xff")], ("operation.invalid-body", 0)),
        ("body with an unknown field", [Operation.make("board.Put", b"\x78\x01")], ("operation.invalid-body", 0)),
        ("body with a default written out", [Operation.make("board.Put", b"\x0a\x00")], ("operation.invalid-body", 0)),
        (
            "body with fields out of order",
            [Operation.make("board.Put", b"\x12\x01b\x0a\x07board/a")],
            ("operation.invalid-body", 0),
        ),
        (
            "body with an overlong varint",
            [Operation.make("board.Put", b"\x0a\x87\x00board/a")],
            ("operation.invalid-body", 0),
        ),
        ("value too long for state", [put(b"board/a", bytes(STATE_VALUE_BYTES_MAX + 1))], ("state.value-size", 0)),
        ("key too long for state", [put(b"board/" + b"x" * 507, b"1")], ("state.key-size", 0)),
    ],
)
def test_failed_transaction_names_code_and_operation_and_leaves_no_writes(
    circumstance: str, operations: list[Operation], failure: tuple[str, int]
) -> None:
    outcome = run(signed(*operations), signed(put(b"board/z", b"1"), salt=2))
    assert results(outcome) == [failure, None], circumstance
    assert outcome.writes == ((b"board/z", b"1"),)


def test_operations_see_the_writes_before_them_and_writes_come_sorted() -> None:
    outcome = run(
        signed(put(b"notes/1", b"x"), put(b"board/b", b"1"), put(b"board/b", b"2")),
        signed(put(b"board/a", b"1"), put(b"board/b", b""), salt=2),
    )
    assert outcome.writes == ((b"board/a", b"1"), (b"notes/1", b"x"))


def test_write_that_changes_nothing_is_no_write() -> None:
    assert run(signed(put(b"board/a", b"1")), state={**STATE, b"board/a": b"1"}).writes == ()
    assert run(signed(put(b"board/a", b"2")), state={**STATE, b"board/a": b"1"}).writes == ((b"board/a", b"2"),)
    assert run(signed(put(b"board/a", b"")), state={**STATE, b"board/a": b"1"}).writes == ((b"board/a", None),)


def test_module_that_writes_another_modules_key_stops_the_node() -> None:
    with pytest.raises(AssertionError, match="not its own"):
        run(signed(put(b"guard/set", b"1")))
    with pytest.raises(AssertionError, match="not its own"):
        run(signed(put(b"notes/1", b"1", "guard")))


def test_block_with_other_transactions_than_it_lists_stops_the_node() -> None:
    guard = Guard()
    block = Block.make(FIRST_EPOCH, View(9), Height(1), BlockId(NETWORK), Millis(TIME_MS), ())
    with pytest.raises(AssertionError, match="not the block's"):
        Executor(NETWORK, Registry([guard]), guard).execute(block, [signed(REFUSE)], SET, STATE.get, bool)


# ---------------------------------------------------------------- the end of an epoch


def test_block_that_leaves_another_set_closes_the_epoch_and_its_remaining_transactions_execute() -> None:
    outcome = run(signed(put(b"guard/set", bls_key("v1"), "guard")), signed(put(b"board/a", b"1"), salt=2))
    assert outcome.next_set == ValidatorSet(type(FIRST_EPOCH)(2), (Validator(bls_key("v1"), "org-a"),))
    assert results(outcome) == [None, None]
    assert (b"board/a", b"1") in outcome.writes


@pytest.mark.parametrize(
    ("circumstance", "transactions"),
    [
        ("nothing", []),
        ("another module's writes", [signed(put(b"board/a", b"1"))]),
        ("the authority's other writes", [signed(put(b"guard/other", b"1", "guard"))]),
        ("a set written as it was", [signed(put(b"guard/set", bls_key("v0"), "guard"))]),
        (
            "a set changed and restored",
            [
                signed(put(b"guard/set", bls_key("v1"), "guard")),
                signed(put(b"guard/set", bls_key("v0"), "guard"), salt=2),
            ],
        ),
        ("a set change that failed", [signed(put(b"guard/set", bls_key("v1"), "guard"), REFUSE)]),
    ],
)
def test_block_that_leaves_the_set_as_it_was_does_not_close_the_epoch(
    circumstance: str, transactions: list[SignedTransaction]
) -> None:
    assert run(*transactions).next_set is None, circumstance


# ---------------------------------------------------------------- parts


def test_digests_by_module_differ_where_writes_do_and_tell_deletion_from_value() -> None:
    writes: list[tuple[bytes, bytes | None]] = [(b"a/1", b"x"), (b"a/2", None), (b"b/1", b"x")]
    base = dict(digests_by_module(writes))
    assert list(base) == ["a", "b"]
    other = dict(digests_by_module([(b"a/1", b"x"), (b"a/2", b"\x00"), (b"b/1", b"x")]))
    assert other["a"] != base["a"]
    assert other["b"] == base["b"]
    assert base["b"] == sha256(b"\x00\x00\x00\x03b/1\x01\x00\x00\x00\x01x")


def test_overlay_reads_through_and_absorbs() -> None:
    asked: list[bytes] = []

    def base(key: bytes) -> bytes | None:
        asked.append(key)
        return b"base"

    block = Overlay(base)
    over = Overlay(block.read)
    assert over.read(b"k") == b"base"
    over.put(b"k", None)
    assert (over.read(b"k"), block.read(b"k")) == (None, b"base")
    block.absorb(over)
    assert block.read(b"k") is None
    assert asked == [b"k"], "the base is asked once"
    assert block.changes() == ((b"k", None),)


def test_overlay_derives_once_and_again_after_a_write_under_the_prefix_alone() -> None:
    made: list[bytes | None] = []
    over = Overlay({b"a/k": b"1"}.get)

    def answer() -> bytes | None:
        made.append(over.read(b"a/k"))
        return made[-1]

    def derived(what: str = "") -> bytes | None:
        return over.derive(b"a/", what, answer)

    over.put(b"b/k", b"elsewhere")
    assert [derived(), derived(), derived("other")] == [b"1"] * 3
    over.put(b"b/k", b"still elsewhere")
    assert (derived(), made) == (b"1", [b"1", b"1"])
    over.put(b"a/k", b"2")
    assert [derived(), derived("other")] == [b"2", b"2"]
    over.put(b"a/k", None)
    assert derived() is None
    above = Overlay(over.read)
    above.put(b"a/k", b"3")
    over.absorb(above)
    assert derived() == b"3"


def test_overlay_derivation_that_refuses_is_made_again() -> None:
    over = Overlay({}.get)

    def refuse() -> bytes:
        raise Refused("no", "board.refused")

    for _ in range(2):
        with pytest.raises(Refused):
            over.derive(b"a/", "what", refuse)
    assert over.derive(b"a/", "what", lambda: b"yes") == b"yes"


def test_registry_refuses_modules_that_share_prefixes_or_misname_operations() -> None:
    class Thief(Board):
        name = "thief"
        operations: ClassVar[Mapping[str, type[Message]]] = {}

    class Nested(Thief):
        grants: ClassVar[tuple[str, ...]] = ("board/inner/",)

    class Misnamed(Thief):
        grants: ClassVar[tuple[str, ...]] = ()
        operations: ClassVar[Mapping[str, type[Message]]] = {"board.Put": pb.StateProof}

    for module, reason in ((Thief(), "is taken"), (Nested(), "is taken"), (Misnamed(), "not named after")):
        with pytest.raises(AssertionError, match=reason):
            Registry([Board(), module])


def test_remembered_ids_are_forgotten_only_after_they_expired() -> None:
    one, two = TransactionId(sha256(b"1")), TransactionId(sha256(b"2"))
    remembered = Remembered([(one, 5_500), (two, 7_000)])
    remembered.add(one, 5_500)
    for time_ms, left in ((0, 2), (5_500, 2), (5_501, 2), (6_000, 1), (7_000, 1), (8_000, 0)):
        remembered.forget_before(time_ms)
        assert len(remembered) == left, time_ms
    assert one not in remembered
