# SPDX-License-Identifier: Apache-2.0
"""Four nodes as real processes: they order, execute and certify through crashes, and refuse what is not theirs."""

import asyncio
import os
import shutil
import socket
import ssl

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import Processes, Registrar

from chain.consensus.block import Block
from chain.pb import ledger_pb2
from chain.receipt import VerifiedState
from chain.transaction import build
from chain.types import Network, sha256
from client.pb import node_service_pb2 as pb
from node.exits import NodeExit

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]


async def test_network_goes_on_while_one_validator_is_dead_and_the_dead_one_catches_up(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    first = [registrar.attestation() for _ in range(300)]
    assert await registrar.submit(0, first) == {transaction.id for transaction in first}

    processes.kill(3)
    second = [registrar.attestation() for _ in range(300)]
    assert await registrar.submit(1, second) == {transaction.id for transaction in second}
    reached = (await registrar.status(1)).executed_height

    processes.start(3)
    caught_up = await registrar.wait_for_height(3, reached)
    assert caught_up.log_size >= 600
    third = [registrar.attestation() for _ in range(20)]
    await registrar.submit(3, third)

    async with registrar.stub(3) as stub:
        ids = [transaction.id for transaction in (*first[:100], *second[:100], *third)]
        answer = await stub.Receipts(pb.ReceiptsRequest(transaction_ids=ids, wait_ms=10_000))
        verified = registrar.verifier.verify(answer.receipt)
        assert {inclusion.transaction_id for inclusion in verified.inclusions} == set(ids)
    assert processes.terminate(0) == NodeExit.STOPPED


async def test_all_validators_killed_at_once_resume_by_themselves_with_nothing_acknowledged_lost(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    acknowledged = [registrar.attestation() for _ in range(200)]
    await registrar.submit(0, acknowledged)
    async with registrar.stub(2) as stub:  # killed while it works: some of these are under way
        call = stub.Submit()
        await call.write(pb.SubmitRequest(transactions=[registrar.attestation().raw for _ in range(200)]))
        await call.read()
        for index in range(4):
            processes.kill(index)
    processes.start(0, 1, 2, 3)
    more = [registrar.attestation() for _ in range(50)]
    await registrar.submit(1, more)
    async with registrar.stub(2) as stub:
        ids = [transaction.id for transaction in acknowledged]
        answer = await stub.Receipts(pb.ReceiptsRequest(transaction_ids=ids, wait_ms=20_000))
        assert len(registrar.verifier.verify(answer.receipt).inclusions) == 200
        assert not answer.missing


async def test_api_proves_states_blocks_and_consistency_and_names_what_it_refuses(
    processes: Processes, registrar: Registrar
) -> None:
    processes.start(0, 1, 2, 3)
    good = registrar.attestation()
    await registrar.submit(0, [good])
    async with registrar.stub(0) as stub:
        answer = await stub.State(pb.StateRequest(keys=[b"membership/validators", b"status/none"]))
        states = registrar.verifier.verify(answer.receipt).states
        assert [(state.key, state.value is None) for state in states] == [
            (b"membership/validators", False),
            (b"status/none", True),
        ]
        assert all(isinstance(state, VerifiedState) for state in states)

        stream = stub.Blocks(pb.BlocksRequest(from_height=1))
        parent = bytes(processes.genesis.network)
        entries = 0
        while not entries:
            event = await asyncio.wait_for(stream.read(), 20)
            block = Block.decode(event.block)
            assert block.parent_id == parent
            parent, entries = block.id, len(event.entries)
        assert list(event.transactions) == [good.raw]
        stream.cancel()

        newest = await stub.Checkpoints(pb.CheckpointsRequest())
        certified = ledger_pb2.CertifiedCheckpoint.FromString(newest.newest)
        size = ledger_pb2.Checkpoint.FromString(certified.checkpoint).log_size
        assert size >= 1
        await stub.Consistency(pb.ConsistencyRequest(size1=0, size2=size))

        for call in (
            stub.State(pb.StateRequest(keys=[])),
            stub.State(pb.StateRequest(keys=[b"k" * 5000])),
            stub.State(pb.StateRequest(keys=[b"a"], height=10**9)),
            stub.Receipts(pb.ReceiptsRequest(transaction_ids=[b"short"])),
            stub.Consistency(pb.ConsistencyRequest(size1=2, size2=1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=r"[a-z]+\.[a-z-]+: "):
                await call

        repeated, _, codes = await _submit_raw(stub, [good.raw, b"junk", _foreign(registrar)])
        assert codes == ["transaction.repeated", "message.invalid", "signature.invalid"]
        assert repeated == good.id


async def _submit_raw(stub: object, raws: list[bytes]) -> tuple[bytes, int, list[str]]:
    call = stub.Submit()  # type: ignore[attr-defined]  # a gRPC stub
    await call.write(pb.SubmitRequest(transactions=raws))
    await call.done_writing()
    answer = await asyncio.wait_for(call.read(), 20)
    admissions = answer.admissions.admissions
    return admissions[0].transaction_id, len(admissions), [admission.code for admission in admissions]


def _foreign(registrar: Registrar) -> bytes:
    """A transaction that is fine but for the network that it is signed for."""
    good = registrar.attestation()
    other = Network(sha256(b"another network"))
    return build(good.operations, [registrar._signer], good.expires_at_ms, os.urandom(16), other).raw


async def test_garbage_and_strangers_at_both_ports_change_nothing(processes: Processes, registrar: Registrar) -> None:
    processes.start(0, 1, 2, 3)
    await registrar.submit(0, [registrar.attestation()])
    await registrar.wait_for_peers(0, 3)  # what nodes that come up take and leave in the log is not the strangers'
    before_kib = processes.resident_kib(0)
    lines = processes.log(0).count("\n")
    for port in (processes.peer_port(0), processes.client_port(0)):
        for _ in range(300):
            with socket.create_connection(("127.0.0.1", port), 5) as stranger:
                stranger.sendall(os.urandom(2_000))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        for _ in range(50):
            with (
                socket.create_connection(("127.0.0.1", port), 5) as raw,
                context.wrap_socket(raw) as stranger,
            ):
                try:
                    stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(2_000))
                except OSError:
                    continue  # the peer port wants a certificate and hangs up
    await registrar.submit(0, [registrar.attestation() for _ in range(20)])
    assert processes.resident_kib(0) - before_kib < 64 * 1024
    assert processes.log(0).count("\n") - lines < 20


async def test_health_is_served_beside_the_api(processes: Processes, registrar: Registrar) -> None:
    processes.start(0, 1, 2, 3)
    async with registrar.stub(0) as stub:
        await stub.Status(pb.StatusRequest())
    pem = processes.net.homes[0].tls_certificate.read_bytes()
    address = f"127.0.0.1:{processes.client_port(0)}"
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(pem)) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("fault", ["genesis", "second", "optimised", "other-key", "journal", "ledger", "key"])
async def test_node_that_is_not_as_it_should_be_says_so_and_refuses(
    processes: Processes, registrar: Registrar, fault: str
) -> None:
    home, other = processes.net.homes[0], processes.net.homes[1]
    processes.start(0, 1, 2)
    await registrar.submit(0, [registrar.attestation()])
    if fault == "second":
        processes.kill(1)
        shutil.copy(home.config, other.config)
        shutil.rmtree(other.root / "data")
        (other.root / "data").symlink_to(home.root / "data")
        processes.start(1)
        assert processes.wait(1) == NodeExit.REFUSED
        assert "another process" in processes.log(1)
        return
    processes.kill(0)
    expected, words, extra = NodeExit.REFUSED, "", []
    if fault == "genesis":
        home.genesis.write_bytes(processes.raw_genesis.replace(b'"zhixin-testnet"', b'"zhixin-testnot"'))
        words = "possession"
    elif fault == "optimised":
        words, extra = "python -O", ["-O"]
    elif fault == "other-key":
        shutil.copy(other.validator_key, home.validator_key)
        words = "put that key back"
    elif fault == "key":
        home.validator_key.chmod(0o644)
        words = "chmod 600"
    else:
        for path in getattr(home, fault).glob("*"):
            if path.suffix in {".ldb", ".log"} or path.name.startswith("MANIFEST"):
                path.write_bytes(os.urandom(max(64, path.stat().st_size)))
        expected, words = NodeExit.WORLD, "damaged"
    processes.start(0, extra=extra)
    assert processes.wait(0) == expected
    assert words in processes.log(0)
