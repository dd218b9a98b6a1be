# SPDX-License-Identifier: Apache-2.0
"""Whether a value is what its GS1 application identifier (AI) says: characters, length, check digits and meaning.

Pure functions over text; the table of AIs is `traceability.gs1_dictionary`.  What a list of package types or coupons
contains changes with each release of other standards and is checked in form only.
Source: GS1 General Specifications, sections 3 and 7.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from types import MappingProxyType

from chain.errors import LedgerError
from traceability import gs1_codes as codes
from traceability.gs1_dictionary import Component, Identifier, identifiers, matches

COMPANY_PREFIX_SIZE_MIN = 4
"""No GS1 company prefix is shorter, so each key starts with that many digits."""

_ALLOWED = {"N": codes.DIGITS, "X": codes.CHARACTERS_82, "Y": codes.CHARACTERS_39, "Z": codes.CHARACTERS_64}
_KINDS = {
    "N": "a digit",
    "X": "one of the 82 characters GS1 allows",
    "Y": "one of the 39 characters GS1 allows",
    "Z": "base64url",
}
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)
_PAIR_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_VALUES_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


class InvalidCode(LedgerError):
    """A GS1 code or Digital Link URI that breaks the standard.

    Attributes:
        position: Where in the text given, 0-based; None when the whole is meant.
    """

    default_code = "gs1.invalid"

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (at position {position})")
        self.position = position


def check_digit(digits: str) -> str:
    """The digit that completes a GTIN, GLN, SSCC, GSRN, GSIN, GDTI, GRAI or GCN.

    Args:
        digits: The key without its check digit.

    Source: GS1 General Specifications, 7.9.1: weights 3, 1, 3, … from the right, modulo 10.
    """
    if not digits or not codes.DIGITS.issuperset(digits):
        raise InvalidCode("only digits have a check digit")
    total = 3 * sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2]))
    return str(-total % 10)


def has_valid_check_digit(digits: str) -> bool:
    """Whether the last digit completes the others."""
    return len(digits) > 1 and codes.DIGITS.issuperset(digits) and check_digit(digits[:-1]) == digits[-1]


def check_pair(text: str) -> str:
    """The two characters that complete a Global Model Number.

    Args:
        text: The model number without them; at most 23 of the 82 characters.

    Source: GS1 General Specifications, 7.9.5.
    """
    if not text or len(text) > len(_PRIMES) or not codes.CHARACTERS_82.issuperset(text):
        raise InvalidCode("a model number without its check characters has 1 to 23 of the 82 characters GS1 allows")
    weights = reversed(_PRIMES[: len(text)])
    total = sum(_VALUES_82.index(character) * weight for character, weight in zip(text, weights, strict=True)) % 1021
    return _PAIR_CHARACTERS[total >> 5] + _PAIR_CHARACTERS[total & 31]


def verify_value(ai: str, value: str) -> None:
    """Check one element: an assigned AI and a value that fits it.

    Args:
        ai: 2 to 4 digits.
        value: Decoded, without separators.

    Raises:
        InvalidCode: What is wrong and at which character of the value.
    """
    entry = identifiers().get(ai)
    if entry is None:
        raise InvalidCode(f"({ai}) is no assigned application identifier")
    position = 0
    for component in entry.components:
        part = value[position : position + component.size_max]
        if not part and component.optional:
            break
        _verify_component(ai, component, part, position)
        position += len(part)
    if position < len(value):
        raise InvalidCode(f"the value of ({ai}) has {len(value)} characters; at most {position} are allowed", position)


def verify_unknown_value(ai: str, value: str) -> None:
    """Check an element whose AI is not assigned: the characters and the length that any AI may have.

    Raises:
        InvalidCode: Not two to four digits, or no value of any AI.
    """
    if not 2 <= len(ai) <= 4 or not codes.DIGITS.issuperset(ai):
        raise InvalidCode(f"({ai}) is no application identifier: it has 2 to 4 digits")
    _verify_component(ai, Component("X", 1, 90, optional=False, checks=()), value, 0)


def pairing_problems(ais: Iterable[str]) -> list[str]:
    """What is missing beside, or must not stand beside, the AIs on one physical item.

    Args:
        ais: All AIs from all carriers on the item; one carrier alone proves nothing.

    Returns:
        One sentence for each problem; empty when there is none.

    Source: GS1 General Specifications, section 4.13 and 4.14.
    """
    present = list(ais)
    problems = []
    for ai in present:
        entry = identifiers().get(ai)
        if entry is None:
            continue
        problems += [
            f"({ai}) needs one of {', '.join(groups)} beside it"
            for groups in entry.requires
            if not any(_has_group(present, group) for group in groups)
        ]
        problems += [
            f"({ai}) must not stand beside ({other})"
            for other in present
            if other != ai and any(matches(other, pattern) for pattern in entry.excludes)
        ]
    return problems


def element_string(elements: Iterable[tuple[str, str]]) -> str:
    """Elements as a scanner gives them, `^` for FNC1: at the start, and after values without predefined length.

    Args:
        elements: AIs and values, in the order wanted.
    """
    text = ""
    separator = True
    for ai, value in elements:
        entry = identifiers().get(ai)
        text += ("^" if separator else "") + ai + value
        separator = entry is None or not entry.predefined_length
    return text


@cache
def primary_keys() -> Mapping[str, Identifier]:
    """The AIs that a Digital Link URI can be about."""
    return MappingProxyType({ai: entry for ai, entry in identifiers().items() if entry.qualifiers is not None})


def _has_group(present: list[str], group: str) -> bool:
    """Whether all AIs of `01+21` are there."""
    return all(any(matches(ai, pattern) for ai in present) for pattern in group.split("+"))


def _verify_component(ai: str, component: Component, part: str, position: int) -> None:
    """One part of a value: characters, length, then each check."""
    allowed = _ALLOWED[component.kind]
    for index, character in enumerate(part):
        if character not in allowed:
            what = f"{character!r} in ({ai}) is not {_KINDS[component.kind]}"
            raise InvalidCode(what, position + index)
    if len(part) < component.size_min:
        raise InvalidCode(f"the value of ({ai}) is too short: {component.size_min} characters are needed", position)
    for name in component.checks:
        if not _CHECKS[name](part):
            raise InvalidCode(f"the value of ({ai}) {_REASONS[name]}: {part!r}", position)


def _is_date(text: str, day_zero: bool) -> bool:
    """YYMMDD or YYYYMMDD; the century of two digits does not matter to a day's existence but in 00."""
    year, month, day = int(text[:-4]), int(text[-4:-2]), int(text[-2:])
    if day_zero and day == 0:
        return 1 <= month <= 12
    try:
        date(year + 2000 if len(text) == 6 else year, month, day)
    except ValueError:
        return False
    return True


def _is_below(limit: int) -> Callable[[str], bool]:
    """Two digits of a clock."""
    return lambda text: int(text) < limit


def _is_key(offset: int) -> Callable[[str], bool]:
    """A key holds a company prefix, whose first digits stand at `offset`."""

    def check(text: str) -> bool:
        prefix = text[offset : offset + COMPANY_PREFIX_SIZE_MIN]
        return len(prefix) == COMPANY_PREFIX_SIZE_MIN and codes.DIGITS.issuperset(prefix)

    return check


def _is_iban(text: str) -> bool:
    """Country, two check digits, account; ISO 13616 with modulus 97."""
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]+", text) or text[:2] not in codes.COUNTRIES_ALPHA_2 | {"XK"}:
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _is_piece_of_total(text: str) -> bool:
    """Two digits of which piece, two of how many."""
    return 1 <= int(text[:2]) <= int(text[2:])


def _is_model_number(text: str) -> bool:
    """Ends in its check characters."""
    return len(text) > 2 and check_pair(text[:-2]) == text[-2:]


def _is_position_in_sequence(text: str) -> bool:
    """`1/3`."""
    match = re.fullmatch(r"([1-9])/([1-9])", text)
    return match is not None and match[1] <= match[2]


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "csum": has_valid_check_digit,
    "csumalpha": _is_model_number,
    "key": _is_key(0),
    "keyoff1": _is_key(1),
    "yymmd0": lambda text: _is_date(text, day_zero=True),
    "yymmdd": lambda text: _is_date(text, day_zero=False),
    "yyyymmdd": lambda text: _is_date(text, day_zero=False),
    "hh": _is_below(24),
    "mi": _is_below(60),
    "ss": _is_below(60),
    "hhmi": lambda text: int(text[:2]) < 24 and int(text[2:]) < 60,
    "iso3166": codes.COUNTRIES_NUMERIC.__contains__,
    "iso3166999": lambda text: text == "999" or text in codes.COUNTRIES_NUMERIC,
    "iso3166alpha2": codes.COUNTRIES_ALPHA_2.__contains__,
    "iso4217": codes.CURRENCIES_NUMERIC.__contains__,
    "pcenc": lambda text: re.search(r"%(?![0-9A-Fa-f]{2})", text) is None,
    "latitude": lambda text: int(text) <= 1_800_000_000,
    "longitude": lambda text: int(text) <= 3_600_000_000,
    "yesno": lambda text: text in "01",
    "hyphen": lambda text: text == "-",
    "importeridx": lambda text: text not in set("!\"%&'()*+,./:;<=>?"),
    "packagetype": lambda text: re.fullmatch(r"[A-Z0-9]{1,4}", text) is not None,
    "mediatype": lambda text: 1 <= int(text) <= 10 or int(text) >= 80,
    "iso5218": lambda text: text in "0129",
    "posinseqslash": _is_position_in_sequence,
    "nonzero": lambda text: int(text) > 0,
    "zero": lambda text: int(text) == 0,
    "winding": lambda text: text in "019",
    "pieceoftotal": _is_piece_of_total,
    "iban": _is_iban,
    "nozeroprefix": lambda text: text == "0" or not text.startswith("0"),
    "hasnondigit": lambda text: not codes.DIGITS.issuperset(text),
    "coupon": codes.DIGITS.issuperset,
}

_REASONS: Mapping[str, str] = {
    "csum": "has a wrong check digit",
    "csumalpha": "has wrong check characters",
    "key": "does not start with the digits of a company prefix",
    "keyoff1": "does not hold the digits of a company prefix",
    "yymmd0": "is no date (YYMMDD, day 00 allowed)",
    "yymmdd": "is no date (YYMMDD)",
    "yyyymmdd": "is no date (YYYYMMDD)",
    "hh": "has no hour from 00 to 23",
    "mi": "has no minute from 00 to 59",
    "ss": "has no second from 00 to 59",
    "hhmi": "is no time of day (HHMM)",
    "iso3166": "is no country number of ISO 3166",
    "iso3166999": "is no country number of ISO 3166, nor 999",
    "iso3166alpha2": "is no two-letter country code of ISO 3166",
    "iso4217": "is no currency number of ISO 4217",
    "pcenc": "has a percent sign without two hexadecimal digits",
    "latitude": "is no latitude (at most 1800000000)",
    "longitude": "is no longitude (at most 3600000000)",
    "yesno": "is neither 0 nor 1",
    "hyphen": "is no minus sign",
    "importeridx": "is no importer index",
    "packagetype": "is no package type",
    "mediatype": "is no media type (01 to 10, 80 to 99)",
    "iso5218": "is no code of ISO 5218 (0, 1, 2, 9)",
    "posinseqslash": "is no position in a sequence such as 1/3",
    "nonzero": "must not be zero",
    "zero": "must be zero",
    "winding": "is no winding direction (0, 1, 9)",
    "pieceoftotal": "names a piece beyond the total, or zero",
    "iban": "is no valid IBAN",
    "nozeroprefix": "must not start with zero",
    "hasnondigit": "needs a character that is no digit",
    "coupon": "has a character that is no digit",
}
