# SPDX-License-Identifier: Apache-2.0
"""Presence and absence proofs of state keys, exported as ICS-23 `CommitmentProof` for `SmtSpec`.

Only the shapes that this ledger's tree has are accepted, in one encoding, and directions are pinned to the bits of the
hashed key: so a proof shows where its leaf lies, and two leaves with nothing between them show that a key is absent.
Nothing is compared in the order of raw keys, which would prove "absence" of present ones.

Invariant: an altered proof is refused.  Source: docs/protocol.md, section 4; ICS-23, `SmtSpec`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chain.codec import decode, encode
from chain.errors import InvalidMessage, InvalidProof
from chain.pb import ics23_pb2 as pb
from chain.types import HASH_BYTES, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, sha256

EMPTY = bytes(HASH_BYTES)
"""The hash of a subtree without leaves."""
DEPTH_MAX = 256
PROOF_BYTES_MAX = 2 * (STATE_KEY_BYTES_MAX + STATE_VALUE_BYTES_MAX + DEPTH_MAX * 48 + 256)
"""Two neighbours of the largest key and value, at the greatest depth."""

_LEAF_PREFIX = b"\x00"
_INNER_PREFIX = b"\x01"
_LEAF_OP = pb.LeafOp(hash=pb.SHA256, prehash_key=pb.SHA256, prehash_value=pb.SHA256, prefix=_LEAF_PREFIX)

Step: TypeAlias = tuple[bool, bytes]
"""One level: whether the node is a right child, and its sibling's hash."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A leaf and its way up to the root.

    Attributes:
        steps: From the leaf upwards.
    """

    key: bytes
    value: bytes
    steps: Sequence[Step]


def encode_presence(presence: Presence) -> bytes:
    """The proof that a key has its value."""
    return encode(pb.CommitmentProof(exist=_presence_pb(presence)))


def encode_absence(key: bytes, left: Presence | None, right: Presence | None) -> bytes:
    """The proof that a key is absent, from its neighbours in hashed order; one of them may be missing, not both."""
    assert left is not None or right is not None, "an empty tree has no proofs"
    return encode(
        pb.CommitmentProof(
            nonexist=pb.NonExistenceProof(
                key=sha256(key),
                left=None if left is None else _presence_pb(left),
                right=None if right is None else _presence_pb(right),
            )
        )
    )


def _presence_pb(presence: Presence) -> pb.ExistenceProof:
    return pb.ExistenceProof(
        key=presence.key,
        value=presence.value,
        leaf=_LEAF_OP,
        path=[
            pb.InnerOp(hash=pb.SHA256, prefix=_INNER_PREFIX + sibling)
            if is_right
            else pb.InnerOp(hash=pb.SHA256, prefix=_INNER_PREFIX, suffix=sibling)
            for is_right, sibling in presence.steps
        ],
    )


def verify_ics23(proof_bytes: bytes, root: bytes, key: bytes, value_or_none: bytes | None) -> None:
    """Check that a key has a value, or none, in the state with this root.

    Args:
        proof_bytes: A `CommitmentProof`.
        root: A state root that the caller trusts.
        key: The state key, not empty.
        value_or_none: Its value, not empty; None where the proof is to show that the key is absent.

    Raises:
        InvalidProof: It does not show that.
    """
    if not key or value_or_none == b"":
        raise InvalidProof("state keys and values are not empty")
    try:
        proof = decode(pb.CommitmentProof, proof_bytes, PROOF_BYTES_MAX)
    except InvalidMessage as error:
        raise InvalidProof(error.reason) from None
    kind = proof.WhichOneof("proof")
    if value_or_none is None:
        if kind != "nonexist":
            raise InvalidProof("not a proof of absence")
        _verify_absence(proof.nonexist, root, key)
        return
    if kind != "exist":
        raise InvalidProof("not a proof of presence")
    if proof.exist.key != key or proof.exist.value != value_or_none:
        raise InvalidProof("the proof is about another key or value")
    _verify_presence(proof.exist, root)


def _verify_presence(proof: pb.ExistenceProof, root: bytes) -> list[Step]:
    """Check one leaf's way to the root; return its steps from the root downwards."""
    if not proof.key or not proof.value:
        raise InvalidProof("state keys and values are not empty")
    if proof.leaf != _LEAF_OP:
        raise InvalidProof("the leaf is not hashed as this tree hashes its leaves")
    if len(proof.path) > DEPTH_MAX:
        raise InvalidProof(f"the path is deeper than {DEPTH_MAX}")
    key_hash = sha256(proof.key)
    node = sha256(_LEAF_PREFIX + key_hash + sha256(proof.value))
    steps = []
    for depth, op in zip(range(len(proof.path) - 1, -1, -1), proof.path, strict=True):
        is_right, sibling = step = _step_of(op)
        if is_right != _bit(key_hash, depth):
            raise InvalidProof("the path does not follow the bits of the hashed key")
        node = sha256(_INNER_PREFIX + sibling + node) if is_right else sha256(_INNER_PREFIX + node + sibling)
        steps.append(step)
    if node != root:
        raise InvalidProof("the proof does not lead to the state root")
    steps.reverse()
    return steps


def _step_of(op: pb.InnerOp) -> Step:
    prefix, suffix = op.prefix, op.suffix
    if op.hash == pb.SHA256 and prefix[:1] == _INNER_PREFIX:
        if len(prefix) == 1 and len(suffix) == HASH_BYTES:
            return False, suffix
        if len(prefix) == 1 + HASH_BYTES and not suffix:
            return True, prefix[1:]
    raise InvalidProof("an inner node is not hashed as this tree hashes them")


def _verify_absence(proof: pb.NonExistenceProof, root: bytes, key: bytes) -> None:
    """Check that nothing lies between two leaves, or beyond the outermost one, where the key's leaf would be."""
    key_hash = sha256(key)
    if proof.key != key_hash:
        raise InvalidProof("the proof is about the absence of another key")
    left = right = None
    if proof.HasField("left"):
        if not sha256(proof.left.key) < key_hash:
            raise InvalidProof("the left neighbour does not lie left of the key")
        left = _verify_presence(proof.left, root)
    if proof.HasField("right"):
        if not key_hash < sha256(proof.right.key):
            raise InvalidProof("the right neighbour does not lie right of the key")
        right = _verify_presence(proof.right, root)
    if left is not None and right is not None:
        fork = _fork_of(left, right)
        if fork is None:
            raise InvalidProof("the neighbours are not leaves of one tree")
        left, right = left[fork + 1 :], right[fork + 1 :]
    elif left is None and right is None:
        raise InvalidProof("a proof of absence has at least one neighbour")
    if left is not None and any(not is_right and sibling != EMPTY for is_right, sibling in left):
        raise InvalidProof("there are leaves right of the left neighbour")
    if right is not None and any(is_right and sibling != EMPTY for is_right, sibling in right):
        raise InvalidProof("there are leaves left of the right neighbour")


def _fork_of(left: list[Step], right: list[Step]) -> int | None:
    """The depth at which the ways to two leaves part, left to left and right to right; above it they are the same."""
    for depth, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return depth if not a[0] and b[0] else None
    return None


def _bit(key_hash: bytes, depth: int) -> bool:
    """Whether the way to a hashed key turns right at this depth."""
    return bool(key_hash[depth >> 3] >> (7 - (depth & 7)) & 1)
