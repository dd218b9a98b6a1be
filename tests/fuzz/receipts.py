# SPDX-License-Identifier: Apache-2.0
"""Targets that read receipts: the verifier itself, and the two texts.

The verifier's target knows what the ledger of its samples holds. Whatever receipt it accepts, altered as it may be, has
to say something true of that ledger.
"""

from collections.abc import Sequence
from functools import cache

from chain import certificate, receipt, receipt_text
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidSignature
from chain.ics23 import Presence, encode_absence, encode_presence
from chain.light_client import EpochStart, TrustAnchor
from chain.log import path_of, root_of
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlockId, BlsKey, Epoch, Height, Millis, Network, sha256

NETWORK = Network(sha256(b"fuzz"))
FIRST = ValidatorSet(Epoch(1), tuple(Validator(BlsKey(bytes([i]) * 48), f"org-{i}") for i in range(4)))
SECOND = ValidatorSet(Epoch(2), tuple(Validator(BlsKey(bytes([i]) * 48), f"org-{i}") for i in range(1, 5)))
BITMAP = b"\x07"
AGGREGATE = b"\x0a" * 96
TIME_MS = Millis(1_000_000)
STATE = {b"status/city/01": b"revoked"}
ABSENT = b"status/city/02"


class _Known:
    """A signature scheme under which only the samples' own checkpoints are signed; as fast as fuzzing needs it."""

    def __init__(self, signed: set[bytes]) -> None:
        self._signed = signed

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        raise InvalidSignature("no single signatures here")

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        if len(public_keys) != 3 or message not in self._signed or signature != AGGREGATE:
            raise InvalidSignature("not what the validators signed")

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        raise AssertionError("verifying aggregates nothing")


@cache
def _transactions() -> tuple[SignedTransaction, ...]:
    signers = [Ed25519Signer(bytes([7]) * 32)]
    return tuple(
        build(
            [Operation.make("identity.Attest", bytes([k, j]) * 20) for j in range(3)],
            signers,
            Millis(TIME_MS + 10),
            bytes([k]) * 16,
            NETWORK,
        )
        for k in range(5)
    )


@cache
def _entries() -> tuple[bytes, ...]:
    """The last one failed."""
    entries = []
    for k, transaction in enumerate(_transactions()):
        entry = pb.Entry(height=1 + k, position=0, time_ms=TIME_MS + k, header=transaction.header)
        if k < 4:
            entry.success.SetInParent()
        else:
            entry.failure.CopyFrom(pb.Failure(code="identity.not-registrar", operation=1))
        entries.append(encode(entry))
    return tuple(entries)


def _checkpoint(epoch: int, height: int, size: int, following: bytes) -> Checkpoint:
    ((key, value),) = STATE.items()
    state_root = sha256(b"\x00" + sha256(key) + sha256(value))
    log_root = root_of(_entries()[:size])
    block_id = BlockId(sha256(bytes([height])))
    time_ms = Millis(TIME_MS + height)
    return Checkpoint(NETWORK, Epoch(epoch), Height(height), time_ms, block_id, size, log_root, state_root, following)


CLOSING = _checkpoint(1, 3, 3, SECOND.digest())
NEWEST = _checkpoint(2, 6, 5, b"")
SCHEME = _Known({certificate.checkpoint_message(NETWORK, c.encode()) for c in (CLOSING, NEWEST)})
ANCHOR = TrustAnchor(NETWORK, (EpochStart(FIRST, None, Millis(TIME_MS - 1)),))


def _certified(checkpoint: Checkpoint) -> CertifiedCheckpoint:
    return CertifiedCheckpoint(checkpoint.encode(), BITMAP, AGGREGATE)


@cache
def receipt_samples() -> list[bytes]:
    """One operation; several with states, present and absent; a failed one."""
    ((key, value),) = STATE.items()
    leaf = Presence(key, value, [])
    is_left = sha256(key) < sha256(ABSENT)
    absence = encode_absence(ABSENT, leaf if is_left else None, None if is_left else leaf)
    states = [
        receipt.make_state_proof(key, value, encode_presence(leaf)),
        receipt.make_state_proof(ABSENT, None, absence),
    ]
    inclusions = [
        receipt.make_inclusion(_transactions()[k], j, _entries()[k], k, path_of(_entries(), k))
        for k, j in ((0, 0), (2, 1), (4, 2))
    ]
    closings = [ClosingCheckpoint(_certified(CLOSING), SECOND.encode())]
    newest = _certified(NEWEST)
    return [
        receipt.make(inclusions[:1], [], newest, closings),
        receipt.make(inclusions[:2], states, newest, closings),
        receipt.make(inclusions[2:], [], newest, closings),
        receipt.make([], states[1:], newest, closings),
    ]


def read_receipt(data: bytes) -> None:
    """Verify; what is accepted has to be true."""
    verified = receipt.Verifier(ANCHOR, SCHEME).verify(data)
    assert verified.checkpoint in {CLOSING, NEWEST}
    for shown in (*verified.inclusions, *verified.failures):
        transaction = _transactions()[shown.leaf_index]
        assert transaction.operations[shown.operation_index].raw == shown.operation.raw
        assert transaction.header == shown.header.raw
        assert (shown.height, shown.position, shown.time_ms) == (1 + shown.leaf_index, 0, TIME_MS + shown.leaf_index)
        assert isinstance(shown, receipt.FailedInclusion) == (shown.leaf_index == 4)
    for state in verified.states:
        assert STATE.get(state.key) == state.value


def read_receipt_json(data: bytes) -> None:
    """The text stands for one canonical receipt, which has a text of its own."""
    raw = receipt_text.from_json(data)
    assert receipt_text.from_json(receipt_text.to_json(raw).encode()) == raw


def read_receipt_compact(data: bytes) -> None:
    """Likewise for the form in QR codes; whatever is no ASCII comes in as it would from a scanner."""
    raw = receipt_text.from_compact(data.decode("latin-1"))
    assert receipt_text.from_compact(receipt_text.to_compact(raw)) == raw


def read_receipt_any(data: bytes) -> None:
    """Whichever encoding it is in, as a file or a scanner gives it."""
    read_receipt(receipt_text.decode_any(data))


def json_samples() -> list[bytes]:
    return [receipt_text.to_json(raw).encode() for raw in receipt_samples()]


def compact_samples() -> list[bytes]:
    return [receipt_text.to_compact(raw).encode() for raw in receipt_samples()]


def any_samples() -> list[bytes]:
    return [*receipt_samples(), *json_samples(), *compact_samples()]


def repair_compact(data: bytes) -> bytes:
    """Text of what the mutated text stands for, if it stands for anything; else of the bytes as they are."""
    return receipt_text.COMPACT_PREFIX.encode() + data.removeprefix(receipt_text.COMPACT_PREFIX.encode()).upper()
