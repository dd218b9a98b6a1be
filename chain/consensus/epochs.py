# SPDX-License-Identifier: Apache-2.0
"""The epochs that a node knows: each one's validators, what it builds on, and the checkpoint that closed it.

Grows by one closing checkpoint at a time, each certified by the set that the one before named; genesis names the first.

Source: docs/protocol.md, section 5.
"""

from collections.abc import Mapping

from chain.certificate import SignatureScheme, verify_checkpoint
from chain.checkpoint import Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.proposals import Root
from chain.errors import InvalidCertificate
from chain.types import FIRST_EPOCH, BlockId, BlsKey, Epoch, Height, Millis, Network


class Epochs:
    """All epochs up to the newest known one.

    Attributes:
        sets: Each epoch's validators.
    """

    def __init__(self, network: Network, genesis: ValidatorSet, genesis_time_ms: Millis) -> None:
        self._network = network
        self._closings: dict[Epoch, ClosingCheckpoint] = {}
        self._roots = {FIRST_EPOCH: Root(BlockId(network), Height(0), genesis_time_ms)}
        self.sets: dict[Epoch, ValidatorSet] = {FIRST_EPOCH: genesis}

    def restore(self, closings: Mapping[Epoch, ClosingCheckpoint]) -> None:
        """Take in what the journal holds; it was verified before it was written."""
        for epoch in sorted(closings):
            self.add(closings[epoch])

    @property
    def newest(self) -> Epoch:
        """The newest epoch known."""
        return max(self.sets)

    def root(self, epoch: Epoch) -> Root:
        """What an epoch's first block builds on."""
        return self._roots[epoch]

    def closing_height(self, epoch: Epoch) -> Height | None:
        """Where an epoch closed; None while it has not."""
        root = self._roots.get(Epoch(epoch + 1))
        return None if root is None else root.height

    def closed(self) -> tuple[Epoch, ...]:
        """The epochs that are closed, ascending."""
        return tuple(sorted(self._closings))

    def closings(self, from_epoch: Epoch) -> tuple[ClosingCheckpoint, ...]:
        """The checkpoints that closed this epoch and later ones."""
        return tuple(self._closings[epoch] for epoch in sorted(self._closings) if epoch >= from_epoch)

    def is_member_of_any(self, key: BlsKey) -> bool:
        """Whether a key belongs to a set that is known."""
        return any(key in validators.keys for validators in self.sets.values())

    def check(self, closing: ClosingCheckpoint, scheme: SignatureScheme) -> Checkpoint:
        """Verify what somebody says closed the newest epoch.

        Raises:
            InvalidMessage: Checkpoint or list is malformed.
            InvalidCertificate: Not of the newest epoch, no quorum, or a list that the checkpoint does not name.
        """
        checkpoint = verify_checkpoint(closing.certified, self.sets[self.newest], self._network, scheme)
        validators = ValidatorSet.decode(closing.next)
        if validators.digest() != checkpoint.next_validators or validators.epoch != checkpoint.epoch + 1:
            raise InvalidCertificate("a list that the closing checkpoint does not name")
        return checkpoint

    def add(self, closing: ClosingCheckpoint) -> Epoch:
        """Take in a verified closing checkpoint; the epoch that it opens."""
        checkpoint = Checkpoint.decode(closing.certified.checkpoint)
        validators = ValidatorSet.decode(closing.next)
        self._closings[checkpoint.epoch] = closing
        self.sets[validators.epoch] = validators
        self._roots[validators.epoch] = Root(checkpoint.block_id, checkpoint.height, checkpoint.time_ms)
        return validators.epoch
