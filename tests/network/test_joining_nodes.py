# SPDX-License-Identifier: Apache-2.0
"""Real nodes take their ledger from a snapshot while the network works; those that are voted in then vote."""

import asyncio
import datetime as dt
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from harness import Processes, Registrar

from benchmarks.filled_network import filled_network
from chain import bls, receipt
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.ledger import Ledger
from chain.pb import ledger_pb2
from chain.receipt import Verifier
from chain.transaction import Operation, SignedTransaction, build, decode
from chain.types import Height, Millis
from client.pb import node_service_pb2 as pb
from membership.pb import membership_pb2
from node import testnet
from node.certificates import from_pem
from node.config import (
    ClientConfig,
    Config,
    Home,
    KeysConfig,
    PeerConfig,
    StorageConfig,
    SyncConfig,
    load_config,
    render_config,
)
from node.exits import NodeExit
from node.keys import KeyPair, Purpose, load_key
from node.leveldb import LevelDatabase
from node.modules import ledger_modules
from node.setup import make_home
from node.store import LedgerStore

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

FOUNDERS = 4
SPARE = 6
SNAPSHOT_EVERY_BLOCKS = 10
LOAD_BATCH = 10
WAIT_SECONDS = 60


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Four founders that take a snapshot every ten blocks, and ports for newcomers."""
    made = Processes(tmp_path, FOUNDERS, SPARE)
    for home in made.net.homes:
        config = load_config(home, {})
        home.config.write_text(
            render_config(replace(config, sync=SyncConfig(snapshot_every_blocks=SNAPSHOT_EVERY_BLOCKS)))
        )
    try:
        yield made
    finally:
        made.stop_all()


def add_node(processes: Processes, *, is_validator: bool, hints: Sequence[int] = ()) -> int:
    """A home with genesis alone, which takes a snapshot however little there is; its index."""
    index = len(processes.homes)
    home = Home(processes.net.directory / f"node{index}")
    peers = ", ".join(f"127.0.0.1:{processes.peer_port(i)}=../node{i}/tls/certificate.pem" for i in hints)
    config = Config(
        peer=PeerConfig(listen=f"127.0.0.1:{processes.peer_port(index)}"),
        client=ClientConfig(listen=f"127.0.0.1:{processes.client_port(index)}"),
        keys=KeysConfig(allow_plain=True),
        sync=SyncConfig(behind_blocks=1, snapshot_every_blocks=SNAPSHOT_EVERY_BLOCKS, peers=peers),
    )
    now = dt.datetime.now(dt.UTC)
    make_home(home, config, is_validator=is_validator, hosts=("127.0.0.1",), passphrase=None, now=now)
    shutil.copy(processes.net.genesis, home.genesis)
    processes.homes.append(home)
    return index


def trust(processes: Processes, index: int, *, at: Sequence[int]) -> None:
    """What operators do for a follower."""
    pem = processes.homes[index].tls_certificate
    for other in at:
        folder = processes.homes[other].trusted
        folder.mkdir(exist_ok=True)
        shutil.copy(pem, folder / f"127.0.0.1:{processes.peer_port(index)}.pem")


def lines(processes: Processes, index: int, event: str) -> list[dict]:
    """What a node's log says of something."""
    whole = (line for line in processes.log(index).splitlines(keepends=True) if line.endswith("\n"))
    found = (json.loads(line) for line in whole if line.startswith("{"))
    return [line for line in found if line["event"] == event]


async def until(registrar: Registrar, index: int, holds: Callable[[pb.StatusResponse], bool]) -> pb.StatusResponse:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            status = await registrar.status(index)
        except Exception:  # noqa: BLE001 - it starts again with its new ledger
            status = pb.StatusResponse()
        if holds(status):
            return status
        assert time.monotonic() < deadline, (index, status)
        await asyncio.sleep(0.1)


async def catch_up(registrar: Registrar, index: int, *, with_node: int) -> pb.StatusResponse:
    """Until a node certifies what another one has executed by now."""
    reached = (await registrar.status(with_node)).executed_height
    return await until(registrar, index, lambda status: status.certified_height >= reached)


class Load:
    """Submits attestations to one node after another, and counts the verified receipts."""

    def __init__(self, registrar: Registrar, at: int) -> None:
        self._at = at
        self.proven = 0
        self._registrar = registrar
        self._is_wanted = True
        self._moved = asyncio.Event()

    async def run(self) -> None:
        while self._is_wanted:
            at = self._at
            batch = [self._registrar.attestation() for _ in range(LOAD_BATCH)]
            self.proven += len(await self._registrar.submit(at, batch))
            if at == self._at:
                self._moved.set()

    async def move(self, to: int) -> None:
        """Go on at another node; returns when the one before is not used any more."""
        self._at = to
        self._moved.clear()
        await self._moved.wait()

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self._is_wanted = False
            await task


async def test_fresh_node_joins_under_load_by_a_snapshot_and_serves_verified_receipts(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    early = [registrar.attestation() for _ in range(20)]
    await registrar.submit(0, early)
    load = Load(registrar, 0)
    async with load.under_way():
        await registrar.wait_for_height(0, 2 * SNAPSHOT_EVERY_BLOCKS)
        index = add_node(processes, is_validator=False)
        trust(processes, index, at=(0, 1, 2, 3))
        processes.start(index)
        joined = await until(registrar, index, lambda status: status.oldest_block > 1)
        await catch_up(registrar, index, with_node=0)
        fresh = [registrar.attestation() for _ in range(20)]
        assert await registrar.submit(index, fresh) == {transaction.id for transaction in fresh}
    assert load.proven >= LOAD_BATCH
    (done,) = lines(processes, index, "sync.done")
    assert done["height"] == joined.oldest_block >= SNAPSHOT_EVERY_BLOCKS
    assert done["keys"] > 0
    async with registrar.stub(index) as stub:
        answer = await stub.State(pb.StateRequest(keys=[b"membership/validators"]))
    assert Verifier(processes.genesis).verify(answer.receipt).states[0].value


class Members:
    """The organisations of the founders, and whose node is whose."""

    def __init__(self, processes: Processes, registrar: Registrar) -> None:
        self._processes = processes
        self._registrar = registrar
        self._keys = [
            load_key(home.organisation_key, Purpose.ORGANISATION, None, allow_plain=True)
            for home in processes.net.homes
        ]
        self.names = [founder.organisation for founder in processes.genesis.founders]

    def _sign(self, member: int, message: membership_pb2.Propose | membership_pb2.Approve) -> SignedTransaction:
        operation = Operation.make(f"membership.{type(message).__name__}", encode(message))
        expires = Millis(time.time_ns() // 1_000_000 + 60_000)
        signers = [Ed25519Signer(self._keys[member].secret)]
        return build([operation], signers, expires, os.urandom(16), self._processes.genesis.network)

    async def replace(self, member: int, old: int, new: int, *, by: int) -> None:
        """Vote one node of a member out and another in, through a node; returns when the vote is carried."""
        processes = self._processes
        epoch = (await self._registrar.status(by)).epoch
        secret = bls.SecretKey(_vote_key(processes.homes[new]).secret)
        act = membership_pb2.Act(
            replace_validator=membership_pb2.ReplaceValidator(
                bls_key=_vote_key(processes.homes[old]).public_key,
                new_bls_key=secret.public_key(),
                possession=secret.prove_possession(processes.genesis.network, self.names[member]),
                endpoint=membership_pb2.Endpoint(
                    address=f"127.0.0.1:{processes.peer_port(new)}",
                    tls_certificate=from_pem(processes.homes[new].tls_certificate.read_bytes()),
                ),
            )
        )
        until_ms = time.time_ns() // 1_000_000 + 100_000
        proposal = self._sign(0, membership_pb2.Propose(epoch=epoch, expires_at_ms=until_ms, acts=[act]))
        await self._registrar.submit(by, [proposal])
        approval = membership_pb2.Approve(proposal_id=proposal.id, epoch=epoch)
        await self._registrar.submit(by, [self._sign(other, approval) for other in (1, 2)])
        await until(self._registrar, by, lambda status: status.epoch > epoch)


def _vote_key(home: Home) -> KeyPair:
    return load_key(home.validator_key, Purpose.VALIDATOR, None, allow_plain=True)


async def test_validators_replaced_one_by_one_by_newcomers_under_load_and_genesis_still_verifies(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    members = Members(processes, registrar)
    first = [registrar.attestation()]
    await registrar.submit(0, first)
    load = Load(registrar, 3)
    async with load.under_way():
        await registrar.wait_for_height(3, SNAPSHOT_EVERY_BLOCKS)
        for member in range(FOUNDERS):
            new = add_node(processes, is_validator=True)
            await members.replace(member, member, new, by=3)
            processes.start(new)
            seen = await until(registrar, new, lambda status: status.role == pb.ROLE_VALIDATOR and status.view > 0)
            assert seen.epoch == member + 2
            assert (await catch_up(registrar, new, with_node=3)).oldest_block > 1, "it came by a snapshot"
            if member == 3:
                await load.move(new)
            await until(registrar, member, lambda status: status.role == pb.ROLE_LEFT)
            assert processes.terminate(member) == NodeExit.STOPPED
        # Four newcomers, three of whom are a quorum: with one down, none can do without the others' votes.
        processes.kill(FOUNDERS)
        last = [registrar.attestation()]
        assert await registrar.submit(FOUNDERS + 1, last) == {last[0].id}
    assert load.proven >= FOUNDERS * LOAD_BATCH

    # One who trusts genesis alone, and asks the newcomers, follows through all five epochs.
    async with registrar.stub(FOUNDERS + 1) as stub:
        answer = await stub.Receipts(pb.ReceiptsRequest(transaction_ids=[last[0].id], wait_ms=20_000))
    verified = receipt.verify(answer.receipt, processes.raw_genesis)
    assert (verified.epoch, len(verified.inclusions)) == (FOUNDERS + 1, 1)
    steps = ledger_pb2.Receipt.FromString(answer.receipt).epochs
    assert [Checkpoint.decode(step.certified.checkpoint).epoch for step in steps] == [1, 2, 3, 4]

    # None of those that genesis names is left: a newcomer finds the network by a hint.
    index = add_node(processes, is_validator=False, hints=[FOUNDERS + 1])
    trust(processes, index, at=[FOUNDERS + 1, FOUNDERS + 2])
    processes.start(index)
    seen = await catch_up(registrar, index, with_node=FOUNDERS + 1)
    assert (seen.role, seen.epoch) == (pb.ROLE_FOLLOWER, FOUNDERS + 1)


FILLED_BLOCKS = 1_500
KEPT_BLOCKS = 1_000
STALE_HEIGHT = 100


def execute_first_blocks(processes: Processes, index: int, count: int) -> None:
    """Give a node the ledger that it had when it was shut down long ago."""
    with LevelDatabase(processes.homes[0].ledger) as theirs, LevelDatabase(processes.homes[index].ledger) as own:
        store = LedgerStore(theirs)
        ledger = Ledger(LedgerStore(own), processes.genesis, *ledger_modules())
        for height in range(1, count + 1):
            block = store.block(Height(height))
            assert block is not None
            ledger.commit(ledger.execute(block, [decode(raw) for raw in store.transactions(Height(height))]))


async def test_nodes_that_no_peer_can_serve_by_blocks_any_more_say_so_and_recover_by_themselves(tmp_path: Path) -> None:
    def make(directory: Path, _validators: int, base_port: int) -> testnet.Testnet:
        return filled_network(directory, 300, base_port, empty_blocks=FILLED_BLOCKS)

    processes = Processes(tmp_path, FOUNDERS, SPARE, make)
    registrar = Registrar(processes)
    stale, fresh = (add_node(processes, is_validator=False) for _ in range(2))
    execute_first_blocks(processes, stale, STALE_HEIGHT)
    for home in processes.net.homes:
        config = load_config(home, {})
        home.config.write_text(render_config(replace(config, storage=StorageConfig(blocks_kept=KEPT_BLOCKS))))
    for index in (stale, fresh):
        trust(processes, index, at=(0, 1, 2, 3))
    try:
        processes.start(0, 1, 2, 3)
        for index in range(FOUNDERS):
            await until(registrar, index, lambda status: status.oldest_block > STALE_HEIGHT + 1)
        processes.start(stale, fresh)
        for index in (stale, fresh):
            joined = await until(registrar, index, lambda status: status.executed_height > FILLED_BLOCKS)
            assert joined.oldest_block > FILLED_BLOCKS
            (behind,) = lines(processes, index, "sync.behind")
            assert behind["peers_hold_blocks_from"] > STALE_HEIGHT + 1
            one = registrar.attestation()
            assert await registrar.submit(index, [one]) == {one.id}
        assert lines(processes, stale, "sync.behind")[0]["height"] == STALE_HEIGHT
        async with registrar.stub(fresh) as stub:
            call = stub.Blocks(pb.BlocksRequest(from_height=STALE_HEIGHT))
            with pytest.raises(grpc.aio.AioRpcError, match=r"block\.pruned"):
                await call.read()
    finally:
        processes.stop_all()
