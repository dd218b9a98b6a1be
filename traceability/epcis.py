# SPDX-License-Identifier: Apache-2.0
"""EPCIS 2.0 documents, single events and queries: read, checked, hashed; nothing is ever fetched.

`parse` takes bytes to JSON, `validate` refuses with every problem's JSON pointer and reason, `event_hash` identifies an
event. Whether its author may say so, and whether it agrees with earlier events, is not decided here.
Source: EPCIS 2.0, sections 7, 9.4 and 10; the published JSON schema, whose formats are checked here too.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from traceability import epcis_rules as rules
from traceability import epcis_values as values
from traceability.epcis_context import CONTEXT_PARTS_MAX, EPCIS, Context
from traceability.epcis_envelope import check_envelope
from traceability.epcis_hash import Order, event_hash, pre_hash
from traceability.epcis_json import DEPTH_MAX, InvalidDocument, Problem, is_too_deep, parse, pointer
from traceability.epcis_query import check_query, is_query
from traceability.epcis_values import Check, Findings

__all__ = [
    "EVENT_TYPES",
    "InvalidDocument",
    "Order",
    "Problem",
    "event_hash",
    "event_hashes",
    "events",
    "parse",
    "pre_hash",
    "problems",
    "validate",
]

_OBJECT: Mapping[str, Check] = {
    "action": values.check_action,
    "epcList": rules.EPCS,
    "quantityList": rules.QUANTITIES,
    "ilmd": rules.check_master_data,
    "persistentDisposition": rules.PERSISTENT_DISPOSITION,
}
_CONTAINER: Mapping[str, Check] = {
    "action": values.check_action,
    "parentID": values.check_object_id,
    "childEPCs": rules.EPCS,
    "childQuantityList": rules.QUANTITIES,
}
_TRANSACTION: Mapping[str, Check] = {
    "action": values.check_action,
    "parentID": values.check_object_id,
    "epcList": rules.EPCS,
    "quantityList": rules.QUANTITIES,
}
_TRANSFORMATION: Mapping[str, Check] = {
    "inputEPCList": rules.EPCS,
    "inputQuantityList": rules.QUANTITIES,
    "outputEPCList": rules.EPCS,
    "outputQuantityList": rules.QUANTITIES,
    "transformationID": values.check_uri,
    "ilmd": rules.check_master_data,
    "persistentDisposition": rules.PERSISTENT_DISPOSITION,
}
_ANY_TYPE: Mapping[str, Check] = {**_OBJECT, **_CONTAINER, **_TRANSACTION, **_TRANSFORMATION}
"""For an event type of the user's own: what fields of the standard it has must be right."""


def validate(document: Mapping[str, Any] | bytes | str) -> None:
    """Refuse what is no valid EPCIS document, event or query.

    Args:
        document: Parsed JSON, or its text, which is then read strictly.

    Raises:
        InvalidDocument: With all problems found, each with a JSON pointer and a reason.
    """
    found = problems(document)
    if found:
        raise InvalidDocument(found)


def problems(document: object) -> list[Problem]:
    """Everything wrong with a document, event or query, in its order; empty when it is valid.

    Args:
        document: Parsed JSON, or its text.
    """
    if isinstance(document, bytes | str):
        try:
            document = parse(document)
        except InvalidDocument as error:
            return list(error.problems)
    if not isinstance(document, Mapping):
        return [Problem("", "must be an object: an EPCIS document, one event, or a query")]
    if is_too_deep(document):
        return [Problem("", f"nested deeper than {DEPTH_MAX}")]
    if is_query(document):
        return check_query(document)
    findings = Findings(Context())
    findings.context = _surrounding(findings, document)
    kind = document.get("type")
    if kind in ("EPCISDocument", "EPCISQueryDocument"):
        _check_document(findings, document)
    else:
        _check_event(findings, "", document)
    return findings.problems


def events(document: Mapping[str, Any]) -> list[Any]:
    """The events of a document in their order; a single event is its own document.

    Args:
        document: As parsed; need not be valid, what has the wrong form yields no events.
    """
    body = document.get("epcisBody")
    if not isinstance(body, Mapping):
        return [] if "epcisBody" in document or "type" not in document else [document]
    found = _event_list(body)[1]
    return found if isinstance(found, list) else []


def event_hashes(document: Mapping[str, Any], *, order: Order = Order.REFERENCE) -> list[str]:
    """The hash of each event of a document, in their order, as `event_hash` takes them."""
    return [event_hash(event, document, order=order) for event in events(document)]


def _surrounding(findings: Findings, document: Mapping[str, Any]) -> Context:
    """The context of a whole document; what is wrong with it."""
    value = document.get("@context")
    _check_context(findings, "/@context", value)
    context = Context().extended([] if value is None else value)
    if value is not None and not context.standard and not context.alike:
        findings.add(
            "/@context", "must name the EPCIS context, https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
        )
    return context


def _check_context(findings: Findings, path: str, value: Any) -> None:
    """Addresses and definitions, alone or in a list."""
    if value is None:
        findings.add(path, "is required and missing: without it no member has a meaning")
        return
    parts = value if isinstance(value, list) else [value]
    for index, part in enumerate(parts):
        at = pointer(path, index) if isinstance(value, list) else path
        if part in parts[:index][:CONTEXT_PARTS_MAX]:
            findings.add(at, "is in the list already")
        elif isinstance(part, Mapping):
            for name, definition in part.items():
                is_version = name == "@version" and definition == 1.1
                if not is_version and not isinstance(definition, str | Mapping | bool) and definition is not None:
                    findings.add(pointer(at, name), "must be an address or a definition")
        elif isinstance(part, str):
            values.check_uri(findings, at, part)
        else:
            findings.add(at, "must be an address or an object of definitions")


def _event_list(body: Mapping[str, Any]) -> tuple[str, Any]:
    """Where in a document's body the events are, and what is there."""
    if "queryResults" in body:
        results = body["queryResults"]
        inner = results.get("resultsBody") if isinstance(results, Mapping) else None
        found = inner.get("eventList") if isinstance(inner, Mapping) else None
        return "/epcisBody/queryResults/resultsBody/eventList", found
    if "event" in body:
        return "/epcisBody/event", [body["event"]]
    return "/epcisBody/eventList", body.get("eventList")


def _check_document(findings: Findings, document: Mapping[str, Any]) -> None:
    """Envelope, then each event."""
    check_envelope(findings, document)
    body = document.get("epcisBody")
    path, found = _event_list(body) if isinstance(body, Mapping) else ("", None)
    if ("queryResults" in path) is not (document["type"] == "EPCISQueryDocument") or not isinstance(found, list):
        return
    is_single = path.endswith("/event")
    _check_events(findings, [(path if is_single else pointer(path, index), event) for index, event in enumerate(found)])


def _check_events(findings: Findings, located: list[tuple[str, Any]]) -> None:
    """Each event, an own context of which ends with it."""
    surrounding = findings.context
    for path, event in located:
        if findings.is_full():
            return
        _check_event(findings, path, event)
        findings.context = surrounding


def _check_event(findings: Findings, path: str, event: Any) -> None:
    """One event of any type."""
    if not isinstance(event, Mapping):
        findings.add(path, "must be an object")
        return
    kind = event.get("type")
    if path and "@context" in event:
        _check_context(findings, pointer(path, "@context"), event["@context"])
        findings.context = findings.context.extended(event["@context"])
    full = findings.context.expand(kind) if isinstance(kind, str) else ""
    own = EVENT_TYPES.get(full.removeprefix(EPCIS))
    if own is None and (":" not in full or full.startswith(EPCIS)):
        known = ", ".join(EVENT_TYPES)
        findings.add(pointer(path, "type"), f"must be one of {known}, or a URI, and is {kind!r:.60}")
        return
    fields, check_whole = own if own is not None else (_ANY_TYPE, _check_nothing)
    for name in rules.REQUIRED_FIELDS + (("action",) if own is not None and "action" in fields else ()):
        if name not in event:
            findings.add(pointer(path, name), "is required and missing")
    for name, value in event.items():
        check = fields.get(name) or rules.EVENT_FIELDS.get(name)
        if check is not None:
            check(findings, pointer(path, name), value)
        elif name != "@context":
            if own is None or findings.context.is_extension(name):
                rules.check_extension(findings, path, name)
            else:
                reason = f"is no field of an {kind}, and an extension needs a namespace prefix"
                findings.add(pointer(path, name), reason)
    check_whole(findings, path, event)


def _check_nothing(_findings: Findings, _path: str, _event: Mapping[str, Any]) -> None:
    """What an event of the user's own type means as a whole is not known here."""


def _check_object(findings: Findings, path: str, event: Mapping[str, Any]) -> None:
    """Something is observed; master data belongs to what is new."""
    senses = _any(event, "sensorElementList") and ("readPoint" in event or "epcList" in event)
    if not _any(event, "epcList", "quantityList") and not senses:
        findings.add(pointer(path, "epcList"), "epcList, quantityList, or sensor data with a readPoint is required")
    if "ilmd" in event and event.get("action") in ("OBSERVE", "DELETE"):
        findings.add(pointer(path, "ilmd"), "may stand only where the action is ADD")


def _check_container(findings: Findings, path: str, event: Mapping[str, Any]) -> None:
    """Children go into a parent or out of it; a parent is not its own child."""
    action = event.get("action")
    if "parentID" not in event and (action in ("ADD", "DELETE") or event.get("type") == "AssociationEvent"):
        findings.add(pointer(path, "parentID"), "is required and missing")
    if action != "DELETE" and not _any(event, "childEPCs", "childQuantityList"):
        findings.add(
            pointer(path, "childEPCs"), "childEPCs or childQuantityList is required unless the action is DELETE"
        )
    children = event.get("childEPCs")
    if isinstance(children, list) and event.get("parentID") in children:
        findings.add(pointer(path, "parentID"), "must not be among its own children")


def _check_transaction(findings: Findings, path: str, event: Mapping[str, Any]) -> None:
    """Objects and the documents that they belong to."""
    if not _any(event, "bizTransactionList"):
        findings.add(pointer(path, "bizTransactionList"), "must name at least one business transaction")
    if event.get("action") != "DELETE" and not _any(event, "epcList", "quantityList", "parentID", "sensorElementList"):
        findings.add(
            pointer(path, "epcList"), "epcList, quantityList or parentID is required unless the action is DELETE"
        )


def _check_transformation(findings: Findings, path: str, event: Mapping[str, Any]) -> None:
    """Inputs and outputs, or a part of them under a name that joins several events."""
    inputs = _any(event, "inputEPCList", "inputQuantityList")
    outputs = _any(event, "outputEPCList", "outputQuantityList")
    if "transformationID" in event and (inputs or outputs):
        return
    if not inputs:
        findings.add(pointer(path, "inputEPCList"), "inputEPCList or inputQuantityList is required")
    if not outputs:
        findings.add(pointer(path, "outputEPCList"), "outputEPCList or outputQuantityList is required")


def _any(event: Mapping[str, Any], *names: str) -> bool:
    """Whether one of the fields is there and not empty."""
    return any(event.get(name) for name in names)


EVENT_TYPES: Final[Mapping[str, tuple[Mapping[str, Check], Callable[[Findings, str, Mapping[str, Any]], None]]]] = {
    "ObjectEvent": (_OBJECT, _check_object),
    "AggregationEvent": (_CONTAINER, _check_container),
    "TransactionEvent": (_TRANSACTION, _check_transaction),
    "TransformationEvent": (_TRANSFORMATION, _check_transformation),
    "AssociationEvent": (_CONTAINER, _check_container),
}
"""The five types: the fields that each has beside the common ones, and a check of the whole."""
