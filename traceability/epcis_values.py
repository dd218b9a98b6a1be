# SPDX-License-Identifier: Apache-2.0
"""Checks of single values of EPCIS 2.0 events: texts, addresses and identifiers, times, numbers, units.

Nothing is raised here: a `Findings` collects every problem with its JSON pointer. What lists and objects are made of
these, `traceability.epcis_rules` says.  Source: EPCIS 2.0, section 7; CBV 2.0, section 8; RFC 3986.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from traceability import digital_link, epc
from traceability.epcis_context import Context
from traceability.epcis_hash import timestamp
from traceability.epcis_json import PROBLEMS_MAX, Problem
from traceability.gs1 import InvalidCode

ACTIONS: Final = ("ADD", "OBSERVE", "DELETE")

_URI = re.compile(r"(?!https?://(?:[/?#]|$))[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")
_UNIT = re.compile(r"[A-Z0-9]{2,3}")
_MISTAKEN_UNITS: Final = {
    "KG": "KGM",
    "KGS": "KGM",
    "LBS": "LBR",
    "PCS": "H87",
    "ML": "MLT",
    "CM": "CMT",
    "MM": "MMT",
    "DEG": "DD",
    "PCT": "P1",
}
"""What is often written for a code, and is none: the code."""
_HEX = re.compile(r"[0-9A-Fa-f]+")
_COORDINATE = r"(-?[0-9]{1,3}(?:\.[0-9]{1,15})?)"
_GEO = re.compile(rf"geo:{_COORDINATE},{_COORDINATE}(?:,-?[0-9.]{{1,12}})?(?:;.+)?")
_NAMES_GOODS = re.compile(r"/(?:00|01|414|417)/")
"""Products, shipments and places: checked under every domain. Other keys only under GS1's own, since published events
have addresses elsewhere that merely look like links."""

_EVENT_HASH = re.compile(r"ni:///sha-256;[0-9a-f]{64}\?ver=CBV[0-9]+(?:\.[0-9]+)+")

Check = Callable[["Findings", str, Any], None]


class Findings:
    """Problems found so far, and the context in force where one looks."""

    def __init__(self, context: Context) -> None:
        self.problems: list[Problem] = []
        self.context = context

    def add(self, path: str, reason: str) -> None:
        """Note a problem, up to the limit."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(path, reason))

    def is_full(self) -> bool:
        """Whether the limit is reached, so that looking further is of no use."""
        return len(self.problems) >= PROBLEMS_MAX


def check_text(findings: Findings, path: str, value: Any) -> None:
    """Some characters."""
    if not isinstance(value, str) or not value.strip():
        findings.add(path, "must be a text that is not empty")


def check_string(findings: Findings, path: str, value: Any) -> None:
    """Characters, perhaps none."""
    if not isinstance(value, str):
        findings.add(path, "must be a text")


def check_uri(findings: Findings, path: str, value: Any) -> None:
    """A URI; a GS1 identifier in it must be well formed, check digit included."""
    if not isinstance(value, str) or not _URI.fullmatch(value) or _BAD_ESCAPE.search(value):
        findings.add(path, "must be a URI: a scheme, a colon, and only characters that RFC 3986 allows")
    elif epc.is_urn(value):
        fault = epc.urn_fault(value)
        if fault:
            findings.add(path, f"{value!r} is no EPC URN: {fault}")
    elif epc.is_link(value) and (value.startswith(f"{digital_link.CANONICAL_STEM}/") or _NAMES_GOODS.search(value)):
        is_short = len(value) <= epc.REMEMBERED_CHARACTERS_MAX
        fault = _known_fault(value) if is_short else _link_fault(value)
        if fault:
            findings.add(path, f"{value!r} is no valid GS1 Digital Link URI: {fault}")


def _link_fault(link: str) -> str:
    """Why a link is none; empty if it is one."""
    try:
        digital_link.parse(link, zero_suppressed=True, convenience_names=True)
    except InvalidCode as error:
        return error.reason
    return ""


_known_fault = lru_cache(epc.REMEMBERED_MAX)(_link_fault)


def check_time(findings: Findings, path: str, value: Any) -> None:
    """Date and time with offset."""
    try:
        timestamp(value if isinstance(value, str) else "")
    except ValueError as error:
        findings.add(path, str(error))


def check_number(findings: Findings, path: str, value: Any) -> None:
    """A number, not a text that looks like one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        findings.add(path, "must be a number, without quotation marks")


def check_not_negative(findings: Findings, path: str, value: Any) -> None:
    """A number from zero."""
    check_number(findings, path, value)
    if isinstance(value, int | float) and value < 0:
        findings.add(path, f"must not be negative, and is {value}")


def check_rank(findings: Findings, path: str, value: Any) -> None:
    """A percentile."""
    check_number(findings, path, value)
    if isinstance(value, int | float) and not 0 <= value <= 100:
        findings.add(path, f"must be from 0 to 100, and is {value}")


def check_boolean(findings: Findings, path: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        findings.add(path, "must be true or false, without quotation marks")


def check_unit(findings: Findings, path: str, value: Any) -> None:
    """A unit of UN/ECE Recommendation 20."""
    if not isinstance(value, str) or not _UNIT.fullmatch(value):
        findings.add(path, "must be a unit code of UN/ECE Recommendation 20, such as KGM or CEL")
    elif value in _MISTAKEN_UNITS:
        findings.add(path, f"{value} is no unit code of UN/ECE Recommendation 20; {_MISTAKEN_UNITS[value]} is meant")


def check_hex(findings: Findings, path: str, value: Any) -> None:
    """Hexadecimal digits."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        findings.add(path, "must be hexadecimal digits")


def check_offset(findings: Findings, path: str, value: Any) -> None:
    """A time zone."""
    if not isinstance(value, str) or not _OFFSET.fullmatch(value):
        findings.add(path, "must be a time zone offset from -14:00 to +14:00, such as +08:00")


def check_action(findings: Findings, path: str, value: Any) -> None:
    """What happened to the objects."""
    if value not in ACTIONS:
        findings.add(path, f"must be ADD, OBSERVE or DELETE, and is {value!r:.60}")


def check_event_id(findings: Findings, path: str, value: Any) -> None:
    """A URI; when it is an event hash, of the right form."""
    check_uri(findings, path, value)
    if isinstance(value, str) and value.startswith("ni:") and not _EVENT_HASH.fullmatch(value):
        findings.add(path, "an event hash is ni:///sha-256;, 64 lower-case hexadecimal digits, ?ver=CBV2.0")


def check_object_id(findings: Findings, path: str, value: Any) -> None:
    """One object, not a class of objects."""
    check_uri(findings, path, value)
    if isinstance(value, str) and epc.is_class(findings.context.expand(value)):
        findings.add(path, f"{value!r:.80} names a class of objects, which belongs in a quantity list")


def check_class_id(findings: Findings, path: str, value: Any) -> None:
    """A class of objects, not one of them."""
    check_uri(findings, path, value)
    if isinstance(value, str) and epc.is_class(findings.context.expand(value)) is False:
        findings.add(path, f"{value!r:.80} names one object, which belongs in a list of identifiers")


def check_place(findings: Findings, path: str, value: Any) -> None:
    """A place: an identifier, or coordinates (RFC 5870)."""
    check_uri(findings, path, value)
    if isinstance(value, str) and value.startswith("geo:") and not _is_on_earth(value):
        findings.add(path, f"{value!r:.80} is no geo URI, such as geo:23.02,113.12 (latitude, longitude)")


def _is_on_earth(text: str) -> bool:
    """Latitude and longitude, perhaps altitude and parameters."""
    match = _GEO.fullmatch(text)
    return match is not None and abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180
