# SPDX-License-Identifier: Apache-2.0
"""Reads a stopped node's home for the checker, past the node's own store."""

from collections.abc import Iterator, Sequence

import plyvel

from chain.certificate import BlsScheme, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, ValidatorSet
from chain.codec import decode
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.log import leaf_hash, verify_consistency, verify_inclusion
from chain.pb import ledger_pb2 as pb
from chain.types import Epoch, Height
from node import fsck
from node.config import Home
from node.leveldb import LevelDatabase
from node.store import LedgerStore
from node.store_keys import HORIZON_KEY
from tests.crash.history import Replica

CERTIFICATE_BYTES_MAX = 4096


def read_replica(home: Home) -> Replica:
    """All that the checker looks at; the node must not run."""
    replica = Replica(home.root.name)
    tables = {b"E": replica.entries, b"B": replica.blocks, b"C": replica.checkpoints, b"Q": replica.certified}
    database = plyvel.DB(str(home.ledger), paranoid_checks=True)
    try:
        for letter, table in tables.items():
            pairs = database.iterator(start=letter, stop=bytes([letter[0] + 1]), verify_checksums=True)
            table.update((int.from_bytes(key[1:]), value) for key, value in pairs)
        raw = database.get(HORIZON_KEY, verify_checksums=True)
    finally:
        database.close()
    if raw is not None:
        replica.oldest_block, replica.first_leaf = int.from_bytes(raw[:8]), int.from_bytes(raw[8:])
    return replica


def check_proofs(home: Home) -> list[str]:
    """Whether a stopped node proves each entry that it holds in its newest checkpoint's log, and that it only grew."""
    with LevelDatabase(home.ledger) as database:
        store = LedgerStore(database)
        newest = store.newest()
        assert newest is not None
        try:
            for index, raw in enumerate(store.entries(store.first_leaf, newest.log_size), store.first_leaf):
                path = store.prove_inclusion(index, newest.log_size)
                verify_inclusion(leaf_hash(raw), index, newest.log_size, path, newest.log_root)
            for height in range(store.oldest_block, newest.height + 1):
                older = store.checkpoint(Height(height))
                assert older is not None
                path = store.prove_consistency(older.log_size, newest.log_size)
                verify_consistency(older.log_size, newest.log_size, path, older.log_root, newest.log_root)
        except LedgerError as error:
            return [f"{home.root.name}: a proof does not verify: {error!r}"]
    return []


def read_sets(home: Home) -> Iterator[ValidatorSet]:
    """The lists of later epochs' validators as a stopped node holds them; certificates decide whether they hold."""
    database = plyvel.DB(str(home.ledger), paranoid_checks=True)
    try:
        for _, raw in database.iterator(start=b"V", stop=b"W", verify_checksums=True):
            yield ValidatorSet.decode(raw)
    finally:
        database.close()


def check_tables(home: Home, genesis: Genesis) -> list[str]:
    """What `node.fsck` finds in a stopped node's ledger; certificates' signatures have a check of their own here."""
    with LevelDatabase(home.ledger) as reader:
        found = fsck.check(reader, genesis, signatures=False)
    return [f"{home.root.name}: {problem}" for problem in found]


def check_certificates(replicas: Sequence[Replica], genesis: Genesis, lists: Sequence[ValidatorSet]) -> Iterator[str]:
    """Each certificate of each replica verifies against the set that genesis and the closing checkpoints lead to."""
    sets = {genesis.validators.epoch: genesis.validators}
    by_digest = {validators.digest(): validators for validators in lists}
    verified: set[bytes] = set()
    for replica in replicas:
        for height, raw in sorted(replica.certified.items()):
            if raw in verified:
                continue
            try:
                certified = CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, raw, CERTIFICATE_BYTES_MAX))
                epoch = Epoch(pb.Checkpoint.FromString(certified.checkpoint).epoch)
                checkpoint = verify_checkpoint(certified, sets[epoch], genesis.network, BlsScheme())
            except (LedgerError, KeyError) as error:
                yield f"{replica.name}: the certificate at height {height} does not verify: {error!r}"
                continue
            verified.add(raw)
            if checkpoint.closes_epoch:
                following = by_digest[checkpoint.next_validators]
                sets[following.epoch] = following
