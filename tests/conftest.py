# SPDX-License-Identifier: Apache-2.0
"""For every test: none may leave the process's logging set up, for the streams it writes to end with that test.

The collector looks for garbage as seldom as in the product: a process that has collected every test holds 600,000
objects for good, and looking through them again and again took a third of the collecting.

What hypothesis draws has no deadline of its own: beside other workers any example may take longer than it expects.
"""

import gc
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from node.collector import tune_collector

settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect tests without looking for garbage; set aside what stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        tune_collector()


@pytest.fixture(autouse=True)
def logging_as_found() -> Iterator[None]:
    """Fail the test that configures logging, not those after it that write a line to a closed stream."""
    yield
    if not structlog.get_config()["cache_logger_on_first_use"]:
        return
    structlog.reset_defaults()
    pytest.fail("the test set up logging for the process: let it do so in a process of its own")
