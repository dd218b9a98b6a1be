# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a simulated network: keys, genesis, and the signature scheme of the run."""

from dataclasses import dataclass

from chain.bls import SecretKey
from chain.certificate import BlsScheme, SignatureScheme
from chain.checkpoint import Validator, ValidatorSet
from chain.genesis import Genesis
from chain.types import FIRST_EPOCH, BlsKey, Millis, Network, sha256
from sim.plan import Plan
from sim.scheme import FakeScheme, FakeSecretKey
from sim.world import START_MS


@dataclass(frozen=True, slots=True)
class Keys:
    """A node's name and secret."""

    name: str
    secret: SecretKey | FakeSecretKey

    @property
    def member(self) -> Validator:
        """The node as a member of a validator set."""
        return Validator(BlsKey(self.secret.public_key()), self.name)


@dataclass(frozen=True, slots=True)
class SimNetwork:
    """What every node of a run knows.

    Attributes:
        genesis: Made in memory; possession proofs are `membership`'s affair and have tests of their own.
    """

    genesis: Genesis
    scheme: SignatureScheme
    keys: tuple[Keys, ...]

    @property
    def id(self) -> Network:
        """The network's id."""
        return self.genesis.network


def make_network(plan: Plan) -> SimNetwork:
    """The network of a run: its validators first, then those standing by."""
    keys = []
    for number in range(plan.validators + plan.standby):
        seed = sha256(f"validator {number}".encode())
        keys.append(Keys(f"v{number}", SecretKey.derive(seed) if plan.real_crypto else FakeSecretKey(seed)))
    members = tuple(k.member for k in keys[: plan.validators])
    genesis = Genesis(
        network=Network(sha256(f"simulated network {plan.seed}".encode())),
        name="simulated",
        time_ms=Millis(START_MS - 10_000),
        validators=ValidatorSet(FIRST_EPOCH, members),
        founders=(),
        sections={},
    )
    return SimNetwork(genesis, BlsScheme() if plan.real_crypto else FakeScheme(), tuple(keys))
