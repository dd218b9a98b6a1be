# SPDX-License-Identifier: Apache-2.0
"""A ledger that joined by a copy, and one that grew on it, are as sound as one that has all: the check says so."""

import pytest

from chain.certificate import BlsScheme
from chain.light_client import TrustAnchor, advance
from chain.memory import MemoryDatabase
from chain.snapshot import Children, SnapshotHead, verify_head, verify_part, verify_tail
from chain.types import Epoch, Height
from node.copies import Copies
from node.fsck import Kind, check
from node.install import Installer
from node.store_keys import HORIZON_KEY, Horizon, numbered
from tests.certified_ledger import CertifiedLedger

BLOCKS = 24
CLOSED_AT = 12


class Disk(MemoryDatabase):
    """Memory is always flushed."""

    def flush(self) -> None:
        """Nothing to do."""


@pytest.fixture(scope="module")
def made() -> CertifiedLedger:
    """Two epochs over 24 minutes, so that the copy leaves out entries whose ids can't come again."""
    ledger = CertifiedLedger(MemoryDatabase(), block_ms=60_000)
    ledger.grow(CLOSED_AT - 1)
    ledger.append(*ledger.replace_validator("roads", 2))
    ledger.grow(BLOCKS - CLOSED_AT, first=CLOSED_AT)
    return ledger


def copied(made: CertifiedLedger, height: int) -> Disk:
    """What a newcomer has after joining at a height."""
    copies = Copies(made.database.snapshot())
    disk = Disk()
    closings = copies.closings(Epoch(1), 10)
    anchor = advance(TrustAnchor.from_genesis(made.genesis), closings, BlsScheme())
    anchor = anchor.at(made.executions[height - 1].block.epoch)
    head: SnapshotHead = verify_head(copies.head(Height(height)), anchor, BlsScheme())
    installer = Installer(disk, head, closings)
    wanted = [(b"", head.checkpoint.state_root)]
    while wanted:
        path, expected = wanted.pop()
        part = verify_part(copies.state(Height(height), path), path, expected, Height(height))
        if isinstance(part, Children):
            wanted += part.below()
        installer.add_state(part)
    while installer.next_leaf < head.checkpoint.log_size:
        raw = copies.tail(Height(height), installer.next_leaf)
        installer.add_tail(verify_tail(raw, installer.next_leaf, head.checkpoint))
    installer.finish()
    return disk


@pytest.mark.parametrize("height", [CLOSED_AT, CLOSED_AT + 1, 20, BLOCKS])
def test_copy_of_a_ledger_has_no_problem(made: CertifiedLedger, height: int) -> None:
    disk = copied(made, height)
    horizon = Horizon.decode(disk.get(HORIZON_KEY) or b"")
    assert horizon.oldest_block == height
    assert horizon.first_leaf > 0
    assert check(disk, made.genesis) == []


def test_ledger_that_grew_on_a_copy_has_no_problem_and_a_fault_below_its_blocks_is_found(made: CertifiedLedger) -> None:
    disk = copied(made, 20)
    ledger = CertifiedLedger(disk, block_ms=60_000)
    ledger.secrets |= made.secrets
    ledger.salt = 1_000
    ledger.grow(5, first=100)
    assert check(disk, made.genesis) == []
    first_leaf = Horizon.decode(disk.get(HORIZON_KEY) or b"").first_leaf
    pairs = disk.pairs()
    key = numbered(b"E", first_leaf)
    del pairs[key]
    assert (key, Kind.MISSING) in {
        (problem.key, problem.kind) for problem in check(MemoryDatabase(pairs), made.genesis)
    }


def test_copy_that_was_never_finished_is_named(made: CertifiedLedger) -> None:
    disk = copied(made, 20)
    disk.write({b"MI": disk.get(b"MT") or b""})
    (problem,) = check(disk, made.genesis)
    assert (problem.key, problem.kind) == (b"MI", Kind.SURPLUS)
