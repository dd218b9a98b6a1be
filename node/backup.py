# SPDX-License-Identifier: Apache-2.0
"""Makes a backup of a node: its files and its ledger up to the newest certified checkpoint, while it may be running.

The history goes into segments that are made once: a later backup into the same folder, and one that goes on after an
interruption, make what is missing. The state at the checkpoint is made anew each time. What is written was checked on
the way: links, digests, entries against the log's roots, state against its root; so damage is noticed here, not on the
day when the backup is needed.

Never part of a backup: the vote journal and the validator's key. Who votes with a key after an older journal was put
back may vote twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from chain import genesis as genesis_file
from chain.checkpoint import Checkpoint
from chain.genesis import Genesis
from chain.log_tiles import Log, edge_puts
from chain.memory import MemoryDatabase
from chain.storage import Reader
from chain.types import BlockId, Millis
from node.audit_faults import fail_missing
from node.audit_history import History, entries_between
from node.audit_log import edge_tiles
from node.audit_proofs import Epochs, check_certified
from node.audit_read import StoredBlock, decode_checkpoint, stored_blocks
from node.audit_scope import Scope, find_scope
from node.audit_state import StoredRecords, root_record, walk_state
from node.audit_work import SignedRecord, check_piece
from node.backup_errors import BackupError
from node.backup_folder import Folder, locked, make
from node.backup_keys import Secret
from node.backup_records import SEGMENT_BLOCKS, SEGMENT_BYTES, Manifest, Part, pack
from node.config import Home
from node.errors import StorageError
from node.keys import Purpose, load_public_key
from node.store_keys import LOG_PREFIX, BlockOutcome, Horizon, numbered

HOME_FILE_BYTES_MAX = 4 * 1024 * 1024
"""The genesis file is the largest."""
TRUSTED_MAX = 256
"""Certificates in `tls/trusted`; a node has some of them."""
BASE_NAME = "base"
"""What stands before the first block of a history that does not begin with genesis."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backup, its check or its restore has come.

    Attributes:
        blocks: Handled so far.
        blocks_total: Of so many.
        records: All records handled, those of the state among them.
    """

    blocks: int
    blocks_total: int
    records: int


Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Created:
    """What a backup holds.

    Attributes:
        height: Of the checkpoint that it ends with.
        oldest_block: The first height of its history.
        segments_new: Files of history that were made now; the others were there.
        size_bytes: Of all its files.
        omitted: Files of the home that are left out on purpose.
    """

    height: int
    oldest_block: int
    segments: int
    segments_new: int
    size_bytes: int
    state_root: str
    omitted: tuple[str, ...]


def create(
    home: Home, reader: Reader, path: Path, secret: Secret, now_ms: int, tell: Tell = lambda _progress: None
) -> Created:
    """Make a backup, or bring the one in the folder up to date.

    Args:
        home: Of the node.
        reader: One moment of its ledger, as `node.local.open_reader` gives it.
        path: The backup's folder; made if it is not there.
        secret: Seals it; the same each time.
        now_ms: The time, for the manifest.
        tell: Is told of each segment.

    Raises:
        BackupError: Nothing is certified yet, or the folder is another network's or history's backup.
        BackupDamaged: The folder's header or manifest is not what was written.
        Damaged: The ledger is damaged; the fault says where.
        ConfigError: The genesis file is not the ledger's.
        StorageError: Something can't be read or written; what was complete before still is.
    """
    raw_genesis = _read(home.genesis)
    genesis = genesis_file.load(raw_genesis)
    with locked(path):
        make(path, genesis.network, secret)
        folder = Folder(path, secret)
        if folder.seal.network != genesis.network:
            raise BackupError(
                f"{path} is a backup of the network {folder.seal.network.hex()}, {home.genesis} is of "
                f"{genesis.network.hex()}; choose another folder"
            )
        return _Creation(home, reader, folder, genesis, tell).run(now_ms)


class _Creation:
    def __init__(self, home: Home, reader: Reader, folder: Folder, genesis: Genesis, tell: Tell) -> None:
        self._home = home
        self._reader = reader
        self._folder = folder
        self._genesis = genesis
        self._tell = tell
        self._records = 0

    def run(self, now_ms: int) -> Created:
        scope = find_scope(self._reader, self._genesis, None, None)
        certified = self._certified(scope)
        before = self._folder.manifest
        manifest, last = self._recovered(before)
        if not manifest.history:
            manifest = replace(manifest, oldest_block=scope.horizon.oldest_block, first_leaf=scope.horizon.first_leaf)
        if last is not None and last.height > certified.height:
            raise BackupError(
                f"the backup reaches height {last.height}, and the ledger is certified only up to {certified.height}: "
                "nothing to do"
            )
        names = {part.name for part in manifest.parts}
        self._folder.sweep(names)
        made = self._history(manifest, last, scope, certified)
        manifest = replace(manifest, history=(*manifest.history, *made))
        generation = before.generation + 1
        state = before.state
        if before.checkpoint != certified.encode().hex():
            state = tuple(self._state(generation, certified))
        home, omitted = self._home_part(generation)
        manifest = replace(
            manifest,
            generation=generation,
            created_at_ms=now_ms,
            checkpoint=certified.encode().hex(),
            state=state,
            home=(home,),
        )
        self._folder.commit(manifest)
        # The backup of this moment is complete and durable from here on; before, the former one still stands.
        return Created(
            certified.height,
            manifest.oldest_block,
            len(manifest.history),
            len(made),
            sum(part.size_bytes for part in manifest.parts),
            certified.state_root.hex(),
            omitted,
        )

    # ------------------------------------------------------------ where it begins and ends

    def _certified(self, scope: Scope) -> Checkpoint:
        """The newest certified checkpoint whose state is held, its certificate verified from genesis."""
        start = numbered(b"Q", max(1, scope.forgotten, scope.horizon.oldest_block))
        for key, raw in self._reader.range(start, numbered(b"Q", scope.tip.height + 1), reverse=True):
            height = int.from_bytes(key[1:])
            stored = self._reader.get(numbered(b"C", height))
            if stored is None:
                fail_missing(numbered(b"C", height))
            check_certified(height, raw, stored)
            checkpoint = decode_checkpoint(numbered(b"C", height), stored)
            validators = Epochs(self._reader, self._genesis).validators(key, checkpoint.epoch)
            record = SignedRecord(height, key, raw, validators.encode())
            if check_piece(self._genesis.network, [record]) is None:
                return checkpoint
            raise BackupError(
                f"the certificate of height {height} does not verify; find out what else is wrong with zhixin audit"
            )
        raise BackupError("no checkpoint of the ledger is certified yet; try again when blocks are being certified")

    def _recovered(self, manifest: Manifest) -> tuple[Manifest, Checkpoint | None]:
        """The manifest with what an interrupted creation finished, and the last checkpoint of its history."""
        history = list(manifest.history)
        oldest, first_leaf = manifest.oldest_block, manifest.first_leaf
        last = None
        if history and (listed := self._folder.read(history[-1])):
            last = _last_checkpoint(listed)
        if not history and (found := self._folder.unlisted(BASE_NAME)) is not None:
            part, records = found
            oldest, first_leaf = _base_horizon(records)
            history.append(part)
        while (found := self._folder.unlisted(_segment_name(history))) is not None:
            part, records = found
            heights = _heights(records)
            expected = oldest if last is None else last.height + 1
            if not heights or (heights[0] != expected and (last is not None or history)):
                break
            if last is None and not history:
                oldest, first_leaf = heights[0], 0
            history.append(replace(part, first=heights[0], last=heights[-1]))
            last = _last_checkpoint(records)
        if last is None and history:
            history, oldest, first_leaf = [], 0, 0  # a base without a block after it is made again
        found_manifest = replace(manifest, history=tuple(history), oldest_block=oldest, first_leaf=first_leaf)
        return found_manifest, last

    # ------------------------------------------------------------ the history

    def _history(self, manifest: Manifest, last: Checkpoint | None, scope: Scope, certified: Checkpoint) -> list[Part]:
        """Write the segments that are missing."""
        made: list[Part] = []
        first: int = scope.horizon.oldest_block
        parent_id: BlockId | None = None
        time_ms = Millis(0)
        if last is None:
            history, base = self._begin(scope.horizon)
            if base is None:
                parent_id, time_ms = BlockId(self._genesis.network), self._genesis.time_ms
            else:
                made.append(self._folder.write(BASE_NAME, pack(base.items())))
        else:
            self._check_continues(last, scope.horizon)
            edge = MemoryDatabase(edge_tiles(self._reader, last))
            history = History(self._genesis.network, edge, last.log_size)
            first, parent_id, time_ms = last.height + 1, last.block_id, last.time_ms
        blocks = stored_blocks(self._reader, first, certified.height, parent_id, time_ms)
        total = certified.height - first + 1
        for records, heights in self._segments(blocks, history):
            name = _segment_name([*manifest.history, *made])
            made.append(self._folder.write(name, pack(records), *heights))
            # This segment is whole and durable: an interruption from here on does not make it again.
            self._records += len(records)
            self._tell(Progress(heights[1] - first + 1, total, self._records))
        return made

    def _begin(self, horizon: Horizon) -> tuple[History, dict[bytes, bytes] | None]:
        """The history before the oldest block: nothing, or the log's left edge and the entries after it."""
        if horizon.oldest_block == 1:
            return History(self._genesis.network, MemoryDatabase(), 0), None
        first_leaf = horizon.first_leaf
        key = numbered(b"O", horizon.oldest_block)
        outcome = self._reader.get(key)
        if outcome is None:
            fail_missing(key)
        stop = BlockOutcome.decode(outcome).first_leaf
        base = edge_puts(LOG_PREFIX, first_leaf, _left_edge(self._reader, first_leaf))
        history = History(self._genesis.network, MemoryDatabase(base), first_leaf)
        entries = entries_between(self._reader, first_leaf, stop)
        history.append(entries)
        base |= {numbered(b"E", first_leaf + at): entry for at, entry in enumerate(entries)}
        base[b"MH"] = horizon.encode()
        return history, base

    def _check_continues(self, last: Checkpoint, horizon: Horizon) -> None:
        raw = self._reader.get(numbered(b"C", last.height))
        if raw is None or last.height < horizon.oldest_block:
            raise BackupError(
                f"the backup ends with block {last.height}, and the ledger holds blocks from {horizon.oldest_block} "
                "on: what lies between can't be added. Choose a new folder, and back up before blocks are pruned"
            )
        if raw != last.encode():
            raise BackupError(
                f"the backup ends with another block {last.height} than the ledger has; audit both, and choose a new "
                "folder meanwhile"
            )

    def _segments(
        self, blocks: Iterator[StoredBlock], history: History
    ) -> Iterator[tuple[list[tuple[bytes, bytes]], tuple[int, int]]]:
        """Records of consecutive blocks with their first and last heights."""
        records: list[tuple[bytes, bytes]] = []
        size_bytes, first = 0, 0
        for stored in blocks:
            first_leaf = history.log_size
            history.step(stored, self._reader)
            rows = sorted(stored.records.items())
            entries = entries_between(self._reader, first_leaf, history.log_size)
            rows += [(numbered(b"E", first_leaf + at), entry) for at, entry in enumerate(entries)]
            records += rows
            first = first or stored.height
            size_bytes += sum(len(key) + len(value) for key, value in rows)
            if size_bytes >= SEGMENT_BYTES or stored.height - first + 1 >= SEGMENT_BLOCKS:
                yield records, (first, stored.height)
                records, size_bytes, first = [], 0, 0
            last = stored.height
        if records:
            yield records, (first, last)

    # ------------------------------------------------------------ the state and the home

    def _state(self, generation: int, certified: Checkpoint) -> Iterator[Part]:
        """Write the closing checkpoints and the state at a checkpoint."""
        height = certified.height
        closings = self._reader.range(numbered(b"K", 0), numbered(b"K", certified.epoch + 1))
        closed = (pair for pair in closings if certified.closes_epoch or pair[0] < numbered(b"K", certified.epoch))
        state = walk_state(StoredRecords(self._reader), root_record(self._reader, height), height, certified.state_root)
        records: list[tuple[bytes, bytes]] = []
        size_bytes, number = 0, 1
        for pair in chain(closed, state):
            records.append(pair)
            size_bytes += len(pair[0]) + len(pair[1])
            if size_bytes >= SEGMENT_BYTES:
                yield self._write_state(generation, number, records)
                records, size_bytes, number = [], 0, number + 1
        if records:
            yield self._write_state(generation, number, records)

    def _write_state(self, generation: int, number: int, records: list[tuple[bytes, bytes]]) -> Part:
        self._records += len(records)
        self._tell(Progress(0, 0, self._records))
        return self._folder.write(f"state-{generation:08}-{number:08}", pack(records))

    def _home_part(self, generation: int) -> tuple[Part, tuple[str, ...]]:
        files, omitted = home_files(self._home)
        return self._folder.write(f"home-{generation:08}", pack(files)), omitted


def home_files(home: Home) -> tuple[list[tuple[bytes, bytes]], tuple[str, ...]]:
    """A home's files as records of a backup, by their paths in it, and the names of those that are left out.

    Raises:
        BackupError: A key that votes lies where another one belongs, or there are too many certificates.
        KeyFileError: A key file is malformed.
        StorageError: A file can't be read.
    """
    trusted = sorted(home.trusted.glob("*.pem")) if home.trusted.is_dir() else []
    if len(trusted) > TRUSTED_MAX:
        raise BackupError(f"{home.trusted} holds more than {TRUSTED_MAX} certificates; remove those not in use")
    paths = [home.genesis, home.config, home.tls_key, home.tls_certificate, *trusted]
    if home.organisation_key.exists():
        purpose, _, _ = load_public_key(home.organisation_key)
        if purpose is Purpose.VALIDATOR:
            raise BackupError(f"{home.organisation_key} holds a key that votes, which no backup may hold")
        paths.append(home.organisation_key)
    records = [(str(path.relative_to(home.root)).encode(), _read(path)) for path in paths if path.exists()]
    omitted = (home.validator_key, home.journal)
    return records, tuple(str(path.relative_to(home.root)) for path in omitted if path.exists())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(HOME_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from None
    if len(raw) > HOME_FILE_BYTES_MAX:
        raise BackupError(f"{path} is larger than any file of a node's home")
    return raw


def _left_edge(reader: Reader, first_leaf: int) -> list[bytes]:
    """What stands left of an entry in the tiles in which it lies."""
    try:
        return Log(reader, LOG_PREFIX, first_leaf, first_leaf).left_edge(first_leaf)
    except AssertionError as error:
        raise StorageError(f"the log's edge at its first entry {first_leaf} is damaged ({error})") from None


def _segment_name(history: list[Part]) -> str:
    """Of the next segment of history."""
    return f"history-{sum(part.name != BASE_NAME for part in history) + 1:08}"


def _heights(records: list[tuple[bytes, bytes]]) -> list[int]:
    return [int.from_bytes(key[1:]) for key, _ in records if key[:1] == b"B"]


def _last_checkpoint(records: list[tuple[bytes, bytes]]) -> Checkpoint | None:
    found = [(key, value) for key, value in records if key[:1] == b"C"]
    return decode_checkpoint(*found[-1]) if found else None


def _base_horizon(records: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    horizon = Horizon.decode(dict(records).get(b"MH", b""))
    return horizon.oldest_block, horizon.first_leaf
