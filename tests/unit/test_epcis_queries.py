# SPDX-License-Identifier: Apache-2.0
"""Parameters of EPCIS 2.0 queries: which values each takes, and what patterns of identifiers find."""

import pytest

from traceability import epcis
from traceability.api import query_match
from traceability.api.query_parameters import from_json
from traceability.api.query_shown import Shown

COMMON = {"type": "ObjectEvent", "eventTime": "2026-04-05T08:30:00+08:00", "eventTimeZoneOffset": "+08:00"}


def finds(parameter: str, value: str, *identifiers: str) -> list[str]:
    """Those identifiers whose events a parameter finds."""
    test = query_match.test_of(from_json({parameter: [value]}))
    field = "epcList" if parameter.endswith("EPC") or parameter == "MATCH_epc" else "quantityList"
    found = []
    for one in identifiers:
        listed = [one] if field == "epcList" else [{"epcClass": one}]
        if test(Shown({**COMMON, field: listed}, None, 0)):
            found.append(one)
    return found


ONE = "urn:epc:id:sgtin:4012345.012345.1"
LINK = "https://shop.example/01/04012345123456/10/L1/21/2"
OTHER = "urn:epc:id:sgtin:4012345.012346.1"
FOREIGN = "urn:epc:id:sgtin:0614141.112345.1"
PALLET = "urn:epc:id:sscc:4012345.0000000333"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("urn:epc:idpat:sgtin:4012345.012345.*", [ONE, LINK]),
        ("urn:epc:idpat:sgtin:4012345.*.*", [ONE, LINK, OTHER]),
        ("urn:epc:idpat:sgtin:*.*.*", [ONE, LINK, OTHER, FOREIGN]),
        ("urn:epc:idpat:sscc:4012345.*", [PALLET]),
        ("urn:epc:idpat:sscc:0614141.*", []),
        ("urn:epc:idpat:sscc:*.*", [PALLET]),
        (ONE, [ONE]),
    ],
)
def test_pattern_finds_what_it_names_however_that_is_written(pattern, expected):
    """EPCIS 2.0, 8.2.7.1, MATCH_epc; EPC Tag Data Standard 2.0, section 8."""
    assert finds("MATCH_epc", pattern, ONE, LINK, OTHER, FOREIGN, PALLET) == expected
    assert finds("MATCH_anyEPC", pattern, ONE, LINK, OTHER, FOREIGN, PALLET) == expected


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        ("sgln:4012345.*.*", "urn:epc:id:sgln:4012345.00001.0", "urn:epc:id:sgln:4012346.00001.0"),
        ("sgln:4012345.00001.*", "https://id.gs1.org/414/4012345000016/254/7", "https://id.gs1.org/414/4012345000023"),
        ("pgln:4012345.*", "urn:epc:id:pgln:4012345.00001", "urn:epc:id:pgln:4012346.00001"),
        ("grai:4012345.*.*", "urn:epc:id:grai:4012345.55555.9", "urn:epc:id:grai:4012346.55555.9"),
        ("grai:4012345.55555.*", "urn:epc:id:grai:4012345.55555.9", "urn:epc:id:grai:4012345.55556.9"),
        ("gdti:4012345.55555.*", "urn:epc:id:gdti:4012345.55555.A", "urn:epc:id:gdti:4012345.55556.A"),
        ("sgcn:4012345.*.*", "urn:epc:id:sgcn:4012345.55555.9", "urn:epc:id:sgcn:4012346.55555.9"),
        ("giai:4012345.*", "urn:epc:id:giai:4012345.A1", "urn:epc:id:giai:4012346.A1"),
        ("gsrn:4012345.*", "urn:epc:id:gsrn:4012345.0000000333", "urn:epc:id:gsrnp:4012345.0000000333"),
        ("cpi:4012345.*.*", "urn:epc:id:cpi:4012345.AB.1", "urn:epc:id:cpi:4012346.AB.1"),
        ("cpi:4012345.AB.*", "urn:epc:id:cpi:4012345.AB.1", "urn:epc:id:cpi:4012345.AC.1"),
        ("itip:4012345.012345.01.02.*", "urn:epc:id:itip:4012345.012345.01.02.9", ONE),
        ("upui:4012345.012345.*", "urn:epc:id:upui:4012345.012345.a", OTHER),
        ("gsin:4012345.*", "urn:epc:id:gsin:4012345.123456789", ONE),
        ("ginc:4012345.*", "urn:epc:id:ginc:4012345.x", ONE),
    ],
)
def test_pattern_of_each_scheme_finds_its_own(pattern, found, missed):
    """EPC Tag Data Standard 2.0, section 8."""
    assert finds("MATCH_epc", f"urn:epc:idpat:{pattern}", found, missed) == [found]


def test_pattern_of_a_product_finds_its_class():
    """EPCIS 2.0, 8.2.7.1, MATCH_epcClass."""
    pattern = "urn:epc:idpat:sgtin:4012345.012345.*"
    product = "https://id.gs1.org/01/04012345123456"
    assert finds("MATCH_epcClass", pattern, product, "urn:epc:idpat:sgtin:4012345.012346.*") == [product]
    assert query_match.names_some(pattern)
    assert query_match.names_some(ONE)
    assert not query_match.names_some("urn:epc:idpat:sgtin:4012345.*.*")
    assert not query_match.names_some("urn:epc:idpat:grai:4012345.55555.*")


@pytest.mark.parametrize(
    "query",
    [
        {"EQ_booleanValue": True},
        {"EQ_booleanValue": "false"},
        {"EQ_hexBinaryValue": ["f00d"]},
        {"EQ_type": ["gs1:Temperature", "Temperature"]},
        {"EQ_component": ["latitude"], "EQ_exception": ["ALARM_CONDITION"]},
        {"GE_value_CEL": 4, "LT_percRank": [99]},
        {"EQ_transformationID": ["urn:x:1"], "EQ_deviceID": ["urn:epc:id:giai:4012345.1"]},
    ],
)
def test_value_of_the_parameters_kind_is_accepted(query):
    """EPCIS 2.0, 8.2.7.1; the published query schema."""
    assert epcis.problems({"query": query}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EQ_booleanValue", "maybe"),
        ("EQ_hexBinaryValue", ["xyz"]),
        ("EQ_type", ["temperature"]),
        ("EQ_component", ["w"]),
        ("EQ_exception", ["PANIC"]),
        ("EQ_eventID", ["7"]),
        ("EQ_transformationID", ["cut"]),
        ("EQ_deviceID", ["the left one"]),
        ("GE_value_CEL", [4, 5]),
        ("EQ_quantity", []),
        ("MATCH_epc", ["urn:epc:idpat:sgtin:4012345.012345"]),
        ("MATCH_epc", ["urn:epc:idpat:sgtin:*.012345.*"]),
        ("MATCH_epc", ["urn:epc:idpat:foo:*"]),
    ],
)
def test_value_of_another_kind_is_refused(name, value):
    """EPCIS 2.0, 8.2.7.1; the published query schema."""
    paths = {problem.path.removeprefix("/query") for problem in epcis.problems({"query": {name: value}})}
    assert {path.split("/")[1] for path in paths} == {name}


@pytest.mark.parametrize(
    "moment", ["2026-04-05T00:30:00Z", "2026-04-05t00:30:00z", "2026-04-05T08:30:00.000000000+08:00"]
)
def test_moment_is_the_same_however_it_is_written(moment):
    """RFC 3339, 5.6."""
    shown = Shown({**COMMON, "eventTime": moment}, None, 0)
    assert query_match.test_of(from_json({"GE_eventTime": "2026-04-05T00:30:00z"}))(shown)
    assert not query_match.test_of(from_json({"LT_eventTime": moment}))(shown)
