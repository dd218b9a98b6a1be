# SPDX-License-Identifier: Apache-2.0
"""Directories that older programs wrote: each format migrates to the present one and says what it said before.

The archives in `tests/data/formats` were made by `tests/make_format_fixture.py` at the last commit of their format.
"""

import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from chain import genesis as genesis_file
from chain.certificate import BlsScheme
from chain.ledger import Ledger
from chain.light_client import TrustAnchor, advance
from chain.memory import MemoryDatabase
from chain.transaction import decode
from chain.types import Epoch, Height
from node.errors import StorageError
from node.leveldb import LevelDatabase
from node.modules import ledger_modules
from node.store import LedgerStore
from node.store_keys import FORMAT, FORMAT_KEY, HORIZON_KEY
from tests.certified_ledger import CertifiedLedger
from tests.make_format_fixture import facts_of

FORMATS = Path(__file__).resolve().parent.parent / "data" / "formats"
ARCHIVES = sorted(FORMATS.glob("format-*.tar.xz"))


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.name.partition(".")[0])
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def facts(folder: Path) -> dict[str, object]:
    return json.loads((folder / "facts.json").read_text())


def test_every_older_format_has_its_fixture() -> None:
    assert [archive.name for archive in ARCHIVES] == [f"format-{number}.tar.xz" for number in range(1, FORMAT)]


def test_directory_of_an_older_format_says_after_its_migration_what_it_said_before(unpacked: Path) -> None:
    expected = facts(unpacked)
    with LevelDatabase(unpacked / "ledger") as database:
        assert database.get(FORMAT_KEY) == expected.pop("format").to_bytes(4)
        store = LedgerStore(database)
        assert database.get(FORMAT_KEY) == FORMAT.to_bytes(4)
        assert facts_of(store) == expected
        assert (store.oldest_block, store.first_leaf) == (1, 0)
    with LevelDatabase(unpacked / "ledger") as database:
        assert facts_of(LedgerStore(database)) == expected


def test_migrated_ledger_executes_the_next_block_like_one_that_never_was_of_another_format(unpacked: Path) -> None:
    loaded = genesis_file.load((unpacked / "genesis.json").read_bytes())
    fresh = CertifiedLedger(MemoryDatabase())
    assert fresh.genesis == loaded
    with LevelDatabase(unpacked / "ledger") as database:
        registry, authority = ledger_modules()
        store = LedgerStore(database)
        ledger = Ledger(store, loaded, registry, authority)
        for height in range(1, store.height + 1):
            found = [decode(raw) for raw in store.transactions(Height(height))]
            fresh.append(*found, certified=False)
        assert fresh.ledger.tip() == ledger.tip()
        following = fresh.append(fresh.attest(9_999), certified=False)
        assert ledger.execute(following.block, following.transactions).checkpoint == following.checkpoint
        anchor = advance(TrustAnchor.from_genesis(loaded), store.proofs.closings(Epoch(1), 9), BlsScheme())
        assert anchor.epoch == following.block.epoch == 2


class FailingDatabase(MemoryDatabase):
    """A disk whose next write fails; what it was to write may be there or not."""

    persists = False
    fails = True

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, sync: bool = True) -> None:
        if self.persists or not self.fails:
            super().write(puts, deletes, sync=sync)
        if self.fails:
            raise StorageError("the disk went away")


@pytest.mark.parametrize("persists", [False, True])
def test_migration_whose_write_failed_is_done_whole_or_not_at_all(unpacked: Path, persists: bool) -> None:
    with LevelDatabase(unpacked / "ledger") as database:
        pairs = dict(database.range(b"", b"\xff"))
    disk = FailingDatabase(pairs)
    disk.persists = persists
    with pytest.raises(StorageError):
        LedgerStore(disk)
    assert (disk.get(FORMAT_KEY) == FORMAT.to_bytes(4)) == (disk.get(HORIZON_KEY) is not None) == persists
    disk.fails = False
    assert LedgerStore(disk).height == len(facts(unpacked)["checkpoints"])


@pytest.mark.parametrize(("number", "advice"), [(FORMAT + 1, "newer program"), (0, "damaged")])
def test_format_that_this_program_does_not_know_is_refused_with_what_to_do(number: int, advice: str) -> None:
    database = MemoryDatabase()
    CertifiedLedger(database)
    database.write({FORMAT_KEY: number.to_bytes(4)})
    with pytest.raises(StorageError, match=advice):
        LedgerStore(database)
    assert database.get(FORMAT_KEY) == number.to_bytes(4)
