# SPDX-License-Identifier: Apache-2.0
"""Traceability as a module of the ledger: traders sign what they do with goods, and no step makes goods out of nothing.

Consensus-critical: pure functions of state, block facts and signers. What a reader learns is public by purpose; no
operation has room for a person's name.  Source: docs/traceability.md; docs/adr/0016-mass-balance-by-lineage.md.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message

from chain.errors import InvalidGenesis
from chain.genesis import Genesis
from chain.module import Context
from traceability.events import declare_error, record_event
from traceability.participants import add_trader_key, end_trader_key, record_participant, set_agents
from traceability.pb import traceability_pb2 as pb
from traceability.products import record_place, record_product, set_tolerance
from traceability.recalls import lift_recall, recall

NAME: Final = "traceability"

M = TypeVar("M", bound=Message)
_Rule: TypeAlias = Callable[[Context, Message], None]


def _rule(kind: type[M], rule: Callable[[Context, M], None]) -> tuple[type[Message], _Rule]:
    """A message class with what executes it."""

    def execute(context: Context, message: Message) -> None:
        assert isinstance(message, kind), f"{message.DESCRIPTOR.full_name} is not {kind.DESCRIPTOR.full_name}"
        rule(context, message)

    return kind, execute


_RULES: Final[Mapping[str, tuple[type[Message], _Rule]]] = {
    f"{NAME}.{kind.DESCRIPTOR.name}": (kind, rule)
    for kind, rule in (
        _rule(pb.RecordParticipant, record_participant),
        _rule(pb.AddTraderKey, add_trader_key),
        _rule(pb.EndTraderKey, end_trader_key),
        _rule(pb.SetAgents, set_agents),
        _rule(pb.RecordPlace, record_place),
        _rule(pb.RecordProduct, record_product),
        _rule(pb.SetTolerance, set_tolerance),
        _rule(pb.RecordEvent, record_event),
        _rule(pb.DeclareError, declare_error),
        _rule(pb.Recall, recall),
        _rule(pb.LiftRecall, lift_recall),
    )
}
_OPERATIONS: Final[Mapping[str, type[Message]]] = {name: kind for name, (kind, _) in _RULES.items()}


class Traceability:
    """The module of goods on their way. It writes under `traceability/` alone."""

    @property
    def name(self) -> str:
        """Of operations and state keys."""
        return NAME

    @property
    def grants(self) -> tuple[str, ...]:
        """It writes under `traceability/` only."""
        return ()

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
