# SPDX-License-Identifier: Apache-2.0
"""The delay bound Δ and the timers: docs/protocol.md, section 3, first paragraph and "Enter v"."""

import pytest

from chain.consensus import events as ev
from chain.consensus.pace import Pace, Timing
from chain.consensus.tally import NOTARIZE, NULLIFY
from chain.types import Millis
from tests.unit.consensus_rig import START_MS, Node, certificate, chain_of, make_block, propose, vote

AT = Millis(100_000)


def pace(faults_max: int = 1, *, pending: bool = False) -> Pace:
    made = Pace(Timing(), faults_max)
    if pending:
        made.set_pending(True, AT)
    made.enter(AT)
    return made


def test_bound_starts_at_500_ms():
    """Section 3: "Δ is the assumed delay bound: 500 ms at first"."""
    assert pace().delta_ms == 500
    assert Node().core.delta_ms == 500


def test_bound_grows_by_half_when_a_proposal_arrives_late():
    """Section 3: "×1.5 when a proposal arrives after one's own nullify"."""
    node = Node()
    node.wait(2_000)
    node.tell(1, propose(make_block()))
    assert node.core.delta_ms == 750


def test_bound_does_not_grow_when_a_proposal_arrives_in_time():
    """Section 3: the edge of the rule above."""
    node = Node()
    node.wait(1_999)
    node.tell(1, propose(make_block()))
    assert node.core.delta_ms == 500


@pytest.mark.parametrize("faults_max", [0, 1, 3])
def test_bound_grows_by_half_with_each_nullified_view_beyond_f_in_a_row(faults_max):
    """Section 3: "×1.5 when […] more than f consecutive views are nullified"."""
    one = pace(faults_max)
    for _ in range(faults_max):
        one.view_nullified()
    assert one.delta_ms == 500
    one.view_nullified()
    assert one.delta_ms == 750
    one.view_notarized()
    assert one.delta_ms == 750 * 97 // 100
    for _ in range(faults_max):
        one.view_nullified()
    assert one.delta_ms == 750 * 97 // 100


def test_bound_shrinks_by_three_percent_with_each_notarization():
    """Section 3: "×0.97 per notarization"."""
    node = Node()
    node.tell(1, certificate(NOTARIZE, 1, make_block()))
    assert node.core.delta_ms == 485
    node.tell(1, certificate(NOTARIZE, 2, make_block(2, None, make_block())))
    assert node.core.delta_ms == 470


def test_bound_stays_between_250_ms_and_10_s():
    """Section 3: "bounded by 250 ms and 10 s"."""
    one = pace()
    for _ in range(100):
        one.view_notarized()
    assert one.delta_ms == 250
    for _ in range(100):
        one.view_nullified()
    assert one.delta_ms == 10_000


def test_bound_of_a_validator_grows_when_more_than_f_views_in_a_row_are_nullified():
    """Section 3: as the replica applies it."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    assert node.core.delta_ms == 500
    node.tell(1, certificate(NULLIFY, 2))
    assert node.core.delta_ms == 750


def test_timers_are_2_and_3_bounds_with_pending_transactions():
    """Section 3: "Leader timer 2Δ, view timer 3Δ"."""
    one = pace(pending=True)
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (1_000, 1_500)


def test_timers_are_longer_by_the_idle_interval_with_nothing_to_order():
    """Section 3: "With nothing to order, both are longer by `idle_interval` (1 s)"."""
    one = pace()
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (2_000, 2_500)


def test_timers_shrink_from_now_on_the_first_pending_transaction():
    """Section 3: "shrink to 2Δ and 3Δ from now on the first pending transaction"."""
    one = pace()
    one.set_pending(True, Millis(AT + 300))
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (1_300, 1_800)
    one.set_pending(True, Millis(AT + 900))
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (1_300, 1_800)


def test_timers_never_grow_on_a_pending_transaction():
    """Section 3: late in a view the old deadline stands."""
    one = pace()
    one.set_pending(True, Millis(AT + 1_900))
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (2_000, 2_500)


def test_timers_grow_again_when_nothing_is_left_to_order():
    """Section 3: "With nothing to order, both are longer by `idle_interval`"."""
    one = pace(pending=True)
    one.set_pending(False, Millis(AT + 100))
    assert (one.leader_deadline_ms - AT, one.view_deadline_ms - AT) == (2_000, 2_500)


def test_member_with_a_pending_transaction_nullifies_after_2_bounds_from_then():
    """Section 3: as the replica applies it."""
    node = Node()
    node.wait(500)
    node.step(ev.PendingChanged(pending=True))
    node.wait(999)
    assert not node.votes(NULLIFY)
    node.wait(1)
    assert node.votes(NULLIFY)


def test_leader_under_load_lets_the_block_interval_pass_since_the_parent():
    """A block costs the same signatures whatever it holds; the wait is bounded whatever the parent's time says."""
    one = pace(pending=True)
    assert one.proposal_at_ms(Millis(AT - 1_000), AT) == AT
    assert one.proposal_at_ms(Millis(AT - 40), AT) == AT + 60
    assert one.proposal_at_ms(Millis(AT + 1_000_000), AT) == AT + 100


def test_empty_proposal_comes_before_followers_lose_patience():
    """Section 3: "a leader proposes within `idle_interval` even when idle"."""
    assert pace().empty_proposal_at_ms() == AT + 1_000
    one = pace(pending=True)
    assert one.empty_proposal_at_ms() < one.leader_deadline_ms


def test_bound_starts_afresh_after_a_restart_in_any_view():
    """Section 3: Δ is no part of what is durable."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1), certificate(NULLIFY, 2), certificate(NULLIFY, 3))
    assert node.core.delta_ms > 500
    node.restart()
    assert node.core.view == 4
    assert node.core.delta_ms == 500


def test_wake_up_is_asked_for_in_the_future_and_no_later_than_the_next_deadline():
    """The driver sleeps until then: a core that named the past would spin, one that named too late would stall."""
    node = Node()
    for block in chain_of(3):
        node.tell(1, vote(1, NOTARIZE, block.view, block))
        assert START_MS < node.wake_at <= node.now + 2_000
        node.wait(700)
        assert node.now < node.wake_at <= node.now + 3 * node.core.delta_ms + 1_000
