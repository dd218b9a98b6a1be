# SPDX-License-Identifier: Apache-2.0
"""What `zhixin demo run` does: a network of its own, scenes on it, and a search for what must not be there."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from cli import output
from cli.devnet.network import bring_up, clean, locked, remove
from cli.errors import UsageError, WorldError
from cli.home import DEMO_HOMES
from cli.language import t
from cli.output import emit, note
from cli.run import run_async, until_interrupted
from cli.scenes.registry import Scene, scenes
from cli.scenes.serving import end_services
from cli.scenes.stage import Stage
from cli.scenes.traces import search
from service.logs import configure_logging

VALIDATORS = 4


def play(names: Sequence[str], home: Path | None, base_port: int | None, *, once: bool) -> None:
    """Play scenes on a network that is made for them.

    Args:
        names: Of the scenes; none: all.
        home: The folder; None: the first that no other demonstration uses.
        base_port: Of the network; None: the first that are free.
        once: End, and take everything down; else stay up until interrupted.

    Raises:
        UsageError: A name is no scene's.
        NotHeldError: Something that a scene claims does not hold.
        WorldError: The folder, a port or a built page can't be had.
    """
    known = scenes()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError("demo.unknown", t("demo.unknown", names=", ".join(unknown), known=", ".join(known)))
    chosen = [known[name] for name in dict.fromkeys(names or known)]
    for scene in chosen:
        scene.check()
    with _own_home(home) as root:
        end_services(root)
        if clean(root):
            note(t("demo.leftovers", root=root))
        run_async(_demonstrate(root, chosen, base_port, once=once))
        if once:
            remove(root)


async def _demonstrate(root: Path, chosen: list[Scene], base_port: int | None, *, once: bool) -> None:
    """Bring the network up, play, and take it down again, whatever happens."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    started = monotonic()
    configure_logging("error")  # scenes run parts of services in this process; what they tell stands in its own words
    note(t("demo.starting", count=VALIDATORS, root=root))
    network = await bring_up(root, validators=VALIDATORS, base_port=base_port)
    try:
        note(t("demo.up", seconds=f"{monotonic() - started:.1f}"))
        results: list[dict[str, output.Json]] = []
        words: list[str] = []
        personal: set[str] = set()
        for scene in chosen:
            folder = root / scene.name
            folder.mkdir()
            stage = Stage(network, folder, is_kept=not once)
            await scene.play(stage)
            results.append({"scene": scene.name, "held": True, "claims": stage.held, **stage.facts})
            words += scene.summary(stage)
            personal |= stage.personal
        if personal:
            results.append(_nothing_personal(Stage(network, root), personal))
        seconds = round(monotonic() - started, 1)
        claims = sum(int(str(result["claims"])) for result in results)
        emit({"held": True, "seconds": seconds, "scenes": results, "home": str(root), "kept": not once}, *words)
        note(t("demo.held", claims=claims, seconds=seconds))
        if not once:
            note(t("demo.stays", root=root))
            await until_interrupted()
            note(t("demo.ending"))
    except asyncio.CancelledError:
        note(t("demo.ending"))
        raise KeyboardInterrupt from None
    finally:
        end_services(root)
        network.stop(network.names)


def _nothing_personal(stage: Stage, personal: set[str]) -> dict[str, output.Json]:
    """Search all that the validators keep, and every log, for what the scenes' made-up people are known by.

    Raises:
        NotHeldError: Something is there.
    """
    network = stage.network
    with stage.step(t("demo.private")):
        kept = {path for name in network.names for path in (network.root / name).rglob("*") if path.is_file()}
        done = search(sorted(kept | set(network.root.rglob("*.log"))), personal)
        stage.hold(t("demo.private-held", people=len(personal), files=done.files), done.files and not done.found)
    return {"scene": "private", "held": True, "claims": stage.held, "files": done.files, "bytes": done.size_bytes}


@contextmanager
def _own_home(named: Path | None) -> Iterator[Path]:
    """A folder that no other demonstration uses: the one named, or the first free of .demo, .demo-2 and so on."""
    candidates = [named] if named is not None else DEMO_HOMES
    with ExitStack() as stack:
        for root in candidates:
            try:
                stack.enter_context(locked(root))
            except WorldError:
                if root == candidates[-1]:
                    raise
                continue
            yield root
            return
