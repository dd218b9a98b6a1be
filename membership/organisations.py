# SPDX-License-Identifier: Apache-2.0
"""Changes to organisations and their roles, by vote or at genesis."""

from dataclasses import replace

from chain.errors import Refused
from chain.module import Context
from membership.keys import add_key
from membership.names import ROLES_MAX, check_display_names, check_organisation_id, check_role
from membership.pb import membership_pb2 as pb
from membership.state import Organisation, load_organisation, save_organisation

QUOTA_OPERATIONS_S_MAX = 1_000_000
"""Beyond what any network of this kind carries."""


def existing_organisation(context: Context, organisation: str) -> Organisation:
    """An organisation that an act names.

    Raises:
        Refused: There is none of this id.
    """
    found = load_organisation(context.read, organisation)
    if found is None:
        raise Refused("there is no organisation of this id", "membership.unknown-organisation")
    return found


def add_organisation(context: Context, message: pb.AddOrganisation) -> None:
    """Admit an organisation with its first roles and keys; it starts active.

    Raises:
        Refused: The id exists already, or a field is not as it must be.
    """
    check_organisation_id(message.id)
    check_display_names(message.name_zh, message.name_en)
    _check_quota(message.quota_operations_s)
    roles = tuple(message.roles)
    for role in roles:
        check_role(role)
    if roles != tuple(sorted(set(roles))) or len(roles) > ROLES_MAX:
        raise Refused(f"roles stand in ascending order, each once, at most {ROLES_MAX}", "membership.invalid-role")
    if load_organisation(context.read, message.id) is not None:
        raise Refused("an organisation of this id exists already", "membership.organisation-exists")
    save_organisation(
        context,
        Organisation(
            message.id,
            message.name_zh,
            message.name_en,
            roles,
            is_active=True,
            quota_operations_s=message.quota_operations_s,
        ),
    )
    for grant in message.keys:
        add_key(context, message.id, grant)


def alter_organisation(context: Context, message: pb.AlterOrganisation) -> None:
    """Replace an organisation's names and quota.

    Raises:
        Refused: There is none, or a field is not as it must be.
    """
    organisation = existing_organisation(context, message.id)
    check_display_names(message.name_zh, message.name_en)
    _check_quota(message.quota_operations_s)
    save_organisation(
        context,
        replace(
            organisation,
            name_zh=message.name_zh,
            name_en=message.name_en,
            quota_operations_s=message.quota_operations_s,
        ),
    )


def suspend_organisation(context: Context, message: pb.SuspendOrganisation) -> None:
    """Make an organisation's keys count for nothing until it is reinstated.

    That it has no validator any more is checked when all acts of the proposal are done: one proposal can remove the
    validator and suspend.

    Raises:
        Refused: There is none, or it is suspended already.
    """
    organisation = existing_organisation(context, message.id)
    if not organisation.is_active:
        raise Refused("the organisation is suspended already", "membership.organisation-suspended")
    save_organisation(context, replace(organisation, is_active=False))


def reinstate_organisation(context: Context, message: pb.ReinstateOrganisation) -> None:
    """End an organisation's suspension.

    Raises:
        Refused: There is none, or it is not suspended.
    """
    organisation = existing_organisation(context, message.id)
    if organisation.is_active:
        raise Refused("the organisation is not suspended", "membership.not-suspended")
    save_organisation(context, replace(organisation, is_active=True))


def grant_role(context: Context, message: pb.GrantRole) -> None:
    """Give an organisation a role.

    Raises:
        Refused: There is none, or it has the role or too many already.
    """
    organisation = existing_organisation(context, message.organisation)
    check_role(message.role)
    if message.role in organisation.roles:
        raise Refused("the organisation has this role already", "membership.role-held")
    if len(organisation.roles) >= ROLES_MAX:
        raise Refused(f"an organisation has at most {ROLES_MAX} roles", "membership.invalid-role")
    save_organisation(context, replace(organisation, roles=tuple(sorted((*organisation.roles, message.role)))))


def revoke_role(context: Context, message: pb.RevokeRole) -> None:
    """Take a role from an organisation. What it did in that role stands.

    Raises:
        Refused: There is none, or it does not have the role.
    """
    organisation = existing_organisation(context, message.organisation)
    if message.role not in organisation.roles:
        raise Refused("the organisation does not have this role", "membership.role-not-held")
    roles = tuple(role for role in organisation.roles if role != message.role)
    save_organisation(context, replace(organisation, roles=roles))


def _check_quota(quota_operations_s: int) -> None:
    """Check an organisation's own quota; 0 stands for the parameter's."""
    if quota_operations_s > QUOTA_OPERATIONS_S_MAX:
        raise Refused(f"a quota is at most {QUOTA_OPERATIONS_S_MAX} operations a second", "membership.invalid-quota")
