# SPDX-License-Identifier: Apache-2.0
"""A drill: a network under load, nodes of which die again and again in ways drawn from one seed, and are started again.

Nothing else is done to help them: a node that needs a hand makes the drill fail.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.history import check
from tests.crash.load import Clients
from tests.crash.names import COMPACTION, NAMES, PRUNE_BLOCKS
from tests.crash.plans import FAILURES, Act, Plan
from tests.crash.replicas import check_certificates, check_proofs, check_tables, read_replica, read_sets
from tests.crash.rig import RECOVERY_SECONDS_MAX, Network, Stuck

FIRST_LIFE = NAMES[: NAMES.index("ledger.genesis") + 1]
"""Writes of a node's first start alone."""
EACH_START = tuple(name for name in FIRST_LIFE if name != "ledger.genesis")
"""Those of them that come again at each start."""
OF_COPIES = tuple(name for name in NAMES if name.startswith("copy."))
"""Writes of a node that takes its ledger from a snapshot."""
RARE = ("journal.closing", "ledger.closing", "ledger.finalization", "journal.muted", "ledger.migration", *OF_COPIES)
"""Writes that a drill meets late or never; tests of their own aim at them."""
OF_PRUNING = (PRUNE_BLOCKS, COMPACTION)
"""Only where blocks are pruned."""
COMMON = tuple(name for name in NAMES if name not in (*FIRST_LIFE, *RARE, *OF_PRUNING))
OF_FILES = (Act.KILL_BEFORE, Act.KILL_AFTER, Act.FAIL, Act.FAIL_PERSISTED)
LIFE_SECONDS_MAX = 0.5
"""How long all live before the next dies: long enough for tens of writes, and the end falls anywhere among them."""
PLAN_SECONDS_MAX = 1.5
"""How long a planned death is waited for before the node is killed by hand: some writes are rare for one node."""
AGAIN_SECONDS_MAX = 0.3
"""A node that is killed while it starts is killed within this time."""


@dataclass(slots=True)
class Tally:
    """What happened in a drill.

    Attributes:
        kills: Deaths of one node while others lived, by hand or by plan.
        all_at_once: How often all died at once.
        planned: Deaths at named writes, by name; most are among the kills.
        power_cuts: How often unsynced writes were lost, by hand.
        slowest_s: From a death until the node has caught up and a client has a new receipt.
        unresolved: Transactions that were neither acknowledged nor seen to be lost.
    """

    kills: int = 0
    all_at_once: int = 0
    planned: dict[str, int] = field(default_factory=dict)
    power_cuts: int = 0
    slowest_s: float = 0.0
    acknowledged: int = 0
    unresolved: int = 0
    height: int = 0
    problems: list[str] = field(default_factory=list)


class Drill:
    """Kills nodes of one network and watches them come back."""

    def __init__(self, network: Network, clients: Clients, seed: int, say: Callable[[str], None] = print) -> None:
        self._network = network
        self._clients = clients
        self._random = random.Random(seed)
        self._say = say
        self._locks = [asyncio.Lock() for _ in network.homes]
        self._watchers: dict[int, asyncio.Task[None]] = {}
        self.tally = Tally()
        self.stopping = False

    async def begin(self, *, first_life: bool) -> None:
        """Start all nodes; in a new network they die at a write of their first start first.

        One whose nodes prune begins with old blocks, so the genesis state is written already.

        Raises:
            Stuck: The network does not begin to work by itself.
        """
        network, draw = self._network, self._random
        for index in range(len(network.homes)):
            if first_life:
                name = draw.choice(EACH_START if network.pruning else FIRST_LIFE)
                plan = self._plan(draw.choice(OF_FILES if name.startswith("mark") else tuple(Act)), name, 1)
                await network.start(index, [plan])
                self._count(plan, await network.ended(index))
            await network.start(index)
        await network.until_certified(1, network.running())
        self._clients.start()
        await self._must_acknowledge("at its start")

    async def run(self, kills: int, all_at_once: int, seconds: float = float("inf")) -> None:
        """Kill single nodes and all at once, in a drawn order, until so many have died or time is up.

        Raises:
            Stuck: A node or the network did not come back by itself.
        """
        deadline = time.monotonic() + seconds
        kills_wanted, all_wanted = self.tally.kills + kills, self.tally.all_at_once + all_at_once
        while not self.stopping and time.monotonic() < deadline:
            left, all_left = max(0, kills_wanted - self.tally.kills), max(0, all_wanted - self.tally.all_at_once)
            if not left + all_left:
                break
            if self._random.randrange(left + all_left) < all_left:
                await self._kill_all()
            else:
                await self._kill_some()
            self._say(
                f"{self.tally.kills} killed alone, {self.tally.all_at_once} times all, "
                f"{self._clients.acknowledged} acknowledged, slowest recovery {self.tally.slowest_s:.1f} s"
            )

    async def finish(self) -> Tally:
        """End the load, let all reach one height, stop them, and check what they hold against what clients saw.

        Raises:
            Stuck: Not all reach one height.
        """
        network, tally = self._network, self.tally
        armed = frozenset(self._watchers)
        await self._unwatch()
        for index in armed.intersection(network.running()):
            await network.kill(index)  # a plan that is still to come would end it later
        for index in set(range(len(network.homes))) - set(network.running()):
            await network.start(index)
        await self._clients.stop()
        answers = [await network.until(index, lambda _: True) for index in network.running()]
        await network.until_certified(max(answer.executed_height for answer in answers), network.running())
        for index in network.running():
            code = await network.stop(index)
            if code != 0:
                tally.problems.append(f"node {index} ended with {code} on SIGTERM: {network.last_words(index)}")
        tally.acknowledged, tally.unresolved = self._clients.acknowledged, self._clients.unresolved
        tally.problems += await asyncio.to_thread(self._check)
        return tally

    def _check(self) -> list[str]:
        network = self._network
        replicas = [read_replica(home) for home in network.homes]
        self.tally.height = min(replica.height for replica in replicas)
        problems = check(self._clients.history.events, replicas)
        problems += check_certificates(replicas, network.genesis, list(read_sets(network.homes[0])))
        problems += [problem for home in network.homes for problem in check_tables(home, network.genesis)]
        problems += [problem for index in network.pruning for problem in check_proofs(network.homes[index])]
        problems += [f"{count} transactions ended with {code}" for code, count in self._clients.failed.items()]
        problems += [f"a client saw {what}" for what in self._clients.lies]
        problems += [line for index in range(len(network.homes)) for line in defects_in(network, index)]
        return problems

    # ------------------------------------------------------------ deaths

    async def _kill_all(self) -> None:
        """Every process at once, while transactions are under way."""
        network = self._network
        await asyncio.sleep(self._random.uniform(0, LIFE_SECONDS_MAX))
        await self._unwatch()
        with_power = self._random.random() < 0.5
        height = await network.height()
        began = time.monotonic()
        if with_power:
            await asyncio.gather(*(network.cut_power(index, self._random) for index in network.running()))
        else:
            await asyncio.gather(*(network.kill(index) for index in network.running()))
        for index in self._random.sample(range(len(network.homes)), len(network.homes)):
            await network.start(index)
        await network.until_certified(height + 1, network.running())
        await self._must_acknowledge("after all nodes were killed at once")
        self._recovered(began)
        self.tally.all_at_once += 1
        self.tally.power_cuts += with_power

    async def _kill_some(self) -> None:
        """One node, now and then two, now and then one again while it starts."""
        network, draw = self._network, self._random
        victims = draw.sample(range(len(network.homes)), 2 if draw.random() < 0.15 else 1)
        height = await network.height()
        await asyncio.sleep(draw.uniform(0, LIFE_SECONDS_MAX))
        began = time.monotonic()
        for victim in victims:
            await self._die(victim)
        await asyncio.gather(*(network.until_certified(height + 1, [victim]) for victim in victims))
        await self._must_acknowledge(f"after the death of {victims}")
        self._recovered(began)

    async def _die(self, index: int) -> None:
        """Kill a node, unless its plan gets there first, and start it again."""
        network, draw = self._network, self._random
        watcher = self._watchers.get(index)
        if watcher is not None:
            await asyncio.wait([watcher], timeout=PLAN_SECONDS_MAX)
            if watcher.done():
                self._watchers.pop(index).result()
                return
        async with self._locks[index]:
            if draw.random() < 0.25:
                await network.cut_power(index, draw)
                self.tally.power_cuts += 1
            else:
                await network.kill(index)
            self.tally.kills += 1
            if draw.random() < 0.15:
                await network.start(index)
                await asyncio.sleep(draw.uniform(0, AGAIN_SECONDS_MAX))
                await network.kill(index)
                self.tally.kills += 1
            if draw.random() < 0.5:
                names = (*COMMON, *2 * OF_PRUNING) if index in network.pruning else COMMON
                plan = self._plan(draw.choice(tuple(Act)), draw.choice(names), draw.randint(1, 12))
                network.mortal.add(index)
                await network.start(index, [plan])
                self._watchers[index] = asyncio.create_task(self._watch(index, plan))
            else:
                await network.start(index)

    async def _watch(self, index: int, plan: Plan) -> None:
        """Wait for a node's planned end, and start it again."""
        network = self._network
        process = network.process(index)
        assert process is not None
        await asyncio.shield(process.ended)
        async with self._locks[index]:
            if network.process(index) is not process:
                return  # it was killed by hand before its plan was due
            self._count(plan, await network.ended(index))
            self.tally.kills += 1
            await network.start(index)
            network.mortal.discard(index)

    async def _unwatch(self) -> None:
        """Plans that are due no longer matter; those that came are over."""
        for index, task in self._watchers.items():
            async with self._locks[index]:  # not amid a restart
                task.cancel()
        for result in await asyncio.gather(*self._watchers.values(), return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        self._watchers.clear()
        self._network.mortal.clear()

    def _plan(self, act: Act, name: str, nth: int) -> Plan:
        detail = ""
        if act in FAILURES:
            detail = self._random.choice(("EIO", "ENOSPC"))
        elif act in {Act.TEAR, Act.CUT_POWER}:
            detail = str(self._random.randrange(10**6))
        return Plan(act, name, nth, detail)

    def _count(self, plan: Plan, status: int) -> None:
        """A planned end has come; it is the one that was planned."""
        if status != plan.status:
            raise Stuck(f"a node with the plan {plan} ended with {status} instead of {plan.status}")
        self.tally.planned[plan.name] = self.tally.planned.get(plan.name, 0) + 1

    async def _must_acknowledge(self, when: str) -> None:
        if not await self._clients.more(1, RECOVERY_SECONDS_MAX):
            raise Stuck(f"the network acknowledges nothing {when}")

    def _recovered(self, began: float) -> None:
        self.tally.slowest_s = max(self.tally.slowest_s, time.monotonic() - began)


def defects_in(network: Network, index: int) -> list[str]:
    """Lines of a node's log that no death explains: defects of ours, halts, and interpreter traces."""
    return [
        f"node {index} wrote: {line[:2000]}"
        for line in network.log(index).read_text(errors="replace").splitlines()
        if "node.defect" in line or "Traceback" in line or '"exit_code": 10' in line or "node.muted" in line
    ][:5]
