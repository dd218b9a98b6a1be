# SPDX-License-Identifier: Apache-2.0
"""The exit codes of the `zhixin` command: one table for the program, its help and its documentation."""

from enum import IntEnum

from cli.language import t


class Exit(IntEnum):
    """How a command ended; a script may rely on the number."""

    DONE = 0
    DEFECT = 1
    """The program itself is wrong, or an operating system's refusal that no other code covers."""
    USAGE = 2
    INPUT = 3
    """A file, key or table that the caller named is not what it should be."""
    REFUSED = 4
    UNPROVEN = 5
    WORLD = 6
    MISSING = 7
    NOT_HELD = 8
    """A step of a demo, a load run or a health question did not hold."""
    DAMAGED = 9
    """A stored ledger or a backup is not what it must be; what was found is in the output."""
    HALTED = 10
    """A node that would have to certify what it did not compute."""
    INTERRUPTED = 130


def table() -> list[tuple[int, str]]:
    """Each code with its meaning in the language in use."""
    return [
        (Exit.DONE, t("exit.done")),
        (Exit.DEFECT, t("exit.defect")),
        (Exit.USAGE, t("exit.usage")),
        (Exit.INPUT, t("exit.input")),
        (Exit.REFUSED, t("exit.refused")),
        (Exit.UNPROVEN, t("exit.unproven")),
        (Exit.WORLD, t("exit.world")),
        (Exit.MISSING, t("exit.missing")),
        (Exit.NOT_HELD, t("exit.not-held")),
        (Exit.DAMAGED, t("exit.damaged")),
        (Exit.HALTED, t("exit.halted")),
        (Exit.INTERRUPTED, t("exit.interrupted")),
    ]
