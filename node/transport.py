# SPDX-License-Identifier: Apache-2.0
"""Frames between nodes over mutual TLS: who sent what is settled by the certificate, pinned by membership.

Each node dials each peer and sends on the stream that it opened; it only ever receives on the streams that peers
opened to it. So a frame's author is the certificate of its connection. Nothing here understands what it carries.

Peers change rarely, and gRPC's server credentials that change while it runs corrupt memory under concurrent
handshakes; hence a new certificate starts the listener anew, which costs every peer one reconnection, and does so at
a bounded pace. Any validator can pin any bytes as its own certificate: one that is not sound drops that peer alone.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from chain.consensus.messages import MESSAGE_BYTES_MAX
from chain.types import BlsKey, Digest
from node.certificates import certificate_name, from_pem, server_name, to_pem, verify_certificate
from node.config import PeerConfig, split_address
from node.errors import ConfigError, TransportError
from node.outbox import Outbox, Urgency
from node.pb import peer_service_pb2 as pb
from node.pb import peer_service_pb2_grpc as rpc

FRAME_BYTES_LIMIT = MESSAGE_BYTES_MAX + 2 * 1024 * 1024
"""What gRPC accepts: the largest message with a full frame beside it."""
ACK_BYTES_MAX = 4_096
"""A peer answers frames with nothing."""
HANDSHAKE_MS = 5_000
"""Who has not finished TLS by then is cut: bounds what connections without a certificate can hold."""
STREAMS_PER_CONNECTION_MAX = 4
"""A peer needs one, and one for what it asks of `node.sync_server`; the others are those that die meanwhile."""

log = structlog.get_logger(__name__)

FrameHandler = Callable[[BlsKey, pb.Frame], Awaitable[None]]
SenderOf = Callable[[bytes], BlsKey | None]
"""Whose certificate (PEM) this is; None for one that is not pinned."""


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
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        """Keep a stream open for as long as the peer is ours."""
        delay_ms = self._config.reconnect_ms_min
        while True:
            try:
                await self._connect_and_send()
            except grpc.aio.AioRpcError as error:
                log.debug("peer.unreachable", peer=self.peer.organisation, code=error.code().name)
            except Exception as error:  # noqa: BLE001 - the link's outermost loop: one peer must not end the node
                log.warning("peer.failed", peer=self.peer.organisation, error=repr(error))
            was_connected, self.connected = self.connected, False
            self.outbox.clear()
            if was_connected:
                delay_ms = self._config.reconnect_ms_min
                log.info("peer.disconnected", peer=self.peer.organisation)
            await asyncio.sleep(delay_ms * random.uniform(0.7, 1.3) / 1000)  # noqa: S311 - jitter guards nothing
            delay_ms = min(delay_ms * 2, self._config.reconnect_ms_max)

    async def _connect_and_send(self) -> None:
        async with peer_channel(self.peer, self._identity, self._config, answer_bytes_max=ACK_BYTES_MAX) as channel:
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

    def __init__(self, sender_of: SenderOf, receive: FrameHandler) -> None:
        self._sender_of = sender_of
        self._receive = receive

    async def Exchange(  # noqa: N802 - the method's name on the wire
        self,
        request_iterator: AsyncIterable[pb.Frame],
        context: grpc.aio.ServicerContext[pb.Frame, pb.FrameAck],
    ) -> AsyncIterator[pb.FrameAck]:
        """Hand each frame to the node, in order; a slow node slows the peer down."""
        pem = certificate_of(context)
        if self._sender_of(pem) is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this certificate is not pinned")
        async for frame in request_iterator:
            sender = self._sender_of(pem)  # for each frame: a follower may have become a validator, or a peer gone
            if sender is None:
                return
            await self._receive(sender, frame)
        yield pb.FrameAck()


def certificate_of(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The certificate (PEM) that a caller has shown; empty if it has shown none."""
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    return bytes(certificates[0]) if certificates else b""


def peer_channel(peer: Peer, identity: TlsIdentity, config: PeerConfig, *, answer_bytes_max: int) -> grpc.aio.Channel:
    """A channel of its own to one peer, whose certificate alone it accepts."""
    credentials = grpc.ssl_channel_credentials(to_pem(peer.certificate), identity.key_pem, identity.certificate_pem)
    options = [
        ("grpc.ssl_target_name_override", certificate_name(peer.certificate)),
        ("grpc.max_receive_message_length", answer_bytes_max),
        ("grpc.max_send_message_length", FRAME_BYTES_LIMIT),
        ("grpc.keepalive_time_ms", config.keepalive_ms),
        ("grpc.keepalive_timeout_ms", config.keepalive_ms),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", config.reconnect_ms_min),
        ("grpc.max_reconnect_backoff_ms", config.reconnect_ms_max),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.secure_channel(peer.address, credentials, options=options)


def sound_peers(peers: Iterable[Peer], own_certificate: bytes) -> tuple[tuple[Peer, ...], tuple[tuple[Peer, str], ...]]:
    """Those whose certificates can be trusted side by side, and the others, each with the reason.

    Of several with one key, hence one name, the first stays; nobody has this node's own.
    """
    sound: list[Peer] = []
    others: list[tuple[Peer, str]] = []
    taken = {verify_certificate(own_certificate)}
    for peer in peers:
        try:
            key = verify_certificate(peer.certificate)
        except ConfigError as error:
            others.append((peer, str(error)))
            continue
        if key in taken:
            others.append((peer, f"{server_name(key)} is the name of another peer, or of this node"))
            continue
        taken.add(key)
        sound.append(peer)
    return tuple(sound), tuple(others)


class Transport:
    """All of a node's connections with its peers."""

    def __init__(
        self,
        identity: TlsIdentity,
        config: PeerConfig,
        receive: FrameHandler,
        serve: Callable[[grpc.aio.Server], None] = lambda _: None,
    ) -> None:
        """Neither dial nor listen yet; `serve` adds what else peers may ask on the same listener."""
        self._serve = serve
        self._identity = identity
        self._own_certificate = from_pem(identity.certificate_pem)
        self._config = config
        self._receive = receive
        self._links: dict[BlsKey, _Link] = {}
        self._pinned: tuple[Peer, ...] = ()
        self._unsound: frozenset[Peer] = frozenset()
        self._senders: dict[bytes, BlsKey] = {}
        self._roots: frozenset[bytes] = frozenset()
        self._newcomers = asyncio.Event()
        self._listening_since_s = 0.0
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

        A peer whose certificate is not sound is left out; see `sound_peers`. Connections to those that stay as they
        are go on. Certificates that the listener does not know are accepted once `keep_listening` has renewed it.

        Raises:
            TransportError: The address is taken or not ours.
        """
        async with self._changing:
            pinned = self._sound(peers)
            wanted = {peer.bls_key: peer for peer in pinned}
            for key, link in list(self._links.items()):
                if wanted.get(key) != link.peer:
                    await link.stop()
                    del self._links[key]
            for key, peer in wanted.items():
                if key not in self._links and peer.address:
                    self._links[key] = _Link(peer, self._identity, self._config)
            self._pinned = pinned
            self._senders = {to_pem(peer.certificate): peer.bls_key for peer in pinned}
            if self._server is None:
                await self._listen()
            elif not self._roots.issuperset(self._senders):
                self._newcomers.set()

    async def keep_listening(self) -> None:
        """Renew the listener for new certificates, at a bounded pace, for as long as the node runs.

        Raises:
            TransportError: The address is not ours any more.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._newcomers.wait()
            due_s = self._listening_since_s + self._config.renew_ms_min / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            async with self._changing:
                self._newcomers.clear()
                if not self._roots.issuperset(self._senders):
                    await self._listen()

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

    def sender_of(self, pem: bytes) -> BlsKey | None:
        """Whose certificate this is; None for one that is not pinned, or is not any more."""
        return self._senders.get(pem)

    async def _take(self, sender: BlsKey, frame: pb.Frame) -> None:
        self.frames_received += 1
        await self._receive(sender, frame)

    def _sound(self, peers: Iterable[Peer]) -> tuple[Peer, ...]:
        """Leave out whose certificate is not sound; say so once for each certificate."""
        sound, others = sound_peers({peer.bls_key: peer for peer in peers}.values(), self._own_certificate)
        for peer, reason in others:
            if peer not in self._unsound:
                log.warning("peer.certificate-refused", peer=peer.organisation, reason=reason)
        self._unsound = frozenset(peer for peer, _ in others)
        return sound

    async def _listen(self) -> None:
        """Start the listener, in place of the one before."""
        if self._server is not None:
            await self._server.stop(grace=0)
            self._server = None
        split_address(self._config.listen)
        self._roots = frozenset(self._senders)
        self._listening_since_s = asyncio.get_running_loop().time()
        credentials = grpc.ssl_server_credentials(
            [(self._identity.key_pem, self._identity.certificate_pem)],
            root_certificates=b"".join(self._senders) or self._identity.certificate_pem,
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
        rpc.add_PeerServicer_to_server(_Service(self.sender_of, self._take), server)
        self._serve(server)
        try:
            server.add_secure_port(self._config.listen, credentials)
            await server.start()
        except RuntimeError:
            raise TransportError(
                f"peer.listen: {self._config.listen} is taken or not an address of this machine"
            ) from None
        self._server = server
