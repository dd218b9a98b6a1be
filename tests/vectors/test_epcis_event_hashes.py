# SPDX-License-Identifier: Apache-2.0
"""Published event hashes; epcis_hash/README.md says whose."""

import json
from pathlib import Path

import pytest

from traceability import epcis

VECTORS = Path(__file__).parent / "epcis_hash"
CASES = [
    pytest.param(path, index, expected, id=f"{path.stem}-{index}")
    for path in sorted(VECTORS.glob("*.jsonld"))
    for index, expected in enumerate(path.with_suffix(".hashes").read_text().split())
]


def test_all_vectors_are_here():
    assert len(CASES) == 13


@pytest.mark.parametrize(("path", "index", "expected"), CASES)
def test_event_hash_vector(path, index, expected):
    document = json.loads(path.read_text())
    assert epcis.event_hash(epcis.events(document)[index], document) == expected


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.jsonld")), ids=lambda path: path.stem)
def test_document_has_as_many_hashes_as_events(path):
    document = epcis.parse(path.read_bytes())
    assert epcis.event_hashes(document) == path.with_suffix(".hashes").read_text().split()
