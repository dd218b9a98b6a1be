# SPDX-License-Identifier: Apache-2.0
"""The ledger as an application that any engine can drive: executor, log and state tree over an injected store.

`execute` is pure and yields the checkpoint; `commit` is one atomic batch of the store, after which, and not before,
memory moves on. A crash between the two loses nothing: the block executes again.

Source: docs/protocol.md, sections 2, 4 and 8.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from chain.application import Execution, SnapshotPlace, StateAnswer, StatePlace, TailPlace, Tip
from chain.checkpoint import Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.block import Block
from chain.errors import InvalidGenesis, Refused
from chain.executor import Executor, Outcome, is_in_window
from chain.genesis import Genesis
from chain.log_tiles import LogAppend
from chain.module import Authority, Registry
from chain.remembered import Remembered
from chain.snapshot import Children, SnapshotHead, TailPart, verify_part, verify_tail
from chain.transaction import SignedTransaction
from chain.tree import TreeUpdate
from chain.tree_build import Subtree
from chain.types import (
    BLOCK_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    FIRST_EPOCH,
    TRANSACTION_BYTES_MAX,
    BlockId,
    Digest,
    Epoch,
    Height,
    Millis,
    Network,
    TransactionId,
)

READS_CACHED_MAX = 20_000
"""State reads remembered over blocks, some 10 MB: the records of the keys that are at work."""


class SnapshotStore(Protocol):
    """What a copy is loaded from, and put into."""

    def list_snapshots(self) -> Sequence[Checkpoint]:
        """Checkpoints at which a copy can begin, the newest first."""
        ...

    def load_head(self, height: Height) -> bytes:
        """The head of the copy at this height.

        Raises:
            Refused: There is none.
        """
        ...

    def load_state(self, height: Height, path: bytes) -> bytes:
        """What stands at a place of the state.

        Raises:
            Refused: There is no such state or place.
        """
        ...

    def load_tail(self, height: Height, first_leaf: int) -> bytes:
        """Entries from one on.

        Raises:
            Refused: There is no such entry.
        """
        ...

    def begin_copy(self, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> None:
        """Throw the genesis state away, to become a copy."""
        ...

    def add_part(self, part: Subtree | Children | TailPart) -> None:
        """Store a verified part."""
        ...

    def finish_copy(self) -> None:
        """All parts are there: be the ledger that was copied."""
        ...


class LedgerStore(SnapshotStore, Protocol):
    """What the ledger keeps: blocks, log, state and remembered ids. `append_log` and `update_state` change nothing."""

    def network(self) -> Network | None:
        """Whose ledger this is; None before `initialise`."""
        ...

    def newest(self) -> Checkpoint | None:
        """The checkpoint of the newest committed block; None before the first."""
        ...

    def remembered(self, time_ms: Millis) -> Iterable[tuple[TransactionId, Millis]]:
        """Ids of transactions that have an entry, with their expiries; at least those that expire from this time on."""
        ...

    def read_state(self, key: bytes) -> bytes | None:
        """A state key's newest value, or None."""
        ...

    def prove_state(self, key: bytes, height: Height) -> tuple[bytes | None, bytes]:
        """A state key's value after a block, or None, with its ICS-23 proof.

        Raises:
            Refused: That height is no longer held.
        """
        ...

    def append_log(self, entries: Sequence[bytes]) -> LogAppend:
        """The log with these entries at its end."""
        ...

    def update_state(self, writes: Sequence[tuple[bytes, bytes | None]], height: Height) -> TreeUpdate:
        """The state after these writes of the block at this height."""
        ...

    def initialise(self, network: Network, state: TreeUpdate) -> None:
        """Store the genesis state, in one atomic, synced batch."""
        ...

    def commit(self, execution: Execution, log: LogAppend, state: TreeUpdate) -> None:
        """Store a block with all that it yields, in one atomic, synced batch."""
        ...


class Ledger:
    """A `chain.application.Application`. One caller at a time: nothing here is guarded against threads.

    Args:
        store: Empty, or of this network.
        genesis: Of the network.
        registry: The modules of every node of the network.
        authority: One of them.

    Raises:
        InvalidGenesis: The store belongs to another network, or no ledger can start from this genesis.
    """

    def __init__(self, store: LedgerStore, genesis: Genesis, registry: Registry, authority: Authority) -> None:
        self._store = store
        self._genesis = genesis
        self._authority = authority
        self._executor = Executor(genesis.network, registry, authority)
        self._reads: dict[bytes, bytes | None] = {}
        self._prepared: tuple[BlockId, LogAppend, TreeUpdate] | None = None
        self._copied: Checkpoint | None = None
        self._places_left = 0
        found = store.network()
        if found is None:
            store.initialise(genesis.network, store.update_state(self._executor.genesis(genesis), Height(0)))
        elif found != genesis.network:
            raise InvalidGenesis(
                f"the database holds the network {found.hex()}, the genesis file is of {genesis.network.hex()}; "
                "use the genesis file that it was made with, or an empty database",
                "genesis.other-network",
            )
        self._open()

    def _open(self) -> None:
        """Stand where the store does."""
        newest, genesis = self._store.newest(), self._genesis
        self._tip = Tip(Height(0), BlockId(genesis.network), genesis.time_ms, Epoch(0))
        epoch = FIRST_EPOCH
        if newest is not None:
            self._tip = Tip(newest.height, newest.block_id, newest.time_ms, newest.epoch)
            epoch = Epoch(newest.epoch + 1) if newest.closes_epoch else newest.epoch
        self._validators = ValidatorSet(epoch, self._authority.validator_set(self.read))
        self._remembered = Remembered(self._store.remembered(self._tip.time_ms))

    @property
    def validators(self) -> ValidatorSet:
        """The set that serves the next block's epoch."""
        return self._validators

    def read(self, key: bytes) -> bytes | None:
        """A state key's value at the tip, without proof; for rules and admission on this node."""
        if key not in self._reads:
            if len(self._reads) >= READS_CACHED_MAX:
                self._reads.clear()
            self._reads[key] = self._store.read_state(key)
        return self._reads[key]

    def is_executed(self, transaction_id: TransactionId) -> bool:
        """Whether a transaction has an entry; False also for one that expired before the tip."""
        return transaction_id in self._remembered

    def tip(self) -> Tip:
        """The newest committed block."""
        return self._tip

    def check(self, transaction: SignedTransaction, now_ms: Millis) -> None:
        """Cheap admission against current state.

        Raises:
            Refused: Expired, too far ahead, already executed, or no known signer.
        """
        if transaction.expires_at_ms < now_ms:
            raise Refused("the transaction has expired; sign it anew", "transaction.expired")
        if not is_in_window(transaction.expires_at_ms, now_ms):
            raise Refused("the transaction expires more than 5 minutes ahead", "transaction.expires-too-late")
        if transaction.id in self._remembered:
            raise Refused("the transaction has been executed", "transaction.repeated")
        if not self._is_known(transaction, now_ms):
            raise Refused("no signer of the transaction is known to the network", "transaction.unknown-signer")

    def propose(
        self, candidates: Iterable[SignedTransaction], time_ms: Millis, *, bytes_max: int, count_max: int
    ) -> list[Digest]:
        """Choose from candidates, in their order, what a block of this time can hold, up to the first too large."""
        chosen: dict[TransactionId, Digest] = {}
        size_bytes = 0
        for transaction in candidates:
            if (
                not is_in_window(transaction.expires_at_ms, time_ms)
                or transaction.id in self._remembered
                or transaction.id in chosen
                or not self._is_known(transaction, time_ms)
            ):
                continue
            size_bytes += len(transaction.raw)
            if len(chosen) >= min(count_max, BLOCK_TRANSACTIONS_MAX) or size_bytes > min(bytes_max, BLOCK_BYTES_MAX):
                break
            chosen[transaction.id] = transaction.digest
        return list(chosen.values())

    def validate(self, transactions: Sequence[SignedTransaction]) -> None:
        """Check a proposed block's bodies by the facts that do not depend on state.

        Raises:
            Refused: A limit is broken.
        """
        if len(transactions) > BLOCK_TRANSACTIONS_MAX:
            raise Refused(
                f"the block has {len(transactions)} transactions; at most {BLOCK_TRANSACTIONS_MAX} are allowed",
                "block.too-many-transactions",
            )
        if any(len(transaction.raw) > TRANSACTION_BYTES_MAX for transaction in transactions):
            raise Refused(f"a transaction has at most {TRANSACTION_BYTES_MAX} bytes", "transaction.too-large")
        size_bytes = sum(len(transaction.raw) for transaction in transactions)
        if size_bytes > BLOCK_BYTES_MAX:
            raise Refused(
                f"the block's transactions have {size_bytes} bytes; at most {BLOCK_BYTES_MAX} are allowed",
                "block.too-large",
            )

    def execute(self, block: Block, transactions: Sequence[SignedTransaction]) -> Execution:
        """Execute a final block on top of the tip; pure, but for remembering what `commit` would compute again."""
        assert block.height == self._tip.height + 1, "blocks execute in height order without gaps"
        assert block.parent_id == self._tip.block_id, "a block executes on its parent"
        assert block.time_ms > self._tip.time_ms, "a block's time is later than its parent's"
        outcome = self._executor.execute(
            block, transactions, self._validators, self.read, self._remembered.__contains__
        )
        log = self._store.append_log(outcome.entries)
        state = self._store.update_state(outcome.writes, block.height)
        self._prepared = (block.id, log, state)
        return self._execution(block, tuple(transactions), outcome, log, state)

    def commit(self, execution: Execution) -> None:
        """Store it in one atomic, synced batch, and move the tip."""
        block = execution.block
        assert block.parent_id == self._tip.block_id, "a block is committed on its parent"
        if self._prepared is None or self._prepared[0] != block.id:
            log = self._store.append_log(execution.entries)
            state = self._store.update_state(execution.writes, block.height)
        else:
            _, log, state = self._prepared
        self._store.commit(execution, log, state)
        # Durable from here on; a crash before this line executes the block again.
        self._prepared = None
        self._tip = Tip(block.height, block.id, block.time_ms, block.epoch)
        for key, _ in execution.writes:
            self._reads.pop(key, None)
        for transaction_id, expires_at_ms in zip(execution.transaction_ids, execution.expirations_ms, strict=True):
            self._remembered.add(TransactionId(transaction_id), expires_at_ms)
        self._remembered.forget_before(block.time_ms)
        if execution.next_set is not None:
            self._validators = execution.next_set

    def query(self, key: bytes, height: Height | None = None) -> StateAnswer:
        """Read a state key with proof, at the tip or at a height still held.

        Raises:
            Refused: The height is no longer held, or not reached yet.
        """
        at = self._tip.height if height is None else height
        if not 0 <= at <= self._tip.height:
            raise Refused(f"height {at} is not executed yet; the newest is {self._tip.height}", "state.no-such-height")
        value, proof = self._store.prove_state(key, Height(at))
        return StateAnswer(Height(at), value, proof)

    def list_snapshots(self) -> Sequence[Checkpoint]:
        """Checkpoints at which a copy can begin, the newest first."""
        return self._store.list_snapshots()

    def load_head(self, height: Height) -> bytes:
        """The head of a snapshot.

        Raises:
            Refused: There is no such snapshot.
        """
        return self._store.load_head(height)

    def load_part(self, height: Height, place: SnapshotPlace) -> bytes:
        """A part of a snapshot.

        Raises:
            Refused: There is no such snapshot, or no such place in it.
        """
        if isinstance(place, TailPlace):
            return self._store.load_tail(height, place.first_leaf)
        return self._store.load_state(height, place.path)

    def offer_snapshot(self, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> Sequence[SnapshotPlace]:
        """Begin to become a copy.

        Raises:
            Refused: Blocks have been executed here.
        """
        if self._tip.height:
            raise Refused(f"{self._tip.height} blocks have been executed here already", "ledger.refused")
        checkpoint = head.checkpoint
        places: list[SnapshotPlace] = [StatePlace(b"", checkpoint.state_root)]
        if head.first_leaf < checkpoint.log_size:
            places.append(TailPlace(head.first_leaf))
        self._store.begin_copy(head, closings)
        self._copied = checkpoint
        self._places_left = len(places)
        return places

    def apply_part(self, place: SnapshotPlace, raw: bytes) -> Sequence[SnapshotPlace]:
        """Verify a part that somebody loaded, and store it.

        Raises:
            InvalidMessage: It is no part.
            InvalidProof: It is not what stands at that place; ask somebody else.
        """
        checkpoint = self._copied
        assert checkpoint is not None, "parts belong to a snapshot that was offered"
        following: list[SnapshotPlace] = []
        if isinstance(place, TailPlace):
            tail = verify_tail(raw, place.first_leaf, checkpoint)
            self._store.add_part(tail)
            if tail.next_leaf < checkpoint.log_size:
                following.append(TailPlace(tail.next_leaf))
        else:
            part = verify_part(raw, place.path, place.expected, checkpoint.height)
            self._store.add_part(part)
            if isinstance(part, Children):
                following += [StatePlace(path, expected) for path, expected in part.below()]
        self._places_left += len(following) - 1
        if not self._places_left:
            self._store.finish_copy()
            # Durable from here on; a crash before this line leaves a copy to begin anew.
            self._copied = None
            self._reads.clear()
            self._open()
        return following

    def _is_known(self, transaction: SignedTransaction, time_ms: Millis) -> bool:
        """Whether any signer is known at the tip."""
        return any(self._authority.is_known(self.read, signer, time_ms) for signer in transaction.signers)

    def _execution(
        self,
        block: Block,
        transactions: tuple[SignedTransaction, ...],
        outcome: Outcome,
        log: LogAppend,
        state: TreeUpdate,
    ) -> Execution:
        """What the block yields, with its checkpoint."""
        next_set = outcome.next_set
        return Execution(
            block=block,
            transactions=transactions,
            entries=outcome.entries,
            transaction_ids=tuple(transaction.id for transaction in outcome.executed),
            expirations_ms=tuple(transaction.expires_at_ms for transaction in outcome.executed),
            writes=outcome.writes,
            checkpoint=Checkpoint(
                network=self._genesis.network,
                epoch=block.epoch,
                height=block.height,
                time_ms=block.time_ms,
                block_id=block.id,
                log_size=log.size,
                log_root=log.root,
                state_root=state.root,
                next_validators=b"" if next_set is None else next_set.digest(),
            ),
            next_set=next_set,
            skipped=outcome.skipped,
        )
