# SPDX-License-Identifier: Apache-2.0
"""What a proposal does when it has its quorum: its acts in order, then checks on what they leave as a whole."""

from collections.abc import Iterable

from chain.errors import Refused
from chain.module import Context
from membership.authority import governing_organisations
from membership.keys import add_key, check_governable, revoke_key
from membership.organisations import (
    add_organisation,
    alter_organisation,
    existing_organisation,
    grant_role,
    reinstate_organisation,
    revoke_role,
    suspend_organisation,
)
from membership.parameters import set_parameter
from membership.pb import membership_pb2 as pb
from membership.state import load_validators
from membership.validators import add_validator, check_limits, remove_validator, replace_validator
from membership.verification import VerifyPossession


def execute_acts(context: Context, acts: Iterable[pb.Act], verify_possession: VerifyPossession) -> None:
    """Execute a proposal's acts together.

    Raises:
        Refused: One of them cannot be done, or together they break a limit on the set or take away the quorum of
            organisations that governs.
    """
    for act in acts:
        _execute(context, act, verify_possession)
    check_limits(context)
    check_governable(context, governing_organisations(load_validators(context.read)))


def _execute(context: Context, act: pb.Act, verify_possession: VerifyPossession) -> None:
    """Execute one act."""
    match act.WhichOneof("act"):
        case "add_organisation":
            add_organisation(context, act.add_organisation)
        case "alter_organisation":
            alter_organisation(context, act.alter_organisation)
        case "suspend_organisation":
            suspend_organisation(context, act.suspend_organisation)
        case "reinstate_organisation":
            reinstate_organisation(context, act.reinstate_organisation)
        case "grant_role":
            grant_role(context, act.grant_role)
        case "revoke_role":
            revoke_role(context, act.revoke_role)
        case "add_key":
            existing_organisation(context, act.add_key.organisation)
            add_key(context, act.add_key.organisation, act.add_key.key)
        case "revoke_key":
            revoke_key(context, act.revoke_key.organisation, act.revoke_key.key)
        case "add_validator":
            add_validator(context, act.add_validator, verify_possession)
        case "remove_validator":
            remove_validator(context, act.remove_validator.bls_key)
        case "replace_validator":
            replace_validator(context, act.replace_validator, verify_possession)
        case "set_parameter":
            set_parameter(context, act.set_parameter)
        case None:
            raise Refused("an act of the proposal is empty", "membership.empty-act")
