# SPDX-License-Identifier: Apache-2.0
"""Membership as a module of the ledger: who may do what, and who validates.

Consensus-critical: pure functions of state, block facts and signers.  Source: docs/protocol.md, sections 2 and 5.
"""

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message

from chain.checkpoint import Validator
from chain.errors import Refused
from chain.genesis import Genesis
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Signer
from membership import authority
from membership.anchors import anchor
from membership.evidence import report_evidence
from membership.genesis import write_genesis
from membership.keys import add_own_key, revoke_own_key
from membership.pb import membership_pb2 as pb
from membership.proposals import approve, propose, withdraw
from membership.state import load_validators
from membership.validators import set_endpoint
from membership.verification import BLS, Verification

NAME: Final = "membership"
_OPERATIONS: Final[Mapping[str, type[Message]]] = {
    f"{NAME}.{kind.DESCRIPTOR.name}": kind
    for kind in (
        pb.AddKey,
        pb.Anchor,
        pb.Approve,
        pb.Propose,
        pb.ReportEvidence,
        pb.RevokeKey,
        pb.SetEndpoint,
        pb.Withdraw,
    )
}


class Membership:
    """The module and the authority of every network."""

    def __init__(self, verification: Verification = BLS) -> None:
        self._verification = verification

    @property
    def name(self) -> str:
        """Of operations, state keys and the genesis section."""
        return NAME

    @property
    def grants(self) -> tuple[str, ...]:
        """It writes under `membership/` only."""
        return ()

    @property
    def operations(self) -> Mapping[str, type[Message]]:
        """Message classes by registered type."""
        return _OPERATIONS

    def genesis(self, genesis: Genesis, context: Context) -> None:
        """Write the first organisations, keys, validators and parameters; see `membership.genesis`.

        Raises:
            InvalidGenesis: The section is wrong.
        """
        write_genesis(genesis, context)

    def execute(self, context: Context, message: Message) -> None:
        """Execute one operation.

        Raises:
            Refused: A rule says no.
        """
        if isinstance(message, pb.ReportEvidence):
            report_evidence(context, message, self._verification.scheme)
            return
        if isinstance(message, pb.Anchor):
            anchor(context, message)
            return
        organisation = _governing(context)
        match message:
            case pb.Propose():
                propose(context, organisation, message, self._verification.possession)
            case pb.Approve():
                approve(context, organisation, message, self._verification.possession)
            case pb.Withdraw():
                withdraw(context, organisation, message)
            case pb.AddKey():
                add_own_key(context, organisation, message.key)
            case pb.RevokeKey():
                revoke_own_key(context, organisation, message.key)
            case pb.SetEndpoint():
                set_endpoint(context, organisation, message)
            case _:
                raise AssertionError(f"{message.DESCRIPTOR.full_name} is not registered here")

    def is_known(self, read: ReadState, signer: Signer, time_ms: int) -> bool:
        """Whether a signer's transactions count."""
        return authority.is_known(read, signer, time_ms)

    def validator_set(self, read: ReadState) -> tuple[Validator, ...]:
        """Who serves the epoch that state names, in bitmap order."""
        return load_validators(read)


def _governing(context: Context) -> str:
    """The one organisation that acts here: its key of purpose `govern` signed.

    Raises:
        Refused: None signed, several did, or it is suspended.
    """
    organisations = authority.signing_organisations(context, pb.PURPOSE_GOVERN)
    if not organisations:
        raise Refused("no signer has a key that governs", "membership.not-governing")
    if len(organisations) > 1:
        raise Refused("keys of several organisations sign; one acts at a time", "membership.ambiguous-organisation")
    if not organisations[0].is_active:
        raise Refused("the organisation is suspended", "membership.organisation-suspended")
    return organisations[0].id
