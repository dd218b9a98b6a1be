# SPDX-License-Identifier: Apache-2.0
"""The canonical text of an event and its hash: what must not change it, what must, and both orders."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceability import epcis
from traceability.epcis import Order, event_hash, pre_hash
from traceability.epcis_hash import timestamp

CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"ex": "https://ns.example.com/"}]
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2026-04-05T08:30:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "ADD",
    "epcList": ["urn:epc:id:sgtin:4012345.012345.2", "https://shop.example/01/04012345123456/10/L/21/1?17=270101"],
    "bizStep": "shipping",
    "disposition": "in_transit",
    "persistentDisposition": {"unset": ["active"], "set": ["completeness_verified"]},
    "readPoint": {"id": "urn:epc:id:sgln:4012345.00011.0", "ex:gate": "7"},
    "bizTransactionList": [{"bizTransaction": "urn:x:1", "type": "po"}, {"bizTransaction": "urn:x:0"}],
    "sourceList": [{"type": "location", "source": "urn:epc:id:sgln:4012345.00011.0"}],
    "sensorElementList": [
        {
            "ex:note": "a",
            "sensorReport": [{"uom": "CEL", "value": 4.50, "type": "Temperature", "exception": "ALARM_CONDITION"}],
            "sensorMetadata": {"time": "2026-04-05T08:29:59.9996+08:00", "bizRules": "urn:x:9"},
        }
    ],
    "ilmd": {"cbvmda:lotNumber": "L", "ex:b": [2, 1]},
    "ex:grade": {"inner": "A", "ex:z": True},
}
HEAD = (
    "eventType=ObjectEventeventTime=2026-04-05T00:30:00.000ZeventTimeZoneOffset=+08:00"
    "epcListepc=https://id.gs1.org/01/04012345123456/21/1epc=https://id.gs1.org/01/04012345123456/21/2"
    "action=ADDbizStep=https://ref.gs1.org/cbv/BizStep-shipping"
    "disposition=https://ref.gs1.org/cbv/Disp-in_transit"
    "persistentDispositionset=https://ref.gs1.org/cbv/Disp-completeness_verified"
    "unset=https://ref.gs1.org/cbv/Disp-active"
    "readPointid=https://id.gs1.org/414/4012345000115{https://ns.example.com/}gate=7"
)
SENSORS = (
    "sensorElementListsensorElementsensorMetadatatime=2026-04-05T00:30:00.000ZbizRules=urn:x:9"
    "sensorReporttype=https://gs1.org/voc/Temperatureexception=https://gs1.org/voc/ALARM_CONDITION"
    "value=4.5uom=CEL{https://ns.example.com/}note=a"
)
TRANSACTIONS = "bizTransactionListbizTransaction=urn:x:0type=https://ref.gs1.org/cbv/BTT-pobizTransaction=urn:x:1"
ILMD = "ilmd{https://ns.example.com/}b=1{https://ns.example.com/}b=2{urn:epcglobal:cbv:mda:}lotNumber=L"
SOURCES = "sourceListtype=https://ref.gs1.org/cbv/SDT-locationsource=https://id.gs1.org/414/4012345000115"
EXTENSION = "{https://ns.example.com/}gradeinner=A{https://ns.example.com/}z=true"


def test_order_of_the_reference_puts_sensors_first_and_sorts_the_rest():
    assert pre_hash(EVENT, CONTEXT) == HEAD + SENSORS + TRANSACTIONS + ILMD + SOURCES + EXTENSION


def test_order_of_the_specification_is_the_printed_one():
    expected = HEAD + TRANSACTIONS + SOURCES + SENSORS + ILMD + EXTENSION
    assert pre_hash(EVENT, CONTEXT, order=Order.SPECIFICATION) == expected


def test_parent_comes_before_objects_in_the_reference_and_after_them_in_print():
    event = {"type": "TransactionEvent", "epcList": ["urn:x:1"], "parentID": "urn:x:2"}
    assert pre_hash(event) == "eventType=TransactionEventparentID=urn:x:2epcListepc=urn:x:1"
    printed = "eventType=TransactionEventepcListepc=urn:x:1parentID=urn:x:2"
    assert pre_hash(event, order=Order.SPECIFICATION) == printed


def test_hash_is_the_named_digest_of_the_canonical_text():
    digest = hashlib.sha256(pre_hash(EVENT, CONTEXT).encode()).hexdigest()
    assert event_hash(EVENT, CONTEXT) == f"ni:///sha-256;{digest}?ver=CBV2.0"


@given(st.randoms(use_true_random=False), st.sampled_from(Order))
def test_order_of_members_and_of_lists_does_not_change_the_hash(random, order):
    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            members = list(value.items())
            random.shuffle(members)
            return {name: shuffled(item) for name, item in members}
        if isinstance(value, list):
            return random.sample([shuffled(item) for item in value], len(value))
        return value

    assert event_hash(shuffled(EVENT), CONTEXT, order=order) == event_hash(EVENT, CONTEXT, order=order)


@pytest.mark.parametrize(
    "change",
    [
        {"recordTime": "2026-04-06T00:00:00Z"},
        {"eventID": "urn:uuid:1"},
        {"errorDeclaration": {"declarationTime": "2026-04-06T00:00:00Z"}},
        {"rdfs:comment": "seen"},
        {"comment": "seen"},
        {"eventTime": " 2026-04-05T00:30:00.0004Z "},
        {"bizStep": "cbv:BizStep-shipping"},
        {"bizStep": "urn:epcglobal:cbv:bizstep:shipping"},
        {"disposition": "https://ref.gs1.org/cbv/Disp-in_transit"},
        {"quantityList": []},
        {"ex:empty": None},
        {"@context": {"other": "https://other.example/"}},
        {"ex:captureID": "1"},
    ],
)
def test_what_does_not_belong_to_the_event_does_not_change_the_hash(change):
    assert event_hash({**EVENT, **change}, CONTEXT, ignored=["ex:captureID"]) == event_hash(EVENT, CONTEXT)


@pytest.mark.parametrize("name", sorted(EVENT))
def test_every_field_that_is_there_counts(name):
    if name == "type":
        changed = {**EVENT, "type": "ex:Other"}
    else:
        changed = {key: value for key, value in EVENT.items() if key != name}
    for order in Order:
        assert event_hash(changed, CONTEXT, order=order) != event_hash(EVENT, CONTEXT, order=order)


def test_prefix_is_only_an_abbreviation_wherever_it_is_declared():
    renamed = json.loads(json.dumps(EVENT).replace("ex:", "other:"))
    renamed["@context"] = {"other": "https://ns.example.com/"}
    assert event_hash(renamed) == event_hash(EVENT, CONTEXT)
    assert event_hash(renamed) != event_hash({**renamed, "@context": {"other": "https://else.example/"}})


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("ex:grade", "https://ns.example.com/grade"),
        ("cbvmda:lotNumber", "urn:epcglobal:cbv:mda:lotNumber"),
        ("hash:grade", "https://ns.example.com/words#grade"),
    ],
)
def test_name_written_in_full_is_the_same_name(short, full):
    """JSON-LD 1.1, 3.2; CBV 2.0, 8.9.2: extensions count with their whole namespace."""
    context = [*CONTEXT, {"hash": "https://ns.example.com/words#"}]
    event = {"type": "ObjectEvent", "epcList": ["urn:x:1"]}
    for order in Order:
        shortened = pre_hash({**event, short: "A", "ilmd": {short: 1}}, context, order=order)
        assert pre_hash({**event, full: "A", "ilmd": {full: 1}}, context, order=order) == shortened


def test_scheme_of_a_link_in_capitals_is_the_same_scheme():
    """RFC 3986, 6.2.2.1; GS1 Digital Link URI Syntax 1.6, 4.4."""
    links = ["HTTPS://SHOP.EXAMPLE/01/04012345123456/21/2", "https://id.gs1.org/01/04012345123456/21/2"]
    first, second = (pre_hash({"type": "ObjectEvent", "epcList": [link]}) for link in links)
    assert first == second


def test_fields_that_a_document_ignores_are_left_out():
    document = {"@context": CONTEXT, "ex:ignoreFields": ["ex:captureID"], "epcisBody": {"eventList": [EVENT]}}
    (expected,) = epcis.event_hashes(document)
    document["epcisBody"]["eventList"] = [{**EVENT, "ex:captureID": "1"}]
    assert epcis.event_hashes(document) == [expected]


@pytest.mark.parametrize(
    ("value", "reference", "specification"),
    [
        (1.0, "1", "1"),
        (0.3434, "0.3434", "0.3434"),
        (1e-7, "1e-07", "0.0000001"),
        (-0.0, "0", "0"),
        (100, "100", "100"),
        ("0012", "12", "0012"),
        ("1.50", "1.5", "1.50"),
        ("12345678901234567890", "12345678901234567168", "12345678901234567890"),
        ("nan", "nan", "nan"),
        ("1_0", "1_0", "1_0"),
        ("9e9999", "9e9999", "9e9999"),
    ],
)
def test_number_has_one_form(value, reference, specification):
    event = {"type": "ObjectEvent", "ex:n": value}
    start = "eventType=ObjectEvent{https://ns.example.com/}n="
    assert pre_hash(event, CONTEXT) == start + reference
    assert pre_hash(event, CONTEXT, order=Order.SPECIFICATION) == start + specification


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-04-05T08:30:00+08:00", "2026-04-05T00:30:00.000Z"),
        ("2026-04-05T08:30:00.1425Z", "2026-04-05T08:30:00.143Z"),
        ("2026-04-05T08:30:00.14249999999Z", "2026-04-05T08:30:00.142Z"),
        ("2025-12-31T23:59:59.9996Z", "2026-01-01T00:00:00.000Z"),
        ("2026-04-05t08:30:00z", "2026-04-05T08:30:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_timestamp_is_rounded_half_up_and_carried(text, expected):
    assert timestamp(text) == expected


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 (a zone is added)
    st.integers(-14 * 60, 14 * 60),
)
def test_timestamp_equals_exact_arithmetic(moment, offset_minutes):
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    text = f"{moment.isoformat(timespec='microseconds')}{sign}{hours:02}:{minutes:02}"
    exact = moment.replace(tzinfo=UTC) - timedelta(minutes=offset_minutes)
    milliseconds = ((exact - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + 500) // 1000
    expected = datetime(1, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert timestamp(text) == f"{expected.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


@pytest.mark.parametrize("text", ["", "2026-04-05", "2026-13-05T08:30:00Z", "9999-12-31T23:59:59.9999Z", "x" * 99])
def test_timestamp_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="no date and time"):
        timestamp(text)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({}, "/type"),
        ({"type": "ObjectEvent", "eventTime": "now"}, "/eventTime"),
        ({"type": "ObjectEvent", "sourceList": ["urn:x:1"]}, "/sourceList"),
    ],
)
def test_event_without_canonical_text_is_refused_with_the_field(event, path):
    with pytest.raises(epcis.InvalidDocument) as refused:
        event_hash(event)
    assert refused.value.problems[0].path == path


def test_hash_of_very_many_identifiers_takes_time_in_proportion():
    def seconds(count: int) -> float:
        event = {"type": "ObjectEvent", "epcList": [f"urn:x:{index}" for index in range(count)]}
        start = time.process_time()
        event_hash(event)
        return time.process_time() - start

    seconds(100)
    assert seconds(40_000) < 60 * min(seconds(4_000) for _ in range(3))
