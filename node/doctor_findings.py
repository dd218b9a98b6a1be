# SPDX-License-Identifier: Apache-2.0
"""What an examination of a node says: one finding for each thing that was looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"
    """It could not be looked at; that is never good news by itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        code: What was looked at and what was found, such as `disk-space.low`; the words stand with whoever shows it.
        values: What fills the words.
    """

    code: str
    level: Level
    values: Mapping[str, str | int] = field(default_factory=dict)


def ok(code: str, **values: str | int) -> Finding:
    """As it should be."""
    return Finding(code, Level.OK, values)


def warning(code: str, **values: str | int) -> Finding:
    """It works, and will not for long or not under load."""
    return Finding(code, Level.WARNING, values)


def error(code: str, **values: str | int) -> Finding:
    """The node does not work so, or its safety is at stake."""
    return Finding(code, Level.ERROR, values)


def unknown(code: str, **values: str | int) -> Finding:
    """Nobody could tell."""
    return Finding(code, Level.UNKNOWN, values)
