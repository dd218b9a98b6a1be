# SPDX-License-Identifier: Apache-2.0
"""Traceability as a module of the ledger: traders sign what they do with goods, and no step makes goods out of nothing.

Consensus-critical: pure functions of state, block facts and signers. What a reader learns is public by purpose; no
operation has room for a person's name.  Source: docs/traceability.md; docs/adr/0016-mass-balance-by-lineage.md.
"""

from typing import Final

from chain.module import Domain, rule
from traceability.events import declare_error, record_event
from traceability.participants import add_trader_key, end_trader_key, record_participant, set_agents
from traceability.pb import traceability_pb2 as pb
from traceability.products import record_place, record_product, set_tolerance
from traceability.recalls import lift_recall, recall

NAME: Final = "traceability"

_RULES: Final = (
    rule(pb.RecordParticipant, record_participant),
    rule(pb.AddTraderKey, add_trader_key),
    rule(pb.EndTraderKey, end_trader_key),
    rule(pb.SetAgents, set_agents),
    rule(pb.RecordPlace, record_place),
    rule(pb.RecordProduct, record_product),
    rule(pb.SetTolerance, set_tolerance),
    rule(pb.RecordEvent, record_event),
    rule(pb.DeclareError, declare_error),
    rule(pb.Recall, recall),
    rule(pb.LiftRecall, lift_recall),
)


class Traceability(Domain):
    """The module of goods on their way. It writes under `traceability/` alone."""

    def __init__(self) -> None:
        super().__init__(NAME, _RULES)
