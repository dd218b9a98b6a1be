# SPDX-License-Identifier: Apache-2.0
"""Participants: farms, carriers, markets, laboratories, processors and importers, with keys of their own.

They are records that a food regulator keeps, not members of the network: a city has thousands, and members change by
vote. A regulator is an active organisation with the role `food-regulator`; its keys of purpose `attest` act. An event
counts when a key of its actor signs, or of a participant that the actor named as its agent; the service that submits
it signs beside.  Under `traceability/participant/<GLN>` and `traceability/key/<scheme>/<public key in hex>`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Signer
from identity.uscc import is_uscc
from membership.authority import signing_organisations
from membership.keys import read_signer
from membership.names import check_display_names
from membership.pb import membership_pb2
from traceability.items import check_gln
from traceability.pb import traceability_pb2 as pb

REGULATOR_ROLE: Final = "food-regulator"
KEYS_MAX: Final = 32
"""Phones and scanners of one participant at work at a time; a market has some dozens."""
AGENTS_MAX: Final = 8
"""A farm has one cooperative or two; each event's check looks through them."""
COMMITMENT_BYTES: Final = 32
RECORDS_CACHED_MAX: Final = 8192
"""Decoded records remembered, some hundred bytes each: more than a city's participants at work."""

_ROLES = tuple(sorted(set(pb.Role.values()) - {pb.ROLE_UNSPECIFIED}))
_KINDS = (pb.PARTICIPANT_KIND_COMPANY, pb.PARTICIPANT_KIND_SMALLHOLDER)


@dataclass(frozen=True, slots=True)
class Participant:
    """What rules look at of a participant.

    Attributes:
        agents: GLNs of participants that may sign in its name.
    """

    gln: str
    kind: pb.ParticipantKind.ValueType
    roles: tuple[pb.Role.ValueType, ...]
    agents: tuple[str, ...]
    is_active: bool


def participant_key(gln: str) -> bytes:
    """State key of a participant."""
    return b"traceability/participant/" + gln.encode()


def trader_key(signer: Signer) -> bytes:
    """State key of a participant's key."""
    return b"traceability/key/%d/%s" % (signer.scheme, signer.public_key.hex().encode())


def load_participant(read: ReadState, gln: str) -> Participant | None:
    """A participant by its GLN, also a suspended one; None if there is none."""
    raw = read(participant_key(gln))
    return None if raw is None else _participant(gln, raw)


def load_trader_key(read: ReadState, signer: Signer) -> pb.TraderKeyRecord | None:
    """What is recorded of a key, also of one that ended; None if it never was a participant's."""
    raw = read(trader_key(signer))
    return None if raw is None else pb.TraderKeyRecord.FromString(raw)


# ---------------------------------------------------------------- who acts


def regulator_of(context: Context) -> str:
    """The id of the one active food regulator that signs.

    Raises:
        Refused: No key of purpose `attest` of one signs, or keys of several do.
    """
    found = [one for one in signing_organisations(context, membership_pb2.PURPOSE_ATTEST) if one.is_active]
    regulators = [one.id for one in found if REGULATOR_ROLE in one.roles]
    if not regulators:
        raise Refused("no attest key of an active food regulator signs", "traceability.not-regulator")
    if len(regulators) > 1:
        raise Refused("keys of several regulators sign; one acts at a time", "traceability.several-regulators")
    return regulators[0]


def acting_participant(context: Context, gln: str, *, by_agent: bool = True) -> Participant:
    """The participant whose act this is, if one who may do so signs.

    Args:
        context: Of the operation.
        gln: Whose act it is said to be.
        by_agent: Whether an agent may sign it.

    Raises:
        Refused: There is no such participant, it is suspended, or neither it nor an active agent of it signs.
    """
    actor = existing_participant(context.read, gln)
    if not actor.is_active:
        raise Refused("the participant is suspended", "traceability.participant-suspended")
    for signer in context.signers:
        owner = _owner_of(context.read, signer)
        if owner == gln:
            return actor
        if by_agent and owner is not None and owner in actor.agents:
            agent = load_participant(context.read, owner)
            if agent is not None and agent.is_active:
                return actor
    raise Refused("no key of the participant, or of its agents, signs", "traceability.not-signed-by-actor")


def existing_participant(read: ReadState, gln: str) -> Participant:
    """A participant, suspended or not.

    Raises:
        Refused: The number is none, or no participant's.
    """
    check_gln(gln, "a participant")
    found = load_participant(read, gln)
    if found is None:
        raise Refused(f"there is no participant {gln}", "traceability.unknown-participant")
    return found


def active_participant(read: ReadState, gln: str) -> Participant:
    """A participant that is not suspended.

    Raises:
        Refused: There is none.
    """
    found = existing_participant(read, gln)
    if not found.is_active:
        raise Refused(f"the participant {gln} is suspended", "traceability.participant-suspended")
    return found


def check_owner_or_regulator(context: Context, gln: str) -> None:
    """Check that a participant signs with a key of its own, or a regulator.

    Raises:
        Refused: Neither does.
    """
    if any(_owner_of(context.read, signer) == gln for signer in context.signers):
        acting_participant(context, gln, by_agent=False)
        return
    regulator_of(context)


# ---------------------------------------------------------------- records


def record_participant(context: Context, message: pb.RecordParticipant) -> None:
    """Record a participant, or other fields of one. One write.

    Raises:
        Refused: No regulator signs, or a field is not as it must be.
    """
    regulator = regulator_of(context)
    check_gln(message.gln, "a participant")
    roles = tuple(message.roles)
    if message.kind not in _KINDS or not roles or roles != tuple(role for role in _ROLES if role in roles):
        raise Refused("a participant has a known kind and roles in ascending order", "traceability.invalid-participant")
    if message.kind == pb.PARTICIPANT_KIND_SMALLHOLDER:
        if message.name_zh or message.name_en or message.uscc:
            raise Refused("a natural person's name stays off the chain", "traceability.names-a-person")
        _check_commitment(message.commitment)
    else:
        check_names(message.name_zh, message.name_en)
        if not is_uscc(message.uscc):
            raise Refused("a company has a unified social credit code", "traceability.invalid-participant")
        if message.commitment:
            _check_commitment(message.commitment)
    raw = context.read(participant_key(message.gln))
    record = pb.ParticipantRecord() if raw is None else pb.ParticipantRecord.FromString(raw)
    if raw is not None and record.kind != message.kind:
        raise Refused("a participant's kind stays as it is", "traceability.participant-fixed")
    new = pb.ParticipantRecord(
        kind=message.kind,
        roles=roles,
        name_zh=message.name_zh,
        name_en=message.name_en,
        uscc=message.uscc,
        commitment=message.commitment,
        suspended=message.suspended,
        agents=record.agents,
        keys=record.keys,
        regulator=regulator,
    )
    context.write(participant_key(message.gln), encode(new))


def add_trader_key(context: Context, message: pb.AddTraderKey) -> None:
    """Give a participant a key. Two writes.

    Raises:
        Refused: Neither the participant nor a regulator signs, the key does not sign, is or was somebody's, or there
            are 32 in use.
    """
    signer = read_signer(message.key)
    record = _record(context, message.participant)
    check_owner_or_regulator(context, message.participant)
    if signer not in context.signers:
        raise Refused("a key that is given to a participant signs too", "traceability.key-unproven")
    if load_trader_key(context.read, signer) is not None:
        raise Refused("this key is or was a participant's; it never changes hands", "traceability.key-used")
    if record.keys >= KEYS_MAX:
        raise Refused(f"a participant has at most {KEYS_MAX} keys in use", "traceability.too-many-keys")
    record.keys += 1
    context.write(participant_key(message.participant), encode(record))
    new = pb.TraderKeyRecord(participant=message.participant, since_ms=context.block.time_ms)
    context.write(trader_key(signer), encode(new))


def end_trader_key(context: Context, message: pb.EndTraderKey) -> None:
    """End a key for good. Two writes.

    Raises:
        Refused: It is no key in use, or neither its participant nor a regulator signs.
    """
    signer = read_signer(message.key)
    found = load_trader_key(context.read, signer)
    if found is None or found.ended_ms:
        raise Refused("this is no key of a participant, or one that ended", "traceability.unknown-key")
    check_owner_or_regulator(context, found.participant)
    record = _record(context, found.participant)
    record.keys -= 1
    context.write(participant_key(found.participant), encode(record))
    found.ended_ms = context.block.time_ms
    context.write(trader_key(signer), encode(found))


def set_agents(context: Context, message: pb.SetAgents) -> None:
    """Say who signs events in a participant's name. One write.

    Raises:
        Refused: Neither the participant itself nor a regulator signs, or an agent is unknown.
    """
    record = _record(context, message.participant)
    check_owner_or_regulator(context, message.participant)
    agents = tuple(message.agents)
    if len(agents) > AGENTS_MAX or agents != tuple(sorted(set(agents))) or message.participant in agents:
        raise Refused(f"agents are at most {AGENTS_MAX} others in ascending order", "traceability.invalid-agents")
    for agent in agents:
        existing_participant(context.read, agent)
    del record.agents[:]
    record.agents.extend(agents)
    context.write(participant_key(message.participant), encode(record))


def check_names(name_zh: str, name_en: str) -> None:
    """Check names that everybody sees: at least one of the two, neither long nor deceptive.

    Raises:
        Refused: Something is wrong with one of them.
    """
    try:
        check_display_names(name_zh, name_en)
    except Refused as refusal:
        raise Refused(refusal.reason, "traceability.invalid-name") from None


def _record(context: Context, gln: str) -> pb.ParticipantRecord:
    """A participant's whole record, to change it.

    Raises:
        Refused: There is none.
    """
    existing_participant(context.read, gln)
    return pb.ParticipantRecord.FromString(context.read(participant_key(gln)) or b"")


def _check_commitment(commitment: bytes) -> None:
    if len(commitment) != COMMITMENT_BYTES:
        raise Refused(f"a commitment has {COMMITMENT_BYTES} bytes", "traceability.invalid-commitment")


def _owner_of(read: ReadState, signer: Signer) -> str | None:
    """Whose key this is, if it is in use."""
    raw = read(trader_key(signer))
    return None if raw is None else _owner(raw)


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _owner(raw: bytes) -> str | None:
    record = pb.TraderKeyRecord.FromString(raw)
    return None if record.ended_ms else record.participant


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _participant(gln: str, raw: bytes) -> Participant:
    record = pb.ParticipantRecord.FromString(raw)
    return Participant(gln, record.kind, tuple(record.roles), tuple(record.agents), not record.suspended)
