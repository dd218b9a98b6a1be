# SPDX-License-Identifier: Apache-2.0
"""The node as a process: settings, logs, signals, and one exit code for each way to end."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import structlog
import uvloop

from chain.errors import LedgerError
from node.collector import tune_collector
from node.config import Home, load_config
from node.disk import lock_home
from node.driver import Halted
from node.errors import ConfigError, KeyFileError, StorageError, TransportError
from node.exits import NodeExit
from node.logs import configure_logging
from node.newcomer import LedgerReady
from node.node import Node, wall_clock_ms

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long the event loop waits at most for a thread that computes; CPython's 5 ms would show in every vote."""
READER_SECONDS_MAX = 600.0
"""How long a node that begins again waits for a reader of its ledger; one that reads on is named, as at any start."""
_POLL_SECONDS = 0.2

log = structlog.get_logger(__name__)


def run(home: Path) -> int:
    """Run the node whose home this is until a signal, and say how it ended.

    Returns:
        An exit code of `node.exits`.
    """
    if not __debug__:
        sys.stderr.write("zhixin checks itself with assertions; start it without python -O and PYTHONOPTIMIZE\n")
        return NodeExit.REFUSED
    place = Home(home)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_early)
    node = _open(place)
    if isinstance(node, NodeExit):
        return node
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    tune_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(node, place))


def _open(home: Home) -> Node | NodeExit:
    """The node over what its home holds now, or how the attempt ended."""
    try:
        config = load_config(home)
        configure_logging(config.logging.level, home.root.name)
        return Node(home, config, os.environ)
    except (ConfigError, KeyFileError, LedgerError) as error:
        return _refuse(error, NodeExit.REFUSED)
    except StorageError as error:
        return _refuse(error, NodeExit.WORLD)


def _stop_early(_number: int, _frame: FrameType | None) -> NoReturn:
    """A signal before the node runs ends it like any later one; what is open already is closed on the way out."""
    raise SystemExit(NodeExit.STOPPED)


async def _run(node: Node, home: Home) -> int:
    """Run until it ends, whichever way; a node that has taken a ledger from its peers begins again with that."""
    loop = asyncio.get_running_loop()
    while True:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop)
        code = NodeExit.STOPPED
        again = False
        try:
            await node.run(lambda: log.info("node.ready"))
        except* LedgerReady:
            again = True
        except* Exception as group:  # noqa: BLE001 - the outermost loop: whatever ended the node becomes an exit code
            code = _end(group, home)
        if again and code is NodeExit.STOPPED:
            await _wait_for_readers(home, node)
        if not again or code is not NodeExit.STOPPED or node.is_stopping:
            return code
        opened = _open(home)
        if isinstance(opened, NodeExit):
            return opened
        node = opened
        tune_collector()


async def _wait_for_readers(home: Home, node: Node) -> None:
    """Return once nobody holds the home, or the node is to stop.

    Between its two ledgers no node holds it for a moment, in which somebody who reads beside it may take it: the node
    did not end, so it is not to fail for that.
    """
    deadline = time.monotonic() + READER_SECONDS_MAX
    while not node.is_stopping and time.monotonic() < deadline:
        try:
            lock_home(home)()
        except ConfigError:
            await asyncio.sleep(_POLL_SECONDS)
        except StorageError:
            return  # the start says what it is
        else:
            return


def _end(group: BaseExceptionGroup[Exception], home: Home) -> NodeExit:
    """The exit code of the gravest of the errors that ended the node."""
    errors = list(_leaves(group))
    for kind, code in ((Halted, NodeExit.HALTED), (StorageError, NodeExit.WORLD), (TransportError, NodeExit.WORLD)):
        for error in errors:
            if isinstance(error, kind):
                if code is NodeExit.HALTED:
                    _dump(home, error)
                return _refuse(error, code)
    for error in errors:
        log.error("node.defect", error=repr(error), trace="".join(traceback.format_exception(error)))
    return NodeExit.DEFECT


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _refuse(error: BaseException, code: NodeExit) -> NodeExit:
    """Say why, in the log and in plain words."""
    reason = error.reason if isinstance(error, LedgerError) else str(error)
    log.error("node.ended", reason=reason, exit_code=int(code))
    sys.stderr.write(f"zhixin node: {reason}\n")
    return code


def _dump(home: Home, error: BaseException) -> None:
    """Leave for the operator what the node found; the ledger itself stays as it is."""
    with contextlib.suppress(OSError):
        home.dumps.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = wall_clock_ms()
        report = {"at_ms": at, "reason": str(error), "blocks": error.blocks if isinstance(error, Halted) else ()}
        (home.dumps / f"halt-{at}.json").write_text(json.dumps(report, indent=1) + "\n")
