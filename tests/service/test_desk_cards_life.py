# SPDX-License-Identifier: Apache-2.0
"""The life of a card: each possible step leads where the page says, and every other one is refused."""

import pytest

from identity.api.desk.cards_life import BOUND_KEYS, COUNTS, LIVING, OVER, CardState, CardStep, StepRefused, after

S, T = CardState, CardStep
WAY = [
    (T.PERSONALISE, S.PERSONALISED),
    (T.BIND, S.BOUND),
    (T.PRINT, S.PRINTED),
    (T.HAND_OVER, S.HANDED_OVER),
    (T.ACTIVATE, S.ACTIVE),
    (T.SUSPEND, S.SUSPENDED),
    (T.REINSTATE, S.ACTIVE),
    (T.REVOKE, S.REVOKED),
    (T.DESTROY, S.DESTROYED),
]
POSSIBLE = {
    S.REQUESTED: {T.PERSONALISE, T.FAIL, T.CANCEL},
    S.PERSONALISED: {T.BIND, T.FAIL, T.CANCEL},
    S.BOUND: {T.PRINT, T.SUSPEND, T.REPLACE, T.REVOKE, T.EXPIRE},
    S.PRINTED: {T.PRINT, T.HAND_OVER, T.SUSPEND, T.REPLACE, T.REVOKE, T.EXPIRE},
    S.HANDED_OVER: {T.ACTIVATE, T.SUSPEND, T.REPLACE, T.REVOKE, T.EXPIRE},
    S.ACTIVE: {T.SUSPEND, T.REPLACE, T.REVOKE, T.EXPIRE},
    S.SUSPENDED: {T.REINSTATE, T.REPLACE, T.REVOKE, T.EXPIRE},
    S.REPLACED: {T.DESTROY},
    S.REVOKED: {T.DESTROY},
    S.EXPIRED: {T.REPLACE, T.REVOKE},
    S.FAILED: {T.DESTROY},
    S.CANCELLED: {T.DESTROY},
    S.DESTROYED: set(),
}
REFUSED = [(state, step) for state in CardState for step in CardStep if step not in POSSIBLE[state]]


def test_card_goes_the_whole_way_from_request_to_destruction() -> None:
    state = S.REQUESTED
    for step, expected in WAY:
        state = after(state, step)
        assert state is expected


@pytest.mark.parametrize(("state", "step"), REFUSED, ids=str)
def test_step_that_does_not_follow_the_state_is_refused(state: CardState, step: CardStep) -> None:
    with pytest.raises(StepRefused) as refused:
        after(state, step)
    assert (refused.value.state, refused.value.step) == (state, step)


@pytest.mark.parametrize("state", CardState)
def test_each_step_that_a_state_has_is_possible(state: CardState) -> None:
    for step in POSSIBLE[state]:
        assert after(state, step) in CardState


@pytest.mark.parametrize("before", sorted(COUNTS))
def test_card_suspended_before_its_holder_had_it_goes_back_to_where_it_was(before: CardState) -> None:
    assert after(after(before, T.SUSPEND), T.REINSTATE, before) is before


def test_no_card_whose_keys_may_count_is_destroyed() -> None:
    for state in BOUND_KEYS:
        with pytest.raises(StepRefused):
            after(state, T.DESTROY)


def test_nothing_leads_back_from_where_no_key_counts() -> None:
    for state in OVER | {S.DESTROYED}:
        for step in POSSIBLE[state]:
            assert after(state, step) in OVER | {S.DESTROYED}
    assert not LIVING & (OVER | {S.DESTROYED})
