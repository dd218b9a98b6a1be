# SPDX-License-Identifier: Apache-2.0
"""A node that brings its directory to the present format dies at that write, or the write fails: it is old or new."""

import asyncio
import datetime as dt
import json
import os
import shutil
import signal
import tarfile
import time
from pathlib import Path

import plyvel
import pytest

from chain import genesis
from chain.checkpoint import Checkpoint
from node.config import ClientConfig, Config, Home, KeysConfig, PeerConfig
from node.exits import NodeExit
from node.leveldb import LevelDatabase
from node.setup import make_home
from node.store import LedgerStore
from node.store_keys import EVERYTHING, FORMAT, FORMAT_KEY, HORIZON_KEY
from tests.crash.faulty import set_clock
from tests.crash.plans import Act, Plan
from tests.crash.replicas import check_tables
from tests.crash.rig import END_SECONDS_MAX, ROOT, Process, Spawner
from tests.crash.run import free_base_port
from tests.make_format_fixture import facts_of

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

ARCHIVE = ROOT / "tests" / "data" / "formats" / "format-1.tar.xz"
MIGRATION = "ledger.migration"
LEAVES_NEW = {
    Act.KILL_BEFORE: False,
    Act.FAIL: False,
    Act.TEAR: False,
    Act.KILL_AFTER: True,
    Act.CUT_POWER: True,
    Act.FAIL_PERSISTED: True,
}
"""Whether the directory is of the next format after that."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A follower of the network whose directory an older program left beside it; validators are nowhere."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    home = Home(tmp_path / "node")
    base = free_base_port(1)
    config = Config(
        peer=PeerConfig(listen=f"127.0.0.1:{base}"),
        client=ClientConfig(listen=f"127.0.0.1:{base + 1}"),
        keys=KeysConfig(allow_plain=True),
    )
    now = dt.datetime.now(dt.UTC)
    make_home(home, config, is_validator=False, hosts=("127.0.0.1",), passphrase=None, now=now)
    shutil.copy(tmp_path / "old" / "genesis.json", home.genesis)
    return home


def _records(home: Home) -> dict[bytes, bytes]:
    """All of the ledger as it lies there, looked at in a copy: opening a database heals it."""
    copy = home.root / "copy"
    shutil.copytree(home.ledger, copy)
    database = plyvel.DB(str(copy), paranoid_checks=True)
    try:
        return dict(database.iterator(verify_checksums=True))
    finally:
        database.close()
        shutil.rmtree(copy)


async def _start(spawner: Spawner, home: Home, plan: Plan | None) -> Process:
    argv = [str(home.root), "--clock", str(home.root / "clock"), *(["--plan", str(plan)] if plan else [])]
    return await spawner.start("node", argv, home.root / "log")


async def _run(spawner: Spawner, home: Home, plan: Plan | None = None) -> None:
    """Start, wait until it is ready, stop; a plan must not come to be due."""
    log = home.root / "log"
    log.write_text("")
    process = await _start(spawner, home, plan)
    async with asyncio.timeout(END_SECONDS_MAX):
        while "node.ready" not in log.read_text():
            assert not process.ended.done(), log.read_text()
            await asyncio.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert await process.ended == NodeExit.STOPPED, log.read_text()


async def test_node_that_ends_at_its_migration_has_the_old_format_or_the_new_one_and_goes_on(home: Home) -> None:
    expected = json.loads((home.root.parent / "old" / "facts.json").read_text())
    del expected["format"]
    tip = Checkpoint.decode(bytes.fromhex(expected["tip"]))
    set_clock(home.root / "clock", tip.time_ms + 1000 - time.time_ns() // 1_000_000)  # the ledger's own time
    async with Spawner() as spawner:
        for act in Act:
            shutil.rmtree(home.root / "data", ignore_errors=True)
            shutil.copytree(home.root.parent / "old" / "ledger", home.ledger)
            await _end_and_go_on(spawner, home, act, expected)


async def _end_and_go_on(spawner: Spawner, home: Home, act: Act, expected: dict[str, object]) -> None:
    """One life up to the migration, one that does it, and one that finds nothing to do."""
    old = _records(home)
    new = {**old, FORMAT_KEY: FORMAT.to_bytes(4), HORIZON_KEY: EVERYTHING.encode()}
    assert HORIZON_KEY not in old
    plan = Plan(act, MIGRATION, 1, {Act.TEAR: "3", Act.CUT_POWER: "4", Act.FAIL: "ENOSPC"}.get(act, ""))
    process = await _start(spawner, home, plan)
    assert await asyncio.wait_for(process.ended, END_SECONDS_MAX) == plan.status, (home.root / "log").read_text()
    assert _records(home) == (new if LEAVES_NEW[act] else old)
    if act is Act.FAIL:
        assert "check the disk's space" in (home.root / "log").read_text()
    await _run(spawner, home)
    assert _records(home) == new
    await _run(spawner, home, Plan(Act.KILL_BEFORE, MIGRATION))
    assert _records(home) == new, "a directory of the present format is left as it is"
    assert check_tables(home, genesis.load(home.genesis.read_bytes())) == []
    with LevelDatabase(home.ledger) as database:
        assert facts_of(LedgerStore(database)) == expected
