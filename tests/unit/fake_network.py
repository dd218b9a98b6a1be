# SPDX-License-Identifier: Apache-2.0
"""A network without consensus: one true ledger in memory, and gRPC servers in front of it that can be made to lie.

Answers are built with `chain`'s own functions. An operation "test.Put" sets a state key (`key=value`, an empty value
deletes it), "test.Fail" fails, anything else just stands in the log. Each `submit` makes and certifies a block.
"""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeAlias

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chain import bls, genesis, receipt
from chain.certificate import BlsScheme, checkpoint_message, combine
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.codec import encode
from chain.consensus.block import Block
from chain.log import leaf_hash
from chain.log_tiles import Log
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2
from chain.transaction import SignedTransaction, decode
from chain.tree import StateTree
from chain.types import BlockId, Digest, Epoch, Height, Millis, View
from client.connection import Endpoint
from client.pb import node_service_pb2 as pb
from client.pb.node_service_pb2_grpc import NodeServicer, add_NodeServicer_to_server

N = 4
Caller: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def certificate() -> tuple[bytes, bytes]:
    """A self-signed P-256 certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{x509.random_serial_number():x}.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(str(name.rfc4514_string()[3:]))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def keys(epoch: int) -> list[bls.SecretKey]:
    return [bls.SecretKey.derive(bytes([epoch, i]) * 16) for i in range(N)]


def make_genesis(certificates: list[bytes]) -> bytes:
    founders = [
        genesis.Founder(f"org-{i}", key.public_key(), b"", certificates[i].decode(), f"127.0.0.1:{1000 + i}")
        for i, key in enumerate(keys(1))
    ]
    draft = genesis.build(name="test", time_ms=Millis(1), founders=founders, sections={})
    digest = genesis.founding_digest(draft)
    proofs = {
        founder.bls_key: key.prove_possession(digest, founder.organisation)
        for founder, key in zip(founders, keys(1), strict=True)
    }
    return genesis.with_possessions(draft, proofs)


class Ledger:
    """The truth: log, state, blocks and certified checkpoints."""

    def __init__(self, file: genesis.Genesis) -> None:
        self.network = file.network
        self.set = file.validators
        self.secrets = keys(1)
        self.database = MemoryDatabase()
        self.log = Log(self.database, b"l", 0)
        self.tree = StateTree(self.database, b"s")
        self.entries: dict[bytes, tuple[SignedTransaction, bytes, int]] = {}
        self.closings: list[ClosingCheckpoint] = []
        self.checkpoints: list[CertifiedCheckpoint] = []
        self.events: list[pb.BlockEvent] = []
        self.tip = Block.make(Epoch(0), View(0), Height(0), BlockId(b"\0" * 32), Millis(1), ())
        self.tip_id: bytes = file.network
        self.submit([], extra={b"test/first": b"1"})

    @property
    def newest(self) -> CertifiedCheckpoint:
        return self.checkpoints[-1]

    def submit(
        self, transactions: list[SignedTransaction], *, extra: dict[bytes, bytes] | None = None, close: bool = False
    ) -> None:
        """Execute a block of transactions, those that are new."""
        new = list({t.id: t for t in transactions if t.id not in self.entries}.values())
        height = self.tip.height + 1
        time_ms = Millis(max(self.tip.time_ms + 1, time.time_ns() // 1_000_000))
        digests = tuple(Digest(t.digest) for t in new)
        block = Block.make(self.set.epoch, View(height), Height(height), BlockId(self.tip_id), time_ms, digests)
        writes: dict[bytes, bytes | None] = dict(extra or {})
        first_leaf, raw_entries = self.log.size, []
        for position, transaction in enumerate(new):
            failed = [i for i, op in enumerate(transaction.operations) if op.type == "test.Fail"]
            entry = ledger_pb2.Entry(height=height, position=position, time_ms=time_ms, header=transaction.header)
            if failed:
                entry.failure.code = "test.failed"
                entry.failure.operation = failed[0]
            else:
                entry.success.SetInParent()
                for operation in transaction.operations:
                    if operation.type == "test.Put":
                        key, _, value = operation.body.partition(b"=")
                        writes[key] = value or None
            raw_entries.append(encode(entry))
            self.entries[transaction.id] = (transaction, raw_entries[-1], first_leaf + position)
        append = self.log.append(raw_entries)
        update = self.tree.update(sorted(writes.items()), height)
        self.database.write({**append.puts, **update.puts})
        self.log.applied(append)
        self.tree.applied(update)
        following = self._next_set() if close else None
        checkpoint = Checkpoint(
            self.network,
            self.set.epoch,
            Height(height),
            time_ms,
            block.id,
            self.log.size,
            self.log.root(),
            self.tree.root(),
            b"" if following is None else following.digest(),
        )
        self.checkpoints.append(self.certify(checkpoint))
        self.tip, self.tip_id = block, block.id
        self.events.append(
            pb.BlockEvent(
                block=block.raw,
                transactions=[t.raw for t in new],
                entries=raw_entries,
                first_leaf=first_leaf,
                checkpoint=encode(self.newest.to_pb()),
            )
        )
        if following is not None:
            self.closings.append(ClosingCheckpoint(self.newest, following.encode()))
            self.set, self.secrets = following, keys(following.epoch)

    def certify(self, checkpoint: Checkpoint, signers: tuple[int, ...] = (0, 1, 2)) -> CertifiedCheckpoint:
        raw = checkpoint.encode()
        message = checkpoint_message(self.network, raw)
        signatures = {i: self.secrets[i].sign(message) for i in signers}
        bitmap, aggregate = combine(signatures, N, BlsScheme())
        return CertifiedCheckpoint(raw, bitmap, aggregate)

    def closings_from(self, epoch: int) -> list[ClosingCheckpoint]:
        return self.closings[max(epoch, 1) - 1 :]

    def inclusion(self, identifier: bytes, index: int) -> ledger_pb2.Inclusion:
        transaction, entry, leaf = self.entries[identifier]
        return receipt.make_inclusion(transaction, index, entry, leaf, self.log.prove_inclusion(leaf, self.log.size))

    def _next_set(self) -> ValidatorSet:
        epoch = Epoch(self.set.epoch + 1)
        return ValidatorSet(epoch, tuple(Validator(k.public_key(), f"org-{i}") for i, k in enumerate(keys(epoch))))


class FakeNode(NodeServicer):
    """One server in front of the ledger. `lie` changes its receipts, `refuse` its admissions, `declines` ends calls,
    `drips_s` passes before each block."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.lie: Callable[[bytes], bytes] | None = None
        self.event_lie: Callable[[pb.BlockEvent], pb.BlockEvent] | None = None
        self.edge_lie: Callable[[pb.EdgeResponse], pb.EdgeResponse] | None = None
        self.refuse: Callable[[SignedTransaction], pb.Admission | None] = lambda _transaction: None
        self.silent = False
        self.drips_s = 0.0
        self.declines: dict[str, str] = {}
        self.keeps_receipts = False
        self.calls: list[str] = []
        self.submitted = 0

    async def Submit(  # noqa: N802 - the service's name
        self, request_iterator: AsyncIterator[pb.SubmitRequest], context: Caller
    ) -> AsyncIterator[pb.SubmitResponse]:
        async for request in request_iterator:
            await self._called("Submit", context)
            transactions = [decode(raw) for raw in request.transactions]
            self.submitted += len(transactions)
            refused = {t.id: self.refuse(t) for t in transactions}
            admissions = [refused[t.id] or pb.Admission(transaction_id=t.id) for t in transactions]
            yield pb.SubmitResponse(admissions=pb.Admissions(admissions=admissions))
            taken = [t for t in transactions if refused[t.id] is None]
            if taken:
                self.ledger.submit(taken)
            if taken and not self.keeps_receipts:
                yield pb.SubmitResponse(receipt=self._bundle([t.id for t in taken], 0, request.from_epoch))

    async def Receipts(self, request: pb.ReceiptsRequest, context: Caller) -> pb.ReceiptsResponse:  # noqa: N802
        await self._called("Receipts", context)
        known = [i for i in request.transaction_ids if i in self.ledger.entries]
        index = None if request.all_operations else request.operation_index
        return pb.ReceiptsResponse(
            receipt=self._bundle(known, index, request.from_epoch) if known else b"",
            missing=[i for i in request.transaction_ids if i not in known],
        )

    async def State(self, request: pb.StateRequest, context: Caller) -> pb.StateResponse:  # noqa: N802
        await self._called("State", context)
        ledger = self.ledger
        states = [receipt.make_state_proof(key, *ledger.tree.prove(key)) for key in request.keys]
        raw = receipt.make([], states, ledger.newest, ledger.closings_from(request.from_epoch))
        return pb.StateResponse(receipt=self._told(raw))

    async def Checkpoints(self, request: pb.CheckpointsRequest, context: Caller) -> pb.CheckpointsResponse:  # noqa: N802
        await self._called("Checkpoints", context)
        closings = self.ledger.closings_from(request.from_epoch)
        return pb.CheckpointsResponse(
            newest=encode(self.ledger.newest.to_pb()), closings=[encode(closing.to_pb()) for closing in closings]
        )

    async def Consistency(self, request: pb.ConsistencyRequest, context: Caller) -> pb.ConsistencyResponse:  # noqa: N802
        await self._called("Consistency", context)
        return pb.ConsistencyResponse(path=self.ledger.log.prove_consistency(request.size1, request.size2))

    async def Edge(self, request: pb.EdgeRequest, context: Caller) -> pb.EdgeResponse:  # noqa: N802
        await self._called("Edge", context)
        certified = self.ledger.newest if not request.height else self.ledger.checkpoints[request.height - 1]
        size = Checkpoint.decode(certified.checkpoint).log_size
        answer = pb.EdgeResponse(checkpoint=encode(certified.to_pb()))
        if size:
            last = next(entry for _, entry, index in self.ledger.entries.values() if index == size - 1)
            answer.leaf_hash = leaf_hash(last)
            answer.path.extend(self.ledger.log.prove_inclusion(size - 1, size))
        return answer if self.edge_lie is None else self.edge_lie(answer)

    async def Blocks(self, request: pb.BlocksRequest, context: Caller) -> AsyncIterator[pb.BlockEvent]:  # noqa: N802
        await self._called("Blocks", context)
        position = request.from_height - 1
        while True:
            while position < len(self.ledger.events):
                event = self.ledger.events[position]
                await asyncio.sleep(self.drips_s)
                yield event if self.event_lie is None else self.event_lie(event)
                position += 1
            await asyncio.sleep(0.01)

    async def Status(self, request: pb.StatusRequest, context: Caller) -> pb.StatusResponse:  # noqa: N802
        await self._called("Status", context)
        return pb.StatusResponse(network=self.ledger.network, network_name="test")

    def _bundle(self, identifiers: list[bytes], index: int | None, from_epoch: int) -> bytes:
        inclusions = []
        for identifier in identifiers:
            count = len(self.ledger.entries[identifier][0].operations)
            chosen = range(count) if index is None else [index]
            inclusions += [self.ledger.inclusion(identifier, i) for i in chosen]
        return self._told(receipt.make(inclusions, [], self.ledger.newest, self.ledger.closings_from(from_epoch)))

    def _told(self, raw: bytes) -> bytes:
        return raw if self.lie is None else self.lie(raw)

    async def _called(self, name: str, context: Caller) -> None:
        self.calls.append(name)
        if name in self.declines:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.declines[name])
        if self.silent:
            await asyncio.sleep(3600)


class FakeNetwork:
    """Four servers of one ledger; each with a certificate of its own."""

    def __init__(self) -> None:
        self.pairs = [certificate() for _ in range(N)]
        self.genesis_raw = make_genesis([pem for pem, _ in self.pairs])
        self.genesis = genesis.load(self.genesis_raw)
        self.ledger = Ledger(self.genesis)
        self.nodes = [FakeNode(self.ledger) for _ in range(N)]
        self.servers: list[grpc.aio.Server] = []
        self.endpoints: list[Endpoint] = []

    async def __aenter__(self) -> Self:
        for node, (pem, key) in zip(self.nodes, self.pairs, strict=True):
            server = grpc.aio.server()
            add_NodeServicer_to_server(node, server)
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, pem)]))
            await server.start()
            self.servers.append(server)
            self.endpoints.append(Endpoint(f"127.0.0.1:{port}", pem))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            await server.stop(None)

    async def kill(self, index: int) -> None:
        await self.servers[index].stop(None)
