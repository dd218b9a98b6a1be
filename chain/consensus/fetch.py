# SPDX-License-Identifier: Apache-2.0
"""Whom to ask for blocks that are missing, and how often.

Source: docs/protocol.md, sections 3 and 7.
"""

from collections.abc import Sequence

from chain.consensus.messages import BlockRequest, ClosingRequest, RangeRequest
from chain.consensus.outbox import Outbox
from chain.types import BlockId, BlsKey, Epoch, Millis

Wanted = tuple[BlockId, tuple[BlsKey, ...]]
"""A block by id, with the peers most likely to hold it."""


class Fetch:
    """One peer after another, each block at a bounded pace."""

    def __init__(self, outbox: Outbox) -> None:
        self._out = outbox
        self._asked: dict[BlockId, Millis] = {}
        self._turn = 0

    def blocks(self, wanted: Sequence[Wanted], peers: Sequence[BlsKey], now: Millis, gap_ms: int) -> None:
        """Ask for blocks by id: at once from one that is likely to hold it, then from one peer after another."""
        self._asked = {b: at for b, at in self._asked.items() if any(b == block_id for block_id, _ in wanted)}
        for block_id, likely in wanted:
            asked = self._asked.get(block_id)
            if asked is not None and now < asked + gap_ms:
                continue
            self._asked[block_id] = now
            peer = likely[0] if likely and asked is None else self._next(peers)
            if peer is not None:
                self._out.send(peer, BlockRequest(block_id))

    def arrived(self, block_id: BlockId) -> None:
        """A block is here; if it is wanted again, it is asked for at once."""
        self._asked.pop(block_id, None)

    def range(self, request: RangeRequest | None, peers: Sequence[BlsKey]) -> None:
        """Ask the next peer for a range, if any is needed."""
        peer = self._next(peers)
        if peer is not None and request is not None:
            self._out.send(peer, request)

    def news(self, epoch: Epoch, request: RangeRequest | None, peers: Sequence[BlsKey]) -> None:
        """Ask the next peer for later epochs and blocks, as one does who is told nothing unasked."""
        peer = self._next(peers)
        if peer is not None:
            self._out.send(peer, ClosingRequest(epoch))
            if request is not None:
                self._out.send(peer, request)

    def _next(self, peers: Sequence[BlsKey]) -> BlsKey | None:
        self._turn += 1
        return peers[self._turn % len(peers)] if peers else None
