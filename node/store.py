# SPDX-License-Identifier: Apache-2.0
"""The ledger on disk: blocks, entries, log, state and ids, over any `chain.storage.Database`.

One block is one atomic, synced batch. A crash before it leaves nothing of the block, which executes again; after it the
block is there whole. Memory moves on only when the batch is written. The table of keys stands in `node.store_keys`.

Satisfies `chain.ledger.LedgerStore`; `append_log` and `update_state` say what a block would make of log and state, and
`commit` stores just that.
"""

from collections.abc import Sequence

from chain.application import Execution
from chain.checkpoint import Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.events import Executed
from chain.errors import InvalidMessage, Refused
from chain.log_tiles import Log, LogAppend
from chain.snapshot import Children, SnapshotHead, TailPart
from chain.storage import Database
from chain.tree import StateTree, TreeUpdate
from chain.tree_build import Subtree
from chain.types import Height, Millis, Network
from node.copies import Copies
from node.install import Installer
from node.store_format import open_format
from node.store_keys import (
    EVERYTHING,
    FORMAT,
    FORMAT_KEY,
    HORIZON_KEY,
    INSTALL_KEY,
    LOG_PREFIX,
    NETWORK_KEY,
    STATE_PREFIX,
    TIP_KEY,
    BlockOutcome,
    Horizon,
    Place,
    body_key,
    numbered,
)
from node.store_proofs import ProofStore
from node.store_pruning import compactable, find_prunable
from node.store_reader import Records, damaged

VERSIONS_KEPT = 1_000
"""Past states that stay provable unless the node is an archive."""
BLOCKS_KEPT_MIN = VERSIONS_KEPT
"""A pruning node keeps the block of each state that it can prove."""
PINS_MAX = 4
"""Copies that are made at once at different heights; each holds back what all later ones need too."""
COMPACTED_KEYS_MIN = 100_000
"""Deletions after which compaction is worth its reads: about a minute of 500 transactions a second."""


class LedgerStore(Records):
    """One network's ledger in one database.

    Attributes:
        proofs: What quorums signed of it.
    """

    def __init__(self, database: Database, *, archive: bool = False, blocks_kept: int = 0) -> None:
        """Open the ledger that is there, or an empty one.

        Args:
            database: Where it lies.
            archive: Keep each past state; then all blocks are kept too.
            blocks_kept: Older ones are pruned; at least `BLOCKS_KEPT_MIN`, or 0: all are kept.

        Raises:
            StorageError: It is damaged, or of a format that this program does not know.
        """
        assert blocks_kept == 0 or (blocks_kept >= BLOCKS_KEPT_MIN and not archive)
        super().__init__(database)
        self._database = database
        self._archive = archive
        self._blocks_kept = blocks_kept
        self._pins: dict[Height, Checkpoint] = {}
        self._deleted = self._turn = 0
        self._installer: Installer | None = None
        self.proofs = ProofStore(database)
        self._open()

    def _open(self) -> None:
        """Stand where the database does."""
        database = self._database
        open_format(database)
        self._horizon = self._compacted = super().horizon()
        self._newest = self.tip()
        size = 0 if self._newest is None else self._newest.log_size
        try:
            self._log = Log(database, LOG_PREFIX, size, self._horizon.first_leaf)
        except AssertionError as error:  # a tile was there when the block was committed: the disk has lost it
            raise damaged(str(error)) from error
        self._state = StateTree(database, STATE_PREFIX)
        if self._newest is not None:
            if self._log.root() != self._newest.log_root:
                raise damaged("the log does not have the root of the newest block's checkpoint")
            if self._state.root() != self._newest.state_root:
                raise damaged("the state does not have the root of the newest block's checkpoint")

    # ---------------------------------------------------------------- what `chain.ledger` asks for

    def network(self) -> Network | None:
        """Whose ledger this is; None before `initialise`."""
        found = self._database.get(NETWORK_KEY)
        return None if found is None else Network(found)

    def newest(self) -> Checkpoint | None:
        """The checkpoint of the newest committed block; None before the first."""
        return self._newest

    def read_state(self, key: bytes) -> bytes | None:
        """A state key's newest value, or None."""
        return self._state.get(key)

    def prove_state(self, key: bytes, height: Height) -> tuple[bytes | None, bytes]:
        """A state key's value after a block, or None, with its ICS-23 proof.

        Raises:
            Refused: That height is no longer held.
        """
        return self._state.prove(key, height)

    def append_log(self, entries: Sequence[bytes]) -> LogAppend:
        """The log with these entries at its end; pure."""
        return self._log.append(entries)

    def update_state(self, writes: Sequence[tuple[bytes, bytes | None]], height: Height) -> TreeUpdate:
        """The state after these writes of the block at this height; pure."""
        return self._state.update(writes, height)

    def initialise(self, network: Network, state: TreeUpdate) -> None:
        """Store the genesis state, in one atomic, synced batch."""
        assert self.network() is None, "a ledger is initialised once"
        fixed = {FORMAT_KEY: FORMAT.to_bytes(4), NETWORK_KEY: network, HORIZON_KEY: EVERYTHING.encode()}
        self._database.write({**fixed, **state.puts})
        self._state.applied(state)

    def commit(self, execution: Execution, log: LogAppend, state: TreeUpdate) -> None:
        """Store a block with all that it yields, in one atomic, synced batch.

        Args:
            execution: Of the block after the newest.
            log: `append_log` of its entries.
            state: `update_state` of its writes.
        """
        checkpoint, block = execution.checkpoint, execution.block
        assert checkpoint.height == self.height + 1, "blocks are committed in height order"
        assert (checkpoint.log_size, checkpoint.log_root) == (log.size, log.root), "the log of another execution"
        assert checkpoint.state_root == state.root, "the state of another execution"
        raw = checkpoint.encode()
        puts = {
            TIP_KEY: raw,
            numbered(b"C", block.height): raw,
            numbered(b"B", block.height): block.raw,
            b"H" + block.id: block.height.to_bytes(8),
        }
        if execution.next_set is not None:
            puts[numbered(b"V", block.height)] = execution.next_set.encode()
        _put_transactions(puts, execution, log.size_before)
        puts.update(log.puts)
        puts.update(state.puts)
        self._database.write(puts, self._expired(block.time_ms))
        # The block is durable from here on.
        self._log.applied(log)
        self._state.applied(state)
        self._newest = checkpoint

    def _expired(self, time_ms: Millis) -> list[bytes]:
        """Keys of ids that no block after this time can hold. Those before the newest block's are gone already."""
        start = 0 if self._newest is None else self._newest.time_ms
        return [key for key, _ in self._database.range(numbered(b"R", start), numbered(b"R", time_ms))]

    # ---------------------------------------------------------------- copies

    def list_snapshots(self) -> list[Checkpoint]:
        """Checkpoints at which a copy can begin, the newest first."""
        return self._copies().offers()

    def load_head(self, height: Height) -> bytes:
        """The head of the copy at this height; see `node.copies`."""
        return self._copies().head(height)

    def load_state(self, height: Height, path: bytes) -> bytes:
        """What stands at a place of the state; see `node.copies`."""
        return self._copies().state(height, path)

    def load_tail(self, height: Height, first_leaf: int) -> bytes:
        """Entries from one on; see `node.copies`."""
        return self._copies().tail(height, first_leaf)

    def begin_copy(self, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> None:
        """Throw the genesis state away, to become a copy; a crash from here on leaves an unfinished one."""
        assert self.height == 0, "a ledger that has blocks does not become a copy"
        self._database.write({INSTALL_KEY: head.checkpoint.encode()})
        self._installer = Installer(self._database, head, closings)

    def add_part(self, part: Subtree | Children | TailPart) -> None:
        """Store a verified part."""
        assert self._installer is not None, "a copy is begun before parts are added"
        if isinstance(part, TailPart):
            self._installer.add_tail(part)
        else:
            self._installer.add_state(part)

    def finish_copy(self) -> None:
        """Be the ledger that was copied; durable when this returns."""
        assert self._installer is not None, "a copy is begun before it is finished"
        self._installer.finish()
        self._installer = None
        self._open()

    def _copies(self) -> Copies:
        return Copies(self._database.snapshot())

    # ---------------------------------------------------------------- reading

    @property
    def height(self) -> Height:
        """Of the newest committed block; 0 before the first."""
        return Height(0) if self._newest is None else self._newest.height

    @property
    def log_size(self) -> int:
        """How many entries there are."""
        return self._log.size

    def horizon(self) -> Horizon:
        """How far back the ledger reaches."""
        return self._horizon

    @property
    def oldest_block(self) -> Height:
        """The lowest height whose block is held; one above the newest while there is none."""
        return self._horizon.oldest_block

    @property
    def first_leaf(self) -> int:
        """Index of the first entry that is held."""
        return self._horizon.first_leaf

    def executed(self) -> Executed | None:
        """The newest committed block as the consensus core wants it at its start; None before the first.

        Raises:
            StorageError: The record is damaged.
        """
        if self._newest is None:
            return None
        raw = self._database.get(numbered(b"V", self._newest.height))
        try:
            return Executed(self._newest, None if raw is None else ValidatorSet.decode(raw))
        except InvalidMessage as error:
            raise damaged(error.reason) from error

    def log_root(self, size: int) -> bytes:
        """The root over the first entries; 0 <= size <= log_size."""
        return self._log.root(size)

    def prove_inclusion(self, leaf_index: int, size: int) -> list[bytes]:
        """The path of an entry in the log of this size; 0 <= leaf_index < size <= log_size."""
        return self._log.prove_inclusion(leaf_index, size)

    def prove_consistency(self, size1: int, size2: int) -> list[bytes]:
        """That the log of size2 begins with that of size1; 0 <= size1 <= size2 <= log_size."""
        return self._log.prove_consistency(size1, size2)

    # ---------------------------------------------------------------- pruning

    @property
    def oldest_state(self) -> Height:
        """The lowest height whose state is provable."""
        return Height(self._state.oldest)

    @property
    def pins(self) -> list[Height]:
        """Heights whose copies are being made, ascending."""
        return sorted(self._pins)

    def pin(self, height: Height) -> None:
        """Keep what a copy at this height needs, until `unpin` or a restart.

        Raises:
            Refused: It is pruned already, or not executed yet.
        """
        assert len(self._pins) < PINS_MAX or height in self._pins, "whoever pins counts"
        checkpoint = self.checkpoint(height)
        if height < max(self.oldest_block, self.oldest_state) or checkpoint is None:
            raise Refused(f"a copy can't be made at height {height}: it is pruned or not executed", "state.pruned")
        self._pins[height] = checkpoint

    def unpin(self, height: Height) -> None:
        """The copy is made, or given up."""
        self._pins.pop(height, None)

    def prune(self, keys_max: int = 20_000) -> int:
        """Forget old states and, if so configured, old blocks, a bounded piece of each. Call it after each commit.

        A crash before a batch is written leaves all of it for the next call.

        Returns:
            How many keys were deleted.
        """
        return self.prune_state(keys_max) + self.prune_blocks(keys_max)

    def prune_state(self, keys_max: int = 20_000) -> int:
        """Forget states older than the last 1,000, but none that is pinned.

        Returns:
            How many keys were deleted.
        """
        oldest = min(self.height - VERSIONS_KEPT + 1, *self._pins, self.height)
        if self._archive or oldest <= self._state.oldest:
            return 0
        pruning = self._state.prune(oldest, keys_max)
        self._database.write(pruning.puts, pruning.deletes, sync=False)
        self._state.pruned(pruning)
        self._deleted += len(pruning.deletes)
        return len(pruning.deletes)

    def prune_blocks(self, keys_max: int = 20_000) -> int:
        """Forget blocks and entries beyond those that are kept; see `node.store_pruning`.

        Returns:
            How many keys were deleted.
        """
        if not self._blocks_kept or self._newest is None:
            return 0
        if self._newest.height - self._blocks_kept < self._horizon.oldest_block:
            return 0
        needed = self._pins.values()
        pruning = find_prunable(self._database, self._newest, self._blocks_kept, needed, keys_max)
        if pruning is None:
            return 0
        self._database.write(pruning.puts, pruning.deletes, sync=False)
        self._horizon = pruning.horizon
        self._log.forgotten_before(pruning.horizon.first_leaf)
        self._deleted += len(pruning.deletes)
        return len(pruning.deletes)

    def take_compactable(self) -> list[tuple[bytes, bytes]]:
        """Ranges of keys, start and stop, whose room is worth giving back now; then it counts anew."""
        if self._deleted < COMPACTED_KEYS_MIN:
            return []
        ranges = compactable(self._compacted, self._horizon, self._state.oldest, self._turn)
        self._compacted, self._deleted, self._turn = self._horizon, 0, self._turn + 1
        return ranges


def _put_transactions(puts: dict[bytes, bytes], execution: Execution, first_leaf: int) -> None:
    """Add a block's transactions, their entries and ids to its batch."""
    height = execution.block.height
    skipped = set(execution.skipped)
    positions: list[int] = []
    without: list[int] = []
    for position, transaction in enumerate(execution.transactions):
        key = body_key(height, position)
        puts[key] = transaction.raw
        puts[b"D" + transaction.digest] = key[1:]
        (without if transaction.digest in skipped else positions).append(position)
    puts[numbered(b"O", height)] = BlockOutcome(first_leaf, tuple(without)).encode()
    entries = zip(positions, execution.entries, execution.transaction_ids, execution.expirations_ms, strict=True)
    for leaf_index, (position, entry, transaction_id, expires_at_ms) in enumerate(entries, first_leaf):
        puts[numbered(b"E", leaf_index)] = entry
        puts[b"T" + transaction_id] = Place(leaf_index, height, position).encode()
        puts[numbered(b"R", expires_at_ms) + transaction_id] = b""
