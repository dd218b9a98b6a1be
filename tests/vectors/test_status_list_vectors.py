# SPDX-License-Identifier: Apache-2.0
"""The examples and test vectors of the Token Status List specification, read and written."""

import json
from pathlib import Path

import pytest

from identity.jose import decode_base64url
from identity.status_list import StatusList, decode

VECTORS = json.loads((Path(__file__).parent / "status_list" / "vectors.json").read_text())
STATUSES = {"1": [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], "2": [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]}
PLACES = 2**20


@pytest.mark.parametrize("bits", ["1", "2"])
def test_short_example_holds_its_statuses(bits):
    vector = VECTORS["short"][bits]
    statuses = decode({"bits": int(bits), "lst": vector["lst"]})
    assert statuses.to_bytes().hex() == vector["bytes"]
    assert [statuses.get(i) for i in range(statuses.size)] == STATUSES[bits]


@pytest.mark.parametrize("bits", ["1", "2"])
def test_short_example_is_written_as_published(bits):
    statuses = StatusList(len(STATUSES[bits]), int(bits))
    for i, status in enumerate(STATUSES[bits]):
        statuses.set(i, status)
    assert statuses.encode() == {"bits": int(bits), "lst": VECTORS["short"][bits]["lst"]}


@pytest.mark.parametrize("bits", ["1", "2", "4", "8"])
def test_long_vector_holds_its_statuses_and_nothing_else(bits):
    vector = VECTORS["long"][bits]
    statuses = decode({"bits": int(bits), "lst": vector["lst"]})
    stated = {int(place): status for place, status in vector["statuses"].items()}
    assert statuses.size == PLACES
    assert {place: statuses.get(place) for place in stated} == stated
    rebuilt = StatusList(PLACES, int(bits))
    for place, status in stated.items():
        rebuilt.set(place, status)
    assert rebuilt.to_bytes() == statuses.to_bytes()


@pytest.mark.parametrize("bits", ["1", "2", "4", "8"])
def test_long_vector_inflates_to_the_length_its_bits_need(bits):
    inflated = decode({"bits": int(bits), "lst": VECTORS["long"][bits]["lst"]}).to_bytes()
    assert len(inflated) == PLACES * int(bits) // 8
    assert len(decode_base64url(VECTORS["long"][bits]["lst"], "lst")) < 2_000
