# SPDX-License-Identifier: Apache-2.0
"""Notes which coroutine of ours begins a transaction on the event loop, by itself or through what it calls.

`tests/unit/test_repository.py` reads what stands in a coroutine; this sees what runs, however deep the call. A test
that asks the store itself is not meant: nobody else waits for it.
"""

import asyncio
import inspect
import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, event

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
LIBRARIES = Path(sys.prefix)
COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

begun: list[str] = []
"""Coroutines of ours that did, since somebody cleared it."""


@event.listens_for(Engine, "begin")
def note(_connection: Connection) -> None:
    """Note the coroutine in which a transaction begins on the event loop, unless it is a test's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return  # a worker thread, or no loop at all
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_flags & COROUTINE:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(TESTS):
                return
            if file.is_relative_to(ROOT) and not file.is_relative_to(LIBRARIES):
                begun.append(f"{file.relative_to(ROOT)}:{frame.f_lineno} {frame.f_code.co_name}")
                return
        frame = frame.f_back
