# SPDX-License-Identifier: Apache-2.0
"""The service of food records killed in the middle of a capture: what it accepted is recorded once it runs again."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.capture import EVENTS_PER_DOCUMENT, document, service_settings, set_up
from cli.devnet import process
from cli.devnet.network import bring_up
from cli.scenes.food_people import admit_food_people
from cli.scenes.serving import end_services, serve
from cli.scenes.stage import Stage
from service.store import migrate
from tests.ports import free_base_port
from traceability.season_people import party

FARM, MARKET = party("farm", 0), party("market", 0)
TESTS = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.network


@contextmanager
def own_tables() -> Iterator[None]:
    """Make a store as the program does: the service that opens it knows no tables of other tests."""
    before = list(migrate._folders)
    migrate._folders[:] = [folder for folder in before if TESTS not in folder.parents]
    try:
        yield
    finally:
        migrate._folders[:] = before


async def test_job_of_a_killed_service_goes_on_after_a_restart_and_records_each_event_once(tmp_path: Path) -> None:
    root = tmp_path / "network"
    network = await bring_up(root, validators=4, base_port=None)
    try:
        stage = Stage(network, root / "capture")
        stage.folder.mkdir()
        async with network.home.session() as session:
            people = await admit_food_people(stage, session, [FARM, MARKET])
            with own_tables():
                key = set_up(stage, session.network, people, [FARM])[FARM]
            more = service_settings(stage.folder.resolve())
            headers = {"authorization": f"Bearer {key}", "gs1-capture-error-behaviour": "proceed"}
            port = free_base_port(1)
            served = serve(stage, "trace", port, more)
            await served.ready()
            async with httpx.AsyncClient(base_url=served.origin, timeout=60, headers=headers) as web:
                answer = await web.post("/epcis/capture", json=document(FARM, 0))
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            os.kill(served.identity.pid, signal.SIGKILL)
            while process.identify(served.identity.pid) == served.identity:  # noqa: ASYNC110 - another process's end
                await asyncio.sleep(0.05)
            served = serve(stage, "trace", port, more)
            await served.ready()
            async with httpx.AsyncClient(base_url=served.origin, timeout=60, headers=headers) as web:
                job: dict[str, Any] = {"running": True}
                while job["running"]:
                    await asyncio.sleep(0.2)
                    job = (await web.get(answer.headers["location"])).json()
            assert (job["success"], job["zhixin:recorded"], job["errors"]) == (True, EVENTS_PER_DOCUMENT, [])
            target = (await session.checkpoint()).height
            kinds: list[str] = []
            async for block in session.blocks():
                kinds += [one.type for transaction in block.transactions for one in transaction.operations]
                if block.block.height >= target:
                    break
            assert kinds.count("traceability.RecordEvent") == EVENTS_PER_DOCUMENT
    finally:
        end_services(root)
        network.stop(network.names)
