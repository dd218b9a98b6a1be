# SPDX-License-Identifier: Apache-2.0
"""One validator's view of the vote within one epoch: Simplex, without IO, clock, randomness or threads.

What it must never do stands in `ballots`; what is proven, in `settled`; when things happen, in `pace`; what a leader
proposes, in `proposer`. Here they meet.

Source: Simplex Consensus (Chan and Pass, IACR ePrint 2023/463); docs/protocol.md, section 3.
"""

from chain.certificate import Certificate, SignatureScheme, decode_bitmap, verify_certificate
from chain.checkpoint import ValidatorSet
from chain.consensus.ballots import Ballots
from chain.consensus.block import Block
from chain.consensus.blocktree import BlockTree
from chain.consensus.events import EvidenceFound, Halt, Reject, RequestBodies, RequestPayload
from chain.consensus.journal import Durable, Muted, OwnVote, StoredBlock, StoredCertificate
from chain.consensus.messages import CertificatesRequest, Proposal, Vote
from chain.consensus.outbox import Courtesy, Outbox
from chain.consensus.pace import Pace, Timing
from chain.consensus.proposals import Root, fault_of_place, fault_of_shape, parent_view_of
from chain.consensus.proposer import Proposer
from chain.consensus.resend import Resend
from chain.consensus.settled import Settled
from chain.consensus.signer import Signer
from chain.consensus.tally import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, VIEWS_AHEAD_MAX, VIEWS_BEHIND_MAX, Tally
from chain.errors import InvalidCertificate
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, BlsKey, Digest, Epoch, Height, Millis, Network, View, faults_max

FIRST_VIEW = View(1)
END_VIEW = View(1 << 64)
"""Above every view that can be encoded."""


class Replica:
    """Votes in one epoch. The caller feeds it messages of this epoch only, and drains the outbox after each call.

    Attributes:
        view: The current view.
        pace: The delay bound and the view's deadlines.
        final: Ids of blocks that became final, for the caller to take.
        stopped: The closing block is executed: no new vote or proposal, answers and rebroadcasts go on.
        muted: The journal was lost: no vote or proposal under this key any more.
    """

    def __init__(
        self,
        *,
        network: Network,
        timing: Timing,
        validators: ValidatorSet,
        key: BlsKey | None,
        root: Root,
        tree: BlockTree,
        durable: Durable,
        muted: bool,
        signer: Signer | None,
        scheme: SignatureScheme,
        outbox: Outbox,
        courtesy: Courtesy,
    ) -> None:
        self._network = network
        self._timing = timing
        self._set = validators
        self._keys = validators.keys
        self._me = self._keys.index(key) if key in self._keys else None
        self._others = tuple(k for k in self._keys if k != key)
        self._faults_max = faults_max(len(self._keys))
        self._root = root
        self._tree = tree
        self._signer = signer
        self._scheme = scheme
        self._out = outbox
        self._courtesy = courtesy
        self._tally = Tally(network, validators, scheme)
        self.pace = Pace(timing, self._faults_max)
        self.view = FIRST_VIEW
        self.stopped = False
        self.muted = muted
        self.final: list[BlockId] = []
        self._proposal: Proposal | None = None
        self._refused = False
        self._bodies_asked: BlockId | None = None
        self._bodies_held = False
        self._early_until_ms: Millis | None = None
        self._wanted: dict[BlockId, tuple[BlsKey, ...]] = {}
        self._accused: set[int] = set()
        # Take up where the journal says that this validator was. There is no second way to recover.
        certificates = sorted(
            (c for c in durable.certificates if c.epoch == validators.epoch), key=lambda c: (c.view, c.kind)
        )
        self._settled = Settled(certificates)
        if certificates:
            self.view = View(certificates[-1].view + 1)
        votes = [vote for vote in durable.votes if vote.epoch == validators.epoch]
        self._own = Ballots(votes)
        if self._me is not None:
            for vote in votes:
                self._tally.add(self._me, vote)
        self._proposer = Proposer(root, tree, self._settled, self.pace)
        self._resend = Resend(
            epoch=validators.epoch,
            others=self._others,
            own=self._own,
            settled=self._settled,
            proposer=self._proposer,
            pace=self.pace,
            outbox=outbox,
            courtesy=courtesy,
        )
        self._resend.lead_in = certificates[-1] if certificates else None

    # ------------------------------------------------------------ what the caller may ask

    @property
    def validators(self) -> ValidatorSet:
        """The epoch's set."""
        return self._set

    @property
    def epoch(self) -> Epoch:
        """The epoch."""
        return self._set.epoch

    @property
    def last_final_view(self) -> View:
        """The newest finalized view; 0 before the first."""
        return self._settled.last_final_view

    @property
    def wanted(self) -> tuple[tuple[BlockId, tuple[BlsKey, ...]], ...]:
        """Blocks that voting needs and that are not known, with the peers most likely to hold them."""
        return tuple(self._wanted.items())

    @property
    def is_voting(self) -> bool:
        """Whether this validator votes in this epoch now."""
        return self._me is not None and not self.stopped and not self.muted

    def leader(self, view: View) -> BlsKey:
        """Who proposes in a view."""
        return self._keys[view % len(self._keys)]

    def deadline_ms(self) -> Millis:
        """When `tick` has something to do next."""
        times = [self._resend.nudge_ms]
        if self.is_voting and self._own.may_nullify(self.view):
            times.append(self.pace.view_deadline_ms if self._has_proposal() else self.pace.leader_deadline_ms)
        ground = self._proposer.ground(self.view) if self._may_propose() else None
        if ground is not None:
            times.append(self._proposer.due_ms(ground))
        if self._early_until_ms is not None:
            times.append(self._early_until_ms)
        return min(times)

    # ------------------------------------------------------------ events

    def start(self, now: Millis) -> None:
        """Begin, or begin again after a restart: count own votes, say where this validator stands."""
        self.pace.enter(now)
        if self._settled.finalization is not None:
            self.final.append(self._settled.finalization.block_id)
        vote = self._own.get(self.view, NOTARIZE)
        if vote is not None and self._is_leader():
            self._proposer.rebuild(self.view, self._tree.get(vote.block_id))
        self._resend.start(self.view, now)
        self._try_propose(now)
        if self.is_voting:
            for vote in self._own.above(self.last_final_view):
                self._try_certify(vote.view, vote.kind, vote.block_id, now)

    def tick(self, now: Millis) -> None:
        """Time has passed."""
        expired = now >= self.pace.view_deadline_ms
        if expired or (now >= self.pace.leader_deadline_ms and not self._has_proposal()):
            self._vote_nullify(now)
        self._try_propose(now)
        self._consider(now)
        self._resend.nudge(self.view, now, self._timing.idle_interval_ms)

    def set_pending(self, pending: bool, now: Millis) -> None:
        """Transactions came in, or none is left to order."""
        self.pace.set_pending(pending, now)
        if pending:
            self._proposer.empty = False
        self._try_propose(now)

    def set_certified_height(self, height: Height) -> None:
        """How far checkpoints are certified; a leader too far above proposes empty blocks."""
        self._proposer.certified_height = height

    def stop(self) -> None:
        """The closing block is executed: the rest of the epoch is void."""
        self.stopped = True

    def offer_payload(self, view: View, digests: tuple[Digest, ...], now: Millis) -> None:
        """The driver's answer to `RequestPayload`."""
        asked, self._proposer.asked = self._proposer.asked, None
        if view != self.view or asked is None:
            self._proposer.asked = asked
        elif digests and self._proposer.ground(view) == asked:
            self._propose(digests, now)
        else:
            # Nothing to order, or a newer block to build on, which may hold some of these: ask again for that.
            self._proposer.empty = not digests
            self._try_propose(now)

    def bodies_held(self, block_id: BlockId, now: Millis) -> None:
        """The driver holds a block's transactions, verified."""
        if self._bodies_asked == block_id:
            self._bodies_held = True
            self._consider(now)

    def bodies_refused(self, block_id: BlockId, reason: str, now: Millis) -> None:
        """A block's transactions break a rule."""
        if self._bodies_asked == block_id and not self._refused:
            self._refuse_proposal(reason, now)

    def block_arrived(self, block: Block, now: Millis) -> None:
        """A block became known; whether voting waits for it shows here."""
        if self._wanted.pop(block.id, None) is not None:
            self._try_propose(now)
            self._consider(now)

    # ------------------------------------------------------------ proposals

    def on_proposal(self, sender: BlsKey, proposal: Proposal, now: Millis) -> None:
        """A leader's proposal. Its certificates count even where its block does not."""
        block = proposal.block
        if block.view < self.view:
            self._resend.answer_old(sender, block.view, self.view, now)
            return
        if sender != self.leader(block.view):
            self._out.emit(Reject(sender, f"proposal for view {block.view} from another than its leader"))
            return
        fault = fault_of_shape(proposal, self.epoch, self._root, self.last_final_view)
        if fault is not None:
            self._out.emit(Reject(sender, f"proposal with {fault}"))
            return
        carried = proposal.nullifications if proposal.parent is None else (proposal.parent, *proposal.nullifications)
        # Each certificate is verified here or was before; nothing at or below the last final view is taken on trust.
        for certificate in carried:
            if not self.on_certificate(sender, certificate, now):
                return
        if self.view != block.view or self._proposal is not None:
            return
        if self._own.has_nullified(self.view):
            self.pace.proposal_was_late()
        self._proposal = proposal
        self._consider(now)

    def _has_proposal(self) -> bool:
        return self._proposal is not None or not self._own.may_notarize(self.view)

    def _consider(self, now: Millis) -> None:
        """Vote for the current view's proposal as soon as everything that the vote asserts is known."""
        self._early_until_ms = None
        if self._proposal is None or self._refused or not self.is_voting or not self._own.may_notarize(self.view):
            return
        block = self._proposal.block
        parent = self._root if block.parent_id == self._root.id else self._tree.get(block.parent_id)
        if parent is None:
            self._wanted.setdefault(block.parent_id, (self.leader(block.view),))
            return
        fault = fault_of_place(block, parent, now, self._timing)
        if fault is not None:
            self._refuse_proposal(fault, now)
        elif self._settled.nullifications(parent_view_of(self._proposal), self.view) is None:
            self._resend.ask(self.leader(self.view), self.view, now)
        elif block.time_ms > now + self._timing.early_ms_max:
            # A slightly early one waits; the view's deadline bounds how long.
            self._early_until_ms = Millis(block.time_ms - self._timing.early_ms_max)
        elif block.digests and not self._bodies_held:
            if self._bodies_asked is None:
                self._bodies_asked = block.id
                self._tree.add(block)
                leader = self.leader(block.view)
                self._out.emit(RequestBodies(block, (leader, *(k for k in self._others if k != leader))))
        else:
            self._vote_notarize(block, now)

    def _refuse_proposal(self, fault: str, now: Millis) -> None:
        self._refused = True
        self._out.emit(Reject(self.leader(self.view), f"proposal with {fault}"))
        self._vote_nullify(now)

    def _is_leader(self) -> bool:
        return self._me is not None and self._keys[self._me] == self.leader(self.view)

    def _may_propose(self) -> bool:
        return (
            self.is_voting
            and self._is_leader()
            and not self._has_proposal()
            and not self._own.has_nullified(self.view)
            and self._proposer.asked is None
        )

    def _try_propose(self, now: Millis) -> None:
        if not self._may_propose():
            return
        ground = self._proposer.ground(self.view)
        if ground is None:
            missing = self._proposer.missing_parent(self.view)
            if missing is not None:
                self._wanted.setdefault(missing.block_id, self.signers(missing))
        elif now < self._proposer.due_ms(ground):
            return
        elif self._proposer.is_due_empty(ground):
            self._propose((), now)
        else:
            self._proposer.asked = ground
            ancestors = self._proposer.ancestors(ground)
            self._out.emit(RequestPayload(self.epoch, self.view, ground.time_ms(now), ancestors))

    def _propose(self, digests: tuple[Digest, ...], now: Millis) -> None:
        ground = self._proposer.ground(self.view)
        if ground is None or not self._may_propose():
            return
        self._proposal = self._proposer.proposed = ground.propose(self.epoch, self.view, digests, now)
        self._out.broadcast(self._others, self._proposal)
        self._vote_notarize(self._proposal.block, now)

    # ------------------------------------------------------------ own votes

    def _vote_notarize(self, block: Block, now: Millis) -> None:
        assert block.view == self.view
        if self.is_voting and self._own.may_notarize(self.view):
            self._tree.add(block)
            # Durable with its transactions before the vote is sent. A crash after this line votes the same again.
            self._out.persist(StoredBlock(block))
            self._cast(NOTARIZE, self.view, block.id, now)

    def _vote_nullify(self, now: Millis) -> None:
        if self.is_voting and self._own.may_nullify(self.view):
            self._cast(NULLIFY, self.view, NO_BLOCK, now)

    def _vote_finalize(self, view: View, block_id: BlockId, now: Millis) -> None:
        if self.is_voting and self._own.may_finalize(view):
            self._cast(FINALIZE, view, block_id, now)

    def _cast(self, kind: pb.Kind.ValueType, view: View, block_id: BlockId, now: Millis) -> None:
        assert self._me is not None
        assert self._signer is not None
        vote = Vote(kind, self.epoch, view, block_id, self._signer.sign_vote(kind, self.epoch, view, block_id))
        self._own.record(vote, now)
        self._out.persist(OwnVote(vote))
        self._out.broadcast(self._others, vote)
        self._tally.add(self._me, vote)
        self._try_certify(view, kind, block_id, now)

    # ------------------------------------------------------------ others' votes

    def on_vote(self, sender: BlsKey, vote: Vote, now: Millis) -> None:
        """A member's vote, on its own connection."""
        if sender not in self._keys:
            self._out.emit(Reject(sender, "vote from outside the validator set"))
            return
        if vote.view <= self.last_final_view:
            self._resend.answer_final(sender, now)
            return
        if vote.view > self.view + 1 or (vote.view > self.view and now > self.pace.entered_ms + self.pace.delta_ms):
            self._resend.ask(sender, self.view, now)
        elif vote.view < self.view:
            self._resend.answer_old(sender, vote.view, self.view, now)
        if self.view - VIEWS_BEHIND_MAX <= vote.view <= self.view + VIEWS_AHEAD_MAX:
            self._count(self._keys.index(sender), vote, now)

    def _count(self, index: int, vote: Vote, now: Millis) -> None:
        """Count a vote of an open view once, unless it contradicts another of its author."""
        if self._courtesy.is_recent(self._keys[index], "bad-vote", now, self.pace.delta_ms):
            return
        conflicting = self._tally.conflict(index, vote)
        if conflicting is not None:
            self._accuse(index, conflicting, vote, now)
            return
        if self._tally.get(vote.view, vote.kind, index) is not None:
            return
        if not self._tally.is_acceptable(index, vote):
            self._reject_signature(index, now)
            return
        self._tally.add(index, vote)
        self._try_certify(vote.view, vote.kind, vote.block_id, now)
        if vote.kind == NULLIFY and vote.view == self.view:
            self._join_nullify(now, by_leader=self._keys[index] == self.leader(self.view))

    def _join_nullify(self, now: Millis, *, by_leader: bool = False) -> None:
        """Nullify because others do: f+1 of them, or the leader itself."""
        if by_leader or self._tally.count(self.view, NULLIFY) > self._faults_max:
            self._vote_nullify(now)

    def _reject_signature(self, index: int, now: Millis) -> None:
        # Checking costs more than forging: this member's votes wait before another is looked at.
        self._courtesy.allows(self._keys[index], "bad-vote", now, 0)
        self._out.emit(Reject(self._keys[index], "vote whose signature does not verify"))

    def _accuse(self, index: int, first: Vote, second: Vote, now: Millis) -> None:
        """Two votes that no honest member makes; evidence once per member and epoch."""
        if index in self._accused:
            return
        evidence = self._tally.evidence(index, first, second)
        if evidence is None:
            self._reject_signature(index, now)
            return
        self._accused.add(index)
        self._out.emit(EvidenceFound(self._keys[index], evidence))

    def _try_certify(self, view: View, kind: pb.Kind.ValueType, block_id: BlockId, now: Millis) -> None:
        if self._settled.is_needless(kind, view):
            return
        quorum, bad = self._tally.quorum(view, kind, block_id)
        for index in bad:
            self._reject_signature(index, now)
        if quorum is not None:
            certificate = Certificate(kind, self.epoch, view, block_id, quorum.bitmap, quorum.aggregate)
            self._accept(certificate, now, pass_on=True)

    # ------------------------------------------------------------ certificates

    def on_certificate(self, sender: BlsKey, certificate: Certificate, now: Millis) -> bool:
        """A certificate of this epoch from anyone. Whether what it says is proven, by it or already."""
        if self._settled.is_known(certificate):
            return True
        if certificate.view <= self.last_final_view:
            return False
        if self._courtesy.is_recent(sender, "bad-certificate", now, self.pace.delta_ms):
            return False
        try:
            verify_certificate(certificate, self._set, self._network, self._scheme)
        except InvalidCertificate as error:
            # Verifying costs more than forging: who sent a bad one waits before the next is looked at.
            self._courtesy.allows(sender, "bad-certificate", now, 0)
            self._out.emit(Reject(sender, f"certificate: {error.reason}"))
            return False
        self._accept(certificate, now, pass_on=certificate.kind == FINALIZE or certificate.view >= self.view)
        return True

    def _accept(self, certificate: Certificate, now: Millis, *, pass_on: bool) -> None:
        """Store a verified certificate, pass it on, and do what follows from it."""
        kind, view = certificate.kind, certificate.view
        if self._settled.is_contradicted_by(certificate):
            self._out.emit(Halt(f"two blocks certified in epoch {self.epoch}, view {view}: more than f are Byzantine"))
            return
        self._check_journal(certificate)
        self._out.persist(StoredCertificate(certificate))
        self._settled.add(certificate)
        if pass_on:
            self._out.broadcast(self._others, certificate)
        if kind == NOTARIZE:
            self.pace.view_notarized()
            if not self._settled.is_nullified(view):
                self._vote_finalize(view, certificate.block_id, now)
        elif kind == NULLIFY:
            self.pace.view_nullified()
        else:
            self._resend.finalized(now)
            self.final.append(certificate.block_id)
            self._tally.forget_below(View(view + 1))
        if view >= self.view:
            self._enter(View(view + 1), certificate, now)
        else:
            self._try_propose(now)
            self._consider(now)

    def _check_journal(self, certificate: Certificate) -> None:
        """A certificate that bears this validator's bit for a vote that its journal lacks: the journal was lost."""
        if self._me is None or self.muted or self._me not in decode_bitmap(certificate.bitmap, len(self._keys)):
            return
        if not self._own.backs(certificate.kind, certificate.view, certificate.block_id):
            self.muted = True
            self._out.persist(Muted(self._keys[self._me]))

    def signers(self, certificate: Certificate) -> tuple[BlsKey, ...]:
        """Who signed a verified certificate, this validator left out."""
        indices = decode_bitmap(certificate.bitmap, len(self._keys))
        return tuple(self._keys[i] for i in indices if i != self._me)

    def _enter(self, view: View, lead_in: Certificate, now: Millis) -> None:
        assert view > self.view
        self.view = view
        self._resend.lead_in = lead_in
        self._proposal = None
        self._refused = False
        self._bodies_asked = None
        self._bodies_held = False
        self._early_until_ms = None
        self._wanted.clear()
        self._proposer.enter()
        self.pace.enter(now)
        self._try_propose(now)
        self._join_nullify(now)

    # ------------------------------------------------------------ lost messages

    def on_request(self, sender: BlsKey, request: CertificatesRequest, now: Millis) -> None:
        """A peer lacks certificates from a view on."""
        self._resend.answer_request(sender, request, now)

    def forget(self) -> list[bytes]:
        """Journal keys below the last final view, whose votes and certificates nothing needs any more.

        The newest finalization stays, and with it the proof that a proposal on that block needs.
        """
        return [*self._own.forget(self.last_final_view), *self._settled.forget(self.last_final_view)]

    def forget_all(self) -> list[bytes]:
        """Journal keys of all votes and certificates of this epoch, once its closing certificate is stored."""
        return [*self._own.forget(END_VIEW), *self._settled.forget(END_VIEW)]
