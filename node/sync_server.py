# SPDX-License-Identifier: Apache-2.0
"""Gives peers what they need to join: offers, closing checkpoints, and parts of a snapshot.

Reads one moment of the database in a thread of its own, which rests as long as it works: the vote goes on meanwhile.
Every answer is bounded in bytes; one request of a peer is served at a time, and so many wait in all.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc

from chain.codec import encode
from chain.consensus.messages import CLOSINGS_MAX
from chain.errors import LedgerError, Refused
from chain.storage import Database
from chain.types import BlsKey, Epoch, Height, Millis, Network
from node.copies import Copies
from node.errors import StorageError
from node.metrics import Metrics
from node.pb import sync_service_pb2 as pb
from node.pb import sync_service_pb2_grpc as rpc
from node.snapshots import Snapshots
from node.transport import Peer, certificate_of

WAITING_MAX = 8
"""Requests of different peers at once, each some tenths of a second: whoever waits last has its answer in seconds."""
VIEW_SECONDS_MAX = 60.0
"""A view of the database keeps on disk what is deleted meanwhile; after so long the next request opens a new one."""
REST_SHARE = 1.0
"""The thread rests so many times as long as it has worked: the event loop needs the interpreter too."""
REST_SECONDS_MAX = 0.5

T = TypeVar("T")
_Caller: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class _Node(Protocol):
    """What the service asks of its node."""

    @property
    def network(self) -> Network:
        """Whose ledger it has."""
        ...

    def sender_of(self, pem: bytes) -> BlsKey | None:
        """Whose certificate this is; None for one that is not pinned."""
        ...

    def members(self) -> Iterable[Peer]:
        """The validators that it knows."""
        ...


@dataclass(slots=True)
class _View:
    """One moment of the database, kept for the next request."""

    copies: Copies
    opened_s: float


class SyncService(rpc.SyncServicer):
    """Serves `zhixin.node.Sync` to pinned peers."""

    def __init__(
        self,
        node: _Node,
        *,
        database: Database,
        snapshots: Snapshots,
        fatal: Callable[[BaseException], None],
        now: Callable[[], Millis],
        metrics: Metrics,
    ) -> None:
        """Serve nothing before `add_to`; `fatal` hears of errors after which the node must stop."""
        self._node = node
        self._database = database
        self._snapshots = snapshots
        self._fatal = fatal
        self._now = now
        self._metrics = metrics
        self._busy: set[BlsKey] = set()
        self._view: _View | None = None
        self._rest_until_s = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sync")

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve there too."""
        rpc.add_SyncServicer_to_server(self, server)

    def upkeep(self) -> None:
        """Let go of snapshots and of the view whose time is over; from the event loop, now and then."""
        self._snapshots.expire(self._now())
        if self._view is not None and not self._busy:
            self._pool.submit(self._drop_old_view)

    def stop(self) -> None:
        """Wait for what is under way, serve nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._view = None

    # ------------------------------------------------------------ what is served

    async def Offers(self, _request: pb.OffersRequest, context: _Caller) -> pb.OffersResponse:  # noqa: N802 - the wire's name
        """What can be had here."""

        def offers(copies: Copies) -> pb.OffersResponse:
            tip = copies.tip
            return pb.OffersResponse(
                network=self._node.network,
                executed_height=0 if tip is None else tip.height,
                log_size=0 if tip is None else tip.log_size,
                oldest_block=copies.oldest_block,
                heights=self._snapshots.offered(),
                members=[pb.Member(address=p.address, certificate=p.certificate) for p in self._node.members()],
            )

        return await self._serve(context, offers, fresh=True)

    async def Closings(self, request: pb.ClosingsRequest, context: _Caller) -> pb.ClosingsResponse:  # noqa: N802 - likewise
        """The checkpoints that closed an epoch and later ones, as many as fit an answer."""

        def closings(copies: Copies) -> pb.ClosingsResponse:
            found = copies.closings(Epoch(request.from_epoch), CLOSINGS_MAX)
            return pb.ClosingsResponse(closings=[encode(closing.to_pb()) for closing in found])

        return await self._serve(context, closings, fresh=True)

    async def Head(self, request: pb.HeadRequest, context: _Caller) -> pb.HeadResponse:  # noqa: N802 - likewise
        """Where the copy at a height begins."""
        height = Height(request.height)
        return await self._serve(context, lambda copies: pb.HeadResponse(head=copies.head(height)), taken=height)

    async def Tail(self, request: pb.TailRequest, context: _Caller) -> pb.TailResponse:  # noqa: N802 - likewise
        """Entries of the log at a height."""
        height = Height(request.height)
        return await self._serve(
            context, lambda copies: pb.TailResponse(part=copies.tail(height, request.from_leaf)), taken=height
        )

    async def State(self, request: pb.StateRequest, context: _Caller) -> pb.StateResponse:  # noqa: N802 - likewise
        """What stands at a place of the state at a height."""
        height = Height(request.height)
        return await self._serve(
            context, lambda copies: pb.StateResponse(part=copies.state(height, request.path)), taken=height
        )

    # ------------------------------------------------------------ how

    async def _serve(
        self, context: _Caller, work: Callable[[Copies], T], *, taken: Height | None = None, fresh: bool = False
    ) -> T:
        """Do a piece of work in the thread for a peer that has none under way."""
        sender = self._node.sender_of(certificate_of(context))
        if sender is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this certificate is not pinned")
        if sender in self._busy or len(self._busy) >= WAITING_MAX:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "busy with this peer's last request, or with others'"
            )
        self._busy.add(sender)
        future = self._pool.submit(self._work, work, 0 if taken is None else taken, fresh=fresh)
        # Not when the call ends but when the work does: who hangs up and asks again does not pile up work.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, sender, done, taken))
        try:
            return await asyncio.wrap_future(future)
        except LedgerError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{error.code}: {error.reason}")

    def _done(self, sender: BlsKey, future: "Future[T]", taken: Height | None) -> None:
        self._busy.discard(sender)
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, (StorageError, AssertionError)):
            self._fatal(error)
        elif error is None and taken is not None:
            self._snapshots.asked(taken, self._now())
            self._metrics.sync_served.inc()

    def _work(self, work: Callable[[Copies], T], height: int, *, fresh: bool) -> T:
        """In the thread: rest for the last piece, then do this one on a view that reaches up to a height."""
        time.sleep(max(0.0, self._rest_until_s - time.monotonic()))
        began_s = time.monotonic()
        try:
            return work(self._copies(height, fresh=fresh))
        finally:
            ended_s = time.monotonic()
            self._rest_until_s = ended_s + min(REST_SECONDS_MAX, REST_SHARE * (ended_s - began_s))

    def _copies(self, height: int, *, fresh: bool) -> Copies:
        if fresh:
            return Copies(self._database.snapshot())
        self._drop_old_view()
        view = self._view
        if view is None or view.copies.tip is None or view.copies.tip.height < height:
            view = self._view = _View(Copies(self._database.snapshot()), time.monotonic())
        tip = view.copies.tip
        if tip is None or tip.height < height:
            raise Refused(f"height {height} is not executed here", "state.no-such-height")
        return view.copies

    def _drop_old_view(self) -> None:
        if self._view is not None and time.monotonic() > self._view.opened_s + VIEW_SECONDS_MAX:
            self._view = None
