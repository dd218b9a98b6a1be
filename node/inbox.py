# SPDX-License-Identifier: Apache-2.0
"""What peers send: decoded, bounded, and handed to whom it concerns.

The core gets what it must judge; requests for bodies and ranges are answered here; transactions go to admission. A
peer whose messages pile up waits on its own stream and slows nobody else down.
"""

from collections.abc import Callable, Coroutine, Sequence

from chain.consensus.events import Received
from chain.consensus.messages import (
    RANGE_BLOCKS_MAX,
    Bodies,
    BodiesRequest,
    Proposal,
    RangeRequest,
    decode_message,
    encode_message,
)
from chain.errors import InvalidMessage
from chain.types import HASH_BYTES, BlsKey, Digest, Height, Millis
from node.admission import Admission
from node.clock import ClockWatch
from node.config import ConsensusConfig, PeerConfig
from node.driver import Driver
from node.gather import Gatherer
from node.ledger_service import LedgerService
from node.outbox import FRAME_MESSAGES_MAX, Urgency
from node.pb import peer_service_pb2 as pb
from node.transport import Transport

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Of bodies in one answer: a full block's."""
GOSSIP_UNCHECKED_MAX = 8
"""Frames of one peer whose transactions wait for their check; further gossip of it is dropped and pulled on need."""


class Inbox:
    """Takes frames from the transport."""

    def __init__(
        self,
        *,
        driver: Driver,
        gatherer: Gatherer,
        admission: Admission,
        ledger: LedgerService,
        transport: Transport,
        clock: ClockWatch,
        now: Callable[[], Millis],
        spawn: Callable[[Coroutine[None, None, None]], None],
        peer: PeerConfig,
        consensus: ConsensusConfig,
    ) -> None:
        self._driver = driver
        self._gatherer = gatherer
        self._admission = admission
        self._ledger = ledger
        self._transport = transport
        self._clock = clock
        self._now = now
        self._spawn = spawn
        self._peer = peer
        self._consensus = consensus
        self._serving: set[BlsKey] = set()
        self._unchecked: dict[BlsKey, int] = {}

    async def receive(self, sender: BlsKey, frame: pb.Frame) -> None:
        """Take one frame; returns when the sender may send the next."""
        if max(len(frame.messages), len(frame.transactions), len(frame.advertised)) > FRAME_MESSAGES_MAX:
            self._driver.reject(sender, "a frame with too many items")
            return
        for raw in frame.messages:
            self._take_message(sender, raw)
        if frame.transactions and self._unchecked.get(sender, 0) < GOSSIP_UNCHECKED_MAX:
            self._unchecked[sender] = self._unchecked.get(sender, 0) + 1
            self._spawn(self._admit(sender, list(frame.transactions)))
        if frame.advertised:
            digests = [Digest(digest) for digest in frame.advertised if len(digest) == HASH_BYTES]
            self._gatherer.on_advertised(sender, digests)
        await self._driver.wait_for_room(sender, self._peer.inbox_messages_max)

    def _take_message(self, sender: BlsKey, raw: bytes) -> None:
        try:
            message = decode_message(raw)
        except InvalidMessage as error:
            self._driver.reject(sender, error.reason)
            return
        match message:
            case RangeRequest(height, count):
                self._serve(sender, self._send_range(sender, height, count))
            case BodiesRequest(digests):
                self._serve(sender, self._send_bodies(sender, digests))
            case Bodies(transactions):
                self._spawn(self._gatherer.on_bodies(transactions))
            case _:
                if isinstance(message, Proposal):
                    self._clock.note(sender, message.block.time_ms, self._now(), len(self._transport.peers))
                self._driver.post(Received(sender, message), len(raw))

    async def _admit(self, sender: BlsKey, transactions: Sequence[bytes]) -> None:
        try:
            await self._admission.submit(transactions, from_client=False, source=sender)
        finally:
            self._unchecked[sender] -= 1

    def _serve(self, sender: BlsKey, work: Coroutine[None, None, None]) -> None:
        """Answer one request of a peer at a time; it asks again for what it still lacks."""
        if sender in self._serving:
            work.close()
            return
        self._serving.add(sender)
        self._spawn(self._served(sender, work))

    async def _served(self, sender: BlsKey, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        finally:
            self._serving.discard(sender)

    async def _send_range(self, sender: BlsKey, height: Height, count_max: int) -> None:
        limit = min(count_max, RANGE_BLOCKS_MAX, self._consensus.range_blocks_max)
        found = await self._ledger.blocks(height, limit, self._consensus.range_bytes_max)
        if found is not None:
            self._transport.send(sender, encode_message(found), Urgency.ANSWER)

    async def _send_bodies(self, sender: BlsKey, digests: Sequence[Digest]) -> None:
        found: list[bytes] = []
        elsewhere: list[Digest] = []
        room = ANSWER_BYTES_MAX
        for digest in digests:
            transaction = self._gatherer.find(digest)
            if transaction is None:
                elsewhere.append(digest)
            elif len(transaction.raw) <= room:
                found.append(transaction.raw)
                room -= len(transaction.raw)
        if elsewhere and room:
            found += await self._ledger.bodies(elsewhere, room)
        if found:
            self._transport.send(sender, encode_message(Bodies(tuple(found))), Urgency.ANSWER)
