# SPDX-License-Identifier: Apache-2.0
"""A target that hands one validator's core whatever a lying peer may send it, in any order and at any pace."""

from functools import cache

from google.protobuf.message import DecodeError

from chain.certificate import vote_message
from chain.checkpoint import Checkpoint, Validator, ValidatorSet
from chain.codec import decode, encode
from chain.consensus import events as ev
from chain.consensus.block import Block
from chain.consensus.journal import Durable
from chain.consensus.messages import decode_message
from chain.consensus.signer import LocalSigner
from chain.consensus.validator import Config
from chain.consensus.validator import Validator as Core
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Epoch, Height, Millis, Network, View, sha256
from sim.scheme import FakeScheme, FakeSecretKey

NETWORK = Network(sha256(b"fuzz"))
SECRETS = [FakeSecretKey(bytes([i])) for i in range(4)]
LIAR = 1
"""One of four, so the core owes everything that it promises; it leads views 1, 5, 9, …"""
MEMBERS = ValidatorSet(Epoch(1), tuple(Validator(s.public_key(), f"org-{i}") for i, s in enumerate(SECRETS)))
START_MS = Millis(1_000_000)
BODIES_BYTES_MAX = 1024 * 1024
MESSAGES_MAX = 32
STEPS_MAX = 2_000
"""Effects that one input may lead to; more would be a core that talks to itself."""
VOTES = {pb.KIND_NOTARIZE, pb.KIND_NULLIFY, pb.KIND_FINALIZE}


class _Driver:
    """Performs effects as a driver that never fails, and forgets what is sent."""

    def __init__(self) -> None:
        config = Config(NETWORK, SECRETS[0].public_key(), MEMBERS, START_MS)
        signer = LocalSigner(NETWORK, SECRETS[0])
        self.now = Millis(START_MS + 1)
        self.core = Core(config, Durable(), None, None, signer, FakeScheme())
        self._wake_at = self.now
        self._steps = 0

    def run(self, effects: list[ev.Effect]) -> None:
        waiting = list(effects)
        while waiting:
            self._steps += 1
            assert self._steps <= STEPS_MAX, "the core does not come to rest"
            effect = waiting.pop(0)
            match effect:
                case ev.WakeAt():
                    self._wake_at = effect.time_ms
                case ev.RequestPayload():
                    waiting += self.core.step(ev.PayloadOffered(effect.epoch, effect.view, ()), self.now)
                case ev.RequestBodies():
                    waiting += self.core.step(ev.BodiesHeld(effect.block.id), self.now)
                case ev.Execute():
                    waiting += self.core.step(_executed(effect.block), self.now)
                case ev.Halt():
                    raise AssertionError(f"one liar halted the core: {effect.reason}")
                case _:
                    pass

    def wait(self, milliseconds: int) -> None:
        """Let time pass, waking the core as it asked."""
        until = Millis(self.now + milliseconds)
        for _ in range(MESSAGES_MAX):
            if self._wake_at > until:
                break
            self.now = max(self.now, self._wake_at)
            self._wake_at = Millis(until + 1)
            self.run(self.core.step(ev.Wake(), self.now))
        self.now = until


def _executed(block: Block) -> ev.Executed:
    log_root, state_root = sha256(b"log"), sha256(b"state")
    checkpoint = Checkpoint(NETWORK, block.epoch, block.height, block.time_ms, block.id, 0, log_root, state_root, b"")
    return ev.Executed(checkpoint, None)


def step_core(data: bytes) -> None:
    """Each item of a `Bodies`: a byte of waiting time, then a message of the liar."""
    container = decode(pb.Bodies, data, BODIES_BYTES_MAX)
    driver = _Driver()
    driver.run(driver.core.start(driver.now))
    for item in container.transactions[:MESSAGES_MAX]:
        driver.wait(10 * item[0] if item else 0)
        try:
            message = decode_message(item[1:])
        except InvalidMessage:
            continue
        driver.run(driver.core.step(ev.Received(SECRETS[LIAR].public_key(), message), driver.now))
    driver.wait(10_000)
    assert driver.core.epoch == 1, "one liar alone closed an epoch"


def _signed(vote: pb.Vote) -> pb.Vote:
    """With the liar's own signature over what the vote says."""
    ballot = pb.Ballot()
    try:
        ballot.ParseFromString(vote.ballot)
    except DecodeError:
        return vote
    if vote.kind not in VOTES:
        return vote
    covered = vote_message(vote.kind, NETWORK, Epoch(ballot.epoch), View(ballot.view), BlockId(ballot.block_id))
    return pb.Vote(kind=vote.kind, ballot=vote.ballot, signature=SECRETS[LIAR].sign(covered))


def repair_steps(data: bytes) -> bytes:
    """Each message canonical, each vote signed by the liar."""
    container = pb.Bodies()
    try:
        container.ParseFromString(data)
    except DecodeError:
        return data
    repaired = []
    for item in container.transactions:
        message = pb.PeerMessage()
        try:
            message.ParseFromString(item[1:])
        except DecodeError:
            repaired.append(item)
            continue
        message.DiscardUnknownFields()
        if message.HasField("vote"):
            message.vote.CopyFrom(_signed(message.vote))
        repaired.append(item[:1] + encode(message))
    return encode(pb.Bodies(transactions=repaired))


@cache
def step_samples() -> list[bytes]:
    """The liar proposes, votes for it and against it, asks for everything, and claims to have moved on."""
    block = Block.make(Epoch(1), View(1), Height(1), BlockId(NETWORK), Millis(START_MS + 2), ())
    other = Block.make(Epoch(1), View(1), Height(1), BlockId(NETWORK), Millis(START_MS + 3), ())

    def vote(kind: pb.Kind.ValueType, view: int, block_id: bytes) -> pb.PeerMessage:
        ballot = encode(pb.Ballot(epoch=1, view=view, block_id=block_id))
        return pb.PeerMessage(vote=_signed(pb.Vote(kind=kind, ballot=ballot, signature=bytes(96))))

    checkpoint = _executed(block).checkpoint.encode()
    messages = [
        pb.PeerMessage(proposal=pb.Proposal(block=block.raw)),
        pb.PeerMessage(proposal=pb.Proposal(block=other.raw)),
        vote(pb.KIND_NOTARIZE, 1, block.id),
        vote(pb.KIND_NOTARIZE, 1, other.id),
        vote(pb.KIND_FINALIZE, 1, block.id),
        vote(pb.KIND_NULLIFY, 1, b""),
        vote(pb.KIND_NULLIFY, 9, b""),
        pb.PeerMessage(checkpoint_vote=pb.CheckpointVote(checkpoint=checkpoint, signature=bytes(96))),
        pb.PeerMessage(certificates_request=pb.CertificatesRequest(epoch=1, from_view=1)),
        pb.PeerMessage(closing_request=pb.ClosingRequest(from_epoch=1)),
        pb.PeerMessage(block_request=pb.BlockRequest(block_id=block.id)),
        pb.PeerMessage(block_response=pb.BlockResponse(block=block.raw)),
        pb.PeerMessage(moved=pb.Moved(epoch=2)),
    ]
    together = encode(pb.Bodies(transactions=[b"\x01" + encode(message) for message in messages]))
    apart = [encode(pb.Bodies(transactions=[b"\x80" + encode(message)])) for message in messages]
    return [together, *apart]
