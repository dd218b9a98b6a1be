# SPDX-License-Identifier: Apache-2.0
"""Reads a backup from end to end and proves it against genesis: nothing in it is believed, though it was sealed.

Every file must be the one that the manifest names. Then what it holds must make one ledger: links, digests, entries
that make up the log's roots, each quorum's certificate against the validators of its epoch, the state against the root
of the certified checkpoint with which the backup ends. What execution alone can tell is `zhixin audit --backup`.

The records go to a sink in an order in which a database can be filled with them. Memory holds one file.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from chain import genesis as genesis_file
from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.errors import InvalidMessage, LedgerError
from chain.genesis import Genesis
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.proven import ENTRY_BYTES_MAX
from chain.types import BlockId, Height, Millis, Network, sha256
from node.audit_faults import Damaged, compare, fail, fail_missing
from node.audit_history import History, entries_between
from node.audit_proofs import Epochs
from node.audit_read import StoredBlock, stored_blocks
from node.audit_state import walk_state
from node.audit_work import SignedRecord, Workers, Wrong, pieces_of
from node.backup import BASE_NAME, Progress, Tell
from node.backup_errors import BackupDamaged, BackupError
from node.backup_folder import MANIFEST_NAME, SUFFIX, Folder
from node.backup_records import Part
from node.store_keys import Horizon, Place, numbered

GENESIS_PATH = b"genesis.json"
CHECKS_AHEAD = 32
"""Pieces of certificates handed to workers and not waited for yet; some hundred kilobytes."""

Sink = Callable[[Mapping[bytes, bytes]], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a backup holds, all of it proven.

    Attributes:
        checkpoint: The certified checkpoint that it ends with.
        horizon: How far back its history reaches.
        files: The home's files by their paths.
        created_at_ms: When it was completed.
        certificates: How many certificates were verified.
    """

    genesis: Genesis
    checkpoint: Checkpoint
    horizon: Horizon
    files: Mapping[bytes, bytes]
    created_at_ms: int
    blocks: int
    transactions: int
    certificates: int
    records: int


def read_backup(
    folder: Folder, workers: Workers, sink: Sink, tell: Tell = lambda _progress: None, network: Network | None = None
) -> Checked:
    """Prove a backup, and hand its records over.

    Args:
        folder: Opened.
        workers: Who checks certificates.
        sink: Is given the ledger's records; a later value under a key takes the place of an earlier one.
        tell: Is told of each file.
        network: Whose backup it must be; that of the genesis file within if None.

    Raises:
        BackupError: It was never completed, or is another network's.
        BackupDamaged: At the first file, and the first record in it, that is not what it must be.
        StorageError: A file can't be read.
    """
    return _Reading(folder, workers, sink, tell).run(network)


class _Reading:
    def __init__(self, folder: Folder, workers: Workers, sink: Sink, tell: Tell) -> None:
        self._folder = folder
        self._manifest = folder.manifest
        self._workers = workers
        self._sink = sink
        self._tell = tell
        self._checks: deque[tuple[str, Future[Wrong | None]]] = deque()
        self._blocks = self._transactions = self._certificates = self._records = 0

    def run(self, network: Network | None) -> Checked:
        manifest = self._manifest
        if not manifest.generation:
            raise BackupError(f"the backup in {self._folder.path} was never completed; run zhixin backup create again")
        files, genesis = self._home(network)
        try:
            checkpoint = Checkpoint.decode(bytes.fromhex(manifest.checkpoint))
        except InvalidMessage as error:
            raise BackupDamaged(MANIFEST_NAME, error.reason) from None
        if not manifest.state or not manifest.history:
            raise BackupDamaged(MANIFEST_NAME, "the manifest names no history or no state")
        closings, part = self._closings()
        with _within(part):
            epochs = Epochs(MemoryDatabase(closings), genesis)
        self._sink(closings)
        last = self._history(genesis, epochs)
        if last != checkpoint:
            part = manifest.history[-1]
            raise BackupDamaged(part.name + SUFFIX, "the history does not end with the checkpoint of the manifest")
        self._state(checkpoint)
        return Checked(
            genesis,
            checkpoint,
            Horizon(Height(manifest.oldest_block), manifest.first_leaf),
            files,
            manifest.created_at_ms,
            self._blocks,
            self._transactions,
            self._certificates,
            self._records,
        )

    def _home(self, network: Network | None) -> tuple[dict[bytes, bytes], Genesis]:
        if len(self._manifest.home) != 1:
            raise BackupDamaged(MANIFEST_NAME, "the manifest names no home")
        (part,) = self._manifest.home
        files = dict(self._folder.read(part))
        try:
            genesis = genesis_file.load(files.get(GENESIS_PATH, b""))
        except LedgerError as error:
            raise BackupDamaged(part.name + SUFFIX, error.reason) from None
        if genesis.network != self._folder.seal.network:
            raise BackupDamaged(part.name + SUFFIX, "its genesis file is of another network than the backup's header")
        if network is not None and genesis.network != network:
            raise BackupError(
                f"the backup is of the network {genesis.network.hex()}, not of {network.hex()}; choose the right one"
            )
        return files, genesis

    def _closings(self) -> tuple[dict[bytes, bytes], Part]:
        """The closing checkpoints, with which the state's files begin, and the last file that holds some."""
        found: dict[bytes, bytes] = {}
        for part in self._manifest.state:
            records = self._folder.read(part)
            closings = [pair for pair in records if pair[0][:1] == b"K"]
            found.update(closings)
            if len(closings) < len(records):
                break
        return found, part

    # ------------------------------------------------------------ the history

    def _history(self, genesis: Genesis, epochs: Epochs) -> Checkpoint | None:
        """Check all segments of history; the last checkpoint."""
        manifest = self._manifest
        history, parts = self._begin(genesis)
        height = manifest.oldest_block - 1
        parent_id = BlockId(genesis.network) if manifest.oldest_block == 1 else None
        time_ms = genesis.time_ms if manifest.oldest_block == 1 else Millis(0)
        last: Checkpoint | None = None
        total = parts[-1].last - height if parts else 0
        for part in parts:
            if part.first != height + 1 or part.last < part.first:
                raise BackupDamaged(MANIFEST_NAME, f"no file holds the blocks from {height + 1} on")
            with _within(part):
                rows = self._folder.read(part)
                segment = MemoryDatabase(dict(rows))
                first_leaf = history.log_size
                for block in stored_blocks(segment, part.first, part.last, parent_id, time_ms):
                    last = self._block(segment, block, history)
                    parent_id, time_ms = block.block.id, block.block.time_ms
                    self._hand_over(part, block, epochs)
                _check_rows(rows, part, first_leaf, history.log_size)
                if part is parts[-1] and segment.get(numbered(b"Q", part.last)) is None:
                    fail_missing(numbered(b"Q", part.last))
            height = part.last
            self._records += len(rows)
            self._tell(Progress(self._blocks, total, self._records))
        self._wait(0)
        return last

    def _begin(self, genesis: Genesis) -> tuple[History, Sequence[Part]]:
        """The history before the first block, and the segments that follow."""
        manifest = self._manifest
        if manifest.oldest_block == 1:
            return History(genesis.network, MemoryDatabase(), 0), manifest.history
        part = manifest.history[0]
        if part.name != BASE_NAME:
            raise BackupDamaged(MANIFEST_NAME, "the manifest does not begin with what stands before the first block")
        with _within(part):
            rows = self._folder.read(part)
            tiles = {key: value for key, value in rows if key[:1] == b"L"}
            entries = [value for key, value in rows if key[:1] == b"E"]
            first_leaf = manifest.first_leaf
            history = History(genesis.network, MemoryDatabase(tiles), first_leaf)
            puts = tiles | history.append(entries)
            for at, raw in enumerate(entries, first_leaf):
                puts[numbered(b"E", at)] = raw
                puts |= _place(at, raw)
            known = puts.keys() | {b"MH"}
            for key, value in rows:
                if key not in known:
                    compare(key, None, value)
        self._sink(puts)
        return history, manifest.history[1:]

    def _block(self, segment: MemoryDatabase, block: StoredBlock, history: History) -> Checkpoint:
        """Check a block and hand its records over."""
        first_leaf = history.log_size
        checkpoint, derived = history.step(block, segment)
        entries = entries_between(segment, first_leaf, history.log_size)
        puts = block.records | derived
        puts.update((numbered(b"E", at), raw) for at, raw in enumerate(entries, first_leaf))
        self._sink(puts)
        self._blocks += 1
        self._transactions += len(block.transactions)
        return checkpoint

    def _hand_over(self, part: Part, block: StoredBlock, epochs: Epochs) -> None:
        """Let the workers check a block's certificates."""
        records: list[SignedRecord] = []
        for kind in (b"F", b"Q"):
            raw, key = block.get(kind), numbered(kind, block.height)
            if raw is not None:
                validators = epochs.validators(key, block.block.epoch).encode()
                records.append(SignedRecord(block.height, key, raw, validators))
        self._certificates += len(records)
        for piece in pieces_of(records):
            self._checks.append((part.name, self._workers.submit(self._folder.seal.network, piece)))
        self._wait(CHECKS_AHEAD)

    def _wait(self, count_max: int) -> None:
        """Wait for checks until so few are under way."""
        while len(self._checks) > count_max:
            name, check = self._checks.popleft()
            wrong = check.result()
            if wrong is not None:
                try:
                    fail(wrong.key, wrong.reason)
                except Damaged as damage:
                    raise _damaged(name, damage) from None

    # ------------------------------------------------------------ the state

    def _state(self, checkpoint: Checkpoint) -> None:
        """Check the state's records, which stand in the order in which a walk asks for them."""
        stream = _Stream(self._folder, self._manifest.state)
        try:
            root = stream.take()
            puts: dict[bytes, bytes] = {}
            for key, value in walk_state(stream, root, checkpoint.height, checkpoint.state_root):
                puts[key] = value
                self._records += 1
                if len(puts) >= _SINK_RECORDS:
                    self._sink(puts)
                    puts = {}
                    self._tell(Progress(self._blocks, self._blocks, self._records))
            self._sink(puts)
            extra = stream.take()
            if extra is not None:
                compare(extra[0], None, extra[1])
        except Damaged as damage:
            raise _damaged(stream.name, damage) from None


_SINK_RECORDS = 2_000
"""Of the state, about a megabyte, in one batch."""


class _Stream:
    """The records of several files, one after the other, without the closing checkpoints."""

    def __init__(self, folder: Folder, parts: Sequence[Part]) -> None:
        self.name = parts[0].name
        self._pairs = self._read(folder, parts)

    def take(self) -> tuple[bytes, bytes] | None:
        """The next record; None at the end."""
        return next(self._pairs, None)

    def get(self, key: bytes) -> bytes | None:
        """The next record's value, which must be that of this key."""
        pair = self.take()
        return pair[1] if pair is not None and pair[0] == key else None

    def _read(self, folder: Folder, parts: Sequence[Part]) -> Iterator[tuple[bytes, bytes]]:
        for part in parts:
            self.name = part.name
            yield from (pair for pair in folder.read(part) if pair[0][:1] != b"K")


def _check_rows(rows: Sequence[tuple[bytes, bytes]], part: Part, first_leaf: int, log_size: int) -> None:
    """Check that a segment holds no record beside those of its blocks, which were looked at."""
    for key, value in rows:
        kind, number = key[:1], int.from_bytes(key[1:9])
        if kind == b"E":
            is_own = first_leaf <= number < log_size and len(key) == 9
        else:
            is_own = kind in {b"B", b"C", b"F", b"O", b"Q", b"V", b"X"} and part.first <= number <= part.last
        if not is_own:
            compare(key, None, value)


def _place(leaf_index: int, raw: bytes) -> dict[bytes, bytes]:
    """Where an entry's transaction stands whose block is not held: as a node that joined by a snapshot has it."""
    try:
        entry = decode(pb.Entry, raw, ENTRY_BYTES_MAX)
    except InvalidMessage as error:
        fail(numbered(b"E", leaf_index), error.reason)
    return {b"T" + sha256(entry.header): Place(leaf_index, Height(entry.height), entry.position).encode()}


@contextmanager
def _within(part: Part) -> Iterator[None]:
    """Name the file in which a fault lies."""
    try:
        yield
    except Damaged as damage:
        raise _damaged(part.name, damage) from None


def _damaged(name: str, damage: Damaged) -> BackupDamaged:
    return BackupDamaged(name + SUFFIX, str(damage), damage.fault)
