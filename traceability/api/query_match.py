# SPDX-License-Identifier: Apache-2.0
"""Whether an event is what a query asks for: each parameter is one test, and all must hold.

Pure, and the one place that decides; indexes only spare it events that cannot match. Identifiers are compared in their
canonical form, words of the standard however they are written, times as moments, extensions by their full names.
Source: EPCIS 2.0, 8.2.7.1.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from traceability import epcis_vocabulary as cbv
from traceability.api.query_extensions import EXTENSION, extension_test
from traceability.api.query_parameters import Query
from traceability.api.query_shown import COMPARISONS, Shown, Test, moment_ms
from traceability.digital_link import CANONICAL_STEM
from traceability.epc import canonical_identifier, pattern_of
from traceability.epcis_context import Context
from traceability.projection import word_of


def test_of(query: Query) -> Test:
    """A query as a question to one event."""
    tests = [_test(name, value, query) for name, value in query.parameters.items()]

    def holds(shown: Shown) -> bool:
        return all(test(shown) for test in tests)

    return holds


# ---------------------------------------------------------------- identifiers

_EPC_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "epc": ("epcList", "childEPCs"),
    "parentID": ("parentID",),
    "inputEPC": ("inputEPCList",),
    "outputEPC": ("outputEPCList",),
    "anyEPC": (
        "epcList",
        "childEPCs",
        "inputEPCList",
        "outputEPCList",
        "parentID",
        "quantityList",
        "childQuantityList",
        "inputQuantityList",
        "outputQuantityList",
    ),
    "epcClass": ("quantityList", "childQuantityList"),
    "inputEPCClass": ("inputQuantityList",),
    "outputEPCClass": ("outputQuantityList",),
    "anyEPCClass": ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"),
}
"""`anyEPC` finds lots, too: one address serves every label."""
_QUANTITIES: Final = _EPC_LISTS["anyEPCClass"]
GOODS_PARAMETERS: Final = tuple(f"MATCH_{name}" for name in _EPC_LISTS)


def canonical(text: str) -> str:
    """An identifier in the form in which it is compared; a pattern of one product's goods is the product's."""
    return canonical_identifier(text) or text


def names_some(text: str) -> bool:
    """Whether what is matched names goods that can be looked up, not all that a company has."""
    return pattern_of(text) is None or canonical(text).startswith(f"{CANONICAL_STEM}/01/")


def _is_matched(text: str, wanted: frozenset[str]) -> bool:
    """Whether an identifier is one that is wanted, or lies below one: a lot or serial of a product."""
    found = canonical(text)
    if found in wanted:
        return True
    return bool(re.search(r"/(?:10|21)/[^/]*$", found)) and found.rsplit("/", 2)[0] in wanted


def _identifiers(shown: Shown, names: Sequence[str]) -> Iterator[str]:
    """Those that stand in some fields of an event."""
    scope = shown.scope
    for name in names:
        value = shown.event.get(name, ())
        for one in [value] if isinstance(value, str) else value:
            yield scope.expand(one["epcClass"] if isinstance(one, Mapping) else one)


def _match_goods(names: Sequence[str], values: Sequence[str]) -> Test:
    patterns = [pattern for pattern in map(pattern_of, values) if pattern is not None]
    wanted = frozenset(canonical(value) for value in values)
    return lambda shown: any(
        _is_matched(one, wanted) or any(pattern.fullmatch(canonical(one)) for pattern in patterns)
        for one in _identifiers(shown, names)
    )


def _place(field: str, values: Sequence[str], *, below: bool) -> Test:
    wanted = frozenset(canonical(value) for value in values)

    def holds(shown: Shown) -> bool:
        text = shown.event.get(field, {}).get("id")
        if text is None:
            return False
        found = canonical(shown.scope.expand(text))
        return found in wanted or (below and found.partition("/254/")[0] in wanted)

    return holds


def _party(field: str, member: str, kind: str, values: Sequence[str]) -> Test:
    """Business transactions, sources and destinations of one type."""
    wanted = frozenset(canonical(value) for value in values)
    vocabulary = cbv.BIZ_TRANSACTION_TYPE if member == "bizTransaction" else cbv.SOURCE_DESTINATION_TYPE
    kind = word_of(kind, vocabulary, Context()) or kind

    def holds(shown: Shown) -> bool:
        scope = shown.scope
        return any(
            (word_of(one.get("type"), vocabulary, scope) or one.get("type")) == kind
            and canonical(scope.expand(one[member])) in wanted
            for one in shown.event.get(field, ())
        )

    return holds


# ---------------------------------------------------------------- words, times, numbers


def _word(read: Callable[[Mapping[str, Any]], Any], vocabulary: cbv.Vocabulary, values: Sequence[str]) -> Test:
    wanted = frozenset(word_of(value, vocabulary, Context()) or value for value in values)

    def holds(shown: Shown) -> bool:
        found = read(shown.event)
        listed = found if isinstance(found, list) else [found]
        scope = shown.scope
        return any((word_of(one, vocabulary, scope) or one) in wanted for one in listed if one is not None)

    return holds


def _text(read: Callable[[Mapping[str, Any]], Any], values: Sequence[str]) -> Test:
    wanted = frozenset(values)

    def holds(shown: Shown) -> bool:
        found = read(shown.event)
        listed = found if isinstance(found, list) else [found]
        return any(one in wanted for one in listed if one is not None)

    return holds


def _time(operator: str, read: Callable[[Shown], Iterator[str | float]], value: str) -> Test:
    compare, wanted = COMPARISONS[operator], moment_ms(value)

    def holds(shown: Shown) -> bool:
        return any(compare(moment_ms(one) if isinstance(one, str) else one, wanted) for one in read(shown))

    return holds


def _event_time(shown: Shown) -> Iterator[str | float]:
    yield shown.event["eventTime"]


def _record_time(shown: Shown) -> Iterator[str | float]:
    yield shown.recorded_ms


def _declaration_time(shown: Shown) -> Iterator[str | float]:
    found = shown.event.get("errorDeclaration", {}).get("declarationTime")
    if found is not None:
        yield found


def _sensor_time(name: str) -> Callable[[Shown], Iterator[str | float]]:
    def read(shown: Shown) -> Iterator[str | float]:
        for element in shown.event.get("sensorElementList", ()):
            metadata = element.get("sensorMetadata", {})
            found = metadata.get(name, metadata.get("time"))
            if found is not None:
                yield found

    return read


def _reports(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for element in event.get("sensorElementList", ()):
        yield from element.get("sensorReport", ())


def _sensor_texts(event: Mapping[str, Any], name: str) -> list[Any]:
    """A member of reports, and of their metadata."""
    elements = event.get("sensorElementList", ())
    found = [element.get("sensorMetadata", {}).get(name) for element in elements]
    return [*found, *(report.get(name) for report in _reports(event))]


def _sensor_number(operator: str, name: str, unit: str, values: Sequence[float]) -> Test:
    compare = COMPARISONS[operator]

    def holds(shown: Shown) -> bool:
        return any(
            compare(report[name], value)
            for report in _reports(shown.event)
            if name in report and (not unit or report.get("uom") == unit)
            for value in values
        )

    return holds


def _quantity(operator: str, unit: str, values: Sequence[float]) -> Test:
    compare = COMPARISONS[operator]

    def holds(shown: Shown) -> bool:
        return any(
            compare(element["quantity"], value)
            for name in _QUANTITIES
            for element in shown.event.get(name, ())
            if "quantity" in element and (not unit or element.get("uom") == unit)
            for value in values
        )

    return holds


# ---------------------------------------------------------------- the table


def _field(name: str, inner: str = "") -> Callable[[Mapping[str, Any]], Any]:
    if not inner:
        return lambda event: event.get(name)
    return lambda event: event.get(name, {}).get(inner)


def _exists(name: str, value: Any) -> Test:
    """Whether a field is there; asked for with false, whether it is not."""
    is_wanted = value not in (False, "false", 0, "0")
    return lambda shown: (name in shown.event) is is_wanted


def _boolean(value: Any) -> Test:
    wanted = [one not in (False, "false") for one in (value if isinstance(value, list) else [value])]
    return lambda shown: any(report.get("booleanValue") in wanted for report in _reports(shown.event))


_SENSOR_WORDS: Final[Mapping[str, cbv.Vocabulary]] = {
    "type": cbv.MEASUREMENT,
    "exception": cbv.SENSOR_ALERT,
    "component": cbv.COMPONENT,
}
_PLAIN: Final[Mapping[str, Callable[[Any], Test]]] = {
    "eventType": lambda value: _text(_field("type"), value),
    "EQ_action": lambda value: _text(_field("action"), value),
    "EQ_bizStep": lambda value: _word(_field("bizStep"), cbv.BIZ_STEP, value),
    "EQ_disposition": lambda value: _word(_field("disposition"), cbv.DISPOSITION, value),
    "EQ_persistentDisposition_set": lambda value: _word(_field("persistentDisposition", "set"), cbv.DISPOSITION, value),
    "EQ_persistentDisposition_unset": lambda value: _word(
        _field("persistentDisposition", "unset"), cbv.DISPOSITION, value
    ),
    "EQ_errorReason": lambda value: _word(_field("errorDeclaration", "reason"), cbv.ERROR_REASON, value),
    "EQ_correctiveEventID": lambda value: _text(_field("errorDeclaration", "correctiveEventIDs"), value),
    "EQ_transformationID": lambda value: _text(_field("transformationID"), value),
    "EQ_eventID": lambda value: _text(_field("eventID"), value),
    "EQ_readPoint": lambda value: _place("readPoint", value, below=False),
    "WD_readPoint": lambda value: _place("readPoint", value, below=True),
    "EQ_bizLocation": lambda value: _place("bizLocation", value, below=False),
    "WD_bizLocation": lambda value: _place("bizLocation", value, below=True),
    "EXISTS_errorDeclaration": lambda value: _exists("errorDeclaration", value),
    "EXISTS_sensorElementList": lambda value: _exists("sensorElementList", value),
    "EXISTS_ilmd": lambda value: _exists("ilmd", value),
    "EQ_booleanValue": _boolean,
}
_TIMES: Final[Mapping[str, Callable[[Shown], Iterator[str | float]]]] = {
    "eventTime": _event_time,
    "recordTime": _record_time,
    "errorDeclarationTime": _declaration_time,
    "errorDeclaration_Time": _declaration_time,
    "time": _sensor_time("time"),
    "startTime": _sensor_time("startTime"),
    "endTime": _sensor_time("endTime"),
}
_TIME = re.compile(r"(GE|LT|GT|LE)_(" + "|".join(_TIMES) + r")")
_PARTY = re.compile(r"EQ_(bizTransaction|source|destination)_(\S+)")
_NUMBER = re.compile(r"(EQ|GT|GE|LT|LE)_(quantity|(?:min|max|mean|perc)?[vV]alue|sDev|percRank)(?:_([A-Z0-9]{2,4}))?")
_GOODS = re.compile(r"MATCH_(" + "|".join(_EPC_LISTS) + r")")


def _test(name: str, value: Any, query: Query) -> Test:
    """One parameter, which was checked."""
    if name in _PLAIN:
        return _PLAIN[name](value)
    found = _TIME.fullmatch(name)
    if found is not None:
        return _time(found[1], _TIMES[found[2]], value)
    found = _GOODS.fullmatch(name)
    if found is not None:
        return _match_goods(_EPC_LISTS[found[1]], value)
    found = _NUMBER.fullmatch(name)
    if found is not None:
        values = value if isinstance(value, list) else [value]
        unit = found[3] or ""
        if found[2] == "quantity":
            return _quantity(found[1], unit, values)
        return _sensor_number(found[1], found[2], unit, values)
    found = EXTENSION.fullmatch(name)
    if found is not None and "://" not in name.partition(":")[0]:
        return extension_test(found, value, query)
    found = _PARTY.fullmatch(name)
    if found is not None:
        return _party(f"{found[1]}List", found[1], found[2], value)
    member = name.removeprefix("EQ_")
    return _sensor_text(member, value)


def _sensor_text(name: str, values: Sequence[str]) -> Test:
    """What stands as text in sensor data."""
    if name in _SENSOR_WORDS:
        return _word(lambda event: _sensor_texts(event, name), _SENSOR_WORDS[name], values)
    return _text(lambda event: _sensor_texts(event, name), values)
