# SPDX-License-Identifier: Apache-2.0
"""Ports for networks of tests: below those that the system gives to outgoing connections, and another range for each
worker, so that none is taken between the look and the node that listens there."""

import os
import secrets
import socket

FIRST = 20_000
EACH = 2_000
"""Ports of one worker; six workers stay below 32,768, where Linux begins with those that it gives itself."""
WORKERS = 6


def free_base_port(ports: int) -> int:
    """A port that begins a range of so many that are free right now; a multiple of ten."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    for _ in range(100):
        base = FIRST + worker * EACH + secrets.randbelow((EACH - ports) // 10) * 10
        if all(_is_free(base + offset) for offset in range(ports)):
            return base
    raise AssertionError("no free range of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
