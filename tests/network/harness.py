# SPDX-License-Identifier: Apache-2.0
"""A test network of real processes on loopback, and a small client of its own that verifies every receipt."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from chain import genesis
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.receipt import Verifier
from chain.transaction import Operation, SignedTransaction, build
from chain.types import Millis, TransactionId
from client.pb import node_service_pb2 as pb
from client.pb import node_service_pb2_grpc as rpc
from identity.pb import identity_pb2
from node.certificates import certificate_name, from_pem
from node.config import CLIENT_PORT_OFFSET, PORTS_PER_NODE
from node.keys import Purpose, load_key
from node.testnet import Testnet, create_testnet
from tests.ports import free_base_port

START_SECONDS = 40
"""Importing takes a second on a free machine and ten on a busy one."""
SPARE_NODES = 2
"""Ports for nodes that a test adds."""
_CODE = "import sys; from pathlib import Path; from node.process import run; sys.exit(run(Path(sys.argv[1])))"


class Processes:
    """Nodes as processes of their own; none outlives the test.

    `homes` begins with the founding validators'; a test that makes another node's home appends it.
    """

    def __init__(
        self,
        directory: Path,
        validators: int = 4,
        spare: int = SPARE_NODES,
        make: Callable[[Path, int, int], Testnet] = create_testnet,
    ) -> None:
        self.base_port = free_base_port((validators + spare) * PORTS_PER_NODE)
        self.net = make(directory / "net", validators, self.base_port)
        self.homes = list(self.net.homes)
        self.raw_genesis = self.net.genesis.read_bytes()
        self.genesis = genesis.load(self.raw_genesis)
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *indices: int, extra: Sequence[str] = ()) -> None:
        for index in indices:
            home = self.homes[index].root
            with (home / "log").open("ab") as log:
                self._running[index] = subprocess.Popen([sys.executable, *extra, "-c", _CODE, str(home)], stderr=log)

    def kill(self, index: int) -> None:
        self._running[index].kill()
        self._running.pop(index).wait(10)

    def terminate(self, index: int) -> int:
        self._running[index].send_signal(signal.SIGTERM)
        return self._running.pop(index).wait(20)

    def wait(self, index: int) -> int:
        return self._running.pop(index).wait(START_SECONDS)

    def is_running(self, index: int) -> bool:
        return self._running[index].poll() is None

    def log(self, index: int) -> str:
        return (self.homes[index].root / "log").read_text()

    def peer_port(self, index: int) -> int:
        return self.base_port + PORTS_PER_NODE * index

    def client_port(self, index: int) -> int:
        return self.peer_port(index) + CLIENT_PORT_OFFSET

    def resident_kib(self, index: int) -> int:
        status = Path(f"/proc/{self._running[index].pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def stop_all(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._running.clear()


class Registrar:
    """Signs attestations, and submits them to one node at a time."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        path = processes.net.organisation_keys["registrar"]
        self._signer = Ed25519Signer(load_key(path, Purpose.ORGANISATION, None, allow_plain=True).secret)
        self.verifier = Verifier(processes.genesis)

    def attestation(self, lifetime_ms: int = 120_000) -> SignedTransaction:
        now_ms = time.time_ns() // 1_000_000
        message = identity_pb2.Attest(
            id=secrets.token_bytes(16),
            schema=identity_pb2.SCHEMA_RESIDENT,
            schema_version=1,
            commitment=secrets.token_bytes(32),
            assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
            valid_from_ms=now_ms,
            valid_to_ms=now_ms + 10**9,
        )
        operation = Operation.make("identity.Attest", encode(message))
        expires = Millis(now_ms + lifetime_ms)
        return build([operation], [self._signer], expires, os.urandom(16), self._processes.genesis.network)

    @asynccontextmanager
    async def stub(self, index: int) -> AsyncIterator["rpc.NodeAsyncStub"]:
        """A connection to one node, once it answers."""
        pem = self._processes.homes[index].tls_certificate.read_bytes()
        options = [
            ("grpc.ssl_target_name_override", certificate_name(from_pem(pem))),
            ("grpc.max_receive_message_length", 16 * 1024 * 1024),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        address = f"127.0.0.1:{self._processes.client_port(index)}"
        async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(pem), options=options) as channel:
            try:
                await asyncio.wait_for(channel.channel_ready(), START_SECONDS)
            except TimeoutError:
                raise AssertionError(f"node {index} does not answer: {self._processes.log(index)[-2_000:]}") from None
            yield rpc.NodeStub(channel)

    async def status(self, index: int) -> pb.StatusResponse:
        async with self.stub(index) as stub:
            return await stub.Status(pb.StatusRequest())

    async def submit(self, index: int, transactions: Sequence[SignedTransaction]) -> set[TransactionId]:
        """Submit and wait until each has a verified receipt; the ids proven."""
        wanted = {transaction.id for transaction in transactions}
        proven: set[TransactionId] = set()
        async with self.stub(index) as stub:
            call = stub.Submit()
            for start in range(0, len(transactions), 100):
                raws = [transaction.raw for transaction in transactions[start : start + 100]]
                await call.write(pb.SubmitRequest(transactions=raws, receipts=True))
            await call.done_writing()
            while proven != wanted:
                answer = await asyncio.wait_for(call.read(), 60)
                assert isinstance(answer, pb.SubmitResponse), f"the stream ended with {len(proven)} of {len(wanted)}"
                if answer.receipt:
                    verified = self.verifier.verify(answer.receipt)
                    assert not verified.failures
                    proven |= {inclusion.transaction_id for inclusion in verified.inclusions}
                else:
                    assert not [a.code for a in answer.admissions.admissions if a.code]
        return proven

    async def wait_for_height(self, index: int, height: int, seconds: float = 60) -> pb.StatusResponse:
        """Until a node has executed a block of this height."""
        deadline = time.monotonic() + seconds
        async with self.stub(index) as stub:
            while True:
                status = await stub.Status(pb.StatusRequest())
                if status.executed_height >= height:
                    return status
                assert time.monotonic() < deadline, f"node {index} stands at {status.executed_height}, not {height}"
                await asyncio.sleep(0.1)

    async def wait_for_peers(self, index: int, peers: int, seconds: float = START_SECONDS) -> pb.StatusResponse:
        """Until streams lead from a node to this many others: a quorum certifies before its last node has come up."""
        deadline = time.monotonic() + seconds
        async with self.stub(index) as stub:
            while True:
                status = await stub.Status(pb.StatusRequest())
                connected = sum(peer.connected for peer in status.peers)
                if connected >= peers:
                    return status
                assert time.monotonic() < deadline, f"node {index} has streams to {connected} others, not {peers}"
                await asyncio.sleep(0.1)
