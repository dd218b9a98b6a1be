# SPDX-License-Identifier: Apache-2.0
"""Published ICS-23 proofs for `SmtSpec`, as other implementations encode them; ics23_smt/README.md says whose."""

import json
from pathlib import Path

import pytest

from chain.log import InvalidProof
from chain.pb import ics23_pb2 as pb
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


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field of up to 127 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("number", [3, 4, 5])
def test_batch_compressed_and_unknown_proofs_are_refused(number):
    _, root, key, value = load(VECTORS[0])
    for proof in (field(number, b""), field(number, field(1, b"x"))):
        for claimed in (value, None):
            with pytest.raises(InvalidProof):
                verify_ics23(proof, root, key, claimed)


def test_unknown_field_at_any_depth_is_refused():
    proof, root, key, value = load(VECTORS[0])
    message = pb.CommitmentProof.FromString(proof)
    verify_ics23(message.SerializeToString(), root, key, value)
    exist = message.exist
    for part in (exist.leaf, exist.path[3], exist, message):
        before = part.SerializeToString()
        part.MergeFromString(field(9, b"x"))
        with pytest.raises(InvalidProof):
            verify_ics23(message.SerializeToString(), root, key, value)
        part.ParseFromString(before)
    verify_ics23(message.SerializeToString(), root, key, value)
