# SPDX-License-Identifier: Apache-2.0
"""What a load run measures: latencies, processor time of each validator, and what one core could verify meanwhile."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from chain import ed25519
from cli.devnet import process
from cli.devnet.process import Identity

BOUND_EVERY_S = 2.0
BOUND_COUNT = 100
"""About 10 ms of work every two seconds: half a percent of a core."""


@dataclass(slots=True)
class SignatureBound:
    """How many Ed25519 signatures one core verifies a second, sampled while the load runs.

    Counted in processor time of the measuring thread: waiting for a core does not count, but a slower core does.
    """

    verified: int = 0
    seconds: float = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        signer = ed25519.Ed25519Signer(bytes(32))
        message = b"zhixin bench" * 20
        signature = signer.sign(message)
        while True:
            started = time.thread_time()
            for _ in range(BOUND_COUNT):
                ed25519.verify(signer.signer.public_key, message, signature)
            self.seconds += time.thread_time() - started
            self.verified += BOUND_COUNT
            await asyncio.sleep(BOUND_EVERY_S)

    @property
    def per_s(self) -> float:
        """Verifications a second."""
        return self.verified / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class CpuShares:
    """Processor time of processes between two moments, in cores."""

    identities: Sequence[Identity]
    _seconds: list[float] = field(default_factory=list)
    _own: float = 0.0
    _at: float = 0.0

    def start(self) -> None:
        """From now on."""
        self._seconds = [process.cpu_seconds(identity) or 0.0 for identity in self.identities]
        self._own = time.process_time()
        self._at = time.monotonic()

    def read(self) -> tuple[list[float], float]:
        """Shares of each process since `start`, and our own."""
        elapsed = time.monotonic() - self._at
        now = [process.cpu_seconds(identity) or 0.0 for identity in self.identities]
        shares = [round((after - before) / elapsed, 4) for before, after in zip(self._seconds, now, strict=True)]
        return shares, round((time.process_time() - self._own) / elapsed, 4)


def percentile(sorted_values: Sequence[float], fraction: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not sorted_values:
        return None
    return sorted_values[max(0, math.ceil(fraction * len(sorted_values)) - 1)]
