# SPDX-License-Identifier: Apache-2.0
"""Examines what of a node others see: its ports, the other validators and their certificates, and what each says.

Nothing is sent that changes anything, and what others say of themselves is shown as such, not believed.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is imported: else each failed dial writes lines

import grpc

from chain.types import BlsKey, quorum
from client.pb import node_service_pb2 as pb
from client.pb import node_service_pb2_grpc as rpc
from membership.state import Seat
from node.certificates import certificate_name, to_pem
from node.config import CLIENT_PORT_OFFSET, Config, split_address
from node.doctor_findings import Finding, error, ok, unknown, warning
from node.doctor_home import Facts, certificate_validity
from node.errors import ConfigError

SECONDS_MAX = 3.0
"""A peer that takes longer is as good as down: views time out within a second."""
PROBES_MAX = 16
"""At once; with 64 validators all down it takes 12 s."""
CLOCK_AHEAD_MS_MAX = 2_000
"""Validators refuse blocks that are further ahead of their clock; so a newer block than that means a slow clock."""
LAG_BLOCKS_WARNING = 50
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound: where to reach what is


@dataclass(frozen=True, slots=True)
class Seen:
    """What another validator shows.

    Attributes:
        certificate: DER, as shown on its port for peers; None if it can't be reached.
        reason: Why it can't.
        status: What it says of itself; None if its port for clients does not answer.
    """

    seat: Seat
    certificate: bytes | None
    reason: str
    status: pb.StatusResponse | None


def examine_network(facts: Facts, *, is_running: bool, now_ms: int) -> Iterator[Finding]:
    """Look at ports, peers and answers.

    Args:
        facts: What the home says.
        is_running: Whether a process holds the home.
        now_ms: By this machine's clock.
    """
    config = facts.config
    if config is None:
        yield unknown("ports.unknown")
    else:
        listened = (config.peer.listen, config.client.listen, config.metrics.listen)
        for address in (address for address in listened if address):
            yield _port(address, is_running=is_running)
    own = _own_status(config, facts.certificate) if is_running else None
    yield from _role(own, is_running=is_running)
    others = [key for key in facts.validators if key != facts.bls_key]
    if not others:
        yield unknown("peers.unknown")
        return
    with ThreadPoolExecutor(PROBES_MAX) as pool:
        seen = list(pool.map(_look_at, [facts.seats[key] for key in others if key in facts.seats]))
    yield from _peers(seen, facts.validators, facts.bls_key, now_ms)
    yield from _answers(seen, own, now_ms)


def _port(address: str, *, is_running: bool) -> Finding:
    """Whether a running node listens, or a stopped one could."""
    host, port = split_address(address)
    try:
        if is_running:
            socket.create_connection((_ANY.get(host, host), port), SECONDS_MAX).close()
            return ok("port.open", address=address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as reason:
        code = "port.closed" if is_running else "port.taken"
        return error(code, address=address, reason=reason.strerror or str(reason))
    return ok("port.free", address=address)


def _own_status(config: Config | None, certificate: bytes | None) -> pb.StatusResponse | None:
    """What the running node says of itself."""
    if config is None or certificate is None:
        return None
    host, port = split_address(config.client.listen)
    return ask_status(f"{_ANY.get(host, host)}:{port}", certificate)


def ask_status(address: str, certificate: bytes) -> pb.StatusResponse | None:
    """What the node behind a pinned certificate (DER) says of itself; None if it does not answer."""
    try:
        name = certificate_name(certificate)
    except ConfigError:
        return None
    options = [("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)]
    credentials = grpc.ssl_channel_credentials(to_pem(certificate))
    with grpc.secure_channel(address, credentials, options=options) as channel:
        try:
            return rpc.NodeStub(channel).Status(pb.StatusRequest(), timeout=SECONDS_MAX)
        except grpc.RpcError:
            return None


def _role(own: pb.StatusResponse | None, *, is_running: bool) -> Iterator[Finding]:
    """What a running node says of its own part."""
    if own is None:
        yield error("status.silent") if is_running else unknown("status.stopped")
        return
    connected = sum(peer.connected for peer in own.peers)
    values = {"epoch": own.epoch, "view": own.view, "connected": connected, "peers": len(own.peers)}
    if own.role == pb.ROLE_MUTED:
        yield error("status.muted", **values)
    elif own.role in {pb.ROLE_LEFT, pb.ROLE_LEAVING}:
        yield warning("status.leaving", **values)
    elif own.role == pb.ROLE_VALIDATOR and connected + 1 < quorum(len(own.peers) + 1):
        yield error("status.alone", **values)
    elif own.role == pb.ROLE_VALIDATOR:
        yield ok("status.validator", **values)
    else:
        yield ok("status.follower", **values) if connected else error("status.alone", **values)


def _look_at(seat: Seat) -> Seen:
    """One other validator: its certificate, whatever it be, and its answer if the certificate is the pinned one."""
    try:
        host, port = split_address(seat.address)
        shown = shown_certificate(host, port)
    except (OSError, ConfigError, ValueError) as reason:
        return Seen(seat, None, str(reason), None)
    if shown != seat.tls_certificate:
        return Seen(seat, shown, "", None)
    address = f"[{host}]" if ":" in host else host
    return Seen(seat, shown, "", ask_status(f"{address}:{port + CLIENT_PORT_OFFSET}", seat.tls_certificate))


def shown_certificate(host: str, port: int) -> bytes:
    """The certificate (DER) that a TLS server shows, believed in nothing: the caller compares it with a pin.

    Raises:
        OSError: It can't be reached, or speaks no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, port), SECONDS_MAX) as plain, context.wrap_socket(plain) as secure:
        shown = secure.getpeercert(binary_form=True)
    if shown is None:
        raise OSError("it shows no certificate")
    return shown


def _peers(seen: Sequence[Seen], keys: Sequence[BlsKey], own: bytes | None, now_ms: int) -> Iterator[Finding]:
    """Who can be reached, and who shows what."""
    reached = 0
    for peer in seen:
        values = {"organisation": peer.seat.organisation, "address": peer.seat.address}
        if peer.certificate is None:
            yield warning("peer.unreachable", reason=peer.reason, **values)
        elif peer.certificate != peer.seat.tls_certificate:
            yield error("peer.other-certificate", **values)
        else:
            reached += 1
            yield certificate_validity(peer.certificate, now_ms, "peer", **values)
    needed = quorum(len(keys)) - (own in keys)
    values_all = {"reached": reached, "peers": len(seen), "needed": needed}
    yield ok("peers.ok", **values_all) if reached >= needed else error("peers.few", **values_all)


def _answers(seen: Sequence[Seen], own: pb.StatusResponse | None, now_ms: int) -> Iterator[Finding]:
    """What others say, against each other and against this node: versions, heights, time."""
    answers = [peer.status for peer in seen if peer.status is not None]
    if not answers:
        yield unknown("answers.none")
        return
    versions = sorted({version("zhixin"), *(_printable(answer.version) for answer in answers)})
    if len(versions) > 1:
        yield warning("versions.differ", own=version("zhixin"), versions=", ".join(versions))
    else:
        yield ok("versions.same", own=version("zhixin"), count=len(answers))
    greatest = max(answer.certified_height for answer in answers)
    if own is None:
        yield unknown("progress.unknown", greatest=greatest)
    elif own.certified_height + LAG_BLOCKS_WARNING < greatest:
        yield warning("progress.lags", height=own.certified_height, greatest=greatest)
    else:
        yield ok("progress.ok", height=own.certified_height, greatest=greatest)
    ahead_ms = max(answer.time_ms for answer in answers) - now_ms
    if ahead_ms > CLOCK_AHEAD_MS_MAX:
        yield error("clock-peers.behind", milliseconds=ahead_ms)
    else:
        yield ok("clock-peers.ok", count=len(answers), age_ms=max(0, -ahead_ms))


def _printable(text: str) -> str:
    """Another's words without what could move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text[:40])
