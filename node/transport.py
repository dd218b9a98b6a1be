# SPDX-License-Identifier: Apache-2.0
"""Frames between nodes over mutual TLS: who sent what is settled by the certificate, pinned by membership.

Each node dials each peer and sends on the stream that it opened; it only ever receives on the streams that peers
opened to it. So a frame's author is the certificate of its connection. Nothing here understands what it carries.

Peers change rarely, and gRPC's server credentials that change while it runs corrupt memory under concurrent
handshakes; hence a change of peers starts the listener anew, which costs every peer one reconnection.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import structlog

from chain.consensus.messages import MESSAGE_BYTES_MAX
from chain.types import BlsKey, Digest
from node.certificates import certificate_name, to_pem
from node.config import PeerConfig, split_address
from node.errors import TransportError
from node.outbox import Outbox, Urgency
from node.pb import peer_service_pb2 as pb
from node.pb import peer_service_pb2_grpc as rpc

FRAME_BYTES_LIMIT = MESSAGE_BYTES_MAX + 2 * 1024 * 1024
"""What gRPC accepts: the largest message with a full frame beside it."""
HANDSHAKE_MS = 5_000
"""Who has not finished TLS by then is cut: bounds what connections without a certificate can hold."""
STREAMS_PER_CONNECTION_MAX = 4
"""A peer needs one; the others are those that die while it reconnects."""

log = structlog.get_logger(__name__)

FrameHandler = Callable[[BlsKey, pb.Frame], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that this one talks to.

    Attributes:
        bls_key: Its name among validators.
        address: host:port of its peer listener; empty for one that only dials us.
        certificate: DER, as pinned.
    """

    bls_key: BlsKey
    organisation: str
    address: str
    certificate: bytes


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """This node's own certificate and key, PEM."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "TlsIdentity(…)"


class _Link:
    """The outgoing stream to one peer: dials, sends, and dials again."""

    def __init__(self, peer: Peer, identity: TlsIdentity, config: PeerConfig) -> None:
        self.peer = peer
        self.connected = False
        self.outbox = Outbox(config.queue_bytes_max, config.frame_bytes_max)
        self._identity = identity
        self._config = config
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"link {peer.organisation}")

    def poke(self) -> None:
        """Something waits in the outbox."""
        self._wanted.set()

    async def stop(self) -> None:
        """End the stream; what waits is lost."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        """Keep a stream open for as long as the peer is ours."""
        delay_ms = self._config.reconnect_ms_min
        while True:
            try:
                await self._connect_and_send()
            except grpc.aio.AioRpcError as error:
                log.debug("peer.unreachable", peer=self.peer.organisation, code=error.code().name)
            was_connected, self.connected = self.connected, False
            self.outbox.clear()
            if was_connected:
                delay_ms = self._config.reconnect_ms_min
                log.info("peer.disconnected", peer=self.peer.organisation)
            await asyncio.sleep(delay_ms * random.uniform(0.7, 1.3) / 1000)  # noqa: S311 - jitter guards nothing
            delay_ms = min(delay_ms * 2, self._config.reconnect_ms_max)

    async def _connect_and_send(self) -> None:
        credentials = grpc.ssl_channel_credentials(
            to_pem(self.peer.certificate), self._identity.key_pem, self._identity.certificate_pem
        )
        options = [
            ("grpc.ssl_target_name_override", certificate_name(self.peer.certificate)),
            ("grpc.max_receive_message_length", 4096),
            ("grpc.max_send_message_length", FRAME_BYTES_LIMIT),
            ("grpc.keepalive_time_ms", self._config.keepalive_ms),
            ("grpc.keepalive_timeout_ms", self._config.keepalive_ms),
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", self._config.reconnect_ms_min),
            ("grpc.max_reconnect_backoff_ms", self._config.reconnect_ms_max),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        async with grpc.aio.secure_channel(self.peer.address, credentials, options=options) as channel:
            call = rpc.PeerStub(channel).Exchange()
            await call.wait_for_connection()
            self.connected = True
            log.info("peer.connected", peer=self.peer.organisation, address=self.peer.address)
            ended = asyncio.ensure_future(call.read())  # the peer says nothing here: a result means the end
            try:
                await self._send_all(call, ended)
            finally:
                ended.cancel()
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                    await ended

    async def _send_all(
        self, call: grpc.aio.StreamStreamCall[pb.Frame, pb.FrameAck], ended: asyncio.Future[object]
    ) -> None:
        """Send frames until the stream ends."""
        ended.add_done_callback(lambda _: self._wanted.set())
        while not ended.done():
            await self._wanted.wait()
            self._wanted.clear()
            while not ended.done() and (frame := self.outbox.next_frame()) is not None:
                try:
                    await call.write(frame)
                except asyncio.InvalidStateError:  # the call ended between two frames
                    return


class _Service(rpc.PeerServicer):
    """Reads the streams that peers opened."""

    def __init__(self, peers: Mapping[bytes, BlsKey], receive: FrameHandler, note: Callable[[], None]) -> None:
        self._peers = peers
        self._receive = receive
        self._note = note

    async def Exchange(  # noqa: N802 - the method's name on the wire
        self,
        request_iterator: AsyncIterable[pb.Frame],
        context: grpc.aio.ServicerContext[pb.Frame, pb.FrameAck],
    ) -> AsyncIterator[pb.FrameAck]:
        """Hand each frame to the node, in order; a slow node slows the peer down."""
        certificates = list(context.auth_context().get("x509_pem_cert", ()))
        sender = self._peers.get(bytes(certificates[0])) if certificates else None
        if sender is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this certificate is not pinned")
        async for frame in request_iterator:
            self._note()
            await self._receive(sender, frame)
        yield pb.FrameAck()


def _names(peers: Iterable[Peer]) -> frozenset[tuple[BlsKey, bytes]]:
    """Who is accepted, and as whom: a follower that becomes a validator keeps its certificate and changes its name."""
    return frozenset((peer.bls_key, peer.certificate) for peer in peers)


class Transport:
    """All of a node's connections with its peers."""

    def __init__(self, identity: TlsIdentity, config: PeerConfig, receive: FrameHandler) -> None:
        self._identity = identity
        self._config = config
        self._receive = receive
        self._links: dict[BlsKey, _Link] = {}
        self._pinned: tuple[Peer, ...] = ()
        self._server: grpc.aio.Server | None = None
        self._changing = asyncio.Lock()
        self.frames_received = 0

    @property
    def connected(self) -> frozenset[BlsKey]:
        """Peers that a stream of ours leads to right now."""
        return frozenset(key for key, link in self._links.items() if link.connected)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Whom this node talks to."""
        return self._pinned

    @property
    def dropped(self) -> int:
        """Items dropped from full queues since the start."""
        return sum(link.outbox.dropped for link in self._links.values())

    async def set_peers(self, peers: Iterable[Peer]) -> None:
        """Dial these and accept these, and no others, from now on. The first call starts the listener.

        Raises:
            TransportError: The address is taken or not ours.
        """
        async with self._changing:
            wanted = {peer.bls_key: peer for peer in peers}
            for key, link in list(self._links.items()):
                if wanted.get(key) != link.peer:
                    await link.stop()
                    del self._links[key]
            for key, peer in wanted.items():
                if key not in self._links and peer.address:
                    self._links[key] = _Link(peer, self._identity, self._config)
            pinned = tuple(wanted.values())
            if self._server is None or _names(pinned) != _names(self._pinned):
                await self._listen(pinned)
            self._pinned = pinned

    def send(self, to: BlsKey, message: bytes, urgency: Urgency = Urgency.VOTE) -> None:
        """Queue a message for one peer; without a connection it is lost."""
        link = self._links.get(to)
        if link is not None and link.connected:
            link.outbox.put_message(message, urgency)
            link.poke()

    def gossip(self, transactions: Sequence[bytes]) -> None:
        """Queue new transactions for every connected peer."""
        for link in self._links.values():
            if link.connected:
                link.outbox.put_transactions(transactions)
                link.poke()

    def advertise(self, digests: Sequence[Digest]) -> None:
        """Tell every connected peer what waits here."""
        for link in self._links.values():
            if link.connected:
                link.outbox.put_advertised(digests)
                link.poke()

    async def stop(self) -> None:
        """Close all connections."""
        async with self._changing:
            for link in self._links.values():
                await link.stop()
            self._links.clear()
            if self._server is not None:
                await self._server.stop(grace=0)
                self._server = None

    def _note(self) -> None:
        self.frames_received += 1

    async def _listen(self, peers: Sequence[Peer]) -> None:
        """Start the listener, in place of the one before."""
        if self._server is not None:
            await self._server.stop(grace=0)
            self._server = None
        split_address(self._config.listen)
        pems = {to_pem(peer.certificate): peer.bls_key for peer in peers}
        roots = b"".join(pems) or self._identity.certificate_pem
        credentials = grpc.ssl_server_credentials(
            [(self._identity.key_pem, self._identity.certificate_pem)],
            root_certificates=roots,
            require_client_auth=True,
        )
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", FRAME_BYTES_LIMIT),
                ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
                ("grpc.keepalive_time_ms", self._config.keepalive_ms),
                ("grpc.keepalive_timeout_ms", self._config.keepalive_ms),
            ]
        )
        rpc.add_PeerServicer_to_server(_Service(pems, self._receive, self._note), server)
        try:
            server.add_secure_port(self._config.listen, credentials)
            await server.start()
        except RuntimeError:
            raise TransportError(
                f"peer.listen: {self._config.listen} is taken or not an address of this machine"
            ) from None
        self._server = server
