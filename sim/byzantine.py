# SPDX-License-Identifier: Apache-2.0
"""Liars, as short wrappers of what an honest node sends.

A liar runs the honest code and has its own key; it rewrites, adds, drops. It can't speak under another's name: votes
count only on their author's connection.
"""

from collections.abc import Callable
from dataclasses import replace

from chain.certificate import Certificate
from chain.checkpoint import Checkpoint
from chain.consensus import messages
from chain.consensus.block import Block
from chain.consensus.messages import Message, Vote
from chain.consensus.signer import LocalSigner
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, BlsKey, Epoch, Millis, View, sha256
from sim.network import Keys, SimNetwork
from sim.node import SimNode
from sim.world import World

KEPT_CERTIFICATES = 32
Rewrite = Callable[[BlsKey, Message], Message | None]


def corrupt(node: SimNode, behaviour: str, world: World, network: SimNetwork, keys: Keys) -> list[SimNode]:
    """Make a node a liar; the further nodes that it runs under its key."""
    liar = _Liar(node, world, network, keys)
    rewrites: dict[str, Rewrite] = {
        "silent": liar.silent,
        "helpful-then-silent": liar.helpful_then_silent,
        "selective": liar.selective,
        "equivocate": liar.equivocate,
        "lying-votes": liar.lie,
        "withholding": liar.withhold,
        "wrong-checkpoints": liar.wrong_checkpoints,
        "twins": liar.pass_on,
        "forging": liar.forge,
    }
    node.outgoing = rewrites[behaviour]
    node.give = behaviour != "withholding"
    if behaviour != "twins":
        return []
    twin = SimNode(world, network, keys, f"{node.name}b", None)
    twin.outgoing = liar.pass_on
    return [twin]


class _Liar:
    def __init__(self, node: SimNode, world: World, network: SimNetwork, keys: Keys) -> None:
        self._node = node
        self._world = world
        self._network = network
        self._signer = LocalSigner(network.id, keys.secret)
        self._quiet_from = world.now + world.rng.randint(500, 6_000)
        self._forged: dict[tuple[int, int], Block] = {}
        self._certificates: list[Certificate] = []

    @staticmethod
    def pass_on(to: BlsKey, message: Message) -> Message | None:
        """Send as an honest node does."""
        del to
        return message

    @staticmethod
    def silent(to: BlsKey, message: Message) -> Message | None:
        """Say nothing."""
        del to, message
        return None

    def helpful_then_silent(self, to: BlsKey, message: Message) -> Message | None:
        """Help until one moment; then say nothing for good."""
        del to
        return message if self._world.now < self._quiet_from else None

    def selective(self, to: BlsKey, message: Message) -> Message | None:
        """Let a coin decide who hears what."""
        del to
        return message if self._world.rng.random() < 0.5 else None

    def withhold(self, to: BlsKey, message: Message) -> Message | None:
        """Propose, and give nobody blocks or ranges."""
        del to
        return None if isinstance(message, messages.BlockResponse | messages.Range) else message

    def equivocate(self, to: BlsKey, message: Message) -> Message | None:
        """Two blocks in each own view, and a vote for each, by halves."""
        if to[0] % 2 or self._world.rng.random() < 0.2:
            return message
        if isinstance(message, messages.Proposal):
            block = self._other(message.block)
            return replace(message, block=block)
        if isinstance(message, Vote) and message.kind != pb.KIND_NULLIFY:
            forged = self._forged.get((message.epoch, message.view))
            if forged is not None:
                return self._vote(message.kind, message, forged)
        return message

    def _other(self, block: Block) -> Block:
        """Another block for the same view."""
        forged = Block.make(
            block.epoch, block.view, block.height, block.parent_id, Millis(block.time_ms + 1), block.digests[1:]
        )
        return self._forged.setdefault((block.epoch, block.view), forged)

    def _vote(self, kind: pb.Kind.ValueType, vote: Vote, block: Block) -> Vote:
        signature = self._signer.sign_vote(kind, vote.epoch, vote.view, block.id)
        return Vote(kind, vote.epoch, vote.view, block.id, signature)

    def lie(self, to: BlsKey, message: Message) -> Message | None:
        """Bad signatures, made-up blocks, and a nullify beside each finalize."""
        if not isinstance(message, Vote):
            return message
        chance = self._world.rng.random()
        if chance < 0.3:
            return replace(message, signature=sha256(message.signature) * 3)
        if chance < 0.5 and message.kind != pb.KIND_NULLIFY:
            made_up = Block.make(message.epoch, message.view, 1, self._network.id, Millis(1), ())  # type: ignore[arg-type]
            return self._vote(message.kind, message, made_up)
        if chance < 0.8:
            signature = self._signer.sign_vote(pb.KIND_NULLIFY, message.epoch, message.view, b"")  # type: ignore[arg-type]
            nullify = Vote(pb.KIND_NULLIFY, message.epoch, message.view, b"", signature)  # type: ignore[arg-type]
            self._world.send(self._node.key, to, nullify)
        return message

    def forge(self, to: BlsKey, message: Message) -> Message | None:
        """Certificates that no quorum made: of an old epoch, of another kind, for another block, signed by oneself."""
        rng = self._world.rng
        if isinstance(message, Certificate):
            self._certificates = [*self._certificates[-KEPT_CERTIFICATES:], message]
        elif isinstance(message, Vote) and self._certificates and rng.random() < 0.4:
            self._world.send(self._node.key, to, self._forgery(rng.choice(self._certificates), message))
        elif isinstance(message, messages.Proposal) and message.parent is not None and rng.random() < 0.5:
            forged = self._forgery(message.parent, Vote(message.parent.kind, *self._place(message.block), b""))
            block = message.block
            other = Block.make(block.epoch, block.view, block.height, forged.block_id, block.time_ms, block.digests)
            return replace(message, block=other, parent=forged)
        return message

    @staticmethod
    def _place(block: Block) -> tuple[Epoch, View, BlockId]:
        return block.epoch, block.view, block.id

    def _forgery(self, model: Certificate, vote: Vote) -> Certificate:
        """One that looks like the model and says something else about the epoch and view of the vote."""
        rng = self._world.rng
        what = rng.choice(("old epoch", "other kind", "other block", "own signature"))
        if what == "old epoch":
            return replace(model, epoch=vote.epoch)
        if what == "other kind":
            block_id = model.block_id or BlockId(sha256(b"made up"))
            return replace(model, kind=pb.KIND_FINALIZE, block_id=block_id)
        if what == "other block":
            return replace(model, kind=pb.KIND_NOTARIZE, view=vote.view, block_id=BlockId(sha256(b"made up")))
        signature = self._signer.sign_vote(vote.kind, vote.epoch, vote.view, vote.block_id)
        return Certificate(vote.kind, vote.epoch, vote.view, vote.block_id, b"\xff", signature)

    def wrong_checkpoints(self, to: BlsKey, message: Message) -> Message | None:
        """Sign a checkpoint that nobody computed, sometimes beside the right one."""
        if not isinstance(message, messages.CheckpointVote):
            return message
        wrong = replace(Checkpoint.decode(message.checkpoint), state_root=sha256(b"wrong")).encode()
        forged = messages.CheckpointVote(wrong, self._signer.sign_checkpoint(wrong))
        if self._world.rng.random() < 0.5:
            self._world.send(self._node.key, to, message)
        return forged
