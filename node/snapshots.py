# SPDX-License-Identifier: Apache-2.0
"""Which states stay on disk so that newcomers can take them whole.

A snapshot is no copy: the state tree keeps past versions, and a pinned one is not pruned. The last two stay, for a
bounded time; one that a newcomer is taking stays longer, for as long as it goes on asking, within a limit. Pure logic:
the time is an argument.
"""

from dataclasses import dataclass, replace

from chain.types import Height, Millis
from node.store import PINS_MAX

OFFERED = 2
"""A newcomer that began just before the newest was taken can finish the one before."""
PROGRESS_MS_MAX = 30_000
"""Who has asked for nothing so long is gone: three times what a client waits for one answer."""
TAKEN_TIMES = 6
"""A snapshot that is being taken stays at most so many times as long as one that nobody takes."""


@dataclass(frozen=True, slots=True)
class _Pin:
    """A state that stays.

    Attributes:
        is_offered: Its checkpoint is certified here; others are held for a newcomer that knows it from elsewhere.
        made_ms: When it was pinned.
        asked_ms: When somebody asked for a part of it; None if nobody has.
    """

    height: Height
    is_offered: bool
    made_ms: Millis
    asked_ms: Millis | None = None


class Snapshots:
    """The pinned states. Written by one thread; `heights` may be read by others."""

    def __init__(self, every_blocks: int, kept_ms: int) -> None:
        self._every_blocks = every_blocks
        self._kept_ms = kept_ms
        self._pins: tuple[_Pin, ...] = ()

    def certified(self, height: Height, now: Millis) -> None:
        """A checkpoint is certified and executed here: pin its state if the next snapshot is due."""
        self.expire(now)
        newest = max((pin.height for pin in self._pins if pin.is_offered), default=None)
        if newest is not None and height < newest + self._every_blocks:
            return
        others = [pin for pin in self._pins if pin.height != height]
        offered = sorted((pin for pin in others if pin.is_offered), key=lambda pin: pin.height)
        kept = [pin for pin in others if pin in offered[1 - OFFERED :] or self._is_taken(pin, now)]
        pin = next((pin for pin in self._pins if pin.height == height), None)
        asked_ms = None if pin is None else pin.asked_ms
        self._pins = (*_newest(kept, PINS_MAX - 1), _Pin(height, is_offered=True, made_ms=now, asked_ms=asked_ms))

    def asked(self, height: Height, now: Millis) -> None:
        """Somebody takes this state: it stays for as long as it goes on asking, within the limit."""
        self.expire(now)
        for pin in self._pins:
            if pin.height == height:
                self._pins = (*(p for p in self._pins if p is not pin), replace(pin, asked_ms=now))
                return
        if len(self._pins) < PINS_MAX:
            self._pins = (*self._pins, _Pin(height, is_offered=False, made_ms=now, asked_ms=now))

    def expire(self, now: Millis) -> None:
        """Let go of what has stayed for its time."""
        self._pins = tuple(
            pin
            for pin in self._pins
            if (pin.is_offered and now < pin.made_ms + self._kept_ms) or self._is_taken(pin, now)
        )

    def offered(self) -> tuple[Height, ...]:
        """Heights of the snapshots, ascending."""
        return tuple(sorted(pin.height for pin in self._pins if pin.is_offered))

    @property
    def count(self) -> int:
        """How many states stay."""
        return len(self._pins)

    def heights(self) -> tuple[Height, ...]:
        """Of all states that stay, ascending."""
        return tuple(sorted(pin.height for pin in self._pins))

    def _is_taken(self, pin: _Pin, now: Millis) -> bool:
        if pin.asked_ms is None:
            return False
        return now < pin.asked_ms + PROGRESS_MS_MAX and now < pin.made_ms + TAKEN_TIMES * self._kept_ms


def _newest(pins: list[_Pin], count: int) -> list[_Pin]:
    return sorted(pins, key=lambda pin: pin.height)[-count:]
