# SPDX-License-Identifier: Apache-2.0
"""A whole ledger without consensus: real modules, real signatures and certificates, over any database.

Four bodies with a validator each and a registrar. All keys follow from names, so that a run gives the same bytes each
time. What a node would store of each block is stored: entries, state, the checkpoint's certificate, the closing ones.
"""

import ssl
from collections.abc import Sequence

from google.protobuf.message import Message

from chain import genesis as genesis_file
from chain.application import Execution
from chain.certificate import BlsScheme, Certificate, checkpoint_message, combine, vote_message
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.codec import encode
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.genesis import Founder
from chain.ledger import Ledger
from chain.pb import ledger_pb2
from chain.storage import Database
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlsKey, Height, Millis, View, sha256
from identity.pb import identity_pb2
from membership.genesis import key_section, membership_section, organisation_section
from membership.pb import membership_pb2
from node.modules import ledger_modules
from node.store import LedgerStore
from sim.instant_ledger import BLOCK_MS, START_MS, secret_of, tls_certificate_of

BODIES = ("water", "roads", "health", "archive")
REGISTRAR = "registrar"
STRANGER = "stranger"
"""Signs, and nobody knows it: its transactions are skipped."""
EPOCH_MS = 86_400_000


def key_of(name: str) -> Ed25519Signer:
    """The key with which an organisation signs."""
    return Ed25519Signer(sha256(b"certified ledger " + name.encode()))


def make_genesis(time_ms: Millis = START_MS) -> bytes:
    """The genesis file of the four bodies and the registrar."""
    organisations = [
        organisation_section(
            name,
            name_en=name,
            roles=("registrar",) if name == REGISTRAR else (),
            keys=(key_section(key_of(name).signer, "submit", "govern", "attest"),),
        )
        for name in (*BODIES, REGISTRAR)
    ]
    draft = genesis_file.build(
        name="certified",
        time_ms=time_ms,
        founders=[
            Founder(name, secret_of(name).public_key(), b"", tls_certificate_of(name), f"127.0.0.1:{7000 + place}")
            for place, name in enumerate(BODIES)
        ],
        sections={"membership": membership_section(tuple(organisations))},
    )
    digest = genesis_file.founding_digest(draft)
    return genesis_file.with_possessions(
        draft, {secret_of(name).public_key(): secret_of(name).prove_possession(digest, name) for name in BODIES}
    )


class CertifiedLedger:
    """Orders, executes, certifies and stores blocks one after the other."""

    def __init__(self, database: Database, *, block_ms: int = BLOCK_MS, time_ms: Millis = START_MS) -> None:
        self.database = database
        self.genesis_bytes = make_genesis(time_ms)
        self.genesis = genesis_file.load(self.genesis_bytes)
        self.block_ms = block_ms
        self.salt = 0
        self.secrets = {secret_of(name).public_key(): secret_of(name) for name in BODIES}
        self.executions: list[Execution] = []
        self.certificates: dict[int, CertifiedCheckpoint] = {}
        self.open()

    def open(self) -> None:
        """Start, or start again, from what is stored."""
        registry, authority = ledger_modules()
        self.store = LedgerStore(self.database)
        self.ledger = Ledger(self.store, self.genesis, registry, authority)

    @property
    def time_ms(self) -> Millis:
        """Of the next block."""
        return Millis(self.ledger.tip().time_ms + self.block_ms)

    # ------------------------------------------------------------ transactions

    def sign(self, name: str, *messages: Message, lifetime_ms: int = 60_000) -> SignedTransaction:
        """A transaction for the next block."""
        self.salt += 1
        operations = []
        for message in messages:
            package = message.DESCRIPTOR.full_name.split(".")[1]
            operations.append(Operation.make(f"{package}.{message.DESCRIPTOR.name}", encode(message)))
        expires = Millis(self.time_ms + lifetime_ms)
        return build(operations, [key_of(name)], expires, self.salt.to_bytes(16), self.genesis.network)

    def attest(self, number: int, name: str = REGISTRAR) -> SignedTransaction:
        """Issue an attestation; fails unless the registrar signs."""
        return self.sign(
            name,
            identity_pb2.Attest(
                id=number.to_bytes(16),
                schema=identity_pb2.SCHEMA_RESIDENT,
                schema_version=1,
                commitment=sha256(b"claims %d" % number),
                assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
                valid_from_ms=self.time_ms,
                valid_to_ms=self.time_ms + EPOCH_MS,
            ),
        )

    def revoke(self, number: int) -> SignedTransaction:
        """Revoke an attestation: one state key."""
        return self.sign(
            REGISTRAR,
            identity_pb2.SetStatus(
                id=number.to_bytes(16),
                status=identity_pb2.STATUS_REVOKED,
                reason=identity_pb2.REASON_SUPERSEDED,
            ),
        )

    def replace_validator(self, organisation: str, generation: int) -> list[SignedTransaction]:
        """Vote an organisation's validator out and its next one in: the block with these closes the epoch."""
        place = next(v for v in self.ledger.validators.validators if v.organisation == organisation)
        name = f"{organisation} {generation}"
        secret = secret_of(name)
        self.secrets[secret.public_key()] = secret
        certificate = ssl.PEM_cert_to_DER_cert(tls_certificate_of(name))
        act = membership_pb2.Act(
            replace_validator=membership_pb2.ReplaceValidator(
                bls_key=place.bls_key,
                new_bls_key=secret.public_key(),
                possession=secret.prove_possession(self.genesis.network, organisation),
                endpoint=membership_pb2.Endpoint(address="127.0.0.1:7100", tls_certificate=certificate),
            )
        )
        epoch = self.ledger.validators.epoch
        expires = self.time_ms + EPOCH_MS
        proposal = self.sign(BODIES[0], membership_pb2.Propose(epoch=epoch, expires_at_ms=expires, acts=[act]))
        approve = membership_pb2.Approve(proposal_id=proposal.id, epoch=epoch)
        return [proposal, *(self.sign(name, approve) for name in BODIES[1:])]

    # ------------------------------------------------------------ blocks

    def append(self, *transactions: SignedTransaction, certified: bool = True) -> Execution:
        """Order, execute, commit and certify a block."""
        tip = self.ledger.tip()
        validators = self.ledger.validators
        block = Block.make(
            validators.epoch,
            View(tip.height + 1),
            Height(tip.height + 1),
            tip.block_id,
            self.time_ms,
            tuple(transaction.digest for transaction in transactions),
        )
        execution = self.ledger.execute(block, transactions)
        self.ledger.commit(execution)
        self.executions.append(execution)
        if certified or execution.next_set is not None:
            self._certify(execution, validators)
        return execution

    def grow(self, blocks: int, *, first: int = 0) -> None:
        """Blocks with an attestation, now and then a revocation, one that fails and one that nobody knows."""
        for number in range(first, first + blocks):
            transactions = [self.attest(2 * number), self.attest(2 * number + 1)]
            if number % 3 == 1:
                transactions.append(self.revoke(number))
            if number % 4 == 2:
                transactions.append(self.attest(number, "roads"))
            if number % 5 == 3:
                transactions.insert(1, self.attest(number, STRANGER))
            self.append(*transactions)

    def _certify(self, execution: Execution, validators: ValidatorSet) -> None:
        raw = execution.checkpoint.encode()
        bitmap, aggregate = self._quorum(checkpoint_message(self.genesis.network, raw), validators)
        certified = CertifiedCheckpoint(raw, bitmap, aggregate)
        self.certificates[execution.block.height] = certified
        if execution.next_set is not None:
            closing = ClosingCheckpoint(certified, execution.next_set.encode())
            self.store.proofs.save_closing(closing, execution.checkpoint)
        else:
            self.store.proofs.save_certified(certified, execution.checkpoint)
            self.store.proofs.save_finalization(execution.block.height, self._finalization(execution.block, validators))

    def _finalization(self, block: Block, validators: ValidatorSet) -> Certificate:
        kind = ledger_pb2.KIND_FINALIZE
        message = vote_message(kind, self.genesis.network, block.epoch, block.view, block.id)
        return Certificate(kind, block.epoch, block.view, block.id, *self._quorum(message, validators))

    def _quorum(self, message: bytes, validators: ValidatorSet) -> tuple[bytes, bytes]:
        """Bitmap and aggregate of as many as a quorum needs, the first ones of the set."""
        keys: Sequence[BlsKey] = validators.keys[: validators.quorum]
        signatures = {place: self.secrets[key].sign(message) for place, key in enumerate(keys)}
        return combine(signatures, len(validators.keys), BlsScheme())

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest block's."""
        newest = self.store.newest()
        assert newest is not None
        return newest
