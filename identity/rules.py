# SPDX-License-Identifier: Apache-2.0
"""Identity as a module of the ledger: registrars attest and keep registrations, officers act, sides give mandates.

Consensus-critical: pure functions of state, block facts and signers. No operation about natural persons has a text
field, and no id of theirs stands in two records, so that who reads a validator's disk learns of no person.
Source: docs/identity.md; docs/protocol.md, section 4.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message

from chain.errors import InvalidGenesis
from chain.genesis import Genesis
from chain.module import Context
from identity.issuing import check_attestation, issuer_of
from identity.legal_persons import (
    confirm_legal_person,
    propose_legal_person,
    set_legal_person_status,
    withdraw_legal_person,
)
from identity.mandates import accept_mandate, end_mandate, grant_mandate
from identity.officers import appoint_officer, dismiss_officer
from identity.pb import identity_pb2 as pb
from identity.persons import confirm, enrol, propose_change, recover, set_person_status, withdraw
from identity.status import STATUS_PREFIX, set_status
from identity.uniqueness import register_tag, release_tag, retag, rotate_tag_key

NAME: Final = "identity"

M = TypeVar("M", bound=Message)
_Rule: TypeAlias = Callable[[Context, Message], None]


def _rule(kind: type[M], rule: Callable[[Context, M], None]) -> tuple[type[Message], _Rule]:
    """A message class with what executes it."""

    def execute(context: Context, message: Message) -> None:
        assert isinstance(message, kind), f"{message.DESCRIPTOR.full_name} is not {kind.DESCRIPTOR.full_name}"
        rule(context, message)

    return kind, execute


def _attest(context: Context, message: pb.Attest) -> None:
    """Issue an attestation. No write."""
    issuer_of(context)
    check_attestation(context, message)


def _set_status(context: Context, message: pb.SetStatus) -> None:
    """Revoke, suspend or reinstate an attestation. One write."""
    set_status(context, issuer_of(context), message)


_RULES: Final[Mapping[str, tuple[type[Message], _Rule]]] = {
    f"{NAME}.{kind.DESCRIPTOR.name}": (kind, rule)
    for kind, rule in (
        _rule(pb.Attest, _attest),
        _rule(pb.SetStatus, _set_status),
        _rule(pb.AppointOfficer, appoint_officer),
        _rule(pb.DismissOfficer, dismiss_officer),
        _rule(pb.RotateTagKey, rotate_tag_key),
        _rule(pb.RegisterTag, register_tag),
        _rule(pb.Retag, retag),
        _rule(pb.ReleaseTag, release_tag),
        _rule(pb.Enrol, enrol),
        _rule(pb.ProposeChange, propose_change),
        _rule(pb.Confirm, confirm),
        _rule(pb.Withdraw, withdraw),
        _rule(pb.SetPersonStatus, set_person_status),
        _rule(pb.Recover, recover),
        _rule(pb.ProposeLegalPerson, propose_legal_person),
        _rule(pb.ConfirmLegalPerson, confirm_legal_person),
        _rule(pb.WithdrawLegalPerson, withdraw_legal_person),
        _rule(pb.SetLegalPersonStatus, set_legal_person_status),
        _rule(pb.GrantMandate, grant_mandate),
        _rule(pb.AcceptMandate, accept_mandate),
        _rule(pb.EndMandate, end_mandate),
    )
}
_OPERATIONS: Final[Mapping[str, type[Message]]] = {name: kind for name, (kind, _) in _RULES.items()}


class Identity:
    """The module of identity's records. Attesting writes no state; status does, under a prefix that it alone writes."""

    @property
    def name(self) -> str:
        """Of operations and state keys."""
        return NAME

    @property
    def grants(self) -> tuple[str, ...]:
        """It alone writes under `status/`."""
        return (STATUS_PREFIX,)

    @property
    def operations(self) -> Mapping[str, type[Message]]:
        """Message classes by registered type."""
        return _OPERATIONS

    def genesis(self, genesis: Genesis, context: Context) -> None:
        """There is nothing to begin with.

        Raises:
            InvalidGenesis: The genesis file has a section for it.
        """
        del context
        if genesis.sections.get(NAME):
            raise InvalidGenesis(f"sections.{NAME}: leave this section out; the module starts without state")

    def execute(self, context: Context, message: Message) -> None:
        """Execute one operation.

        Raises:
            Refused: A rule says no.
        """
        name = f"{NAME}.{message.DESCRIPTOR.name}"
        assert name in _RULES, f"{message.DESCRIPTOR.full_name} is not registered here"
        _, rule = _RULES[name]
        rule(context, message)
