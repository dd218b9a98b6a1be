# SPDX-License-Identifier: Apache-2.0
"""Each kind of file of a stopped node is damaged: the node says what is wrong and ends, or heals, or does not vote."""

import asyncio
import random
import re
import shutil
from pathlib import Path

import pytest

from chain import genesis
from client.pb import node_service_pb2 as pb
from node import fsck
from node.errors import StorageError
from node.exits import NodeExit
from node.home import Home
from node.local import open_reader
from tests.crash.damage import DAMAGES, FILES
from tests.crash.drill import Drill, defects_in
from tests.crash.load import Clients
from tests.crash.rig import Network, Stuck

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

VICTIM = 3
UNREAD_SECONDS = 10.0
"""A node that reads a damaged part at its start ends well within."""
HEALS = {
    # What is missing is like what a power cut takes; it comes from the peers.
    "ledger log": ("truncate", "empty", "remove"),
    # Nothing tells synced votes that are missing at the end from votes that were never cast; see the rig's page.
    "journal log": ("truncate",),
}
MUTED = {
    "journal log": ("empty", "remove"),
    "mark": ("flip", "truncate", "empty"),
}
RUNS = {
    # The journal bears the mark of the last start, which is written into the home anew.
    "mark": ("remove",),
    # Without it the node reports evidence to its operator instead of to the ledger.
    "organisation key": ("remove",),
}
REFUSED = {
    "genesis": r"genesis|validators\[|sections",
    "settings": "allow_plain|TOML",
    "validator key": "validator.json",
    "organisation key": "organisation.json",
    "tls key": "key.json",
    "tls certificate": "certificate.pem",
}
"""Words of the sentence with which a node ends that refuses a small file."""


async def _prepare(network: Network, clients: Clients, target: Path) -> None:
    """Some work, a restart so that each database has a table, some more work; then a copy of the victim's home."""
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    clients.start()
    assert await clients.more(30, 30)
    await network.stop(VICTIM)
    await network.start(VICTIM)
    await network.until_certified(await network.height() + 1, [VICTIM])
    assert await clients.more(30, 30)
    await network.kill(VICTIM)
    network.copy_home(VICTIM, target)


def _damage(network: Network, good: Path, file: str, damage: str) -> None:
    home = network.homes[VICTIM]
    shutil.rmtree(home.root)
    shutil.copytree(good, home.root)
    network.log(VICTIM).write_text("")
    DAMAGES[damage](FILES[file](home), random.Random(f"{file} {damage}"))


async def _must_refuse(network: Network, code: NodeExit, words: str, where: str) -> None:
    """The node ends with a sentence, not with a trace."""
    _check_refusal(network, await network.ended(VICTIM), code, words, where)


def _check_refusal(network: Network, ended: int, code: NodeExit, words: str, where: str) -> None:
    assert ended == code, where
    said = [line for line in network.log(VICTIM).read_text().splitlines() if line.startswith("zhixin node: ")]
    assert len(said) == 1, where
    assert re.search(words, said[0]), f"{where}: {said[0]}"
    assert defects_in(network, VICTIM) == [], where


async def _refuses_or_is_found(network: Network, where: str) -> None:
    """No start reads all of a ledger: damage in a part that nobody asked for is found by a check."""
    try:
        ended = await network.ended(VICTIM, UNREAD_SECONDS)
    except Stuck:
        await network.kill(VICTIM)
        assert _finds(network.homes[VICTIM]), where
    else:
        _check_refusal(network, ended, NodeExit.WORLD, "restore the directory", where)


def _finds(home: Home) -> bool:
    """Whether `zhixin fsck` would name the damage."""
    try:
        with open_reader(home) as reader:
            return bool(fsck.check(reader, genesis.load(home.genesis.read_bytes()), signatures=False))
    except StorageError:
        return True


async def test_node_with_a_damaged_database_refuses_or_heals(
    network: Network, clients: Clients, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    await _prepare(network, clients, good)
    for file in FILES:
        if not file.startswith(("ledger", "journal")):
            continue
        for damage in DAMAGES:
            where = f"{file}: {damage}"
            _damage(network, good, file, damage)
            await network.start(VICTIM)
            if damage in HEALS.get(file, ()):
                await network.until_certified(await network.height() + 1, [VICTIM])
                await network.kill(VICTIM)
            elif damage in MUTED.get(file, ()):
                await network.until(VICTIM, lambda status: status.role == pb.ROLE_MUTED)
                await network.kill(VICTIM)
            elif where == "ledger table: flip":
                await _refuses_or_is_found(network, where)
            else:
                words = "this key must not vote again" if file.startswith("journal") else "restore the directory"
                await _must_refuse(network, NodeExit.WORLD, words, where)
    _damage(network, good, "ledger log", "remove")
    await network.start(VICTIM)
    tally = await Drill(network, clients, seed=0).finish()
    assert not tally.problems


async def test_node_with_a_damaged_small_file_refuses_or_does_not_vote(
    network: Network, clients: Clients, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    await _prepare(network, clients, good)
    for index in range(VICTIM):
        await network.kill(index)
    for file in FILES:
        if file.startswith(("ledger", "journal")):
            continue
        for damage in DAMAGES:
            where = f"{file}: {damage}"
            if where in {"settings: flip", "validator key: remove"}:
                continue  # one may alter a comment, and the other makes a follower: neither is damage to be seen
            _damage(network, good, file, damage)
            await network.start(VICTIM)
            if damage in MUTED.get(file, ()) + RUNS.get(file, ()):
                role = (await network.until(VICTIM, lambda _: True)).role
                assert role == (pb.ROLE_VALIDATOR if damage in RUNS.get(file, ()) else pb.ROLE_MUTED), where
                await network.kill(VICTIM)
            else:
                await _must_refuse(network, NodeExit.REFUSED, REFUSED[file], where)
