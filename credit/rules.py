# SPDX-License-Identifier: Apache-2.0
"""Credit as a module of the ledger: a catalogue, sources with rights, logs of one-time slots, scorecards, decisions.

Consensus-critical: pure functions of state, block facts and signers. What is said of a person has no text field, and no
value joins two of their events for who reads a validator's disk.  Source: docs/credit.md; docs/protocol.md, section 4.
"""

from typing import Final

from chain.module import Domain, rule
from credit.catalogue import grant_source, put_class
from credit.decisions import decide, review
from credit.events import answer_event, object_to, record_event
from credit.logs import close_log, open_log
from credit.pb import credit_pb2 as pb
from credit.scorecards import put_scorecard

NAME: Final = "credit"

_RULES: Final = (
    rule(pb.PutClass, put_class),
    rule(pb.GrantSource, grant_source),
    rule(pb.PutScorecard, put_scorecard),
    rule(pb.OpenLog, open_log),
    rule(pb.CloseLog, close_log),
    rule(pb.RecordEvent, record_event),
    rule(pb.AnswerEvent, answer_event),
    rule(pb.Object, object_to),
    rule(pb.Decide, decide),
    rule(pb.Review, review),
)


class Credit(Domain):
    """The module of credit's records."""

    def __init__(self) -> None:
        super().__init__(NAME, _RULES)
