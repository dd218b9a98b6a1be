# SPDX-License-Identifier: Apache-2.0
"""Random histories of membership operations, valid and not, keep what the rules promise.

After each block: each organisation that validates is active and can govern, the set keeps its limits, no BLS key
serves twice, and a failed transaction has left no trace.
"""

import hashlib
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from chain.checkpoint import Validator, ValidatorSet
from chain.module import BlockFacts, Context
from chain.overlay import Overlay
from chain.transaction import SignedTransaction
from chain.types import Height, Millis, TransactionId, faults_max
from membership.keys import has_standing_governor
from membership.pb import membership_pb2 as pb
from membership.state import load_open_proposals, load_organisation, load_seat, load_validators
from tests.rig import NETWORK, Rig, bls_key, code_of, der, four, possession, signer_pb
from tests.unit.test_membership_validators import double_vote

ROOT = Path(__file__).resolve().parents[2]
ORGANISATIONS = ("org-a", "org-b", "org-c", "org-d", "org-r", "org-x")
KEYS = [f"{name}:{what}" for name in ORGANISATIONS for what in ("submit", "govern", "attest", "spare", "ends")]
BLOCKS = 40


class History:
    """Draws transactions that are often right, and blocks of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = Rig(four())
        self.proposals: list[bytes] = []
        self.served: set[bytes] = set(self.rig.validators.keys)

    def organisation(self) -> str:
        return self.random.choice(ORGANISATIONS)

    def validator(self) -> str:
        return f"v{self.random.randrange(12)}"

    def grant(self) -> pb.KeyGrant:
        ends = self.rig.time_ms + 5_000 if self.random.random() < 0.3 else 0
        purposes = self.random.choice([[2], [2], [1, 2], [1, 3], [3]])
        return pb.KeyGrant(key=signer_pb(self.random.choice(KEYS)), purposes=purposes, valid_to_ms=ends)

    def join(self) -> pb.AddValidator:
        name, organisation = self.validator(), self.organisation()
        return pb.AddValidator(
            bls_key=bls_key(name),
            organisation=organisation,
            possession=possession(organisation, bls_key(name)),
            endpoint=pb.Endpoint(address=f"{name}:1", tls_certificate=der(name)),
        )

    def act(self) -> pb.Act:
        joining, organisation = self.join(), self.organisation()
        swap = pb.ReplaceValidator(
            bls_key=bls_key(self.validator()),
            new_bls_key=joining.bls_key,
            possession=joining.possession,
            endpoint=joining.endpoint,
        )
        key = signer_pb(self.random.choice(KEYS))
        return self.random.choice(
            [
                pb.Act(add_validator=joining),
                pb.Act(remove_validator=pb.RemoveValidator(bls_key=bls_key(self.validator()))),
                pb.Act(replace_validator=swap),
                pb.Act(suspend_organisation=pb.SuspendOrganisation(id=organisation)),
                pb.Act(reinstate_organisation=pb.ReinstateOrganisation(id=organisation)),
                pb.Act(add_key=pb.AddOrganisationKey(organisation=organisation, key=self.grant())),
                pb.Act(revoke_key=pb.RevokeOrganisationKey(organisation=organisation, key=key)),
                pb.Act(add_organisation=pb.AddOrganisation(id="org-x", name_en="X", keys=[self.grant()])),
                pb.Act(grant_role=pb.GrantRole(organisation=organisation, role="registrar")),
            ]
        )

    def holder(self, added: pb.KeyGrant) -> list[str]:
        """The key's own name, most of the time."""
        return [key for key in KEYS if signer_pb(key) == added.key and self.random.random() < 0.9]

    def transactions(self) -> list[SignedTransaction]:
        """One block's."""
        drawn: list[SignedTransaction] = []
        for _ in range(self.random.randrange(1, 6)):
            name = f"{self.organisation()}:{self.random.choice(['govern', 'govern', 'govern', 'spare'])}"
            kind = self.random.randrange(8)
            epoch = self.rig.epoch if self.random.random() < 0.95 else self.rig.epoch + 1
            if kind <= 2:
                acts = [self.act() for _ in range(self.random.randrange(1, 4))]
                if self.random.random() < 0.1:
                    leavers = self.random.sample(self.rig.validators.keys, min(2, len(self.rig.validators.keys)))
                    acts = [pb.Act(remove_validator=pb.RemoveValidator(bls_key=key)) for key in leavers]
                message = pb.Propose(epoch=epoch, expires_at_ms=self.rig.time_ms + 20_000, acts=acts)
                drawn.append(self.rig.sign(name, message))
                self.proposals.append(drawn[-1].id)
                # Many agree at once, or else histories would stand still.
                approve = pb.Approve(proposal_id=self.proposals[-1], epoch=epoch)
                voters = self.random.sample(ORGANISATIONS, self.random.randrange(len(ORGANISATIONS) + 1))
                drawn.extend(self.rig.sign(f"{voter}:govern", approve) for voter in voters)
            elif kind == 3 and self.proposals:
                proposal = self.random.choice(self.proposals[-6:])
                drawn.append(self.rig.sign(name, pb.Withdraw(proposal_id=proposal, epoch=epoch)))
            elif kind == 4:
                added = self.grant()
                drawn.append(self.rig.sign(list(dict.fromkeys([name, *self.holder(added)])), pb.AddKey(key=added)))
            elif kind == 5:
                drawn.append(self.rig.sign(name, pb.RevokeKey(key=signer_pb(self.random.choice(KEYS)))))
            elif kind == 6 and self.random.random() < 0.3:
                report = double_vote(self.validator(), epoch)
                drawn.extend(self.rig.sign(f"{name}:submit", report) for name in ("org-a", "org-r"))
            else:
                broken = pb.Approve(proposal_id=bytes(32), epoch=epoch)
                drawn.append(self.rig.sign(name, pb.AddKey(key=self.grant()), broken))
        return drawn

    def block(self) -> list[str]:
        """Run one block, check what must hold, and give the entries' codes."""
        rig, before = self.rig, self.rig.validators
        transactions = self.transactions()
        tried = rig.execute(*transactions)
        codes = [code_of(entry) for entry in tried.entries]
        successful = [t for t, code in zip(tried.executed, codes, strict=True) if not code]
        assert rig.execute(*successful).writes == tried.writes, "a failed transaction left a trace"
        facts = self.facts()
        outcome = rig.run(*transactions)
        assert outcome == tried
        after = load_validators(rig.state.get)
        assert (outcome.next_set is not None) is (after != before.validators)
        assert rig.epoch == before.epoch + (outcome.next_set is not None)
        self.check_set(before, after)
        for organisation in sorted({validator.organisation for validator in after}):
            found = load_organisation(rig.state.get, organisation)
            assert found is not None
            assert found.is_active
            assert has_standing_governor(facts, organisation)
        listed = {one.id for one in load_open_proposals(rig.state.get)}
        prefix = b"membership/proposal/"
        assert listed == {bytes.fromhex(key[len(prefix) :].decode()) for key in rig.state if key.startswith(prefix)}
        return codes

    def check_set(self, before: ValidatorSet, after: tuple[Validator, ...]) -> None:
        """The limits on joins and leaves, and that no key comes back."""
        old, new = set(before.keys), {validator.bls_key for validator in after}
        assert 1 <= len(new) == len(after)
        assert len(new - old) <= max(1, faults_max(len(new)))
        assert len(old - new) <= max(1, faults_max(len(old)))
        assert not (new - old) & self.served, "a BLS key serves a second time"
        self.served |= new
        for key in old - new:
            seat = load_seat(self.rig.state.get, key)
            assert seat is not None
            assert seat.until_epoch == before.epoch

    def facts(self) -> Context:
        """State after the block, at its time."""
        rig = self.rig
        block = BlockFacts(NETWORK, Height(rig.height + 1), Millis(rig.time_ms), rig.validators)
        return Context(block, TransactionId(bytes(32)), (), 0, 1, (), Overlay(rig.state.get))


def digest_of(seeds: range) -> str:
    """Everything that these histories yield, as one hash."""
    total = hashlib.sha256()
    for seed in seeds:
        history = History(seed)
        for _ in range(BLOCKS):
            total.update("/".join(history.block()).encode())
        for key, value in sorted(history.rig.state.items()):
            total.update(key + value)
    return total.hexdigest()


@pytest.mark.parametrize("seed", range(40))
def test_random_history_keeps_the_invariants(seed: int) -> None:
    history = History(seed)
    for _ in range(BLOCKS):
        history.block()


def test_histories_reach_what_they_are_to_test() -> None:
    seen: Counter[str] = Counter()
    epochs = 0
    for seed in range(40):
        history = History(seed)
        for _ in range(BLOCKS):
            seen.update(history.block())
        epochs += history.rig.epoch - 1
    assert epochs >= 20, "sets change often"
    assert seen[""] >= 200
    for code in (
        "already-approved",
        "bls-key-used",
        "evidence-known",
        "last-govern-key",
        "not-voting",
        "organisation-validates",
        "set-changed",
        "too-many-joins",
        "too-many-leaves",
        "unknown-proposal",
        "wrong-epoch",
    ):
        assert seen[f"membership.{code}"], code


@pytest.mark.parametrize("hash_seed", ["1", "31337"])
def test_history_is_the_same_under_another_hash_seed(hash_seed: str) -> None:
    """This process has a seed of its own, so three are compared."""
    code = "from tests.properties.test_membership_histories import digest_of; print(digest_of(range(3)))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert other.stdout.strip() == digest_of(range(3))
