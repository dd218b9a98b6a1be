# SPDX-License-Identifier: Apache-2.0
"""Credit as a module of the ledger: a catalogue, sources with rights, logs of one-time slots, scorecards, decisions.

Consensus-critical: pure functions of state, block facts and signers. What is said of a person has no text field, and no
value joins two of their events for who reads a validator's disk.  Source: docs/credit.md; docs/protocol.md, section 4.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import Message

from chain.errors import InvalidGenesis
from chain.genesis import Genesis
from chain.module import Context
from credit.catalogue import grant_source, put_class
from credit.decisions import decide, review
from credit.events import answer_event, object_to, record_event
from credit.logs import close_log, open_log
from credit.pb import credit_pb2 as pb
from credit.scorecards import put_scorecard

NAME: Final = "credit"

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
        _rule(pb.PutClass, put_class),
        _rule(pb.GrantSource, grant_source),
        _rule(pb.PutScorecard, put_scorecard),
        _rule(pb.OpenLog, open_log),
        _rule(pb.CloseLog, close_log),
        _rule(pb.RecordEvent, record_event),
        _rule(pb.AnswerEvent, answer_event),
        _rule(pb.Object, object_to),
        _rule(pb.Decide, decide),
        _rule(pb.Review, review),
    )
}
_OPERATIONS: Final[Mapping[str, type[Message]]] = {name: kind for name, (kind, _) in _RULES.items()}


class Credit:
    """The module of credit's records."""

    @property
    def name(self) -> str:
        """Of operations and state keys."""
        return NAME

    @property
    def grants(self) -> tuple[str, ...]:
        """It writes nowhere but under its name."""
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
