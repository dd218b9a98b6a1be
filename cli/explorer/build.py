# SPDX-License-Identifier: Apache-2.0
"""Puts the explorer together: which network, whose words for operations."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chain.codec import decode
from chain.errors import Refused
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
from traceability.acts import Act, act_of
from traceability.api.shopper.code import code_part
from traceability.pb import traceability_pb2

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
    routers = [pages_router(explorer), api_router(explorer)]
    return [shell_part(SITE), explorer_part(explorer, routers), code_part()]


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


_FOOD_ACTS: Mapping[Act, str] = {
    Act.DECLARE: "traceability.record-event-declare",
    Act.TRANSFORM: "traceability.record-event-transform",
    Act.PACK: "traceability.record-event-pack",
    Act.UNPACK: "traceability.record-event-unpack",
    Act.SHIP: "traceability.record-event-ship",
    Act.CANCEL: "traceability.record-event-cancel",
    Act.RECEIVE: "traceability.record-event-receive",
    Act.SELL: "traceability.record-event-sell",
    Act.REMOVE: "traceability.record-event-remove",
    Act.OBSERVE: "traceability.record-event-observe",
    Act.NOTE: "traceability.record-event-note",
}


def _record_event(language: Language, body: bytes | None) -> str:
    if body is None:
        return translate(language, "traceability.record-event")
    projection = decode(traceability_pb2.RecordEvent, body, TRANSACTION_BYTES_MAX).projection
    try:
        return translate(language, _FOOD_ACTS[act_of(projection)])
    except Refused:
        return translate(language, "traceability.record-event")


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
    "identity.RecordAccesses": _named("identity.record-accesses"),
    "identity.SealAccess": _named("identity.seal-access"),
    "identity.JoinSealed": _named("identity.join-sealed"),
    "identity.ProposeRelyingParty": _named("identity.propose-relying-party"),
    "identity.ConfirmRelyingParty": _named("identity.confirm-relying-party"),
    "identity.WithdrawRelyingParty": _named("identity.withdraw-relying-party"),
    "identity.SetRelyingPartyStatus": _named("identity.set-relying-party-status"),
    "identity.GiveConsent": _named("identity.give-consent"),
    "identity.EndConsent": _named("identity.end-consent"),
    "identity.RegisterDevice": _named("identity.register-device"),
    "identity.SetDeviceStatus": _named("identity.set-device-status"),
    "traceability.RecordParticipant": _named("traceability.record-participant"),
    "traceability.AddTraderKey": _named("traceability.add-trader-key"),
    "traceability.EndTraderKey": _named("traceability.end-trader-key"),
    "traceability.SetAgents": _named("traceability.set-agents"),
    "traceability.RecordPlace": _named("traceability.record-place"),
    "traceability.RecordProduct": _named("traceability.record-product"),
    "traceability.SetTolerance": _named("traceability.set-tolerance"),
    "traceability.RecordEvent": _record_event,
    "traceability.DeclareError": _named("traceability.declare-error"),
    "traceability.Recall": _named("traceability.recall"),
    "traceability.LiftRecall": _named("traceability.lift-recall"),
    "credit.AnswerEvent": _named("credit.answer-event"),
    "credit.CloseLog": _named("credit.close-log"),
    "credit.Decide": _named("credit.decide"),
    "credit.GrantSource": _named("credit.grant-source"),
    "credit.Object": _named("credit.object"),
    "credit.OpenLog": _named("credit.open-log"),
    "credit.PutClass": _named("credit.put-class"),
    "credit.PutScorecard": _named("credit.put-scorecard"),
    "credit.RecordEvent": _named("credit.record-event"),
    "credit.Review": _named("credit.review"),
}
