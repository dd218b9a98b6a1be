# SPDX-License-Identifier: Apache-2.0
"""Stores on SQLite and on a PostgreSQL that is started once for a run."""

import os
from collections.abc import Iterator
from pathlib import Path

import loop_watch
import postgres
import pytest
from http_rig import StillClock
from store_rig import Rig


@pytest.fixture(autouse=True)
def nobody_waits_for_a_database_on_the_event_loop() -> Iterator[None]:
    """Whatever a test has a service do, its coroutines leave transactions to worker threads."""
    loop_watch.begun.clear()
    yield
    assert loop_watch.begun == []


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run's PostgreSQL."""
    own = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return postgres.server(own.parent if is_worker else own, os.getppid() if is_worker else os.getpid())


@pytest.fixture
def still_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has used up a rate has no more, however long the test takes."""
    monkeypatch.setattr("service.gate.time", StillClock)
    monkeypatch.setattr("service.sign_in.attempts.time", StillClock)


@pytest.fixture(params=["sqlite", "postgresql"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Each test of the store runs on both."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    made = Rig(tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def sqlite_rig(tmp_path: Path) -> Iterator[Rig]:
    """For what concerns files of SQLite alone, or no database at all."""
    made = Rig(tmp_path, None)
    yield made
    made.close()
