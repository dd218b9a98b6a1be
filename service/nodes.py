# SPDX-License-Identifier: Apache-2.0
"""Which network a service speaks with: its genesis file, and nodes with the certificates that they must show."""

from dataclasses import dataclass
from pathlib import Path

from chain import genesis as genesis_file
from chain.errors import InvalidGenesis
from chain.genesis import GENESIS_BYTES_MAX, Genesis
from client.connection import Endpoint, endpoints_of
from service.errors import ConfigError, NoGenesisNamed
from service.settings import LedgerSettings

CERTIFICATE_BYTES_MAX = 64 * 1024
"""A self-signed certificate has less than two kilobytes."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network, and whom of it to ask.

    Attributes:
        raw: Bytes of the genesis file, as browsers' verifiers get it.
        endpoints: Nodes in the order of preference.
    """

    raw: bytes
    genesis: Genesis
    endpoints: tuple[Endpoint, ...]


def read_network(settings: LedgerSettings) -> Network:
    """The network that the settings name.

    A node is `host:port`, a founding validator's client address; `host:port=organisation`, a founding validator that is
    reached elsewhere; or `host:port=certificate.pem`, any other node.

    Raises:
        ConfigError: No genesis file is named, something can't be read, or a node's certificate is not known.
    """
    if not settings.genesis:
        raise NoGenesisNamed
    raw = _read(settings.genesis, GENESIS_BYTES_MAX, "ledger.genesis")
    try:
        genesis = genesis_file.load(raw)
    except InvalidGenesis as error:
        raise ConfigError(f"ledger.genesis: {error.reason}") from None
    founders = endpoints_of(genesis)
    if not settings.nodes:
        return Network(raw, genesis, founders)
    by_name = {founder.organisation: founder.tls_certificate.encode() for founder in genesis.founders}
    by_name |= {endpoint.address: endpoint.certificate for endpoint in founders}
    endpoints = []
    for node in settings.nodes:
        address, _, name = node.partition("=")
        certificate = by_name.get(name or address)
        if certificate is None and name:
            certificate = _read(name, CERTIFICATE_BYTES_MAX, "ledger.nodes")
        if certificate is None:
            raise ConfigError(
                f"ledger.nodes: {address} is no founding validator's client address; write {address}=ORGANISATION or "
                f"{address}=certificate.pem"
            )
        endpoints.append(Endpoint(address, certificate))
    return Network(raw, genesis, tuple(endpoints))


def _read(path: str, bytes_max: int, where: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {path} cannot be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ConfigError(f"{where}: {path} is longer than {bytes_max} bytes")
    return raw
