# SPDX-License-Identifier: Apache-2.0
"""Gathers the transactions of a block: what is here already, what is on its way, and what must be pulled from peers.

A digest names exact bytes, so whoever answers, the bytes are right or worthless; and if they are wrongly signed, the
block that lists them is wrong.  Source: docs/protocol.md, section 3.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

from chain.consensus.block import Block
from chain.consensus.messages import BODIES_MAX, BodiesRequest, encode_message
from chain.errors import LedgerError, Refused
from chain.transaction import SignedTransaction
from chain.types import BLOCK_BYTES_MAX, BlsKey, Digest, sha256
from node.admission import Admission
from node.bodies import BodyStore
from node.mempool import Mempool
from node.metrics import Metrics
from node.transport import Transport

GRACE_MS = 40
"""Gossip of what a block lists is mostly ahead of it, and may still be on its way; what is here but still in the
signature check is waited for and not asked for."""
ASKED_MAX = 8_192
"""Digests asked for because a peer advertised them; what was never asked for is not taken."""
REFUSED_KEPT_MAX = 1_024
"""Digests whose bodies turned out to be wrong, with the reason; asking again would not mend them."""


class Gatherer:
    """Finds transactions by digest for one node."""

    def __init__(
        self,
        *,
        mempool: Mempool,
        bodies: BodyStore,
        admission: Admission,
        transport: Transport,
        metrics: Metrics,
        retry_ms: int,
    ) -> None:
        self._mempool = mempool
        self._bodies = bodies
        self._admission = admission
        self._transport = transport
        self._metrics = metrics
        self._retry_ms = retry_ms
        self._wanted: dict[Digest, int] = {}
        self._pulled: dict[Digest, SignedTransaction] = {}
        self._refused: OrderedDict[Digest, str] = OrderedDict()
        self._asked: OrderedDict[Digest, None] = OrderedDict()
        self._arrived: set[asyncio.Event] = set()

    def find(self, digest: Digest) -> SignedTransaction | None:
        """A transaction with verified signatures, from wherever it is."""
        return self._mempool.get(digest) or self._bodies.get(digest) or self._pulled.get(digest)

    def note_arrivals(self) -> None:
        """Something was admitted: blocks that wait for it look again."""
        for event in self._arrived:
            event.set()

    async def gather(
        self, block: Block, peers: Sequence[BlsKey], validate: Callable[[Sequence[SignedTransaction]], None]
    ) -> tuple[SignedTransaction, ...]:
        """A block's transactions in its order; pulls for as long as any is missing.

        Args:
            block: Lists them.
            peers: Whom to ask, best first.
            validate: Checks the limits that do not depend on state.

        Raises:
            Refused: One of them is not canonical or wrongly signed, or the block breaks a limit.
        """
        arrived = asyncio.Event()
        self._arrived.add(arrived)
        for digest in block.digests:
            self._wanted[digest] = self._wanted.get(digest, 0) + 1
        try:
            found = await self._wait_for_all(block, peers, arrived)
        finally:
            self._arrived.discard(arrived)
            for digest in block.digests:
                self._wanted[digest] -= 1
                if not self._wanted[digest]:
                    del self._wanted[digest]
                    self._pulled.pop(digest, None)
        validate(found)
        return found

    def _check_bytes(self, block: Block) -> None:
        """Give a block up as soon as what is here of it is too much, so that no leader fills the memory."""
        held = [self.find(digest) for digest in block.digests]
        if sum(len(transaction.raw) for transaction in held if transaction is not None) > BLOCK_BYTES_MAX:
            raise Refused(f"the block's transactions have more than {BLOCK_BYTES_MAX} bytes", "block.too-large")

    async def _wait_for_all(
        self, block: Block, peers: Sequence[BlsKey], arrived: asyncio.Event
    ) -> tuple[SignedTransaction, ...]:
        attempt = 0
        self._check_bytes(block)
        self._admission.hurry([digest for digest in block.digests if self.find(digest) is None])
        while True:
            missing = await self._wait_for_arrivals(
                block.digests, arrived, (self._retry_ms if attempt else GRACE_MS) / 1000
            )
            self._check_bytes(block)
            for digest in missing:
                if digest in self._refused:
                    raise Refused(self._refused[digest], "block.invalid-transaction")
            if missing:
                self._ask([digest for digest in missing if not self._admission.is_checking(digest)], peers, attempt)
                attempt += 1
                continue
            found = [self.find(digest) for digest in block.digests]
            if all(found):  # one may have left the mempool meanwhile; then it is looked for again
                return tuple(transaction for transaction in found if transaction is not None)

    async def _wait_for_arrivals(
        self, digests: Sequence[Digest], arrived: asyncio.Event, timeout_s: float
    ) -> list[Digest]:
        """Wait for these; those still missing when time is up, or when one of them turned out to be wrong."""
        missing = [digest for digest in digests if self.find(digest) is None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while missing and self._refused.keys().isdisjoint(missing):
                    arrived.clear()
                    await arrived.wait()
                    missing = [digest for digest in missing if self.find(digest) is None]
        return missing

    def _ask(self, missing: Sequence[Digest], peers: Sequence[BlsKey], attempt: int) -> None:
        """Ask one connected peer, another with each attempt."""
        connected = self._transport.connected
        able = [peer for peer in peers if peer in connected]
        if able and missing:
            self._metrics.pulls.inc()
            request = encode_message(BodiesRequest(tuple(missing[:BODIES_MAX])))
            self._transport.send(able[attempt % len(able)], request)

    def on_advertised(self, sender: BlsKey, digests: Sequence[Digest]) -> None:
        """A peer says what waits there; ask for what is not here."""
        missing = [
            digest
            for digest in digests[:BODIES_MAX]
            if self.find(digest) is None and digest not in self._asked and not self._admission.is_checking(digest)
        ]
        for digest in missing:
            self._asked[digest] = None
        while len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        if missing:
            self._transport.send(sender, encode_message(BodiesRequest(tuple(missing))))

    async def on_bodies(self, transactions: Sequence[bytes]) -> None:
        """Bodies arrived; those that nobody here asked for are dropped unread."""
        wanted: list[bytes] = []
        advertised: list[bytes] = []
        for raw in transactions:
            digest = Digest(sha256(raw))
            if digest in self._wanted:
                if self.find(digest) is None:
                    wanted.append(raw)
            elif digest in self._asked:
                del self._asked[digest]
                advertised.append(raw)
        if wanted:
            for raw, outcome in zip(wanted, await self._admission.verify(wanted), strict=True):
                self._keep(Digest(sha256(raw)), outcome)
            self.note_arrivals()
        if advertised:
            await self._admission.submit(advertised, from_client=False)

    def _keep(self, digest: Digest, outcome: SignedTransaction | LedgerError) -> None:
        if isinstance(outcome, SignedTransaction):
            if digest in self._wanted:
                self._pulled[digest] = outcome
            return
        self._refused[digest] = outcome.reason
        while len(self._refused) > REFUSED_KEPT_MAX:
            self._refused.popitem(last=False)
