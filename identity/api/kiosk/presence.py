# SPDX-License-Identifier: Apache-2.0
"""How sure a kiosk's session is of who stands there: the operator's liveness method as a program, and the words for it.

The program stands beside the camera. It is given one argument more, the SHA-256 of the session's opening in
hexadecimal, and prints `liveness.Evidence` in its one encoding. Nothing of the picture passes through here.
"""

from collections.abc import Sequence
from typing import Final

from chain.errors import InvalidMessage
from identity.api.documents.words import LEVEL_KEYS
from identity.api.kiosk.base import Holder
from identity.api.kiosk.programs import run_program
from identity.liveness import METHOD, Evidence
from service.errors import ConfigError
from service.language import Language, translate

CHECK_S_MAX: Final = 30
"""Somebody looks into a camera for some seconds; the kiosk forgets them after 55."""


class CommandProvider:
    """A liveness method that is a program; see `identity.liveness.Provider`.

    Args:
        method: Its name with the version, as the office knows it.
        command: The program and its arguments.

    Raises:
        ConfigError: The name is none, or there is no program.
    """

    def __init__(self, method: str, command: Sequence[str]) -> None:
        if METHOD.fullmatch(method) is None or not command:
            raise ConfigError(
                "kiosk.liveness_method and kiosk.liveness_command go together: a name such as vendor/active-3.2, "
                "and the program with its arguments as a list"
            )
        self._method = method
        self._command = tuple(command)

    @property
    def method(self) -> str:
        """Its name with the version."""
        return self._method

    def check(self, challenge: bytes) -> Evidence:
        """See `Provider`.

        Raises:
            OSError: The program failed, took too long, or said something else; nothing is known then.
        """
        said = run_program([*self._command, challenge.hex()], b"", CHECK_S_MAX)
        try:
            found = Evidence.decode(said.rstrip(b"\n"))
        except InvalidMessage as error:
            raise OSError(f"the liveness program's answer is none: {error.reason}") from None
        if found.method != self._method:
            raise OSError("the liveness program answers for another method than the one that settings name")
        return found


def presence_words(holder: Holder | None, language: Language) -> str:
    """How sure the session is, in a line that is signed with what it holds; "" while the office has not said.

    Args:
        holder: As the office knows them; None: it could not be asked.
        language: Of the line.
    """
    return "" if holder is None else presence_line(holder.presence, holder.method, language)


def presence_line(presence: str, method: str, language: Language) -> str:
    """The line for a level; "": it is none.

    Args:
        presence: low, substantial, high.
        method: Which found a living person; "": none did.
        language: Of the line.
    """
    if presence not in LEVEL_KEYS:
        return ""
    level = translate(language, LEVEL_KEYS[presence])
    if method:
        return translate(language, "kiosk.statement.presence", level=level, method=method)
    return translate(language, "kiosk.statement.presence-unseen", level=level)
