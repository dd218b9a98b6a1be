# SPDX-License-Identifier: Apache-2.0
"""The blocks above the newest certified height that this validator knows, by id.

Bounded by pruning below certified heights; what lies below stands in the ledger's store.
"""

from collections.abc import Iterable

from chain.consensus.block import Block
from chain.types import BlockId, Height

KEPT_BELOW = 64
"""Heights below the certified one that stay, to answer peers that are a little behind."""


class BlockTree:
    """Known blocks. Being here says nothing about being valid or final."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._blocks: dict[BlockId, Block] = {}
        self._heights: dict[Height, list[BlockId]] = {}
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        """Know this block from now on."""
        if block.id not in self._blocks:
            self._blocks[block.id] = block
            self._heights.setdefault(block.height, []).append(block.id)

    def get(self, block_id: BlockId) -> Block | None:
        """A known block, or None."""
        return self._blocks.get(block_id)

    def at_or_below(self, height: Height) -> list[Block]:
        """All known blocks up to a height, in height order."""
        return [self._blocks[i] for h in sorted(self._heights) if h <= height for i in self._heights[h]]

    def above(self, height: Height) -> list[Block]:
        """All known blocks above a height, in height order."""
        return [self._blocks[i] for h in sorted(self._heights) if h > height for i in self._heights[h]]

    def discard(self, block: Block) -> None:
        """Know this block no more."""
        if self._blocks.pop(block.id, None) is not None:
            self._heights[block.height].remove(block.id)

    def prune(self, certified: Height) -> None:
        """Drop what lies well below a certified height."""
        for height in sorted(h for h in self._heights if h < certified - KEPT_BELOW):
            for block_id in self._heights.pop(height):
                del self._blocks[block_id]
