# SPDX-License-Identifier: Apache-2.0
"""One validator's core with a driver that never fails, and peers whose messages the test makes by hand.

Four members unless said otherwise; the core under test is the first of them, and view v is led by place v % 4. The
signatures cost a hash. Nothing here depends on chance or on a clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

from chain.certificate import Certificate, checkpoint_message, combine, vote_message
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.checkpoint import Validator as Member
from chain.consensus import events as ev
from chain.consensus import journal
from chain.consensus.block import Block
from chain.consensus.messages import CheckpointVote, Message, Proposal, Vote
from chain.consensus.outbox import Courtesy
from chain.consensus.pace import Timing
from chain.consensus.replica import Replica
from chain.consensus.signer import LocalSigner
from chain.consensus.tally import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY
from chain.consensus.validator import Config, Validator
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.types import (
    BlockId,
    BlsKey,
    Digest,
    Epoch,
    Height,
    Millis,
    Network,
    View,
    quorum,
    sha256,
)
from sim.scheme import FakeScheme, FakeSecretKey

NETWORK = Network(sha256(b"rig"))
GENESIS_MS = Millis(1_000_000)
START_MS = Millis(1_010_000)
SECRETS = tuple(FakeSecretKey(b"%d" % number) for number in range(12))
KEYS: tuple[BlsKey, ...] = tuple(secret.public_key() for secret in SECRETS)
STRANGER = KEYS[11]
SCHEME = FakeScheme()
STEPS_MAX = 10_000
_Item = TypeVar("_Item")


def members(*numbers: int, epoch: int = 1) -> ValidatorSet:
    """A set of these, in this order."""
    return ValidatorSet(Epoch(epoch), tuple(Member(KEYS[number], f"org-{number}") for number in numbers))


FOUR = members(0, 1, 2, 3)


# ---------------------------------------------------------------- what peers say


def digest(name: str) -> Digest:
    """The digest of a transaction whose bytes are its name."""
    return Digest(sha256(name.encode()))


def make_block(
    view: int = 1,
    height: int | None = None,
    parent: Block | BlockId | None = None,
    *,
    epoch: int = 1,
    time_ms: int | None = None,
    digests: Sequence[Digest] = (),
) -> Block:
    """A block on a parent, on genesis unless one is given; its height and time follow from the parent's."""
    if isinstance(parent, Block):
        below, parent_id = parent.height, parent.id
        earliest = parent.time_ms + 1
    else:
        below, parent_id = Height(0), BlockId(NETWORK) if parent is None else parent
        earliest = START_MS
    return Block.make(
        Epoch(epoch),
        View(view),
        Height(below + 1 if height is None else height),
        parent_id,
        Millis(earliest if time_ms is None else time_ms),
        tuple(digests),
    )


def vote(
    author: int, kind: pb.Kind.ValueType, view: int, block: Block | BlockId | None = None, *, epoch: int = 1
) -> Vote:
    """A vote with its author's true signature."""
    block_id = NO_BLOCK if block is None else block.id if isinstance(block, Block) else block
    message = vote_message(kind, NETWORK, Epoch(epoch), View(view), block_id)
    return Vote(kind, Epoch(epoch), View(view), block_id, SECRETS[author].sign(message))


def forged(honest: Vote) -> Vote:
    """The same vote with a signature that does not hold."""
    return Vote(honest.kind, honest.epoch, honest.view, honest.block_id, sha256(honest.signature) * 3)


def certificate(
    kind: pb.Kind.ValueType,
    view: int,
    block: Block | BlockId | None = None,
    *,
    signers: Iterable[int] = (1, 2, 3),
    epoch: int = 1,
    of: ValidatorSet = FOUR,
) -> Certificate:
    """What these members' votes make; by default the three that are not under test."""
    block_id = NO_BLOCK if block is None else block.id if isinstance(block, Block) else block
    message = vote_message(kind, NETWORK, Epoch(epoch), View(view), block_id)
    bitmap, aggregate = combine(_signatures(message, signers, of), len(of.keys), SCHEME)
    return Certificate(kind, Epoch(epoch), View(view), block_id, bitmap, aggregate)


def _signatures(message: bytes, signers: Iterable[int], of: ValidatorSet) -> dict[int, bytes]:
    return {of.keys.index(KEYS[number]): SECRETS[number].sign(message) for number in signers}


def propose(block: Block, parent: Certificate | None = None, *nullified: int) -> Proposal:
    """A proposal with the nullifications of these views."""
    return Proposal(block, parent, tuple(certificate(NULLIFY, view, epoch=block.epoch) for view in nullified))


def make_checkpoint(block: Block, next_set: ValidatorSet | None = None, *, state: bytes = b"state") -> Checkpoint:
    """What executing a block yields in these tests."""
    return Checkpoint(
        NETWORK,
        block.epoch,
        block.height,
        block.time_ms,
        block.id,
        0,
        sha256(b"log"),
        sha256(state),
        b"" if next_set is None else next_set.digest(),
    )


def checkpoint_vote(author: int, checkpoint: Checkpoint) -> CheckpointVote:
    """A member's signature on a checkpoint."""
    raw = checkpoint.encode()
    return CheckpointVote(raw, SECRETS[author].sign(checkpoint_message(NETWORK, raw)))


def certify(checkpoint: Checkpoint, signers: Iterable[int] = (1, 2, 3), of: ValidatorSet = FOUR) -> CertifiedCheckpoint:
    """A checkpoint under these members' aggregate."""
    raw = checkpoint.encode()
    bitmap, aggregate = combine(_signatures(checkpoint_message(NETWORK, raw), signers, of), len(of.keys), SCHEME)
    return CertifiedCheckpoint(raw, bitmap, aggregate)


def close(
    block: Block, next_set: ValidatorSet, signers: Iterable[int] = (1, 2, 3), of: ValidatorSet = FOUR
) -> ClosingCheckpoint:
    """The closing checkpoint of an epoch that ends with this block."""
    return ClosingCheckpoint(certify(make_checkpoint(block, next_set), signers, of), next_set.encode())


def chain_of(length: int, *, epoch: int = 1, first_view: int = 1, parent: Block | BlockId | None = None) -> list[Block]:
    """Blocks one on another, one a view."""
    blocks: list[Block] = []
    for offset in range(length):
        blocks.append(make_block(first_view + offset, None, blocks[-1] if blocks else parent, epoch=epoch))
    return blocks


# ---------------------------------------------------------------- the core under test


class Node:
    """A core and its driver: persists, executes, and keeps everything else for the test to look at.

    Attributes:
        now: The time of the next step.
        done: The effects of the last call, automatic executions included.
        executes: Whether `Execute` is answered at once.
        closing: Heights whose block closes its epoch, with the next set.
        journal: What was persisted and not forgotten.
    """

    def __init__(
        self,
        me: int = 0,
        validators: ValidatorSet = FOUR,
        *,
        follower: bool = False,
        timing: Timing | None = None,
        start: bool = True,
        lost: bool = False,
    ) -> None:
        self.me = me
        self.key = None if follower else KEYS[me]
        self.config = Config(NETWORK, self.key, validators, GENESIS_MS, timing or Timing())
        self.now = START_MS
        self.journal = MemoryDatabase()
        self.executes = True
        self.executed: list[Block] = []
        self.closing: dict[Height, ValidatorSet] = {}
        self.done: list[ev.Effect] = []
        self.signed: list[Vote] = []
        self.wake_at = self.now
        self._handed: list[ev.Execute] = []
        self._tip: tuple[ev.Executed, Block] | None = None
        self.core = self._build(lost=lost)
        if start:
            self.start()

    def _build(self, *, lost: bool = False) -> Validator:
        executed, block = (None, None) if self._tip is None else self._tip
        signer = None if self.key is None else LocalSigner(NETWORK, SECRETS[self.me])
        return Validator(self.config, journal.load(self.journal, lost=lost), executed, block, signer, SCHEME)

    def start(self) -> list[ev.Effect]:
        """The first step."""
        self.done = []
        return self._perform(self.core.start(self.now))

    def restart(self, *, journal_of: Mapping[bytes, bytes] | None = None) -> list[ev.Effect]:
        """Die and start again from the journal, or from what stood in it at another time."""
        if journal_of is not None:
            self.journal = MemoryDatabase(journal_of)
        self.core = self._build()
        return self.start()

    @property
    def replica(self) -> Replica:
        """The part that votes in the current epoch."""
        return self.core._replica

    # ------------------------------------------------------------ events

    def step(self, event: ev.Event) -> list[ev.Effect]:
        """One event, and what it leads to."""
        self.done = []
        return self._perform(self.core.step(event, self.now))

    def tell(self, sender: int | BlsKey, *told: Message) -> list[ev.Effect]:
        """Messages of a peer."""
        key = KEYS[sender] if isinstance(sender, int) else sender
        self.done = []
        for message in told:
            self._perform(self.core.step(ev.Received(key, message), self.now))
        return self.done

    def wait(self, milliseconds: int) -> list[ev.Effect]:
        """Let time pass; the core wakes when it asked to."""
        until = Millis(self.now + milliseconds)
        self.done = []
        while self.wake_at <= until:
            self.now = max(self.now, self.wake_at)
            self._perform(self.core.step(ev.Wake(), self.now))
        self.now = until
        return self.done

    def execute_now(self) -> list[ev.Effect]:
        """Execute the block that was handed out while `executes` was off."""
        waiting = [effect.block for effect in self._handed if effect.block not in self.executed]
        self.done = []
        return self._perform(self.core.step(self._execute(waiting[0]), self.now))

    # ------------------------------------------------------------ effects

    def _perform(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        """Do what a driver does. `Persist` comes first, once, in each step."""
        waiting = [effects]
        steps = 0
        while waiting:
            steps += 1
            assert steps < STEPS_MAX, "the core does not come to rest"
            batch = waiting.pop(0)
            assert not any(isinstance(effect, ev.Persist) for effect in batch[1:]), "a late Persist"
            assert isinstance(batch[-1], ev.WakeAt)
            for effect in batch:
                event = self._perform_one(effect)
                if event is not None:
                    waiting.append(self.core.step(event, self.now))
            self.done.extend(batch)
        return self.done

    def _perform_one(self, effect: ev.Effect) -> ev.Event | None:
        match effect:
            case ev.Persist(records):
                self.journal.write({record.key: record.value for record in records})
            case ev.Forget(keys):
                self.journal.write({}, keys)
            case ev.WakeAt(time_ms):
                self.wake_at = time_ms
            case ev.Broadcast(_, message):
                if isinstance(message, Vote):
                    self._note(message)
            case ev.Execute():
                self._handed.append(effect)
                if self.executes:
                    return self._execute(effect.block)
            case _:
                pass
        return None

    def _note(self, message: Vote) -> None:
        """No vote goes out that is not durable, and none that contradicts another: in every test."""
        assert self.journal.get(journal.OwnVote(message).key) == journal.OwnVote(message).value, "not durable"
        for before in self.signed:
            if (before.epoch, before.view) != (message.epoch, message.view):
                continue
            kinds = {before.kind, message.kind}
            assert kinds != {NULLIFY, FINALIZE}, "finalize and nullify"
            assert before.kind != message.kind or before.block_id == message.block_id, "voted twice"
        if message not in self.signed:
            self.signed.append(message)

    def _execute(self, block: Block) -> ev.Executed:
        self.executed.append(block)
        next_set = self.closing.get(block.height)
        result = ev.Executed(make_checkpoint(block, next_set), next_set)
        self._tip = (result, block)
        return result

    # ------------------------------------------------------------ what came of it

    def effects(self, kind: type[_Item]) -> list[_Item]:
        """The last call's effects of a kind."""
        return [effect for effect in self.done if isinstance(effect, kind)]

    def said(self, kind: type[_Item]) -> list[_Item]:
        """The messages of a kind that the last call sent to all."""
        return [e.message for e in self.done if isinstance(e, ev.Broadcast) and isinstance(e.message, kind)]

    def answered(self, kind: type[_Item]) -> list[_Item]:
        """The messages of a kind that the last call sent to one peer."""
        return [e.message for e in self.done if isinstance(e, ev.Send) and isinstance(e.message, kind)]

    def votes(self, kind: pb.Kind.ValueType) -> list[Vote]:
        """The votes of a kind that the last call sent."""
        return [message for message in self.said(Vote) if message.kind == kind]

    def rejections(self) -> list[str]:
        """Why the last call refused what it refused."""
        return [effect.reason for effect in self.effects(ev.Reject)]

    def records(self, kind: type[_Item]) -> list[_Item]:
        """The records of a kind that the last call persisted."""
        return [r for effect in self.effects(ev.Persist) for r in effect.records if isinstance(r, kind)]

    def state(self) -> object:
        """Everything that the core remembers, to compare with later."""
        return state_of(self.core)

    # ------------------------------------------------------------ short ways to a circumstance

    def notarize(self, block: Block, *nullified: int, parent: Certificate | None = None) -> None:
        """Let a block's leader propose it, and a quorum notarize it with this validator's vote."""
        leader = block.view % len(self.core.validators.keys)
        if leader != self.me:
            self.tell(leader, propose(block, parent, *nullified))
        others = [number for number in range(len(KEYS)) if KEYS[number] in self.core.validators.keys]
        for number in [n for n in others if n != self.me][: quorum(len(others)) - 1]:
            self.tell(number, vote(number, NOTARIZE, block.view, block))

    def finalize(
        self, blocks: Sequence[Block], *, of: ValidatorSet = FOUR, signers: Iterable[int] = (1, 2, 3)
    ) -> list[ev.Effect]:
        """Make these blocks known and final: the last one by its finalization."""
        for block in blocks:
            self.core._tree.add(block)
        last = blocks[-1]
        self.tell(1, certificate(FINALIZE, last.view, last, epoch=last.epoch, of=of, signers=signers))
        return self.done


def state_of(thing: object) -> object:
    """A comparable picture of an object and everything in it, in the order that it keeps."""
    match thing:
        case None | bool() | int() | str() | bytes():
            return thing
        case dict():
            return tuple((state_of(key), state_of(value)) for key, value in thing.items())
        case list() | tuple():
            return tuple(state_of(item) for item in thing)
        case set() | frozenset():
            return tuple(sorted(map(state_of, thing)))  # type: ignore[type-var]
    if is_dataclass(thing) and not isinstance(thing, type):
        return tuple(state_of(getattr(thing, f.name)) for f in fields(thing))
    if isinstance(thing, FakeScheme | LocalSigner | Courtesy):  # whom to answer how often is no belief
        return type(thing).__name__
    return type(thing).__name__, state_of(vars(thing))


class Net:
    """Several cores that hear one another at once and without loss; the test decides who is cut off."""

    def __init__(self, count: int = 4, *, silent: Iterable[int] = ()) -> None:
        validators = members(*range(count))
        self.cut = set(silent)
        self.nodes = [Node(number, validators, start=False) for number in range(count)]
        for node in self.nodes:
            node.start()
        self.deliver()

    def deliver(self) -> None:
        """Pass on what was said until nobody says more."""
        for _ in range(STEPS_MAX):
            mail = [
                (node, to, effect.message)
                for node in self.nodes
                if node.me not in self.cut
                for effect in node.done
                if isinstance(effect, ev.Send | ev.Broadcast)
                for to in ((effect.to,) if isinstance(effect, ev.Send) else effect.to)
            ]
            for node in self.nodes:
                node.done = []
            if not mail:
                return
            said: dict[int, list[ev.Effect]] = {node.me: [] for node in self.nodes}
            for sender, to, message in mail:
                receiver = next(node for node in self.nodes if node.key == to)
                if receiver.me not in self.cut:
                    said[receiver.me] += receiver.tell(sender.me, message)
            for node in self.nodes:
                node.done = said[node.me]
        raise AssertionError("the cores do not come to rest")

    def run(self, milliseconds: int) -> None:
        """Let time pass in steps of 10 ms."""
        for _ in range(milliseconds // 10):
            for node in self.nodes:
                node.wait(10)
            self.deliver()
