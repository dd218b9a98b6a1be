# SPDX-License-Identifier: Apache-2.0
"""Published EPCIS documents are accepted, those published as invalid refused; epcis/README.md says whose."""

import json
from pathlib import Path

import pytest

from traceability import epcis

VECTORS = Path(__file__).parent / "epcis"
ALL = sorted(VECTORS.rglob("*.json"))
INVALID = [path for path in ALL if "Invalid" in path.parts]
VALID = [path for path in ALL if path not in INVALID]
HASHED = sorted((VECTORS.parent / "epcis_hash").glob("*.jsonld"))

WHERE = {
    "Combination_of_events_with_missing_mandatory_fields": "/epcisBody/eventList/0/action",
    "Combination_of_non_standard_bizStep_and_disposition": "/epcisBody/eventList/0/bizStep",
    "EPCISDocument_without_context": "/@context",
    "ObjectEvent_with_ilmd_field_without_namespace": "/epcisBody/eventList/0/ilmd/materialType",
    "ObjectEvent_with_invalid_action": "/epcisBody/eventList/0/action",
    "ObjectEvent_with_invalid_certificationInfo": (
        "/epcisBody/eventList/0/certificationInfo/1/gs1:CertificationDetails/gs1:certificationAuditDate"
    ),
    "ObjectEvent_with_non_standard_bizStep": "/epcisBody/eventList/0/bizStep",
    "ObjectEvent_with_non_standard_bizStep_in_second_event": "/epcisBody/eventList/1/bizStep",
    "ObjectEvent_with_quantity_as_text": "/epcisBody/eventList/0/quantityList/0/quantity",
    "ObjectEvent_with_unknown_field_in_quantityList": "/epcisBody/eventList/0/quantityList/0/weight",
    "ObjectEvent_without_action_and_eventTime": "/epcisBody/eventList/0/eventTime",
    "ObjectEvent_without_identifier_list": "/epcisBody/eventList/0/epcList",
    "Query_with_invalid_values": "/GE_eventTime",
    "Query_with_unknown_parameter": "/GE_eventDate",
}


def name_of(path: Path) -> str:
    return "/".join(path.parts[-2:])


def test_all_vectors_are_here():
    assert (len(VALID), len(INVALID), len(HASHED)) == (24, 14, 9)


@pytest.mark.parametrize("path", VALID + HASHED, ids=name_of)
def test_published_document_is_accepted(path):
    epcis.validate(path.read_bytes())


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_every_event_of_a_published_document_has_a_hash_in_both_orders(path):
    document = json.loads(path.read_text())
    events = epcis.events(document)
    for order in epcis.Order:
        hashes = epcis.event_hashes(document, order=order)
        assert len(hashes) == len(events) > 0


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_document_published_as_invalid_is_refused_with_the_field(path):
    with pytest.raises(epcis.InvalidDocument) as refused:
        epcis.validate(path.read_bytes())
    assert refused.value.problems[0].path == WHERE[path.stem]
    assert all(problem.reason for problem in refused.value.problems)
