# SPDX-License-Identifier: Apache-2.0
"""The client against a true ledger whose servers fail, stall and lie."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_network import FakeNetwork, Ledger

from chain import receipt
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidMessage, LedgerError, Refused
from chain.log import leaf_hash, root_of_hashes
from chain.pb import ledger_pb2
from chain.receipt import CLOCK_SKEW_MS_MAX
from chain.transaction import Operation, SignedTransaction
from client import submission
from client.answers import receipt_of
from client.connection import Endpoint
from client.errors import TransportError
from client.follow import Cursor
from client.log_edge import LogEdge
from client.pace import Pace
from client.pb import node_service_pb2 as pb
from client.session import Session
from client.sync import Client

SIGNER = Ed25519Signer(b"\x07" * 32)


@asynccontextmanager
async def network(trust_file: Path | None = None):
    async with (
        FakeNetwork() as fake,
        Session(fake.genesis, endpoints=fake.endpoints, trust_file=trust_file) as session,
    ):
        yield fake, session


def transaction(session: Session, *operations: tuple[str, bytes]) -> SignedTransaction:
    return session.sign([Operation.make(kind, body) for kind, body in operations or (("test.Note", b"x"),)], [SIGNER])


# ---------------------------------------------------------------- what works


async def test_submit_many_yields_one_verified_receipt_each() -> None:
    async with network() as (fake, session):
        sent = [transaction(session, ("test.Note", bytes([i]))) for i in range(40)]
        outcomes = [outcome async for outcome in session.submit(sent)]
        assert {outcome.transaction.id for outcome in outcomes} == {t.id for t in sent}
        for outcome in outcomes:
            assert outcome.proven is not None
            assert outcome.proven.failed is None
            verified = receipt.verify(outcome.proven.receipt(), fake.genesis)
            assert verified.inclusions[0].operation == outcome.transaction.operations[0]


async def test_submit_keeps_no_more_in_flight_than_allowed() -> None:
    async with network() as (_fake, session):
        taken = 0

        def source():
            nonlocal taken
            for i in range(50):
                taken += 1
                yield transaction(session, ("test.Note", bytes([i])))

        seen = 0
        async for _outcome in session.submit(source(), in_flight_max=5):
            seen += 1
            # One more may have been taken from the source and wait for room.
            assert taken - seen <= 6
        assert seen == 50


async def test_failed_transaction_comes_back_as_failed_with_its_code() -> None:
    async with network() as (_fake, session):
        proven = await session.submit_one(transaction(session, ("test.Note", b"a"), ("test.Fail", b"")))
        assert proven.failed is not None
        assert (proven.failed.code, proven.failed.operation) == ("test.failed", 1)


async def test_receipts_of_each_operation_verify_from_genesis_alone() -> None:
    async with network() as (fake, session):
        sent = transaction(session, *(("test.Note", bytes([i])) for i in range(5)))
        proven = await session.submit_one(sent)
        for index, raw in enumerate(proven.receipts(sent)):
            assert receipt.verify(raw, fake.genesis).inclusions[0].operation == sent.operations[index]
        found = await session.receipts([sent.id], all_operations=True)
        assert [p.operation_index for p in found[sent.id]] == [0, 1, 2, 3, 4]


async def test_read_returns_proven_value_and_proven_absence() -> None:
    async with network() as (fake, session):
        await session.submit_one(transaction(session, ("test.Put", b"test/a=1")))
        present, absent = await session.read_many([b"test/a", b"test/b"])
        assert (present.value, absent.value) == (b"1", None)
        assert receipt.verify(absent.receipt(), fake.genesis).states[0].value is None
        together = receipt.verify(receipt_of([absent, present]), fake.genesis)
        assert [(state.key, state.value) for state in together.states] == [(b"test/a", b"1"), (b"test/b", None)]


async def test_session_follows_epochs_and_its_receipts_lead_from_genesis() -> None:
    async with network() as (fake, session):
        await session.submit_one(transaction(session))
        for _ in range(3):
            fake.ledger.submit([], extra={b"test/x": bytes([fake.ledger.set.epoch])}, close=True)
        proven = await session.submit_one(transaction(session))
        assert session.trust.epoch == 4
        assert receipt.verify(proven.receipt(), fake.genesis).epoch == 4
        state = await session.read(b"test/x")
        assert receipt.verify(state.receipt(), fake.genesis).epoch == 4


async def test_checkpoint_proves_that_the_log_was_extended() -> None:
    async with network() as (fake, session):
        await session.submit_one(transaction(session))
        await session.submit_one(transaction(session))
        fake.ledger.submit([transaction(session)])
        newest = await session.checkpoint()
        assert newest == Checkpoint.decode(fake.ledger.newest.checkpoint)
        assert any("Consistency" in node.calls for node in fake.nodes)


async def test_blocks_come_verified_and_in_order_over_epochs() -> None:
    async with network() as (fake, session):
        fake.ledger.submit([transaction(session), transaction(session)])
        fake.ledger.submit([], close=True)
        fake.ledger.submit([transaction(session)])
        blocks = []
        async for block in session.blocks():
            blocks.append(block)
            if len(blocks) == 4:
                break
        assert [b.block.height for b in blocks] == [1, 2, 3, 4]
        assert [len(b.transactions) for b in blocks] == [0, 2, 0, 1]
        assert blocks[-1].first_leaf == 2


async def test_blocks_go_on_from_a_cursor() -> None:
    async with network() as (fake, session):
        sent = [transaction(session) for _ in range(3)]
        for each in sent:
            fake.ledger.submit([each])
        entries = [fake.ledger.entries[each.id][1] for each in sent[:2]]
        edge = LogEdge()
        for entry in entries:
            edge.append(leaf_hash(entry))
        cursor = Cursor(3, Checkpoint.decode(fake.ledger.checkpoints[2].checkpoint).block_id, edge)
        async for block in session.blocks(cursor):
            assert block.transactions[0].id == sent[2].id
            break


@pytest.mark.parametrize("count", range(9))
async def test_blocks_can_be_followed_from_a_certified_height_without_those_before(count: int) -> None:
    async with network() as (fake, session):
        for _ in range(count):
            fake.ledger.submit([transaction(session)])
        fake.ledger.submit([], close=True)
        cursor = await session.cursor_at()
        assert (cursor.height, cursor.edge.size) == (count + 2, count)
        later = transaction(session)
        fake.ledger.submit([later])
        async for block in session.blocks(cursor):
            assert [each.id for each in block.transactions] == [later.id]
            assert block.first_leaf == count
            break
        if count:
            assert (await session.cursor_at(2)).edge.size == 1


def other_leaf(answer: pb.EdgeResponse) -> pb.EdgeResponse:
    answer.leaf_hash = bytes(32)
    return answer


def shorter_path(answer: pb.EdgeResponse) -> pb.EdgeResponse:
    del answer.path[-1]
    return answer


def without_leaf(answer: pb.EdgeResponse) -> pb.EdgeResponse:
    answer.leaf_hash = b""
    return answer


@pytest.mark.parametrize("lie", [other_leaf, shorter_path, without_leaf])
async def test_lying_end_of_the_log_is_refused_and_another_node_answers(
    lie: Callable[[pb.EdgeResponse], pb.EdgeResponse],
) -> None:
    async with network() as (fake, session):
        for _ in range(3):
            fake.ledger.submit([transaction(session)])
        fake.nodes[0].edge_lie = lie
        cursor = await session.cursor_at()
        assert cursor.edge.root() == fake.ledger.log.root()
        assert session.roster.liars()


async def test_end_of_the_log_below_the_height_asked_for_is_a_lie() -> None:
    async with network() as (fake, session):
        for _ in range(3):
            fake.ledger.submit([transaction(session)])
        old = pb.EdgeResponse(checkpoint=encode(fake.ledger.checkpoints[0].to_pb()))
        fake.nodes[0].edge_lie = lambda _answer: old
        assert (await session.cursor_at(4)).height == 4
        assert session.roster.liars()


def test_blocking_client_offers_the_same() -> None:
    async def serve(ready: asyncio.Future, done: asyncio.Event) -> None:
        async with FakeNetwork() as fake:
            ready.set_result(fake)
            await done.wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ready, done = loop.create_future(), asyncio.Event()
        server = asyncio.create_task(serve(ready, done))
        fake = await ready
        await loop.run_in_executor(None, use, fake)
        done.set()
        await server

    def use(fake: FakeNetwork) -> None:
        with Client(fake.genesis, endpoints=fake.endpoints) as client:
            sent = [client.sign([Operation.make("test.Put", b"test/k=%d" % i)], [SIGNER]) for i in range(3)]
            assert all(outcome.proven is not None for outcome in client.submit(sent))
            assert client.read(b"test/k").value is not None
            assert client.checkpoint().height >= 2
            assert next(client.blocks()).block.height == 1
            assert len(client.receipts([sent[0].id])) == 1

    asyncio.run(main())


# ---------------------------------------------------------------- nodes that fail


async def test_submission_survives_the_node_in_use_being_killed() -> None:
    async with network() as (fake, session):
        sent = [transaction(session, ("test.Note", bytes([i]))) for i in range(30)]
        outcomes = []
        async for outcome in session.submit(sent, in_flight_max=4):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                await fake.kill(0)
        assert all(outcome.proven is not None for outcome in outcomes)
        assert len({outcome.transaction.id for outcome in outcomes}) == 30


async def test_silent_node_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.session.CALL_TIMEOUT_S", 1.0)  # the others answer within, on a busy machine too
    monkeypatch.setattr(submission, "PATIENCE_S", 0.3)
    monkeypatch.setattr(submission, "LOOKUP_AFTER_S", 0.2)
    async with network() as (fake, session):
        fake.nodes[0].silent = True
        assert (await session.submit_one(transaction(session))).failed is None
        fake.nodes[1].silent = True
        assert (await session.read(b"test/first")).value == b"1"
        assert not session.roster.liars()


async def test_receipts_that_a_node_keeps_to_itself_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "LOOKUP_AFTER_S", 0.1)
    async with network() as (fake, session):
        for node in fake.nodes:
            node.keeps_receipts = True
        assert (await session.submit_one(transaction(session))).failed is None


async def test_all_nodes_down_is_a_transport_error() -> None:
    async with network() as (fake, session):
        for index in range(4):
            await fake.kill(index)
        with pytest.raises(TransportError):
            await session.read(b"test/first")
        with pytest.raises(TransportError):
            await session.submit_one(transaction(session), timeout_s=0.5)


async def test_node_with_another_certificate_is_not_spoken_to() -> None:
    async with FakeNetwork() as fake:
        swapped = [Endpoint(fake.endpoints[0].address, fake.endpoints[1].certificate)]
        async with Session(fake.genesis, endpoints=swapped) as session:
            with pytest.raises(TransportError):
                await session.read(b"test/first")
        assert not fake.nodes[0].calls


async def test_old_answer_is_passed_over_for_a_fresh_one() -> None:
    async with network() as (fake, session):
        fake.ledger.submit([], extra={b"test/later": b"1"})
        await session.checkpoint()
        stale = receipt.make(
            [],
            [receipt.make_state_proof(b"test/later", *fake.ledger.tree.prove(b"test/later", 1))],
            fake.ledger.checkpoints[0],
            [],
        )
        fake.nodes[0].lie = lambda _raw: stale
        assert (await session.read(b"test/later")).value == b"1"
        assert not session.roster.liars()


async def test_state_from_before_a_block_that_was_followed_does_not_pass_for_the_newest() -> None:
    async with network() as (fake, session):
        put = transaction(session, ("test.Put", b"test/k=1"))
        behind = Ledger(fake.genesis)
        fake.ledger.submit([put])
        for node in fake.nodes:
            node.ledger = behind
        fake.nodes[3].ledger = fake.ledger
        fake.nodes[0].ledger = fake.ledger
        async for block in session.blocks():
            if put.id in [one.id for one in block.transactions]:
                break
        fake.nodes[0].ledger = behind  # true and young, but not what is known by now
        assert (await session.read(b"test/k")).value == b"1"
        fake.nodes[3].ledger = behind
        with pytest.raises(TransportError) as caught:
            await session.read(b"test/k")
        assert caught.value.code == "transport.behind"


async def test_clock_that_lags_does_not_let_old_state_pass_for_new(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network() as (_fake, session):
        for lag_ms, ends in ((CLOCK_SKEW_MS_MAX - 10_000, False), (CLOCK_SKEW_MS_MAX + 10_000, True)):
            monkeypatch.setattr("client.session.now_ms", lambda lag_ms=lag_ms: time.time_ns() // 1_000_000 - lag_ms)
            for question in (session.checkpoint, lambda: session.read(b"test/first")):
                if not ends:
                    await question()
                    continue
                with pytest.raises(TransportError) as caught:
                    await question()
                assert caught.value.code == "transport.clock"
        assert not session.roster.liars()


# ---------------------------------------------------------------- refusals


async def test_one_refusing_node_is_not_believed() -> None:
    async with network() as (fake, session):
        fake.nodes[0].refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.refused", reason="no")
        assert (await session.submit_one(transaction(session))).failed is None


async def test_refusal_of_two_nodes_of_four_is_believed() -> None:
    async with network() as (fake, session):
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.refused", reason="unknown")
        with pytest.raises(Refused) as caught:
            await session.submit_one(transaction(session))
        assert caught.value.code == "transaction.refused"
        assert sum(node.submitted for node in fake.nodes) == 2


async def test_transaction_that_executed_and_is_sent_again_once_expired_has_its_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submission, "LOOKUP_AFTER_S", 0.1)
    async with network() as (fake, session):
        sent = transaction(session)
        first = await session.submit_one(sent)
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.expired", reason="too late")
        again = await session.submit_one(sent, timeout_s=10.0)
        assert (again.id, again.inclusion.height) == (first.id, first.inclusion.height)


async def test_full_node_is_asked_again_after_the_time_it_named() -> None:
    async with network() as (fake, session):
        answers = [pb.Admission(code="mempool.full", reason="full", retry_after_ms=50), None]
        fake.nodes[0].refuse = lambda _t: answers.pop(0)
        assert (await session.submit_one(transaction(session))).failed is None
        assert fake.nodes[0].submitted == 2


async def test_error_of_the_source_reaches_the_caller() -> None:
    def source():
        raise ZeroDivisionError
        yield

    async with network() as (_fake, session):
        with pytest.raises(ZeroDivisionError):
            async for _ in session.submit(source()):
                pass


async def test_network_that_takes_and_never_certifies_ends_the_wait_at_the_limit() -> None:
    async with network() as (fake, session):
        for node in fake.nodes[:2]:
            node.lie = lambda _raw: b""
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.pending", reason="waits")
        await fake.kill(2)
        await fake.kill(3)
        loop = asyncio.get_running_loop()
        started, cpu = loop.time(), time.process_time()
        with pytest.raises(TransportError) as caught:
            await session.submit_one(transaction(session), timeout_s=2.0)
        assert caught.value.code == "transport.timeout"
        assert 1.5 < loop.time() - started < 6.0
        assert time.process_time() - cpu < 1.5


async def test_dead_network_ends_the_wait_at_the_limit_without_a_busy_loop() -> None:
    async with network() as (fake, session):
        for index in range(len(fake.nodes)):
            await fake.kill(index)
        cpu = time.process_time()
        with pytest.raises(TransportError):
            await session.submit_one(transaction(session), timeout_s=2.0)
        assert time.process_time() - cpu < 1.0


async def test_patience_begins_when_something_waits() -> None:
    async with network() as (_fake, session):

        async def slow():
            for i in range(2):
                await asyncio.sleep(2.2)
                yield transaction(session, ("test.Note", bytes([i])))

        outcomes = [outcome async for outcome in session.submit(slow(), timeout_s=2.0)]
        assert [outcome.error for outcome in outcomes] == [None, None]


async def test_ledger_that_stands_still_is_told_from_nodes_that_do_not_answer() -> None:
    async with network() as (fake, session):
        await fake.kill(2)
        await asyncio.sleep(0.05)
        with pytest.raises(TransportError) as caught:
            await session.read(b"test/first", age_ms_max=1)
        assert caught.value.code == "transport.stalled"


def decline(fake: FakeNetwork, count: int, call: str, details: str) -> None:
    for node in fake.nodes[:count]:
        node.declines[call] = details


async def test_nodes_that_decline_a_question_are_no_liars(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    async with network(file) as (fake, session):
        sent = transaction(session)
        fake.ledger.submit([sent])
        decline(fake, 4, "Receipts", "receipt.no-such-operation: a transaction has only 1 operations")
        with pytest.raises(Refused) as caught:
            await session.receipts([sent.id], operation_index=5)
        assert caught.value.code == "receipt.no-such-operation"
        assert sum(len(node.calls) for node in fake.nodes) == 2
        assert not await session.is_missing_everywhere(sent.id, 0)
        assert not session.roster.liars()
        assert (await session.read(b"test/first")).value == b"1"
    assert json.loads(file.read_text())["liars"] == {}


async def test_one_node_that_declines_a_question_is_not_believed() -> None:
    async with network() as (fake, session):
        sent = transaction(session)
        fake.ledger.submit([sent])
        decline(fake, 1, "Receipts", "receipt.too-many: ask for less")
        assert sent.id in await session.receipts([sent.id])
        assert not session.roster.liars()


async def test_epochs_that_nodes_decline_to_lead_through_make_no_liars() -> None:
    async with network() as (fake, session):
        decline(fake, 4, "Checkpoints", "checkpoints.too-far-behind: ask for the closing checkpoints first")
        with pytest.raises(Refused) as caught:
            await session.checkpoint()
        assert caught.value.code == "checkpoints.too-far-behind"
        assert not session.roster.liars()


@pytest.mark.parametrize("count", [1, 4])
async def test_blocks_that_nodes_do_not_hold_make_no_liars(count: int) -> None:
    async with network() as (fake, session):
        decline(fake, count, "Blocks", "block.not-held: block 1 is not held here")
        blocks = session.blocks()
        if count == 1:
            assert (await anext(blocks)).block.height == 1
        else:
            with pytest.raises(Refused) as caught:
                await anext(blocks)
            assert caught.value.code == "block.not-held"
        assert not session.roster.liars()


async def test_submit_stream_that_a_node_declines_is_left_for_another_and_makes_no_liar() -> None:
    async with network() as (fake, session):
        decline(fake, 1, "Submit", "submit.too-large: send fewer at once")
        assert (await session.submit_one(transaction(session))).failed is None
        assert not session.roster.liars()


async def test_words_of_a_node_cannot_steer_the_terminal() -> None:
    async with network() as (fake, session):
        evil = "\x1b[2J\x07It holds\r\n\u202ereversed"
        decline(fake, 4, "Receipts", f"receipt.too-many: {evil}")
        decline(fake, 4, "State", evil)
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="test.\x1b[8m", reason=evil)
        texts = []
        for question in (
            session.receipts([transaction(session).id]),
            session.read(b"test/first"),
            session.submit_one(transaction(session)),
        ):
            with pytest.raises((Refused, TransportError)) as caught:
                await question
            texts += [caught.value.reason, caught.value.code]
        assert "It holds" in texts[0]
        assert all(text.isprintable() for text in texts)


# ---------------------------------------------------------------- never executed


async def test_transaction_is_known_to_be_missing_once_an_honest_validator_is_past_its_time() -> None:
    async with network() as (fake, session):
        lost = transaction(session)
        newest = Checkpoint.decode(fake.ledger.newest.checkpoint)
        assert await session.is_missing_everywhere(lost.id, newest.time_ms - 1)
        assert [node.calls for node in fake.nodes] == [["Checkpoints", "Receipts"]] * 2 + [[]] * 2
        # At its last millisecond it may still execute.
        assert not await session.is_missing_everywhere(lost.id, newest.time_ms)


async def test_nodes_that_are_behind_say_nothing_of_a_transaction_that_executed() -> None:
    async with network() as (fake, session):
        sent = transaction(session)
        behind = Ledger(fake.genesis)
        fake.ledger = Ledger(fake.genesis)
        fake.ledger.submit([sent])
        expires_at_ms = Checkpoint.decode(fake.ledger.newest.checkpoint).time_ms
        fake.ledger.submit([], extra={b"test/later": b"1"})
        for node in fake.nodes[:3]:
            node.ledger = behind
        fake.nodes[3].ledger = fake.ledger
        assert not await session.is_missing_everywhere(sent.id, expires_at_ms)


async def test_fewer_nodes_than_an_honest_one_is_among_never_prove_that_a_transaction_is_missing() -> None:
    async with FakeNetwork() as fake:
        for endpoints in (fake.endpoints[:1], fake.endpoints[:1] * 4):
            async with Session(fake.genesis, endpoints=endpoints) as session:
                lost = transaction(session)
                assert not await session.is_missing_everywhere(lost.id, 0)
        async with Session(fake.genesis, endpoints=fake.endpoints[:2]) as session:
            assert await session.is_missing_everywhere(lost.id, 0)


async def test_expired_transaction_that_nobody_certified_ends_as_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "LOOKUP_AFTER_S", 0.1)
    async with network() as (fake, session):
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.pending", reason="waits")
        await session.checkpoint()
        lost = session.sign([Operation.make("test.Note", b"x")], [SIGNER], lifetime_ms=-1000)
        with pytest.raises(Refused) as caught:
            await session.submit_one(lost, timeout_s=30.0)
        assert caught.value.code == "transaction.expired"


# ---------------------------------------------------------------- nodes that lie


def altered(change: Callable[[ledger_pb2.Receipt], None]) -> Callable[[bytes], bytes]:
    def lie(raw: bytes) -> bytes:
        message = ledger_pb2.Receipt.FromString(raw)
        change(message)
        return encode(message)

    return lie


def value_changed(message: ledger_pb2.Receipt) -> None:
    for state in message.states:
        state.value = b"2"
    for inclusion in message.inclusions:
        inclusion.operation += b"\x00"


def result_changed(message: ledger_pb2.Receipt) -> None:
    for state in message.states:
        state.value = b""
    for inclusion in message.inclusions:
        entry = ledger_pb2.Entry.FromString(inclusion.entry)
        entry.failure.code = "made.up"
        inclusion.entry = encode(entry)


def time_changed(message: ledger_pb2.Receipt) -> None:
    checkpoint = ledger_pb2.Checkpoint.FromString(message.checkpoint.checkpoint)
    checkpoint.time_ms += 1
    message.checkpoint.checkpoint = encode(checkpoint)


def one_signer_fewer(message: ledger_pb2.Receipt) -> None:
    message.checkpoint.bitmap = b"\x03"


def without_checkpoint(message: ledger_pb2.Receipt) -> None:
    message.ClearField("checkpoint")


def without_proofs(message: ledger_pb2.Receipt) -> None:
    message.ClearField("states")
    message.ClearField("inclusions")


def proof_emptied(message: ledger_pb2.Receipt) -> None:
    for state in message.states:
        state.proof = b""
    for inclusion in message.inclusions:
        inclusion.leaf_index += 1


LIES: list[Callable[[bytes], bytes]] = [
    lambda _raw: b"",
    lambda _raw: b"\xff" * 100,
    lambda raw: raw + b"\x78\x01",
    *map(
        altered,
        (
            value_changed,
            result_changed,
            time_changed,
            one_signer_fewer,
            without_checkpoint,
            without_proofs,
            proof_emptied,
        ),
    ),
]


@pytest.mark.parametrize("lie", LIES)
async def test_lying_reader_is_remembered_and_another_node_answers(lie: Callable[[bytes], bytes]) -> None:
    async with network() as (fake, session):
        fake.nodes[0].lie = lie
        assert (await session.read(b"test/first")).value == b"1"
        assert len(session.roster.liars()) == 1
        calls = len(fake.nodes[0].calls)
        assert (await session.read(b"test/first")).value == b"1"
        assert len(fake.nodes[0].calls) == calls


@pytest.mark.parametrize("lie", LIES)
async def test_lying_submit_stream_is_left_and_the_receipt_comes_from_another(lie: Callable[[bytes], bytes]) -> None:
    async with network() as (fake, session):
        await session.read(b"test/first")
        fake.nodes[0].lie = lie
        proven = await session.submit_one(transaction(session))
        assert proven.failed is None
        assert len(session.roster.liars()) == 1


async def test_answer_about_another_key_is_a_lie() -> None:
    async with network() as (fake, session):
        other = receipt.make(
            [], [receipt.make_state_proof(b"z", *fake.ledger.tree.prove(b"z"))], fake.ledger.newest, []
        )
        fake.nodes[0].lie = lambda _raw: other
        assert (await session.read(b"test/first")).value == b"1"
        assert len(session.roster.liars()) == 1


async def test_all_nodes_lying_is_the_other_sides_fault_and_then_nobody_is_left() -> None:
    async with network() as (fake, session):
        for node in fake.nodes:
            node.lie = altered(value_changed)
        with pytest.raises(LedgerError):
            await session.read(b"test/first")
        with pytest.raises(TransportError) as caught:
            await session.read(b"test/first")
        assert caught.value.code == "transport.liars"


async def test_second_checkpoint_at_a_height_is_refused_even_with_a_quorum() -> None:
    async with network() as (fake, session):
        seen = await session.checkpoint()
        forged = Checkpoint.decode(fake.ledger.newest.checkpoint)
        forked = fake.ledger.certify(
            Checkpoint(
                forged.network,
                forged.epoch,
                forged.height,
                forged.time_ms,
                forged.block_id,
                forged.log_size,
                b"\x01" * 32,
                forged.state_root,
                b"",
            )
        )
        fake.ledger.checkpoints[-1] = forked
        with pytest.raises(LedgerError) as caught:
            await session.checkpoint()
        assert caught.value.code == "certificate.contradiction"
        assert session.trust.newest == seen


def swap_entry(event: pb.BlockEvent) -> pb.BlockEvent:
    changed = pb.BlockEvent()
    changed.CopyFrom(event)
    for index, raw in enumerate(event.entries):
        entry = ledger_pb2.Entry.FromString(raw)
        entry.failure.code = "made.up"
        changed.entries[index] = encode(entry)
    return changed


def drop_transaction(event: pb.BlockEvent) -> pb.BlockEvent:
    changed = pb.BlockEvent()
    changed.CopyFrom(event)
    del changed.transactions[:]
    del changed.entries[:]
    return changed


def shift_leaf(event: pb.BlockEvent) -> pb.BlockEvent:
    changed = pb.BlockEvent()
    changed.CopyFrom(event)
    changed.first_leaf += 1
    return changed


def other_block(event: pb.BlockEvent) -> pb.BlockEvent:
    changed = pb.BlockEvent()
    changed.CopyFrom(event)
    block = ledger_pb2.Block.FromString(event.block)
    block.view += 1
    changed.block = encode(block)
    return changed


@pytest.mark.parametrize("lie", [swap_entry, drop_transaction, shift_leaf, other_block])
async def test_lying_block_stream_is_left_and_no_false_block_comes_out(
    lie: Callable[[pb.BlockEvent], pb.BlockEvent],
) -> None:
    async with network() as (fake, session):
        sent = transaction(session)
        fake.ledger.submit([sent])
        fake.nodes[0].event_lie = lie
        blocks = []
        async for block in session.blocks():
            blocks.append(block)
            if len(blocks) == 2:
                break
        assert [b.block.height for b in blocks] == [1, 2]
        assert blocks[1].entries == (fake.ledger.entries[sent.id][1],)
        assert len(session.roster.liars()) == 1


async def test_node_that_hands_out_old_blocks_one_at_a_time_keeps_nobody_in_the_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.session.BLOCKS_SILENCE_S", 1.5)  # the others go on within, on a busy machine too
    monkeypatch.setattr("client.pace.LAG_MS_MAX", -1)
    async with network() as (fake, session):
        for _ in range(30):
            fake.ledger.submit([])
        fake.nodes[0].drips_s = 0.1  # never silent for long, and each block is true
        heights = []
        async for block in session.blocks():
            heights.append(block.block.height)
            if len(heights) == 31:
                break
        assert heights == list(range(1, 32))
        assert any("Blocks" in node.calls for node in fake.nodes[1:]), "another node was asked"
        assert not session.roster.liars(), "to be slow is no lie"


def test_stream_is_left_only_where_it_is_behind_and_comes_no_nearer() -> None:
    slow, quick, present = (Pace(name, 15.0) for name in ("slow", "quick", "present"))
    for i in range(60):
        quick.take(1.0, 1_000 + i * 3_000, 10_000_000)
        present.take(1.0, 10_000_000 + i * 1_000, 10_005_000 + i * 1_000)
    for i in range(14):
        slow.take(1.0, 1_000 + i * 1_000, 10_000_000 + i * 1_000)
    with pytest.raises(TransportError) as caught:
        slow.take(1.0, 15_000, 10_015_000)
    assert caught.value.code == "transport.stalled"
    uncovered = Pace("uncovered", 15.0)
    uncovered.take(10.0, None, 10_000_000)
    with pytest.raises(TransportError):
        uncovered.take(10.0, None, 10_000_000)


# ---------------------------------------------------------------- what is kept


async def test_trust_file_keeps_newest_checkpoint_and_liars(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    async with FakeNetwork() as fake:
        async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as session:
            fake.nodes[0].lie = altered(value_changed)
            fake.ledger.submit([], close=True)
            fake.ledger.submit([], extra={b"test/y": b"1"})
            await session.read(b"test/first")
            newest = session.trust.newest
        async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as session:
            assert session.trust.newest == newest
            assert session.trust.epoch == 2
            assert [node.lie != "" for node in session.roster.nodes] == [True, False, False, False]
            proven = await session.submit_one(transaction(session))
            assert receipt.verify(proven.receipt(), fake.genesis).epoch == 2


async def test_older_session_does_not_replace_the_newer_checkpoint_that_another_kept(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    async with FakeNetwork() as fake:
        async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as older:
            await older.checkpoint()
            fake.ledger.submit([])
            async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as newer:
                newest = await newer.checkpoint()
        assert Session(fake.genesis, endpoints=fake.endpoints, trust_file=file).trust.newest == newest


async def test_kept_checkpoint_refuses_a_network_that_went_back(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    async with FakeNetwork() as fake:
        async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as session:
            fake.ledger.submit([transaction(session)])
            await session.read(b"test/first")
        # The validators sign another history: the same time and heights, an empty log.
        other = Ledger(fake.genesis)
        other.submit([], extra={b"test/first": b"0"})
        for node in fake.nodes:
            node.ledger = other
        async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as session:
            with pytest.raises(LedgerError) as caught:
                await session.read(b"test/first")
            assert caught.value.code == "certificate.contradiction"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "zhixin-trust/1"}', "\x00" * 50])
async def test_damaged_trust_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trust.json"
    file.write_text(content, encoding="ascii")
    async with FakeNetwork() as fake:
        with pytest.raises(InvalidMessage):
            Session(fake.genesis, endpoints=fake.endpoints, trust_file=file)


async def test_trust_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints, trust_file=file) as session:
        await session.checkpoint()
    async with FakeNetwork() as other:
        with pytest.raises(InvalidMessage):
            Session(other.genesis, endpoints=other.endpoints, trust_file=file)


def test_log_edge_has_the_root_of_the_whole_log_at_each_size() -> None:
    leaves = [leaf_hash(bytes([i])) for i in range(70)]
    edge = LogEdge()
    for size, leaf in enumerate(leaves):
        assert edge.root() == root_of_hashes(leaves[:size])
        assert LogEdge(edge.size, edge.peaks).root() == edge.root()
        edge.append(leaf)


@pytest.mark.parametrize(("size", "peaks"), [(1, []), (3, [b"x" * 32]), (1, [b"x"]), (-1, [b"x" * 32])])
def test_log_edge_that_does_not_fit_its_size_is_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(InvalidMessage):
        LogEdge(size, peaks)
