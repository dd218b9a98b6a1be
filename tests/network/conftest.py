# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with real processes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import Processes, Registrar


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    try:
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def registrar(processes: Processes) -> Registrar:
    return Registrar(processes)
