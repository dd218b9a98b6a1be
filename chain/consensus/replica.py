# SPDX-License-Identifier: Apache-2.0
"""One validator's view of the vote within one epoch: Simplex, without IO, clock, randomness or threads.

What it must never do stands in two guards and nowhere else: `_vote_notarize` (one block a view) and the pair
`_vote_nullify` / `_vote_finalize` (never both in a view). Everything else is liveness.

Source: Simplex Consensus (Chan and Pass, IACR ePrint 2023/463); docs/protocol.md, section 3.
"""

from dataclasses import dataclass

from chain.certificate import Certificate, SignatureScheme, decode_bitmap, verify_certificate
from chain.checkpoint import ValidatorSet
from chain.consensus.block import Block
from chain.consensus.blocktree import BlockTree
from chain.consensus.events import EvidenceFound, Halt, Reject, RequestBodies, RequestPayload
from chain.consensus.journal import Durable, Muted, OwnVote, StoredBlock, StoredCertificate
from chain.consensus.messages import (
    CERTIFICATES_MAX,
    NULLIFICATIONS_MAX,
    Certificates,
    CertificatesRequest,
    Proposal,
    Vote,
)
from chain.consensus.outbox import Courtesy, Outbox
from chain.consensus.pace import Pace, Timing
from chain.consensus.signer import Signer
from chain.consensus.tally import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, VIEWS_AHEAD_MAX, VIEWS_BEHIND_MAX, Tally
from chain.errors import InvalidCertificate
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, BlsKey, Digest, Epoch, Height, Millis, Network, View, faults_max

CERTIFIED_GAP_MAX = 64
"""Above this many heights over the newest certified one, leaders propose empty blocks until execution catches up."""
FIRST_VIEW = View(1)
ROOT_VIEW = View(0)
FINALIZE_REBROADCAST_MAX = 64


@dataclass(frozen=True, slots=True)
class Root:
    """The block that an epoch starts on: the former epoch's closing block, or genesis. It counts as view 0."""

    block_id: BlockId
    height: Height
    time_ms: Millis


class Replica:
    """Votes in one epoch. The caller feeds it messages of this epoch only, and drains the outbox after each call.

    Attributes:
        final: Ids of blocks that became final, for the caller to take.
        stopped: The closing block is executed: no new vote or proposal, answers and rebroadcasts go on.
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
        self._n = len(self._keys)
        self._me = self._keys.index(key) if key in self._keys else None
        self._others = tuple(k for k in self._keys if k != key)
        self._root = root
        self._tree = tree
        self._signer = signer
        self._scheme = scheme
        self._out = outbox
        self._courtesy = courtesy
        self._tally = Tally(network, validators, scheme)
        self.pace = Pace(timing, faults_max(self._n))
        self.view = FIRST_VIEW
        self.stopped = False
        self.muted = muted
        self.final: list[BlockId] = []
        self.certified_height = root.height
        self._lead_in: Certificate | None = None
        self._notarized: dict[View, Certificate] = {}
        self._nullified: dict[View, Certificate] = {}
        self._finalization: Certificate | None = None
        self._superseded: list[bytes] = []
        self._finalized_ms = Millis(0)
        self._own: dict[tuple[View, pb.Kind.ValueType], Vote] = {}
        self._voted_ms: dict[View, Millis] = {}
        self._proposal: Proposal | None = None
        self._proposal_from: BlsKey | None = None
        self._bodies_asked: BlockId | None = None
        self._early_until_ms: Millis | None = None
        self._held: set[BlockId] = set()
        self._payload_asked = False
        self._payload_empty = False
        self._proposed: Proposal | None = None
        self._wanted: dict[BlockId, tuple[BlsKey, ...]] = {}
        self._accused: set[int] = set()
        self._nudge_ms = Millis(0)
        self._turn = 0
        self._restore(durable)

    def _restore(self, durable: Durable) -> None:
        """Take up where the journal says that this validator was. There is no second way to recover."""
        for certificate in sorted(
            (c for c in durable.certificates if c.epoch == self._set.epoch), key=lambda c: (c.view, c.kind)
        ):
            self._index(certificate)
            if certificate.view >= self.view:
                self.view = View(certificate.view + 1)
                self._lead_in = certificate
        for vote in durable.votes:
            if vote.epoch == self._set.epoch:
                self._own[vote.view, vote.kind] = vote
                if self._me is not None:
                    self._tally.add(self._me, vote)

    def _index(self, certificate: Certificate) -> None:
        if certificate.kind == NOTARIZE:
            self._notarized[certificate.view] = certificate
        elif certificate.kind == NULLIFY:
            self._nullified[certificate.view] = certificate
        elif self._finalization is None or certificate.view > self._finalization.view:
            if self._finalization is not None:
                self._superseded.append(StoredCertificate(self._finalization).key)
            self._finalization = certificate

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
        return self._finalization.view if self._finalization is not None else ROOT_VIEW

    @property
    def finalization(self) -> Certificate | None:
        """The newest finalization."""
        return self._finalization

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
        return self._keys[view % self._n]

    def signers(self, certificate: Certificate) -> tuple[BlsKey, ...]:
        """Who signed a verified certificate, this validator left out."""
        indices = decode_bitmap(certificate.bitmap, self._n)
        return tuple(self._keys[i] for i in indices if i != self._me)

    def deadline_ms(self) -> Millis:
        """When `tick` has something to do next."""
        times = [self._nudge_ms]
        if self.is_voting and (self.view, NULLIFY) not in self._own:
            times.append(self.pace.view_deadline_ms if self._has_proposal() else self.pace.leader_deadline_ms)
        if self._may_propose():
            times.append(self._propose_at_ms())
        if self._early_until_ms is not None:
            times.append(self._early_until_ms)
        return min(times)

    # ------------------------------------------------------------ events

    def start(self, now: Millis) -> None:
        """Begin, or begin again after a restart: count own votes, say where this validator stands."""
        self.pace.enter(now)
        self._nudge_ms = Millis(now + 2 * self.pace.delta_ms)
        if self._finalization is not None:
            self._finalized_ms = now
            self.final.append(self._finalization.block_id)
        self._rebuild_proposal()
        self._resend_view()
        self._try_propose(now)
        if self.is_voting and self._me is not None:
            for (view, kind), vote in sorted(self._own.items()):
                if view > self.last_final_view:
                    self._try_certify(view, kind, vote.block_id, now)

    def tick(self, now: Millis) -> None:
        """Time has passed."""
        if self.is_voting and (self.view, NULLIFY) not in self._own:
            expired = now >= self.pace.view_deadline_ms
            leaderless = now >= self.pace.leader_deadline_ms and not self._has_proposal()
            if expired or leaderless:
                self._vote_nullify(now)
        self._try_propose(now)
        self._consider(now)
        if now >= self._nudge_ms:
            self._nudge(now)

    def set_pending(self, pending: bool, now: Millis) -> None:
        """Transactions came in, or none is left to order."""
        self.pace.set_pending(pending, now)
        if pending:
            self._payload_empty = False
        self._try_propose(now)

    def stop(self) -> None:
        """The closing block is executed: the rest of the epoch is void."""
        self.stopped = True

    def offer_payload(self, view: View, digests: tuple[Digest, ...], now: Millis) -> None:
        """The driver's answer to `RequestPayload`."""
        if view != self.view or not self._payload_asked:
            return
        self._payload_asked = False
        if digests:
            self._propose(digests, now)
        else:
            self._payload_empty = True
            self._try_propose(now)

    def bodies_held(self, block_id: BlockId, now: Millis) -> None:
        """The driver holds a block's transactions, verified."""
        if self._bodies_asked == block_id:
            self._held.add(block_id)
            self._consider(now)

    def bodies_refused(self, block_id: BlockId, reason: str, now: Millis) -> None:
        """A block's transactions break a rule."""
        if self._bodies_asked == block_id and self._proposal is not None and self._proposal.block.id == block_id:
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
            self._answer_old(sender, block.view, now)
            return
        reason = self._malformed(sender, proposal)
        if reason is not None:
            self._out.emit(Reject(sender, reason))
            return
        carried = proposal.nullifications if proposal.parent is None else (proposal.parent, *proposal.nullifications)
        # Each certificate is verified here or was before; nothing at or below the last final view is taken on trust.
        for certificate in carried:
            if not self.on_certificate(sender, certificate, now):
                return
        if self.view != block.view or self._proposal is not None:
            return
        if (self.view, NULLIFY) in self._own:
            self.pace.proposal_was_late()
        self._proposal = proposal
        self._proposal_from = sender
        self._consider(now)

    def _malformed(self, sender: BlsKey, proposal: Proposal) -> str | None:
        """What is wrong with a proposal, by its shape alone."""
        block, parent = proposal.block, proposal.parent
        if sender != self.leader(block.view):
            return f"proposal for view {block.view} from another than its leader"
        if parent is None:
            parent_view, parent_id = ROOT_VIEW, self._root.block_id
        else:
            parent_view, parent_id = parent.view, parent.block_id
            if parent.epoch != self.epoch or parent.kind not in {NOTARIZE, FINALIZE} or parent.view >= block.view:
                return "proposal whose parent certificate is of another kind, epoch or a later view"
        if block.parent_id != parent_id:
            return "proposal whose certificate is not its parent's"
        if parent_view < self.last_final_view:
            return "proposal that leaves out a final block"
        skipped = range(parent_view + 1, block.view)
        if len(skipped) != len(proposal.nullifications) or len(skipped) > NULLIFICATIONS_MAX:
            return "proposal without a nullification for each skipped view"
        for view, nullification in zip(skipped, proposal.nullifications, strict=True):
            if (nullification.kind, nullification.epoch, nullification.view) != (NULLIFY, self.epoch, view):
                return f"proposal without the nullification of view {view}"
        return None

    def _has_proposal(self) -> bool:
        return self._proposal is not None or (self.view, NOTARIZE) in self._own

    def _parent_of(self, block: Block) -> Root | Block | None:
        return self._root if block.parent_id == self._root.block_id else self._tree.get(block.parent_id)

    def _consider(self, now: Millis) -> None:
        """Vote for the current view's proposal as soon as everything that the vote asserts is known."""
        proposal = self._proposal
        if proposal is None or not self.is_voting or (self.view, NOTARIZE) in self._own:
            return
        block = proposal.block
        self._early_until_ms = None
        parent = self._parent_of(block)
        if parent is None:
            assert self._proposal_from is not None
            self._want(block.parent_id, (self._proposal_from,))
            return
        if block.height != parent.height + 1:
            self._refuse_proposal("a height that is not its parent's plus one", now)
        elif block.time_ms <= parent.time_ms:
            self._refuse_proposal("a time not later than its parent's", now)
        elif block.time_ms < now - self._timing.late_ms_max:
            self._refuse_proposal("a time too far behind the local clock", now)
        elif block.time_ms > now + self._timing.early_ms_max:
            # A slightly early one waits; the view's deadline bounds how long.
            self._early_until_ms = Millis(block.time_ms - self._timing.early_ms_max)
        elif block.digests and block.id not in self._held:
            if self._bodies_asked != block.id:
                self._bodies_asked = block.id
                self._tree.add(block)
                leader = self.leader(block.view)
                self._out.emit(RequestBodies(block, (leader, *(k for k in self._others if k != leader))))
        else:
            self._vote_notarize(block, now)

    def _refuse_proposal(self, reason: str, now: Millis) -> None:
        assert self._proposal_from is not None
        self._out.emit(Reject(self._proposal_from, f"proposal with {reason}"))
        self._vote_nullify(now)

    # ------------------------------------------------------------ proposing

    def _may_propose(self) -> bool:
        return (
            self.is_voting
            and self._me is not None
            and self._keys[self._me] == self.leader(self.view)
            and not self._has_proposal()
            and (self.view, NULLIFY) not in self._own
            and not self._payload_asked
        )

    def _propose_at_ms(self) -> Millis:
        parent = self._newest_parent()
        if parent is None:
            return self._nudge_ms
        block = parent[0]
        if not self.pace.pending or self._payload_empty or self._is_ahead(block):
            return self.pace.empty_proposal_at_ms()
        return self.pace.proposal_at_ms(block.time_ms, self.pace.entered_ms)

    def _is_ahead(self, parent: Root | Block) -> bool:
        return parent.height + 1 > self.certified_height + CERTIFIED_GAP_MAX

    def _newest_parent(self) -> tuple[Root | Block, Certificate | None, tuple[Certificate, ...]] | None:
        """The newest notarized block with what a proposal on it must carry, or None while something is missing."""
        best: Certificate | None = self._finalization
        for view in sorted(self._notarized, reverse=True):
            if view < self.view:
                if best is None or view > best.view:
                    best = self._notarized[view]
                break
        block = self._root if best is None else self._tree.get(best.block_id)
        if block is None:
            assert best is not None
            self._want(best.block_id, self.signers(best))
            return None
        after = ROOT_VIEW if best is None else best.view
        skipped = [self._nullified.get(View(view)) for view in range(after + 1, self.view)]
        nullifications = tuple(c for c in skipped if c is not None)
        if len(nullifications) != len(skipped):
            return None
        return block, best, nullifications

    def _try_propose(self, now: Millis) -> None:
        if not self._may_propose() or now < self._propose_at_ms():
            return
        parent = self._newest_parent()
        if parent is None:
            return
        block = parent[0]
        if not self.pace.pending or self._payload_empty or self._is_ahead(block):
            self._propose((), now)
            return
        self._payload_asked = True
        self._out.emit(RequestPayload(self.epoch, self.view, self._time_on(block, now), self._ancestors(block)))

    def _ancestors(self, block: Root | Block) -> tuple[Block, ...]:
        """The block and those below it that may not be executed yet, as far as they are known."""
        found: list[Block] = []
        current: Block | None = block if isinstance(block, Block) else None
        while current is not None and current.height + CERTIFIED_GAP_MAX >= block.height:
            found.append(current)
            current = self._tree.get(current.parent_id)
        return tuple(found)

    @staticmethod
    def _time_on(parent: Root | Block, now: Millis) -> Millis:
        return max(now, Millis(parent.time_ms + 1))

    def _propose(self, digests: tuple[Digest, ...], now: Millis) -> None:
        parent = self._newest_parent()
        if parent is None or self._has_proposal() or not self.is_voting or (self.view, NULLIFY) in self._own:
            return
        below, certificate, nullifications = parent
        block = Block.make(
            self.epoch, self.view, Height(below.height + 1), below.block_id if isinstance(below, Root) else below.id,
            self._time_on(below, now), digests,
        )  # fmt: skip
        self._proposed = Proposal(block, certificate, nullifications)
        self._proposal = self._proposed
        self._held.add(block.id)
        self._out.broadcast(self._others, self._proposed)
        self._vote_notarize(block, now)

    def _rebuild_proposal(self) -> None:
        """After a restart, a leader that has voted for its own block sends the same proposal again, never another."""
        vote = self._own.get((self.view, NOTARIZE))
        if vote is None or self._me is None or self.leader(self.view) != self._keys[self._me]:
            return
        block = self._tree.get(vote.block_id)
        parent = self._newest_parent()
        if block is not None and parent is not None:
            parent_id = parent[0].block_id if isinstance(parent[0], Root) else parent[0].id
            if parent_id == block.parent_id:
                self._proposed = Proposal(block, parent[1], parent[2])

    # ------------------------------------------------------------ own votes: the two guards

    def _vote_notarize(self, block: Block, now: Millis) -> None:
        assert block.view == self.view
        if (self.view, NOTARIZE) in self._own or not self.is_voting:
            return
        self._tree.add(block)
        # Durable first: the block with its transactions, and the vote. A crash after this line votes the same again.
        self._out.persist(StoredBlock(block))
        self._cast(NOTARIZE, self.view, block.id, now)

    def _vote_nullify(self, now: Millis) -> None:
        if not self.is_voting or (self.view, NULLIFY) in self._own or (self.view, FINALIZE) in self._own:
            return
        self._cast(NULLIFY, self.view, NO_BLOCK, now)

    def _vote_finalize(self, view: View, block_id: BlockId, now: Millis) -> None:
        if not self.is_voting or (view, NULLIFY) in self._own or (view, FINALIZE) in self._own:
            return
        self._cast(FINALIZE, view, block_id, now)

    def _cast(self, kind: pb.Kind.ValueType, view: View, block_id: BlockId, now: Millis) -> None:
        assert self._me is not None
        assert self._signer is not None
        assert (view, kind) not in self._own
        vote = Vote(kind, self.epoch, view, block_id, self._signer.sign_vote(kind, self.epoch, view, block_id))
        self._own[view, kind] = vote
        self._voted_ms[view] = now
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
        index = self._keys.index(sender)
        if vote.view <= self.last_final_view:
            if now >= self._finalized_ms + self.pace.delta_ms and self._finalization is not None:
                self._answer(sender, "finalization", self._finalization, now)
            return
        if vote.view > self.view + 1 or (vote.view > self.view and now > self.pace.entered_ms + self.pace.delta_ms):
            self._ask_certificates(sender, now)
        elif vote.view < self.view:
            self._answer_old(sender, vote.view, now)
        if not self.view - VIEWS_BEHIND_MAX <= vote.view <= self.view + VIEWS_AHEAD_MAX:
            return
        if self._tally.has(index, vote):
            return
        conflicting = self._tally.conflict(index, vote)
        if conflicting is not None:
            self._accuse(index, conflicting, vote)
            return
        if self._tally.get(vote.view, vote.kind, index) is not None:
            return
        if not self._tally.is_acceptable(index, vote):
            self._out.emit(Reject(sender, "vote whose signature does not verify"))
            return
        self._tally.add(index, vote)
        self._try_certify(vote.view, vote.kind, vote.block_id, now)
        if vote.kind == NULLIFY and vote.view == self.view and self._should_join(vote.view, sender):
            self._vote_nullify(now)

    def _should_join(self, view: View, sender: BlsKey | None = None) -> bool:
        """Whether to nullify because others do: f+1 of them, or the leader itself."""
        return sender == self.leader(view) or self._tally.count(view, NULLIFY) > faults_max(self._n)

    def _accuse(self, index: int, first: Vote, second: Vote) -> None:
        """Two votes that no honest member makes; evidence once per member and epoch."""
        if index in self._accused:
            return
        evidence = self._tally.evidence(index, first, second)
        if evidence is None:
            self._out.emit(Reject(self._keys[index], "vote whose signature does not verify"))
            return
        self._accused.add(index)
        self._out.emit(EvidenceFound(self._keys[index], evidence))

    def _try_certify(self, view: View, kind: pb.Kind.ValueType, block_id: BlockId, now: Millis) -> None:
        if self._holds(kind, view):
            return
        quorum, bad = self._tally.quorum(view, kind, block_id)
        for index in bad:
            self._out.emit(Reject(self._keys[index], "vote whose signature does not verify"))
        if quorum is not None:
            self._accept(
                Certificate(kind, self.epoch, view, block_id, quorum.bitmap, quorum.aggregate), now, pass_on=True
            )

    # ------------------------------------------------------------ certificates

    def _holds(self, kind: pb.Kind.ValueType, view: View) -> bool:
        if view <= self.last_final_view:
            return True
        return view in (self._notarized if kind == NOTARIZE else self._nullified) and kind != FINALIZE

    def on_certificate(self, sender: BlsKey, certificate: Certificate, now: Millis) -> bool:
        """A certificate of this epoch from anyone. Whether it holds, known already or not."""
        kind, view = certificate.kind, certificate.view
        if view <= self.last_final_view:
            # Settled. What names the final block itself is proven by the finalization; the rest proves nothing here.
            final = self._finalization
            return (
                kind != NULLIFY and final is not None and (view, certificate.block_id) == (final.view, final.block_id)
            )
        if kind != FINALIZE:
            known = (self._notarized if kind == NOTARIZE else self._nullified).get(view)
            if known is not None and known.block_id == certificate.block_id:
                return True
        try:
            verify_certificate(certificate, self._set, self._network, self._scheme)
        except InvalidCertificate as error:
            self._out.emit(Reject(sender, f"certificate: {error.reason}"))
            return False
        self._accept(certificate, now, pass_on=kind == FINALIZE or view >= self.view)
        return True

    def _accept(self, certificate: Certificate, now: Millis, *, pass_on: bool) -> None:
        """Store a verified certificate, pass it on, and do what follows from it."""
        kind, view = certificate.kind, certificate.view
        settled = self._notarized.get(view)
        if kind != NULLIFY and settled is not None and settled.block_id != certificate.block_id:
            self._out.emit(Halt(f"two blocks certified in epoch {self.epoch}, view {view}: more than f are Byzantine"))
            return
        self._check_journal(certificate)
        self._out.persist(StoredCertificate(certificate))
        self._index(certificate)
        if pass_on:
            self._out.broadcast(self._others, certificate)
        if kind == NOTARIZE:
            self.pace.view_notarized()
            if view not in self._nullified:
                self._vote_finalize(view, certificate.block_id, now)
        elif kind == NULLIFY:
            self.pace.view_nullified()
        elif self._finalization == certificate:
            self._finalized_ms = now
            self.final.append(certificate.block_id)
            self._tally.forget_below(View(view + 1))
        if view >= self.view:
            self._enter(View(view + 1), certificate, now)
        else:
            self._try_propose(now)

    def _check_journal(self, certificate: Certificate) -> None:
        """A certificate that bears this validator's bit for a vote that its journal lacks: the journal was lost."""
        if self._me is None or self.muted or self._me not in decode_bitmap(certificate.bitmap, self._n):
            return
        own = self._own.get((certificate.view, certificate.kind))
        if own is None or own.block_id != certificate.block_id:
            self.muted = True
            self._out.persist(Muted(self.epoch))

    def _enter(self, view: View, lead_in: Certificate, now: Millis) -> None:
        assert view > self.view
        self.view = view
        self._lead_in = lead_in
        self._proposal = None
        self._proposal_from = None
        self._proposed = None
        self._bodies_asked = None
        self._early_until_ms = None
        self._held.clear()
        self._wanted.clear()
        self._payload_asked = False
        self._payload_empty = False
        self.pace.enter(now)
        self._try_propose(now)
        if self._should_join(view):
            self._vote_nullify(now)

    # ------------------------------------------------------------ lost messages

    def on_request(self, sender: BlsKey, request: CertificatesRequest, now: Millis) -> None:
        """A peer lacks certificates from a view on: notarizations and nullifications, ascending, in a bounded batch."""
        if not self._courtesy.allows(sender, "certificates", now, self.pace.delta_ms // 2):
            return
        found = [c for store in (self._notarized, self._nullified) for v, c in store.items() if v >= request.from_view]
        found.sort(key=lambda c: (c.view, c.kind))
        first = [self._finalization] if self._finalization is not None else []
        self._out.send(sender, Certificates(tuple([*first, *found][:CERTIFICATES_MAX])))

    def _ask_certificates(self, peer: BlsKey, now: Millis) -> None:
        if self._courtesy.allows(peer, "ask-certificates", now, self.pace.delta_ms):
            self._out.send(peer, CertificatesRequest(self.epoch, self._first_hole()))

    def _first_hole(self) -> View:
        """The first view above the last final one for which no certificate is held; the current one if none is."""
        for view in range(self.last_final_view + 1, self.view):
            if view not in self._notarized and view not in self._nullified:
                return View(view)
        return self.view

    def _answer_old(self, sender: BlsKey, view: View, now: Millis) -> None:
        """A message of a past view. Right after the view's end that is mere delay; later, its sender is behind."""
        if self._lead_in is None or (view == self.view - 1 and now < self.pace.entered_ms + self.pace.delta_ms):
            return
        self._answer(sender, "lead-in", self._lead_in, now)

    def _answer(self, sender: BlsKey, topic: str, certificate: Certificate, now: Millis) -> None:
        if self._courtesy.allows(sender, topic, now, self.pace.delta_ms // 2):
            self._out.send(sender, certificate)

    def _want(self, block_id: BlockId, peers: tuple[BlsKey, ...]) -> None:
        self._wanted.setdefault(block_id, peers)

    def _nudge(self, now: Millis) -> None:
        """Send again what may have been lost, at a bounded pace."""
        patience = 2 * self.pace.delta_ms
        self._nudge_ms = Millis(now + patience)
        idle = 0 if self.pace.pending else self._timing.idle_interval_ms
        if now >= self.pace.entered_ms + patience + idle:
            self._resend_view()
        late = [
            vote
            for (view, kind), vote in sorted(self._own.items())
            if kind == FINALIZE and view > self.last_final_view and now >= self._voted_ms.get(view, now) + patience
        ]
        for vote in late[-FINALIZE_REBROADCAST_MAX:]:
            self._out.broadcast(self._others, vote)
        for view, _ in sorted(self._own):
            self._voted_ms.setdefault(view, now)
        if self._others and self._first_hole() < self.view:
            self._turn += 1
            self._ask_certificates(self._others[self._turn % len(self._others)], now)

    def _resend_view(self) -> None:
        if self._lead_in is not None:
            self._out.broadcast(self._others, self._lead_in)
        if self._proposed is not None:
            self._out.broadcast(self._others, self._proposed)
        for (view, _), vote in sorted(self._own.items()):
            if view == self.view:
                self._out.broadcast(self._others, vote)

    # ------------------------------------------------------------ forgetting

    def forget(self) -> list[bytes]:
        """Journal keys below the last final view, whose votes and certificates nothing needs any more.

        The newest finalization stays, and with it the proof that a proposal on that block needs. A restarted validator
        votes in the view after its newest certificate and later ones only, so it can't repeat a forgotten vote.
        """
        bound = self.last_final_view
        keys, self._superseded = self._superseded, []
        for view, kind in sorted(k for k in self._own if k[0] < bound):
            keys.append(OwnVote(self._own.pop((view, kind))).key)
            self._voted_ms.pop(view, None)
        for store in (self._notarized, self._nullified):
            keys.extend(StoredCertificate(store.pop(view)).key for view in sorted(v for v in store if v < bound))
        return keys
