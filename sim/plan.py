# SPDX-License-Identifier: Apache-2.0
"""What one seed means: how many validators, which faults, which of them lie, who joins and leaves.

Everything a run does follows from its seed and this module; a plan prints as one readable line.
"""

import random
from dataclasses import dataclass

from chain.types import faults_max

BEHAVIOURS = (
    "silent",  # says nothing
    "helpful-then-silent",  # honest for a while, then says nothing for good
    "selective",  # sends each message to a random part of its peers
    "equivocate",  # proposes and votes for two blocks in a view, each to one half
    "lying-votes",  # votes with signatures that do not verify, or for everything at once
    "withholding",  # proposes transactions that it gives to few, and answers no pulls
    "wrong-checkpoints",  # signs a checkpoint that nobody computed
    "twins",  # runs twice under one key
    "forging",  # sends certificates that no quorum made, of old epochs and other blocks, also in its proposals
)
REAL_CRYPTO_EVERY = 100
"""One seed in so many runs with real BLS signatures; the others with a scheme that costs a hash."""
ENCODED_EVERY = 10
"""One seed in so many sends every message through its encoding."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, drawn from its seed. Times are milliseconds of simulated time, rates are probabilities.

    Attributes:
        validators: Members of epoch 1.
        standby: Nodes that follow, and may join.
        byzantine: Behaviour by node number, at most f of them.
        set_changes: Joins, leaves and swaps during the faults.
        transactions: How many are submitted during the faults.
        faults_ms: How long the faults last; then the network heals.
        crash_rate: Of a crash before or after each effect, per effect.
        vote_crash_rate: Of a crash right after an own vote is sent.
        disk_failure_rate: Of a failing synced write.
        wipe_outs: All nodes are killed at once, this many times.
        patient: Clients submit again until they have a certified entry; otherwise once, so that the ledger itself must
            keep what it has ordered.
    """

    seed: int
    validators: int
    standby: int
    byzantine: tuple[tuple[int, str], ...]
    set_changes: int
    transactions: int
    faults_ms: int
    delay_ms_max: int
    loss_rate: float
    duplicate_rate: float
    partition_rate: float
    crash_rate: float
    vote_crash_rate: float
    disk_failure_rate: float
    wipe_outs: int
    skew_ms_max: int
    execution_ms_max: int
    patient: bool
    real_crypto: bool
    encoded: bool

    def __str__(self) -> str:
        """One line for people."""
        liars = ", ".join(f"{node} {behaviour}" for node, behaviour in self.byzantine) or "none"
        return (
            f"seed {self.seed}: {self.validators} validators, {self.standby} standing by, Byzantine: {liars}; "
            f"{self.transactions} transactions, {self.set_changes} set changes, faults for {self.faults_ms} ms; "
            f"delay <= {self.delay_ms_max} ms, loss {self.loss_rate:.2f}, duplicates {self.duplicate_rate:.2f}, "
            f"partitions {self.partition_rate:.2f}, crashes {self.crash_rate:.4f} an effect and "
            f"{self.vote_crash_rate:.3f} a vote, disk failures {self.disk_failure_rate:.4f}, all killed "
            f"{self.wipe_outs} times, skew <= {self.skew_ms_max} ms, execution <= {self.execution_ms_max} ms"
            f"{', clients submit once' if not self.patient else ''}"
            f"{', real signatures' if self.real_crypto else ''}{', encoded messages' if self.encoded else ''}"
        )


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"plan {seed}")
    real_crypto = seed % REAL_CRYPTO_EVERY == 0
    validators = 4 if real_crypto else rng.choices((1, 4, 5, 7, 10), weights=(1, 14, 3, 3, 1))[0]
    liars = rng.randint(0, faults_max(validators)) if rng.random() < 0.6 else 0
    byzantine = tuple(sorted((node, rng.choice(BEHAVIOURS)) for node in rng.sample(range(validators), liars)))
    set_changes = rng.randint(1, 3) if rng.random() < 0.35 and validators > 1 else 0
    calm = rng.random() < 0.1
    return Plan(
        seed=seed,
        validators=validators,
        standby=rng.randint(1, 2) if set_changes else int(rng.random() < 0.1),
        byzantine=byzantine,
        set_changes=set_changes,
        transactions=rng.randint(5, 25),
        faults_ms=rng.randint(3_000, 8_000),
        delay_ms_max=rng.choice((20, 100, 400)),
        loss_rate=0.0 if calm else rng.choice((0.0, 0.05, 0.2, 0.35)),
        duplicate_rate=rng.choice((0.0, 0.05, 0.2)),
        partition_rate=0.0 if calm else rng.choice((0.0, 0.3, 0.7)),
        crash_rate=0.0 if calm else rng.choice((0.0, 0.0005, 0.003)),
        vote_crash_rate=0.0 if calm else rng.choice((0.0, 0.01, 0.05)),
        disk_failure_rate=0.0 if calm else rng.choice((0.0, 0.0, 0.003)),
        wipe_outs=0 if calm else rng.choice((0, 0, 1, 2)),
        skew_ms_max=rng.choice((0, 100, 600)),
        execution_ms_max=rng.choice((5, 40, 250)),
        patient=rng.random() < 0.5,
        real_crypto=real_crypto,
        encoded=seed % ENCODED_EVERY == 0,
    )
