# SPDX-License-Identifier: Apache-2.0
"""Parameters about members that the standard does not know, by their full names, wherever in an event they stand.

Source: EPCIS 2.0, 8.2.7.1 (EQ_fieldname, EQ_INNER_fieldname, EQ_ILMD_field and their like).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from traceability.api.query_parameters import Query
from traceability.api.query_shown import COMPARISONS, Shown, Test, moment_ms
from traceability.epcis_context import Context

EXTENSION_DEPTH_MAX: Final = 16
"""How deep inner members of extensions are looked for; documents have at most 64 brackets in all."""

_REGIONS: Final[Mapping[str, str]] = {
    "ILMD_": "ilmd",
    "ERROR_DECLARATION_": "errorDeclaration",
    "SENSORELEMENT_": "sensorElementList",
    "SENSORMETADATA_": "sensorElementList",
    "SENSORREPORT_": "sensorElementList",
    "readPoint_": "readPoint",
    "bizLocation_": "bizLocation",
}
_STRUCTURE: Final = ("sensorMetadata", "sensorReport")
EXTENSION: Final = re.compile(
    r"(EQ|GT|GE|LT|LE|EXISTS)_(INNER_)?"
    r"(ILMD_|ERROR_DECLARATION_|SENSORELEMENT_|SENSORMETADATA_|SENSORREPORT_|readPoint_|bizLocation_)?(\S+:\S+)"
)


def extension_test(found: "re.Match[str]", value: Any, query: Query) -> Test:
    """The test of one parameter about an extension.

    Args:
        found: A match of `EXTENSION`.
        value: The parameter's, checked.
        query: In whose context its prefix is read.
    """
    operator, inner, region, name = found.groups()
    asked = Context().extended([] if query.context is None else query.context)
    wanted_name = asked.expand(name)

    def holds(shown: Shown) -> bool:
        scope = shown.scope
        start = shown.event if region is None else shown.event.get(_REGIONS[region], {})
        depth = EXTENSION_DEPTH_MAX if inner or region is not None else 1
        return any(
            _holds_for(operator, member, value)
            for member_name, member in _members(start, depth, is_inner=bool(inner))
            if member_name == name or scope.expand(member_name) == wanted_name
        )

    return holds


def _members(value: Any, depth: int, *, is_inner: bool) -> Iterator[tuple[str, Any]]:
    """Members of an object, and of those within it where they are asked for."""
    if depth == 0:
        return
    if isinstance(value, list):
        for one in value:
            yield from _members(one, depth, is_inner=is_inner)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield name, member
            if is_inner or name in _STRUCTURE:
                yield from _members(member, depth - 1, is_inner=is_inner)


def _holds_for(operator: str, found: Any, wanted: Any) -> bool:
    if operator == "EXISTS":
        return True
    listed = wanted if isinstance(wanted, list) else [wanted]
    if operator == "EQ":
        return any(found == one or str(found) == str(one) for one in listed if not isinstance(found, list | Mapping))
    try:
        return any(COMPARISONS[operator](_comparable(found), _comparable(one)) for one in listed)
    except ValueError:
        return False


def _comparable(value: Any) -> float:
    """A number, or a time as one.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        return moment_ms(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError
