# SPDX-License-Identifier: Apache-2.0
"""A ledger that certifies each block at once, with all validators' keys in one hand.

For receipts' vectors, tests and benchmarks. There is no consensus here, and no rule of any module: the caller says what
each transaction yields, and who signs. Everything follows from names, so that a run gives the same bytes each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from chain import genesis as genesis_file
from chain import receipt
from chain.bls import SecretKey
from chain.certificate import BlsScheme, checkpoint_message, combine
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.codec import encode
from chain.genesis import Founder
from chain.log_tiles import Log
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.transaction import SignedTransaction
from chain.tree import StateTree
from chain.types import BlockId, Epoch, Height, Millis, sha256

BLOCK_MS = 1_000
START_MS = Millis(1_800_000_000_000)
_CERTIFICATE_FROM = datetime(2026, 1, 1, tzinfo=UTC)
_CERTIFICATE_UNTIL = datetime(2046, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A transaction with its place in the log."""

    transaction: SignedTransaction
    entry: bytes
    leaf_index: int


def secret_of(name: str) -> SecretKey:
    """The BLS key that a name stands for."""
    return SecretKey.derive(sha256(b"instant ledger bls " + name.encode()))


def tls_certificate_of(name: str) -> str:
    """A self-signed P-256 certificate, the same for the same name."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    digest = sha256(b"instant ledger tls " + name.encode())
    key = ec.derive_private_key(int.from_bytes(digest, "big") % (order - 1) + 1, ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1 + digest[0], _CERTIFICATE_FROM, _CERTIFICATE_UNTIL
    )
    return builder.sign(key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.PEM).decode()


def make_genesis(names: Sequence[str], time_ms: Millis) -> bytes:
    """A genesis file whose validators' keys are those of these names."""
    draft = genesis_file.build(
        name="instant",
        time_ms=time_ms,
        founders=[
            Founder(name, secret_of(name).public_key(), b"", tls_certificate_of(name), f"127.0.0.1:{7000 + i}")
            for i, name in enumerate(names)
        ],
        sections={},
    )
    digest = genesis_file.founding_digest(draft)
    return genesis_file.with_possessions(
        draft, {secret_of(name).public_key(): secret_of(name).prove_possession(digest, name) for name in names}
    )


class InstantLedger:
    """Appends blocks, one a second, and answers with receipts at the newest."""

    def __init__(self, names: Sequence[str], time_ms: Millis = START_MS) -> None:
        self.names = {1: tuple(names)}
        """Of each epoch's validators, in bitmap order."""
        self.genesis_bytes = make_genesis(names, time_ms)
        self.genesis = genesis_file.load(self.genesis_bytes)
        self.validators = self.genesis.validators
        self.closings: list[ClosingCheckpoint] = []
        self.records: list[Recorded] = []
        self._database = MemoryDatabase()
        self.log = Log(self._database, b"L", 0)
        self.tree = StateTree(self._database, b"T")
        network = self.genesis.network
        self.checkpoint = Checkpoint(
            network, Epoch(1), Height(0), time_ms, BlockId(network), 0, self.log.root(), self.tree.root(), b""
        )

    def append(
        self,
        outcomes: Sequence[tuple[SignedTransaction, pb.Failure | None]] = (),
        writes: Mapping[bytes, bytes | None] | None = None,
        *,
        next_names: Sequence[str] | None = None,
    ) -> Checkpoint:
        """Add a block.

        Args:
            outcomes: Transactions, each with its failure or None.
            writes: State keys with their new values, None for a deletion.
            next_names: The validators of the next epoch, if this block closes its epoch.
        """
        height, time_ms = Height(self.checkpoint.height + 1), Millis(self.checkpoint.time_ms + BLOCK_MS)
        entries = []
        for position, (transaction, failure) in enumerate(outcomes):
            entry = pb.Entry(height=height, position=position, time_ms=time_ms, header=transaction.header)
            if failure is None:
                entry.success.SetInParent()
            else:
                entry.failure.CopyFrom(failure)
            entries.append(encode(entry))
            self.records.append(Recorded(transaction, entries[-1], len(self.records)))
        log_append = self.log.append(entries)
        self._database.write(log_append.puts)
        self.log.applied(log_append)
        update = self.tree.update(list((writes or {}).items()), height)
        self._database.write(update.puts)
        self.tree.applied(update)
        next_set = None
        if next_names is not None:
            members = tuple(Validator(secret_of(name).public_key(), name) for name in next_names)
            next_set = ValidatorSet(Epoch(self.validators.epoch + 1), members)
        self.checkpoint = replace(
            self.checkpoint,
            epoch=self.validators.epoch,
            height=height,
            time_ms=time_ms,
            block_id=BlockId(sha256(b"block %d" % height)),
            log_size=self.log.size,
            log_root=self.log.root(),
            state_root=self.tree.root(),
            next_validators=b"" if next_set is None else next_set.digest(),
        )
        if next_set is not None and next_names is not None:
            self.closings.append(ClosingCheckpoint(self.certify(), next_set.encode()))
            self.names[next_set.epoch], self.validators = tuple(next_names), next_set
        return self.checkpoint

    def certify(
        self, checkpoint: Checkpoint | None = None, signers: Sequence[int] | None = None
    ) -> CertifiedCheckpoint:
        """Sign a checkpoint, the newest unless another is given, as its epoch's validators.

        Args:
            checkpoint: What to sign.
            signers: Members who sign, 0-based; a bare quorum, the last ones, unless given.
        """
        checkpoint = self.checkpoint if checkpoint is None else checkpoint
        members = self.names[checkpoint.epoch]
        count = len(members)
        chosen = range((count - 1) // 3, count) if signers is None else signers
        message = checkpoint_message(checkpoint.network, checkpoint.encode())
        signatures = {i: secret_of(members[i]).sign(message) for i in chosen}
        bitmap, aggregate = combine(signatures, count, BlsScheme())
        return CertifiedCheckpoint(checkpoint.encode(), bitmap, aggregate)

    def inclusion(self, leaf_index: int, operation_index: int = 0) -> pb.Inclusion:
        """The proof of one operation under the newest checkpoint."""
        record = self.records[leaf_index]
        path = self.log.prove_inclusion(leaf_index, self.checkpoint.log_size)
        return receipt.make_inclusion(record.transaction, operation_index, record.entry, leaf_index, path)

    def state(self, key: bytes) -> pb.StateProof:
        """The proof of one state key under the newest checkpoint."""
        value, proof = self.tree.prove(key)
        return receipt.make_state_proof(key, value, proof)

    def receipt(
        self, places: Sequence[tuple[int, int]] = (), keys: Sequence[bytes] = (), *, from_epoch: int = 1
    ) -> bytes:
        """A receipt under the newest checkpoint.

        Args:
            places: Leaf and operation of each inclusion.
            keys: State keys.
            from_epoch: The newest epoch that its receiver knows.
        """
        return receipt.make(
            [self.inclusion(leaf, operation) for leaf, operation in places],
            [self.state(key) for key in keys],
            self.certify(),
            self.closings[from_epoch - 1 : self.checkpoint.epoch - 1],
        )
