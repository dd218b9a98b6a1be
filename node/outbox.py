# SPDX-License-Identifier: Apache-2.0
"""What waits to be sent to one peer: bounded, votes before bulk, and coalesced into frames.

Pure logic. Consensus never waits for it and survives what it drops: votes and certificates are sent again, bodies and
ranges are asked for again, transactions are advertised again.
"""

from collections import deque
from collections.abc import Sequence
from enum import IntEnum

from chain.types import HASH_BYTES, Digest
from node.pb import peer_service_pb2 as pb

FRAME_MESSAGES_MAX = 1_024
"""Items of one kind in a frame: bounds what one frame makes its receiver do at once."""
ADVERTISED_MAX = 4_096
"""Digests that wait; newer ones replace the oldest."""


class Urgency(IntEnum):
    """In which order things leave."""

    VOTE = 0
    """What consensus says: small, and others wait for it."""
    ANSWER = 1
    """Bodies and ranges that the peer asked for."""


class Outbox:
    """The queue of one peer.

    Attributes:
        dropped: How many items were dropped since the start, for metrics.
    """

    def __init__(self, bytes_max: int, frame_bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._frame_bytes_max = frame_bytes_max
        self._messages: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._transactions: deque[bytes] = deque()
        self._advertised: deque[Digest] = deque(maxlen=ADVERTISED_MAX)
        self._message_bytes = 0
        self._transaction_bytes = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._messages[0] or self._messages[1] or self._transactions or self._advertised)

    @property
    def size_bytes(self) -> int:
        """What waits, in all."""
        return self._message_bytes + self._transaction_bytes + len(self._advertised) * HASH_BYTES

    def put_message(self, message: bytes, urgency: Urgency) -> None:
        """Queue a peer message. Above the bound gossip goes first, then the oldest answers, then the oldest votes."""
        self._messages[urgency].append(message)
        self._message_bytes += len(message)
        while self._message_bytes + self._transaction_bytes > self._bytes_max and self._drop_oldest():
            self.dropped += 1

    def put_transactions(self, transactions: Sequence[bytes]) -> None:
        """Queue new transactions. Above the bound the oldest gossip goes; messages never make room for it."""
        self._transactions.extend(transactions)
        self._transaction_bytes += sum(map(len, transactions))
        while self._transactions and self._message_bytes + self._transaction_bytes > self._bytes_max:
            self._transaction_bytes -= len(self._transactions.popleft())
            self.dropped += 1

    def put_advertised(self, digests: Sequence[Digest]) -> None:
        """Queue digests of what waits here."""
        self._advertised.extend(digests)

    def clear(self) -> None:
        """Forget all: the peer is gone, and on its return it asks for what it lacks."""
        for queue in self._messages:
            queue.clear()
        self._transactions.clear()
        self._advertised.clear()
        self._message_bytes = self._transaction_bytes = 0

    def next_frame(self) -> pb.Frame | None:
        """Take what goes out next as one frame, or None. A frame exceeds its bound only by its one first item."""
        messages: list[bytes] = []
        room = self._frame_bytes_max
        for queue in self._messages:
            while queue and len(messages) < FRAME_MESSAGES_MAX and (len(queue[0]) <= room or not messages):
                message = queue.popleft()
                room -= len(message)
                self._message_bytes -= len(message)
                messages.append(message)
        transactions: list[bytes] = []
        queue = self._transactions
        while queue and len(transactions) < FRAME_MESSAGES_MAX:
            if len(queue[0]) > room and (messages or transactions):
                break
            transaction = queue.popleft()
            room -= len(transaction)
            self._transaction_bytes -= len(transaction)
            transactions.append(transaction)
        advertised: list[Digest] = []
        while self._advertised and len(advertised) < FRAME_MESSAGES_MAX and room >= HASH_BYTES:
            advertised.append(self._advertised.popleft())
            room -= HASH_BYTES
        if not messages and not transactions and not advertised:
            return None
        return pb.Frame(messages=messages, transactions=transactions, advertised=advertised)

    def _drop_oldest(self) -> bool:
        """Drop one item, the least needed first; never the last message alone."""
        if self._transactions:
            self._transaction_bytes -= len(self._transactions.popleft())
            return True
        for urgency in (Urgency.ANSWER, Urgency.VOTE):
            queue = self._messages[urgency]
            if len(queue) > 1 or (queue and self._messages[1 - urgency]):
                self._message_bytes -= len(queue.popleft())
                return True
        return False
