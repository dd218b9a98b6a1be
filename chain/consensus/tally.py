# SPDX-License-Identifier: Apache-2.0
"""Votes of one epoch, collected without verifying, aggregated at quorum, verified once.

A vote arrives on its author's own authenticated connection, so nobody can put one into another's mouth; whether its
signature holds shows when the aggregate is checked. Whoever sent a bad one is checked on arrival from then on.

Source: docs/protocol.md, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chain.certificate import SignatureScheme, encode_bitmap, vote_message
from chain.checkpoint import ValidatorSet
from chain.codec import encode
from chain.consensus.messages import Vote, vote_to_pb
from chain.errors import InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Network, View

NOTARIZE = pb.KIND_NOTARIZE
NULLIFY = pb.KIND_NULLIFY
FINALIZE = pb.KIND_FINALIZE
NO_BLOCK = BlockId(b"")
VIEWS_AHEAD_MAX = 16
"""Votes for views further ahead are not kept: who is so far behind needs certificates, not votes."""
VIEWS_BEHIND_MAX = 64
"""Nor for views further behind the current one."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """What makes a certificate: who signed, and the aggregate, verified."""

    bitmap: bytes
    aggregate: bytes


def aggregate_quorum(
    scheme: SignatureScheme,
    validators: ValidatorSet,
    message: bytes,
    signatures: Mapping[int, bytes],
) -> tuple[Quorum | None, list[int]]:
    """Aggregate signatures over one message, and verify.

    Args:
        scheme: The signature scheme.
        validators: Whose quorum counts.
        message: What was signed.
        signatures: By index in the set; not verified yet.

    Returns:
        The quorum, or None if too few signatures hold; and the indices whose signature does not hold, ascending.
    """
    keys = validators.keys
    indices = sorted(signatures)
    bad: list[int] = []
    for attempt in range(2):
        if len(indices) < validators.quorum:
            return None, bad
        try:
            aggregate = scheme.aggregate([signatures[i] for i in indices])
            scheme.fast_aggregate_verify([keys[i] for i in indices], message, aggregate)
        except InvalidSignature:
            assert attempt == 0, "signatures that verify one by one aggregate to one that does not"
            bad = [i for i in indices if not holds(scheme, keys[i], message, signatures[i])]
            indices = [i for i in indices if i not in bad]
        else:
            return Quorum(encode_bitmap(indices, len(keys)), aggregate), bad
    return None, bad


def holds(scheme: SignatureScheme, key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether one signature verifies."""
    try:
        scheme.verify(key, message, signature)
    except InvalidSignature:
        return False
    return True


class Tally:
    """The votes of one epoch's members in the views that are still open."""

    def __init__(self, network: Network, validators: ValidatorSet, scheme: SignatureScheme) -> None:
        self._network = network
        self._validators = validators
        self._scheme = scheme
        self._votes: dict[View, dict[tuple[pb.Kind.ValueType, int], Vote]] = {}
        self._suspects: set[int] = set()

    def message_of(self, vote: Vote) -> bytes:
        """What this vote's signature covers."""
        return vote_message(vote.kind, self._network, vote.epoch, vote.view, vote.block_id)

    def get(self, view: View, kind: pb.Kind.ValueType, index: int) -> Vote | None:
        """A member's vote, if it is here."""
        return self._votes.get(view, {}).get((kind, index))

    def has(self, index: int, vote: Vote) -> bool:
        """Whether this very vote is counted already."""
        return self.get(vote.view, vote.kind, index) == vote

    def is_acceptable(self, index: int, vote: Vote) -> bool:
        """Whether to count this vote: anyone's, unless its author has sent a bad one before and this one is bad too."""
        return index not in self._suspects or holds(
            self._scheme, self._validators.keys[index], self.message_of(vote), vote.signature
        )

    def conflict(self, index: int, vote: Vote) -> Vote | None:
        """A counted vote of the same member that no honest one makes beside this one."""
        same = self.get(vote.view, vote.kind, index)
        if vote.kind != NULLIFY and same is not None and same.block_id != vote.block_id:
            return same
        if vote.kind == FINALIZE:
            return self.get(vote.view, NULLIFY, index)
        if vote.kind == NULLIFY:
            return self.get(vote.view, FINALIZE, index)
        return None

    def evidence(self, index: int, first: Vote, second: Vote) -> bytes | None:
        """Both votes as evidence, if both signatures verify alone; what does not verify is dropped."""
        key = self._validators.keys[index]
        for vote in (first, second):
            if not holds(self._scheme, key, self.message_of(vote), vote.signature):
                self._suspects.add(index)
                if self.has(index, vote):
                    del self._votes[vote.view][vote.kind, index]
                return None
        return encode(pb.Evidence(bls_key=key, votes=[vote_to_pb(first), vote_to_pb(second)]))

    def add(self, index: int, vote: Vote) -> None:
        """Count a vote that is acceptable and conflicts with none."""
        self._votes.setdefault(vote.view, {})[vote.kind, index] = vote

    def count(self, view: View, kind: pb.Kind.ValueType, block_id: BlockId = NO_BLOCK) -> int:
        """How many members voted so."""
        return len(self._signatures(view, kind, block_id))

    def quorum(self, view: View, kind: pb.Kind.ValueType, block_id: BlockId) -> tuple[Quorum | None, Sequence[int]]:
        """A verified quorum of such votes if there is one, and the members whose signature turned out bad."""
        signatures = self._signatures(view, kind, block_id)
        if len(signatures) < self._validators.quorum:
            return None, ()
        message = vote_message(kind, self._network, self._validators.epoch, view, block_id)
        quorum, bad = aggregate_quorum(self._scheme, self._validators, message, signatures)
        for index in bad:
            self._suspects.add(index)
            del self._votes[view][kind, index]
        return quorum, bad

    def forget_below(self, view: View) -> None:
        """Drop the votes of closed views."""
        for old in sorted(v for v in self._votes if v < view):
            del self._votes[old]

    def _signatures(self, view: View, kind: pb.Kind.ValueType, block_id: BlockId) -> dict[int, bytes]:
        return {
            index: vote.signature
            for (voted, index), vote in self._votes.get(view, {}).items()
            if voted == kind and vote.block_id == block_id
        }
