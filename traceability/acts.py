# SPDX-License-Identifier: Apache-2.0
"""What an event does to goods: a function of its type, action and business step alone, so that its words cannot lie.

What the step does not move, it observes.  Source: EPCIS 2.0, section 7.4; CBV 2.0, section 7.1.
"""

from enum import Enum, auto
from typing import Final

from chain.errors import Refused
from traceability.pb import traceability_pb2 as pb


class Act(Enum):
    """What rules execute."""

    DECLARE = auto()
    """New goods from outside of the ledger: a harvest, an import."""
    TRANSFORM = auto()
    PACK = auto()
    UNPACK = auto()
    SHIP = auto()
    CANCEL = auto()
    """What was shipped comes back before it is received."""
    RECEIVE = auto()
    SELL = auto()
    """To a consumer: the goods leave the ledger."""
    REMOVE = auto()
    """The goods are destroyed, used up, or were never there."""
    OBSERVE = auto()
    NOTE = auto()
    """Nothing is said of goods: a truck and its sensor, a room's temperature."""


_OBSERVED_STEPS: Final = {
    pb.BUSINESS_STEP_SHIPPING: Act.SHIP,
    pb.BUSINESS_STEP_VOID_SHIPPING: Act.CANCEL,
    pb.BUSINESS_STEP_RECEIVING: Act.RECEIVE,
    pb.BUSINESS_STEP_RETAIL_SELLING: Act.SELL,
    pb.BUSINESS_STEP_DESTROYING: Act.REMOVE,
    pb.BUSINESS_STEP_DECOMMISSIONING: Act.REMOVE,
}
_CONTAINER_ACTIONS: Final = {
    pb.ACTION_ADD: Act.PACK,
    pb.ACTION_OBSERVE: Act.OBSERVE,
    pb.ACTION_DELETE: Act.UNPACK,
}


def act_of(projection: pb.Projection) -> Act:
    """What an event does.

    Raises:
        Refused: Type and action do not go together.
    """
    action, step = projection.action, projection.step
    if projection.type == pb.EVENT_TYPE_TRANSFORMATION:
        if action == pb.ACTION_UNSPECIFIED:
            return Act.TRANSFORM
    elif action in _CONTAINER_ACTIONS:
        if projection.type == pb.EVENT_TYPE_OBJECT:
            return _of_object(projection, action, step)
        if projection.type == pb.EVENT_TYPE_AGGREGATION:
            return _CONTAINER_ACTIONS[action]
        if projection.type == pb.EVENT_TYPE_TRANSACTION:
            return Act.OBSERVE if projection.lines else Act.NOTE
        if projection.type == pb.EVENT_TYPE_ASSOCIATION:
            return Act.NOTE
    raise Refused("the event's type and action do not go together", "traceability.unknown-act")


def _of_object(projection: pb.Projection, action: pb.Action.ValueType, step: pb.BusinessStep.ValueType) -> Act:
    """What an object event does."""
    if action == pb.ACTION_ADD:
        return Act.DECLARE
    if action == pb.ACTION_DELETE:
        return Act.SELL if step == pb.BUSINESS_STEP_RETAIL_SELLING else Act.REMOVE
    if not projection.lines:
        return Act.NOTE
    return _OBSERVED_STEPS.get(step, Act.OBSERVE)
