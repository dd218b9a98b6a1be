# SPDX-License-Identifier: Apache-2.0
"""What must hold in every run, watched from outside the nodes.

Agreement: one block and one checkpoint a height. Validity: what executes was submitted, at most once. Votes: no honest
node ever signs two that contradict each other, over any number of restarts, and each is durable before it is sent.
Durability: what was acknowledged stays. Certificates verify from genesis alone. Nobody honest is ever accused.
"""

from chain.application import Execution
from chain.certificate import BlsScheme, verify_checkpoint, verify_evidence
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.consensus import journal, messages
from chain.consensus.messages import Message
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, BlsKey, Epoch, Height, TransactionId
from sim.network import SimNetwork
from sim.node import Observer, SimNode

_VoteKey = tuple[BlsKey, Epoch, int, int]


class Violation(AssertionError):
    """Something that must never happen did."""


class Checkers(Observer):
    """All checkers of one run.

    Attributes:
        executions: By height, as the first honest node executed it.
        acknowledged: Transactions that somebody got a certified entry for, with their height.
    """

    def __init__(self, network: SimNetwork, honest: frozenset[BlsKey]) -> None:
        self._network = network
        self._honest = honest
        self._submitted: set[TransactionId] = set()
        self._votes: dict[_VoteKey, BlockId] = {}
        self._durable: set[tuple[BlsKey, bytes]] = set()
        self._checkpoint_votes: dict[tuple[BlsKey, Height], bytes] = {}
        self._sets: dict[Epoch, ValidatorSet] = {network.genesis.validators.epoch: network.genesis.validators}
        self._entries: dict[TransactionId, Height] = {}
        self._certified: dict[Height, bytes] = {}
        self.executions: dict[Height, Execution] = {}
        self.acknowledged: dict[TransactionId, Height] = {}
        self.accused_keys: set[BlsKey] = set()

    def submitted(self, transaction_id: TransactionId) -> None:
        """A client submits this."""
        self._submitted.add(transaction_id)

    def entry_height(self, transaction_id: TransactionId) -> Height | None:
        """Where a transaction has its entry."""
        return self._entries.get(transaction_id)

    # ------------------------------------------------------------ votes

    def persisted(self, node: SimNode, record: journal.Record) -> None:
        """Remember what is on its way to the disk; a failing write kills the node before it sends."""
        self._durable.add((node.key, record.key + record.value))

    def sent(self, node: SimNode, message: Message) -> None:
        """No two contradicting votes, and none that is not durable."""
        if isinstance(message, messages.Vote):
            self._check_vote(node, message)
        elif isinstance(message, messages.CheckpointVote):
            height = Checkpoint.decode(message.checkpoint).height
            before = self._checkpoint_votes.setdefault((node.key, height), message.checkpoint)
            if before != message.checkpoint:
                raise Violation(f"{node.name} signed two checkpoints at height {height}")

    def _check_vote(self, node: SimNode, vote: messages.Vote) -> None:
        where = (node.key, vote.epoch, vote.view)
        before = self._votes.setdefault((*where, vote.kind), vote.block_id)
        if before != vote.block_id:
            raise Violation(f"{node.name} voted twice in epoch {vote.epoch}, view {vote.view}")
        if (*where, pb.KIND_NULLIFY) in self._votes and (*where, pb.KIND_FINALIZE) in self._votes:
            raise Violation(f"{node.name} finalized and nullified epoch {vote.epoch}, view {vote.view}")
        record = journal.OwnVote(vote)
        if (node.key, record.key + record.value) not in self._durable:
            raise Violation(f"{node.name} sent a vote that was never durable")

    def accused(self, node: SimNode, author: BlsKey, evidence: bytes) -> None:
        """Evidence verifies, and is never against an honest node."""
        key, _ = verify_evidence(evidence, self._network.id, self._network.scheme)
        if key != author or author in self._honest:
            raise Violation(f"{node.name} accuses an honest node")
        self.accused_keys.add(author)

    # ------------------------------------------------------------ blocks

    def executed(self, node: SimNode, execution: object) -> None:
        """Agreement and validity."""
        assert isinstance(execution, Execution)
        if node.key not in self._honest:
            return
        height = execution.block.height
        first = self.executions.setdefault(height, execution)
        if first.block.id != execution.block.id:
            raise Violation(f"two final blocks at height {height}")
        if first.checkpoint != execution.checkpoint or first.entries != execution.entries:
            raise Violation(f"two results of the block at height {height}")
        if first is not execution:
            return
        for transaction_id in execution.transaction_ids:
            known = TransactionId(transaction_id)
            if known not in self._submitted:
                raise Violation("a transaction that nobody submitted has an entry")
            if known in self._entries:
                raise Violation("a transaction has two entries")
            self._entries[known] = height
        if execution.next_set is not None:
            self._sets[execution.next_set.epoch] = execution.next_set

    def certified(self, node: SimNode, certified: object, checkpoint: Checkpoint) -> None:
        """A certificate verifies against the set that execution named; what it covers is acknowledged."""
        assert isinstance(certified, CertifiedCheckpoint)
        height = checkpoint.height
        known = self._certified.setdefault(height, certified.checkpoint)
        if known != certified.checkpoint:
            raise Violation(f"two certified checkpoints at height {height}")
        execution = self.executions.get(height)
        if execution is None or execution.checkpoint != checkpoint:
            raise Violation(f"{node.name} holds a certificate at height {height} that nobody executed")
        if isinstance(self._network.scheme, BlsScheme) or height % 4 == 0:
            verify_checkpoint(certified, self._sets[checkpoint.epoch], self._network.id, self._network.scheme)
        for transaction_id, entry_height in self._entries.items():
            if entry_height <= height:
                self.acknowledged.setdefault(transaction_id, entry_height)
