# SPDX-License-Identifier: Apache-2.0
"""The citizen identification number: 18 characters, the last a check character.

Six digits of region, eight of birth date, three of sequence (odd for men, even for women), one check character by ISO
7064 MOD 11-2. Residence permits of people from Hong Kong, Macao and Taiwan carry one too, with the regions 81, 82, 83;
foreigners' permanent residence cards (from 2023) begin with 9 and have the same date, sequence and check character.

Sources: GB 11643-1999; GB/T 2260 (first two digits); 国务院令 697 and 港澳台居民居住证申领发放办法, article 4 (2018);
新版外国人永久居留身份证 (国家移民管理局, 2023).
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

CHARACTERS = 18
EARLIEST_BIRTH = date(1900, 1, 1)

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_PROVINCES = frozenset(
    f"{zone}{province}"
    for zone, provinces in {
        1: "12345",
        2: "123",
        3: "1234567",
        4: "123456",
        5: "01234",
        6: "12345",
        7: "1",
        8: "123",
    }.items()
    for province in provinces
)
_FOREIGN = "9"


class Fault(StrEnum):
    """What is wrong with a number."""

    LENGTH = "length"
    CHARACTERS = "characters"
    REGION = "region"
    DATE = "date"
    SEQUENCE = "sequence"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a number says.

    Attributes:
        region: Its first six digits: where it was first registered, not where somebody lives.
        born: Birth date.
        is_male: The sequence number is odd.
    """

    region: str
    born: date
    is_male: bool


def check_character(first_17: str) -> str:
    """The check character of 17 digits."""
    return _CHECKS[sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, first_17, strict=True)) % 11]


def fault(number: str, today: date) -> Fault | None:
    """What is wrong with a number, or None if nothing is.

    Args:
        number: As written, with an upper-case X.
        today: Nobody is born after it.
    """
    if len(number) != CHARACTERS:
        return Fault.LENGTH
    if not (number[:17].isascii() and number[:17].isdigit()) or number[17] not in _CHECKS:
        return Fault.CHARACTERS
    if number[:2] not in _PROVINCES and not (number[0] == _FOREIGN and number[1:3] in _PROVINCES):
        return Fault.REGION
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return Fault.DATE
    if not EARLIEST_BIRTH <= born <= today:
        return Fault.DATE
    if number[14:17] == "000":
        return Fault.SEQUENCE
    if check_character(number[:17]) != number[17]:
        return Fault.CHECK
    return None


def read(number: str) -> Reading:
    """What a number says; one in which `fault` found nothing."""
    born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    return Reading(number[:6], born, int(number[16]) % 2 == 1)
