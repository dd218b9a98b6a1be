# SPDX-License-Identifier: Apache-2.0
"""Signatures on what execution yielded, collected until a quorum certifies it.

A block that this validator executed differently shows here: as a certificate, or f+1 verified signatures, on another
checkpoint than its own. Then it stops instead of forking.

Source: docs/protocol.md, sections 3 (rebroadcast), 4 and 5.
"""

from chain.certificate import SignatureScheme, checkpoint_message, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.codec import encode
from chain.consensus.events import Certified, EvidenceFound, Halt, Reject
from chain.consensus.journal import Durable, NewestCheckpoint, OwnCheckpoint
from chain.consensus.messages import CheckpointVote
from chain.consensus.outbox import Courtesy, Outbox
from chain.consensus.signer import Signer
from chain.consensus.tally import aggregate_quorum, holds
from chain.errors import InvalidCertificate, InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.types import BlsKey, Height, Millis, Network, faults_max

HEIGHTS_PER_PEER_MAX = 128
"""Votes kept of one peer; a validator that lags further behind is served certificates instead."""
OWN_KEPT_BELOW = 64
"""Own checkpoints kept below the newest certified height, to recognise a late certificate that contradicts them."""


class Checkpoints:
    """The checkpoint signatures of one epoch's members, and the newest certified checkpoint of all."""

    def __init__(
        self,
        *,
        network: Network,
        key: BlsKey | None,
        durable: Durable,
        signer: Signer | None,
        scheme: SignatureScheme,
        outbox: Outbox,
        courtesy: Courtesy,
    ) -> None:
        self._network = network
        self._key = key
        self._signer = signer
        self._scheme = scheme
        self._out = outbox
        self._courtesy = courtesy
        self._set: ValidatorSet | None = None
        self._own: dict[Height, bytes] = {}
        self._signed: dict[Height, CheckpointVote] = dict(durable.checkpoints)
        self._signed_ms = Millis(0)
        self._votes: dict[int, dict[Height, CheckpointVote]] = {}
        self._suspects: set[int] = set()
        self._accused: set[int] = set()
        self._executed = Height(0)
        self._announced = Height(0)
        self._newest_ms = Millis(0)
        self.newest: tuple[CertifiedCheckpoint, Checkpoint] | None = None
        if durable.newest is not None:
            self.newest = (durable.newest, Checkpoint.decode(durable.newest.checkpoint))

    @property
    def certified_height(self) -> Height:
        """The newest certified height; 0 before the first."""
        return self.newest[1].height if self.newest is not None else Height(0)

    def enter(self, validators: ValidatorSet) -> None:
        """A new epoch begins: its members' signatures count from here."""
        self._set = validators
        self._votes.clear()
        self._suspects.clear()
        self._accused.clear()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Start at the block that was executed last, before anything of it is signed anew."""
        self._executed = checkpoint.height
        self._own[checkpoint.height] = checkpoint.encode()

    # ------------------------------------------------------------ own signatures

    def executed(self, checkpoint: Checkpoint, now: Millis) -> None:
        """This validator executed a block: sign what it yielded, at most once per height, durably before sending."""
        raw = checkpoint.encode()
        self._own[checkpoint.height] = raw
        self._executed = max(self._executed, checkpoint.height)
        before = self._signed.get(checkpoint.height)
        if before is not None and before.checkpoint != raw:
            self._out.emit(Halt(f"executing block {checkpoint.height} again yielded another checkpoint"))
            return
        if self._diverges(checkpoint.height):
            return
        self._sign(checkpoint, raw, now)
        self._announce()

    def _sign(self, checkpoint: Checkpoint, raw: bytes, now: Millis) -> None:
        validators = self._set
        if (
            self._signer is None
            or validators is None
            or self._key not in validators.keys
            or checkpoint.epoch != validators.epoch
            or checkpoint.height <= self.certified_height
        ):
            return
        vote = self._signed.get(checkpoint.height)
        if vote is None:
            vote = CheckpointVote(raw, self._signer.sign_checkpoint(raw))
            self._out.persist(OwnCheckpoint(checkpoint.height, vote))
            self._signed[checkpoint.height] = vote
        self._signed_ms = now
        self._out.broadcast(self._others(validators), vote)
        self._votes.setdefault(validators.keys.index(self._key), {})[checkpoint.height] = vote
        self._try_certify(checkpoint.height, raw, now)

    def _others(self, validators: ValidatorSet) -> tuple[BlsKey, ...]:
        return tuple(key for key in validators.keys if key != self._key)

    def nudge(self, now: Millis, patience_ms: int) -> None:
        """Send one's newest signature again until a certificate covers it."""
        newest = max(self._signed, default=None)
        if newest is None or newest <= self.certified_height or now < self._signed_ms + patience_ms:
            return
        if self._set is not None and self._key in self._set.keys:
            self._signed_ms = now
            self._out.broadcast(self._others(self._set), self._signed[newest])

    # ------------------------------------------------------------ others' signatures

    def on_vote(self, sender: BlsKey, vote: CheckpointVote, checkpoint: Checkpoint, now: Millis, gap_ms: int) -> None:
        """A member's signature, of the current epoch, on its own connection; `checkpoint` is its content."""
        validators = self._set
        if validators is None or sender not in validators.keys or checkpoint.network != self._network:
            self._out.emit(Reject(sender, "checkpoint signature from outside the set, or for another network"))
            return
        if checkpoint.height <= self.certified_height:
            self._answer(sender, now, gap_ms)
            return
        if self._courtesy.is_recent(sender, "bad-checkpoint", now, gap_ms):
            return
        index = validators.keys.index(sender)
        votes = self._votes.setdefault(index, {})
        before = votes.get(checkpoint.height)
        if before is not None:
            if before.checkpoint != vote.checkpoint:
                self._accuse(index, before, vote, now)
            return
        if index in self._suspects and not self._holds(index, vote):
            self._reject(sender, "checkpoint signature that does not verify", now)
            return
        votes[checkpoint.height] = vote
        if len(votes) > HEIGHTS_PER_PEER_MAX:
            # The newest is what its author sends again; older ones it may have covered by a certificate long since.
            del votes[min(votes)]
        self._try_certify(checkpoint.height, vote.checkpoint, now)
        self._diverges(checkpoint.height)

    def _answer(self, sender: BlsKey, now: Millis, gap_ms: int) -> None:
        if self.newest is None or now < self._newest_ms + gap_ms:
            return
        if self._courtesy.allows(sender, "checkpoint", now, gap_ms):
            self._out.send(sender, self.newest[0])

    def _holds(self, index: int, vote: CheckpointVote) -> bool:
        assert self._set is not None
        message = checkpoint_message(self._network, vote.checkpoint)
        return holds(self._scheme, self._set.keys[index], message, vote.signature)

    def _reject(self, sender: BlsKey, reason: str, now: Millis) -> None:
        # Checking costs more than forging: what else this peer sends waits before it is looked at.
        self._courtesy.allows(sender, "bad-checkpoint", now, 0)
        self._out.emit(Reject(sender, reason))

    def _accuse(self, index: int, first: CheckpointVote, second: CheckpointVote, now: Millis) -> None:
        """Two checkpoints at one height, both signed: evidence, once per member and epoch."""
        assert self._set is not None
        if index in self._accused:
            return
        for vote in (first, second):
            if not self._holds(index, vote):
                self._suspects.add(index)
                self._reject(self._set.keys[index], "checkpoint signature that does not verify", now)
                return
        self._accused.add(index)
        votes = [pb.CheckpointVote(checkpoint=v.checkpoint, signature=v.signature) for v in (first, second)]
        key = self._set.keys[index]
        self._out.emit(EvidenceFound(key, encode(pb.Evidence(bls_key=key, checkpoint_votes=votes))))

    def _matching(self, height: Height, raw: bytes) -> dict[int, bytes]:
        return {
            index: votes[height].signature
            for index, votes in sorted(self._votes.items())
            if height in votes and votes[height].checkpoint == raw
        }

    def _try_certify(self, height: Height, raw: bytes, now: Millis) -> None:
        assert self._set is not None
        signatures = self._matching(height, raw)
        if len(signatures) < self._set.quorum or height <= self.certified_height:
            return
        quorum, bad = aggregate_quorum(self._scheme, self._set, checkpoint_message(self._network, raw), signatures)
        for index in bad:
            self._suspects.add(index)
            del self._votes[index][height]
            self._reject(self._set.keys[index], "checkpoint signature that does not verify", now)
        if quorum is not None:
            self.take(CertifiedCheckpoint(raw, quorum.bitmap, quorum.aggregate), Checkpoint.decode(raw), now)

    # ------------------------------------------------------------ certificates

    def on_certified(
        self, sender: BlsKey, certified: CertifiedCheckpoint, validators: ValidatorSet, now: Millis, gap_ms: int
    ) -> Checkpoint | None:
        """A certified checkpoint from anyone, of an epoch whose set is known; its content if it holds and is news."""
        if not self._is_news(certified) or self._courtesy.is_recent(sender, "bad-checkpoint", now, gap_ms):
            return None
        try:
            checkpoint = verify_checkpoint(certified, validators, self._network, self._scheme)
        except (InvalidCertificate, InvalidMessage) as error:
            self._reject(sender, f"checkpoint: {error.reason}", now)
            return None
        self.take(certified, checkpoint, now)
        return checkpoint

    def _is_news(self, certified: CertifiedCheckpoint) -> bool:
        """Whether it is worth verifying: above what is certified, or other than what was executed here."""
        height = Checkpoint.decode(certified.checkpoint).height
        return height > self.certified_height or self._own.get(height, certified.checkpoint) != certified.checkpoint

    def take(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint, now: Millis) -> None:
        """Take in a verified certificate: the newest stays, one that contradicts what was executed here halts."""
        own = self._own.get(checkpoint.height)
        if own is not None and own != certified.checkpoint:
            self._halt(checkpoint.height, "a certificate")
            return
        if checkpoint.height <= self.certified_height:
            return
        self.newest = (certified, checkpoint)
        self._newest_ms = now
        self._out.persist_lazily(NewestCheckpoint(certified))
        for votes in self._votes.values():
            for height in sorted(h for h in votes if h <= checkpoint.height):
                del votes[height]
        self._announce()

    def _announce(self) -> None:
        """Tell the driver of a certificate once its block is executed here and found equal."""
        if self.newest is None:
            return
        certified, checkpoint = self.newest
        if self._announced < checkpoint.height <= self._executed:
            own = self._own.get(checkpoint.height)
            assert own is None or own == certified.checkpoint
            self._announced = checkpoint.height
            self._out.emit(Certified(certified, checkpoint))

    def _diverges(self, height: Height) -> bool:
        """Whether others certified, or f+1 of them verifiably signed, another checkpoint than this validator's own."""
        own = self._own.get(height)
        if own is None or self._set is None:
            return False
        if self.newest is not None and self.newest[1].height == height and self.newest[0].checkpoint != own:
            self._halt(height, "a certificate")
            return True
        needed = faults_max(len(self._set.validators)) + 1
        different = [
            (index, votes[height])
            for index, votes in sorted(self._votes.items())
            if height in votes and votes[height].checkpoint != own
        ]
        if len(different) < needed or sum(1 for index, vote in different if self._holds(index, vote)) < needed:
            return False
        self._halt(height, f"{needed} validators' signatures")
        return True

    def _halt(self, height: Height, what: str) -> None:
        self._out.emit(Halt(f"block {height} executed here to another checkpoint than {what} says: this node diverged"))

    def forget(self) -> list[bytes]:
        """Journal keys of own signatures that a certificate covers."""
        covered = sorted(height for height in self._signed if height < self.certified_height)
        for height in sorted(h for h in self._own if h < self.certified_height - OWN_KEPT_BELOW):
            del self._own[height]
        return [OwnCheckpoint(height, self._signed.pop(height)).key for height in covered]
