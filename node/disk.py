# SPDX-License-Identifier: Apache-2.0
"""A node's files, opened together: the lock, the ledger's database, the vote journal and whose it is.

Two processes that vote with one key would fork the ledger, so the home is locked; and a journal that is not the one
that this key wrote is worse than none, so it bears the key, the network and a mark that the home bears too.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain.checkpoint import Checkpoint
from chain.consensus import journal
from chain.consensus.journal import Durable, Muted, StoredClosing
from chain.errors import InvalidMessage
from chain.transaction import SignedTransaction, decode
from chain.types import FIRST_EPOCH, BlsKey, Network
from node.config import Home
from node.errors import ConfigError, StorageError
from node.exchange import finish_exchange, sync_folder
from node.leveldb import LevelDatabase
from node.store import LedgerStore

_OWNER = b"\x00owner"
_MARK = b"\x00mark"
_MARK_BEFORE = b"\x00mark-before"
"""Keys of the journal's database that the core's records, which begin with letters, can't meet."""
MARK_BYTES = 16
_JOURNAL_LOST = (
    "this key must not vote again: move the journal away, and have the validator leave and join with a new key"
)
"""What to do about a damaged journal; an older copy of it would make the validator vote twice."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What a running node holds.

    Attributes:
        bodies: Transactions of the journal's blocks.
        exchanged: A ledger that was taken from peers has just been put in its place.
        close: Gives all of it back.
    """

    database: LevelDatabase
    store: LedgerStore
    journal: LevelDatabase
    durable: Durable
    bodies: tuple[SignedTransaction, ...]
    exchanged: bool
    close: Callable[[], None]


def open_disk(home: Home, network: Network, key: BlsKey | None, *, archive: bool, blocks_kept: int = 0) -> Disk:
    """Lock a home and open its databases.

    Args:
        home: Of the node.
        network: The genesis file's.
        key: The validator's; None for a follower.
        archive: Keep each past state.
        blocks_kept: Prune older ones; 0 keeps all.

    Raises:
        ConfigError: Another process runs here, or the journal is another key's or network's.
        StorageError: A database is damaged or can't be opened.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(lock_home(home))
        exchanged = finish_exchange(home)
        votes = stack.enter_context(LevelDatabase(home.journal, _JOURNAL_LOST))
        _check_owner(home, votes, network, key)
        database = stack.enter_context(LevelDatabase(home.ledger))
        store = LedgerStore(database, archive=archive, blocks_kept=blocks_kept)
        found = store.network()
        if found is not None and found != network:
            raise ConfigError(
                f"{home.ledger} holds the network {found.hex()}, {home.genesis} is of {network.hex()}; "
                "use the genesis file that the databases were made with, or another home"
            )
        lost = _is_lost(home, votes, store, key)
        if lost and key is not None:
            # Before the new mark, which would hide on the next start that anything was lost.
            votes.write({Muted(key).key: Muted(key).value})
        _mark(home, votes, network, key)
        _lead_to_ledger(votes, store)
        durable, bodies = _read_journal(home, votes, lost=lost)
        return Disk(database, store, votes, durable, bodies, exchanged, stack.pop_all().close)


def size_on_disk(folder: Path) -> int:
    """What the files of a database take, in bytes; those that go while they are counted count for nothing."""
    total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def lock_home(home: Home) -> Callable[[], None]:
    """Hold the home for this process; a lock ends with its process, however that ends.

    Returns:
        What gives it back.

    Raises:
        ConfigError: Another process holds it.
        StorageError: The lock can't be made.
    """
    try:
        home.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{home.lock} can't be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigError(
            f"another process runs the node in {home.root} or reads its ledger; stop that one first"
        ) from None
    return lambda: os.close(descriptor)


def _check_owner(home: Home, votes: LevelDatabase, network: Network, key: BlsKey | None) -> None:
    owner = votes.get(_OWNER)
    if owner is None:
        return
    if owner[:32] != network:
        raise ConfigError(f"{home.journal} is of another network than {home.genesis}; use another home")
    if key is not None and owner[32:] and owner[32:] != key:
        raise ConfigError(
            f"{home.journal} holds the votes of the key {owner[32:].hex()}, not those of {home.validator_key}; "
            "put that key back, or use a home of its own for this one"
        )


def _is_lost(home: Home, votes: LevelDatabase, store: LedgerStore, key: BlsKey | None) -> bool:
    """Whether this validator has run before with a journal that is not here any more."""
    if key is None:
        return False
    mark = votes.get(_MARK)
    try:
        expected = home.mark.read_bytes()
    except FileNotFoundError:
        return mark is None and store.height > 0
    except OSError as error:
        raise StorageError(f"{home.mark} can't be read: {error.strerror}") from None
    return expected not in {mark, votes.get(_MARK_BEFORE)}


def _lead_to_ledger(votes: LevelDatabase, store: LedgerStore) -> None:
    """Closing checkpoints that the ledger came with belong in the journal before the core sees the ledger."""
    newest = store.newest()
    if newest is None:
        return
    puts = {}
    for closing in store.proofs.closings(FIRST_EPOCH, newest.epoch):
        record = StoredClosing(Checkpoint.decode(closing.certified.checkpoint).epoch, closing)
        if votes.get(record.key) is None:
            puts[record.key] = record.value
    if puts:
        votes.write(puts)


def _mark(home: Home, votes: LevelDatabase, network: Network, key: BlsKey | None) -> None:
    """Bind journal, key and home to each other, by another mark at each start: a journal of an earlier life has not it.

    A crash between the two writes leaves the home's former mark, or none, which the journal still knows; the mark
    itself is put in its place whole, since half of one would count as a lost journal, and the key would never vote
    again.
    """
    mark = secrets.token_bytes(MARK_BYTES)
    owner = votes.get(_OWNER) or network
    try:
        former = home.mark.read_bytes() if home.mark.exists() else b""
        votes.write({_MARK: mark, _MARK_BEFORE: former, _OWNER: owner if key is None else network + key})
        beside = home.mark.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(mark)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(home.mark)
        sync_folder(home.mark.parent)
    except OSError as error:
        raise StorageError(f"{home.mark} can't be written: {error.strerror}") from None


def _read_journal(home: Home, votes: LevelDatabase, *, lost: bool) -> tuple[Durable, tuple[SignedTransaction, ...]]:
    try:
        durable = journal.load(votes, lost=lost)
        bodies = tuple(decode(raw) for _, raw in votes.range(b"t", b"u"))
    except InvalidMessage as error:
        raise StorageError(f"the vote journal in {home.journal} is damaged ({error.reason}); {_JOURNAL_LOST}") from None
    return durable, bodies
