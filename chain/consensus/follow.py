# SPDX-License-Identifier: Apache-2.0
"""Turns "this block is final" into an unbroken queue of blocks to execute, fetching whatever is missing.

The queue is one chain of parent links from the executed tip upwards; it crosses epochs where a first block's parent is
the former epoch's closing block. Blocks that are final above a closing block are void: they are on no such chain.

Two ways lead to a missing block, and both are needed: by id, from those who voted for it or on it, for what nobody may
have executed yet; and by ranges of heights with a proof, from those who have executed and forgotten it.

Source: docs/protocol.md, sections 4, 5 and 7.
"""

from collections.abc import Mapping

from chain.application import Tip
from chain.certificate import Certificate, SignatureScheme, verify_certificate, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, ValidatorSet
from chain.consensus.block import Block
from chain.consensus.blocktree import BlockTree
from chain.consensus.events import Execute
from chain.consensus.messages import Range, RangeRequest
from chain.consensus.outbox import Outbox
from chain.consensus.tally import FINALIZE
from chain.errors import InvalidCertificate, InvalidMessage
from chain.types import BlockId, BlsKey, Epoch, Height, Network, sha256

FETCH_BY_ID_MAX = 1024
"""A gap larger than this is closed by ranges alone, so that memory for headers stays bounded."""
QUEUED_MAX = 256
"""Blocks with bodies waiting for execution, above which no further range is asked for."""
QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Likewise for the bodies' bytes; one range may exceed it."""
RANGE_COUNT = 128


class Follow:
    """The executed tip, the final blocks above it, and what lies between."""

    def __init__(self, *, network: Network, tip: Tip, tree: BlockTree, scheme: SignatureScheme, outbox: Outbox) -> None:
        self._network = network
        self._tree = tree
        self._scheme = scheme
        self._out = outbox
        self.tip = tip
        self._chain: dict[Height, Block] = {}
        self._bodies: dict[BlockId, tuple[bytes, ...]] = {}
        self._queued_bytes = 0
        self._targets: list[tuple[BlockId, Epoch]] = []
        self._executing: Block | None = None
        self._closed: dict[Epoch, Height] = {}
        self.missing: BlockId | None = None

    @property
    def top(self) -> tuple[BlockId, Height]:
        """The end of the unbroken chain from the tip upwards."""
        height, block_id = self.tip.height, self.tip.block_id
        while Height(height + 1) in self._chain:
            height = Height(height + 1)
            block_id = self._chain[height].id
        return block_id, height

    @property
    def is_behind(self) -> bool:
        """Whether a block is known to be final that cannot be executed for want of one below."""
        return bool(self._targets)

    # ------------------------------------------------------------ final blocks

    def holds(self, block: Block) -> bool:
        """Whether this block waits for execution."""
        known = self._chain.get(block.height)
        return known is not None and known.id == block.id

    def final(self, block_id: BlockId, epoch: Epoch, height: Height | None = None) -> None:
        """A block of an epoch is final; its height if known. Later calls name later blocks."""
        if block_id == self.tip.block_id or any(block.id == block_id for block in self._chain.values()):
            return
        if height is not None and height <= self.tip.height:
            return
        if all(known != block_id for known, _ in self._targets):
            self._targets.append((block_id, epoch))
        self.resolve()

    def resolve(self) -> None:
        """Link targets to the tip as far as the blocks between are known."""
        self.missing = None
        for place in reversed(range(len(self._targets))):
            if self._link(self._targets[place][0]):
                # What was final before it lies below it, or is void.
                del self._targets[: place + 1]
                return

    def _link(self, block_id: BlockId) -> bool:
        """Link one target; True if done, or not needed any more."""
        _, top_height = self.top
        path: list[Block] = []
        current = self._tree.get(block_id)
        if current is None:
            self.missing = self.missing or block_id
            return False
        if current.height <= self.tip.height or self._is_void(current):
            return True
        while True:
            known = self._chain.get(current.height)
            if known is not None:
                assert known.id == current.id, "two final blocks at one height"
                break
            path.append(current)
            if current.parent_id == self.tip.block_id:
                break
            if current.height <= self.tip.height + 1:
                return True  # void: it links to what its epoch's closing block left behind
            parent = self._tree.get(current.parent_id)
            if parent is None:
                if current.height - top_height <= FETCH_BY_ID_MAX:
                    self.missing = self.missing or current.parent_id
                return False
            current = parent
        for block in path:
            self._chain[block.height] = block
        return True

    def close(self, epoch: Epoch, closing: Height) -> None:
        """An epoch closed at a height: its blocks above are void, whatever made or will make them final."""
        self._closed[epoch] = closing
        # The closing block is named again after this, if it is not executed yet.
        self._targets = [target for target in self._targets if target[1] != epoch]
        for height in sorted(h for h, block in self._chain.items() if self._is_void(block)):
            self._take_bodies(self._chain.pop(height))
        self.resolve()

    def _is_void(self, block: Block) -> bool:
        closing = self._closed.get(block.epoch)
        return closing is not None and block.height > closing

    # ------------------------------------------------------------ ranges

    def next_request(self) -> RangeRequest | None:
        """What to ask a peer that may be ahead; None while enough is queued."""
        height = self.top[1]
        if self._is_full(height):
            return None
        return RangeRequest(Height(height + 1), RANGE_COUNT)

    def _is_full(self, top: Height) -> bool:
        return top - self.tip.height >= QUEUED_MAX or self._queued_bytes >= QUEUED_BYTES_MAX

    def _take_bodies(self, block: Block) -> tuple[bytes, ...] | None:
        bodies = self._bodies.pop(block.id, None)
        self._queued_bytes -= sum(map(len, bodies or ()))
        return bodies

    def on_range(self, message: Range, sets: Mapping[Epoch, ValidatorSet]) -> str | None:
        """Take over a range that continues the chain and proves its last block final.

        Returns:
            What is wrong with it, or None. A range that overlaps what is known is not wrong, just useless.
        """
        first, last = message.blocks[0].block, message.blocks[-1].block
        top_id, top_height = self.top
        if first.height != top_height + 1 or self._is_full(top_height):
            return None
        parent_id, height = top_id, top_height
        for item in message.blocks:
            height = Height(height + 1)
            if item.block.parent_id != parent_id or item.block.height != height or item.block.epoch != last.epoch:
                return "range whose blocks do not form a chain within one epoch"
            if self._is_void(item.block):
                return "range with void blocks"
            if tuple(sha256(transaction) for transaction in item.transactions) != item.block.digests:
                return "range with transactions that its blocks do not list"
            parent_id = item.block.id
        reason = self._unproven(last, message.proof, sets)
        if reason is not None:
            return reason
        for item in message.blocks:
            self._chain[item.block.height] = item.block
            self._bodies[item.block.id] = item.transactions
            self._queued_bytes += sum(map(len, item.transactions))
            self._tree.add(item.block)
        self.resolve()
        return None

    def _unproven(
        self, last: Block, proof: Certificate | CertifiedCheckpoint, sets: Mapping[Epoch, ValidatorSet]
    ) -> str | None:
        validators = sets.get(last.epoch)
        if validators is None:
            return "range of an epoch that is not known here"
        try:
            if isinstance(proof, Certificate):
                verify_certificate(proof, validators, self._network, self._scheme)
                proven, kind_holds = proof.block_id, proof.kind == FINALIZE
            else:
                proven, kind_holds = verify_checkpoint(proof, validators, self._network, self._scheme).block_id, True
        except (InvalidCertificate, InvalidMessage) as error:
            return f"range: {error.reason}"
        return None if kind_holds and proven == last.id else "range whose proof is not of its last block"

    # ------------------------------------------------------------ execution

    def pump(self, peers: tuple[BlsKey, ...]) -> None:
        """Hand the next block to the driver unless it is busy."""
        if self._executing is not None:
            return
        block = self._chain.get(Height(self.tip.height + 1))
        if block is None:
            return
        assert block.parent_id == self.tip.block_id
        self._executing = block
        self._out.emit(Execute(block, self._take_bodies(block), peers))

    def executed(self, tip: Tip) -> Block | None:
        """The driver is done with the block handed out; the block, or None if none was."""
        block = self._executing
        assert block is None or block.id == tip.block_id
        self._executing = None
        self._chain.pop(tip.height, None)
        self.tip = tip
        self.resolve()
        return block
