# SPDX-License-Identifier: Apache-2.0
"""Puts the explorer together: which network, whose words for operations."""

from collections.abc import Callable, Sequence
from pathlib import Path

from chain.codec import decode
from chain.genesis import GENESIS_BYTES_MAX
from chain.types import TRANSACTION_BYTES_MAX
from cli.home import find_home, read_file
from client.connection import endpoints_of
from identity.pb import identity_pb2 as pb
from service.app import Part
from service.explorer.api import api_router
from service.explorer.pages import SITE, pages_router
from service.explorer.part import Explorer, drop_index, explorer_part, index_engine
from service.explorer.words import MEMBERSHIP, Describers
from service.language import Language, add_messages, translate
from service.nodes import Network, read_network
from service.settings import LedgerSettings, Settings
from service.shell import shell_part

add_messages(Path(__file__).parent / "messages")


def explored_network(settings: LedgerSettings) -> Network:
    """The network that the settings name, else the one that the other commands speak with here.

    Raises:
        ConfigError: The settings name none that can be used.
        MissingError: They name none, and there is none here.
        LedgerError: The genesis file here is none.
    """
    if settings.genesis:
        return read_network(settings)
    home = find_home(None)
    genesis = home.genesis()
    endpoints = home.endpoints(genesis)
    return Network(
        read_file(home.genesis_path, GENESIS_BYTES_MAX),
        genesis,
        endpoints_of(genesis) if endpoints is None else tuple(endpoints),
    )


def explorer_parts(settings: Settings) -> Sequence[Part]:
    """The explorer's parts.

    Raises:
        ConfigError: See `explored_network`.
    """
    explorer = Explorer(explored_network(settings.ledger), settings.index, DESCRIBERS)
    return [shell_part(SITE), explorer_part(explorer, [pages_router(explorer), api_router(explorer)])]


def drop_explorer_index(settings: Settings) -> str:
    """Drop the explorer's index; the explorer makes it anew from the chain. Returns the network's id in hex.

    Raises:
        ConfigError: See `explored_network`.
        StorageError: The index's database failed.
    """
    genesis = explored_network(settings.ledger).genesis
    engine = index_engine(settings.index, genesis)
    try:
        drop_index(engine)
    finally:
        engine.dispose()
    return genesis.network.hex()


def _attest(language: Language, body: bytes | None) -> str:
    if body is None:
        return translate(language, "identity.attest")
    attestation = decode(pb.Attest, body, TRANSACTION_BYTES_MAX)
    if attestation.schema == pb.SCHEMA_RESIDENT:
        return translate(language, "identity.attest-resident")
    if attestation.schema == pb.SCHEMA_COMPANY:
        return translate(language, "identity.attest-company")
    return translate(language, "identity.attest")


def _set_status(language: Language, body: bytes | None) -> str:
    if body is None:
        return translate(language, "identity.set-status")
    status = decode(pb.SetStatus, body, TRANSACTION_BYTES_MAX).status
    if status == pb.STATUS_REVOKED:
        return translate(language, "identity.revoked")
    if status == pb.STATUS_SUSPENDED:
        return translate(language, "identity.suspended")
    if status == pb.STATUS_REINSTATED:
        return translate(language, "identity.reinstated")
    return translate(language, "identity.set-status")


def _named(key: str) -> Callable[[Language, bytes | None], str]:
    """The words of an act whose kind says all that anybody may read of it."""

    def describe(language: Language, _body: bytes | None) -> str:
        return translate(language, key)

    return describe


DESCRIBERS: Describers = {
    **MEMBERSHIP,
    "identity.Attest": _attest,
    "identity.SetStatus": _set_status,
    "identity.AppointOfficer": _named("identity.appoint-officer"),
    "identity.DismissOfficer": _named("identity.dismiss-officer"),
    "identity.RotateTagKey": _named("identity.rotate-tag-key"),
    "identity.RegisterTag": _named("identity.register-tag"),
    "identity.Retag": _named("identity.retag"),
    "identity.ReleaseTag": _named("identity.release-tag"),
    "identity.Enrol": _named("identity.enrol"),
    "identity.ProposeChange": _named("identity.propose-change"),
    "identity.Confirm": _named("identity.confirm"),
    "identity.Withdraw": _named("identity.withdraw"),
    "identity.SetPersonStatus": _named("identity.set-person-status"),
    "identity.Recover": _named("identity.recover"),
    "identity.ProposeLegalPerson": _named("identity.propose-legal-person"),
    "identity.ConfirmLegalPerson": _named("identity.confirm-legal-person"),
    "identity.WithdrawLegalPerson": _named("identity.withdraw-legal-person"),
    "identity.SetLegalPersonStatus": _named("identity.set-legal-person-status"),
    "identity.GrantMandate": _named("identity.grant-mandate"),
    "identity.AcceptMandate": _named("identity.accept-mandate"),
    "identity.EndMandate": _named("identity.end-mandate"),
}
