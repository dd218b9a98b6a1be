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


PLACE = {"id": "urn:epc:id:sgln:4012345.00001.0"}
VOCABULARY = {
    "type": "urn:epcglobal:epcis:vtype:BusinessLocation",
    "vocabularyElementList": [
        {
            **PLACE,
            "attributes": [
                {"id": "cbvmda:latitude", "attribute": "+18.0000"},
                {"id": "urn:epcglobal:cbv:mda:longitude", "attribute": 70.5},
                {"id": "ex:address", "attribute": {"ex:street": "High Street"}},
            ],
            "children": ["urn:epc:id:sgln:4012345.00001.1"],
        }
    ],
}


def header(*vocabularies: object) -> dict:
    return {"epcisMasterData": {"vocabularyList": list(vocabularies)}}


def element(**members: object) -> dict:
    return header({"type": "urn:x:1", "vocabularyElementList": [{"id": "urn:x:2", **members}]})


def where(whole: dict) -> list[str]:
    return [problem.path for problem in epcis.problems(whole)]


@pytest.mark.parametrize("value", [header(VOCABULARY), {**header(), "ex:own": 1}, {}, header({"type": "urn:x:1"})])
def test_master_data_in_the_header_is_accepted(value):
    """EPCIS 2.0, 9.4 and 9.5."""
    assert where(document(OBJECT, epcisHeader=value)) == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, ""),
        ([], ""),
        ({"masterData": {}}, "/masterData"),
        ({"epcisMasterData": []}, "/epcisMasterData"),
        ({"epcisMasterData": {"vocabularyList": {}}}, "/epcisMasterData/vocabularyList"),
        (header(5), "/epcisMasterData/vocabularyList/0"),
        (header({"vocabularyElementList": []}), "/epcisMasterData/vocabularyList/0/type"),
        (header({"type": "places"}), "/epcisMasterData/vocabularyList/0/type"),
        (element(id="shop"), "/epcisMasterData/vocabularyList/0/vocabularyElementList/0/id"),
        (element(attributes={}), "/epcisMasterData/vocabularyList/0/vocabularyElementList/0/attributes"),
        (
            element(attributes=[{"attribute": 1}]),
            "/epcisMasterData/vocabularyList/0/vocabularyElementList/0/attributes/0/id",
        ),
        (element(children=["shop"]), "/epcisMasterData/vocabularyList/0/vocabularyElementList/0/children/0"),
    ],
)
def test_other_form_of_master_data_is_refused_with_its_path(value, path):
    """EPCIS 2.0, 9.4 and 9.5; the schema's `vocabulary`."""
    assert where(document(OBJECT, epcisHeader=value)) == [f"/epcisHeader{path}"]


def answer(results: object, **members: object) -> dict:
    body = {"queryResults": results}
    return {"@context": CONTEXT, "type": "EPCISQueryDocument", "epcisBody": body, **members}


@pytest.mark.parametrize(
    "results",
    [
        {"queryName": "q", "resultsBody": {"eventList": [OBJECT]}},
        {"queryName": "q", "subscriptionID": "s", "resultsBody": {"eventList": [], "ex:own": 1}},
        {"queryName": "q", "resultsBody": {"eventList": [], "vocabularyList": [VOCABULARY]}},
    ],
)
def test_answer_to_a_query_is_accepted(results):
    """EPCIS 2.0, 9.4; unlike a captured document it may do without version and date."""
    assert where(answer(results)) == []
    assert where(answer(results, schemaVersion="2.0", creationDate="2026-04-05T08:30:00Z")) == []
    assert where(answer(results, schemaVersion="1.2")) == ["/schemaVersion"]


@pytest.mark.parametrize(
    ("results", "path"),
    [
        ({"resultsBody": {"eventList": []}}, "/queryName"),
        ({"queryName": 5, "resultsBody": {"eventList": []}}, "/queryName"),
        ({"queryName": "q"}, "/resultsBody"),
        ({"queryName": "q", "resultsBody": {}}, "/resultsBody/eventList"),
        ({"queryName": "q", "resultsBody": {"eventList": {}}}, "/resultsBody/eventList"),
        ({"queryName": "q", "subscriptionID": 5, "resultsBody": {"eventList": []}}, "/subscriptionID"),
        ({"queryName": "q", "note": 1, "resultsBody": {"eventList": []}}, "/note"),
        ({"queryName": "q", "resultsBody": {"eventList": [], "note": 1}}, "/resultsBody/note"),
    ],
)
def test_other_form_of_an_answer_is_refused_with_its_path(results, path):
    """EPCIS 2.0, 9.4; the schema's `queryResults`."""
    assert where(answer(results)) == [f"/epcisBody/queryResults{path}"]


def test_body_has_events_and_extensions_and_is_of_the_documents_kind():
    """EPCIS 2.0, 9.4."""
    events = {"eventList": [OBJECT]}
    assert where(document(epcisBody={**events, "ex:own": 1})) == []
    assert where(document(epcisBody={"event": OBJECT})) == []
    assert where(document(epcisBody={**events, "note": 1})) == ["/epcisBody/note"]
    assert "/epcisBody/eventList" in where(document(epcisBody=answer({})["epcisBody"]))
    assert "/epcisBody/queryResults" in where({**answer({}), "epcisBody": events})
    assert where(document(epcisBody=None)) == ["/epcisBody"]


def test_document_may_be_a_blank_node():
    """JSON-LD 1.1, 4.5.1."""
    assert where(document(OBJECT, id="_:document1")) == []
    assert where(document(OBJECT, id="document1")) == ["/id"]


@pytest.mark.parametrize(
    ("context", "path"),
    [
        ("https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", ""),
        ("https://mirror.example/gs1/epcis-context.jsonld", ""),
        ([{"ex": "https://ns.example.com/"}, CONTEXT[0], "https://ns.example.com/own.jsonld"], ""),
        ("https://schema.org", "/@context"),
        (["https://ns.example.com/own.jsonld"], "/@context"),
        ([CONTEXT[0], CONTEXT[0]], "/@context/1"),
        ([CONTEXT[0], {"ex": "urn:x:"}, {"ex": "urn:x:"}], "/@context/2"),
        ([CONTEXT[0], None], "/@context/1"),
        ([CONTEXT[0], {"@version": 1.1, "@protected": True, "ex": "https://ns.example.com/"}], ""),
        ([CONTEXT[0], {"@version": 1.0}], "/@context/1/@version"),
    ],
)
def test_context_is_the_one_of_epcis_beside_others_each_once(context, path):
    """EPCIS 2.0, 10.2; the schema's `@context` has distinct members."""
    assert where({**document(OBJECT), "@context": context}) == ([path] if path else [])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"epcList": [LOT]}, "/epcList/0"),
        ({"epcList": ["https://shop.example/01/09521141012345"]}, "/epcList/0"),
        ({"epcList": ["urn:epc:class:lgtin:4012345.012345.L1"]}, "/epcList/0"),
        ({"epcList": ["urn:epc:id:sgtin:4012345.012345.123456789012345678901"]}, "/epcList/0"),
        ({"epcList": ["urn:epc:id:sgtn:4012345.012345.1"]}, "/epcList/0"),
        ({"epcList": ["http://"]}, "/epcList/0"),
        ({"quantityList": [{"epcClass": ITEM}]}, "/quantityList/0/epcClass"),
        ({"quantityList": [{"epcClass": PALLET}]}, "/quantityList/0/epcClass"),
        ({"quantityList": [{"epcClass": "urn:epc:idpat:sgtin:4012345.*.*"}]}, "/quantityList/0/epcClass"),
    ],
)
def test_class_of_objects_does_not_stand_for_one_nor_one_for_a_class(change, path):
    """CBV 2.0, 8.2 and 8.3."""
    assert paths({**OBJECT, **change}) == [path]


@pytest.mark.parametrize("epc", [ITEM, PALLET, "https://shop.example/x/01/09521141012345/10/A/21/1", "urn:x:1"])
def test_object_is_named_by_gs1_or_by_a_uri_of_the_users_own(epc):
    """CBV 2.0, 8.2.1 to 8.2.5."""
    assert paths({**OBJECT, "epcList": [epc]}) == []
    assert paths({**OBJECT, "quantityList": [{"epcClass": LOT}, {"epcClass": "urn:x:lot"}]}) == []


def test_parent_of_an_aggregation_is_one_object():
    """EPCIS 2.0, 7.4.3; CBV 2.0, 8.2."""
    assert paths({**AGGREGATION, "parentID": LOT}) == ["/parentID"]
    assert paths({**AGGREGATION, "type": "AssociationEvent", "parentID": "https://id.gs1.org/414/4012345000115"}) == []


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        ("geo:23.02,113.12", True),
        ("geo:-33.8688,151.2093,58;u=20", True),
        ("geo:91.0,113.12", False),
        ("geo:23.02,180.1", False),
        ("geo:23.02", False),
        ("geo:here", False),
    ],
)
def test_coordinates_of_a_place_are_on_earth(place, is_one):
    """CBV 2.0, 8.4.4; RFC 5870, 3.3."""
    for field in ("readPoint", "bizLocation"):
        assert paths({**OBJECT, field: {"id": place}}) == ([] if is_one else [f"/{field}/id"])


@pytest.mark.parametrize("name", ["ObjectEvent", "epcis:ObjectEvent", "https://ref.gs1.org/epcis/ObjectEvent"])
def test_type_is_the_same_however_it_is_written(name):
    """JSON-LD 1.1, 3.2; EPCIS 2.0, 10.2."""
    assert paths({**OBJECT, "type": name}) == []
    assert paths({**OBJECT, "type": name, "epcList": []}) == ["/epcList"]
    assert epcis.event_hash({**OBJECT, "type": name}) == epcis.event_hash(OBJECT)


@pytest.mark.parametrize("name", ["QuantityEvent", "epcis:QuantityEvent", "objectEvent", "", None, ["ObjectEvent"]])
def test_type_that_epcis_does_not_have_is_refused(name):
    """EPCIS 2.0, 7.4: its own names are the five."""
    assert paths({**OBJECT, "type": name}) == ["/type"]
    assert paths({**OBJECT, "type": "ex:Harvest"}) == []


@pytest.mark.parametrize("unit", ["KGM", "CEL", "A93", "4N", "C62", "P1"])
def test_unit_is_a_code_of_two_or_three_characters(unit):
    """EPCIS 2.0, 7.3.3.3; UN/ECE Recommendation 20."""
    assert paths(sensed({**READING, "uom": unit}, quantityList=[{"epcClass": LOT, "quantity": 1, "uom": unit}])) == []


@pytest.mark.parametrize("unit", ["KG", "kgm", "PCS", "K", "KILO", "", None, 5, " KGM"])
def test_unit_that_is_none_is_refused(unit):
    """EPCIS 2.0, 7.3.3.3; UN/ECE Recommendation 20, whose kilogram is KGM."""
    assert paths(sensed({**READING, "uom": unit})) == ["/sensorElementList/0/sensorReport/0/uom"]
    assert paths({**OBJECT, "quantityList": [{"epcClass": LOT, "quantity": 1, "uom": unit}]}) == ["/quantityList/0/uom"]
