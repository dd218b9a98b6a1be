# SPDX-License-Identifier: Apache-2.0
"""What is to happen to one process at which of its writes, as text that fits a command line.

`ACT@NAME@N` or `ACT@NAME@N@DETAIL`: at the N-th write (from 1) that bears the name, do the act. The detail is a seed
where bytes are drawn, and an errno's name where a write fails.
"""

import errno
import signal
from dataclasses import dataclass
from enum import StrEnum

from node.exits import NodeExit
from tests.crash.names import NAMES


class Act(StrEnum):
    """What happens at a write."""

    KILL_BEFORE = "kill-before"
    """SIGKILL; nothing of the write is there."""
    KILL_AFTER = "kill-after"
    """SIGKILL; all of it is there, and nothing was done on the strength of it."""
    TEAR = "tear"
    """The database's log file ends at a byte within this write's batch; then SIGKILL."""
    CUT_POWER = "cut-power"
    """The write returns; what is not synced then is lost from a drawn byte on, in both databases; then SIGKILL."""
    FAIL = "fail"
    """The write, or its fsync, fails, and nothing of it is there."""
    FAIL_PERSISTED = "fail-persisted"
    """It fails, and all of it is there nevertheless."""


FAILURES = frozenset({Act.FAIL, Act.FAIL_PERSISTED})
"""The node notices these, says so and ends."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One act of a process's life.

    Attributes:
        nth: Which write of that name, from 1.
        detail: A seed, or the name of an errno.
    """

    act: Act
    name: str
    nth: int = 1
    detail: str = ""

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """Read a plan.

        Raises:
            ValueError: No such act, name or errno, or not this form.
        """
        act, name, nth, *rest = text.split("@")
        if name not in NAMES or int(nth) < 1 or len(rest) > 1:
            raise ValueError(f"not a plan: {text!r}")
        plan = cls(Act(act), name, int(nth), rest[0] if rest else "")
        if plan.act in FAILURES:
            plan.errno()
        return plan

    def __str__(self) -> str:
        return "@".join([self.act, self.name, str(self.nth), *([self.detail] if self.detail else [])])

    @property
    def status(self) -> int:
        """How the process ends by this plan: an exit code, or minus the signal."""
        return int(NodeExit.WORLD if self.act in FAILURES else -signal.SIGKILL)

    def errno(self) -> int:
        """The errno that a failing write gives; EIO if none is named."""
        name = self.detail or "EIO"
        for number, known in errno.errorcode.items():
            if known == name:
                return number
        raise ValueError(f"no such errno: {name}")
