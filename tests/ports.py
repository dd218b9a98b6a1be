# SPDX-License-Identifier: Apache-2.0
"""Ports for networks of tests: below those that the system gives to outgoing connections and those that development
networks count up from, and another range for each worker, so that none is taken between the look and the node that
listens there."""

import itertools
import os
import secrets
import socket

FIRST = 14_000
EACH = 2_000
"""Ports of one worker; six workers stay below 26,600, where `cli.devnet.ports` begins."""
WORKERS = 6
_offsets = itertools.count(secrets.randbelow(EACH // 10) * 10, 10)
"""Where this process looks next: what it has given is given again only after all the others."""


def free_base_port(ports: int) -> int:
    """A port that begins a range of so many that are free right now; a multiple of ten."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    for _ in range(EACH // 10):
        offset = next(_offsets) % EACH
        base = FIRST + worker * EACH + offset
        if offset + ports <= EACH and all(_is_free(port) for port in range(base, base + ports)):
            for _ in range((ports - 1) // 10):
                next(_offsets)
            return base
    raise AssertionError("no free range of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
