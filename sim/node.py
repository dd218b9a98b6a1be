# SPDX-License-Identifier: Apache-2.0
"""One simulated node: the real core, executor and store on a failing disk, driven by the contract in `events`.

What a process holds in memory stands in `_Process` and dies with it; the disks stay. A crash may come before or after
each effect, and right after an own vote is sent.
"""

import random
from collections.abc import Callable

from chain.certificate import Certificate
from chain.checkpoint import Checkpoint
from chain.codec import signed_bytes
from chain.consensus import events as ev
from chain.consensus import journal, messages
from chain.consensus.block import Block
from chain.consensus.messages import Message
from chain.consensus.signer import LocalSigner
from chain.consensus.validator import Config, Validator
from chain.errors import InvalidMessage
from chain.transaction import SignedTransaction, decode
from chain.types import BlockId, BlsKey, Digest, Millis, sha256
from sim.disk import DiskFailure, SimDisk
from sim.ledger import SimLedger
from sim.network import Keys, SimNetwork
from sim.world import World

PULL_RETRY_MS = 300
Pull = tuple[BlockId, str]
"""A block whose transactions are sought, and what for."""
RESTART_MS_MAX = 1_500


class Crash(Exception):
    """The process dies here."""


class Diverged(AssertionError):
    """An honest node halted: it says that its own state is not what others certified."""


class _Process:
    """What lives in memory between two crashes."""

    def __init__(self, validator: Validator, ledger: SimLedger) -> None:
        self.validator = validator
        self.ledger = ledger
        self.pool: dict[Digest, SignedTransaction] = {}
        # A block can be asked for to vote and to execute at the same time.
        self.wanted: dict[Pull, ev.RequestBodies | ev.Execute] = {}
        self.wake_at: Millis | None = None
        self.busy = False


class SimNode:
    """A node that crashes, restarts, and otherwise does what the driver's contract says.

    Attributes:
        checks: Told of everything observable; see `sim.checkers`.
        outgoing: Rewrites what is sent, for Byzantine nodes; None sends as is.
        give: Whether to pass transactions on and to answer pulls; Byzantine nodes may refuse.
    """

    def __init__(self, world: World, network: SimNetwork, keys: Keys, name: str, observer: "Observer | None") -> None:
        self.world = world
        self.network = network
        self.keys = keys
        self.name = name
        self.key: BlsKey = keys.secret.public_key()
        self.rng = random.Random(f"{name} {world.plan.seed}")
        skew = world.plan.skew_ms_max
        self._skew = self.rng.randint(-skew, skew)
        self._ledger_disk = SimDisk(self.rng)
        self._journal_disk = SimDisk(self.rng)
        self._process: _Process | None = None
        self._generation = 0
        self.observer = observer
        self.outgoing: Callable[[BlsKey, Message], Message | None] | None = None
        self.give = True
        world.join(self.key, name, self)

    # ------------------------------------------------------------ life and death

    @property
    def now(self) -> Millis:
        """This node's clock."""
        return Millis(self.world.now + self._skew)

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None

    @property
    def process(self) -> _Process:
        """The running process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start, or start again: everything comes from the disks."""
        if self._process is not None:
            return
        self.world.say(self.name, "starts")
        self._generation += 1
        ledger = SimLedger(self._ledger_disk, self.network)
        config = Config(self.network.id, self.key, self.network.genesis.validators, self.network.genesis.time_ms)
        validator = Validator(
            config,
            journal.load(self._journal_disk),
            ledger.newest(),
            ledger.store.block(ledger.store.height),
            LocalSigner(self.network.id, self.keys.secret),
            self.network.scheme,
        )
        self._process = _Process(validator, ledger)
        for _, raw in self._journal_disk.range(b"t", b"u"):
            self._admit(decode(raw))
        self._run(validator.start)
        if self._process is not None and self._process.pool:
            self.feed(ev.PendingChanged(pending=True))

    def crash(self) -> None:
        """Die now; restart after a while."""
        if self._process is None:
            return
        self.world.say(self.name, "crashes")
        self._process = None
        self._generation += 1
        self._ledger_disk.crash()
        self._journal_disk.crash()
        self.world.after(self.rng.randint(1, RESTART_MS_MAX), self.start)

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do this unless the process has died by then."""
        generation = self._generation
        self.world.after(delay_ms, lambda: action() if generation == self._generation else None)

    # ------------------------------------------------------------ events in

    def deliver(self, sender: BlsKey, message: Message) -> None:
        """A message of a peer."""
        if self._process is None:
            return
        if isinstance(message, messages.RangeRequest):
            answer = self.process.ledger.range(message.from_height, message.count_max)
            if answer is not None:
                self._send(sender, answer)
        elif isinstance(message, messages.BodiesRequest):
            held = [self.body(digest) for digest in message.digests]
            found = tuple(body for body in held if body is not None)
            if found and self.give:
                self._send(sender, messages.Bodies(found))
        elif isinstance(message, messages.Bodies):
            for raw in message.transactions:
                self._take(raw)
            self._check_wanted()
        else:
            if self.world.is_traced:
                self.world.say(self.name, f"<- {self.world.name(sender)}  {describe(message)}")
            self.feed(ev.Received(sender, message))

    def deliver_transactions(self, transactions: tuple[tuple[Digest, bytes], ...]) -> None:
        """Transactions that a client or a peer passes on."""
        if self._process is None:
            return
        before = len(self.process.pool)
        for _, raw in transactions:
            self._take(raw)
        if len(self.process.pool) > before:
            self._check_wanted()
        if self._process is not None and len(self.process.pool) > before:
            self.feed(ev.PendingChanged(pending=True))

    def submit(self, transaction: SignedTransaction) -> None:
        """A client's submission: kept and sent once to every peer."""
        if self._process is None:
            return
        self.deliver_transactions(((transaction.digest, transaction.raw),))
        self._advertise((transaction,))

    def _advertise(self, transactions: tuple[SignedTransaction, ...]) -> None:
        if self._process is None or not transactions or not self.give:
            return
        for peer in self.process.validator.validators.keys:
            if peer != self.key:
                self.world.gossip(self.key, peer, tuple((t.digest, t.raw) for t in transactions))

    def feed(self, event: ev.Event) -> None:
        """One event for the core."""
        process = self._process
        if process is not None:
            self._run(lambda now: process.validator.step(event, now))

    def _run(self, step: Callable[[Millis], list[ev.Effect]]) -> None:
        try:
            view = self.process.validator.view
            effects = step(self.now)
            for effect in effects:
                self._maybe_crash()
                self._perform(effect)
                self._maybe_crash()
            if self._process is not None and self.process.validator.view != view:
                # Pending transactions are advertised again in each view.
                self._advertise(tuple(self.process.pool.values())[:8])
        except Crash:
            self.crash()
        except DiskFailure:
            self.world.say(self.name, "a write fails")
            self.crash()

    def _maybe_crash(self) -> None:
        plan = self.world.plan
        if not self.world.healed and plan.crash_rate and self.rng.random() < plan.crash_rate:
            raise Crash

    # ------------------------------------------------------------ effects out

    def _perform(self, effect: ev.Effect) -> None:  # noqa: C901, PLR0912 - one flat table of effects
        match effect:
            case ev.Persist(records):
                self._persist(records)
            case ev.Send(to, message):
                self._send(to, message)
            case ev.Broadcast(peers, message):
                for peer in peers:
                    self._send(peer, message)
                self._after_broadcast(message)
            case ev.WakeAt(time_ms):
                self._set_wake(time_ms)
            case ev.RequestPayload():
                self._offer(effect)
            case ev.RequestBodies(block):
                self._want((block.id, "vote"), effect)
            case ev.Execute():
                self._execute(effect)
            case ev.Certified(certified, checkpoint):
                self.process.ledger.put_certified(certified, checkpoint)
                if self.observer is not None:
                    self.observer.certified(self, certified, checkpoint)
            case ev.Forget():
                self._forget(effect)
            case ev.Halt(reason):
                if self.observer is not None:
                    raise Diverged(f"{self.name} halts: {reason}")
                raise Crash
            case ev.EvidenceFound(author, evidence):
                if self.observer is not None:
                    self.observer.accused(self, author, evidence)
            case ev.Reject(sender, reason):
                self.world.say(self.name, f"rejects what {self.world.name(sender)} sent: {reason}")
            case ev.EpochEntered(validators):
                self.world.say(self.name, f"is in epoch {validators.epoch} of {len(validators.keys)}")
            case ev.Void():
                pass  # the pool keeps what has no entry

    def _persist(self, records: tuple[journal.Record, ...]) -> None:
        if self.observer is not None:
            for record in records:
                self.observer.persisted(self, record)
        puts: dict[bytes, bytes] = {}
        for record in records:
            puts[record.key] = record.value
            if isinstance(record, journal.StoredBlock):
                puts.update(self._bodies_of(record.block))
        plan = self.world.plan
        if not self.world.healed and plan.disk_failure_rate and self.rng.random() < plan.disk_failure_rate:
            self._journal_disk.failing = True
        self._journal_disk.write(puts, sync=True)

    def _bodies_of(self, block: Block) -> dict[bytes, bytes]:
        bodies = {}
        for digest in block.digests:
            body = self.body(digest)
            assert body is not None, "a vote for a block whose transactions are not here"
            bodies[journal.body_key(digest)] = body
        return bodies

    def _send(self, to: BlsKey, message: Message) -> None:
        sent: Message | None = message
        if self.outgoing is not None:
            sent = self.outgoing(to, message)
        elif self.observer is not None:
            self.observer.sent(self, message)
        if sent is not None:
            self.world.send(self.key, to, sent)

    def _after_broadcast(self, message: Message) -> None:
        plan = self.world.plan
        if isinstance(message, messages.Vote):
            if self.world.is_traced:
                self.world.say(self.name, f"votes: {describe(message)}")
            if not self.world.healed and plan.vote_crash_rate and self.rng.random() < plan.vote_crash_rate:
                raise Crash

    def _set_wake(self, time_ms: Millis) -> None:
        process = self.process
        if process.wake_at == time_ms:
            return
        process.wake_at = time_ms

        def wake() -> None:
            if self._process is process and process.wake_at == time_ms:
                process.wake_at = None
                self.feed(ev.Wake())

        self.later(max(0, time_ms - self.now), wake)

    def _forget(self, effect: ev.Forget) -> None:
        ledger = self.process.ledger
        bodies = []
        for block in effect.blocks:
            for digest in block.digests:
                raw = self._journal_disk.get(journal.body_key(digest))
                if raw is not None and ledger.is_executed(decode(raw)):
                    bodies.append(journal.body_key(digest))
            self.process.wanted.pop((block.id, "vote"), None)
        self._journal_disk.write({}, [*effect.keys, *bodies], sync=False)

    # ------------------------------------------------------------ transactions

    def _admit(self, transaction: SignedTransaction) -> None:
        if transaction.digest not in self.process.pool and not self.process.ledger.is_executed(transaction):
            self.process.pool[transaction.digest] = transaction

    def _take(self, raw: bytes) -> None:
        """Check a transaction on arrival."""
        try:
            transaction = decode(raw)
        except InvalidMessage:
            return
        expected = sha256(b"signed" + signed_bytes("transaction", self.network.id, transaction.header)) * 2
        if transaction.signatures == (expected,):
            self._admit(transaction)

    def body(self, digest: Digest) -> bytes | None:
        """A transaction's bytes, wherever this node has them."""
        transaction = self.process.pool.get(digest)
        if transaction is not None:
            return transaction.raw
        raw = self._journal_disk.get(journal.body_key(digest))
        return raw if raw is not None else self.process.ledger.body(digest)

    def _offer(self, request: ev.RequestPayload) -> None:
        excluded = {digest for block in request.ancestors for digest in block.digests}
        digests = self.process.ledger.propose(
            [t for t in self.process.pool.values() if t.digest not in excluded], request.time_ms
        )
        self.later(1, lambda: self.feed(ev.PayloadOffered(request.epoch, request.view, tuple(digests))))

    def _want(self, pull: Pull, effect: ev.RequestBodies | ev.Execute) -> None:
        self.process.wanted[pull] = effect
        self.later(1, lambda: self._pull(pull, 0))

    def _missing(self, block: Block) -> tuple[Digest, ...]:
        return tuple(digest for digest in block.digests if self.body(digest) is None)

    def _pull(self, pull: Pull, attempt: int) -> None:
        """Ask one peer after another for what is missing, until it is here or not wanted any more."""
        effect = self.process.wanted.get(pull)
        if effect is None:
            return
        missing = self._missing(effect.block)
        if not missing:
            self._check_wanted()
            return
        if effect.peers:
            self._send(effect.peers[attempt % len(effect.peers)], messages.BodiesRequest(missing))
        self.later(PULL_RETRY_MS, lambda: self._pull(pull, attempt + 1))

    def _check_wanted(self) -> None:
        for pull, effect in list(self.process.wanted.items()):
            if self._process is None:
                return
            if self._missing(effect.block):
                continue
            del self.process.wanted[pull]
            if isinstance(effect, ev.Execute):
                self._execute(effect)
            else:
                self.feed(ev.BodiesHeld(effect.block.id))

    # ------------------------------------------------------------ execution

    def _execute(self, effect: ev.Execute) -> None:
        block = effect.block
        raws = effect.transactions
        if raws is None:
            if self._missing(block):
                self._want((block.id, "execute"), effect)
                return
            held = [self.body(digest) for digest in block.digests]
            raws = tuple(raw for raw in held if raw is not None)
        transactions = tuple(decode(raw) for raw in raws)
        delay = self.rng.randint(1, 20 if self.world.healed else self.world.plan.execution_ms_max)
        self.later(delay, lambda: self._commit(block, transactions))

    def _commit(self, block: Block, transactions: tuple[SignedTransaction, ...]) -> None:
        process = self.process
        execution = process.ledger.execute(block, transactions)
        plan = self.world.plan
        if not self.world.healed and plan.disk_failure_rate and self.rng.random() < plan.disk_failure_rate:
            self._ledger_disk.failing = True
        if self.observer is not None:
            self.observer.executed(self, execution)
        try:
            self._maybe_crash()
            process.ledger.commit(execution)
            self._maybe_crash()
        except (Crash, DiskFailure):
            self.crash()
            return
        for digest in [d for d, t in process.pool.items() if process.ledger.is_executed(t)]:
            del process.pool[digest]
        self.feed(ev.Executed(execution.checkpoint, execution.next_set))
        if self._process is process and not process.pool:
            self.feed(ev.PendingChanged(pending=False))


class Observer:
    """What checkers see of honest nodes. The base watches nothing."""

    def sent(self, node: SimNode, message: Message) -> None:
        """A message leaves an honest node."""

    def persisted(self, node: SimNode, record: journal.Record) -> None:
        """A record is about to be written."""

    def executed(self, node: SimNode, execution: "ev.Executed | object") -> None:
        """A block is executed and about to be committed."""

    def certified(self, node: SimNode, certified: object, checkpoint: Checkpoint) -> None:
        """A checkpoint got its certificate."""

    def accused(self, node: SimNode, author: BlsKey, evidence: bytes) -> None:
        """A node found evidence."""


def describe(message: Message) -> str:
    """A message in a few words, for the replay."""
    match message:
        case messages.Vote(kind, epoch, view, block_id):
            return f"{('', 'notarize', 'nullify', 'finalize')[kind]} {epoch}/{view} {block_id[:3].hex()}"
        case Certificate(kind, epoch, view, block_id):
            return f"{('', 'notarization', 'nullification', 'finalization')[kind]} {epoch}/{view} {block_id[:3].hex()}"
        case messages.Proposal(block, _, nullifications):
            return (
                f"proposal {block.epoch}/{block.view} {block.id[:3].hex()} height {block.height} on "
                f"{block.parent_id[:3].hex()}, {len(block.digests)} transactions, {len(nullifications)} views skipped"
            )
        case messages.CheckpointVote(checkpoint):
            return f"checkpoint vote at {Checkpoint.decode(checkpoint).height}"
        case messages.Range(blocks):
            return f"range {blocks[0].block.height}..{blocks[-1].block.height}"
        case _:
            return type(message).__name__
