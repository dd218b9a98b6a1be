# SPDX-License-Identifier: Apache-2.0
"""Follows a network from its genesis by closing checkpoints alone, and refuses what contradicts what it has seen.

A `TrustAnchor` is a value: each step returns a new one, and a refused step leaves the old one as it was. Starting from
genesis assumes that no past set ever lost a quorum of its keys; so a client keeps its newest anchor, and an anchor may
also start at a later epoch.

Source: docs/protocol.md, sections 5 and 6.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chain.certificate import SignatureScheme, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.errors import InvalidCertificate
from chain.genesis import Genesis
from chain.types import Epoch, Millis, Network


@dataclass(frozen=True, slots=True)
class EpochStart:
    """An epoch that a client knows: who votes in it, and what came before.

    Attributes:
        closing: The checkpoint that closed the epoch before and names this set; None at genesis.
        time_ms: The closing checkpoint's time, or that of genesis.
    """

    validators: ValidatorSet
    closing: Checkpoint | None
    time_ms: Millis


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """What a client believes of a network.

    Attributes:
        epochs: Consecutive ones, the newest last; at least one.
        newest: The newest checkpoint seen of the newest epoch, if any.
    """

    network: Network
    epochs: tuple[EpochStart, ...]
    newest: Checkpoint | None = None

    @classmethod
    def from_genesis(cls, genesis: Genesis) -> "TrustAnchor":
        """Believe a genesis file: epoch 0 is closed, and it names the set of epoch 1."""
        return cls(genesis.network, (EpochStart(genesis.validators, None, genesis.time_ms),))

    @classmethod
    def from_closing(cls, closing: Checkpoint, validators: ValidatorSet) -> "TrustAnchor":
        """Believe a closing checkpoint that was verified before, and start with the set that it names.

        Raises:
            InvalidCertificate: It names another set.
        """
        _check_named(closing, validators)
        return cls(closing.network, (EpochStart(validators, closing, closing.time_ms),))

    @property
    def epoch(self) -> Epoch:
        """The newest epoch that the client knows."""
        return self.epochs[-1].validators.epoch

    @property
    def validators(self) -> ValidatorSet:
        """The set of that epoch."""
        return self.epochs[-1].validators

    def at(self, epoch: int) -> "TrustAnchor":
        """What the client knows of an epoch; of a past one, its closing checkpoint is the newest.

        Raises:
            InvalidCertificate: It does not know that epoch.
        """
        first = self.epochs[0].validators.epoch
        if not first <= epoch <= self.epoch:
            raise InvalidCertificate(
                f"epoch {epoch} is unknown; known are {first} to {self.epoch}. Ask a node for the closing checkpoints "
                f"from epoch {self.epoch} on",
                "certificate.unknown-epoch",
            )
        if epoch == self.epoch:
            return self
        known = epoch - first + 1
        return TrustAnchor(self.network, self.epochs[:known], self.epochs[known].closing)


def advance(anchor: TrustAnchor, closings: Iterable[ClosingCheckpoint], scheme: SignatureScheme) -> TrustAnchor:
    """Follow closing checkpoints into later epochs.

    Args:
        anchor: What is believed now.
        closings: Of the anchor's newest epoch and those after it, ascending, without gaps.
        scheme: Of the validators' signatures.

    Returns:
        The anchor in the epoch after the last closing checkpoint.

    Raises:
        InvalidMessage: Something in them is not canonical.
        InvalidCertificate: A step skips an epoch, goes back in height, time or log size, is not signed by a quorum of
            the set that the step before named, closes nothing, carries another set than it names, or contradicts the
            newest checkpoint seen.
    """
    for closing in closings:
        checkpoint = check(anchor, closing.certified, scheme)
        if not checkpoint.closes_epoch:
            raise InvalidCertificate(f"the checkpoint at height {checkpoint.height} does not close its epoch")
        validators = ValidatorSet.decode(closing.next)
        _check_named(checkpoint, validators)
        start = EpochStart(validators, checkpoint, checkpoint.time_ms)
        anchor = TrustAnchor(anchor.network, (*anchor.epochs, start))
    return anchor


def check(anchor: TrustAnchor, certified: CertifiedCheckpoint, scheme: SignatureScheme) -> Checkpoint:
    """Verify a checkpoint of the anchor's newest epoch, of any height in it.

    Raises:
        InvalidMessage: It is not canonical.
        InvalidCertificate: Another network or epoch, no quorum, or it contradicts the anchor.
    """
    start = anchor.epochs[-1]
    checkpoint = verify_checkpoint(certified, start.validators, anchor.network, scheme)
    if start.closing is None:
        if checkpoint.height < 1 or checkpoint.time_ms < start.time_ms:
            raise InvalidCertificate("the checkpoint is older than genesis")
    else:
        _check_order(start.closing, checkpoint)
    newest = anchor.newest
    if newest is not None:
        if checkpoint.height == newest.height and checkpoint != newest:
            raise InvalidCertificate(
                f"another checkpoint was seen at height {newest.height}: a quorum of validators signed both",
                "certificate.contradiction",
            )
        if checkpoint.height < newest.height:
            _check_order(checkpoint, newest)
        elif checkpoint.height > newest.height:
            _check_order(newest, checkpoint)
    return checkpoint


def remember(anchor: TrustAnchor, checkpoint: Checkpoint) -> TrustAnchor:
    """Keep a checkpoint that `check` returned for this anchor, if it is the newest."""
    assert checkpoint.epoch == anchor.epoch
    if anchor.newest is not None and checkpoint.height <= anchor.newest.height:
        return anchor
    return TrustAnchor(anchor.network, anchor.epochs, checkpoint)


def _check_order(earlier: Checkpoint, later: Checkpoint) -> None:
    """Check that one checkpoint can follow another, which may close the epoch before.

    Raises:
        InvalidCertificate: It goes back in height, time or log size, or stands in an epoch that was closed below it.
    """
    if later.height <= earlier.height:
        raise InvalidCertificate(
            f"a checkpoint of epoch {later.epoch} at height {later.height}, though one of epoch {earlier.epoch} stands "
            f"at {earlier.height}",
            "certificate.contradiction",
        )
    if later.time_ms < earlier.time_ms or later.log_size < earlier.log_size:
        raise InvalidCertificate(
            f"time or log size goes back between heights {earlier.height} and {later.height}",
            "certificate.contradiction",
        )
    if earlier.closes_epoch and later.epoch == earlier.epoch:
        raise InvalidCertificate(
            f"a checkpoint at height {later.height} of epoch {later.epoch}, which closed at {earlier.height}",
            "certificate.contradiction",
        )


def _check_named(closing: Checkpoint, validators: ValidatorSet) -> None:
    """Check that a closing checkpoint names this set.

    Raises:
        InvalidCertificate: It does not.
    """
    if validators.epoch != closing.epoch + 1:
        raise InvalidCertificate(f"a set of epoch {validators.epoch} after epoch {closing.epoch}")
    if validators.digest() != closing.next_validators:
        raise InvalidCertificate("the validator set is not the one that the closing checkpoint names")
