# SPDX-License-Identifier: Apache-2.0
"""The form of organisation ids, roles, display names and addresses.

Only code points are compared: what Unicode calls a letter changes from one Python to the next, and replicas must not
disagree.
"""

import re

from chain.errors import Refused

ORGANISATION_ID_BYTES_MAX = 64
"""As in `chain.checkpoint`: validator sets carry it."""
ROLE_BYTES_MAX = 32
ROLES_MAX = 32
DISPLAY_NAME_BYTES_MAX = 192
"""64 Chinese characters."""
ADDRESS_BYTES_MAX = 128

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_ADDRESS = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})", re.ASCII)
_CONTROLS = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control, zero-width and direction-changing characters: with them two names could look the same."""


def check_organisation_id(organisation: str) -> None:
    """Check the form of an organisation's id: kebab-case ASCII of at most 64 bytes.

    Raises:
        Refused: It has another form.
    """
    if len(organisation) > ORGANISATION_ID_BYTES_MAX or not _KEBAB.fullmatch(organisation):
        raise Refused(
            "an organisation's id is lower-case ASCII words joined by hyphens, at most 64 characters",
            "membership.invalid-organisation-id",
        )


def check_role(role: str) -> None:
    """Check the form of a role: kebab-case ASCII of at most 32 bytes. Which roles mean something, domains say.

    Raises:
        Refused: It has another form.
    """
    if len(role) > ROLE_BYTES_MAX or not _KEBAB.fullmatch(role):
        raise Refused(
            "a role is lower-case ASCII words joined by hyphens, at most 32 characters", "membership.invalid-role"
        )


def check_display_names(name_zh: str, name_en: str) -> None:
    """Check an organisation's display names: at least one of the two, neither long nor deceptive.

    Raises:
        Refused: Something is wrong with one of them.
    """
    if not name_zh and not name_en:
        raise Refused("an organisation has a Chinese or an English name", "membership.invalid-name")
    for name in (name_zh, name_en):
        if len(name.encode()) > DISPLAY_NAME_BYTES_MAX or _CONTROLS.search(name) or name != name.strip(" \u3000"):
            raise Refused(
                "a display name has at most 192 bytes, no control characters and no blanks around it",
                "membership.invalid-name",
            )


def check_address(address: str) -> None:
    """Check a network address: `host:port`, the host a name, an IPv4 address or an IPv6 address in brackets.

    Raises:
        Refused: It has another form.
    """
    found = _ADDRESS.fullmatch(address)
    if len(address) > ADDRESS_BYTES_MAX or found is None or int(found[2]) > 65_535:
        raise Refused("a validator's address is host:port in ASCII", "membership.invalid-endpoint")
