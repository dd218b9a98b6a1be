# SPDX-License-Identifier: Apache-2.0
"""One run: safety under faults, then heal and demand liveness.

First the network loses, delays and splits, nodes crash and liars lie, while clients submit and validators change. Then
it heals; every node that is not a liar must catch up, everything submitted to a node that kept it must get its entry,
and the ledger must go on. A run that stalls is a failure like one that forks.
"""

from collections.abc import Callable
from dataclasses import dataclass

from chain.checkpoint import Validator, ValidatorSet
from chain.codec import encode
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, SignedTransaction, build
from chain.types import Epoch, Height, Millis, faults_max, sha256
from sim.byzantine import corrupt
from sim.checkers import Checkers, Violation
from sim.network import SimNetwork, make_network
from sim.node import SimNode
from sim.plan import Plan, draw
from sim.rules import PUT, SET_VALIDATORS, SimSigner
from sim.world import START_MS, World

HEALED_MS_MAX = 90_000
"""How long after healing everything must be well again. Delay bounds have grown to 10 s by then in the worst runs."""
PROGRESS_HEIGHTS = 3
"""How many further heights must be certified everywhere after healing."""
LIFETIME_MS = 290_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        failure: What went wrong, or None.
        digest: SHA-256 over everything that was executed: equal for equal seeds.
    """

    plan: Plan
    failure: str | None
    heights: int
    epochs: int
    acknowledged: int
    events: int
    healed_ms: int
    digest: bytes


class Run:
    """A network in faults, with its clients and checkers."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self._plan = plan
        self.world = World(plan, trace)
        self.network: SimNetwork = make_network(plan)
        liars = dict(plan.byzantine)
        honest = frozenset(k.member.bls_key for i, k in enumerate(self.network.keys) if i not in liars)
        self.checkers = Checkers(self.network, honest)
        self.nodes: list[SimNode] = []
        self._twins: list[SimNode] = []
        for number, keys in enumerate(self.network.keys):
            node = SimNode(self.world, self.network, keys, keys.name, None if number in liars else self.checkers)
            self.nodes.append(node)
            if number in liars:
                self._twins.extend(corrupt(node, liars[number], self.world, self.network, keys))
        self.honest = [node for number, node in enumerate(self.nodes) if number not in liars]
        self._transactions: list[SignedTransaction] = []

    # ------------------------------------------------------------ the faults

    def faults(self) -> None:
        """Everything that goes wrong, then the end of it."""
        world, plan, rng = self.world, self._plan, self.world.rng
        for node in (*self.nodes, *self._twins):
            world.after(rng.randint(0, 300), node.start)
        for number in range(plan.transactions):
            world.after(rng.randint(100, plan.faults_ms), lambda number=number: self._submit(number))  # type: ignore[misc]
        for _ in range(plan.set_changes):
            world.after(rng.randint(500, plan.faults_ms), self._change_set)
        for _ in range(plan.wipe_outs):
            world.after(rng.randint(500, plan.faults_ms), self._kill_all)
        at = 0
        while plan.partition_rate and at < plan.faults_ms:
            at += rng.randint(500, 2_500)
            split = rng.random() < plan.partition_rate
            world.after(min(at, plan.faults_ms), world.partition if split else world.heal)
        world.run_until(START_MS + plan.faults_ms)

    def _kill_all(self) -> None:
        self.world.say("world", "kills all")
        for node in (*self.nodes, *self._twins):
            node.crash()

    def _submit(self, number: int) -> None:
        """A client puts a key, or something that the rules refuse."""
        value = b"refuse" if number % 7 == 3 else b"value %d" % number
        put = encode(pb.StateProof(key=b"%d" % (number % 5), value=value))
        self._send(self._sign(Operation.make(PUT, put), number))

    def _sign(self, operation: Operation, number: int) -> SignedTransaction:
        salt = sha256(b"salt %d %d" % (self._plan.seed, number))[:16]
        expires = Millis(self.world.now + LIFETIME_MS)
        return build([operation], [SimSigner()], expires, salt, self.network.id)

    def _send(self, transaction: SignedTransaction) -> None:
        """Submit, as the plan's clients do."""
        self.checkers.submitted(transaction.id)
        self._transactions.append(transaction)
        self._resubmit(transaction)

    def _resubmit(self, transaction: SignedTransaction) -> None:
        if transaction.id in self.checkers.acknowledged:
            return
        node = self.world.rng.choice(self.nodes)
        node.submit(transaction)
        if not self._plan.patient:
            return
        self.world.after(self.world.rng.randint(1_000, 3_000), lambda: self._resubmit(transaction))

    # ------------------------------------------------------------ epochs

    def _members(self) -> ValidatorSet:
        executions = self.checkers.executions
        for height in sorted(executions, reverse=True):
            next_set = executions[height].next_set
            if next_set is not None:
                return next_set
        return self.network.genesis.validators

    def _change_set(self) -> None:
        """A join, a leave or a swap, of those who stand by; liars stay within f."""
        current = self._members()
        rng = self.world.rng
        outside = [k.member for k in self.network.keys if k.member not in current.validators]
        members = list(current.validators)
        what = rng.choice(("join", "leave", "swap"))
        if what != "join" and len(members) > 1:
            members.remove(rng.choice(members))
        if what != "leave" and outside:
            members.append(rng.choice(outside))
        members.sort(key=lambda m: m.bls_key)
        if tuple(members) == current.validators or not self._holds_liars(members):
            return
        body = encode(
            pb.ValidatorSet(
                epoch=current.epoch,
                validators=[pb.Validator(bls_key=m.bls_key, organisation=m.organisation) for m in members],
            )
        )
        self.world.say("client", f"asks for a set of {len(members)} after epoch {current.epoch}")
        self._send(self._sign(Operation.make(SET_VALIDATORS, body), 1_000 + len(self._transactions)))

    def _holds_liars(self, members: list[Validator]) -> bool:
        names = {self.nodes[number].name for number, _ in self._plan.byzantine}
        return sum(1 for m in members if m.organisation in names) <= faults_max(len(members))

    # ------------------------------------------------------------ healing

    def heal(self) -> int:
        """End the faults and wait until all is well; how long that took, in milliseconds.

        Raises:
            Violation: It is not well in time.
        """
        world = self.world
        world.say("world", "heals")
        world.healed = True
        world.heal()
        begin = world.now
        target: dict[str, Height] = {"height": Height(max(self.checkers.executions, default=0) + PROGRESS_HEIGHTS)}
        # Looking at everything after each event would cost more than the run; look every 250 ms.
        while world.now - begin < HEALED_MS_MAX:
            world.run_until(world.now + 250)
            if self._is_well(target["height"]):
                return world.now - begin
        raise Violation(f"stalled: {self._complaint(target['height'])}")

    def _is_well(self, height: Height) -> bool:
        return self._complaint(height) is None

    def _complaint(self, height: Height) -> str | None:
        """What is not well yet."""
        missing = sum(1 for t in self._transactions if t.id not in self.checkers.acknowledged)
        if missing and self._plan.patient:
            return f"{missing} of {len(self._transactions)} transactions have no certified entry"
        epoch = self._members().epoch
        for node in self.honest:
            if not node.is_up:
                return f"{node.name} is down"
            validator = node.process.validator
            executed = node.process.ledger.store.height
            if validator.certified_height < height or executed < height:
                return (
                    f"{node.name} is at height {executed}, certified "
                    f"{validator.certified_height}, of {height}; epoch {validator.epoch}, view {validator.view}"
                )
            if validator.epoch < epoch:
                return f"{node.name} is in epoch {validator.epoch} of {epoch}"
        return None

    def check_durability(self) -> None:
        """What was acknowledged stands, at its height, in the store of every honest node."""
        for node in self.honest:
            for transaction_id, height in self.checkers.acknowledged.items():
                if height > node.process.ledger.store.height:
                    continue  # a little behind the others, and well within its right
                if node.process.ledger.entry_height(transaction_id) != height:
                    raise Violation(f"{node.name} lost an acknowledged transaction")


def run_seed(seed: int, trace: Callable[[str], None] | None = None, plan: Plan | None = None) -> Outcome:
    """Run one seed to its end."""
    plan = draw(seed) if plan is None else plan
    run = Run(plan, trace)
    failure: str | None = None
    healed_ms = 0
    try:
        run.faults()
        healed_ms = run.heal()
        run.check_durability()
    except Exception as error:  # noqa: BLE001 - the outermost loop: whatever an honest node raises is a failure
        failure = f"{type(error).__name__}: {error}"
    executions = run.checkers.executions
    everything = b"".join(executions[height].checkpoint.encode() for height in sorted(executions))
    return Outcome(
        plan=plan,
        failure=failure,
        heights=len(executions),
        epochs=max((e.checkpoint.epoch for e in executions.values()), default=Epoch(0)),
        acknowledged=len(run.checkers.acknowledged),
        events=run.world.events,
        healed_ms=healed_ms,
        digest=sha256(everything),
    )
