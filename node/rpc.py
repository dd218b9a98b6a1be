# SPDX-License-Identifier: Apache-2.0
"""The API for clients: gRPC over TLS with the node's own certificate; clients show none.

A signature authorises a submission, and whoever reads names the key that is read. Every caller is a stranger: messages,
calls, streams and waiters are bounded, and whatever a call raises becomes a status with a stable code.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # has no stubs
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]  # likewise

from chain.errors import LedgerError, Refused
from chain.types import Epoch, Height
from client.pb import node_service_pb2 as pb
from client.pb import node_service_pb2_grpc as rpc
from node.admission import Admission
from node.answers import Answers, Newest
from node.config import ClientConfig
from node.errors import TransportError
from node.ledger_service import LedgerService
from node.mempool import Busy
from node.places import ByteBudget, Full, Places, address_of
from node.receipts import Receipts, ids_of
from node.submission import SubmitStream
from node.transport import HANDSHAKE_MS, TlsIdentity
from node.waiters import Waiters

REQUEST_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""A Submit request's 4 MiB of transactions and their framing."""
RESPONSE_BYTES_MAX = 16 * 1024 * 1024
READ_TURNS = 2
"""Reads whose answers are put together at once: what these hold bounds the memory of all reads."""
BLOCKS_AHEAD_MAX = 1_000
"""How far above the tip a Blocks stream may begin: who follows another node can be ahead by some seconds."""
SMALL_ANSWER_BYTES = 64 * 1024
"""A block or answer up to this size counts for nothing: gRPC holds so much for each stream anyway."""
CALLS_MAX = 4_096
"""Calls at once, also those whose request has not arrived: bounds memory alone; `Places` share out the work."""

_STATUS: tuple[tuple[type[LedgerError], grpc.StatusCode], ...] = (
    (Busy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (LedgerError, grpc.StatusCode.INVALID_ARGUMENT),
)
"""The one table of gRPC statuses; the code of the error stands before its reason in the details."""

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)
Caller: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""gRPC's context of a call, whichever its messages are."""


class Describe(Protocol):
    """Says what the node knows of itself."""

    def __call__(self) -> pb.StatusResponse:
        """At this moment."""
        ...


class ClientService(rpc.NodeServicer):
    """Serves `zhixin.client.Node`."""

    def __init__(
        self,
        *,
        admission: Admission,
        ledger: LedgerService,
        answers: Answers,
        waiters: Waiters,
        describe: Describe,
        config: ClientConfig,
    ) -> None:
        self._admission = admission
        self._ledger = ledger
        self._answers = answers
        self._waiters = waiters
        self._describe = describe
        self._config = config
        self._newest: Newest | None = None
        self._news = asyncio.Event()
        self._receipts = Receipts(
            ledger=ledger,
            answers=answers,
            waiters=waiters,
            newest=lambda: self._newest,
            waiters_max=config.waiters_max,
        )
        is_exempt = config.exempt_loopback
        self._submits = Places(config.streams_max, is_exempt=is_exempt)
        self._followers = Places(config.blocks_max, is_exempt=is_exempt)
        self._reads = Places(config.unary_max, is_exempt=is_exempt)
        self._waits = Places(config.waits_max, is_exempt=is_exempt)
        self._pending = ByteBudget(config.pending_bytes_max, is_exempt=is_exempt)
        self._read_turns = asyncio.Semaphore(READ_TURNS)

    @property
    def newest(self) -> Newest | None:
        """The newest checkpoint that is both certified and executed here."""
        return self._newest

    def set_newest(self, newest: Newest) -> None:
        """A newer checkpoint is certified: streams and waiting reads look again."""
        if self._newest is None or newest.checkpoint.height > self._newest.checkpoint.height:
            self._newest = newest
        news, self._news = self._news, asyncio.Event()
        news.set()

    # ------------------------------------------------------------ streams

    async def Submit(  # type: ignore[override]  # noqa: N802 - the wire's name; the stub knows generators alone
        self,
        request_iterator: AsyncIterable[pb.SubmitRequest],
        context: Caller,
    ) -> None:
        """Admit what arrives and push receipts as they become certified."""

        def serve() -> Awaitable[None]:
            stream = SubmitStream(
                admission=self._admission,
                ledger=self._ledger,
                answers=self._answers,
                waiters=self._waiters,
                newest=lambda: self._newest,
                config=self._config,
            )
            return stream.serve(request_iterator, lambda answer: self._write(context, answer))

        await self._within(self._submits, "stream.too-many", context, serve)

    async def Blocks(  # type: ignore[override]  # noqa: N802 - likewise
        self, request: pb.BlocksRequest, context: Caller
    ) -> None:
        """Certified blocks in order, for as long as the caller takes them."""
        first = Height(max(1, request.from_height))
        await self._within(self._followers, "stream.too-many", context, lambda: self._send_blocks(first, context))

    async def _send_blocks(self, height: Height, context: Caller) -> None:
        address = address_of(context.peer())
        tip = 0 if self._newest is None else self._newest.checkpoint.height
        if height > tip + BLOCKS_AHEAD_MAX:
            raise Refused(f"block {height} is far above the newest one, {tip}", "block.not-held")
        while True:
            news = self._news
            newest = self._newest
            if newest is None or height > newest.checkpoint.height:
                await news.wait()
                continue
            event = await self._ledger.run(self._answers.block_event, height)
            if event is None:
                await news.wait()
                continue
            size_bytes = event.ByteSize()
            if size_bytes <= SMALL_ANSWER_BYTES:
                await self._write(context, event)
            else:
                del event  # nothing is held while room for it is waited for
                async with self._pending.hold(address, size_bytes):
                    await self._write(context, await self._ledger.run(self._answers.block_event, height))
            height = Height(height + 1)

    async def _write(self, context: Caller, answer: object) -> None:
        """Write one answer; a caller that takes nothing for long is cut."""
        try:
            async with asyncio.timeout(self._config.slow_consumer_ms / 1000):
                await context.write(answer)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "stream.slow: the caller takes no answers")

    # ------------------------------------------------------------ reads

    async def Receipts(  # noqa: N802 - the wire's name
        self, request: pb.ReceiptsRequest, context: Caller
    ) -> pb.ReceiptsResponse:
        """Receipts of transactions by id."""

        async def read() -> pb.ReceiptsResponse:
            return await self._receipts.make(request, ids_of(request))

        if request.wait_ms:

            async def wait() -> None:
                await self._receipts.wait(ids_of(request), request.wait_ms)

            await self._within(self._waits, "read.too-many", context, wait)
        return await self._read(context, read)

    async def State(  # noqa: N802 - the wire's name
        self, request: pb.StateRequest, context: Caller
    ) -> pb.StateResponse:
        """State keys with proof of presence or absence."""
        return await self._read(context, lambda: self._receipts.states(request))

    async def Checkpoints(  # noqa: N802 - the wire's name
        self, request: pb.CheckpointsRequest, context: Caller
    ) -> pb.CheckpointsResponse:
        """The newest certified checkpoint and the way to it."""
        epoch = Epoch(request.from_epoch)
        return await self._read(context, lambda: self._ledger.run(self._answers.checkpoints, epoch, self._newest))

    async def Consistency(  # noqa: N802 - the wire's name
        self, request: pb.ConsistencyRequest, context: Caller
    ) -> pb.ConsistencyResponse:
        """That the log of one size extends that of another."""

        async def prove() -> pb.ConsistencyResponse:
            size = 0 if self._newest is None else self._newest.checkpoint.log_size
            path = await self._ledger.run(self._answers.consistency, request.size1, request.size2, size)
            return pb.ConsistencyResponse(path=path)

        return await self._read(context, prove)

    async def Edge(self, request: pb.EdgeRequest, context: Caller) -> pb.EdgeResponse:  # noqa: N802 - the wire's name
        """Where the log ends at a certified checkpoint."""
        height = Height(request.height)
        return await self._read(context, lambda: self._ledger.run(self._answers.edge, height, self._newest))

    async def Status(  # noqa: N802 - the wire's name
        self, _request: pb.StatusRequest, _context: Caller
    ) -> pb.StatusResponse:
        """What the node says of itself."""
        return self._describe()

    async def _read(self, context: Caller, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Run a read in its turn. Its place, and room for its answer, are held until the caller has taken it."""
        address = address_of(context.peer())
        try:
            _at_end(context, self._reads.occupy(address))
            async with self._read_turns:
                answer = await work()
            size_bytes = answer.ByteSize()
            if size_bytes > SMALL_ANSWER_BYTES:
                _at_end(context, self._pending.occupy(address, size_bytes))
        except Full:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "read.too-many: try another node, or later")
        except LedgerError as error:
            await _abort(context, error)
        return answer

    async def _within(self, places: Places, code: str, context: Caller, work: Callable[[], Awaitable[T]]) -> T:
        """Do this while holding a place, and answer errors by the one table."""
        try:
            with places.take(address_of(context.peer())):
                return await work()
        except Full:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{code}: try another node, or later")
        except LedgerError as error:
            await _abort(context, error)


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # has no stubs
    """Health by asking; nobody holds a stream open to hear of it."""

    async def Watch(  # noqa: N802 - the wire's name
        self, _request: health_pb2.HealthCheckRequest, context: Caller
    ) -> None:
        """Refuse."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "ask with Check")


class ClientServer:
    """The listener for clients."""

    def __init__(self, service: ClientService, identity: TlsIdentity, config: ClientConfig) -> None:
        self._service = service
        self._identity = identity
        self._config = config
        self._server: grpc.aio.Server | None = None
        self._health = _Health()

    async def start(self) -> None:
        """Listen and say that the node serves.

        Raises:
            TransportError: The address is taken or not ours.
        """
        server = grpc.aio.server(
            maximum_concurrent_rpcs=CALLS_MAX,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
                ("grpc.max_send_message_length", RESPONSE_BYTES_MAX),
                ("grpc.max_concurrent_streams", 64),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ],
        )
        rpc.add_NodeServicer_to_server(self._service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        name = pb.DESCRIPTOR.services_by_name["Node"].full_name
        if self._config.reflection:
            reflection.enable_server_reflection((name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        credentials = grpc.ssl_server_credentials([(self._identity.key_pem, self._identity.certificate_pem)])
        try:
            server.add_secure_port(self._config.listen, credentials)
            await server.start()
        except RuntimeError:
            raise TransportError(f"client.listen: {self._config.listen} is taken or not ours") from None
        self._server = server
        for served in ("", name):
            await self._health.set(served, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Say that the node serves no more, and end all calls within a second."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace=0.5)
            self._server = None


def _at_end(context: Caller, release: Callable[[], None]) -> None:
    """Do this once the caller has its answer, or is gone."""
    context.add_done_callback(lambda _: release())  # type: ignore[arg-type]  # the stub names a class of its own


async def _abort(context: Caller, error: LedgerError) -> NoReturn:
    """Answer an error by the one table."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    await context.abort(status, f"{error.code}: {error.reason}")
