# SPDX-License-Identifier: Apache-2.0
"""A node is backed up and audited while it works; wiped and restored it follows again, and does not vote."""

import asyncio
import shutil
from pathlib import Path

import pytest
from harness import Processes, Registrar

from chain.memory import MemoryDatabase
from client.pb import node_service_pb2 as pb
from node.audit import AuditReport, audit
from node.audit_work import InlineWorkers
from node.backup import Created, create
from node.backup_keys import Secret
from node.backup_restore import Restored, restore
from node.config import Home
from node.local import open_reader

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

SECRET = Secret("key-file", bytes(32))
VICTIM = 3


def back_up(home: Home, path: Path) -> Created:
    with open_reader(home) as reader:
        return create(home, reader, path, SECRET, 0)


def look_through(home: Home, processes: Processes) -> AuditReport:
    with open_reader(home) as reader:
        return audit(reader, processes.genesis, MemoryDatabase(), InlineWorkers())


def put_back(home: Home, path: Path) -> Restored:
    return restore(path, SECRET, home, InlineWorkers())


async def test_node_backed_up_under_load_is_wiped_restored_and_follows_without_a_vote(
    processes: Processes, registrar: Registrar, tmp_path: Path
) -> None:
    processes.start(0, 1, 2, 3)
    home, path = processes.homes[VICTIM], tmp_path / "backup"
    first = [registrar.attestation() for _ in range(300)]
    await registrar.submit(0, first)
    await registrar.submit(VICTIM, [registrar.attestation()])  # its receipt: this node has a certified checkpoint

    # Both while blocks are being made.
    async with asyncio.TaskGroup() as group:
        group.create_task(registrar.submit(0, [registrar.attestation() for _ in range(600)]))
        made = await asyncio.to_thread(back_up, home, path)
        report = await asyncio.to_thread(look_through, home, processes)
    assert made.height > 0
    await registrar.submit(0, [registrar.attestation()])  # a block above the backup's, though all 600 were quick
    assert (report.fault, report.scope is not None and report.scope.base) == (None, None)
    assert report.entries >= len(first)

    key = home.validator_key.read_bytes()
    processes.kill(VICTIM)
    shutil.rmtree(home.root)
    restored = await asyncio.to_thread(put_back, home, path)
    assert restored.checked.checkpoint.height == made.height
    report = await asyncio.to_thread(look_through, home, processes)
    assert report.fault is None
    assert report.scope is not None
    assert report.scope.tip.state_root.hex() == made.state_root

    # Though somebody puts the old key back: its journal is gone, so it is muted.
    home.validator_key.write_bytes(key)
    home.validator_key.chmod(0o600)
    processes.start(VICTIM)
    reached = (await registrar.status(0)).executed_height
    status = await registrar.wait_for_height(VICTIM, reached)
    assert status.executed_height > made.height
    assert "muted" in processes.log(VICTIM)
    await registrar.submit(VICTIM, [registrar.attestation() for _ in range(20)])
    assert status.role == pb.ROLE_MUTED
    report = await asyncio.to_thread(look_through, home, processes)
    assert report.fault is None
