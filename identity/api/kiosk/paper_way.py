# SPDX-License-Identifier: Apache-2.0
"""How a PDF comes onto paper: through a pipe to a program of the operator's, such as `lp -d NAME`; through no file.

What the printing system then keeps is its own affair: docs/kiosk.md says how to have CUPS keep nothing.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from identity.api.kiosk.programs import run_program
from service.errors import ConfigError

PRINT_S_MAX: Final = 30
"""A spooler takes a paper in a second; a printer without one, some pages."""


class PaperWay(Protocol):
    """Where papers come out; calls block."""

    def put(self, pdf: bytes) -> None:
        """Print.

        Raises:
            OSError: It could not be printed.
        """


class CommandPaper:
    """A program that reads a PDF from its standard input.

    Args:
        command: The program and its arguments.

    Raises:
        ConfigError: There is none.
    """

    def __init__(self, command: Sequence[str]) -> None:
        if not command or not command[0]:
            raise ConfigError('kiosk.print_command is a list: the program, then its arguments: ["lp", "-d", "NAME"]')
        self._command = tuple(command)

    def put(self, pdf: bytes) -> None:
        """See `PaperWay`.

        Raises:
            OSError: The program is not there, failed, or took too long.
        """
        run_program(self._command, pdf, PRINT_S_MAX)
