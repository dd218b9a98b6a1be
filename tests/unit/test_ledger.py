# SPDX-License-Identifier: Apache-2.0
"""The ledger over a store: genesis, admission, proposing, committing, restarting, reading with proof.

Source of the rules: docs/protocol.md, sections 2, 4, 5 and 8.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from chain.application import Application, Execution
from chain.consensus.block import Block
from chain.errors import InvalidGenesis, Refused
from chain.ledger import Ledger
from chain.log import root_of
from chain.memory import MemoryDatabase
from chain.transaction import SignedTransaction
from chain.tree import verify_ics23
from chain.types import BlockId, Height, Millis, Network, View
from identity.pb import identity_pb2
from identity.status import status_key
from membership.pb import membership_pb2 as pb
from node.store import LedgerStore
from tests.rig import NETWORK, START_MS, bls_key, code_of, der, four, possession, registry, signer, transaction

ID = bytes(16)
DAY_MS = 86_400_000


class Desk:
    """A ledger and what drives it."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = database or MemoryDatabase()
        self.salt = 0
        self.open()

    def open(self) -> None:
        modules, membership = registry()
        self.ledger = Ledger(LedgerStore(self.database), four(), modules, membership)

    @property
    def time_ms(self) -> Millis:
        return Millis(self.ledger.tip().time_ms + 1_000)

    def sign(self, name: str, *messages, lifetime_ms: int = 60_000) -> SignedTransaction:
        self.salt += 1
        return transaction(messages, [signer(name)], self.time_ms + lifetime_ms, self.salt)

    def block(self, *transactions: SignedTransaction, time_ms: int = 0) -> Block:
        tip = self.ledger.tip()
        return Block.make(
            self.ledger.validators.epoch,
            View(1),
            Height(tip.height + 1),
            tip.block_id,
            Millis(time_ms or self.time_ms),
            tuple(t.digest for t in transactions),
        )

    def execute(self, *transactions: SignedTransaction) -> Execution:
        return self.ledger.execute(self.block(*transactions), transactions)

    def run(self, *transactions: SignedTransaction) -> Execution:
        execution = self.execute(*transactions)
        self.ledger.commit(execution)
        return execution

    def revoke(self, attestation: bytes = ID) -> SignedTransaction:
        return self.sign(
            "org-r:attest",
            identity_pb2.SetStatus(
                id=attestation, status=identity_pb2.STATUS_REVOKED, reason=identity_pb2.REASON_SUPERSEDED
            ),
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def test_ledger_is_an_application(desk: Desk) -> None:
    application: Application = desk.ledger
    tip = application.tip()
    assert (tip.height, tip.block_id, tip.time_ms, tip.epoch) == (0, BlockId(NETWORK), START_MS, 0)
    assert desk.ledger.validators == four().validators


def test_genesis_state_is_provable_and_the_same_for_everyone(desk: Desk) -> None:
    answer = desk.ledger.query(b"membership/organisation/org-r")
    assert (answer.height, answer.value is not None) == (0, True)
    empty = [d.execute().checkpoint for d in (desk, Desk())]
    assert empty[0] == empty[1]


def test_execution_yields_the_checkpoint_and_changes_nothing_until_committed(desk: Desk) -> None:
    before = desk.database.pairs()
    execution = desk.execute(desk.revoke())
    assert desk.database.pairs() == before
    assert desk.ledger.tip().height == 0
    checkpoint = execution.checkpoint
    assert (checkpoint.network, checkpoint.epoch, checkpoint.height, checkpoint.log_size) == (NETWORK, 1, 1, 1)
    assert checkpoint.block_id == execution.block.id
    assert checkpoint.log_root == root_of(execution.entries)
    desk.ledger.commit(execution)
    assert desk.ledger.tip().block_id == execution.block.id
    answer = desk.ledger.query(status_key("org-r", ID))
    assert answer.value is not None
    verify_ics23(answer.proof, checkpoint.state_root, status_key("org-r", ID), answer.value)


def test_absence_before_and_presence_after_are_proven_at_their_heights(desk: Desk) -> None:
    first = desk.run().checkpoint
    second = desk.run(desk.revoke()).checkpoint
    key = status_key("org-r", ID)
    for checkpoint, present in ((first, False), (second, True)):
        answer = desk.ledger.query(key, checkpoint.height)
        assert (answer.value is not None) is present
        verify_ics23(answer.proof, checkpoint.state_root, key, answer.value)
    assert refusal(desk.ledger.query, key, Height(3)) == "state.no-such-height"


def test_commit_of_an_execution_made_before_another_one_is_the_same(desk: Desk) -> None:
    one = desk.execute(desk.revoke())
    desk.execute()
    desk.ledger.commit(one)
    assert desk.ledger.tip().block_id == one.block.id
    assert desk.ledger.query(status_key("org-r", ID)).value is not None


def test_restart_between_execution_and_commit_executes_the_same_again(desk: Desk) -> None:
    transactions = [desk.revoke()]
    block = desk.block(*transactions)
    first = desk.ledger.execute(block, transactions)
    desk.open()
    assert desk.ledger.execute(block, transactions) == first


def test_restart_goes_on_from_the_newest_block_and_remembers_ids(desk: Desk) -> None:
    done = desk.revoke()
    desk.run(done)
    desk.open()
    assert desk.ledger.tip().height == 1
    assert desk.ledger.is_executed(done.id)
    assert refusal(desk.ledger.check, done, desk.time_ms) == "transaction.repeated"
    assert desk.run(done).skipped == (done.digest,)


def test_transaction_executes_once_even_after_it_was_forgotten(desk: Desk) -> None:
    one = desk.revoke()
    desk.run(one)
    for _ in range(70):
        execution = desk.execute(one)
        assert execution.skipped == (one.digest,)
        desk.ledger.commit(desk.execute())
    assert not desk.ledger.is_executed(one.id), "forgotten by now, and expired"


def test_closing_block_moves_the_ledger_into_the_next_epoch_also_over_a_restart(desk: Desk) -> None:
    join = pb.AddValidator(
        bls_key=bls_key("v4"),
        organisation="org-d",
        possession=possession("org-d", bls_key("v4")),
        endpoint=pb.Endpoint(address="v4:1", tls_certificate=der("v4")),
    )
    acts = [pb.Act(add_validator=join)]
    proposal = desk.sign("org-a:govern", pb.Propose(epoch=1, expires_at_ms=desk.time_ms + DAY_MS, acts=acts))
    approvals = [
        desk.sign(f"{name}:govern", pb.Approve(proposal_id=proposal.id, epoch=1)) for name in ("org-b", "org-c")
    ]
    execution = desk.run(proposal, *approvals)
    assert [code_of(entry) for entry in execution.entries] == ["", "", ""]
    assert execution.next_set is not None
    assert execution.checkpoint.next_validators == execution.next_set.digest()
    for _ in range(2):
        assert desk.ledger.validators == execution.next_set
        assert desk.ledger.validators.epoch == 2
        desk.open()
    assert desk.run().checkpoint.epoch == 2


def test_store_of_another_network_is_refused(desk: Desk) -> None:
    modules, membership = registry()
    other = replace(four(), network=Network(bytes(32)))
    with pytest.raises(InvalidGenesis, match="holds the network") as caught:
        Ledger(LedgerStore(desk.database), other, modules, membership)
    assert caught.value.code == "genesis.other-network"


# ---------------------------------------------------------------- admission and proposing


@pytest.mark.parametrize(
    ("circumstance", "name", "lifetime_ms", "code"),
    [
        ("expired", "org-a:submit", -1, "transaction.expired"),
        ("too far ahead", "org-a:submit", 300_001, "transaction.expires-too-late"),
        ("unknown signer", "nobody", 1, "transaction.unknown-signer"),
    ],
)
def test_admission_refuses_what_a_block_would_skip(
    desk: Desk, circumstance: str, name: str, lifetime_ms: int, code: str
) -> None:
    one = desk.sign(name, identity_pb2.Attest(), lifetime_ms=lifetime_ms)
    assert refusal(desk.ledger.check, one, desk.time_ms) == code, circumstance
    assert desk.execute(one).skipped == (one.digest,)
    assert desk.ledger.propose([one], desk.time_ms, bytes_max=1 << 20, count_max=9) == []


def test_proposal_holds_candidates_in_order_up_to_its_bounds_without_repeats(desk: Desk) -> None:
    done, *rest = [desk.revoke(bytes([i] * 16)) for i in range(5)]
    desk.run(done)
    strange = desk.sign("nobody", identity_pb2.Attest())
    candidates = [done, rest[0], rest[0], strange, *rest[1:]]
    size = len(rest[0].raw)
    for bytes_max, count_max, expected in ((size * 9, 9, 4), (size * 9, 2, 2), (size * 3, 9, 3), (size - 1, 9, 0)):
        chosen = desk.ledger.propose(candidates, desk.time_ms, bytes_max=bytes_max, count_max=count_max)
        assert chosen == [t.digest for t in rest[:expected]]
    assert desk.run(*rest).skipped == ()


def test_admission_sees_a_key_revoked_by_the_last_block(desk: Desk) -> None:
    one = desk.sign("org-b:submit", identity_pb2.Attest())
    desk.ledger.check(one, desk.time_ms)
    key = pb.RevokeKey()
    key.key.scheme, key.key.public_key = 1, signer("org-b:submit").public_key
    desk.run(desk.sign("org-b:govern", key))
    assert refusal(desk.ledger.check, one, desk.time_ms) == "transaction.unknown-signer"


@pytest.mark.parametrize(
    ("circumstance", "sizes", "code"),
    [
        ("as many bytes as allowed", [256 * 1024] * 16, ""),
        ("too many bytes", [256 * 1024] * 16 + [1], "block.too-large"),
        ("a transaction too large", [256 * 1024 + 1], "transaction.too-large"),
        ("as many transactions as allowed", [1] * 20_000, ""),
        ("too many transactions", [1] * 20_001, "block.too-many-transactions"),
    ],
)
def test_validation_keeps_the_limits_of_a_block(desk: Desk, circumstance: str, sizes: list[int], code: str) -> None:
    bodies = [SimpleNamespace(raw=bytes(size)) for size in sizes]
    if code:
        assert refusal(desk.ledger.validate, bodies) == code, circumstance
    else:
        desk.ledger.validate(bodies)


def test_block_out_of_order_stops_the_node(desk: Desk) -> None:
    block = desk.block()
    desk.ledger.commit(desk.ledger.execute(block, []))
    with pytest.raises(AssertionError, match="height order"):
        desk.ledger.execute(block, [])
    later = desk.block(time_ms=desk.ledger.tip().time_ms)
    with pytest.raises(AssertionError, match="time is later"):
        desk.ledger.execute(later, [])
