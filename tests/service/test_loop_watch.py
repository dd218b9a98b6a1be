# SPDX-License-Identifier: Apache-2.0
"""A transaction that is planted on the event loop is noticed, however deep; one in a worker thread or a test is not."""

from collections.abc import Callable, Coroutine
from typing import Any

import loop_watch
import pytest
from starlette.concurrency import run_in_threadpool
from store_rig import Rig

from service.store import Store

Page = Callable[[Store], Coroutine[Any, Any, None]]


def planted(body: str) -> Page:
    """A coroutine as if it stood in the repository."""
    source = f"def ask(store):\n with store.read() as session: pass\nasync def page(store):\n {body}\n"
    names: dict[str, Any] = {"run_in_threadpool": run_in_threadpool}
    exec(compile(source, str(loop_watch.ROOT / "service" / "planted.py"), "exec"), names)
    page: Page = names["page"]
    return page


@pytest.mark.parametrize("body", ["ask(store)", "with store.write() as session: pass", "list(map(ask, [store]))"])
async def test_transaction_planted_on_the_event_loop_is_noticed(sqlite_rig: Rig, body: str) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    await planted(body)(store)
    assert loop_watch.begun == ["service/planted.py:4 page"]
    loop_watch.begun.clear()


async def test_transaction_of_a_worker_thread_or_of_a_test_is_not_noticed(sqlite_rig: Rig) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    await planted("await run_in_threadpool(ask, store)")(store)
    with store.read():
        pass
    assert loop_watch.begun == []
