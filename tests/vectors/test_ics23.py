# SPDX-License-Identifier: Apache-2.0
"""Published ICS-23 proofs for `SmtSpec`, as other implementations encode them; ics23_smt/README.md says whose."""

import json
from pathlib import Path

import pytest

from chain.log import InvalidProof
from chain.tree import verify_ics23

VECTORS = sorted((Path(__file__).parent / "ics23_smt").glob("*.json"))


def load(path: Path) -> tuple[bytes, bytes, bytes, bytes | None]:
    vector = json.loads(path.read_text())
    proof, root, key, value = (bytes.fromhex(vector[name]) for name in ("proof", "root", "key", "value"))
    return proof, root, key, value or None


def test_all_vectors_are_here():
    assert len(VECTORS) == 4


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector(path):
    verify_ics23(*load(path))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector_with_any_byte_altered_is_refused(path):
    proof, root, key, value = load(path)
    for at in range(len(proof)):
        with pytest.raises(InvalidProof):
            verify_ics23(proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :], root, key, value)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector_with_one_neighbour_or_for_another_key_is_refused(path):
    proof, root, key, value = load(path)
    with pytest.raises(InvalidProof):
        verify_ics23(proof, root, key + b"x", value)
    with pytest.raises(InvalidProof):
        verify_ics23(proof, root[::-1], key, value)
