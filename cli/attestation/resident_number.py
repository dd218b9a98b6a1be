# SPDX-License-Identifier: Apache-2.0
"""The citizen identification number: 18 characters, the last a check character.

Source: GB 11643-1999 (six digits of region, eight of birth date, three of sequence, one check by ISO 7064 MOD 11-2).
"""

from datetime import date

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"

EARLIEST_BIRTH = date(1900, 1, 1)


def check_character(first_17: str) -> str:
    """The check character of 17 digits."""
    return _CHECKS[sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, first_17, strict=True)) % 11]


def fault(number: str, today: date) -> str | None:
    """What is wrong with a number, as a message key, or None if nothing is.

    Args:
        number: As written, with an upper-case X.
        today: Nobody is born after it.
    """
    if len(number) != 18:
        return "row.number-length"
    if not (number[:17].isascii() and number[:17].isdigit()) or number[17] not in _CHECKS:
        return "row.number-characters"
    if number[0] == "0":
        return "row.number-region"
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return "row.number-date"
    if not EARLIEST_BIRTH <= born <= today:
        return "row.number-date"
    if number[14:17] == "000":
        return "row.number-sequence"
    if check_character(number[:17]) != number[17]:
        return "row.number-check"
    return None
