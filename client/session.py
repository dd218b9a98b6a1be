# SPDX-License-Identifier: Apache-2.0
"""The verifying client: signs nothing away, believes no node, and goes on while any honest one answers.

Each answer is checked against genesis before it leaves this module. A node whose answer does not verify is remembered
and not asked again; one that is silent or behind is passed over for a while. There is no unverified read: what a node
says of itself (`statuses`) is marked as such by its type.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc.aio

from chain.checkpoint import Checkpoint
from chain.errors import InvalidReceipt, LedgerError, Refused
from chain.genesis import Genesis
from chain.log import verify_consistency, verify_inclusion
from chain.receipt import CLOCK_SKEW_MS_MAX
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import Network, TransactionId, faults_max
from client.answers import Outcome, ProvenBlock, ProvenState, ProvenTransaction, SelfReport
from client.connection import Endpoint, endpoints_of, failure_of
from client.errors import TransportError
from client.follow import Cursor, Follower
from client.log_edge import LogEdge
from client.pace import BLOCKS_SILENCE_S, Pace
from client.pb import node_service_pb2 as pb
from client.roster import Node, Roster, summary_of
from client.signing import LIFETIME_MS, now_ms, sign_transaction
from client.submission import IN_FLIGHT_MAX, Submission
from client.trust import Trust

T = TypeVar("T")

CALL_TIMEOUT_S = 5.0
STATE_AGE_MS_MAX = 60_000
"""An idle network makes a checkpoint each second; one a minute old comes from a node that has lost the others."""
BEHIND_PAUSES_S = (0.1, 0.4)
"""A node that is behind by a checkpoint or two has caught up after one of these."""
REQUEST_COUNT_MAX = 512
WAIT_MS_MAX = 60_000
SUBMIT_TIMEOUT_S = 60.0
"""Without a single receipt or refusal for so long, `submit` says that nothing is known."""


class Session:
    """A client of one network; use it as an async context manager."""

    def __init__(
        self, genesis: Genesis, *, endpoints: Sequence[Endpoint] | None = None, trust_file: Path | None = None
    ) -> None:
        """Prepare; nothing is dialled yet.

        Args:
            genesis: What is trusted.
            endpoints: Nodes in the order of preference; None: the founding validators.
            trust_file: Keeps the newest checkpoint and remembered liars between sessions.

        Raises:
            LedgerError: The file is of another network or does not verify.
        """
        self.trust = Trust(genesis, trust_file)
        self.roster = Roster.of(endpoints_of(genesis) if endpoints is None else endpoints, self.trust.liars)
        self._followed = 0
        """The highest block that was verified while following."""

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self.trust.network

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all channels and save what was learnt."""
        self.trust.save(self.roster.liars())
        await self.roster.close()

    # ------------------------------------------------------------ submitting

    def sign(
        self, operations: Sequence[Operation], signers: Sequence[TransactionSigner], *, lifetime_ms: int = LIFETIME_MS
    ) -> SignedTransaction:
        """Make and sign a transaction for this network; see `client.signing.sign_transaction`."""
        return sign_transaction(operations, signers, self.network, lifetime_ms=lifetime_ms)

    def submit(
        self,
        transactions: AsyncIterable[SignedTransaction] | Iterable[SignedTransaction],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> AsyncIterator[Outcome]:
        """Submit many; yields each one's outcome as it is known.

        Args:
            transactions: Taken from only while fewer than `in_flight_max` are without an outcome.
            in_flight_max: The bound.
            timeout_s: Without any outcome for so long, what is under way ends in `TransportError`.
        """
        source = transactions if isinstance(transactions, AsyncIterable) else _as_async(transactions)
        return Submission(self, aiter(source), in_flight_max=in_flight_max, timeout_s=timeout_s).run()

    async def submit_one(
        self, transaction: SignedTransaction, *, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> ProvenTransaction:
        """Submit one and wait for its verified receipt; whether it succeeded stands in `failed`.

        Raises:
            Refused: Enough validators refuse it.
            TransportError: Nothing is known of it yet; the same transaction can be submitted again.
        """
        async for outcome in self.submit([transaction], timeout_s=timeout_s):
            if outcome.proven is not None:
                return outcome.proven
            assert outcome.error is not None
            raise outcome.error
        raise AssertionError("a submission ended without an outcome")

    # ------------------------------------------------------------ reading

    async def receipts(
        self,
        identifiers: Sequence[TransactionId],
        *,
        operation_index: int = 0,
        all_operations: bool = False,
        wait_ms: int = 0,
    ) -> dict[TransactionId, list[ProvenTransaction]]:
        """Receipts of transactions by id, verified; ids that the node does not show are left out.

        Absence here proves nothing: see `is_missing_everywhere`.

        Args:
            identifiers: At most 512.
            operation_index: Which operation of each to show.
            all_operations: Show each operation instead, in order.
            wait_ms: Wait so long for those that are not certified yet; at most 60,000.
        """
        return await self._ask(
            lambda node: self._receipts(node, identifiers, operation_index, wait_ms, all_operations=all_operations)
        )

    async def is_missing_everywhere(self, identifier: TransactionId, expires_at_ms: int) -> bool:
        """Whether it is known that a transaction never executed and never will.

        It is when f + 1 nodes, each with a certified checkpoint from after the transaction's time, show no entry of it:
        then an honest validator among them has executed every block that could carry it. The session's endpoints are
        taken for validators', each certificate for one. False says that it executed, or that this is not known: with
        fewer than f + 1 such nodes it never is.
        """
        wanted = faults_max(self.trust.validator_count) + 1
        missing: set[str] = set()
        for node in list(self.roster.nodes):
            if node.lie or len(missing) >= wanted:
                continue
            try:
                # First the checkpoint: what the node shows afterwards includes all up to it.
                checkpoint = await _spoken(self._newest_of, node)
                if checkpoint.time_ms <= expires_at_ms:
                    continue
                found = await self._receipts(node, [identifier], 0, 0, all_operations=False)
            except (TransportError, Refused):
                self.roster.failed(node)
            except LedgerError as error:
                self.denounce(node, error)
            else:
                if found:
                    return False
                missing.add(node.connection.fingerprint)
        return len(missing) >= wanted

    async def read(self, key: bytes, *, age_ms_max: int = STATE_AGE_MS_MAX) -> ProvenState:
        """A state key's value or proven absence, now."""
        (state,) = await self.read_many([key], age_ms_max=age_ms_max)
        return state

    async def read_many(
        self, keys: Sequence[bytes], *, height: int = 0, age_ms_max: int = STATE_AGE_MS_MAX
    ) -> list[ProvenState]:
        """State keys under one checkpoint, in the order asked.

        Args:
            keys: At most 512, each once.
            height: A checkpointed height that nodes still hold; 0: the newest.
            age_ms_max: How old the newest may be by the local clock; not looked at with `height`.

        Raises:
            Refused: Nodes no longer hold that height.
            TransportError: No node answers, or none with an answer fresh enough.
        """
        floor = max(self._followed, 0 if self.trust.newest is None else self.trust.newest.height)

        async def ask(node: Node) -> list[ProvenState]:
            request = pb.StateRequest(keys=keys, height=height, from_epoch=self.trust.epoch)
            answer = await node.connection.stub.State(request, timeout=CALL_TIMEOUT_S)
            states = self.trust.verify_states(answer.receipt, keys)
            checkpoint = states[0].checkpoint
            if height and checkpoint.height != height:
                raise InvalidReceipt(f"state of height {checkpoint.height} instead of {height}")
            if not height:
                self._check_fresh(node, checkpoint, age_ms_max, floor)
            return states

        return await self._ask(ask)

    async def checkpoint(self, *, age_ms_max: int = STATE_AGE_MS_MAX) -> Checkpoint:
        """The newest certified checkpoint, proven to extend the newest one known before.

        Raises:
            TransportError: No node answers, or none with one fresh enough.
        """

        async def ask(node: Node) -> Checkpoint:
            checkpoint = await self._newest_of(node)
            self._check_fresh(node, checkpoint, age_ms_max)
            return checkpoint

        return await self._ask(ask)

    async def cursor_at(self, height: int = 0) -> Cursor:
        """Where to begin following blocks without those before: after the first certified block from a height on.

        Args:
            height: 0: the newest certified block.

        Raises:
            Refused: f + 1 nodes have no such checkpoint, or no longer hold what is needed.
        """

        async def ask(node: Node) -> Cursor:
            answer = await node.connection.stub.Edge(pb.EdgeRequest(height=height), timeout=CALL_TIMEOUT_S)
            checkpoint = await self._event_checkpoint(node, answer.checkpoint)
            if checkpoint.height < height:
                raise InvalidReceipt(f"the log's end at height {checkpoint.height} instead of {height} or above")
            edge, size = LogEdge(), checkpoint.log_size
            if size:
                path = list(answer.path)
                verify_inclusion(answer.leaf_hash, size - 1, size, path, checkpoint.log_root)
                edge = LogEdge.of_last(size, answer.leaf_hash, path)
            return Cursor(checkpoint.height, checkpoint.block_id, edge)

        return await self._ask(ask)

    async def blocks(self, cursor: Cursor | None = None) -> AsyncIterator[ProvenBlock]:
        """Certified blocks in order, for as long as the caller takes them; changes nodes without a gap.

        Args:
            cursor: Where to go on, kept from an earlier follower; None: at the first block.

        Raises:
            Refused: f + 1 nodes do not hold the blocks to go on with.
            TransportError: No node has gone on for a while.
        """
        follower = Follower(cursor if cursor is not None else Cursor.start(self.network))
        failures = 0
        declined: set[str] = set()
        while True:
            node = self.pick()
            follower = Follower(follower.cursor)
            try:
                async for block in self._blocks(node, follower):
                    failures = 0
                    declined.clear()
                    self.roster.answered(node)
                    yield block
            except (TransportError, Refused) as error:
                self.roster.failed(node)
                failures += 1
                if isinstance(error, Refused):
                    declined.add(node.name)
                    if len(declined) >= self._refusals_wanted():
                        raise
                if failures > 2 * len(self.roster.nodes):
                    raise
                await asyncio.sleep(min(0.1 * failures, 1.0))
            except LedgerError as error:
                self.denounce(node, error)

    async def statuses(self) -> list[SelfReport]:
        """What each node says of itself; nothing here is proven."""
        return list(await asyncio.gather(*(self._status(node) for node in list(self.roster.nodes))))

    # ------------------------------------------------------------ choosing nodes

    def pick(self) -> Node:
        """The node to use next.

        Raises:
            TransportError: Each one has lied.
        """
        return self.roster.candidates()[0]

    def denounce(self, node: Node, error: LedgerError) -> None:
        """Remember that a node's answer did not verify."""
        self.roster.lied(node, f"{error.code}: {error.reason}")
        self.trust.save(self.roster.liars())

    async def _ask(self, question: Callable[[Node], Awaitable[T]]) -> T:
        """Ask one node after the other until an answer verifies; once more if some were merely behind.

        A refusal (`Refused`) is an answer: it is believed when f + 1 nodes give it.
        """
        for pause_s in BEHIND_PAUSES_S:
            try:
                return await self._ask_each(question)
            except TransportError as error:
                if error.code != "transport.behind":
                    raise
                await asyncio.sleep(pause_s)
        return await self._ask_each(question)

    async def _ask_each(self, question: Callable[[Node], Awaitable[T]]) -> T:
        refusals: list[Refused] = []
        failures: list[TransportError | LedgerError] = []
        for node in self.roster.candidates():
            try:
                answer = await _spoken(question, node)
            except Refused as refusal:
                refusals.append(refusal)
                if len(refusals) >= self._refusals_wanted():
                    raise
            except TransportError as error:
                self.roster.failed(node)
                failures.append(error)
            except LedgerError as error:
                self.denounce(node, error)
                failures.append(error)
            else:
                self.roster.answered(node)
                return answer
        if refusals:
            raise refusals[-1]
        raise summary_of(failures)

    def _refusals_wanted(self) -> int:
        """How many nodes must decline before it is believed: f + 1, or all of those that there are to ask."""
        return min(faults_max(self.trust.validator_count) + 1, len(self.roster.candidates()))

    async def _receipts(
        self,
        node: Node,
        identifiers: Sequence[TransactionId],
        operation_index: int,
        wait_ms: int,
        *,
        all_operations: bool,
    ) -> dict[TransactionId, list[ProvenTransaction]]:
        assert 0 < len(identifiers) <= REQUEST_COUNT_MAX
        request = pb.ReceiptsRequest(
            transaction_ids=identifiers,
            operation_index=operation_index,
            all_operations=all_operations,
            from_epoch=self.trust.epoch,
            wait_ms=min(wait_ms, WAIT_MS_MAX),
        )
        try:
            answer = await node.connection.stub.Receipts(request, timeout=CALL_TIMEOUT_S + wait_ms / 1000)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, node.name) from None
        wanted = set(identifiers)
        found: dict[TransactionId, list[ProvenTransaction]] = {}
        for proven in self.trust.verify_transactions(answer.receipt) if answer.receipt else ():
            if proven.id not in wanted:
                raise InvalidReceipt("a receipt of a transaction that was not asked for")
            if not all_operations and proven.operation_index != operation_index:
                raise InvalidReceipt("a receipt of an operation that was not asked for")
            found.setdefault(proven.id, []).append(proven)
        for proofs in found.values():
            proofs.sort(key=lambda proven: proven.operation_index)
            if all_operations and len(proofs) != proofs[0].header.operation_count:
                raise InvalidReceipt("receipts of some operations of a transaction are missing")
        return found

    async def _blocks(self, node: Node, follower: Follower) -> AsyncIterator[ProvenBlock]:
        call = node.connection.stub.Blocks(pb.BlocksRequest(from_height=follower.cursor.height + 1))
        pace = Pace(node.name, BLOCKS_SILENCE_S)
        try:
            while True:
                began_s = time.monotonic()
                async with asyncio.timeout(BLOCKS_SILENCE_S):
                    event = await call.read()
                waited_s = time.monotonic() - began_s
                if not isinstance(event, pb.BlockEvent):
                    raise TransportError(f"{node.name} ended the stream of blocks")
                checkpoint = await self._event_checkpoint(node, event.checkpoint)
                blocks = follower.feed(event, checkpoint)
                for block in blocks:  # before the pace is looked at: the follower has gone on past them
                    yield block
                pace.take(waited_s, blocks[-1].block.time_ms if blocks else None, now_ms())
        except TimeoutError:
            raise TransportError(f"{node.name} sends no blocks", "transport.timeout") from None
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, node.name) from None
        finally:
            call.cancel()

    async def _event_checkpoint(self, node: Node, raw: bytes) -> Checkpoint:
        """Verify a block event's checkpoint, after learning of its epoch if that is new."""
        if self.trust.is_of_later_epoch(raw):
            await self._learn_epochs(node)
        checkpoint = self.trust.verify_certified(raw)
        self._followed = max(self._followed, checkpoint.height)  # no state from before it passes for the newest
        return checkpoint

    async def _learn_epochs(self, node: Node) -> None:
        request = pb.CheckpointsRequest(from_epoch=self.trust.epoch)
        answer = await node.connection.stub.Checkpoints(request, timeout=CALL_TIMEOUT_S)
        self.trust.take(self.trust.trial(answer.newest, answer.closings))

    async def _newest_of(self, node: Node) -> Checkpoint:
        """A node's newest certified checkpoint, verified, and proven to extend the newest one known before."""
        request = pb.CheckpointsRequest(from_epoch=self.trust.epoch)
        answer = await node.connection.stub.Checkpoints(request, timeout=CALL_TIMEOUT_S)
        if not answer.newest:
            raise TransportError(f"{node.name} has no certified checkpoint yet", "transport.behind")
        while True:
            before, step = self.trust.newest, self.trust.trial(answer.newest, answer.closings)
            if before is not None and 0 < before.log_size < step.checkpoint.log_size:
                await self._check_extends(node, before, step.checkpoint)
            if self.trust.take(step):
                return step.checkpoint

    async def _check_extends(self, node: Node, before: Checkpoint, after: Checkpoint) -> None:
        """Have a node prove that the log of one checkpoint extends that of another."""
        request = pb.ConsistencyRequest(size1=before.log_size, size2=after.log_size)
        proof = await node.connection.stub.Consistency(request, timeout=CALL_TIMEOUT_S)
        verify_consistency(before.log_size, after.log_size, list(proof.path), before.log_root, after.log_root)

    async def _status(self, node: Node) -> SelfReport:
        try:
            status = await node.connection.stub.Status(pb.StatusRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return SelfReport(node.name, None, failure_of(error, node.name).reason, node.lie)
        if status.network != self.network:
            return SelfReport(node.name, None, "it belongs to another network", node.lie)
        return SelfReport(node.name, status, "", node.lie)

    def _check_fresh(self, node: Node, checkpoint: Checkpoint, age_ms_max: int, floor: int = 0) -> None:
        """Pass over an answer that is true but old: older than allowed, or below what was known when asking.

        Raises:
            TransportError: It is; another node may know more. Or the local clock lags, and no age can be told.
        """
        age_ms = now_ms() - checkpoint.time_ms
        if age_ms < -CLOCK_SKEW_MS_MAX:
            reason = f"the checkpoint of {node.name} is {-age_ms / 1000:.0f} s ahead of this clock; set the clock right"
            raise TransportError(reason, "transport.clock")
        if age_ms > age_ms_max:
            reason = f"{node.name} answers with the ledger of {age_ms / 1000:.0f} s ago"
            raise TransportError(reason, "transport.stalled")
        if checkpoint.height < floor:
            reason = f"{node.name} is at height {checkpoint.height}, and {floor} is known"
            raise TransportError(reason, "transport.behind")


async def _spoken(question: Callable[[Node], Awaitable[T]], node: Node) -> T:
    """A node's answer, with a gRPC status told apart: a node that declines has not lied."""
    try:
        return await question(node)
    except grpc.aio.AioRpcError as error:
        raise failure_of(error, node.name) from None


async def _as_async(items: Iterable[SignedTransaction]) -> AsyncIterator[SignedTransaction]:
    for item in items:
        yield item
