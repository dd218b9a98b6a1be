# SPDX-License-Identifier: Apache-2.0
"""What a command can end with besides the ledger's own errors; the text is already in the language in use."""

from cli.exits import Exit
from cli.language import t


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        code: Stable, for programs.
        reason: One sentence for people.
        details: Further lines, such as the faults of a table's rows.
    """

    exit_code = Exit.DEFECT

    def __init__(self, code: str, reason: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.details = details


class InputError(CommandError):
    """A file, key or table that the caller named is not what it should be."""

    exit_code = Exit.INPUT


class UsageError(CommandError):
    """The options contradict one another or lack one."""

    exit_code = Exit.USAGE


class MissingError(CommandError):
    """What was asked for does not exist."""

    exit_code = Exit.MISSING


class UnprovenError(CommandError):
    """What was shown proves nothing to this caller."""

    exit_code = Exit.UNPROVEN


class WorldError(CommandError):
    """A process, port or disk did not do what it should."""

    exit_code = Exit.WORLD


class StoppedError(CommandError):
    """Ctrl-C ended it; the detail says what may still happen and where to look."""

    exit_code = Exit.INTERRUPTED

    def __init__(self, *details: str) -> None:
        super().__init__("interrupted", t("error.interrupted"), details)


class NotHeldError(CommandError):
    """A claim that a demo, load run or check makes did not hold."""

    exit_code = Exit.NOT_HELD
