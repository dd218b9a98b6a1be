# SPDX-License-Identifier: Apache-2.0
"""The parts that a simulated run rests on: its disk, its signature scheme, its plans, its clock, its checkers."""

import random
from dataclasses import replace

import pytest

from chain.consensus.journal import OwnVote
from chain.consensus.messages import CheckpointVote, Vote
from chain.consensus.signer import LocalSigner
from chain.errors import InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Epoch, View, faults_max, sha256
from sim.checkers import Checkers, Violation
from sim.disk import DiskFailure, SimDisk
from sim.network import make_network
from sim.node import SimNode
from sim.plan import BEHAVIOURS, draw
from sim.scheme import FakeScheme, FakeSecretKey
from sim.world import EVENTS_MAX, World
from tests.unit.consensus_rig import make_block, make_checkpoint

PLAN = replace(draw(1), real_crypto=False, validators=4, standby=0, byzantine=())
BLOCK_ID = BlockId(sha256(b"block"))

# ---------------------------------------------------------------- disk


def test_synced_batch_survives_every_crash_with_all_before_it():
    for seed in range(50):
        disk = SimDisk(random.Random(seed))
        disk.write({b"a": b"1"}, sync=False)
        disk.write({b"b": b"1"})
        disk.crash()
        assert (disk.get(b"a"), disk.get(b"b")) == (b"1", b"1")


def test_crash_keeps_a_prefix_of_the_batches_since_the_last_sync_and_sometimes_loses_one():
    kept = set()
    for seed in range(100):
        disk = SimDisk(random.Random(seed))
        disk.write({b"a": b"0", b"gone": b"0"})
        disk.write({b"a": b"1"}, sync=False)
        disk.write({b"a": b"2"}, [b"gone"], sync=False)
        disk.crash()
        kept.add((disk.get(b"a"), disk.get(b"gone")))
    assert kept == {(b"0", b"0"), (b"1", b"0"), (b"2", None)}


def test_failing_write_raises_and_may_have_reached_the_disk():
    found = set()
    for seed in range(50):
        disk = SimDisk(random.Random(seed))
        disk.failing = True
        with pytest.raises(DiskFailure):
            disk.write({b"a": b"1"})
        disk.crash()
        found.add(disk.get(b"a"))
        disk.write({b"b": b"1"})
        assert disk.get(b"b") == b"1"
    assert found == {None, b"1"}


# ---------------------------------------------------------------- signatures


def test_fake_aggregate_verifies_for_exactly_its_signers_and_message_in_any_order():
    scheme = FakeScheme()
    secrets = [FakeSecretKey(b"%d" % number) for number in range(4)]
    keys = [secret.public_key() for secret in secrets]
    signatures = [secret.sign(b"message") for secret in secrets]
    aggregate = scheme.aggregate(signatures[:3])
    assert aggregate == scheme.aggregate(signatures[2::-1])
    scheme.fast_aggregate_verify(keys[:3], b"message", aggregate)
    for wrong_keys, message in ((keys, b"message"), (keys[:2], b"message"), (keys[1:], b"message"), (keys[:3], b"m")):
        with pytest.raises(InvalidSignature):
            scheme.fast_aggregate_verify(wrong_keys, message, aggregate)
    with pytest.raises(InvalidSignature):
        scheme.fast_aggregate_verify([], b"message", bytes(96))
    with pytest.raises(InvalidSignature):
        scheme.verify(keys[0], b"message", signatures[1])
    with pytest.raises(InvalidSignature):
        scheme.aggregate([b"short"])


# ---------------------------------------------------------------- plans and time


def test_plans_keep_liars_within_f_and_cover_what_can_happen():
    plans = [draw(seed) for seed in range(1, 1_001)]
    assert all(len(plan.byzantine) <= faults_max(plan.validators) for plan in plans)
    assert {behaviour for plan in plans for _, behaviour in plan.byzantine} == set(BEHAVIOURS)
    assert {plan.validators for plan in plans} == {1, 4, 5, 7, 10}
    assert sum(plan.real_crypto for plan in plans) == 10
    assert sum(plan.encoded for plan in plans) == 100
    assert sum(plan.set_changes > 0 for plan in plans) > 200
    assert sum(plan.crash_rate > 0 for plan in plans) > 400
    assert [draw(seed) for seed in range(1, 1_001)] == plans


def test_events_happen_in_the_order_of_time_and_then_of_asking():
    world = World(PLAN)
    happened: list[str] = []
    world.after(20, lambda: happened.append("c"))
    world.after(10, lambda: happened.append("a"))
    world.after(10, lambda: happened.append("b"))
    start = world.now
    world.run_until(start + 15)
    assert happened == ["a", "b"]
    assert world.now == start + 15
    world.run_until(start + 20)
    assert happened == ["a", "b", "c"]


def test_avalanche_of_events_fails_the_run():
    world = World(PLAN)

    def again() -> None:
        world.after(0, again)

    again()
    world.events = EVENTS_MAX - 10
    with pytest.raises(AssertionError, match="avalanche"):
        world.run_until(world.now + 1)


# ---------------------------------------------------------------- checkers


def watched() -> tuple[Checkers, SimNode]:
    world, network = World(PLAN), make_network(PLAN)
    checkers = Checkers(network, frozenset(keys.member.bls_key for keys in network.keys))
    return checkers, SimNode(world, network, network.keys[0], "v0", checkers)


def vote(kind: pb.Kind.ValueType, block_id: bytes) -> Vote:
    return Vote(kind, Epoch(1), View(1), BlockId(block_id), bytes(96))


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (vote(pb.KIND_NOTARIZE, BLOCK_ID), vote(pb.KIND_NOTARIZE, sha256(b"other")), "voted twice"),
        (vote(pb.KIND_FINALIZE, BLOCK_ID), vote(pb.KIND_NULLIFY, b""), "finalized and nullified"),
        (vote(pb.KIND_NULLIFY, b""), vote(pb.KIND_FINALIZE, BLOCK_ID), "finalized and nullified"),
    ],
)
def test_checkers_see_an_honest_node_contradict_itself(first, second, complaint):
    checkers, node = watched()
    for each in (first, second):
        checkers.persisted(node, OwnVote(each))
    checkers.sent(node, first)
    with pytest.raises(Violation, match=complaint):
        checkers.sent(node, second)


def test_checkers_see_a_vote_that_was_never_durable():
    checkers, node = watched()
    with pytest.raises(Violation, match="never durable"):
        checkers.sent(node, vote(pb.KIND_NOTARIZE, BLOCK_ID))


def test_checkers_see_an_honest_node_accused():
    checkers, node = watched()
    keys = node.network.keys[1]
    signer = LocalSigner(node.network.id, keys.secret)
    votes = []
    for block_id in (BLOCK_ID, BlockId(sha256(b"other"))):
        made = vote(pb.KIND_NOTARIZE, block_id)
        signature = signer.sign_vote(made.kind, made.epoch, made.view, made.block_id)
        ballot = pb.Ballot(epoch=1, view=1, block_id=block_id).SerializeToString(deterministic=True)
        votes.append(pb.Vote(kind=made.kind, ballot=ballot, signature=signature))
    evidence = pb.Evidence(bls_key=keys.member.bls_key, votes=votes).SerializeToString(deterministic=True)
    with pytest.raises(Violation, match="accuses an honest node"):
        checkers.accused(node, keys.member.bls_key, evidence)


def test_checkers_see_two_signatures_at_one_height():
    checkers, node = watched()
    one, other = make_checkpoint(make_block()), make_checkpoint(make_block(), state=b"other")
    checkers.sent(node, CheckpointVote(one.encode(), bytes(96)))
    with pytest.raises(Violation, match="two checkpoints at height 1"):
        checkers.sent(node, CheckpointVote(other.encode(), bytes(96)))
