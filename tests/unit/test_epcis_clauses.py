# SPDX-License-Identifier: Apache-2.0
"""Clauses of EPCIS 2.0 and CBV 2.0, each with what it lets through and what it does not."""

import pytest

from traceability import epcis

CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"ex": "https://ns.example.com/"}]
ITEM = "https://id.gs1.org/01/09521141012345/21/2017"
LOT = "https://id.gs1.org/01/09521141012345/10/L1"
PALLET = "https://id.gs1.org/00/040123450000003338"
COMMON = {"eventTime": "2026-04-05T08:30:00+08:00", "eventTimeZoneOffset": "+08:00"}
OBJECT = {"type": "ObjectEvent", **COMMON, "action": "ADD", "epcList": [ITEM]}
AGGREGATION = {"type": "AggregationEvent", **COMMON, "action": "ADD", "parentID": PALLET, "childEPCs": [ITEM]}
TRANSACTIONS = [{"type": "po", "bizTransaction": "urn:x:1"}]
EVENTS = [
    OBJECT,
    AGGREGATION,
    {**AGGREGATION, "type": "AssociationEvent"},
    {"type": "TransactionEvent", **COMMON, "action": "ADD", "bizTransactionList": TRANSACTIONS, "epcList": [ITEM]},
    {"type": "TransformationEvent", **COMMON, "inputEPCList": [PALLET], "outputEPCList": [ITEM]},
]
READING = {"type": "Temperature", "value": 4.5, "uom": "CEL"}


def document(*events: object, **members: object) -> dict:
    body = {"eventList": list(events)}
    envelope = {"type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": "2026-04-05T08:30:00Z"}
    return {"@context": CONTEXT, **envelope, "epcisBody": body, **members}


def paths(event: dict) -> list[str]:
    """Where an event is wrong."""
    return [problem.path.removeprefix("/epcisBody/eventList/0") for problem in epcis.problems(document(event))]


def sensed(report: dict, **event: object) -> dict:
    return {**OBJECT, "sensorElementList": [{"sensorReport": [report]}], **event}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_only_events_of_objects_and_transformations_have_a_persistent_disposition(event):
    """EPCIS 2.0, 7.4.2 and 7.4.6 have the field; 7.4.3 to 7.4.5 do not."""
    has = event["type"] in ("ObjectEvent", "TransformationEvent")
    changed = {**event, "persistentDisposition": {"set": ["completeness_verified"]}}
    assert paths(changed) == ([] if has else ["/persistentDisposition"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bizStep", "cbv:Disp-active"),
        ("bizStep", "urn:epcglobal:cbv:disp:active"),
        ("bizStep", "https://ref.gs1.org/cbv/Comp-x"),
        ("disposition", "cbv:BizStep-shipping"),
        ("bizTransactionList", [{"type": "cbv:BizStep-shipping", "bizTransaction": "urn:x:1"}]),
        ("sourceList", [{"type": "urn:epcglobal:cbv:btt:po", "source": "urn:x:1"}]),
    ],
)
def test_word_of_another_vocabulary_or_of_none_is_refused_in_the_namespaces_of_cbv(field, value):
    """CBV 2.0, 8.1: nobody else makes URIs there."""
    (path,) = paths({**OBJECT, field: value})
    assert path.startswith(f"/{field}")


@pytest.mark.parametrize("word", ["Temperature", "gs1:Temperature", "https://gs1.org/voc/Temperature", "ex:Ripeness"])
def test_measurement_is_a_word_of_the_list_or_a_uri(word):
    """CBV 2.0, 7.7."""
    assert paths(sensed({**READING, "type": word})) == []


@pytest.mark.parametrize("word", ["TEMPERATURE", "temperature", "Relative_Humidity", "cbv:BizStep-shipping", ""])
def test_measurement_that_is_miswritten_is_refused(word):
    """CBV 2.0, 7.7."""
    assert set(paths(sensed({**READING, "type": word}))) == {"/sensorElementList/0/sensorReport/0/type"}


def test_text_that_a_sensor_reports_may_be_empty():
    """EPCIS 2.0, 7.3.7.3: `stringValue` is any string."""
    assert paths(sensed({"type": "Temperature", "stringValue": ""})) == []
    assert paths(sensed({"type": "Temperature", "stringValue": 4})) != []


def test_list_of_objects_may_be_empty_beside_sensor_data():
    """EPCIS 2.0, 7.4.2; the schema asks for the list or for a read point."""
    place = {"id": "urn:epc:id:sgln:4012345.00001.0"}
    bare = {name: value for name, value in sensed(READING).items() if name != "epcList"}
    assert paths({**bare, "epcList": []}) == []
    assert paths({**bare, "readPoint": place}) == []
    assert paths(bare) == ["/epcList"]
    assert paths({**OBJECT, "epcList": []}) == ["/epcList"]


@pytest.mark.parametrize("time", ["2026-04-05T08:30:00Z", "2026-04-05T08:30:00.123456789+05:45"])
def test_moment_has_a_zone_and_perhaps_a_fraction(time):
    """EPCIS 2.0, 7.3.5 and XML Schema 1.1, 3.4.28 (dateTimeStamp)."""
    assert paths({**OBJECT, "eventTime": time, "recordTime": time}) == []


@pytest.mark.parametrize(
    "time",
    [
        "2026-04-05T08:30:00,5Z",
        "2026-04-05T08:30:00.Z",
        "2026-04-05 08:30:00Z",
        "2026-04-05T08:30Z",
        "2026-04-05T08:30:00+0800",
        "2026-04-05T08:30:00+08:60",
        "2026-04-05T08:30:00+24:00",
        "20260405T083000Z",
        "2025-02-29T00:00:00Z",
        " 2026-04-05T08:30:00Z",
    ],
)
def test_other_form_of_a_moment_is_refused(time):
    """XML Schema 1.1, 3.4.28; RFC 3339, 5.6."""
    assert paths({**OBJECT, "eventTime": time}) == ["/eventTime"]
    assert paths({**OBJECT, "recordTime": time}) == ["/recordTime"]
