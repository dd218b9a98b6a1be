# SPDX-License-Identifier: Apache-2.0
"""Examines a node from outside, whether it runs or not: machine, home, ledger, ports, peers. It changes nothing.

What can't be looked at is said to be unknown, never to be well.
"""

from collections.abc import Iterator, Mapping

from node.config import Home
from node.disk import lock_home
from node.doctor_findings import Finding, Level, error, ok, unknown
from node.doctor_home import HomeExamination
from node.doctor_machine import examine_machine
from node.doctor_network import examine_network
from node.errors import ConfigError, StorageError

__all__ = ["Finding", "Level", "examine"]


def examine(home: Home, environment: Mapping[str, str], now_ms: int) -> Iterator[Finding]:
    """Look at everything, in the order in which faults explain each other.

    Args:
        home: The node's.
        environment: Whose `ZHIXIN_…` variables override settings.
        now_ms: By this machine's clock.
    """
    if not home.config.is_file() and not home.tls_certificate.is_file():
        yield error("home.none", path=str(home.root))
        return
    is_running = _is_held(home)
    if is_running is None:
        yield unknown("process.unknown", path=str(home.lock))
    else:
        yield ok("process.running") if is_running else ok("process.stopped")
    yield from examine_machine(home.ledger)
    examination = HomeExamination(home, environment, now_ms)
    yield from examination.run()
    yield from examine_network(examination.facts, is_running=bool(is_running), now_ms=now_ms)


def _is_held(home: Home) -> bool | None:
    """Whether a process holds the home; None if it can't be said."""
    if not home.lock.exists():
        return False
    try:
        release = lock_home(home)
    except ConfigError:
        return True
    except StorageError:
        return None
    release()
    return False
