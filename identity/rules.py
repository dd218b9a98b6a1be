# SPDX-License-Identifier: Apache-2.0
"""Identity as a module of the ledger: registrars attest, revoke, suspend and reinstate.

Consensus-critical: pure functions of state, block facts and signers. Nothing here has a text field, and no id stands
in two records, so that who reads a validator's disk learns of no person.  Source: docs/protocol.md, section 4.
"""

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message

from chain.errors import InvalidGenesis
from chain.genesis import Genesis
from chain.module import Context
from identity.issuing import check_attestation, issuer_of
from identity.pb import identity_pb2 as pb
from identity.status import STATUS_PREFIX, set_status

NAME: Final = "identity"
_OPERATIONS: Final[Mapping[str, type[Message]]] = {
    f"{NAME}.{kind.DESCRIPTOR.name}": kind for kind in (pb.Attest, pb.SetStatus)
}


class Identity:
    """The module of identity's records. Issuing writes no state; status does, under a prefix that it alone writes."""

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
        issuer = issuer_of(context)
        match message:
            case pb.Attest():
                check_attestation(context, message)
            case pb.SetStatus():
                set_status(context, issuer, message)
            case _:
                raise AssertionError(f"{message.DESCRIPTOR.full_name} is not registered here")
