# SPDX-License-Identifier: Apache-2.0
"""What tests of queries look at: an event as somebody may see it, and how values are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from traceability.epcis_context import Context


@dataclass(frozen=True, slots=True)
class Shown:
    """An event as somebody may see it.

    Attributes:
        context: The `@context` of its document.
        recorded_ms: Of its block.
    """

    event: Mapping[str, Any]
    context: object
    recorded_ms: int

    @property
    def scope(self) -> Context:
        """In which its names and words are read."""
        scope = Context().extended([] if self.context is None else self.context)
        return scope.extended(self.event.get("@context", []))


Test = Callable[[Shown], bool]
"""Whether an event is meant."""

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "EQ": lambda found, wanted: found == wanted,
    "GT": lambda found, wanted: found > wanted,
    "GE": lambda found, wanted: found >= wanted,
    "LT": lambda found, wanted: found < wanted,
    "LE": lambda found, wanted: found <= wanted,
}
"""What stands before the underscore of a parameter."""


def moment_ms(text: str) -> float:
    """A time as milliseconds since 1970; RFC 3339 has T and Z in small letters, too."""
    return datetime.fromisoformat(text.upper()).timestamp() * 1000
