# SPDX-License-Identifier: Apache-2.0
"""How long a view may take: the delay bound and the deadlines that follow from it.

Source: docs/protocol.md, section 3.
"""

from dataclasses import dataclass

from chain.types import Millis


@dataclass(frozen=True, slots=True)
class Timing:
    """The timers' parameters, in milliseconds.

    Attributes:
        delta_first_ms: The assumed delay bound of a fresh epoch.
        delta_min_ms: Below this, a busy machine's hiccups would nullify views for nothing.
        delta_max_ms: Above this, one long partition would slow the ledger down for too long after it has healed.
        idle_interval_ms: How long a leader with nothing to order waits before it proposes an empty block.
        block_interval_ms_min: How much younger than its parent a block is at least; under load it gathers
            transactions, since signatures on a block cost the same whatever it holds.
        early_ms_max: How far a block's time may lie ahead of the local clock.
        late_ms_max: How far it may lie behind.
    """

    delta_first_ms: int = 500
    delta_min_ms: int = 250
    delta_max_ms: int = 10_000
    idle_interval_ms: int = 1_000
    block_interval_ms_min: int = 100
    early_ms_max: int = 2_000
    late_ms_max: int = 60_000


class Pace:
    """The delay bound of one epoch and the deadlines of the current view."""

    def __init__(self, timing: Timing, faults_max: int) -> None:
        self._timing = timing
        self._faults_max = faults_max
        # Thousandths of a millisecond: integers only, and 3% of a small number is not lost.
        self._delta_us = timing.delta_first_ms * 1000
        self._nullified_in_a_row = 0
        self._pending = False
        self.entered_ms = Millis(0)
        self.leader_deadline_ms = Millis(0)
        self.view_deadline_ms = Millis(0)

    @property
    def delta_ms(self) -> int:
        """The delay bound now."""
        return self._delta_us // 1000

    @property
    def pending(self) -> bool:
        """Whether there is anything to order."""
        return self._pending

    def enter(self, now: Millis) -> None:
        """A view begins."""
        self.entered_ms = now
        extra = 0 if self._pending else self._timing.idle_interval_ms
        self.leader_deadline_ms = Millis(now + 2 * self.delta_ms + extra)
        self.view_deadline_ms = Millis(now + 3 * self.delta_ms + extra)

    def set_pending(self, pending: bool, now: Millis) -> None:
        """Deadlines shrink when there is something to order, and grow again when it is done."""
        if pending == self._pending:
            return
        self._pending = pending
        if pending:
            self.leader_deadline_ms = min(self.leader_deadline_ms, Millis(now + 2 * self.delta_ms))
            self.view_deadline_ms = min(self.view_deadline_ms, Millis(now + 3 * self.delta_ms))
        else:
            idle = self.entered_ms + self._timing.idle_interval_ms
            self.leader_deadline_ms = max(self.leader_deadline_ms, Millis(idle + 2 * self.delta_ms))
            self.view_deadline_ms = max(self.view_deadline_ms, Millis(idle + 3 * self.delta_ms))

    def empty_proposal_at_ms(self) -> Millis:
        """When a leader with an empty payload proposes all the same: well before its followers lose patience."""
        wait = min(self.delta_ms, self._timing.idle_interval_ms) if self._pending else self._timing.idle_interval_ms
        return Millis(self.entered_ms + wait)

    def proposal_at_ms(self, parent_time_ms: Millis, now: Millis) -> Millis:
        """When a leader asks for a payload, so that blocks under load are worth their signatures.

        The parent's time is another clock's: whatever it says, the wait is at most the interval.
        """
        gap = self._timing.block_interval_ms_min
        return Millis(self.entered_ms + max(0, min(gap, parent_time_ms + gap - now)))

    def proposal_was_late(self) -> None:
        """A proposal came after this validator's own nullify: the bound was too small."""
        self._grow()

    def view_notarized(self) -> None:
        """The network is fine: try a slightly smaller bound."""
        self._nullified_in_a_row = 0
        self._delta_us = max(self._timing.delta_min_ms * 1000, self._delta_us * 97 // 100)

    def view_nullified(self) -> None:
        """More than f in a row can't all be Byzantine leaders: the bound is too small."""
        self._nullified_in_a_row += 1
        if self._nullified_in_a_row > self._faults_max:
            self._grow()

    def _grow(self) -> None:
        self._delta_us = min(self._timing.delta_max_ms * 1000, self._delta_us * 3 // 2)
