# SPDX-License-Identifier: Apache-2.0
"""Peers' certificates, of which the ledger says only that they are DER: one that is unsound costs its owner alone."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chain.types import BlsKey
from node.certificates import certificate_key, make_certificate, server_name, to_pem, verify_certificate
from node.config import PeerConfig
from node.errors import ConfigError
from node.keys import Algorithm, KeyPair, Purpose, generate_key, private_key_pem
from node.pb import peer_service_pb2 as pb
from node.transport import Peer, TlsIdentity, Transport, sound_peers
from tests.ports import free_base_port

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
GARBAGE = b"\x30\x82\x01\x00" + bytes(256)


def key_pair(seed: int) -> KeyPair:
    return generate_key(Purpose.TLS, Algorithm.P256, seed.to_bytes(32))


@cache
def certificate(seed: int, now: dt.datetime = NOW) -> bytes:
    return make_certificate(key_pair(seed), ("127.0.0.1",), now)


def peer(seed: int, pinned: bytes | None = None, address: str = "") -> Peer:
    return Peer(BlsKey(bytes([seed]) * 48), f"org-{seed}", address, certificate(seed) if pinned is None else pinned)


def crafted(
    name: str | None = None,
    issuer: str | None = None,
    *,
    signer: ec.EllipticCurvePrivateKey | None = None,
    extension: x509.ExtensionType | None = None,
    curve: ec.EllipticCurve | None = None,
) -> bytes:
    """A certificate that parses and is not such as a node makes."""
    private = ec.generate_private_key(curve or ec.SECP256R1())
    compressed = private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    subject = name or server_name(compressed)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer or subject)]))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=10))
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer or private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


VICTIM = server_name(certificate_key(certificate(1)))
UNSOUND: dict[str, Callable[[], bytes]] = {
    "garbage": lambda: GARBAGE,
    "nothing": lambda: b"",
    "another's subject": lambda: crafted(VICTIM),
    "another's name as issuer": lambda: crafted(issuer=VICTIM),
    "not signed with its own key": lambda: crafted(signer=ec.generate_private_key(ec.SECP256R1())),
    "another curve": lambda: crafted(curve=ec.SECP384R1()),
    "an extension of its own": lambda: crafted(extension=x509.InhibitAnyPolicy(0)),
    "something behind it": lambda: certificate(2) + b"\x00",
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_unsound_certificate_is_refused_and_costs_its_owner_alone(kind: str) -> None:
    bad = UNSOUND[kind]()
    with pytest.raises(ConfigError):
        verify_certificate(bad)
    sound, others = sound_peers([peer(1), peer(9, bad), peer(2)], certificate(3))
    assert [each.organisation for each in sound] == ["org-1", "org-2"]
    assert [each.organisation for each, _ in others] == ["org-9"]


def test_certificate_as_nodes_make_it_is_sound() -> None:
    assert verify_certificate(certificate(1)) == key_pair(1).public_key


def test_of_two_peers_with_one_key_the_first_stays_and_nobody_has_the_nodes_own() -> None:
    renewed = certificate(1, NOW + dt.timedelta(days=1))
    sound, others = sound_peers([peer(1), peer(7, renewed), peer(8, certificate(3))], certificate(3))
    assert [each.organisation for each in sound] == ["org-1"]
    assert [each.organisation for each, _ in others] == ["org-7", "org-8"]


# ---------------------------------------------------------------- real connections


def free_address() -> str:
    return f"127.0.0.1:{free_base_port(1)}"


@asynccontextmanager
async def transport(seed: int, address: str, renew_ms_min: int = 0) -> AsyncIterator[tuple[Transport, list[bytes]]]:
    """A running transport, and whatever it receives."""
    received: list[bytes] = []

    async def receive(_sender: BlsKey, frame: pb.Frame) -> None:
        received.extend(frame.messages)

    identity = TlsIdentity(to_pem(certificate(seed)), private_key_pem(key_pair(seed)))
    config = PeerConfig(listen=address, reconnect_ms_min=20, reconnect_ms_max=50, renew_ms_min=renew_ms_min)
    made = Transport(identity, config, receive)
    listening = asyncio.create_task(made.keep_listening())
    try:
        yield made, received
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await made.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is another task's, and tells nobody
            await asyncio.sleep(0.01)


async def test_peers_talk_on_while_another_pins_garbage_and_a_victims_subject() -> None:
    one, two = free_address(), free_address()
    async with transport(1, one) as (first, _), transport(2, two) as (second, received):
        await first.set_peers([peer(2, address=two)])
        await second.set_peers([peer(1, address=one)])
        await until(lambda: first.connected and second.connected)
        for bad in (GARBAGE, crafted(VICTIM)):
            await first.set_peers([peer(2, address=two), peer(9, bad, address=free_address())])
            await second.set_peers([peer(9, bad, address=free_address()), peer(1, address=one)])
            assert [each.organisation for each in second.peers] == ["org-1"]
            count = len(received)
            first.send(peer(2).bls_key, bad or b"hello")
            await until(lambda count=count: len(received) > count)
        # From scratch, as after a restart:
        await second.stop()
        await until(lambda: not first.connected)
        await second.set_peers([peer(9, crafted(VICTIM)), peer(8, GARBAGE), peer(1, address=one)])
        await until(lambda: first.connected and second.connected)


async def test_new_certificates_renew_the_listener_at_a_bounded_pace_and_other_connections_stay() -> None:
    one, two = free_address(), free_address()
    async with transport(1, one) as (first, _), transport(2, two, renew_ms_min=600_000) as (second, received):
        await first.set_peers([peer(2, address=two)])
        await second.set_peers([peer(1, address=one)])
        await until(lambda: first.connected)
        link = first.connected
        for seed in range(10, 30):
            await second.set_peers([peer(1, address=one), peer(9, certificate(seed))])
            first.send(peer(2).bls_key, b"still here")
            await asyncio.sleep(0.01)
        await until(lambda: len(received) == 20)
        assert first.connected == link


async def test_newcomer_is_accepted_after_the_listener_is_renewed_and_one_that_left_is_not_heard() -> None:
    one, two = free_address(), free_address()
    async with transport(1, one) as (first, _), transport(2, two, renew_ms_min=100) as (second, received):
        await first.set_peers([peer(2, address=two)])
        await second.set_peers([])
        await asyncio.sleep(0.2)
        assert not first.connected
        await second.set_peers([peer(1)])
        await until(lambda: first.connected)
        await second.set_peers([])
        first.send(peer(2).bls_key, b"too late")
        await until(lambda: not first.connected)
        assert received == []
