# SPDX-License-Identifier: Apache-2.0
"""The parameters of an EPCIS 2.0 query: which exist, and what value each takes.

Tables and one check; nothing is searched here.  Source: EPCIS 2.0, section 8.2.7.1; the published query schema.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from traceability import epc
from traceability import epcis_rules as rules
from traceability import epcis_values as values
from traceability import epcis_vocabulary as cbv
from traceability.epcis_context import Context
from traceability.epcis_json import Problem, pointer
from traceability.epcis_values import ACTIONS, Check, Findings

EVENT_TYPE_NAMES: Final = (
    "ObjectEvent",
    "AggregationEvent",
    "TransactionEvent",
    "TransformationEvent",
    "AssociationEvent",
)


def _one_of(*words: str) -> Check:
    """A check for one of a few words."""

    def check(findings: Findings, path: str, value: Any) -> None:
        if value not in words:
            findings.add(path, f"must be one of {', '.join(words)}, and is {value!r:.60}")

    return check


def _check_count(findings: Findings, path: str, value: Any) -> None:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        findings.add(path, f"must be a whole number from 1, and is {value!r:.60}")


def _check_exists(findings: Findings, path: str, value: Any) -> None:
    """A parameter that asks only whether there is something has no value that counts."""
    if value is not None and not isinstance(value, bool | int | str):
        findings.add(path, "must be true, or without a value")


def _check_boolean(findings: Findings, path: str, value: Any) -> None:
    """True or false, in an address as text; several as the schema once had them."""
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, bool) and one not in ("true", "false"):
            findings.add(path, "must be true or false")


def _check_match(findings: Findings, path: str, value: Any) -> None:
    """An identifier, or a pattern of identifiers."""
    if not isinstance(value, str) or epc.pattern_of(value) is None:
        values.check_uri(findings, path, value)


def _check_comparable(findings: Findings, path: str, value: Any) -> None:
    """A number or a time."""
    if isinstance(value, str):
        values.check_time(findings, path, value)
    else:
        values.check_number(findings, path, value)


def _check_equal(findings: Findings, path: str, value: Any) -> None:
    """Texts, or a number or time."""
    if isinstance(value, list):
        _TEXTS(findings, path, value)
    else:
        _check_comparable(findings, path, value)


def _check_numbers(findings: Findings, path: str, value: Any) -> None:
    """One number or several."""
    rules.each(values.check_number, size_min=1)(findings, path, value if isinstance(value, list) else [value])


def _check_bound(findings: Findings, path: str, value: Any) -> None:
    """One number, in a list as an address has it or alone."""
    if isinstance(value, list) and len(value) > 1:
        findings.add(path, "must be one number: what is compared with it is above or below one")
    else:
        _check_numbers(findings, path, value)


_TEXTS = rules.each(values.check_text, size_min=1)
_URIS = rules.each(values.check_uri, size_min=1)
_MATCHES = rules.each(_check_match, size_min=1)

_MEASURED: Final = r"(?:quantity|(?:min|max|mean|perc)?[vV]alue|sDev|percRank)(?:_[A-Z0-9]{2,4})?"
_PARAMETERS: Final[tuple[tuple[str, Check], ...]] = (
    (r"eventType", rules.each(_one_of(*EVENT_TYPE_NAMES), size_min=1)),
    (r"(?:GE|LT|GT|LE)_(?:eventTime|recordTime|time|startTime|endTime|errorDeclaration_?Time)", values.check_time),
    (r"EQ_action", rules.each(_one_of(*ACTIONS), size_min=1)),
    (r"EQ_bizStep", rules.each(rules.word(cbv.BIZ_STEP), size_min=1)),
    (r"EQ_(?:disposition|persistentDisposition_(?:set|unset))", rules.each(rules.word(cbv.DISPOSITION), size_min=1)),
    (r"EQ_errorReason", rules.each(rules.word(cbv.ERROR_REASON), size_min=1)),
    (r"(?:EQ|WD)_(?:readPoint|bizLocation)", _URIS),
    (r"EQ_(?:bizTransaction|source|destination)_\S+", _URIS),
    (r"EQ_(?:transformationID|eventID|correctiveEventID)", _URIS),
    (r"MATCH_(?:epc|parentID|inputEPC|outputEPC|anyEPC|epcClass|inputEPCClass|outputEPCClass|anyEPCClass)", _MATCHES),
    (r"EQ_(?:deviceID|deviceMetadata|rawData|dataProcessingMethod|microorganism|chemicalSubstance)", _URIS),
    (r"EQ_(?:bizRules|uriValue|coordinateReferenceSystem)", _URIS),
    (r"EQ_type", rules.each(rules.MEASUREMENT, size_min=1)),
    (r"EQ_component", rules.each(rules.word(cbv.COMPONENT), size_min=1)),
    (r"EQ_exception", rules.each(rules.word(cbv.SENSOR_ALERT), size_min=1)),
    (r"EQ_stringValue", _TEXTS),
    (r"EQ_hexBinaryValue", rules.each(values.check_hex, size_min=1)),
    (r"EQ_booleanValue", _check_boolean),
    (rf"EQ_{_MEASURED}", _check_numbers),
    (rf"(?:GT|GE|LT|LE)_{_MEASURED}", _check_bound),
    (r"EXISTS_(?:errorDeclaration|sensorElementList|ilmd|\S+:\S+)", _check_exists),
    (r"EQ_(?:(?:INNER_|ILMD_|ERROR_DECLARATION_|SENSOR[A-Z]*_|readPoint_|bizLocation_)*)[^\s:]+:\S+", _check_equal),
    (r"(?:GT|GE|LT|LE)_(?:(?:INNER_|ILMD_|ERROR_DECLARATION_|SENSOR[A-Z]*_)*)[^\s:]+:\S+", _check_comparable),
    (r"(?:HASATTR_\S+|EQATTR_\S+|EQ_ATTR_\S+)", _TEXTS),
    (r"orderBy", _one_of("eventTime", "recordTime")),
    (r"orderDirection", _one_of("ASC", "DESC")),
    (r"eventCountLimit|maxEventCount|perPage", _check_count),
    (r"nextPageToken", values.check_text),
)
_COMPILED: Final = tuple((re.compile(pattern), check) for pattern, check in _PARAMETERS)
_LOOKS_LIKE_QUERY = re.compile(r"(?:EQ|GE|LT|GT|LE|MATCH|WD|EXISTS|HASATTR)_.*|eventType|query", re.DOTALL)


def is_query(document: Mapping[str, Any]) -> bool:
    """Whether a document is a query: it has no type, and members that queries have."""
    return "type" not in document and any(_LOOKS_LIKE_QUERY.fullmatch(name) for name in document)


def check_query(document: Mapping[str, Any]) -> list[Problem]:
    """Everything wrong with a query, bare or with a name (`{"name": …, "query": {…}}`)."""
    findings = Findings(Context())
    query, path = document, ""
    if "query" in document:
        query, path = document["query"], "/query"
        values.check_text(findings, "/name", document.get("name", "unnamed"))
        if not isinstance(query, Mapping):
            findings.add(path, "must be an object of parameters")
            return findings.problems
    for name, value in query.items():
        if name != "@context":
            check = next((check for pattern, check in _COMPILED if pattern.fullmatch(name)), None)
            if check is None:
                findings.add(pointer(path, name), "is no query parameter of EPCIS 2.0")
            else:
                check(findings, pointer(path, name), value)
    if "eventCountLimit" in query and "maxEventCount" in query:
        findings.add(pointer(path, "maxEventCount"), "must not stand beside eventCountLimit")
    return findings.problems
