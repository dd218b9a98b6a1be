# SPDX-License-Identifier: Apache-2.0
"""One load run on a network of its own: as fast as it goes, at a rate, or idle.

Each transaction counts when its receipt has been verified here. The generator shares the machine with the validators,
so it signs ahead and verifies receipts by the bundle; what it costs is reported beside the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from chain.transaction import SignedTransaction
from cli.devnet.network import Devnet
from cli.errors import InputError
from cli.language import t
from cli.load.measure import CpuShares, SignatureBound, percentile
from cli.load.transactions import Transactions
from cli.output import Json
from client.connection import endpoints_of
from client.session import Session

WARM_UP_S = 3.0
SETTLE_S = 3.0
IN_FLIGHT_OPERATIONS_MAX = 2_000
"""Under way at once over all streams; what is more only waits longer."""
IN_FLIGHT_TRANSACTIONS_MIN = 10
"""On each stream, however many operations they carry."""
AHEAD_OPERATIONS_PER_S = 20_000
AHEAD_TRANSACTIONS_PER_S = 1_600
"""How many are signed ahead for each second of the run; beyond it signing happens during the run."""
DRAIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        rate: Transactions a second; None: as many as the network takes.
    """

    seconds: float
    operations: int
    rate: float | None


class LoadRun:
    """Drives one plan against one network."""

    def __init__(self, network: Devnet, plan: Plan) -> None:
        self._network = network
        self._plan = plan
        genesis = network.home.genesis()
        self._genesis = genesis
        self._supply = Transactions(genesis.network, network.home.signer("registrar"), plan.operations)
        self._sent_at: dict[bytes, float] = {}
        self._latencies_s: list[float] = []
        self._committed = 0
        self._failed: dict[str, int] = {}
        self._from = 0.0
        self._until = 0.0

    def prepare(self, progress: Callable[[int], None]) -> int:
        """Sign ahead; how many."""
        seconds = self._plan.seconds + WARM_UP_S
        per_s = self._plan.rate or min(AHEAD_TRANSACTIONS_PER_S, AHEAD_OPERATIONS_PER_S / self._plan.operations)
        count = int(seconds * per_s) + 1
        for done in range(0, count, 500):
            self._supply.prepare(min(500, count - done))
            progress(min(done + 500, count))
        return count

    async def run(self, progress: Callable[[int], None]) -> dict[str, Json]:
        """Run to the end and say what was measured."""
        loop = asyncio.get_running_loop()
        endpoints = endpoints_of(self._genesis)
        streams = 1 if self._plan.rate is not None else len(endpoints)
        identities = [identity for name in self._network.names if (identity := self._network.identity(name))]
        shares, bound = CpuShares(identities), SignatureBound()
        self._from = loop.time() + WARM_UP_S
        self._until = self._from + self._plan.seconds
        sessions = [Session(self._genesis, endpoints=endpoints[i:] + endpoints[:i]) for i in range(streams)]
        tasks = [asyncio.create_task(self._stream(session, streams)) for session in sessions]
        sampler = asyncio.create_task(bound.run())
        try:
            await asyncio.sleep(WARM_UP_S)
            shares.start()
            while loop.time() < self._until:
                await asyncio.sleep(min(0.5, max(0.01, self._until - loop.time())))
                progress(int(loop.time() - self._from))
                for task in tasks:
                    if task.done():
                        task.result()
            per_validator, own = shares.read()
            done, _late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, sampler):
                task.cancel()
            await asyncio.gather(*tasks, sampler, return_exceptions=True)
            for session in sessions:
                await session.close()
        return self._result(bound, per_validator, own)

    async def _stream(self, session: Session, streams: int) -> None:
        loop = asyncio.get_running_loop()
        in_flight = max(IN_FLIGHT_TRANSACTIONS_MIN, IN_FLIGHT_OPERATIONS_MAX // self._plan.operations // streams)
        async for outcome in session.submit(self._source(), in_flight_max=in_flight):
            now = loop.time()
            sent = self._sent_at.pop(outcome.transaction.id)
            if outcome.error is not None:
                code = getattr(outcome.error, "code", "unknown")
                self._failed[code] = self._failed.get(code, 0) + 1
            elif outcome.proven is not None and outcome.proven.failed is not None:
                code = outcome.proven.failed.code
                self._failed[code] = self._failed.get(code, 0) + 1
            elif self._from <= now < self._until:
                self._committed += 1
                self._latencies_s.append(now - sent)

    async def _source(self) -> AsyncIterator[SignedTransaction]:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while loop.time() < self._until:
            if self._plan.rate is not None:
                due += 1 / self._plan.rate
                await asyncio.sleep(max(0.0, due - loop.time()))
            elif not self._supply.ready:
                await asyncio.sleep(0)  # signing now must not starve the streams
            transaction = self._supply.take()
            self._sent_at[transaction.id] = loop.time()
            yield transaction

    def _result(self, bound: SignatureBound, per_validator: list[float], own: float) -> dict[str, Json]:
        seconds, operations = self._plan.seconds, self._plan.operations
        latencies = sorted(self._latencies_s)
        p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
        committed_per_s = self._committed / seconds
        return {
            "validators": len(per_validator),
            "seconds": seconds,
            "operations_per_transaction": operations,
            "rate": self._plan.rate,
            "committed": self._committed,
            "committed_per_s": round(committed_per_s, 1),
            "attestations_per_s": round(committed_per_s * operations, 1),
            "signature_bound_per_s": round(bound.per_s, 1),
            "committed_to_bound": round(committed_per_s / bound.per_s, 4) if bound.per_s else None,
            "latency_ms_p50": None if p50 is None else round(p50 * 1000, 1),
            "latency_ms_p99": None if p99 is None else round(p99 * 1000, 1),
            "cpu_share_per_validator": per_validator,
            "cpu_share_generator": own,
            "signed_ahead_left": self._supply.ready,
            "undrained": len(self._sent_at),
            "failed": dict(sorted(self._failed.items())),
        }


async def idle(network: Devnet, seconds: float, progress: Callable[[int], None]) -> dict[str, Json]:
    """Measure a network that has nothing to do."""
    identities = [identity for name in network.names if (identity := network.identity(name))]
    await asyncio.sleep(SETTLE_S)
    shares = CpuShares(identities)
    shares.start()
    for second in range(int(seconds)):
        await asyncio.sleep(1)
        progress(second + 1)
    per_validator, own = shares.read()
    return {
        "validators": len(per_validator),
        "seconds": seconds,
        "idle": True,
        "cpu_share_per_validator": per_validator,
        "cpu_share_generator": own,
    }


def bench_home(named: Path | None) -> Path:
    """Where a run keeps its network; deleted afterwards.

    Raises:
        InputError: A folder was named that holds something: only what this command itself left is ever deleted.
    """
    if named is None:
        return Path(".bench")
    if named.is_dir() and any(path.name != ".lock" for path in named.iterdir()):
        raise InputError("bench.not-empty", t("bench.not-empty", root=named))
    return named
