# SPDX-License-Identifier: Apache-2.0
"""From what the desk registered of a natural person to what a credential says, so that both agree.

A register keeps a name and an address in one piece each; credentials have parts, so that a holder shows one alone.
Where a part can't be told, it stays empty, and the whole stands in the other: nothing is claimed unconfirmed.
"""

import re
from datetime import date
from typing import Final

from identity.api.desk.details import Details
from identity.api.issuer.confirmed import Opening
from identity.credentials import Claims, Proofing, natural_person

COMPOUND_SURNAMES: Final = frozenset(
    {
        "欧阳",
        "太史",
        "端木",
        "上官",
        "司马",
        "东方",
        "独孤",
        "南宫",
        "万俟",
        "闻人",
        "夏侯",
        "诸葛",
        "尉迟",
        "公羊",
        "赫连",
        "澹台",
        "皇甫",
        "宗政",
        "濮阳",
        "公冶",
        "太叔",
        "申屠",
        "公孙",
        "慕容",
        "仲孙",
        "钟离",
        "长孙",
        "宇文",
        "司徒",
        "鲜于",
        "司空",
        "令狐",
    }
)
"""Those of two characters that are still borne."""

_ADDRESS = re.compile(
    r"(?P<region>[^\s]{1,8}?(?:省|自治区|特别行政区|市))"
    r"(?P<locality>(?:[^\s]{1,10}?(?:市|自治州|地区|盟))?[^\s]{1,10}?(?:区|县|旗|市))"
)
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U000323af]{2,4}")


def offered(
    details: Details,
    salt: bytes,
    *,
    proofed_on: date,
    office: str,
    officer_role: str,
    as_of: date,
    access_slot: str | None = None,
    pairwise_seed: str | None = None,
) -> tuple[Claims, Opening]:
    """What `offers.create_offer` takes for a registered person.

    Args:
        details: As they count now.
        salt: Of the commitment to them; 32 bytes.
        proofed_on: The day on which the person was seen.
        office: Where.
        officer_role: Of who saw them; no name.
        as_of: Today.
        access_slot: See `identity.api.accesses.lists.own_claims`, which makes both.
        pairwise_seed: Likewise.
    """
    family_name, given_name = split_name(details.name)
    region, locality = split_address(details.address)
    claims = natural_person(
        family_name=family_name,
        given_name=given_name,
        birthdate=date.fromisoformat(details.born),
        region=region,
        locality=locality,
        assurance_level=_level(details),
        proofing=Proofing(str(details.method), proofed_on, office, officer_role),
        as_of=as_of,
        access_slot=access_slot,
        pairwise_seed=pairwise_seed,
    )
    return claims, Opening(details.claims(), salt)


def split_name(name: str) -> tuple[str, str]:
    """Family and given name.

    A Chinese name of two to four characters begins with its surname; of a name in several words the last one is it.
    Any other stands whole as the given name, which documents of people with one name do, too.
    """
    if _HAN.fullmatch(name):
        length = 2 if len(name) > 2 and name[:2] in COMPOUND_SURNAMES else 1
        return name[:length], name[length:]
    given, space, family = name.rpartition(" ")
    return (family, given) if space else ("", name)


def split_address(address: str) -> tuple[str, str]:
    """Province, and city with district, as they stand at the address's beginning; both empty where they don't."""
    found = _ADDRESS.match("".join(address.split()))
    return (found["region"], found["locality"]) if found else ("", "")


def _level(details: Details) -> str:
    """The assurance level in words; officers confirm the highest that the way of proofing gives."""
    return {1: "low", 2: "substantial", 3: "high"}[details.level]
