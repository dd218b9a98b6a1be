# SPDX-License-Identifier: Apache-2.0
"""Whether a node's stream of blocks leads to the present.

Each block of a node that hands out old ones, one at a time, is true, and none of them is silence: so a single liar
could keep whoever follows it in the past for as long as it likes. Pure: times are arguments.
"""

from typing import Final

from client.errors import TransportError

BLOCKS_SILENCE_S = 15.0
"""Without a block; and without having come nearer to the present, where a follower is behind it."""
LAG_MS_MAX: Final = 15_000
"""How old the newest proven block may be, whatever the pace: an idle network makes one each second."""
PACE: Final = 2
"""Seconds of the chain to a second of waiting, where a follower is behind. Catching up goes many times as fast."""


class Pace:
    """The pace of one stream. What its caller does with a block meanwhile is not counted.

    Args:
        name: The node's.
        silence_s: Over how much waiting the pace is looked at.
    """

    def __init__(self, name: str, silence_s: float) -> None:
        self._name = name
        self._silence_s = silence_s
        self._waited_s = 0.0
        self._from_ms: int | None = None
        self._newest_ms = 0

    def take(self, waited_s: float, proven_ms: int | None, now_ms: int) -> None:
        """Take in one event.

        Args:
            waited_s: How long it was waited for.
            proven_ms: Time of the newest block that it proved; None: it proved none.
            now_ms: Unix time in ms.

        Raises:
            TransportError: The stream stays behind; another node may know more.
        """
        self._waited_s += waited_s
        if proven_ms is not None:
            self._newest_ms = proven_ms
            self._from_ms = proven_ms if self._from_ms is None else self._from_ms
        if self._waited_s < self._silence_s:
            return
        lag_ms = now_ms - self._newest_ms
        gained_ms = 0 if self._from_ms is None else self._newest_ms - self._from_ms
        if lag_ms > LAG_MS_MAX and gained_ms < PACE * 1000 * self._waited_s:
            reason = f"{self._name} hands out old blocks, too slowly for anybody to come up to the present"
            raise TransportError(reason, "transport.stalled")
        self._waited_s, self._from_ms = 0.0, self._newest_ms or None
