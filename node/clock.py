# SPDX-License-Identifier: Apache-2.0
"""Whether the local clock can be right, judged by the newest block and by what leaders propose.

Pure. Wrong clocks stop votes, not safety: a block too far from a validator's clock does not get its vote.
"""

from collections.abc import Callable

from chain.types import BlsKey, Millis
from node.errors import ConfigError

HEARD_MIN = 2
"""Leaders that must agree before the own clock is doubted: one may be wrong itself."""


def check_clock(tip_time_ms: Millis, now_ms: Millis, ahead_ms_max: int) -> None:
    """Refuse to start with a clock that lies behind the node's own newest block.

    Raises:
        ConfigError: It does, by more than is allowed.
    """
    if tip_time_ms > now_ms + ahead_ms_max:
        behind_s = (tip_time_ms - now_ms) // 1000
        raise ConfigError(f"the clock is {behind_s} s behind the ledger's newest block; set it by NTP and start again")


class ClockWatch:
    """Compares the local clock with the times of fresh proposals."""

    def __init__(self, off_ms_max: int, warn: Callable[[int], None]) -> None:
        """`warn` is told how far most leaders are off, in milliseconds, each time that is too much."""
        self._off_ms_max = off_ms_max
        self._warn = warn
        self._offsets_ms: dict[BlsKey, int] = {}

    def note(self, leader: BlsKey, block_time_ms: Millis, now_ms: Millis, peers: int) -> None:
        """A leader has just proposed a block of this time.

        Args:
            leader: On whose own connection it came.
            block_time_ms: As proposed.
            now_ms: The local clock.
            peers: How many there are; more than half of them must agree.
        """
        self._offsets_ms[leader] = block_time_ms - now_ms
        ahead = sorted(offset for offset in self._offsets_ms.values() if offset > self._off_ms_max)
        behind = sorted(offset for offset in self._offsets_ms.values() if offset < -self._off_ms_max)
        for group in (ahead, behind):
            if len(group) >= HEARD_MIN and 2 * len(group) > peers:
                self._warn(group[len(group) // 2])
