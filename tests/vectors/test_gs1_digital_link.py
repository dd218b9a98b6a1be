# SPDX-License-Identifier: Apache-2.0
"""Published Digital Link URIs; gs1_digital_link/README.md says whose."""

import json
from pathlib import Path

import pytest

from traceability.digital_link import CANONICAL_STEM, InvalidCode, build, parse, parse_bracketed

VECTORS = json.loads((Path(__file__).parent / "gs1_digital_link" / "vectors.json").read_text())
LINE_THAT_LETS_UNKNOWN_AIS_STAND_IN_THE_QUERY = 2206


def line_of(vector: dict) -> str:
    return f"line {vector['line']}"


def test_all_vectors_are_here():
    assert (len(VECTORS["parse"]), len(VECTORS["generate"])) == (79, 17)


@pytest.mark.parametrize("vector", VECTORS["parse"], ids=line_of)
def test_parse_vector(vector):
    options = {
        "zero_suppressed": "PermitZeroSuppressedGTINinDLuris" in vector["options"],
        "convenience_names": "permitConvenienceAlphas" in vector["options"],
        "unknown_ais": "PermitUnknownAIs" in vector["options"],
    }
    if vector["ok"]:
        assert parse(vector["uri"], **options).element_string == vector["elements"]
    else:
        with pytest.raises(InvalidCode):
            parse(vector["uri"], **options)


@pytest.mark.parametrize("vector", VECTORS["generate"], ids=line_of)
def test_generate_vector(vector):
    succeeds, stem, elements, uri = vector["args"]
    unknown = vector["line"] == LINE_THAT_LETS_UNKNOWN_AIS_STAND_IN_THE_QUERY
    if succeeds:
        assert build(parse_bracketed(elements), stem or CANONICAL_STEM, unknown_ais=unknown) == uri
    else:
        with pytest.raises(InvalidCode):
            build(parse_bracketed(elements), stem or CANONICAL_STEM, unknown_ais=unknown)
