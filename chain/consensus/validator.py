# SPDX-License-Identifier: Apache-2.0
"""A validator, or a follower, as one sans-IO state machine: events in, effects out.

It routes messages to the epoch they belong to, moves from epoch to epoch on closing certificates, and keeps the parts
together: `replica` votes, `checkpoints` certifies what was executed, `follow` queues what is to be executed. What the
driver owes it stands in `events`.

Source: docs/protocol.md, sections 3 to 5 and 7.
"""

from dataclasses import dataclass, field

from chain.application import Tip
from chain.certificate import Certificate, SignatureScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.block import Block
from chain.consensus.blocktree import BlockTree
from chain.consensus.checkpoints import Checkpoints
from chain.consensus.epochs import Epochs
from chain.consensus.events import (
    BodiesHeld,
    BodiesRefused,
    Effect,
    EpochEntered,
    Event,
    Executed,
    Forget,
    PayloadOffered,
    PendingChanged,
    Received,
    Reject,
    Void,
    Wake,
    WakeAt,
)
from chain.consensus.fetch import Fetch
from chain.consensus.follow import Follow
from chain.consensus.journal import Durable, Muted, StoredBlock, StoredClosing
from chain.consensus.messages import (
    CLOSINGS_MAX,
    BlockRequest,
    BlockResponse,
    Certificates,
    CertificatesRequest,
    CheckpointVote,
    ClosingRequest,
    Closings,
    Message,
    Moved,
    Proposal,
    Range,
    Vote,
)
from chain.consensus.outbox import Courtesy, Outbox
from chain.consensus.pace import Timing
from chain.consensus.replica import Replica
from chain.consensus.signer import Signer
from chain.errors import InvalidCertificate, InvalidMessage
from chain.types import BlockId, BlsKey, Epoch, Height, Millis, Network, View


@dataclass(frozen=True, slots=True)
class Config:
    """What a validator is told once.

    Attributes:
        key: Its BLS key; None for a follower that never votes.
        genesis_validators: The set of epoch 1.
        poll_ms: How often one outside the set asks for news.
    """

    network: Network
    key: BlsKey | None
    genesis_validators: ValidatorSet
    genesis_time_ms: Millis
    timing: Timing = field(default_factory=Timing)
    poll_ms: int = 500


class Validator:
    """One node's part in ordering. See the module docstring and `events` for how to drive it."""

    def __init__(
        self,
        config: Config,
        durable: Durable,
        executed: Executed | None,
        tip_block: Block | None,
        signer: Signer | None,
        scheme: SignatureScheme,
    ) -> None:
        """Build from what is durable; a first start and a restart are the same thing.

        Args:
            config: Who this is.
            durable: `journal.load(database)`.
            executed: The newest block that the ledger's store holds, as `Executed` said it; None at genesis.
            tip_block: That block itself: the next proposal may build on it, and after a crash of all nobody else may
                remember it. None at genesis.
            signer: Signs with the config's key; None for a follower.
            scheme: The signature scheme.
        """
        self._config = config
        self._scheme = scheme
        self._signer = signer
        self._out = Outbox()
        self._courtesy = Courtesy()
        self._tree = BlockTree(durable.blocks.values())
        if tip_block is not None:
            self._tree.add(tip_block)
        self._epochs = Epochs(config.network, config.genesis_validators, config.genesis_time_ms)
        self._epochs.restore(durable.closings)
        self._muted = config.key is not None and durable.muted == config.key
        self._journal_lost = durable.lost
        self._next_sets: dict[Height, ValidatorSet] = {}
        self._moved: dict[BlsKey, Epoch] = {}
        self._released: set[BlockId] = set()
        self._fetch = Fetch(self._out)
        self._poll_at = Millis(0)
        tip = Tip(Height(0), BlockId(config.network), config.genesis_time_ms, Epoch(0))
        if executed is not None:
            c = executed.checkpoint
            tip = Tip(c.height, c.block_id, c.time_ms, c.epoch)
        self._last_executed = executed
        self._follow = Follow(network=config.network, tip=tip, tree=self._tree, scheme=scheme, outbox=self._out)
        self._checkpoints = Checkpoints(
            network=config.network,
            key=config.key,
            durable=durable,
            signer=signer,
            scheme=scheme,
            outbox=self._out,
            courtesy=self._courtesy,
        )
        self._replica = self._make_replica(self._epochs.newest, durable)

    def _make_replica(self, epoch: Epoch, durable: Durable) -> Replica:
        return Replica(
            network=self._config.network,
            timing=self._config.timing,
            validators=self._epochs.sets[epoch],
            key=self._config.key,
            root=self._epochs.root(epoch),
            tree=self._tree,
            durable=durable,
            muted=self._muted,
            signer=self._signer,
            scheme=self._scheme,
            outbox=self._out,
            courtesy=self._courtesy,
        )

    # ------------------------------------------------------------ what the driver may ask

    @property
    def epoch(self) -> Epoch:
        """The epoch that this node is in."""
        return self._replica.epoch

    @property
    def view(self) -> View:
        """The view that it is in."""
        return self._replica.view

    @property
    def validators(self) -> ValidatorSet:
        """The epoch's validators."""
        return self._replica.validators

    @property
    def is_member(self) -> bool:
        """Whether it belongs to the epoch's validators."""
        return self._config.key in self.validators.keys

    @property
    def is_voting(self) -> bool:
        """Whether it votes in this epoch now; not so while its journal is known to be lost."""
        return self._replica.is_voting

    @property
    def certified_height(self) -> Height:
        """The newest certified height it knows."""
        return self._checkpoints.certified_height

    @property
    def delta_ms(self) -> int:
        """The assumed delay bound now."""
        return self._replica.pace.delta_ms

    @property
    def may_leave(self) -> bool:
        """Whether one that is no member any more has heard from a quorum of the new set that it has moved."""
        heard = sum(1 for key in self.validators.keys if self._moved.get(key, Epoch(0)) >= self.epoch)
        return not self.is_member and heard >= self.validators.quorum

    def closings(self, from_epoch: Epoch) -> tuple[ClosingCheckpoint, ...]:
        """The checkpoints that closed this epoch and later ones."""
        return self._epochs.closings(from_epoch)

    # ------------------------------------------------------------ start and step

    def start(self, now: Millis) -> list[Effect]:
        """Begin. Perform these effects before the first event."""
        if self._journal_lost and self._config.key is not None:
            self._mute(self._config.key)
        self._out.emit(EpochEntered(self.validators))
        self._checkpoints.enter(self.validators)
        self._poll_at = now
        last = self._last_executed
        if last is not None:
            self._checkpoints.resume(last.checkpoint)
            self._after_execution(last, now)
        for epoch in self._epochs.closed():
            self._follow.close(epoch, self._epochs.root(Epoch(epoch + 1)).height)
        root = self._epochs.root(self.epoch)
        self._follow.final(root.id, Epoch(self.epoch - 1), root.height)
        self._replica.set_certified_height(self._checkpoints.certified_height)
        self._replica.start(now)
        return self._settle(now)

    def step(self, event: Event, now: Millis) -> list[Effect]:
        """Advance by one event; perform the effects in order."""
        match event:
            case Received(sender, message):
                self._receive(sender, message, now)
            case Wake():
                pass
            case PayloadOffered(epoch, view, digests):
                if epoch == self.epoch:
                    self._replica.offer_payload(view, digests, now)
            case BodiesHeld(block_id):
                self._replica.bodies_held(block_id, now)
            case BodiesRefused(block_id, reason):
                self._replica.bodies_refused(block_id, reason, now)
            case Executed():
                self._executed(event, now)
            case PendingChanged(pending):
                self._replica.set_pending(pending, now)
        return self._settle(now)

    def _settle(self, now: Millis) -> list[Effect]:
        """What follows from the step, then the time to wake up."""
        self._replica.tick(now)
        for block_id in self._replica.final:
            block = self._tree.get(block_id)
            self._follow.final(block_id, self.epoch, None if block is None else block.height)
        self._replica.final.clear()
        self._follow.pump(self._peers())
        self._move(now)
        self._fetch_blocks(now)
        if now >= self._poll_at:
            self._poll(now)
        self._replica.set_certified_height(self._checkpoints.certified_height)
        effects = self._out.drain()
        # What is already due was tried just now; the next try waits for news or at least a millisecond.
        wake = max(Millis(now + 1), min(self._replica.deadline_ms(), self._poll_at))
        return [*effects, WakeAt(wake)]

    # ------------------------------------------------------------ messages

    def _receive(self, sender: BlsKey, message: Message, now: Millis) -> None:  # noqa: C901, PLR0912 - one flat table
        match message:
            case Vote() | Certificate():
                if self._is_current(sender, message.epoch, now):
                    if isinstance(message, Vote):
                        self._replica.on_vote(sender, message, now)
                    else:
                        self._replica.on_certificate(sender, message, now)
            case Proposal(block):
                if self._is_current(sender, block.epoch, now):
                    self._replica.on_proposal(sender, message, now)
            case Certificates(certificates):
                for certificate in certificates:
                    if not self._is_current(sender, certificate.epoch, now):
                        return
                    self._replica.on_certificate(sender, certificate, now)
            case CertificatesRequest(epoch):
                if self._is_current(sender, epoch, now):
                    self._replica.on_request(sender, message, now)
            case CheckpointVote():
                self._receive_checkpoint_vote(sender, message, now)
            case CertifiedCheckpoint():
                self._receive_checkpoint(sender, message, now)
            case ClosingRequest(epoch):
                self._answer_closing_request(sender, epoch, now)
            case Closings(closings):
                self._receive_closings(sender, closings, now)
            case BlockRequest(block_id):
                known = self._tree.get(block_id)
                if known is not None and self._courtesy.allows(sender, block_id.hex(), now, self._gap_ms):
                    self._out.send(sender, BlockResponse(known))
            case BlockResponse(block):
                self._receive_block(block, now)
            case Range():
                self._receive_range(sender, message, now)
            case Moved(epoch):
                self._note_moved(sender, epoch, now)
            case _:
                self._out.emit(Reject(sender, "a message that the driver answers"))

    @property
    def _gap_ms(self) -> int:
        return self._replica.pace.delta_ms // 2

    def _is_current(self, sender: BlsKey, epoch: Epoch, now: Millis) -> bool:
        """Whether a message is of this epoch. A stale sender is helped on, one that is ahead is asked."""
        if epoch == self.epoch:
            return True
        if epoch < self.epoch:
            if self._courtesy.allows(sender, "closings", now, self._gap_ms):
                self._send_closings(sender, epoch)
        elif self._courtesy.allows(sender, "ask-closings", now, self._gap_ms):
            self._out.send(sender, ClosingRequest(self.epoch))
        return False

    def _answer_closing_request(self, sender: BlsKey, epoch: Epoch, now: Millis) -> None:
        """Help one who is behind; one who is not learns that this node is here: a leaver waits for that."""
        if epoch <= self.epoch and self._courtesy.allows(sender, "closings", now, self._gap_ms):
            if epoch == self.epoch:
                self._out.send(sender, Moved(epoch))
            self._send_closings(sender, epoch)

    def _send_closings(self, peer: BlsKey, from_epoch: Epoch) -> None:
        closings = self.closings(from_epoch)[:CLOSINGS_MAX]
        if closings:
            self._out.send(peer, Closings(closings))

    def _receive_checkpoint_vote(self, sender: BlsKey, vote: CheckpointVote, now: Millis) -> None:
        try:
            checkpoint = Checkpoint.decode(vote.checkpoint)
        except InvalidMessage as error:
            self._out.emit(Reject(sender, error.reason))
            return
        if self._is_current(sender, checkpoint.epoch, now):
            self._checkpoints.on_vote(sender, vote, checkpoint, now, self._gap_ms)

    def _receive_checkpoint(self, sender: BlsKey, certified: CertifiedCheckpoint, now: Millis) -> None:
        try:
            claimed = Checkpoint.decode(certified.checkpoint)
        except InvalidMessage as error:
            self._out.emit(Reject(sender, error.reason))
            return
        validators = self._epochs.sets.get(claimed.epoch)
        if validators is None:
            self._is_current(sender, claimed.epoch, now)
            return
        closing = self._epochs.closing_height(claimed.epoch)
        if closing is not None and claimed.height > closing:
            self._out.emit(Reject(sender, "checkpoint above its epoch's closing height"))
            return
        checkpoint = self._checkpoints.on_certified(sender, certified, validators, now, self._gap_ms)
        if checkpoint is not None and checkpoint.epoch == self.epoch:
            self._follow.final(checkpoint.block_id, checkpoint.epoch, checkpoint.height)
            if checkpoint.closes_epoch and checkpoint.height not in self._next_sets:
                self._out.send(sender, ClosingRequest(self.epoch))

    def _is_distrusted(self, sender: BlsKey, now: Millis) -> bool:
        return self._courtesy.is_recent(sender, "bad-proof", now, self._gap_ms)

    def _distrust(self, sender: BlsKey, reason: str, now: Millis) -> None:
        """Checking costs more than forging: what else this peer proves waits before it is looked at."""
        self._courtesy.allows(sender, "bad-proof", now, 0)
        self._out.emit(Reject(sender, reason))

    def _receive_range(self, sender: BlsKey, message: Range, now: Millis) -> None:
        if self._is_distrusted(sender, now):
            return
        reason = self._follow.on_range(message, self._epochs.sets)
        if reason is not None:
            self._distrust(sender, reason, now)
            return
        proof, last = message.proof, message.blocks[-1].block
        if isinstance(proof, CertifiedCheckpoint) and self._follow.holds(last):
            self._checkpoints.take(proof, Checkpoint.decode(proof.checkpoint), now)
        if self._follow.is_behind or not self.is_member:
            self._fetch.range(self._follow.next_request(), (sender,))

    def _receive_block(self, block: Block, now: Millis) -> None:
        wanted = {block_id for block_id, _ in self._replica.wanted}
        if block.id not in wanted and block.id != self._follow.missing:
            return
        self._fetch.arrived(block.id)
        self._tree.add(block)
        self._replica.block_arrived(block, now)
        self._follow.resolve()

    # ------------------------------------------------------------ execution

    def _executed(self, event: Executed, now: Millis) -> None:
        c = event.checkpoint
        self._follow.executed(Tip(c.height, c.block_id, c.time_ms, c.epoch))
        self._after_execution(event, now)
        self._forget()

    def _after_execution(self, event: Executed, now: Millis) -> None:
        c = event.checkpoint
        if event.next_set is not None:
            assert event.next_set.digest() == c.next_validators
            self._next_sets[c.height] = event.next_set
            self._close(c.epoch, c.height)
        self._checkpoints.executed(c, now)

    def _close(self, epoch: Epoch, height: Height) -> None:
        """The block at this height closes its epoch: no new vote there, and what is above it is void."""
        if epoch == self.epoch:
            self._replica.stop()
        self._follow.close(epoch, height)

    def _forget(self) -> None:
        """Let the journal go of what a certified checkpoint of an executed block covers."""
        covered = min(self._checkpoints.certified_height, self._follow.tip.height)
        blocks = [block for block in self._tree.at_or_below(covered) if block.id not in self._released]
        keys = [*self._replica.forget(), *self._checkpoints.forget(), *(StoredBlock(block).key for block in blocks)]
        self._released.update(block.id for block in blocks)
        self._tree.prune(covered)
        self._released = {block_id for block_id in self._released if self._tree.get(block_id) is not None}
        if keys:
            self._out.emit(Forget(tuple(keys), tuple(blocks)))

    # ------------------------------------------------------------ epochs

    def _move(self, now: Millis) -> None:
        """Enter the next epoch if the newest certificate closes this one and the new list is known from execution."""
        newest = self._checkpoints.newest
        if newest is None or newest[1].epoch != self.epoch or not newest[1].closes_epoch:
            return
        next_set = self._next_sets.get(newest[1].height)
        if next_set is not None:
            self._enter(ClosingCheckpoint(newest[0], next_set.encode()), now)

    def _receive_closings(self, sender: BlsKey, closings: tuple[ClosingCheckpoint, ...], now: Millis) -> None:
        for closing in closings:
            if self._is_distrusted(sender, now):
                return
            try:
                if Checkpoint.decode(closing.certified.checkpoint).epoch != self.epoch:
                    continue
                checkpoint = self._epochs.check(closing, self._scheme)
            except (InvalidMessage, InvalidCertificate) as error:
                self._distrust(sender, f"closing checkpoint: {error.reason}", now)
                return
            self._checkpoints.take(closing.certified, checkpoint, now)
            self._enter(closing, now)

    def _enter(self, closing: ClosingCheckpoint, now: Millis) -> None:
        """Move on, durably before anything of the new epoch is sent. Whether executed or not makes no difference."""
        left = self._replica.validators
        checkpoint = Checkpoint.decode(closing.certified.checkpoint)
        self._out.persist(StoredClosing(checkpoint.epoch, closing))
        epoch = self._epochs.add(closing)
        void = tuple(block for block in self._tree.above(checkpoint.height) if block.epoch == checkpoint.epoch)
        for block in void:
            self._out.emit(Void(block))
            self._tree.discard(block)
        self._out.emit(Forget((*self._replica.forget_all(), *(StoredBlock(block).key for block in void)), void))
        self._follow.close(checkpoint.epoch, checkpoint.height)
        self._follow.final(checkpoint.block_id, checkpoint.epoch, checkpoint.height)
        pending = self._replica.pace.pending
        self._muted = self._replica.muted
        self._replica = self._make_replica(epoch, Durable())
        self._checkpoints.enter(self.validators)
        self._out.emit(EpochEntered(self.validators))
        both = dict.fromkeys((*left.keys, *self.validators.keys))
        self._out.broadcast(tuple(key for key in both if key != self._config.key), Moved(epoch))
        if self._config.key is not None:
            self._moved[self._config.key] = epoch
        self._replica.set_pending(pending, now)
        self._replica.set_certified_height(self._checkpoints.certified_height)
        self._replica.start(now)

    def _note_moved(self, sender: BlsKey, epoch: Epoch, now: Millis) -> None:
        if self._epochs.is_member_of_any(sender):
            self._moved[sender] = max(epoch, self._moved.get(sender, Epoch(0)))
        self._is_current(sender, epoch, now)

    def _mute(self, key: BlsKey) -> None:
        self._replica.muted = True
        self._out.persist(Muted(key))

    # ------------------------------------------------------------ asking for what is missing

    def _peers(self) -> tuple[BlsKey, ...]:
        return tuple(key for key in self.validators.keys if key != self._config.key)

    def _fetch_blocks(self, now: Millis) -> None:
        missing = self._follow.missing
        wanted = self._replica.wanted if missing is None else (*self._replica.wanted, (missing, ()))
        self._fetch.blocks(wanted, self._peers(), now, self._replica.pace.delta_ms)

    def _poll(self, now: Millis) -> None:
        """One outside the set asks for news; a member asks for ranges while blocks are missing."""
        patience = 2 * self._replica.pace.delta_ms
        self._poll_at = Millis(now + (patience if self.is_member else self._config.poll_ms))
        self._checkpoints.nudge(now, patience)
        if not self.is_member:
            self._fetch.news(self.epoch, self._follow.next_request(), self._peers())
        elif self._follow.is_behind:
            self._fetch.range(self._follow.next_request(), self._peers())
