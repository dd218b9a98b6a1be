# SPDX-License-Identifier: Apache-2.0
"""EPCIS documents that pass a schema but not the meaning, and texts that are no documents at all."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceability import epcis
from traceability.epcis_json import DEPTH_MAX, PROBLEMS_MAX

ITEM = "https://id.gs1.org/01/09521141012345/21/2017"
LOT = "https://id.gs1.org/01/09521141012345/10/L1"
PALLET = "https://id.gs1.org/00/040123450000003338"
CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"ex": "https://ns.example.com/"}]
COMMON = {"eventTime": "2026-04-05T08:30:00+08:00", "eventTimeZoneOffset": "+08:00"}
OBJECT = {"type": "ObjectEvent", **COMMON, "action": "ADD", "epcList": [ITEM]}
AGGREGATION = {"type": "AggregationEvent", **COMMON, "action": "ADD", "parentID": PALLET, "childEPCs": [ITEM]}
ASSOCIATION = {**AGGREGATION, "type": "AssociationEvent"}
TRANSACTION = {
    "type": "TransactionEvent",
    **COMMON,
    "action": "ADD",
    "bizTransactionList": [{"type": "po", "bizTransaction": "urn:epcglobal:cbv:bt:0614141073467:1152"}],
    "epcList": [ITEM],
}
TRANSFORMATION = {
    "type": "TransformationEvent",
    **COMMON,
    "inputQuantityList": [{"epcClass": LOT, "quantity": 100, "uom": "KGM"}],
    "outputEPCList": [ITEM],
}
ALL_TYPES = [OBJECT, AGGREGATION, ASSOCIATION, TRANSACTION, TRANSFORMATION]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def document(*events: object) -> dict:
    return {
        "@context": CONTEXT,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-04-05T08:30:00Z",
        "epcisBody": {"eventList": list(events)},
    }


def found(event: dict) -> list[tuple[str, str]]:
    return [
        (problem.path.removeprefix("/epcisBody/eventList/0"), problem.reason)
        for problem in epcis.problems(document(event))
    ]


@pytest.mark.parametrize("event", ALL_TYPES, ids=lambda event: event["type"])
def test_plain_event_of_each_type_is_accepted(event):
    assert found(event) == []
    assert epcis.problems({"@context": CONTEXT, **event}) == []


@pytest.mark.parametrize("event", ALL_TYPES, ids=lambda event: event["type"])
def test_each_required_field_is_missed_by_name(event):
    required = {
        "ObjectEvent": {"epcList"},
        "AggregationEvent": {"parentID", "childEPCs"},
        "AssociationEvent": {"parentID", "childEPCs"},
        "TransactionEvent": {"bizTransactionList", "epcList"},
        "TransformationEvent": {"outputEPCList"},
    }[event["type"]] | {"type", "eventTime", "eventTimeZoneOffset", *(["action"] if "action" in event else [])}
    for name in required:
        rest = {key: value for key, value in event.items() if key != name}
        assert f"/{name}" in [path for path, _ in found(rest)], name


REFUSED = [
    ({"eventTime": "2026-02-30T08:30:00+08:00"}, "/eventTime", "exists"),
    ({"eventTime": "2026-04-05T24:30:00Z"}, "/eventTime", "exists"),
    ({"eventTime": "2026-04-05T08:30:00"}, "/eventTime", "offset"),
    ({"eventTime": 5}, "/eventTime", "no date and time"),
    ({"recordTime": "yesterday"}, "/recordTime", "no date and time"),
    ({"eventTimeZoneOffset": "+14:30"}, "/eventTimeZoneOffset", "time zone"),
    ({"eventTimeZoneOffset": "Z"}, "/eventTimeZoneOffset", "time zone"),
    ({"eventID": "7"}, "/eventID", "URI"),
    ({"eventID": "ni:///sha-256;00?ver=CBV2.0"}, "/eventID", "64"),
    ({"bizStep": "growing"}, "/bizStep", "no business step"),
    ({"bizStep": "cbv:BizStep-growing"}, "/bizStep", "though named as one"),
    ({"bizStep": "urn:epcglobal:cbv:bizstep:growing"}, "/bizStep", "though named as one"),
    ({"bizStep": ["shipping"]}, "/bizStep", "as text"),
    ({"disposition": "lost"}, "/disposition", "no disposition"),
    ({"persistentDisposition": {}}, "/persistentDisposition", "at least one"),
    ({"persistentDisposition": {"set": ["lost"]}}, "/persistentDisposition/set/0", "no disposition"),
    ({"readPoint": {}}, "/readPoint/id", "missing"),
    ({"readPoint": "urn:x"}, "/readPoint", "object"),
    ({"readPoint": {"id": "https://id.gs1.org/414/4012345000116"}}, "/readPoint/id", "check digit"),
    ({"readPoint": {"id": "urn:x:1", "note": "a"}}, "/readPoint/note", "namespace"),
    ({"bizLocation": {"id": "urn:epc:id:sgln:4012345.0001.0"}}, "/bizLocation/id", "no EPC URN"),
    (
        {"bizTransactionList": [{"type": "xx", "bizTransaction": "urn:x:1"}]},
        "/bizTransactionList/0/type",
        "no business",
    ),
    ({"sourceList": [{"type": "location"}]}, "/sourceList/0/source", "missing"),
    ({"sourceList": [{"source": "urn:x:1"}]}, "/sourceList/0/type", "missing"),
    ({"destinationList": {}}, "/destinationList", "list"),
    ({"epcList": ["https://id.gs1.org/01/09521141012344/21/1"]}, "/epcList/0", "check digit"),
    ({"epcList": ["https://shop.example/01/09521141012344/21/1"]}, "/epcList/0", "check digit"),
    ({"epcList": ["not a uri"]}, "/epcList/0", "URI"),
    ({"epcList": ["urn:x:%zz"]}, "/epcList/0", "URI"),
    ({"epcList": [ITEM, ITEM]}, "/epcList/1", "already"),
    ({"epcList": ["urn:epc:idpat:sgtin:4012345.012345.*"]}, "/epcList/0", "class of objects"),
    ({"epcList": ITEM}, "/epcList", "list"),
    ({"quantityList": [{"quantity": 1}]}, "/quantityList/0/epcClass", "missing"),
    ({"quantityList": [{"epcClass": LOT, "quantity": -1}]}, "/quantityList/0/quantity", "negative"),
    ({"quantityList": [{"epcClass": LOT, "quantity": True}]}, "/quantityList/0/quantity", "number"),
    ({"quantityList": [{"epcClass": LOT, "uom": "KGM"}]}, "/quantityList/0/quantity", "unit"),
    ({"quantityList": [{"epcClass": LOT, "quantity": 1, "uom": "kg"}]}, "/quantityList/0/uom", "unit code"),
    (
        {"quantityList": [{"epcClass": "urn:epc:id:sgtin:4012345.012345.1"}]},
        "/quantityList/0/epcClass",
        "one object",
    ),
    ({"parentID": PALLET}, "/parentID", "no field of an ObjectEvent"),
    ({"grade": "A"}, "/grade", "namespace prefix"),
    ({"ilmd": {"ex:a": 1}, "action": "OBSERVE"}, "/ilmd", "ADD"),
    ({"ilmd": {}}, "/ilmd", "at least one"),
    ({"ilmd": {"cbvmda:bestBeforeDate": "soon"}}, "/ilmd/cbvmda:bestBeforeDate", "date"),
    ({"certificationInfo": "none"}, "/certificationInfo", "URI"),
    ({"certificationInfo": [{"agency": "x"}]}, "/certificationInfo/0/agency", "namespace"),
    ({"errorDeclaration": {}}, "/errorDeclaration/declarationTime", "missing"),
    (
        {"errorDeclaration": {"declarationTime": "2026-04-05T08:30:00Z", "reason": "typo"}},
        "/errorDeclaration/reason",
        "no error reason",
    ),
    (
        {"errorDeclaration": {"declarationTime": "2026-04-05T08:30:00Z", "correctiveEventIDs": ["x"]}},
        "/errorDeclaration/correctiveEventIDs/0",
        "URI",
    ),
    ({"sensorElementList": [{}]}, "/sensorElementList/0/sensorReport", "missing"),
    ({"sensorElementList": [{"sensorReport": []}]}, "/sensorElementList/0/sensorReport", "at least 1"),
    ({"@context": 5}, "/@context", "address"),
]


@pytest.mark.parametrize(("change", "path", "reason"), REFUSED, ids=lambda value: str(value)[:50])
def test_wrong_field_is_refused_with_its_path_and_the_reason(change, path, reason):
    problems = found({**OBJECT, **change})
    assert [at for at, _ in problems] == [path]
    assert reason in problems[0][1]


REPORTS = [
    ({"value": 4}, "type", "type or an exception"),
    ({"type": "very hot"}, "type", "measurement"),
    ({"type": "Temperature", "value": "4"}, "value", "number"),
    ({"type": "Temperature", "minValue": 5, "maxValue": 4}, "minValue", "above"),
    ({"type": "Temperature", "percRank": 101}, "percRank", "100"),
    ({"type": "Temperature", "sDev": -1}, "sDev", "negative"),
    ({"type": "Temperature", "uom": "celsius"}, "uom", "unit"),
    ({"type": "Temperature", "component": "w"}, "component", "component"),
    ({"type": "Temperature", "hexBinaryValue": "xyz"}, "hexBinaryValue", "hexadecimal"),
    ({"type": "Temperature", "booleanValue": "true"}, "booleanValue", "true or false"),
    ({"exception": "PANIC"}, "exception", "sensor alert"),
    ({"type": "Temperature", "time": "now"}, "time", "date and time"),
]


@pytest.mark.parametrize(("report", "name", "reason"), REPORTS, ids=lambda value: str(value)[:40])
def test_wrong_sensor_report_is_refused_with_its_path_and_the_reason(report, name, reason):
    problems = found({**OBJECT, "sensorElementList": [{"sensorReport": [report]}]})
    assert [path for path, _ in problems] == [f"/sensorElementList/0/sensorReport/0/{name}"]
    assert reason in problems[0][1]


def test_measurement_that_ends_before_it_starts_is_refused():
    metadata = {"startTime": "2026-04-05T08:00:00+08:00", "endTime": "2026-04-05T00:00:00.000Z"}
    element = {"sensorMetadata": metadata, "sensorReport": [{"type": "Temperature", "value": 4, "uom": "CEL"}]}
    assert found({**OBJECT, "sensorElementList": [element]}) == []
    metadata["endTime"] = "2026-04-04T23:59:59Z"
    assert found({**OBJECT, "sensorElementList": [element]})[0][0].endswith("/sensorMetadata/startTime")


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({**AGGREGATION, "childEPCs": [PALLET]}, "/parentID"),
        ({**AGGREGATION, "ilmd": {"ex:a": 1}}, "/ilmd"),
        ({**TRANSFORMATION, "action": "ADD"}, "/action"),
        ({**TRANSFORMATION, "inputQuantityList": []}, "/inputEPCList"),
        ({**TRANSACTION, "bizTransactionList": []}, "/bizTransactionList"),
        ({**OBJECT, "type": "HarvestEvent"}, "/type"),
        ({**OBJECT, "type": ["ObjectEvent"]}, "/type"),
    ],
)
def test_rule_of_one_event_type_is_kept(event, path):
    assert path in [at for at, _ in found(event)]


@pytest.mark.parametrize(
    "event",
    [
        {**AGGREGATION, "action": "DELETE", "childEPCs": []},
        {key: value for key, value in AGGREGATION.items() if key != "parentID"} | {"action": "OBSERVE"},
        {**TRANSACTION, "action": "DELETE", "epcList": []},
        {**TRANSFORMATION, "outputEPCList": [], "transformationID": "urn:x:1"},
        {**OBJECT, "ex:grade": {"inner": [1, None, {"free": "A"}]}},
        {**OBJECT, "bizStep": "https://ref.gs1.org/cbv/BizStep-shipping", "disposition": "cbv:Disp-in_transit"},
        {**OBJECT, "@context": {"grade": "https://ns.example.com/grade"}, "grade": "A"},
        {**OBJECT, "@context": "https://example.com/context.jsonld", "grade": "A"},
        {**OBJECT, "type": "ex:HarvestEvent"},
        {**OBJECT, "certificationInfo": [{"gs1:certificationAuditDate": {"@value": "2026-04-05"}}, "urn:x:1"]},
    ],
)
def test_what_the_standard_lets_through_is_accepted(event):
    assert found(event) == []


def test_context_of_one_event_does_not_reach_the_next():
    first = {**OBJECT, "@context": {"grade": "https://ns.example.com/grade"}, "grade": "A"}
    problems = epcis.problems(document(first, {**OBJECT, "grade": "A"}))
    assert [problem.path for problem in problems] == ["/epcisBody/eventList/1/grade"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"schemaVersion": 2.0}, "/schemaVersion"),
        ({"schemaVersion": "1.2"}, "/schemaVersion"),
        ({"creationDate": "2026-04-05"}, "/creationDate"),
        ({"epcisBody": []}, "/epcisBody"),
        ({"epcisBody": {}}, "/epcisBody/eventList"),
        ({"epcisBody": {"eventList": {}}}, "/epcisBody/eventList"),
        ({"epcisBody": {"eventList": [5]}}, "/epcisBody/eventList/0"),
        ({"type": "Document"}, "/type"),
        ({"note": "x"}, "/note"),
        ({"@context": {"ex": "https://ns.example.com/"}}, "/@context"),
        ({"@context": [{"ex": 5}, CONTEXT[0]]}, "/@context/0/ex"),
        ({"@context": [5, CONTEXT[0]]}, "/@context/0"),
    ],
)
def test_wrong_envelope_is_refused_with_its_path(change, path):
    assert path in [problem.path for problem in epcis.problems({**document(OBJECT), **change})]


def test_all_problems_are_reported_up_to_the_limit():
    problems = epcis.problems(document(*[{**OBJECT, "bizStep": "growing", "action": "GROW"}] * PROBLEMS_MAX))
    assert len(problems) == PROBLEMS_MAX
    with pytest.raises(epcis.InvalidDocument, match="growing") as refused:
        epcis.validate(document({**OBJECT, "bizStep": "growing"}))
    assert refused.value.code == "epcis.invalid"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"type": "a", "type": "b"}', "stands twice"),
        (r'{"type": "\ud800"}', "surrogate"),
        (b'{"type": "\xff"}', "UTF-8"),
        ("[" * (DEPTH_MAX + 1), "nested deeper"),
        ('{"a": ' + "9" * 41 + "}", "41 characters"),
        ('{"a": 1e999}', "too large"),
        ('{"a": 1e-999}', "too small"),
        ('{"a": NaN}', "no number"),
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[]", "must be an object"),
        ('{"a": "' + "x" * 20 + '"}', "at most 16 are allowed"),
    ],
)
def test_text_that_readers_would_disagree_on_is_refused(text, reason):
    if "at most 16" in reason:
        with pytest.raises(epcis.InvalidDocument, match=reason):
            epcis.parse(text, size_max=16)
    else:
        assert reason in epcis.problems(text)[0].reason


def test_parsed_value_nested_too_deep_is_refused_without_exhausting_the_stack():
    value: list = []
    for _ in range(200):
        value = [value]
    assert "nested deeper" in found({**OBJECT, "ex:deep": value})[0][1]
    with pytest.raises(epcis.InvalidDocument, match="nested deeper"):
        epcis.event_hash({**OBJECT, "ex:deep": value}, CONTEXT)


@given(st.sampled_from(ALL_TYPES), st.data())
def test_any_value_in_any_field_is_accepted_or_refused_with_a_reason(event, data):
    changed = copy.deepcopy(event)
    changed[data.draw(st.sampled_from([*event, "ilmd", "sensorElementList", "@context", "readPoint"]))] = data.draw(
        json_values
    )
    assert all(problem.reason for problem in epcis.problems(document(changed)))


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_accepted_or_refused_with_a_reason(data):
    assert all(problem.reason for problem in epcis.problems(data))


@pytest.mark.parametrize(
    "query",
    [
        {"eventType": ["ObjectEvent"], "GE_eventTime": "2026-01-01T00:00:00Z", "EQ_action": ["ADD"]},
        {"EQ_bizStep": ["shipping"], "MATCH_anyEPC": [ITEM], "orderBy": "eventTime", "orderDirection": "DESC"},
        {"name": "lots", "query": {"MATCH_epcClass": [LOT], "eventCountLimit": 10}},
        {"EQ_bizTransaction_po": ["urn:x:1"], "EQ_ex:grade": ["A"], "GE_ILMD_ex:weight": 5, "EXISTS_ex:grade": None},
        {"GE_value_CEL": 4, "EQ_quantity": [1, 2], "EQ_type": ["Temperature"]},
    ],
)
def test_query_of_known_parameters_is_accepted(query):
    assert epcis.problems(query) == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"eventType": ["HarvestEvent"]}, "/eventType/0"),
        ({"EQ_bizStep": ["growing"]}, "/EQ_bizStep/0"),
        ({"EQ_action": "ADD"}, "/EQ_action"),
        ({"eventType": ["ObjectEvent"], "perPage": 0}, "/perPage"),
        ({"eventType": ["ObjectEvent"], "orderBy": "action"}, "/orderBy"),
        ({"eventType": ["ObjectEvent"], "maxEventCount": 1, "eventCountLimit": 1}, "/maxEventCount"),
        ({"MATCH_epc": [5]}, "/MATCH_epc/0"),
        ({"GE_quantity": "5"}, "/GE_quantity/0"),
        ({"GE_ex:a": "five"}, "/GE_ex:a"),
        ({"query": []}, "/query"),
        ({"name": "", "query": {"EXISTS_ilmd": []}}, "/query/EXISTS_ilmd"),
    ],
)
def test_query_with_a_wrong_parameter_is_refused_with_its_path(query, path):
    assert path in [problem.path for problem in epcis.problems(query)]
