# SPDX-License-Identifier: Apache-2.0
"""Random histories of decisions and reviews keep what the rules promise.

After each step the ledger's record is what an account of our own says: who decided, what counts now, how many reviews
there were; and a refused step has left no trace. Whatever came before, a burden that stands can be lifted.
"""

import random
from dataclasses import dataclass

import pytest

from credit.decisions import load_decision
from credit.pb import credit_pb2 as pb
from tests.credit_rig import CreditRig
from tests.identity_rig import hidden

SEEDS = range(6)
STEPS = 60
HUMANS = ("judge@p256", "chief@webauthn")
SIGNERS = (*HUMANS, *HUMANS, "org-x:attest", "ann@p256")
GRANTED, REFUSED, BURDEN = pb.OUTCOME_BENEFIT_GRANTED, pb.OUTCOME_BENEFIT_REFUSED, pb.OUTCOME_BURDEN
LIFTS = {REFUSED: GRANTED, BURDEN: pb.OUTCOME_UNSPECIFIED}


@dataclass
class Decision:
    """What we say of a decision."""

    who: str
    outcome: int
    reviews: int = 0

    def takes(self, who: str, outcome: int, number: int) -> bool:
        """Whether a review must be taken."""
        is_another = self.who in HUMANS and who in HUMANS and who != self.who
        is_fit = self.outcome in LIFTS and outcome in (self.outcome, LIFTS[self.outcome])
        return is_another and is_fit and number == self.reviews + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_histories_of_decisions_and_reviews_end_where_our_own_account_says(seed: int) -> None:
    draw, rig = random.Random(seed), CreditRig()
    known: dict[bytes, Decision] = {}
    taken = 0
    for step in range(STEPS):
        before = dict(rig.state)
        if not known or draw.random() < 0.2:
            key, who, outcome = hidden(f"{step}"), draw.choice(("org-x:attest", *HUMANS)), draw.choice((1, 2, 3))
            message = pb.Decide(id=key, outcome=pb.Outcome.ValueType(outcome), commitment=hidden("why"))
            if outcome == BURDEN:
                setattr(message, "class", 101)
            else:
                message.benefit = 7
            is_taken = outcome == GRANTED or who in HUMANS
            if is_taken:
                known[key] = Decision(who, outcome)
            assert (rig.code(who, message) == "") == is_taken
        else:
            key, who = draw.choice(list(known)), draw.choice(SIGNERS)
            one = known[key]
            number = max(0, one.reviews + draw.choice((0, 1, 1, 1, 1, 2)))
            outcome = draw.choice((one.outcome, one.outcome, LIFTS.get(one.outcome, 0), draw.randrange(5)))
            is_taken = one.takes(who, outcome, number)
            review = pb.Review(id=key, outcome=pb.Outcome.ValueType(outcome), number=number)
            assert (rig.code(who, review) == "") == is_taken
            if is_taken:
                one.outcome, one.reviews = outcome, number
        taken += is_taken
        if not is_taken:
            assert {k: v for k, v in rig.state.items() if k.startswith(b"credit/decision/")} == {
                k: v for k, v in before.items() if k.startswith(b"credit/decision/")
            }
        for each, said in known.items():
            record = load_decision(rig.state.get, each)
            assert record is not None
            assert (record.outcome, record.reviews) == (said.outcome, said.reviews)
    assert taken >= STEPS // 10, "histories in which things happen"
    for each, said in known.items():
        if said.outcome == BURDEN:
            other = HUMANS[1] if said.who == HUMANS[0] else HUMANS[0]
            assert rig.code(other, pb.Review(id=each, number=said.reviews + 1)) == ""
