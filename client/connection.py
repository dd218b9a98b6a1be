# SPDX-License-Identifier: Apache-2.0
"""One node as a client sees it: a TLS channel pinned to the node's own certificate, with a deadline on each call.

Nothing that comes through here is verified yet; `client.session` does that. A gRPC status becomes a `Refused` where
the node gave a ledger code, and a `TransportError` otherwise.
"""

import hashlib
import os
import re
from dataclasses import dataclass

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is imported: else each failed dial writes lines

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from chain.errors import InvalidGenesis, LedgerError, Refused
from chain.genesis import Genesis
from client.errors import TransportError
from client.pb.node_service_pb2_grpc import NodeStub

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Four full blocks: a bundle of 512 receipts has less, a block event at most a block with its entries."""
CLIENT_PORT_OFFSET = 1
"""Genesis names where peers reach a validator; clients reach it at the next port unless they are told otherwise."""

_CODE = re.compile(r"^([a-z]+(?:[.-][a-z0-9]+)*): (.*)$", re.DOTALL)
_REASON_CHARACTERS_MAX = 300
_ADMISSION_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's client API is, and the certificate that it must show.

    Attributes:
        address: host:port.
        certificate: PEM, self-signed; nothing else is accepted.
    """

    address: str
    certificate: bytes


def endpoints_of(genesis: Genesis) -> tuple[Endpoint, ...]:
    """Where clients reach the founding validators, by the convention that their port is the one after the peers'."""
    endpoints = []
    for founder in genesis.founders:
        host, _, port = founder.address.rpartition(":")
        endpoints.append(Endpoint(f"{host}:{int(port) + CLIENT_PORT_OFFSET}", founder.tls_certificate.encode()))
    return tuple(endpoints)


class Connection:
    """A channel to one node."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare a channel; it dials when first used.

        Raises:
            InvalidGenesis: The certificate is none.
        """
        self.endpoint = endpoint
        try:
            certificate = x509.load_pem_x509_certificate(endpoint.certificate)
            name = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        except (ValueError, IndexError):
            raise InvalidGenesis(f"the certificate pinned for {endpoint.address} is not a named X.509 one") from None
        pem = certificate.public_bytes(Encoding.PEM)
        self._channel = grpc.aio.secure_channel(
            endpoint.address,
            grpc.ssl_channel_credentials(root_certificates=pem),
            options=[
                ("grpc.ssl_target_name_override", str(name)),
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 2_000),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.lb_policy_name", "pick_first"),
            ],
        )
        self.stub = NodeStub(self._channel)

    @property
    def name(self) -> str:
        """How errors name this node."""
        return self.endpoint.address

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pinned certificate, by which a liar is remembered."""
        return hashlib.sha256(self.endpoint.certificate).hexdigest()

    async def close(self) -> None:
        """Close the channel; calls under way end."""
        await self._channel.close()


def printable(text: str) -> str:
    """A node's words, cut to a bound, without what could move a terminal's cursor or turn its text around."""
    words = text[:_REASON_CHARACTERS_MAX]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)


def failure_of(error: grpc.aio.AioRpcError, node: str) -> LedgerError | TransportError:
    """What a gRPC error means for the caller; the node's words in it can be shown."""
    details = printable(error.details() or "")
    found = _CODE.match(details)
    if error.code() in _ADMISSION_STATUSES and found is not None:
        return Refused(f"{node}: {found[2]}", found[1])
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TransportError(f"{node} did not answer in time", "transport.timeout")
    return TransportError(f"{node}: {error.code().name.lower().replace('_', ' ')}: {details}")
