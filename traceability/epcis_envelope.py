# SPDX-License-Identifier: Apache-2.0
"""What stands around the events of an EPCIS 2.0 document: its members, master data in the header, a query's results.

Tables and two checks; the events themselves are `traceability.epcis`'s affair.  Source: EPCIS 2.0, sections 9.4 and
10; the published JSON schema.
"""

from collections.abc import Mapping
from typing import Any, Final

from traceability import epcis_rules as rules
from traceability import epcis_values as values
from traceability.epcis_json import pointer
from traceability.epcis_values import Check, Findings

VERSIONS: Final = ("2.0", "2.0.0", "2.0.1")


def check_envelope(findings: Findings, document: Mapping[str, Any]) -> None:
    """Everything but the context and the events.

    Args:
        findings: Where problems go.
        document: Of type EPCISDocument or EPCISQueryDocument.
    """
    is_query = document["type"] == "EPCISQueryDocument"
    for name in ("epcisBody",) if is_query else ("schemaVersion", "creationDate", "epcisBody"):
        if name not in document:
            findings.add(f"/{name}", "is required and missing")
    for name, value in document.items():
        if name in _DOCUMENT:
            _DOCUMENT[name](findings, pointer("", name), value)
        elif name not in ("@context", "epcisBody"):
            rules.check_extension(findings, "", name)
    if "epcisBody" in document:
        (_QUERY_BODY if is_query else _BODY)(findings, "/epcisBody", document["epcisBody"])


def _check_version(findings: Findings, path: str, value: Any) -> None:
    """Which EPCIS it is."""
    if value not in VERSIONS:
        findings.add(path, f'must be the text "2.0", and is {value!r:.40}')


def _check_document_id(findings: Findings, path: str, value: Any) -> None:
    """A URI, or a blank node of JSON-LD, which means nothing outside."""
    if not isinstance(value, str) or not value.startswith("_:"):
        values.check_uri(findings, path, value)


def _check_one_list(findings: Findings, path: str, value: Mapping[str, Any]) -> None:
    """Events stand in a list, or one alone."""
    if "eventList" not in value and "event" not in value:
        findings.add(pointer(path, "eventList"), "is required in an EPCISDocument and missing")


def _check_any(_findings: Findings, _path: str, _value: Any) -> None:
    """What is checked elsewhere, or may be anything."""


def _check_attribute(findings: Findings, path: str, value: Any) -> None:
    """What is said of a place, party or product."""
    if value is None:
        findings.add(path, "must be a text, a number or an object")


def _check_events(findings: Findings, path: str, value: Any) -> None:
    """A list; what is in it is checked event by event."""
    if not isinstance(value, list):
        findings.add(path, "must be a list of events")


_ATTRIBUTE = rules.record({"id": values.check_uri, "attribute": _check_attribute}, ("id",), extensible=True)
_ELEMENT = rules.record(
    {"id": values.check_uri, "attributes": rules.each(_ATTRIBUTE), "children": rules.each(values.check_uri)},
    ("id",),
    extensible=True,
)
_VOCABULARIES = rules.each(
    rules.record({"type": values.check_uri, "vocabularyElementList": rules.each(_ELEMENT)}, ("type",), extensible=True)
)
_MASTER_DATA = rules.record({"vocabularyList": _VOCABULARIES}, extensible=True)
_HEADER = rules.record({"epcisMasterData": _MASTER_DATA}, extensible=True)

_DOCUMENT: Final[Mapping[str, Check]] = {
    "id": _check_document_id,
    "type": values.check_text,
    "schemaVersion": _check_version,
    "creationDate": values.check_time,
    "sender": values.check_uri,
    "receiver": values.check_uri,
    "instanceIdentifier": values.check_text,
    "epcisHeader": _HEADER,
}
_BODY = rules.record({"eventList": _check_events, "event": _check_any}, extensible=True, also=_check_one_list)
_RESULTS_BODY = rules.record(
    {"eventList": _check_events, "vocabularyList": _VOCABULARIES}, ("eventList",), extensible=True
)
_QUERY_BODY = rules.record(
    {
        "queryResults": rules.record(
            {"queryName": values.check_text, "subscriptionID": values.check_text, "resultsBody": _RESULTS_BODY},
            ("queryName", "resultsBody"),
            extensible=True,
        )
    },
    ("queryResults",),
    extensible=True,
)
