# SPDX-License-Identifier: Apache-2.0
"""Services beside a demonstration: each a process of its own, noted in a file, which ends with the demonstration.

Whatever a crash leaves running is found by its note and ended by the next demonstration in the same folder.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from cli.devnet import process
from cli.devnet.ports import choose_base, is_free
from cli.devnet.process import Identity
from cli.errors import WorldError
from cli.language import t
from cli.scenes.stage import Stage

READY_S_MAX = 60.0
"""From its start until its index has caught up with the scenes before it; seconds on an idle machine."""
POLL_S = 0.2
STOP_S_MAX = 15.0
"""A service that is told to stop lets requests end for ten seconds."""
NOTES = "served"
"""Folder of the notes, below the demonstration's."""


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs beside a scene.

    Attributes:
        origin: Where browsers find it.
        log: What it says.
    """

    origin: str
    log: Path
    identity: Identity

    async def ready(self) -> None:
        """Wait until it can do its work.

        Raises:
            WorldError: It ended, or took too long; the message names its log.
        """
        deadline = asyncio.get_running_loop().time() + READY_S_MAX
        async with httpx.AsyncClient(base_url=self.origin, timeout=5) as web:
            while process.identify(self.identity.pid) == self.identity:
                try:
                    if (await web.get("/ready")).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass  # it does not listen yet, or is busy
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(POLL_S)
        raise WorldError("demo.service", t("demo.service", log=self.log))


def serve(stage: Stage, service: str, port: int, more: str = "") -> Served:
    """Start a service in front of the demonstration's network; it ends with the demonstration.

    Args:
        stage: Where it plays; settings, data and log lie in its folder.
        service: As in `zhixin serve SERVICE`.
        port: The one that it takes if it is free; else any other.
        more: Further settings, as TOML.

    Raises:
        WorldError: No port is free.
    """
    taken = port if is_free(port) else choose_base(1, None)
    genesis, index = (path.resolve() for path in (stage.network.home.genesis_path, stage.folder / "index"))
    lines = [
        f"[ledger]\ngenesis = {json.dumps(str(genesis))}",
        f"[index]\nfolder = {json.dumps(str(index))}",
        f'[addresses.{service}]\nlisten = "127.0.0.1:{taken}"',
        more,
    ]
    settings = stage.folder / f"{service}.toml"
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    log = stage.folder / f"{service}.log"
    argv = [sys.executable, "-m", "cli", "serve", service, "--settings", str(settings.resolve())]
    identity = process.spawn(argv, log=log, pid_file=stage.network.root / NOTES / f"{service}.pid")
    return Served(f"http://localhost:{taken}", log, identity)


def end_services(root: Path) -> None:
    """End the services that a demonstration in this folder has started."""
    for note in sorted((root / NOTES).glob("*.pid")):
        identity = process.find(note)
        if identity is not None:
            process.end(identity, grace_s=STOP_S_MAX)
        note.unlink(missing_ok=True)
