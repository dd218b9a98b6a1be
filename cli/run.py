# SPDX-License-Identifier: Apache-2.0
"""Runs a command's coroutine on uvloop."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C cancels it."""
    return uvloop.run(coroutine)
