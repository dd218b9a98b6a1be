# SPDX-License-Identifier: Apache-2.0
"""A small network without cryptography, for tests of rules: organisations, blocks, and what they leave in state.

Signatures are empty shells, for execution never verifies them; validators' keys and proofs are hashes.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from chain.checkpoint import Validator, ValidatorSet
from chain.codec import encode
from chain.consensus.block import Block
from chain.errors import InvalidSignature
from chain.executor import Executor, Outcome
from chain.genesis import Founder, Genesis
from chain.module import Registry
from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from chain.strict_json import Json
from chain.transaction import Operation, SignedTransaction, build
from chain.types import (
    FIRST_EPOCH,
    BlockId,
    BlsKey,
    Epoch,
    Height,
    Millis,
    Network,
    View,
    sha256,
)
from credit.rules import Credit
from identity.rules import Identity
from membership.genesis import key_section, membership_section, organisation_section
from membership.rules import Membership
from membership.verification import Verification
from traceability.rules import Traceability

NETWORK = Network(sha256(b"a network for tests"))
START_MS = Millis(1_700_000_000_000)
BLOCK_MS = 1_000


def der(name: str) -> bytes:
    """Something of a certificate's outer form."""
    content = name.encode().ljust(300, b".")
    return b"\x30\x82" + len(content).to_bytes(2) + content


def pem(name: str) -> str:
    """The same as PEM."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der(name)).decode()}\n-----END CERTIFICATE-----\n"


def signer(name: str, scheme: Scheme = Scheme.ED25519) -> Signer:
    """A public key made of its name."""
    raw = sha256(name.encode())
    return Signer(scheme, raw if scheme is Scheme.ED25519 else b"\x02" + raw)


def signer_pb(name: str) -> ledger_pb2.Signer:
    return ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_ED25519, public_key=signer(name).public_key)


def bls_key(name: str) -> BlsKey:
    return BlsKey(hashlib.sha384(name.encode()).digest())


def possession(organisation: str, key: bytes) -> bytes:
    """What the stand-in scheme takes for a proof."""
    return sha256(NETWORK + organisation.encode() + key)


def verify_possession(key: bytes, network: Network, organisation: str, proof: bytes) -> None:
    if proof != sha256(network + organisation.encode() + key):
        raise InvalidSignature("the proof is wrong")


class FakeScheme:
    """Signatures are hashes of key and message."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        if signature != sha256(public_key + message):
            raise InvalidSignature("the signature is wrong")

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        raise AssertionError("rules verify no aggregates")

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        raise AssertionError("rules make no aggregates")


FAKE = Verification(FakeScheme(), verify_possession)


@dataclass(frozen=True)
class Shell:
    """Signs with zeros."""

    signer: Signer

    def sign(self, message: bytes) -> bytes:
        del message
        return bytes(64)


def genesis(
    organisations: Sequence[dict[str, Json]],
    validators: Sequence[tuple[str, str]],
    parameters: dict[str, int] | None = None,
) -> Genesis:
    """A genesis of these validators, as (name of the key, organisation)."""
    founders = tuple(
        Founder(organisation, bls_key(name), b"", pem(name), f"{name}.example:7000")
        for name, organisation in validators
    )
    return Genesis(
        network=NETWORK,
        name="tests",
        time_ms=START_MS,
        validators=ValidatorSet(FIRST_EPOCH, tuple(Validator(f.bls_key, f.organisation) for f in founders)),
        founders=founders,
        sections={"membership": membership_section(tuple(organisations), parameters)},
    )


def organisation(name: str, *, roles: tuple[str, ...] = (), extra: tuple[dict[str, Json], ...] = ()) -> dict[str, Json]:
    """An organisation with a key of each purpose, named `<name>:submit`, `<name>:govern`, `<name>:attest`."""
    keys = tuple(key_section(signer(f"{name}:{purpose}"), purpose) for purpose in ("submit", "govern", "attest"))
    return organisation_section(name, name_en=name, roles=roles, keys=keys + extra)


def four() -> Genesis:
    """Four validators of org-a … org-d; org-r is a registrar without a validator."""
    names = ("org-a", "org-b", "org-c", "org-d")
    return genesis(
        [*(organisation(name) for name in names), organisation("org-r", roles=("registrar",))],
        [(f"v{i}", name) for i, name in enumerate(names)],
    )


def registry(verification: Verification = FAKE) -> tuple[Registry, Membership]:
    membership = Membership(verification)
    return Registry([membership, Identity(), Traceability(), Credit()]), membership


def operation(message: Message) -> Operation:
    """An operation under its registered name."""
    package = message.DESCRIPTOR.full_name.split(".")[1]
    return Operation.make(f"{package}.{message.DESCRIPTOR.name}", encode(message))


def transaction(
    messages: Sequence[Message | Operation], signers: Iterable[Signer], expires_at_ms: int, salt: int
) -> SignedTransaction:
    operations = [m if isinstance(m, Operation) else operation(m) for m in messages]
    return build(operations, [Shell(one) for one in signers], Millis(expires_at_ms), salt.to_bytes(16), NETWORK)


@dataclass
class Rig:
    """Executes blocks one after the other over a dict."""

    genesis: Genesis
    state: dict[bytes, bytes] = field(default_factory=dict)
    height: int = 0
    remembered: set[bytes] = field(default_factory=set)
    salt: int = 0

    def __post_init__(self) -> None:
        self.registry, self.membership = registry()
        self.executor = Executor(NETWORK, self.registry, self.membership)
        self.validators = self.genesis.validators
        self.last: Block | None = None
        self._write(self.executor.genesis(self.genesis))

    @property
    def time_ms(self) -> int:
        """Of the next block."""
        return START_MS + (self.height + 1) * BLOCK_MS

    def sign(self, names: str | Sequence[str], *messages: Message | Operation) -> SignedTransaction:
        """A transaction for the next block, signed by keys of these names."""
        self.salt += 1
        signers = [signer(name) for name in ([names] if isinstance(names, str) else names)]
        return transaction(messages, signers, self.time_ms + 10_000, self.salt)

    def execute(self, *transactions: SignedTransaction) -> Outcome:
        """The next block's outcome; nothing is kept of it."""
        parent = self.last.id if self.last else BlockId(NETWORK)
        self.block = Block.make(
            self.validators.epoch,
            View(self.height + 1),
            Height(self.height + 1),
            parent,
            Millis(self.time_ms),
            tuple(t.digest for t in transactions),
        )
        return self.executor.execute(
            self.block, transactions, self.validators, self.state.get, self.remembered.__contains__
        )

    def run(self, *transactions: SignedTransaction) -> Outcome:
        """Execute the next block and go on from it."""
        outcome = self.execute(*transactions)
        self._write(outcome.writes)
        self.remembered.update(t.id for t in outcome.executed)
        self.last = self.block
        self.height += 1
        if outcome.next_set is not None:
            self.validators = outcome.next_set
        return outcome

    def codes(self, *transactions: SignedTransaction) -> list[str]:
        """Run a block; the failure code of each entry, empty for a success."""
        return [code_of(entry) for entry in self.run(*transactions).entries]

    def code(self, names: str | Sequence[str], *messages: Message | Operation) -> str:
        """Run a block of one transaction; its failure code, empty for a success."""
        (code,) = self.codes(self.sign(names, *messages))
        return code

    def _write(self, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in writes:
            if value is None:
                del self.state[key]
            else:
                self.state[key] = value

    @property
    def epoch(self) -> Epoch:
        return self.validators.epoch


def code_of(entry: bytes) -> str:
    """The failure code of an entry, empty for a success."""
    message = ledger_pb2.Entry.FromString(entry)
    return message.failure.code if message.WhichOneof("result") == "failure" else ""
