# SPDX-License-Identifier: Apache-2.0
"""Drives the consensus core: one step at a time, its effects in their order, persisted before sent.

The order is the safety of the ledger. What a step wants on disk is on disk before anything of it leaves; a failed write
ends the process. A crash between two effects leaves what the core expects to find: it rebuilds itself from the journal
and sends again what may not have been sent.

Everything here runs on the event loop but synced writes of weight, signature checks and the ledger itself.
Source: the contract in `chain.consensus.events`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import structlog

from chain.application import Execution
from chain.checkpoint import Checkpoint
from chain.consensus import events
from chain.consensus.block import Block
from chain.consensus.journal import StoredBlock, StoredCertificate, StoredClosing, body_key
from chain.consensus.messages import Message, RangeRequest, encode_message
from chain.consensus.validator import Validator
from chain.errors import InvalidMessage, Refused
from chain.executor import Write, digests_by_module
from chain.pb import ledger_pb2 as pb
from chain.storage import Database
from chain.transaction import SignedTransaction, decode
from chain.types import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, BlockId, BlsKey, Digest, Height, Millis
from node.admission import Gate
from node.bodies import BodyStore
from node.gather import Gatherer
from node.journal_writer import JournalWriter
from node.logs import Limiter
from node.mail import Mail
from node.mempool import Mempool
from node.metrics import Metrics
from node.roles import LedgerDriver, Listener
from node.transport import Transport

RECENT_BLOCKS = 64
"""Blocks whose results are kept to be dumped should this node turn out to have diverged."""
GATHERS_MAX = 16
"""Proposals whose bodies are sought at once; views go by and only the newest matter."""
WAKE_MS_MAX = 1_000
"""The core counts wall-clock time, timers count another: after a clock step it is asked again this soon."""
HOUSEKEEPING_SECONDS = 0.5
STEPPING_SECONDS_MAX = 0.005
"""The core steps no longer than this before everything else of the event loop has its turn."""

log = structlog.get_logger(__name__)


class Halted(Exception):
    """The core says that this node must not go on: others certified what it did not compute.

    Attributes:
        blocks: What the newest blocks yielded here, for the operator to compare with another node's.
    """

    def __init__(self, reason: str, blocks: Sequence[dict[str, object]] = ()) -> None:
        super().__init__(reason)
        self.blocks = tuple(blocks)


class Driver:
    """Performs the core's effects for one node.

    Attributes:
        ranges_paused: The core's requests for ranges of blocks are not sent: a snapshot makes them needless.
    """

    def __init__(
        self,
        *,
        validator: Validator,
        journal: Database,
        ledger: LedgerDriver,
        gate: Gate,
        mempool: Mempool,
        bodies: BodyStore,
        gatherer: Gatherer,
        transport: Transport,
        listener: Listener,
        metrics: Metrics,
        limiter: Limiter,
        tip_time_ms: Millis,
        now: Callable[[], Millis],
    ) -> None:
        self.validator = validator
        self._journal = JournalWriter(journal, metrics)
        self._ledger = ledger
        self._gate = gate
        self._mempool = mempool
        self._bodies = bodies
        self._gatherer = gatherer
        self._transport = transport
        self._listener = listener
        self._metrics = metrics
        self._limiter = limiter
        self._now = now
        self._mail = Mail()
        self._wanted = asyncio.Event()
        self._progress = asyncio.Event()
        self._to_execute: asyncio.Queue[events.Execute | events.Certified | StoredClosing] = asyncio.Queue()
        self._gathers: dict[BlockId, asyncio.Task[None]] = {}
        self._recent: deque[tuple[Checkpoint, tuple[Write, ...]]] = deque(maxlen=RECENT_BLOCKS)
        self._under_way: dict[tuple[int, int], BlockId] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._offered: dict[Digest, SignedTransaction] = {}
        self._pending_told = False
        self._offered_nothing = False
        self._tip_time_ms = tip_time_ms
        self._view_seen = (0, 0)
        self.ranges_paused = False

    async def wait_for_room(self, sender: BlsKey, messages_max: int) -> None:
        """Return once no more than so many of a peer's messages, or too many bytes of them, wait for the core."""
        while self._mail.is_busy(sender, messages_max):
            self._progress.clear()
            await self._progress.wait()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do this beside the core; if it fails for a reason of ours, the node stops."""
        assert self._tasks is not None, "the core steps only while the driver runs"
        self._tasks.create_task(work)

    def post(self, event: events.Event, size_bytes: int = 0) -> None:
        """Queue an event for the core, from the event loop only; a peer's message beyond its share is dropped."""
        if not self._mail.put(event, size_bytes) and isinstance(event, events.Received):
            self.reject(event.sender, "more messages than it may have waiting; the newest are dropped")
        self._wanted.set()

    def mempool_changed(self) -> None:
        """Something was admitted."""
        self._gatherer.note_arrivals()
        self._tell_pending()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Drive until the group ends.

        A task of it raises `Halted` if the core says so, and `StorageError` if a write failed; nothing after the
        failed write was sent.
        """
        self._tasks = tasks
        tasks.create_task(self._step_for_ever(), name="core")
        tasks.create_task(self._execute_for_ever(), name="execute")
        tasks.create_task(self._keep_house(), name="housekeeping")

    def stop(self) -> None:
        """After the group has ended: wait for a write that is under way."""
        if self._wake is not None:
            self._wake.cancel()
        self._journal.stop()

    # ------------------------------------------------------------ the core

    async def _step_for_ever(self) -> None:
        self._give_back(self._bodies.unsettled())
        await self._perform(self.validator.start(self._now()))
        while True:
            began = time.perf_counter()
            while self._mail and time.perf_counter() - began < STEPPING_SECONDS_MAX:
                event = self._mail.take()
                if isinstance(event, events.Received):
                    self._progress.set()
                await self._perform(self.validator.step(event, self._now()))
            await asyncio.sleep(0)
            if not self._mail:
                self._wanted.clear()
                await self._wanted.wait()

    async def _perform(self, effects: Sequence[events.Effect]) -> None:
        """All effects of one step, in order."""
        for effect in effects:
            match effect:
                case events.Persist():
                    await self._persist(effect)
                case events.Send(to, message):
                    if not (self.ranges_paused and isinstance(message, RangeRequest)):
                        self._transport.send(to, encode_message(message))
                case events.Broadcast(to, message):
                    self._broadcast(to, message)
                case events.WakeAt(time_ms):
                    self._wake_at(time_ms)
                case events.Execute():
                    self._mempool.claim(effect.block.id, effect.block.digests, self._now())
                    self._to_execute.put_nowait(effect)
                case events.Certified():
                    self._to_execute.put_nowait(effect)
                case events.Halt(reason):
                    raise Halted(reason, [_describe(checkpoint, writes) for checkpoint, writes in self._recent])
                case _:
                    self._perform_bookkeeping(effect)
        self._note_view()

    def _perform_bookkeeping(self, effect: events.Effect) -> None:
        """Effects on the node's own affairs."""
        match effect:
            case events.RequestPayload():
                self._spawn(self._offer_payload(effect))
            case events.RequestBodies(block, peers):
                self._start_gathering(block, peers)
            case events.Void(block):
                self._mempool.release(block.id)
                self._give_back(self._bodies.transactions(block) or ())
                self._metrics.void_blocks.inc()
            case events.EpochEntered(validators):
                log.info("epoch.entered", epoch=validators.epoch, validators=len(validators.validators))
                self._listener.epoch_entered(validators)
            case events.Forget(keys, blocks):
                self._forget(keys, blocks)
            case events.Reject(sender, reason):
                self.reject(sender, reason)
            case events.EvidenceFound(author, evidence):
                log.error("evidence.found", author=author.hex())
                self._listener.evidence_found(author, evidence)
            case _:
                raise AssertionError(f"an effect that this driver does not know: {effect}")

    def reject(self, sender: BlsKey, reason: str) -> None:
        """A peer sent something wrong; leave one line a second about it."""
        self._metrics.rejected.inc()
        held_back = self._limiter.allows(sender.hex())
        if held_back is not None:
            log.warning("peer.rejected", sender=sender.hex()[:16], reason=reason[:300], held_back=held_back)

    def _broadcast(self, to: Sequence[BlsKey], message: Message) -> None:
        raw = encode_message(message)
        for peer in to:
            self._transport.send(peer, raw)

    def _wake_at(self, time_ms: Millis) -> None:
        if self._wake is not None:
            self._wake.cancel()
        delay_ms = min(max(0, time_ms - self._now()), WAKE_MS_MAX)
        self._wake = asyncio.get_running_loop().call_later(delay_ms / 1000, self.post, events.Wake())

    def _note_view(self) -> None:
        seen = (self.validator.epoch, self.validator.view)
        if seen != self._view_seen:
            self._view_seen = seen
            self._metrics.epoch.set(seen[0])
            self._metrics.view.set(seen[1])

    # ------------------------------------------------------------ the journal

    async def _persist(self, effect: events.Persist) -> None:
        """One synced batch: the records, and the bodies of blocks that are stored with theirs."""
        puts = {record.key: record.value for record in effect.records}
        stored: list[tuple[Block, list[SignedTransaction]]] = []
        for record in effect.records:
            if isinstance(record, StoredBlock):
                block = record.block
                self._take(block)
                fresh = self._bodies.not_durable(block)
                puts.update({body_key(transaction.digest): transaction.raw for transaction in fresh})
                stored.append((block, fresh))
            elif isinstance(record, StoredClosing):
                self._to_execute.put_nowait(record)
            elif isinstance(record, StoredCertificate) and record.certificate.kind == pb.KIND_NULLIFY:
                self._nullified(record.certificate.epoch, record.certificate.view)
        await self._journal.write(puts)
        for block, fresh in stored:
            self._bodies.stored(block, fresh)

    def _forget(self, keys: Sequence[bytes], blocks: Sequence[Block]) -> None:
        """A certified checkpoint covers these. What never got an entry goes back to the mempool and stays on disk."""
        for block in blocks:
            gathering = self._gathers.pop(block.id, None)
            if gathering is not None:
                gathering.cancel()
            if block.height <= self.validator.certified_height:
                self._mempool.release(block.id)
        gone = self._bodies.release(blocks)
        self._journal.delete([*keys, *(body_key(digest) for digest in gone)])
        self._give_back(self._bodies.unsettled(blocks))

    # ------------------------------------------------------------ payloads and bodies

    async def _offer_payload(self, effect: events.RequestPayload) -> None:
        exclude = frozenset(digest for block in effect.ancestors for digest in block.digests)
        candidates: list[SignedTransaction] = []
        size_bytes = 0
        for transaction in self._mempool.candidates(effect.time_ms, exclude, self._gate.in_debt(self._now())):
            size_bytes += len(transaction.raw)
            if size_bytes > BLOCK_BYTES_MAX or len(candidates) >= BLOCK_TRANSACTIONS_MAX:
                break
            candidates.append(transaction)
        digests = await self._ledger.propose(candidates, effect.time_ms) if candidates else []
        self._offered_nothing = not digests
        self._offered = {transaction.digest: transaction for transaction in candidates}
        self.post(events.PayloadOffered(effect.epoch, effect.view, tuple(digests)))

    def _take(self, block: Block) -> None:
        """Hold a block's bodies from here on."""
        found = [self._offered.get(digest) or self._gatherer.find(digest) for digest in block.digests]
        assert all(found), "the core stores a block with bodies only once they are held"
        self._bodies.take(block, [transaction for transaction in found if transaction is not None])
        self._claim(block)

    def _claim(self, block: Block) -> None:
        self._mempool.claim(block.id, block.digests, self._now())
        self._under_way[block.epoch, block.view] = block.id
        while len(self._under_way) > 2 * GATHERS_MAX:
            del self._under_way[next(iter(self._under_way))]
        self._tell_pending()

    def _nullified(self, epoch: int, view: int) -> None:
        """A view came to nothing: what its block listed is to order again, unless the block is notarized after all."""
        block_id = self._under_way.pop((epoch, view), None)
        if block_id is not None:
            self._mempool.release(block_id)
            self._tell_pending()

    def _start_gathering(self, block: Block, peers: Sequence[BlsKey]) -> None:
        if block.id in self._gathers:
            return
        assert self._tasks is not None, "the core steps only while the driver runs"
        while len(self._gathers) >= GATHERS_MAX:
            self._gathers.pop(next(iter(self._gathers))).cancel()
        self._gathers[block.id] = self._tasks.create_task(self._gather(block, peers), name="gather")

    async def _gather(self, block: Block, peers: Sequence[BlsKey]) -> None:
        try:
            transactions = await self._gatherer.gather(block, peers, self._ledger.validate)
        except Refused as error:
            self.post(events.BodiesRefused(block.id, error.reason))
        else:
            self._bodies.take(block, transactions)
            self._claim(block)
            self.post(events.BodiesHeld(block.id))
        finally:
            self._gathers.pop(block.id, None)

    # ------------------------------------------------------------ execution

    async def _execute_for_ever(self) -> None:
        """Blocks and the certificates over them, in the core's order, without holding up its next step."""
        while True:
            effect = await self._to_execute.get()
            if isinstance(effect, StoredClosing):
                await self._ledger.close_epoch(effect.closing)
                continue
            if isinstance(effect, events.Certified):
                await self._ledger.certify(effect.certified, effect.checkpoint)
                self._metrics.certified_height.set(effect.checkpoint.height)
                self._listener.certified(effect.certified, effect.checkpoint)
                continue
            block = effect.block
            transactions = await self._transactions_of(effect)
            began = time.perf_counter()
            execution = await self._ledger.execute(block, transactions)
            self._metrics.execute_seconds.observe(time.perf_counter() - began)
            self._tip_time_ms = block.time_ms
            self._after_execution(block, execution)
            self.post(events.Executed(execution.checkpoint, execution.next_set))
            self._tell_pending()

    async def _transactions_of(self, effect: events.Execute) -> tuple[SignedTransaction, ...]:
        """A final block's transactions; a quorum vouches for them."""
        try:
            if effect.transactions is not None:
                return tuple([decode(raw) for raw in effect.transactions])
            return await self._gatherer.gather(effect.block, effect.peers, self._ledger.validate)
        except (Refused, InvalidMessage) as error:
            raise Halted(
                f"block {effect.block.height} is final with a transaction that no validator may accept: {error.reason}"
            ) from None

    def _after_execution(self, block: Block, execution: Execution) -> None:
        """Whatever has an entry now, or never will, leaves the mempool."""
        self._recent.append((execution.checkpoint, execution.writes))
        self._mempool.release(block.id)
        self._mempool.settle([transaction.id for transaction in execution.transactions])
        self._mempool.expire(block.time_ms)
        self._bodies.settle(block.digests)
        tentative = self._bodies.tentative(Height(block.height))
        self._bodies.release(tentative)
        metrics = self._metrics
        metrics.blocks.inc()
        metrics.transactions.inc(len(execution.entries))
        metrics.skipped.inc(len(execution.skipped))
        metrics.block_transactions.observe(len(block.digests))
        metrics.executed_height.set(block.height)
        metrics.block_time.set(block.time_ms / 1000)
        metrics.log_size.set(execution.checkpoint.log_size)
        self._listener.executed(execution)

    def _give_back(self, transactions: Sequence[SignedTransaction]) -> None:
        """Blocks that will never execute list these: they wait again."""
        if transactions:
            self._spawn(self._readmit(transactions))

    async def _readmit(self, transactions: Sequence[SignedTransaction]) -> None:
        now_ms = self._now()
        lost = [transaction for transaction in transactions if not self._mempool.holds(transaction.digest)]
        verdicts = await self._gate.admit(lost, now_ms, from_client=False)
        welcome: list[tuple[SignedTransaction, str]] = []
        for transaction, verdict in zip(lost, verdicts, strict=True):
            if isinstance(verdict, str):
                welcome.append((transaction, verdict))
            else:  # executed already, or never will be
                self._bodies.settle([transaction.digest])
        self._mempool.readmit(welcome, self._tip_time_ms)
        self._tell_pending()

    # ------------------------------------------------------------ upkeep

    def _tell_pending(self) -> None:
        """Tell the core whether there is something to order, on each change and after an empty payload."""
        pending = self._mempool.unclaimed > 0
        if pending != self._pending_told or (pending and self._offered_nothing):
            self._pending_told = pending
            self._offered_nothing = False
            self.post(events.PendingChanged(pending))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            now_ms = self._now()
            self._mempool.release_lapsed(now_ms)
            self._mempool.expire(self._tip_time_ms)
            gone = self._bodies.expire(self._tip_time_ms)
            if gone:
                self._journal.delete([body_key(digest) for digest in gone])
            overdue = self._mempool.overdue(now_ms)
            if overdue:
                self._transport.advertise(overdue)
            self._tell_pending()
            self._metrics.pending.set(self._mempool.count)
            self._metrics.pending_bytes.set(self._mempool.size_bytes)
            self._metrics.peers_connected.set(len(self._transport.connected))


def _describe(checkpoint: Checkpoint, writes: Sequence[Write]) -> dict[str, object]:
    """What a block yielded here, with a digest of each module's writes: where nodes differ, look there."""
    return {
        "height": checkpoint.height,
        "block_id": checkpoint.block_id.hex(),
        "log_size": checkpoint.log_size,
        "log_root": checkpoint.log_root.hex(),
        "state_root": checkpoint.state_root.hex(),
        "next_validators": checkpoint.next_validators.hex(),
        "writes_by_module": {name: digest.hex() for name, digest in digests_by_module(writes)},
    }
