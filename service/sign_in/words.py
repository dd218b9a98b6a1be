# SPDX-License-Identifier: Apache-2.0
"""Words of sign-in that depend on a value, each named as a literal."""

from service.language import Language, translate
from service.sign_in.roles import Role

ROLE_KEYS = {
    Role.ADMINISTRATOR: "role.administrator",
    Role.CLERK: "role.clerk",
    Role.APPROVER: "role.approver",
    Role.SUPERVISOR: "role.supervisor",
    Role.AUDITOR: "role.auditor",
    Role.OPERATOR: "role.operator",
    Role.TRADER: "role.trader",
}
ROLE_ABOUT_KEYS = {
    Role.ADMINISTRATOR: "role.administrator-about",
    Role.CLERK: "role.clerk-about",
    Role.APPROVER: "role.approver-about",
    Role.SUPERVISOR: "role.supervisor-about",
    Role.AUDITOR: "role.auditor-about",
    Role.OPERATOR: "role.operator-about",
    Role.TRADER: "role.trader-about",
}


def role_words(language: Language, role: Role) -> str:
    """What a role is called."""
    return translate(language, ROLE_KEYS[role])
