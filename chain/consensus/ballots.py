# SPDX-License-Identifier: Apache-2.0
"""This validator's own votes in one epoch: the record that keeps it from ever contradicting itself.

`may_*` are the only guards. A vote that is cast is in the record before it is in the outbox, and in the journal before
it is on the wire.

Source: docs/protocol.md, section 3, "Never" and "Durable".
"""

from collections.abc import Iterable

from chain.consensus.journal import OwnVote
from chain.consensus.messages import Vote
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Millis, View

FINALIZE_REBROADCAST_MAX = 64
"""Finalize votes sent again at one time; older ones follow once these are covered."""


class Ballots:
    """Own votes, by view and kind."""

    def __init__(self, votes: Iterable[Vote]) -> None:
        self._votes: dict[tuple[View, pb.Kind.ValueType], Vote] = {(vote.view, vote.kind): vote for vote in votes}
        self._cast_ms: dict[View, Millis] = {}

    # ------------------------------------------------------------ the guards

    def may_notarize(self, view: View) -> bool:
        """At most one notarize vote in a view, for ever."""
        return (view, NOTARIZE) not in self._votes

    def may_nullify(self, view: View) -> bool:
        """Never beside a finalize vote; once is enough."""
        return (view, NULLIFY) not in self._votes and (view, FINALIZE) not in self._votes

    def may_finalize(self, view: View) -> bool:
        """Never beside a nullify vote; at most one."""
        return (view, NULLIFY) not in self._votes and (view, FINALIZE) not in self._votes

    # ------------------------------------------------------------ the record

    def record(self, vote: Vote, now: Millis) -> None:
        """A vote is cast."""
        assert (vote.view, vote.kind) not in self._votes
        self._votes[vote.view, vote.kind] = vote
        self._cast_ms[vote.view] = now

    def get(self, view: View, kind: pb.Kind.ValueType) -> Vote | None:
        """The vote of this kind in a view."""
        return self._votes.get((view, kind))

    def has_nullified(self, view: View) -> bool:
        """Whether this validator gave the view up."""
        return (view, NULLIFY) in self._votes

    def backs(self, kind: pb.Kind.ValueType, view: View, block_id: BlockId) -> bool:
        """Whether this validator cast this very vote."""
        vote = self._votes.get((view, kind))
        return vote is not None and vote.block_id == block_id

    def above(self, view: View) -> list[Vote]:
        """Votes above a view, ascending."""
        return [vote for (v, _), vote in sorted(self._votes.items()) if v > view]

    def of(self, view: View) -> list[Vote]:
        """Votes of one view."""
        return [vote for (v, _), vote in sorted(self._votes.items()) if v == view]

    def unanswered(self, final: View, now: Millis, patience_ms: int) -> list[Vote]:
        """Finalize votes above the last final view that have waited for so long."""
        late = [
            vote
            for vote in self.above(final)
            if vote.kind == FINALIZE and now >= self._cast_ms.setdefault(vote.view, now) + patience_ms
        ]
        return late[-FINALIZE_REBROADCAST_MAX:]

    def forget(self, bound: View) -> list[bytes]:
        """Drop votes below a view; their journal keys.

        A restarted validator votes in the view after its newest certificate and in later ones, and finalizes above the
        last final view only, so it can't contradict a forgotten vote.
        """
        keys = []
        for view, kind in sorted(key for key in self._votes if key[0] < bound):
            keys.append(OwnVote(self._votes.pop((view, kind))).key)
            self._cast_ms.pop(view, None)
        return keys
