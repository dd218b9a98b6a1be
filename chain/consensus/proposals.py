# SPDX-License-Identifier: Apache-2.0
"""What a proposal must be: by its shape, and against its parent and the clock.

Pure functions; the certificates that a proposal carries are verified elsewhere, on the way.

Source: docs/protocol.md, section 3, "Notarize".
"""

from dataclasses import dataclass

from chain.consensus.block import Block
from chain.consensus.messages import NULLIFICATIONS_MAX, Proposal
from chain.consensus.pace import Timing
from chain.consensus.settled import ROOT_VIEW
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.types import BlockId, Epoch, Height, Millis, View


@dataclass(frozen=True, slots=True)
class Root:
    """The block that an epoch starts on: the former epoch's closing block, or genesis. It counts as view 0."""

    id: BlockId
    height: Height
    time_ms: Millis


def fault_of_shape(proposal: Proposal, epoch: Epoch, root: Root, last_final_view: View) -> str | None:
    """What is wrong with a proposal's parent and the views that it skips, or None.

    Args:
        proposal: Of this epoch, from its view's leader.
        epoch: The epoch.
        root: What its first block builds on.
        last_final_view: The receiver's; a proposal on anything older leaves out a final block.
    """
    block, parent = proposal.block, proposal.parent
    if parent is None:
        parent_view, parent_id = ROOT_VIEW, root.id
    else:
        parent_view, parent_id = parent.view, parent.block_id
        if parent.epoch != epoch or parent.kind not in {NOTARIZE, FINALIZE} or parent.view >= block.view:
            return "a parent certificate of another kind, epoch or a later view"
    if block.parent_id != parent_id:
        return "a certificate that is not its parent's"
    if parent_view < last_final_view:
        return "a parent that leaves out a final block"
    # Views are what a peer says they are: compare numbers, and never make a range of them.
    carried = min(block.view - parent_view - 1, NULLIFICATIONS_MAX)
    if len(proposal.nullifications) != carried:
        return "no nullification for each skipped view"
    for view, nullification in enumerate(proposal.nullifications, block.view - carried):
        if (nullification.kind, nullification.epoch, nullification.view) != (NULLIFY, epoch, view):
            return f"no nullification of view {view}"
    return None


def parent_view_of(proposal: Proposal) -> View:
    """The view of the block that a proposal builds on."""
    return ROOT_VIEW if proposal.parent is None else proposal.parent.view


def fault_of_place(block: Block, parent: Root | Block, now: Millis, timing: Timing) -> str | None:
    """What is wrong with a block on its parent at this time, or None. One that is early is not wrong yet."""
    if block.height != parent.height + 1:
        return "a height that is not its parent's plus one"
    if block.time_ms <= parent.time_ms:
        return "a time not later than its parent's"
    if block.time_ms < now - timing.late_ms_max:
        return "a time too far behind the local clock"
    return None
