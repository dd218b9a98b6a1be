# SPDX-License-Identifier: Apache-2.0
"""Submitting many transactions: bounded in flight, resent until each has its verified receipt or can have none.

A transaction that was sent is in one of three states: waiting for its receipt, waiting until it may be sent again
(quota, full mempool), or settled. Whatever a node does, a transaction executes at most once, so sending it again, to
the same node or another, is always safe; that is why a lost stream, a lying node and a killed one all end alike.

A refusal counts when f + 1 validators have spoken it, so that one honest validator is among them; that something
expired counts only once f + 1 validators show that it stands nowhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc.aio

from chain.errors import InvalidMessage, LedgerError, Refused
from chain.transaction import SignedTransaction
from chain.types import TransactionId, faults_max
from client.answers import Outcome
from client.connection import failure_of, printable
from client.errors import TransportError
from client.pb import node_service_pb2 as pb
from client.roster import Node

if TYPE_CHECKING:
    from client.session import Session

BATCH_COUNT_MAX = 256
BATCH_BYTES_MAX = 2 * 1024 * 1024
"""Half of what a request may have: 512 transactions, 4 MiB."""
IN_FLIGHT_MAX = 4_096
"""Default bound of transactions without an outcome; about four seconds of a loaded network."""
LINGER_S = 0.002
"""A batch waits so long for company."""
PATIENCE_S = 6.0
"""A stream that owes receipts and is silent for so long is given up: a network that lost its leader needs less."""
LOOKUP_AFTER_S = 2.5
"""A transaction without a receipt for so long is looked up at whichever node answers, if the stream is silent."""
LOOKUP_LATE_S = 15.0
"""The same while receipts of others arrive: a loaded network is not to be asked about each one besides."""
LOOKUP_COUNT_MAX = 512
PAUSE_S_MAX = 1.0
"""When no node is of use, one is tried again after at most so long; without a pause a dead network costs a core."""
TICK_S = 0.25
UNSETTLED = frozenset({"transaction.pending", "transaction.repeated", "transaction.expired"})
"""Refusals that do not say whether it executed: its receipt is looked up.

Nodes refuse what has expired without looking whether it executed before; it counts as refused once it is known that no
block carries it.
"""


@dataclass(slots=True)
class _Flight:
    """A transaction under way.

    Attributes:
        sent_at: Loop time; 0: not sent to the node in use.
        retry_at: Loop time before which it must not be sent again.
        refusals: Names of nodes that refused it, with the last reason.
    """

    transaction: SignedTransaction
    sent_at: float = 0.0
    retry_at: float = 0.0
    looked_up_at: float = 0.0
    refusals: dict[str, Refused] = field(default_factory=dict)
    missing_at: set[str] = field(default_factory=set)


class Submission:
    """One stream of transactions on its way; made by `Session.submit`."""

    def __init__(
        self, session: "Session", source: AsyncIterator[SignedTransaction], *, in_flight_max: int, timeout_s: float
    ) -> None:
        self._session = session
        self._source = source
        self._in_flight_max = in_flight_max
        self._timeout_s = timeout_s
        self._flights: dict[TransactionId, _Flight] = {}
        self._unsent: dict[TransactionId, None] = {}
        self._pump_task: asyncio.Task[None]
        self._all_settled = asyncio.Event()
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._last_outcome = 0.0
        self._last_answer = 0.0
        self._last_receipt = 0.0

    async def run(self) -> AsyncIterator[Outcome]:
        """Outcomes as they come, in no particular order, until the source is exhausted and each has one."""
        self._pump_task = asyncio.create_task(self._pump())
        self._pump_task.add_done_callback(lambda _task: self._wake())
        drive = asyncio.create_task(self._drive())
        try:
            while not drive.done() or not self._outcomes.empty():
                getter = asyncio.ensure_future(self._outcomes.get())
                await asyncio.wait({getter, drive}, return_when=asyncio.FIRST_COMPLETED)
                if getter.done():
                    self._wake()
                    yield getter.result()
                else:
                    getter.cancel()
            drive.result()
        finally:
            await _cancel(self._pump_task, drive)

    async def _pump(self) -> None:
        """Take transactions from the source while there is room."""
        async for transaction in self._source:
            while len(self._flights) + self._outcomes.qsize() >= self._in_flight_max:
                self._changed.clear()
                await self._changed.wait()
            if transaction.id in self._flights:
                raise InvalidMessage("the same transaction was submitted twice at once")
            if not self._flights:
                self._last_outcome = asyncio.get_running_loop().time()  # patience begins with the first that waits
            self._flights[transaction.id] = _Flight(transaction)
            self._unsent[transaction.id] = None
            self._changed.set()

    def _wake(self) -> None:
        """Something changed that a waiting task may want to see."""
        self._changed.set()
        if self._finished():
            self._all_settled.set()

    async def _drive(self) -> None:
        """Use one node after the other until everything is settled."""
        while not self._finished():
            if not self._flights:
                self._changed.clear()
                await self._changed.wait()
                continue
            node = self._session.pick()
            for identifier, flight in self._flights.items():
                flight.sent_at = 0.0
                self._unsent[identifier] = None
            try:
                await self._use(node)
            except (TransportError, Refused):
                # A node that ends the stream with a refusal declines; which transaction it means stays open.
                self._session.roster.failed(node)
            except LedgerError as error:
                self._session.denounce(node, error)
            if self._remaining_s() <= 0:
                self._give_up()
            if self._flights:
                await asyncio.sleep(self._pause_s())
        self._pump_task.result()

    def _remaining_s(self) -> float:
        """How long to wait for an outcome before the caller is told that nothing is known."""
        return self._last_outcome + self._timeout_s - asyncio.get_running_loop().time()

    def _pause_s(self) -> float:
        """How long to wait before a node is tried again; 0 if one has not failed lately."""
        rest_s = self._session.roster.rest_s(self._session.pick())
        return max(0.0, min(rest_s, PAUSE_S_MAX, self._remaining_s()))

    def _finished(self) -> bool:
        """Whether the source is exhausted and each transaction has its outcome."""
        return self._pump_task.done() and not self._flights

    async def _use(self, node: Node) -> None:
        """Submit over one node's stream until everything is settled or the node fails."""
        call = node.connection.stub.Submit()
        owed: list[tuple[TransactionId, ...]] = []
        writer = asyncio.create_task(self._write(call, owed))
        reader = asyncio.create_task(self._read(node, call, owed))
        settled = asyncio.create_task(self._all_settled.wait())
        try:
            while not self._finished():
                tasks = {writer, reader, settled}
                done, _ = await asyncio.wait(tasks, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {settled}:
                    task.result()
                await self._look_after(node)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, node.name) from None
        except asyncio.InvalidStateError:
            raise TransportError(f"{node.name} broke the stream") from None
        finally:
            call.cancel()
            await _cancel(writer, reader, settled)

    async def _write(self, call: grpc.aio.StreamStreamCall, owed: list[tuple[TransactionId, ...]]) -> None:  # type: ignore[type-arg]  # as the stubs have it
        """Send what is unsent, in batches; the stream's flow control holds us back."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            batch: list[bytes] = []
            identifiers: list[TransactionId] = []
            size_bytes = 0
            for identifier in list(self._unsent):
                flight = self._flights.get(identifier)
                if flight is None:
                    del self._unsent[identifier]
                    continue
                if flight.retry_at > now:
                    continue
                size_bytes += len(flight.transaction.raw)
                if len(batch) == BATCH_COUNT_MAX or (batch and size_bytes > BATCH_BYTES_MAX):
                    break
                del self._unsent[identifier]
                flight.sent_at = now
                batch.append(flight.transaction.raw)
                identifiers.append(identifier)
            if not batch:
                self._changed.clear()
                # Not `wait_for`: up to Python 3.11 it can swallow a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._changed.wait()
                await asyncio.sleep(LINGER_S)
                continue
            owed.append(tuple(identifiers))
            await call.write(pb.SubmitRequest(transactions=batch, receipts=True, from_epoch=self._session.trust.epoch))

    async def _read(self, node: Node, call: grpc.aio.StreamStreamCall, owed: list[tuple[TransactionId, ...]]) -> None:  # type: ignore[type-arg]  # as the stubs have it
        """Take admissions and receipts; an answer that does not verify ends the stream."""
        loop = asyncio.get_running_loop()
        while True:
            answer = await call.read()
            if not isinstance(answer, pb.SubmitResponse):
                raise TransportError(f"{node.name} ended the stream")
            if answer.WhichOneof("answer") == "admissions":
                if not owed:
                    raise InvalidMessage("admissions without a request")
                self._admitted(node, owed.pop(0), list(answer.admissions.admissions))
            else:
                self.settle_bundle(answer.receipt)
                self._last_receipt = loop.time()
            self._session.roster.answered(node)
            self._last_answer = loop.time()

    def _admitted(self, node: Node, identifiers: tuple[TransactionId, ...], admissions: list[pb.Admission]) -> None:
        if len(identifiers) != len(admissions):
            raise InvalidMessage(f"{len(admissions)} admissions of {len(identifiers)} transactions")
        now = asyncio.get_running_loop().time()
        for identifier, admission in zip(identifiers, admissions, strict=True):
            if admission.transaction_id not in {b"", identifier}:
                raise InvalidMessage("an admission names another transaction")
            flight = self._flights.get(identifier)
            if flight is None or not admission.code or admission.code in UNSETTLED:
                continue
            if admission.retry_after_ms:
                flight.retry_at = now + min(admission.retry_after_ms, 60_000) / 1000
                self._unsent[identifier] = None
            else:
                reason, code = printable(admission.reason), printable(admission.code[:64])
                self._refused(node, flight, Refused(f"{node.name}: {reason}", code))

    def _refused(self, node: Node, flight: _Flight, refusal: Refused) -> None:
        flight.refusals[node.name] = refusal
        wanted = faults_max(self._session.trust.validator_count) + 1
        honest = sum(1 for other in self._session.roster.nodes if not other.lie)
        if len(flight.refusals) >= min(wanted, honest):
            self._settle(Outcome(flight.transaction, error=refusal))

    def settle_bundle(self, raw: bytes) -> None:
        """Settle each transaction that a verified bundle proves.

        Raises:
            LedgerError: It does not verify.
        """
        for proven in self._session.trust.verify_transactions(raw):
            flight = self._flights.get(proven.id)
            if flight is not None:
                self._settle(Outcome(flight.transaction, proven=proven))

    def _settle(self, outcome: Outcome) -> None:
        self._flights.pop(outcome.transaction.id, None)
        self._unsent.pop(outcome.transaction.id, None)
        self._outcomes.put_nowait(outcome)
        self._last_outcome = asyncio.get_running_loop().time()
        self._wake()

    async def _look_after(self, node: Node) -> None:
        """Notice silence, second opinions that are due, and receipts that a node keeps to itself."""
        now = asyncio.get_running_loop().time()
        if self._remaining_s() <= 0:
            self._give_up()
            return
        waiting = [flight for flight in self._flights.values() if flight.sent_at]
        is_silent = now - self._last_receipt > LOOKUP_AFTER_S / 2
        patience_s = LOOKUP_AFTER_S if is_silent else LOOKUP_LATE_S
        due = [flight for flight in waiting if now - max(flight.sent_at, flight.looked_up_at) > patience_s]
        if due:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._remaining_s()):
                    await self._look_up(due[:LOOKUP_COUNT_MAX], now)
        for flight in [flight for flight in waiting if flight.refusals]:
            if node.name in flight.refusals:
                raise TransportError(f"{node.name} refused a transaction; another node is asked too")
        heard = max(self._last_answer, self._last_outcome)
        if waiting and now - max(heard, min(flight.sent_at for flight in waiting)) > PATIENCE_S:
            raise TransportError(f"{node.name} owes receipts and is silent", "transport.timeout")

    async def _look_up(self, flights: list[_Flight], now: float) -> None:
        """Ask any node for receipts that did not come by themselves."""
        wanted = {flight.transaction.id: flight for flight in flights if flight.transaction.id in self._flights}
        for flight in wanted.values():
            flight.looked_up_at = now
        try:
            found = await self._session.receipts(list(wanted))
        except (TransportError, LedgerError):
            return  # the stream may still bring them
        for identifier, proven in found.items():
            if identifier in self._flights:
                self._settle(Outcome(wanted[identifier].transaction, proven=proven[0]))
        newest = self._session.trust.newest
        for identifier, flight in wanted.items():
            expires_at_ms = flight.transaction.expires_at_ms
            if identifier in self._flights and newest is not None and newest.time_ms > expires_at_ms:
                reason = "its time ran out before the network took it; it never executes any more"
                if await self._session.is_missing_everywhere(identifier, expires_at_ms):
                    self._settle(Outcome(flight.transaction, error=Refused(reason, "transaction.expired")))

    def _give_up(self) -> None:
        """Tell the caller that nothing is known about what is under way."""
        for flight in list(self._flights.values()):
            reason = f"no receipt within {self._timeout_s:.0f} s; nothing is known of it yet"
            self._settle(Outcome(flight.transaction, error=TransportError(reason, "transport.timeout")))


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    """End tasks and wait until they have ended; what they raise on the way no longer matters."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
