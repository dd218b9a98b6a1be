# SPDX-License-Identifier: Apache-2.0
"""A light client follows closing checkpoints, and refuses each step that the protocol's section 5 refuses."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chain.certificate import BlsScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.errors import InvalidCertificate, InvalidMessage
from chain.light_client import TrustAnchor, advance, check, remember
from chain.types import BlockId, Epoch, Height, Millis, Network
from sim.instant_ledger import InstantLedger, secret_of

SCHEME = BlsScheme()
FIRST, SECOND, THIRD = ("a", "b", "c", "d"), ("b", "c", "d", "e"), ("c", "d", "e", "f", "g")


def ledger_of_three_epochs() -> InstantLedger:
    ledger = InstantLedger(FIRST)
    ledger.append()
    ledger.append(next_names=SECOND)
    ledger.append()
    ledger.append()
    ledger.append(next_names=THIRD)
    ledger.append()
    return ledger


LEDGER = ledger_of_three_epochs()
GENESIS = TrustAnchor.from_genesis(LEDGER.genesis)
CLOSINGS = LEDGER.closings
CLOSED = [Checkpoint.decode(closing.certified.checkpoint) for closing in CLOSINGS]


def signed(checkpoint: Checkpoint, signers: Sequence[int] | None = None) -> CertifiedCheckpoint:
    return LEDGER.certify(checkpoint, signers)


def closing(step: int, change: Callable[[Checkpoint], Checkpoint]) -> ClosingCheckpoint:
    """A closing checkpoint that a quorum did sign, but altered."""
    return ClosingCheckpoint(signed(change(CLOSED[step])), CLOSINGS[step].next)


def test_anchor_follows_closing_checkpoints_to_the_newest_epoch():
    anchor = advance(GENESIS, CLOSINGS, SCHEME)
    assert anchor.epoch == 3
    assert anchor.validators == LEDGER.validators
    assert check(anchor, LEDGER.certify(), SCHEME) == LEDGER.checkpoint
    assert advance(advance(GENESIS, CLOSINGS[:1], SCHEME), CLOSINGS[1:], SCHEME) == anchor


def test_anchor_that_starts_at_a_kept_closing_checkpoint_follows_the_rest():
    kept = TrustAnchor.from_closing(CLOSED[0], ValidatorSet.decode(CLOSINGS[0].next))
    assert advance(kept, CLOSINGS[1:], SCHEME).validators == LEDGER.validators
    with pytest.raises(InvalidCertificate):
        TrustAnchor.from_closing(CLOSED[0], ValidatorSet.decode(CLOSINGS[1].next))


def test_skipped_repeated_or_swapped_epoch_is_refused():
    for wrong in (CLOSINGS[1:], [CLOSINGS[0], CLOSINGS[0]], CLOSINGS[::-1]):
        with pytest.raises(InvalidCertificate):
            advance(GENESIS, wrong, SCHEME)


def test_refused_step_leaves_the_anchor_as_it_was():
    before = (GENESIS.epochs, GENESIS.newest)
    with pytest.raises(InvalidCertificate):
        advance(GENESIS, [CLOSINGS[0], CLOSINGS[0]], SCHEME)
    assert (GENESIS.epochs, GENESIS.newest) == before


@pytest.mark.parametrize("height", [0, 1, 2])
def test_height_that_does_not_grow_over_epochs_is_refused(height):
    with pytest.raises(InvalidCertificate):
        advance(GENESIS, [CLOSINGS[0], closing(1, lambda c: replace(c, height=Height(height)))], SCHEME)


def test_time_or_log_size_that_goes_back_over_epochs_is_refused():
    ledger = InstantLedger(FIRST)
    first = replace(ledger.append(next_names=SECOND), log_size=5)
    first_closing = ClosingCheckpoint(ledger.certify(first), ledger.closings[0].next)
    second = replace(ledger.append(next_names=THIRD), log_size=5)
    anchor = advance(TrustAnchor.from_genesis(ledger.genesis), [first_closing], SCHEME)
    good = ClosingCheckpoint(ledger.certify(second), ledger.closings[1].next)
    assert advance(anchor, [good], SCHEME).epoch == 3
    equal = replace(second, time_ms=first.time_ms)
    assert advance(anchor, [ClosingCheckpoint(ledger.certify(equal), good.next)], SCHEME).epoch == 3
    for wrong in (replace(second, time_ms=Millis(first.time_ms - 1)), replace(second, log_size=4)):
        with pytest.raises(InvalidCertificate, match="goes back"):
            advance(anchor, [ClosingCheckpoint(ledger.certify(wrong), good.next)], SCHEME)


def test_checkpoint_before_genesis_is_refused():
    for wrong in (
        replace(CLOSED[0], time_ms=Millis(LEDGER.genesis.time_ms - 1)),
        replace(CLOSED[0], height=Height(0)),
    ):
        with pytest.raises(InvalidCertificate, match="genesis"):
            check(GENESIS, signed(wrong), SCHEME)


def test_step_signed_by_another_set_or_less_than_a_quorum_is_refused():
    few = ClosingCheckpoint(signed(CLOSED[0], [2, 3]), CLOSINGS[0].next)
    with pytest.raises(InvalidCertificate, match="quorum"):
        advance(GENESIS, [few], SCHEME)
    ledger = InstantLedger(("w", "x", "y", "z"))
    foreign = ClosingCheckpoint(ledger.certify(CLOSED[0]), CLOSINGS[0].next)
    with pytest.raises(InvalidCertificate):
        advance(GENESIS, [foreign], SCHEME)


def test_old_set_cannot_sign_for_the_next_epoch():
    anchor = advance(GENESIS, CLOSINGS[:1], SCHEME)
    ledger = InstantLedger(FIRST)
    ledger.names[2] = FIRST
    with pytest.raises(InvalidCertificate):
        advance(anchor, [ClosingCheckpoint(ledger.certify(CLOSED[1]), CLOSINGS[1].next)], SCHEME)


def test_step_of_another_network_is_refused():
    with pytest.raises(InvalidCertificate, match="network"):
        advance(GENESIS, [closing(0, lambda c: replace(c, network=Network(b"m" * 32)))], SCHEME)


def test_checkpoint_that_closes_nothing_is_no_step():
    with pytest.raises(InvalidCertificate, match="does not close"):
        advance(GENESIS, [closing(0, lambda c: replace(c, next_validators=b""))], SCHEME)


def test_set_other_than_the_named_one_is_refused():
    members = tuple(Validator(secret_of(name).public_key(), name) for name in SECOND)
    certified = CLOSINGS[0].certified
    for wrong in (
        ValidatorSet(Epoch(2), members[::-1]),
        ValidatorSet(Epoch(2), members[:3]),
        ValidatorSet(Epoch(2), (replace(members[0], organisation="x"), *members[1:])),
        ValidatorSet(Epoch(3), members),
    ):
        with pytest.raises(InvalidCertificate):
            advance(GENESIS, [ClosingCheckpoint(certified, wrong.encode())], SCHEME)
    for raw in (b"", CLOSINGS[0].next + b"\x18\x01"):
        with pytest.raises(InvalidMessage):
            advance(GENESIS, [ClosingCheckpoint(certified, raw)], SCHEME)


def test_named_set_whose_own_epoch_is_wrong_is_refused():
    wrong_set = replace(ValidatorSet.decode(CLOSINGS[0].next), epoch=Epoch(5))
    certified = signed(replace(CLOSED[0], next_validators=wrong_set.digest()))
    with pytest.raises(InvalidCertificate, match="epoch 5"):
        advance(GENESIS, [ClosingCheckpoint(certified, wrong_set.encode())], SCHEME)


def test_checkpoint_of_an_epoch_above_its_closing_height_is_refused():
    anchor = advance(GENESIS, CLOSINGS, SCHEME)
    for epoch in (1, 2):
        above = replace(
            CLOSED[epoch - 1],
            height=Height(CLOSED[epoch - 1].height + 1),
            time_ms=Millis(CLOSED[epoch - 1].time_ms + 1),
            next_validators=b"",
        )
        with pytest.raises(InvalidCertificate, match="closed at"):
            check(anchor.at(epoch), signed(above), SCHEME)
        assert check(anchor.at(epoch), CLOSINGS[epoch - 1].certified, SCHEME) == CLOSED[epoch - 1]


def test_another_closing_of_a_known_epoch_is_a_contradiction():
    anchor = advance(GENESIS, CLOSINGS, SCHEME)
    for wrong in (
        closing(1, lambda c: replace(c, state_root=b"x" * 32)),
        closing(1, lambda c: replace(c, height=Height(c.height + 1), time_ms=Millis(c.time_ms + 1))),
        closing(1, lambda c: replace(c, height=Height(c.height - 1), time_ms=Millis(c.time_ms - 1))),
    ):
        with pytest.raises(InvalidCertificate) as refusal:
            advance(anchor.at(2), [wrong], SCHEME)
        assert refusal.value.code == "certificate.contradiction"


def test_checkpoint_that_contradicts_the_newest_one_is_refused():
    newest = replace(LEDGER.checkpoint, log_size=7)
    anchor = remember(advance(GENESIS, CLOSINGS, SCHEME), newest)
    for wrong in (
        replace(newest, log_root=b"x" * 32),
        replace(newest, block_id=BlockId(b"x" * 32)),
        replace(newest, height=Height(newest.height + 1), time_ms=Millis(newest.time_ms - 1)),
        replace(newest, height=Height(newest.height + 1), log_size=6),
    ):
        with pytest.raises(InvalidCertificate) as refusal:
            check(anchor, signed(wrong), SCHEME)
        assert refusal.value.code == "certificate.contradiction"
    later = replace(newest, height=Height(newest.height + 1), time_ms=Millis(newest.time_ms + 1))
    assert remember(anchor, check(anchor, signed(later), SCHEME)).newest == later
    assert remember(anchor, check(anchor, signed(newest), SCHEME)) is anchor


def test_older_checkpoint_of_the_epoch_must_fit_below_the_newest():
    anchor = advance(GENESIS, CLOSINGS[:1], SCHEME)
    newest = replace(CLOSED[1], next_validators=b"", log_size=7)
    anchor = remember(anchor, newest)
    older = replace(newest, height=Height(newest.height - 1), time_ms=Millis(newest.time_ms - 1))
    assert check(anchor, signed(older), SCHEME) == older
    for wrong in (
        replace(older, time_ms=Millis(newest.time_ms + 1)),
        replace(older, log_size=8),
        replace(older, next_validators=b"x" * 32),
        replace(older, height=CLOSED[0].height),
    ):
        with pytest.raises(InvalidCertificate):
            check(anchor, signed(wrong), SCHEME)


def test_epoch_that_closed_below_a_kept_checkpoint_is_a_contradiction():
    anchor = advance(GENESIS, CLOSINGS[:1], SCHEME)
    later = replace(CLOSED[1], height=Height(CLOSED[1].height + 1), next_validators=b"")
    anchor = remember(anchor, check(anchor, signed(later), SCHEME))
    with pytest.raises(InvalidCertificate) as refusal:
        advance(anchor, CLOSINGS[1:], SCHEME)
    assert refusal.value.code == "certificate.contradiction"


def test_epoch_that_the_anchor_does_not_know_is_named():
    anchor = advance(TrustAnchor.from_closing(CLOSED[0], ValidatorSet.decode(CLOSINGS[0].next)), CLOSINGS[1:], SCHEME)
    for epoch in (0, 1, 4):
        with pytest.raises(InvalidCertificate, match=f"epoch {epoch} is unknown"):
            anchor.at(epoch)
