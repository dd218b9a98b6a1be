# SPDX-License-Identifier: Apache-2.0
"""Organisations that a scene needs are voted in by the members of its network, as they are in a real one."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.signing import TransactionSigner
from chain.transaction import Operation
from chain.types import Network, quorum, sha256
from cli.scenes.stage import Stage
from client.session import Session
from membership.pb import membership_pb2
from membership.state import organisation_key, signer_pb

PROPOSAL_MS = 60_000
PURPOSES = (membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_GOVERN, membership_pb2.PURPOSE_ATTEST)


@dataclass(frozen=True, slots=True)
class Office:
    """An organisation that a scene plays, with one key for everything.

    Attributes:
        roles: On the ledger.
        signer: Made from the network's id, so that a scene played again finds the same.
    """

    id: str
    name_zh: str
    name_en: str
    roles: tuple[str, ...]
    signer: Ed25519Signer


def office(session: Session, name: str, name_zh: str, name_en: str, *roles: str) -> Office:
    """An organisation of a scene."""
    return Office(name, name_zh, name_en, roles, Ed25519Signer(office_seed(session.network, name)))


def office_seed(network: Network, name: str) -> bytes:
    """The secret of an organisation's key in scenes; 32 bytes."""
    return sha256(b"an organisation of a scene\x00" + name.encode() + b"\x00" + network)


async def admit(stage: Stage, session: Session, offices: Sequence[Office]) -> None:
    """Have the members vote in those offices that are not there yet, all in one proposal."""
    states = await session.read_many([organisation_key(one.id) for one in offices])
    known = {state.key for state in states if state.value is not None}
    acts = [
        membership_pb2.Act(
            add_organisation=membership_pb2.AddOrganisation(
                id=one.id,
                name_zh=one.name_zh,
                name_en=one.name_en,
                roles=one.roles,
                keys=[membership_pb2.KeyGrant(key=signer_pb(one.signer.signer), purposes=PURPOSES)],
            )
        )
        for one in offices
        if organisation_key(one.id) not in known
    ]
    if not acts:
        return
    founders = stage.network.home.genesis().founders
    members = [stage.network.home.signer(founder.organisation) for founder in founders]
    checkpoint = states[0].checkpoint
    propose = membership_pb2.Propose(epoch=checkpoint.epoch, expires_at_ms=checkpoint.time_ms + PROPOSAL_MS, acts=acts)
    proven = await session.submit_one(session.sign([operation(propose)], [members[0]]))
    assert proven.failed is None, proven.failed
    for member in members[1 : quorum(len(members))]:
        approve = membership_pb2.Approve(proposal_id=proven.id, epoch=checkpoint.epoch)
        assert await code_of(session, [member], approve) == ""


async def code_of(session: Session, signers: Sequence[TransactionSigner], *messages: Message | Operation) -> str:
    """Sign operations and send them; "" or the code of the rule that refused."""
    operations = [one if isinstance(one, Operation) else operation(one) for one in messages]
    try:
        proven = await session.submit_one(session.sign(operations, signers))
    except Refused as refused:
        return refused.code
    return "" if proven.failed is None else proven.failed.code


def operation(message: Message) -> Operation:
    """An operation of the module whose message it is."""
    package = message.DESCRIPTOR.full_name.split(".")[1]
    return Operation.make(f"{package}.{message.DESCRIPTOR.name}", encode(message))
