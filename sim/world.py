# SPDX-License-Identifier: Apache-2.0
"""Simulated time and the network: one queue of events, one generator of chance.

Queue entries are (time, sequence, action); nothing else decides an order, so a seed replays exactly.
"""

import heapq
import random
from collections.abc import Callable
from typing import Protocol

from chain.consensus.messages import Message, decode_message, encode_message
from chain.types import BlsKey, Digest
from sim.plan import Plan

Action = Callable[[], None]
EVENTS_MAX = 400_000
"""A run that takes more has an avalanche of messages: a fault of its own."""
START_MS = 1_000_000


class Host(Protocol):
    """What the network delivers to."""

    def deliver(self, sender: BlsKey, message: Message) -> None:
        """A message of another validator."""
        ...

    def deliver_transactions(self, transactions: tuple[tuple[Digest, bytes], ...]) -> None:
        """Transactions that another node passes on."""
        ...


class World:
    """Time, chance, and who can reach whom.

    Attributes:
        now: Simulated milliseconds.
        healed: The faults are over: messages arrive, within a short delay.
        trace: Called with each line of a readable replay, if set.
    """

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.rng = random.Random(f"world {plan.seed}")
        self.now = START_MS
        self.healed = False
        self.events = 0
        self._queue: list[tuple[int, int, Action]] = []
        self._sequence = 0
        self._hosts: dict[BlsKey, list[Host]] = {}
        self._names: dict[BlsKey, str] = {}
        self._side: dict[BlsKey, int] = {}
        self._trace = trace

    # ------------------------------------------------------------ time

    def after(self, delay_ms: int, action: Action) -> None:
        """Do this later."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + delay_ms, self._sequence, action))

    def run_until(self, end_ms: int, done: Callable[[], bool] | None = None) -> bool:
        """Run events up to a time, or until `done` says so, asked after each event; whether it did.

        Raises:
            AssertionError: More events than any healthy run has.
        """
        while self._queue and self._queue[0][0] <= end_ms:
            self.now, _, action = heapq.heappop(self._queue)
            self.events += 1
            assert self.events <= EVENTS_MAX, "an avalanche of events"
            action()
            if done is not None and done():
                return True
        self.now = max(self.now, end_ms)
        return False

    def say(self, who: str, what: str) -> None:
        """One line of the replay."""
        if self._trace is not None:
            self._trace(f"{self.now - START_MS:>7} ms  {who:<8} {what}")

    @property
    def is_traced(self) -> bool:
        """Whether anybody reads what is said."""
        return self._trace is not None

    # ------------------------------------------------------------ network

    def join(self, key: BlsKey, name: str, host: Host) -> None:
        """Attach a host; a twin attaches a second one under the same key."""
        self._hosts.setdefault(key, []).append(host)
        self._names[key] = name
        self._side.setdefault(key, 0)

    def name(self, key: BlsKey) -> str:
        """A key's name in the replay."""
        return self._names.get(key, "?")

    def partition(self) -> None:
        """Split the hosts in two at random."""
        for key in self._side:
            self._side[key] = self.rng.randint(0, 1)
        sides = [[self._names[k] for k, s in self._side.items() if s == side] for side in (0, 1)]
        self.say("network", f"splits: {' '.join(sides[0])} | {' '.join(sides[1])}")

    def heal(self) -> None:
        """Everybody reaches everybody."""
        for key in self._side:
            self._side[key] = 0

    def _delays(self, sender: BlsKey, to: BlsKey) -> list[int]:
        """When copies of a message arrive; none if it is lost."""
        plan, rng = self.plan, self.rng
        if self.healed:
            return [rng.randint(1, 20)]
        if self._side[sender] != self._side.get(to, 0) or rng.random() < plan.loss_rate:
            return []
        delays = [rng.randint(1, plan.delay_ms_max)]
        if rng.random() < plan.duplicate_rate:
            delays.append(rng.randint(1, 4 * plan.delay_ms_max))
        if rng.random() < 0.02:
            delays[0] += rng.randint(0, 2_000)
        return delays

    def send(self, sender: BlsKey, to: BlsKey, message: Message) -> None:
        """Carry a message, or lose it."""
        hosts = self._hosts.get(to)
        if not hosts:
            return
        for delay in self._delays(sender, to):
            host = hosts[0] if len(hosts) == 1 else self.rng.choice(hosts)
            sent = decode_message(encode_message(message)) if self.plan.encoded else message
            self.after(delay, lambda host=host, sent=sent: host.deliver(sender, sent))  # type: ignore[misc]

    def gossip(self, sender: BlsKey, to: BlsKey, transactions: tuple[tuple[Digest, bytes], ...]) -> None:
        """Carry transactions to a peer, or lose them."""
        for delay in self._delays(sender, to):
            for host in self._hosts.get(to, []):
                self.after(delay, lambda host=host: host.deliver_transactions(transactions))  # type: ignore[misc]
