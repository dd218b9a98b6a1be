# SPDX-License-Identifier: Apache-2.0
"""The leader's side of a view: when to propose, on what, and with what.

It decides nothing about votes: the replica votes for what it proposes as for anybody's proposal.

Source: docs/protocol.md, section 3, "Enter v", and section 4 on empty blocks.
"""

from dataclasses import dataclass

from chain.certificate import Certificate
from chain.consensus.block import Block
from chain.consensus.blocktree import BlockTree
from chain.consensus.messages import NULLIFICATIONS_MAX, Proposal
from chain.consensus.pace import Pace
from chain.consensus.proposals import Root
from chain.consensus.settled import ROOT_VIEW, Settled
from chain.types import Digest, Epoch, Height, Millis, View

CERTIFIED_GAP_MAX = 64
"""Above this many heights over the newest certified one, leaders propose empty blocks until execution catches up."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a block can be proposed on: the newest notarized block, with what the proposal must carry."""

    block: Root | Block
    certificate: Certificate | None
    nullifications: tuple[Certificate, ...]

    def propose(self, epoch: Epoch, view: View, digests: tuple[Digest, ...], now: Millis) -> Proposal:
        """A proposal on this ground."""
        block = Block.make(epoch, view, Height(self.block.height + 1), self.block.id, self.time_ms(now), digests)
        return self.carry(block)

    def carry(self, block: Block) -> Proposal:
        """A block on this ground as a proposal; of very many skipped views the older ones can be asked for."""
        return Proposal(block, self.certificate, self.nullifications[-NULLIFICATIONS_MAX:])

    def time_ms(self, now: Millis) -> Millis:
        """The time that a block proposed now has: later than its parent's."""
        return max(now, Millis(self.block.time_ms + 1))


class Proposer:
    """One view after another: what its leader waits for.

    Attributes:
        asked: What the driver was asked to choose a payload for and has not answered yet.
        empty: Its answer was that there is none.
        proposed: What was proposed in this view.
        certified_height: The newest certified height that the caller knows.
    """

    def __init__(self, root: Root, tree: BlockTree, settled: Settled, pace: Pace) -> None:
        self._root = root
        self._tree = tree
        self._settled = settled
        self._pace = pace
        self.asked: Ground | None = None
        self.empty = False
        self.proposed: Proposal | None = None
        self.certified_height = root.height

    def enter(self) -> None:
        """A new view: nothing asked, nothing proposed."""
        self.asked = None
        self.empty = False
        self.proposed = None

    def missing_parent(self, view: View) -> Certificate | None:
        """What proves the block to build on, if that block itself is not known."""
        newest = self._settled.newest_below(view)
        return newest if newest is not None and self._tree.get(newest.block_id) is None else None

    def ground(self, view: View) -> Ground | None:
        """What to propose on in a view; None while the block or a nullification is missing."""
        newest = self._settled.newest_below(view)
        block = self._root if newest is None else self._tree.get(newest.block_id)
        after = ROOT_VIEW if newest is None else newest.view
        nullifications = self._settled.nullifications(after, view)
        return None if block is None or nullifications is None else Ground(block, newest, nullifications)

    def is_due_empty(self, ground: Ground) -> bool:
        """Whether the block to propose holds nothing: nothing is pending, or execution must catch up first."""
        ahead = ground.block.height + 1 > self.certified_height + CERTIFIED_GAP_MAX
        return not self._pace.pending or self.empty or ahead

    def due_ms(self, ground: Ground) -> Millis:
        """When to propose, or to ask for a payload."""
        if self.is_due_empty(ground):
            return self._pace.empty_proposal_at_ms()
        return self._pace.proposal_at_ms(ground.block.time_ms, self._pace.entered_ms)

    def ancestors(self, ground: Ground) -> tuple[Block, ...]:
        """The block to build on and those below it that may not be executed yet, as far as they are known."""
        found: list[Block] = []
        current = ground.block if isinstance(ground.block, Block) else None
        while current is not None and current.height + CERTIFIED_GAP_MAX >= ground.block.height:
            found.append(current)
            current = self._tree.get(current.parent_id)
        return tuple(found)

    def rebuild(self, view: View, block: Block | None) -> None:
        """After a restart: send the proposal that this leader has voted for again, never another."""
        ground = self.ground(view)
        if block is not None and ground is not None and ground.block.id == block.parent_id:
            self.proposed = ground.carry(block)
