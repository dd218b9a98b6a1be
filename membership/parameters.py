# SPDX-License-Identifier: Apache-2.0
"""What the members can tune by vote: each parameter's name, default and bounds.

State holds only those that were set; a new version may add parameters without touching old state.
"""

from dataclasses import dataclass

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from membership.pb import membership_pb2 as pb
from membership.state import PARAMETERS_KEY

_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS
_YEAR_MS = 366 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Bounds:
    """One parameter.

    Attributes:
        name: In genesis files, on the command line and in messages.
        default: While it is not set.
    """

    name: str
    default: int
    minimum: int
    maximum: int


PARAMETERS: dict[pb.Parameter.ValueType, Bounds] = {
    # One organisation at full speed takes what a network of four on two cores carries; see benchmarks.
    pb.PARAMETER_QUOTA_OPERATIONS_S: Bounds("quota-operations-s", 5_000, 1, 1_000_000),
    # A week lets bodies meet; a proposal ends with its epoch anyway.
    pb.PARAMETER_PROPOSAL_LIFETIME_MS_MAX: Bounds("proposal-lifetime-ms-max", 7 * _DAY_MS, _MINUTE_MS, 90 * _DAY_MS),
    # Resident identity cards are issued for at most 20 years or for life.
    pb.PARAMETER_ATTESTATION_LIFETIME_MS_MAX: Bounds(
        "attestation-lifetime-ms-max", 20 * _YEAR_MS, _DAY_MS, 100 * _YEAR_MS
    ),
    # Issuance desks and services have a key each; checks on an organisation read all of its keys.
    pb.PARAMETER_ORGANISATION_KEYS_MAX: Bounds("organisation-keys-max", 64, 2, 512),
}


def load_parameter(read: ReadState, parameter: pb.Parameter.ValueType) -> int:
    """A parameter's value: as set, or its default."""
    raw = read(PARAMETERS_KEY)
    if raw is not None:
        for one in pb.ParametersRecord.FromString(raw).parameters:
            if one.parameter == parameter:
                return one.value
    return PARAMETERS[parameter].default


def set_parameter(context: Context, message: pb.SetParameter) -> None:
    """Set one parameter.

    Raises:
        Refused: There is no such parameter, or the value is out of its bounds.
    """
    bounds = PARAMETERS.get(message.parameter)
    if bounds is None:
        raise Refused(f"there is no parameter {message.parameter}", "membership.unknown-parameter")
    if not bounds.minimum <= message.value <= bounds.maximum:
        raise Refused(
            f"{bounds.name} lies between {bounds.minimum} and {bounds.maximum}, not at {message.value}",
            "membership.parameter-out-of-bounds",
        )
    raw = context.read(PARAMETERS_KEY)
    values = {one.parameter: one.value for one in pb.ParametersRecord.FromString(raw or b"").parameters}
    values[message.parameter] = message.value
    record = pb.ParametersRecord(
        parameters=[pb.SetParameter(parameter=parameter, value=values[parameter]) for parameter in sorted(values)]
    )
    context.write(PARAMETERS_KEY, encode(record))
