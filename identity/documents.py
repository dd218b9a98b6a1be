# SPDX-License-Identifier: Apache-2.0
"""Documents by which people are known at a counter: which there are, and what their numbers look like.

Where a standard gives a number a check character, it is checked; where it gives none, the form is. A form that is kept
says nothing of whether the document is genuine: that is the officer's to see.

Sources: GB 11643-1999 (see `resident_number`); ICAO Doc 9303 part 3, 4.9 (check digits) and part 4, 4.2.2 (passports);
GA 458-2004, changed 2013 (港澳居民来往内地通行证: H or M, eight digits); 台湾居民来往大陆通行证 (2015: eight digits);
外国人永久居留身份证 (2017: fifteen characters, 2023: eighteen).
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from identity import resident_number
from identity.resident_number import Fault as NumberFault

NUMBER_CHARACTERS_MAX = 18
"""No number of these documents is longer."""
_MRZ_WEIGHTS = (7, 3, 1)
_SPACES = re.compile(r"[\s\-‐-―]+")
_FULL_WIDTH = {0xFF01 + place: 0x21 + place for place in range(94)}


class DocumentKind(StrEnum):
    """A kind of document; its value stands in stored data and never changes its meaning."""

    RESIDENT_CARD = "resident-card"
    HOUSEHOLD_REGISTER = "household-register"
    RESIDENCE_PERMIT = "residence-permit"
    HK_MO_TRAVEL_PERMIT = "hk-mo-travel-permit"
    TW_TRAVEL_PERMIT = "tw-travel-permit"
    FOREIGN_PERMANENT = "foreign-permanent"
    PASSPORT = "passport"


class NumberKind(StrEnum):
    """A space of numbers in which one person has one: what the uniqueness service is asked with."""

    RESIDENT = "resident"
    HK_MO_TRAVEL_PERMIT = "hk-mo-travel-permit"
    TW_TRAVEL_PERMIT = "tw-travel-permit"
    FOREIGN_PERMANENT = "foreign-permanent"
    PASSPORT = "passport"


NUMBER_KINDS = {
    DocumentKind.RESIDENT_CARD: NumberKind.RESIDENT,
    DocumentKind.HOUSEHOLD_REGISTER: NumberKind.RESIDENT,
    DocumentKind.RESIDENCE_PERMIT: NumberKind.RESIDENT,
    DocumentKind.HK_MO_TRAVEL_PERMIT: NumberKind.HK_MO_TRAVEL_PERMIT,
    DocumentKind.TW_TRAVEL_PERMIT: NumberKind.TW_TRAVEL_PERMIT,
    DocumentKind.FOREIGN_PERMANENT: NumberKind.FOREIGN_PERMANENT,
    DocumentKind.PASSPORT: NumberKind.PASSPORT,
}
PERMIT_REGIONS = ("810000", "820000", "830000")
"""Of residence permits for people from Hong Kong, Macao and Taiwan."""

_FORMS = {
    DocumentKind.HK_MO_TRAVEL_PERMIT: re.compile(r"[HM][0-9]{8}", re.ASCII),
    DocumentKind.TW_TRAVEL_PERMIT: re.compile(r"[0-9]{8}", re.ASCII),
    DocumentKind.PASSPORT: re.compile(r"[A-Z0-9]{5,9}", re.ASCII),
}
_FOREIGN_15 = re.compile(r"[A-Z]{3}[0-9]{4}([0-9]{2})([0-9]{2})([0-9]{2})[0-9]{2}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{3}|[A-Z]{1,2}<{1,2}|D", re.ASCII)


class Fault(StrEnum):
    """What is wrong with a document's number beside what `resident_number.Fault` says."""

    FORM = "form"
    WRONG_DOCUMENT = "wrong-document"
    COUNTRY = "country"
    COUNTRY_MISSING = "country-missing"
    MRZ_CHECK = "mrz-check"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a number says by itself; None where it does not."""

    born: date | None = None
    is_male: bool | None = None


def tidy_number(text: str) -> str:
    """A number as it is kept: upper case, half-width, without blanks and dashes."""
    return _SPACES.sub("", text.translate(_FULL_WIDTH)).upper()


def fault(
    kind: DocumentKind, number: str, today: date, *, country: str = "", mrz_digit: str = ""
) -> Fault | NumberFault | None:
    """What is wrong with a document's number, or None if nothing is.

    Args:
        kind: Of the document.
        number: As `tidy_number` makes it.
        today: Nobody is born after it.
        country: Of a passport: three letters of ICAO Doc 9303 part 3, section 5.
        mrz_digit: Of a passport: the check digit behind the number in its machine-readable zone; "": not given.
    """
    match kind:
        case DocumentKind.RESIDENT_CARD | DocumentKind.HOUSEHOLD_REGISTER | DocumentKind.RESIDENCE_PERMIT:
            return _resident_fault(kind, number, today)
        case DocumentKind.FOREIGN_PERMANENT:
            return _foreign_fault(number, today)
        case _:
            if not _FORMS[kind].fullmatch(number):
                return Fault.FORM
            return _passport_fault(number, country, mrz_digit) if kind is DocumentKind.PASSPORT else None


def read(kind: DocumentKind, number: str) -> Reading:
    """What a number says of its holder; one in which `fault` found nothing."""
    if NUMBER_KINDS[kind] is NumberKind.RESIDENT or (
        kind is DocumentKind.FOREIGN_PERMANENT and len(number) == resident_number.CHARACTERS
    ):
        found = resident_number.read(number)
        return Reading(found.born, found.is_male)
    return Reading()


def tagged_number(kind: DocumentKind, number: str, country: str = "") -> str:
    """The number as the uniqueness service is asked with: a passport's with the state that issued it in front."""
    return f"{country}:{number}" if kind is DocumentKind.PASSPORT else number


def mrz_check_digit(field: str) -> str:
    """The check digit of a field of a machine-readable zone: weights 7, 3, 1 modulo 10.

    Args:
        field: Digits, capital letters and fillers `<`.

    Source: ICAO Doc 9303 part 3, 4.9.
    """
    values = [0 if c == "<" else int(c, 36) for c in field]
    return str(sum(value * _MRZ_WEIGHTS[place % 3] for place, value in enumerate(values)) % 10)


def _resident_fault(kind: DocumentKind, number: str, today: date) -> Fault | NumberFault | None:
    found = resident_number.fault(number, today)
    if found is not None:
        return found
    is_permit = number[:6] in PERMIT_REGIONS
    if is_permit is not (kind is DocumentKind.RESIDENCE_PERMIT) or number[0] == "9":
        return Fault.WRONG_DOCUMENT
    return None


def _foreign_fault(number: str, today: date) -> Fault | NumberFault | None:
    """Cards of 2023 have the resident number's check character; that of 2017 is not published, so the form counts."""
    if len(number) == resident_number.CHARACTERS:
        found = resident_number.fault(number, today)
        return Fault.WRONG_DOCUMENT if found is None and number[0] != "9" else found
    old = _FOREIGN_15.fullmatch(number)
    if old is None:
        return Fault.FORM
    year, month, day = (int(part) for part in old.groups())
    for century in (1900, 2000):  # a leap day exists in one of the two at least, if it exists
        try:
            date(century + year, month, day)
        except ValueError:
            continue
        return None
    return NumberFault.DATE


def _passport_fault(number: str, country: str, mrz_digit: str) -> Fault | None:
    if not country:
        return Fault.COUNTRY_MISSING
    if not _COUNTRY.fullmatch(country):
        return Fault.COUNTRY
    if mrz_digit and mrz_digit != mrz_check_digit(number.ljust(9, "<")):
        return Fault.MRZ_CHECK
    return None
