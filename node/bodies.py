# SPDX-License-Identifier: Apache-2.0
"""Which transactions of which blocks are here, which of them are on disk, and when they may go.

Pure bookkeeping; the driver does the IO. A body is needed while a block that lists it may still be executed, and while
it has neither an entry nor expired: then it belongs back into the mempool.

Source: docs/protocol.md, section 3, "Durable".
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from chain.consensus.block import Block
from chain.transaction import SignedTransaction
from chain.types import BlockId, Digest, Height, Millis

RECENT_BYTES_MAX = 32 * 1024 * 1024
"""Bodies of executed blocks kept in memory for peers that are slightly behind: about eight full blocks."""


class BodyStore:
    """Bodies known beside the mempool, all with verified signatures."""

    def __init__(self) -> None:
        self._known: dict[Digest, SignedTransaction] = {}
        self._users: dict[Digest, set[BlockId]] = {}
        self._blocks: dict[BlockId, Block] = {}
        self._journaled: set[BlockId] = set()
        self._durable: set[Digest] = set()
        self._unsettled: dict[Digest, Millis] = {}
        self._loose: set[Digest] = set()
        self._recent: OrderedDict[Digest, SignedTransaction] = OrderedDict()
        self._recent_bytes = 0

    @property
    def count(self) -> int:
        """Bodies of blocks that are not executed yet."""
        return len(self._known)

    def get(self, digest: Digest) -> SignedTransaction | None:
        """A body of a block under way or of a recently executed one."""
        return self._known.get(digest) or self._recent.get(digest)

    def transactions(self, block: Block) -> tuple[SignedTransaction, ...] | None:
        """A block's transactions in its order, or None while one is missing."""
        found = [self.get(digest) for digest in block.digests]
        present = tuple(transaction for transaction in found if transaction is not None)
        return present if len(present) == len(found) else None

    def take(self, block: Block, transactions: Iterable[SignedTransaction]) -> None:
        """A block under way lists these."""
        self._blocks[block.id] = block
        for transaction in transactions:
            digest = transaction.digest
            self._known[digest] = transaction
            self._users.setdefault(digest, set()).add(block.id)

    def load(self, transaction: SignedTransaction) -> None:
        """A body was read back from the journal."""
        self._known[transaction.digest] = transaction
        self._durable.add(transaction.digest)
        self._unsettled[transaction.digest] = transaction.expires_at_ms

    def adopt(self, block: Block) -> None:
        """A block was read back from the journal: what it lists stays until it is executed or forgotten."""
        self._blocks[block.id] = block
        self._journaled.add(block.id)
        for digest in block.digests:
            if digest in self._known:
                self._users.setdefault(digest, set()).add(block.id)

    def not_durable(self, block: Block) -> list[SignedTransaction]:
        """What of this block must go into the batch that stores it."""
        transactions = self.transactions(block)
        assert transactions is not None, "the core stores a block with bodies only once they are held"
        return [transaction for transaction in transactions if transaction.digest not in self._durable]

    def stored(self, block: Block, transactions: Iterable[SignedTransaction]) -> None:
        """The block is on disk now, and these of its transactions with it."""
        self._journaled.add(block.id)
        for transaction in transactions:
            self._durable.add(transaction.digest)
            self._unsettled[transaction.digest] = transaction.expires_at_ms

    def settle(self, digests: Iterable[Digest]) -> None:
        """These have an entry, or never will."""
        for digest in digests:
            if self._unsettled.pop(digest, None) is not None:
                self._loose.add(digest)

    def release(self, blocks: Sequence[Block]) -> list[Digest]:
        """These blocks are covered by a certified checkpoint, executed or given up.

        Returns:
            Digests whose records may be deleted from the journal.
        """
        touched: list[Digest] = []
        for block in blocks:
            self._journaled.discard(block.id)
            if self._blocks.pop(block.id, None) is None:
                continue
            for digest in block.digests:
                users = self._users.get(digest)
                if users is not None:
                    users.discard(block.id)
                    touched.append(digest)
        return self._sweep(touched)

    def tentative(self, height: Height) -> list[Block]:
        """Blocks up to a height that never went into the journal, so that no certified checkpoint names them."""
        return [b for b in self._blocks.values() if b.height <= height and b.id not in self._journaled]

    def expire(self, time_ms: Millis) -> list[Digest]:
        """What no block of this time or later can hold need not be kept for the mempool's sake.

        Returns:
            Digests whose records may be deleted from the journal.
        """
        expired = [digest for digest, until_ms in self._unsettled.items() if until_ms < time_ms]
        self.settle(expired)
        loose, self._loose = sorted(self._loose), set()
        return self._sweep(loose)

    def unsettled(self, blocks: Sequence[Block] | None = None) -> list[SignedTransaction]:
        """Bodies, of these blocks or of all, that have neither an entry nor expired as far as is known."""
        digests = self._unsettled if blocks is None else [digest for block in blocks for digest in block.digests]
        return [self._known[digest] for digest in digests if digest in self._unsettled and digest in self._known]

    def _sweep(self, digests: Iterable[Digest]) -> list[Digest]:
        """Let go of those of these that nobody needs."""
        deletable: list[Digest] = []
        for digest in digests:
            if self._users.get(digest) or (digest in self._durable and digest in self._unsettled):
                continue
            self._unsettled.pop(digest, None)
            self._users.pop(digest, None)
            transaction = self._known.pop(digest, None)
            if transaction is not None:
                self._remember(transaction)
            if digest in self._durable:
                self._durable.discard(digest)
                deletable.append(digest)
        return deletable

    def _remember(self, transaction: SignedTransaction) -> None:
        if transaction.digest in self._recent:
            return
        self._recent[transaction.digest] = transaction
        self._recent_bytes += len(transaction.raw)
        while self._recent_bytes > RECENT_BYTES_MAX:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest.raw)
