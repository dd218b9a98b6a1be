# SPDX-License-Identifier: Apache-2.0
"""An EPCIS query: read from an address's parameters or from JSON, checked, and refused with the parameter and reason.

Pure. In addresses several values of one parameter are divided by `|`, as the REST binding has it.
Source: EPCIS 2.0, 8.2.7.1 and 12.7.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from traceability import epcis
from traceability.epcis_json import InvalidDocument, Problem

PARAMETERS_MAX: Final = 64
"""Of one query; a person writes five."""
VALUES_MAX: Final = 200
"""Of one parameter; each is looked for by itself."""
EVENTS_MAX: Final = 1_000
"""As many does `eventCountLimit` give at once, and `maxEventCount` stand for."""

_PAGING: Final = frozenset({"perPage", "nextPageToken", "@context"})
_ONE: Final = re.compile(
    r"(?:GE|LT|GT|LE)_(?:eventTime|recordTime|time|startTime|endTime|errorDeclaration_?Time)"
    r"|orderBy|orderDirection|EQ_booleanValue|EXISTS_.*"
)
_COUNT: Final = re.compile(r"eventCountLimit|maxEventCount")
_NUMBER: Final = re.compile(
    r"(?:EQ|GT|GE|LT|LE)_(?:quantity|(?:min|max|mean|perc)?[vV]alue|sDev|percRank)(?:_[A-Z0-9]{2,4})?"
)
_LIST_OF_NUMBERS: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?")
_UNSUPPORTED: Final = re.compile(r"HASATTR_.*|EQATTR_.*|EQ_ATTR_.*")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        parameters: Checked; without paging, order and counts.
        order_by: "eventTime" or "recordTime".
        is_descending: The newest first.
        limit: At most so many events, the first in order; 0: all.
        count_max: More than so many are refused; 0: any number.
        context: In which prefixes of parameters' names are read.
    """

    parameters: Mapping[str, Any]
    order_by: str = "eventTime"
    is_descending: bool = True
    limit: int = 0
    count_max: int = 0
    context: object = None

    def with_parameters(self, more: Mapping[str, Any]) -> "Query":
        """The same, narrowed."""
        parameters = {**self.parameters, **more}
        return Query(parameters, self.order_by, self.is_descending, self.limit, self.count_max, self.context)


def from_address(pairs: Iterable[tuple[str, str]], also: Mapping[str, Any] | None = None) -> Query:
    """A query from the parameters of an address.

    Args:
        pairs: Names and values as they came.
        also: What the path says, such as {"EQ_bizStep": ["shipping"]}.

    Raises:
        InvalidDocument: With each parameter at fault.
    """
    document: dict[str, Any] = {}
    for name, text in pairs:
        if name in _PAGING:
            continue
        if name in document:
            raise InvalidDocument([Problem(f"/{name}", "stands twice; divide values by |")])
        document[name] = _value(name, text)
    for name, value in (also or {}).items():
        if name in document:
            raise InvalidDocument([Problem(f"/{name}", "stands in the path already")])
        document[name] = value
    return from_json(document)


def from_json(document: Mapping[str, Any]) -> Query:
    """A query from a JSON object of parameters.

    Raises:
        InvalidDocument: With each parameter at fault.
    """
    names = [name for name in document if name not in _PAGING]
    if len(names) > PARAMETERS_MAX:
        raise InvalidDocument([Problem("", f"has {len(names)} parameters; at most {PARAMETERS_MAX} are taken")])
    problems = epcis.problems({"query": dict(document)})
    problems = [Problem(one.path.removeprefix("/query"), one.reason) for one in problems]
    for name in names:
        value = document[name]
        if _UNSUPPORTED.fullmatch(name):
            problems.append(Problem(f"/{name}", "asks for attributes of master data, which is not kept here"))
        elif isinstance(value, list) and len(value) > VALUES_MAX:
            problems.append(Problem(f"/{name}", f"has {len(value)} values; at most {VALUES_MAX} are taken"))
        elif _COUNT.fullmatch(name) and isinstance(value, int) and value > EVENTS_MAX:
            problems.append(Problem(f"/{name}", f"is at most {EVENTS_MAX}; without it answers are paged"))
    if problems:
        raise InvalidDocument(problems)
    return Query(
        parameters={name: document[name] for name in names if name not in _ORDER},
        order_by=document.get("orderBy", "eventTime"),
        is_descending=document.get("orderDirection", "DESC") == "DESC",
        limit=document.get("eventCountLimit", 0),
        count_max=document.get("maxEventCount", 0),
        context=document.get("@context"),
    )


_ORDER: Final = frozenset({"orderBy", "orderDirection", "eventCountLimit", "maxEventCount"})


def _value(name: str, text: str) -> Any:
    """A parameter's value as JSON has it."""
    if _COUNT.fullmatch(name):
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text
    if _NUMBER.fullmatch(name):
        return [_number(part) for part in text.split("|")]
    if _ONE.fullmatch(name):
        return text
    if re.match(r"(?:GT|GE|LT|LE)_", name):  # an extension's: a number or a time
        return _number(text)
    return text.split("|")


def _number(text: str) -> float | str:
    """A number where it is one; anything else is refused by the check that follows."""
    return float(text) if _LIST_OF_NUMBERS.fullmatch(text) else text
