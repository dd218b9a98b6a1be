# SPDX-License-Identifier: Apache-2.0
"""Asks one peer for parts of its ledger. What comes back is bytes: `node.joining` checks them.

A peer that can't be reached, stalls or is busy has failed; one that answers with a refusal has said why.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from chain.checkpoint import ClosingCheckpoint
from chain.codec import decode
from chain.errors import InvalidMessage, LedgerError, Refused
from chain.pb import ledger_pb2
from chain.snapshot import HEAD_BYTES_MAX
from chain.types import HASH_BYTES, Epoch, Height
from node.config import PeerConfig
from node.errors import TransportError
from node.pb import sync_service_pb2 as pb
from node.pb import sync_service_pb2_grpc as rpc
from node.transport import Peer, TlsIdentity, peer_channel

ANSWER_SECONDS_MAX = 10.0
"""For one answer, however busy its peer: a part takes it a tenth of a second, and at most eight others wait."""
ANSWER_BYTES_MAX = HEAD_BYTES_MAX + 4 * 1024 * 1024
"""Larger than any answer: a head with its block, a part with its last value, a range with its last block."""
CLOSING_BYTES_MAX = 16 * 1024
HEIGHTS_MAX = 16
"""Snapshots that one peer can offer; honest ones offer two."""
MEMBERS_MAX = 64

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Offers:
    """What a peer says that it has; nothing of it is proven.

    Attributes:
        oldest_block: The lowest height whose block it has.
        heights: Of its snapshots, ascending.
        members: Addresses and certificates (DER) of further peers.
    """

    network: bytes
    executed_height: Height
    log_size: int
    oldest_block: Height
    heights: tuple[Height, ...]
    members: tuple[tuple[str, bytes], ...]


class Source(Protocol):
    """Somebody who has a ledger. Each call raises `TransportError`, `Refused`, or `InvalidMessage` of what it sent."""

    @property
    def name(self) -> str:
        """For the log."""
        ...

    async def offers(self) -> Offers:
        """What it has."""
        ...

    async def closings(self, from_epoch: Epoch) -> tuple[ClosingCheckpoint, ...]:
        """The checkpoints that closed this epoch and later ones; not verified, maybe not all."""
        ...

    async def head(self, height: Height) -> bytes:
        """Where its copy at a height begins."""
        ...

    async def tail(self, height: Height, from_leaf: int) -> bytes:
        """Entries of the log at a height."""
        ...

    async def state(self, height: Height, path: bytes) -> bytes:
        """What stands at a place of the state at a height."""
        ...

    async def close(self) -> None:
        """Give its connection back."""
        ...


class SyncPeer:
    """A `Source` at the other end of a connection of its own."""

    def __init__(self, peer: Peer, identity: TlsIdentity, config: PeerConfig) -> None:
        """Connect on the first call.

        Raises:
            ConfigError: The peer's certificate can't be used.
        """
        self._peer = peer
        self._channel = peer_channel(peer, identity, config, answer_bytes_max=ANSWER_BYTES_MAX)
        self._stub = rpc.SyncStub(self._channel)

    @property
    def name(self) -> str:
        """Organisation and address."""
        return f"{self._peer.organisation} at {self._peer.address}"

    async def offers(self) -> Offers:
        """What the peer says that it has."""
        answer = await self._ask(self._stub.Offers, pb.OffersRequest())
        if len(answer.heights) > HEIGHTS_MAX or len(answer.members) > MEMBERS_MAX:
            raise InvalidMessage(f"more than {HEIGHTS_MAX} snapshots, or more than {MEMBERS_MAX} members")
        if len(answer.network) != HASH_BYTES:
            raise InvalidMessage("offers without a network's id")
        return Offers(
            network=answer.network,
            executed_height=Height(answer.executed_height),
            log_size=answer.log_size,
            oldest_block=Height(answer.oldest_block),
            heights=tuple(Height(height) for height in answer.heights),
            members=tuple((member.address, member.certificate) for member in answer.members),
        )

    async def closings(self, from_epoch: Epoch) -> tuple[ClosingCheckpoint, ...]:
        """The checkpoints that closed this epoch and later ones, as far as fits one answer."""
        answer = await self._ask(self._stub.Closings, pb.ClosingsRequest(from_epoch=from_epoch))
        return tuple(
            ClosingCheckpoint.from_pb(decode(ledger_pb2.ClosingCheckpoint, raw, CLOSING_BYTES_MAX))
            for raw in answer.closings
        )

    async def head(self, height: Height) -> bytes:
        """Where the peer's copy at a height begins."""
        return (await self._ask(self._stub.Head, pb.HeadRequest(height=height))).head

    async def tail(self, height: Height, from_leaf: int) -> bytes:
        """Entries of the log at a height, from this one on."""
        return (await self._ask(self._stub.Tail, pb.TailRequest(height=height, from_leaf=from_leaf))).part

    async def state(self, height: Height, path: bytes) -> bytes:
        """What stands at a place of the state at a height."""
        return (await self._ask(self._stub.State, pb.StateRequest(height=height, path=path))).part

    async def close(self) -> None:
        """Give the connection back."""
        await self._channel.close()

    async def _ask(self, method: "Callable[..., Awaitable[Answer]]", request: object) -> Answer:
        try:
            # Twice: gRPC's own deadline also ends the work at the peer, ours holds whatever gRPC does.
            async with asyncio.timeout(ANSWER_SECONDS_MAX + 1):
                return await method(request, timeout=ANSWER_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            raise _meaning(error) from None
        except TimeoutError:
            raise TransportError(f"no answer within {ANSWER_SECONDS_MAX:.0f} s") from None


def _meaning(error: grpc.aio.AioRpcError) -> LedgerError | TransportError:
    """What a failed call says of the peer."""
    details = error.details() or ""
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        code, _, reason = details.partition(": ")
        return Refused(reason[:300], code[:64])
    if error.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
        return InvalidMessage(f"the peer failed at the request: {details[:300]}")
    return TransportError(f"{error.code().name.lower().replace('_', ' ')}: {details[:300]}")
