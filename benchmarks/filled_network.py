# SPDX-License-Identifier: Apache-2.0
"""A test network whose ledger is full already: real transactions, executed by the real ledger, certified by all keys.

No node runs meanwhile: one process orders, executes and signs, and each validator's home gets a copy of the ledger with
a journal that says where the vote stands. So a ledger of a million entries takes minutes and not hours.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

from chain import bls, genesis
from chain.certificate import BlsScheme, Certificate, checkpoint_message, combine, vote_message
from chain.checkpoint import CertifiedCheckpoint
from chain.codec import encode
from chain.consensus.block import Block
from chain.consensus.journal import NewestCheckpoint, Record, StoredCertificate
from chain.ed25519 import Ed25519Signer
from chain.ledger import Ledger
from chain.pb import ledger_pb2
from chain.transaction import Operation, SignedTransaction, build
from chain.types import TRANSACTION_LIFETIME_MS_MAX, BlsKey, Height, Millis, View
from identity.pb import identity_pb2
from node.config import BASE_PORT, Home
from node.disk import open_disk
from node.keys import Purpose, load_key
from node.leveldb import LevelDatabase
from node.modules import ledger_modules
from node.store import LedgerStore
from node.testnet import REGISTRAR, Testnet, create_testnet

VALIDATORS = 4
BLOCK_TRANSACTIONS = 10_000
"""Some 2.5 MB: well within a block's 4 MiB."""
BLOCK_INTERVAL_MS = 20_000
"""As if 500 transactions a second had come: a newcomer takes the entries of the last five minutes too."""
AGE_MARGIN_MS = 60_000
"""The newest block is older than this: no node's clock is behind it."""


def filled_network(
    directory: Path,
    keys: int,
    base_port: int = BASE_PORT,
    *,
    empty_blocks: int = 0,
    block_transactions: int = BLOCK_TRANSACTIONS,
) -> Testnet:
    """Make a network whose ledger has so many state keys and entries, none of its nodes running.

    Args:
        directory: Made; must hold no network yet.
        keys: How many; each is the status of one attestation, set by one transaction.
        base_port: Of the network.
        empty_blocks: So many more blocks at the end. The last one of all is certified, and each with transactions.
        block_transactions: So many in a block.
    """
    blocks = -(-keys // block_transactions) + empty_blocks
    age = dt.timedelta(milliseconds=blocks * BLOCK_INTERVAL_MS + AGE_MARGIN_MS)
    net = create_testnet(directory, VALIDATORS, base_port, now=dt.datetime.now(dt.UTC) - age)
    key = genesis.load(net.genesis.read_bytes()).network
    for home in net.homes:  # the journal is made before the ledger: else it would count as lost
        open_disk(home, key, _bls_key(home), archive=False).close()
    first = net.homes[0]
    records = _fill(net, keys, blocks, block_transactions)
    for home in net.homes:
        if home is not first:
            shutil.rmtree(home.ledger)
            shutil.copytree(first.ledger, home.ledger)
        with LevelDatabase(home.journal) as journal:
            journal.write({record.key: record.value for record in records})
    return net


def _fill(net: Testnet, keys: int, blocks: int, block_transactions: int) -> tuple[Record, ...]:
    """Append blocks to the first validator's ledger; what each journal must say of the last one."""
    founding = genesis.load(net.genesis.read_bytes())
    secrets = {_bls_key(home): bls.SecretKey(_secret(home.validator_key, Purpose.VALIDATOR)) for home in net.homes}
    members = founding.validators

    def sign(message: bytes) -> tuple[bytes, bytes]:
        signatures = {place: secrets[key].sign(message) for place, key in enumerate(members.keys)}
        return combine(signatures, len(members.keys), BlsScheme())

    records: tuple[Record, ...] = ()
    with LevelDatabase(net.homes[0].ledger) as database:
        store = LedgerStore(database)
        ledger = Ledger(store, founding, *ledger_modules())
        for transactions in _blocks(net, founding, keys, blocks, block_transactions):
            tip = ledger.tip()
            time_ms = Millis(tip.time_ms + BLOCK_INTERVAL_MS)
            digests = tuple(transaction.digest for transaction in transactions)
            height = Height(tip.height + 1)
            block = Block.make(members.epoch, View(height), height, tip.block_id, time_ms, digests)
            execution = ledger.execute(block, transactions)
            ledger.commit(execution)
            store.prune()
            if not transactions and height != blocks:
                continue
            raw = execution.checkpoint.encode()
            certified = CertifiedCheckpoint(raw, *sign(checkpoint_message(founding.network, raw)))
            store.proofs.save_certified(certified, execution.checkpoint)
            kind = ledger_pb2.KIND_FINALIZE
            vote = vote_message(kind, founding.network, members.epoch, block.view, block.id)
            finalization = Certificate(kind, members.epoch, block.view, block.id, *sign(vote))
            store.proofs.save_finalization(height, finalization)
            records = (NewestCheckpoint(certified), StoredCertificate(finalization))
    return records


def _blocks(
    net: Testnet, founding: genesis.Genesis, keys: int, blocks: int, block_transactions: int
) -> Iterator[list[SignedTransaction]]:
    """Each block's transactions: one registrar revokes one attestation in each, and the last blocks are empty."""
    signer = Ed25519Signer(_secret(net.organisation_keys[REGISTRAR], Purpose.ORGANISATION))
    for first in range(0, blocks * block_transactions, block_transactions):
        height = first // block_transactions + 1
        expires = Millis(founding.time_ms + height * BLOCK_INTERVAL_MS + TRANSACTION_LIFETIME_MS_MAX // 2)
        transactions = []
        for number in range(first, min(keys, first + block_transactions)):
            message = identity_pb2.SetStatus(
                id=number.to_bytes(16),
                status=identity_pb2.STATUS_REVOKED,
                reason=identity_pb2.REASON_SUPERSEDED,
            )
            operation = Operation.make("identity.SetStatus", encode(message))
            transactions.append(build([operation], [signer], expires, number.to_bytes(16), founding.network))
        yield transactions


def _bls_key(home: Home) -> BlsKey:
    return BlsKey(load_key(home.validator_key, Purpose.VALIDATOR, None, allow_plain=True).public_key)


def _secret(path: Path, purpose: Purpose) -> bytes:
    return load_key(path, purpose, None, allow_plain=True).secret
