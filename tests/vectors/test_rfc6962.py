# SPDX-License-Identifier: Apache-2.0
"""Published inclusion and consistency proofs, most of them wrong on purpose; rfc6962/README.md says whose."""

import base64
import json
from pathlib import Path

import pytest

from chain.log import InvalidProof, verify_consistency, verify_inclusion

VECTORS = Path(__file__).parent / "rfc6962"
INCLUSION = sorted((VECTORS / "inclusion").rglob("*.json"))
CONSISTENCY = sorted((VECTORS / "consistency").rglob("*.json"))


def name_of(path: Path) -> str:
    return "/".join(path.parts[-2:])


def hashes_of(proof: list[str] | None) -> list[bytes]:
    return [base64.b64decode(value) for value in proof or []]


def test_all_vectors_are_here():
    assert (len(INCLUSION), len(CONSISTENCY)) == (49, 43)


@pytest.mark.parametrize("path", INCLUSION, ids=name_of)
def test_inclusion_vector(path):
    vector = json.loads(path.read_text())
    arguments = (
        base64.b64decode(vector["leafHash"] or ""),
        vector["leafIdx"],
        vector["treeSize"],
        hashes_of(vector["proof"]),
        base64.b64decode(vector["root"] or ""),
    )
    if vector["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("path", CONSISTENCY, ids=name_of)
def test_consistency_vector(path):
    vector = json.loads(path.read_text())
    arguments = (
        vector["size1"],
        vector["size2"],
        hashes_of(vector["proof"]),
        base64.b64decode(vector["root1"] or ""),
        base64.b64decode(vector["root2"] or ""),
    )
    if vector["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)
