# SPDX-License-Identifier: Apache-2.0
"""What a final block does: a pure function of state, block and the transactions that it lists.

Signatures were checked before the block was voted for, or a quorum vouches for them; they are never checked here.
Every transaction that counts yields exactly one entry, success or failure; the others are skipped without a trace.

Invariant: the same block over the same state yields the same bytes on every validator.
Source: docs/protocol.md, sections 2, 4 and 5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain.checkpoint import ValidatorSet
from chain.codec import decode, encode
from chain.consensus.block import Block
from chain.errors import InvalidGenesis, InvalidMessage, Refused
from chain.genesis import Genesis
from chain.module import Authority, BlockFacts, Context, Registry
from chain.overlay import Overlay, ReadState
from chain.pb import ledger_pb2 as pb
from chain.signing import Signer
from chain.transaction import SignedTransaction
from chain.types import (
    TRANSACTION_BYTES_MAX,
    TRANSACTION_LIFETIME_MS_MAX,
    Digest,
    Epoch,
    Height,
    Millis,
    Network,
    TransactionId,
    sha256,
)

UNKNOWN_TYPE = "operation.unknown-type"
INVALID_BODY = "operation.invalid-body"

Write = tuple[bytes, bytes | None]
"""A state key with its new value; None deletes it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a block's transactions come to, before log and state tree take it up.

    Attributes:
        entries: The log entries' bytes, in order.
        executed: The transaction of each entry, in the same order.
        skipped: Digests of transactions that yield no entry, in the block's order.
        writes: What changes in state, sorted by key.
        next_set: The next epoch's validators if the block closes its epoch.
    """

    entries: tuple[bytes, ...]
    executed: tuple[SignedTransaction, ...]
    skipped: tuple[Digest, ...]
    writes: tuple[Write, ...]
    next_set: ValidatorSet | None


class Executor:
    """The modules of a network, ready to execute its blocks. Holds no state."""

    def __init__(self, network: Network, registry: Registry, authority: Authority) -> None:
        self._network = network
        self._registry = registry
        self._authority = authority
        self._authority_prefix = f"{authority.name}/".encode()

    @property
    def authority(self) -> Authority:
        """Who says which signers are known."""
        return self._authority

    def execute(
        self,
        block: Block,
        transactions: Sequence[SignedTransaction],
        validators: ValidatorSet,
        read: ReadState,
        is_remembered: Callable[[TransactionId], bool],
    ) -> Outcome:
        """Execute a final block.

        Args:
            block: On top of the state that `read` shows.
            transactions: The ones that the block lists, in its order.
            validators: The set of the block's epoch.
            read: State after the block before.
            is_remembered: Whether a transaction id has an entry already and may not have expired yet.
        """
        assert block.epoch == validators.epoch, "a block executes in its own epoch"
        assert tuple(t.digest for t in transactions) == block.digests, "these are not the block's transactions"
        facts = BlockFacts(self._network, block.height, block.time_ms, validators)
        state = Overlay(read)
        known: dict[Signer, bool] = {}
        entries: list[bytes] = []
        executed: dict[TransactionId, SignedTransaction] = {}
        skipped: list[Digest] = []
        for transaction in transactions:
            if (
                not is_in_window(transaction.expires_at_ms, block.time_ms)
                or transaction.id in executed
                or is_remembered(transaction.id)
                or not self._is_known(transaction, state, block.time_ms, known)
            ):
                skipped.append(transaction.digest)
                continue
            over = Overlay(state.read)
            failure = self._run(transaction, facts, over)
            entries.append(_entry(facts, len(entries), transaction, failure))
            executed[transaction.id] = transaction
            if failure is None and over.writes:
                state.absorb(over)
                if any(key.startswith(self._authority_prefix) for key in over.writes):
                    known.clear()
        return Outcome(
            tuple(entries), tuple(executed.values()), tuple(skipped), state.changes(), self._next_set(state, validators)
        )

    def genesis(self, genesis: Genesis) -> tuple[Write, ...]:
        """The state that a network starts from, sorted by key.

        Raises:
            InvalidGenesis: A section has no module, or a module finds its section wrong.
        """
        names = [module.name for module in self._registry.modules]
        for name in sorted(genesis.sections):
            if name not in names:
                raise InvalidGenesis(f"sections.{name}: there is no such module; there are {', '.join(names)}")
        facts = BlockFacts(self._network, Height(0), genesis.time_ms, genesis.validators)
        state = Overlay(_nothing)
        for module in self._registry.modules:
            prefixes = self._registry.prefixes(module)
            module.genesis(genesis, Context(facts, TransactionId(self._network), (), 0, 1, prefixes, state))
        named = self._authority.validator_set(state.read)
        assert named == genesis.validators.validators, "the first state names the validators of the genesis file"
        return state.changes()

    def _is_known(
        self, transaction: SignedTransaction, state: Overlay, time_ms: Millis, known: dict[Signer, bool]
    ) -> bool:
        """Whether any of the signers is known, remembering each answer."""
        for signer in transaction.signers:
            if signer not in known:
                known[signer] = self._authority.is_known(state.read, signer, time_ms)
            if known[signer]:
                return True
        return False

    def _run(self, transaction: SignedTransaction, facts: BlockFacts, over: Overlay) -> pb.Failure | None:
        """Execute one transaction's operations over its own overlay; what failed, or None."""
        count = len(transaction.operations)
        for index, operation in enumerate(transaction.operations):
            found = self._registry.lookup(operation.type)
            if found is None:
                return pb.Failure(code=UNKNOWN_TYPE, operation=index)
            module, kind = found
            try:
                message = decode(kind, operation.body, TRANSACTION_BYTES_MAX)
            except InvalidMessage:
                return pb.Failure(code=INVALID_BODY, operation=index)
            prefixes = self._registry.prefixes(module)
            context = Context(facts, transaction.id, transaction.signers, index, count, prefixes, over)
            try:
                module.execute(context, message)
            except Refused as refusal:
                return pb.Failure(code=refusal.code, operation=index)
        return None

    def _next_set(self, state: Overlay, validators: ValidatorSet) -> ValidatorSet | None:
        """The next epoch's set if state names other validators than the current one."""
        if not any(key.startswith(self._authority_prefix) for key in state.writes):
            return None
        named = self._authority.validator_set(state.read)
        if named == validators.validators:
            return None
        return ValidatorSet(Epoch(validators.epoch + 1), named)


def is_in_window(expires_at_ms: int, time_ms: int) -> bool:
    """Whether a transaction that expires then may execute in a block of this time."""
    return time_ms <= expires_at_ms <= time_ms + TRANSACTION_LIFETIME_MS_MAX


def digests_by_module(writes: Sequence[Write]) -> tuple[tuple[str, bytes], ...]:
    """SHA-256 over each module's writes of a block, by the first part of the keys: where replicas differ, look there.

    Args:
        writes: Sorted by key.
    """
    parts: dict[str, list[bytes]] = {}
    for key, value in writes:
        name = key.split(b"/", 1)[0].decode(errors="backslashreplace")
        part = parts.setdefault(name, [])
        part.append(len(key).to_bytes(4, "big") + key)
        part.append(b"\x00" if value is None else b"\x01" + len(value).to_bytes(4, "big") + value)
    return tuple((name, sha256(b"".join(part))) for name, part in parts.items())


def _entry(facts: BlockFacts, position: int, transaction: SignedTransaction, failure: pb.Failure | None) -> bytes:
    """The log entry of one transaction."""
    entry = pb.Entry(height=facts.height, position=position, time_ms=facts.time_ms, header=transaction.header)
    if failure is None:
        entry.success.SetInParent()
    else:
        entry.failure.CopyFrom(failure)
    return encode(entry)


def _nothing(key: bytes) -> None:
    """The state before genesis."""
    del key
