# SPDX-License-Identifier: Apache-2.0
"""The API for clients: gRPC over TLS with the node's own certificate; clients show none.

A signature authorises a submission, and whoever reads names the key that is read. Every caller is a stranger: messages,
calls, streams and waiters are bounded, and whatever a call raises becomes a status with a stable code.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # has no stubs
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]  # likewise

from chain import receipt
from chain.errors import LedgerError, Refused
from chain.types import HASH_BYTES, Epoch, Height, TransactionId
from client.pb import node_service_pb2 as pb
from client.pb import node_service_pb2_grpc as rpc
from node.admission import Admission
from node.answers import Answers, Newest
from node.config import ClientConfig
from node.errors import TransportError
from node.ledger_service import LedgerService
from node.mempool import Busy
from node.submission import SubmitStream
from node.transport import HANDSHAKE_MS, TlsIdentity
from node.waiters import Executed, Waiters

REQUEST_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""A Submit request's 4 MiB of transactions and their framing."""
RESPONSE_BYTES_MAX = 16 * 1024 * 1024
READ_COUNT_MAX = 512
"""Keys or ids in one read."""
PIECE_COUNT_MAX = 32
"""Proofs made at one go in the ledger's thread: a few milliseconds, between which blocks execute."""
WAIT_MS_MAX = 60_000
INLINE_OPERATIONS_MAX = 16_384
"""Operations in one bundle, as `chain.receipt` bounds it."""

_STATUS: tuple[tuple[type[LedgerError], grpc.StatusCode], ...] = (
    (Busy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (LedgerError, grpc.StatusCode.INVALID_ARGUMENT),
)
"""The one table of gRPC statuses; the code of the error stands before its reason in the details."""

T = TypeVar("T")
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
        self._streams = 0
        self._reads = 0
        self._read_turns = asyncio.Semaphore(2)

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
        await self._stream(
            context,
            SubmitStream(
                admission=self._admission,
                ledger=self._ledger,
                answers=self._answers,
                waiters=self._waiters,
                newest=lambda: self._newest,
                config=self._config,
            ).serve(request_iterator, lambda answer: self._write(context, answer)),
        )

    async def Blocks(  # type: ignore[override]  # noqa: N802 - likewise
        self, request: pb.BlocksRequest, context: Caller
    ) -> None:
        """Certified blocks in order, for as long as the caller takes them."""
        await self._stream(context, self._send_blocks(max(1, request.from_height), context))

    async def _send_blocks(self, height: int, context: Caller) -> None:
        while True:
            news = self._news
            newest = self._newest
            if newest is None or height > newest.checkpoint.height:
                await news.wait()
                continue
            event = await self._ledger.run(self._answers.block_event, Height(height))
            if event is None:
                await news.wait()
                continue
            await self._write(context, event)
            height += 1

    async def _write(self, context: Caller, answer: object) -> None:
        """Write one answer; a caller that takes nothing for long is cut."""
        try:
            async with asyncio.timeout(self._config.slow_consumer_ms / 1000):
                await context.write(answer)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "stream.slow: the caller takes no answers")

    async def _stream(self, context: Caller, work: Awaitable[None]) -> None:
        """Run a stream within the bound on their number."""
        if self._streams >= self._config.streams_max:
            if asyncio.iscoroutine(work):
                work.close()
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "stream.too-many: try another node, or later")
        self._streams += 1
        try:
            await work
        except LedgerError as error:
            await _abort(context, error)
        finally:
            self._streams -= 1

    # ------------------------------------------------------------ reads

    async def Receipts(  # noqa: N802 - the wire's name
        self, request: pb.ReceiptsRequest, context: Caller
    ) -> pb.ReceiptsResponse:
        """Receipts of transactions by id."""
        return await self._read(context, lambda: self._receipts(request))

    async def _receipts(self, request: pb.ReceiptsRequest) -> pb.ReceiptsResponse:
        ids = list(dict.fromkeys(TransactionId(found) for found in request.transaction_ids))
        _check_count(len(ids))
        if any(len(found) != HASH_BYTES for found in ids):
            raise LedgerError("a transaction id has 32 bytes", "receipt.invalid-id")
        found = await self._find(ids, min(request.wait_ms, WAIT_MS_MAX))
        missing = [transaction_id for transaction_id in ids if transaction_id not in found]
        newest = self._newest
        if not found or newest is None:
            return pb.ReceiptsResponse(missing=missing)
        executed = list(found.values())
        if request.all_operations and sum(len(e.transaction.operations) for e in executed) > INLINE_OPERATIONS_MAX:
            raise Refused(f"ask for at most {INLINE_OPERATIONS_MAX} operations at once", "receipt.too-many")
        index = None if request.all_operations else request.operation_index
        proofs = []
        for part in _pieces(executed):
            proofs += await self._ledger.run(self._answers.inclusions, part, newest.checkpoint.log_size, index)
        closings = await self._ledger.run(self._answers.closings, Epoch(request.from_epoch), newest.checkpoint.epoch)
        made = receipt.make(proofs, (), newest.certified, closings)
        return pb.ReceiptsResponse(receipt=made, missing=missing)

    async def _find(self, ids: Sequence[TransactionId], wait_ms: int) -> dict[TransactionId, Executed]:
        """Those that have a certified entry, waiting for the others for a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        found: dict[TransactionId, Executed] = {}
        while True:
            news, newest = self._news, self._newest
            if newest is not None:
                for part in _pieces([one for one in ids if one not in found]):
                    found |= await self._ledger.run(self._answers.find, part, newest.checkpoint.log_size)
            left = deadline - loop.time()
            if len(found) == len(ids) or left <= 0:
                return found
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return found

    async def State(  # noqa: N802 - the wire's name
        self, request: pb.StateRequest, context: Caller
    ) -> pb.StateResponse:
        """State keys with proof of presence or absence."""
        return await self._read(context, lambda: self._state(request))

    async def _state(self, request: pb.StateRequest) -> pb.StateResponse:
        keys = list(dict.fromkeys(request.keys))
        _check_count(len(keys))
        newest = self._newest
        if newest is None:
            raise Refused("nothing is certified yet", "state.nothing-certified")
        if request.height:
            newest = await self._ledger.run(self._answers.certified_at, Height(request.height))
        proofs = []
        for part in _pieces(keys):
            proofs += await self._ledger.run(self._answers.states, part, newest.checkpoint.height)
        closings = await self._ledger.run(self._answers.closings, Epoch(request.from_epoch), newest.checkpoint.epoch)
        return pb.StateResponse(receipt=receipt.make((), proofs, newest.certified, closings))

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

    async def Status(  # noqa: N802 - the wire's name
        self, _request: pb.StatusRequest, _context: Caller
    ) -> pb.StatusResponse:
        """What the node says of itself."""
        return self._describe()

    async def _read(self, context: Caller, work: Callable[[], Awaitable[T]]) -> T:
        """Run a read within the bound on their number."""
        if self._reads >= self._config.unary_max:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "read.too-many: try another node, or later")
        self._reads += 1
        try:
            return await work()
        except LedgerError as error:
            await _abort(context, error)
        finally:
            self._reads -= 1


class ClientServer:
    """The listener for clients."""

    def __init__(self, service: ClientService, identity: TlsIdentity, config: ClientConfig) -> None:
        self._service = service
        self._identity = identity
        self._config = config
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    async def start(self) -> None:
        """Listen and say that the node serves.

        Raises:
            TransportError: The address is taken or not ours.
        """
        server = grpc.aio.server(
            maximum_concurrent_rpcs=self._config.streams_max + 2 * self._config.unary_max,
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


async def _abort(context: Caller, error: LedgerError) -> NoReturn:
    """Answer an error by the one table."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    await context.abort(status, f"{error.code}: {error.reason}")


def _check_count(count: int) -> None:
    if not 1 <= count <= READ_COUNT_MAX:
        raise LedgerError(f"ask for 1 to {READ_COUNT_MAX} at once, not {count}", "read.too-many-keys")


def _pieces(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + PIECE_COUNT_MAX] for start in range(0, len(items), PIECE_COUNT_MAX)]
