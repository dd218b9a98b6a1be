# SPDX-License-Identifier: Apache-2.0
"""Receipts: what the ledger recorded, with the proof that a client checks alone, offline, against its trust anchor.

A receipt is a bundle of proofs under one certified checkpoint: operations in the log, state keys with their value or
absence. It is verified as a whole or refused; whatever it carries is used, so nothing unproven rides along.

An operation that failed comes out as `FailedInclusion`, which is no `VerifiedInclusion`: its inclusion proves that it
was refused, and nothing else.

Source: docs/protocol.md, sections 4 to 6.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chain import genesis as genesis_file
from chain import light_client
from chain.certificate import BlsScheme, SignatureScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import decode, encode
from chain.errors import InvalidCertificate, InvalidReceipt
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.pb import ledger_pb2 as pb
from chain.proven import (
    FailedInclusion,
    VerifiedInclusion,
    VerifiedState,
    key_of,
    place_of,
    verify_inclusions,
    verify_states,
)
from chain.transaction import SignedTransaction, operation_path, operation_paths
from chain.types import Epoch, Millis

__all__ = [
    "CLOCK_SKEW_MS_MAX",
    "CLOSINGS_MAX",
    "RECEIPT_BYTES_MAX",
    "FailedInclusion",
    "Verified",
    "VerifiedInclusion",
    "VerifiedState",
    "Verifier",
    "make",
    "make_inclusion",
    "make_inclusions",
    "make_state_proof",
    "verify",
]

RECEIPT_BYTES_MAX = 16 * 1024 * 1024
"""A full answer of a node: 512 transactions, 4 MiB of operations, and their paths."""
CLOSINGS_MAX = 1024
"""In one receipt; each takes 3 ms to check. A client further behind asks for the closing checkpoints first."""
CLOCK_SKEW_MS_MAX = 60_000
"""A checkpoint that far ahead of the verifier's clock says that the clock is wrong, and no age can be told."""

_CERTIFICATES_REMEMBERED_MAX = 256
_GENESES_REMEMBERED_MAX = 8


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt proves.

    Attributes:
        checkpoint: Under which everything is proven; it says time, height and epoch.
        anchor: What the verifier knows now; keep it for the next receipt.
        inclusions: Operations that took effect, in log order.
        failures: Operations that did not.
        states: Sorted by key.
    """

    checkpoint: Checkpoint
    anchor: TrustAnchor
    inclusions: tuple[VerifiedInclusion, ...]
    failures: tuple[FailedInclusion, ...]
    states: tuple[VerifiedState, ...]

    @property
    def epoch(self) -> Epoch:
        """The checkpoint's epoch."""
        return self.checkpoint.epoch

    @property
    def time_ms(self) -> Millis:
        """The checkpoint's time: what is shown was so then."""
        return self.checkpoint.time_ms


class Verifier:
    """Verifies receipts one after another: keeps the newest anchor, and knows certificates it has seen.

    A receipt that is refused changes nothing. One thread at a time.
    """

    def __init__(self, trusted: Genesis | TrustAnchor, scheme: SignatureScheme | None = None) -> None:
        """Start from a genesis or a kept anchor; the scheme is BLS unless a simulator says otherwise."""
        self._anchor = TrustAnchor.from_genesis(trusted) if isinstance(trusted, Genesis) else trusted
        self._scheme = _RememberingScheme(BlsScheme() if scheme is None else scheme)

    @property
    def anchor(self) -> TrustAnchor:
        """What is known now; keep it, to refuse later what contradicts it."""
        return self._anchor

    def advance(self, closings: Iterable[ClosingCheckpoint]) -> None:
        """Follow closing checkpoints into later epochs; see `chain.light_client.advance`."""
        self._anchor = light_client.advance(self._anchor, closings, self._scheme)

    def verify(
        self,
        receipt: bytes,
        *,
        state_age_ms_max: int | None = None,
        now_ms: int | None = None,
        older_epochs: bool = False,
    ) -> Verified:
        """Verify one receipt against what is known, and remember its checkpoint.

        Args:
            receipt: Bytes of `Receipt`; for other encodings see `chain.receipt_text`.
            state_age_ms_max: Refuse states under a checkpoint older than this; needs `now_ms`.
            now_ms: The verifier's clock.
            older_epochs: Accept a receipt of an epoch that the verifier knows to be over. Such a one rests on keys
                that may have been stolen since; better have it proven anew (`receipt refresh`).

        Raises:
            InvalidReceipt: It does not prove what it claims; also too old, or of a past epoch.
            InvalidMessage: Something in it is not canonical.
            InvalidCertificate: Its checkpoint or a closing checkpoint is not certified, or contradicts what is known.
        """
        message = decode(pb.Receipt, receipt, RECEIPT_BYTES_MAX)
        anchor = self._follow([ClosingCheckpoint.from_pb(closing) for closing in message.epochs])
        if not message.HasField("checkpoint"):
            raise InvalidReceipt("the receipt has no checkpoint")
        certified = CertifiedCheckpoint.from_pb(message.checkpoint)
        epoch = Checkpoint.decode(certified.checkpoint).epoch
        if message.epochs and epoch != Checkpoint.decode(message.epochs[-1].certified.checkpoint).epoch + 1:
            raise InvalidReceipt("the receipt's closing checkpoints do not lead to the epoch of its checkpoint")
        if epoch < anchor.epoch and not older_epochs:
            raise InvalidReceipt(
                f"the receipt is of epoch {epoch}, and the network is known to be in epoch {anchor.epoch}; have it "
                "proven anew (receipt refresh)",
                "receipt.older-epoch",
            )
        checkpoint = light_client.check(anchor.at(epoch), certified, self._scheme)
        _check_age(message, checkpoint, state_age_ms_max, now_ms)
        inclusions, failures = verify_inclusions(message.inclusions, checkpoint)
        states = verify_states(message.states, checkpoint)
        if not message.inclusions and not message.states:
            raise InvalidReceipt("the receipt proves nothing")
        if epoch == anchor.epoch:
            anchor = light_client.remember(anchor, checkpoint)
        self._anchor = anchor
        return Verified(checkpoint, anchor, inclusions, failures, states)

    def _follow(self, closings: Sequence[ClosingCheckpoint]) -> TrustAnchor:
        """The anchor after a receipt's closing checkpoints; those of known epochs must be the known ones."""
        if len(closings) > CLOSINGS_MAX:
            raise InvalidReceipt(f"the receipt has {len(closings)} closing checkpoints; at most {CLOSINGS_MAX}")
        anchor = self._anchor
        epoch_before = None
        for closing in closings:
            epoch = Checkpoint.decode(closing.certified.checkpoint).epoch
            if epoch_before is not None and epoch != epoch_before + 1:
                raise InvalidCertificate(f"a closing checkpoint of epoch {epoch} after one of epoch {epoch_before}")
            advanced = light_client.advance(anchor.at(epoch), [closing], self._scheme)
            anchor = advanced if epoch == anchor.epoch else anchor
            epoch_before = epoch
        return anchor


def verify(
    receipt: bytes,
    genesis: Genesis | TrustAnchor | bytes,
    *,
    state_age_ms_max: int | None = None,
    now_ms: int | None = None,
    older_epochs: bool = False,
) -> Verified:
    """Verify one receipt; see `Verifier.verify`. For many, make one `Verifier`.

    Args:
        receipt: Bytes of `Receipt`.
        genesis: A genesis file's bytes, the same loaded, or a kept anchor.
        state_age_ms_max: Refuse states under a checkpoint older than this; needs `now_ms`.
        now_ms: The verifier's clock.
        older_epochs: Accept a receipt of an epoch that the anchor knows to be over.

    Raises:
        LedgerError: The receipt, or the genesis file, is not valid.
    """
    trusted = _load_genesis(genesis) if isinstance(genesis, bytes) else genesis
    verifier = Verifier(trusted)
    return verifier.verify(receipt, state_age_ms_max=state_age_ms_max, now_ms=now_ms, older_epochs=older_epochs)


def make_inclusion(
    transaction: SignedTransaction, operation_index: int, entry: bytes, leaf_index: int, path: Sequence[bytes]
) -> pb.Inclusion:
    """The proof of one operation.

    Args:
        transaction: As it was executed.
        operation_index: Which of its operations to show.
        entry: Its log entry.
        leaf_index: The entry's.
        path: From the entry to the log root of the checkpoint that the receipt is to carry.
    """
    return pb.Inclusion(
        operation=transaction.operations[operation_index].raw,
        operation_index=operation_index,
        operation_path=operation_path(transaction.operations, operation_index),
        entry=entry,
        leaf_index=leaf_index,
        path=path,
    )


def make_inclusions(
    transaction: SignedTransaction, entry: bytes, leaf_index: int, path: Sequence[bytes]
) -> list[pb.Inclusion]:
    """The proof of each operation of a transaction; see `make_inclusion`."""
    return [
        pb.Inclusion(
            operation=operation.raw,
            operation_index=index,
            operation_path=siblings,
            entry=entry,
            leaf_index=leaf_index,
            path=path,
        )
        for index, (operation, siblings) in enumerate(
            zip(transaction.operations, operation_paths(transaction.operations), strict=True)
        )
    ]


def make_state_proof(key: bytes, value: bytes | None, proof: bytes) -> pb.StateProof:
    """The proof of one state key, from its ICS-23 proof."""
    return pb.StateProof(key=key, value=b"" if value is None else value, proof=proof)


def make(
    inclusions: Iterable[pb.Inclusion],
    states: Iterable[pb.StateProof],
    checkpoint: CertifiedCheckpoint,
    closings: Iterable[ClosingCheckpoint],
) -> bytes:
    """Put a receipt together, each kind of proof in its one order.

    Args:
        inclusions: Each (leaf, operation) once.
        states: Each key once.
        checkpoint: Whose roots the proofs lead to.
        closings: From the epoch that the receiver knows to the one before the checkpoint's.
    """
    return encode(
        pb.Receipt(
            inclusions=sorted(inclusions, key=place_of),
            states=sorted(states, key=key_of),
            checkpoint=checkpoint.to_pb(),
            epochs=[closing.to_pb() for closing in closings],
        )
    )


def _check_age(message: pb.Receipt, checkpoint: Checkpoint, state_age_ms_max: int | None, now_ms: int | None) -> None:
    """Check that states are fresh enough for the caller."""
    if state_age_ms_max is None or not message.states:
        return
    assert now_ms is not None, "a maximum age needs the time now"
    age_ms = now_ms - checkpoint.time_ms
    if age_ms > state_age_ms_max:
        raise InvalidReceipt(
            f"the state is {age_ms} ms old; at most {state_age_ms_max} were asked for", "receipt.too-old"
        )
    if age_ms < -CLOCK_SKEW_MS_MAX:
        raise InvalidReceipt(
            f"the checkpoint is {-age_ms} ms ahead of this clock; set the clock right", "receipt.clock"
        )


@lru_cache(maxsize=_GENESES_REMEMBERED_MAX)
def _load_genesis(raw: bytes) -> Genesis:
    """Load a genesis file once: its proofs take 3 ms for each validator."""
    return genesis_file.load(raw)


class _RememberingScheme:
    """A scheme that knows the aggregates that it has verified."""

    def __init__(self, scheme: SignatureScheme) -> None:
        self._scheme = scheme
        self._seen: OrderedDict[tuple[tuple[bytes, ...], bytes, bytes], None] = OrderedDict()

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Check one signature."""
        self._scheme.verify(public_key, message, signature)

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        """Check an aggregate, unless this very one has been checked."""
        name = (tuple(public_keys), message, signature)
        if name in self._seen:
            self._seen.move_to_end(name)
            return
        self._scheme.fast_aggregate_verify(public_keys, message, signature)
        self._seen[name] = None
        if len(self._seen) > _CERTIFICATES_REMEMBERED_MAX:
            self._seen.popitem(last=False)

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        """Add signatures up."""
        return self._scheme.aggregate(signatures)
