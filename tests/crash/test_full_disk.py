# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: the node says so and ends, and starts by itself once there is room."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.exits import NodeExit
from tests.crash.drill import Drill, defects_in
from tests.crash.load import Clients
from tests.crash.rig import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

FULL = 3
DISK_MIB = 64


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own under a folder, with what lay there."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets not even root mount a disk; failing writes are tested without it")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk; failing writes are tested without it")
async def test_node_whose_disk_is_full_says_so_ends_and_goes_on_once_there_is_room(
    network: Network, clients: Clients
) -> None:
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    await network.stop(FULL)
    data = network.homes[FULL].root / "data"
    with _small_disk(data):
        await network.start(FULL)
        clients.start()
        await network.until_certified(await network.height() + 1, [FULL])
        _fill(data / "filler")
        assert await network.ended(FULL) == NodeExit.WORLD
        assert "check the disk's space" in network.last_words(FULL)
        await network.start(FULL)
        assert await network.ended(FULL) == NodeExit.WORLD, "it starts on a full disk"
        assert "zhixin node: " in network.last_words(FULL)
        assert await clients.more(20, 30), "the others go on"
        (data / "filler").unlink()
        await network.start(FULL)
        await network.until_certified(await network.height() + 1, [FULL])
        tally = await Drill(network, clients, seed=0).finish()
        assert not tally.problems
    assert not defects_in(network, FULL)
