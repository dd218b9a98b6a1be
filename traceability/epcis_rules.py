# SPDX-License-Identifier: Apache-2.0
"""What an EPCIS 2.0 event must have and may say, as tables of fields and checks of values.

Nothing is raised here: a `Findings` collects every problem with its JSON pointer. Who may say it, and whether it agrees
with earlier events, is decided elsewhere.  Source: EPCIS 2.0, section 7; CBV 2.0, sections 7 and 8; the schema.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final

from traceability import digital_link, epc
from traceability import epcis_vocabulary as cbv
from traceability.epcis_context import Context
from traceability.epcis_hash import timestamp
from traceability.epcis_json import PROBLEMS_MAX, Problem, pointer
from traceability.gs1 import InvalidCode

ACTIONS: Final = ("ADD", "OBSERVE", "DELETE")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")
_UNIT = re.compile(r"[A-Z0-9]{2,3}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_MEASUREMENT_WORD = re.compile(r"[A-Z][A-Za-z]*(?:_[A-Za-z]+)*")
_DATE_NAME = re.compile(r".*Date(?:Time)?")
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


def check_uri(findings: Findings, path: str, value: Any) -> None:
    """A URI; a GS1 identifier in it must be well formed, check digit included."""
    if not isinstance(value, str) or not _URI.fullmatch(value) or _BAD_ESCAPE.search(value):
        findings.add(path, "must be a URI: a scheme, a colon, and only characters that RFC 3986 allows")
    elif epc.is_urn(value):
        if epc.canonical_identifier(value) is None and epc.has_gs1_key(value):
            findings.add(path, f"{value!r} is no EPC URN: digits or parts are missing or too many")
    elif epc.is_link(value) and (value.startswith(f"{digital_link.CANONICAL_STEM}/") or _NAMES_GOODS.search(value)):
        try:
            digital_link.parse(value, zero_suppressed=True, convenience_names=True)
        except InvalidCode as error:
            findings.add(path, f"{value!r} is no valid GS1 Digital Link URI: {error.reason}")


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


def word(vocabulary: cbv.Vocabulary, *, is_open: bool = False) -> Check:
    """A check for a standard word, its web address, or a URI of the user's own.

    Args:
        vocabulary: Which words are standard.
        is_open: Let other words through; published events have measurement types that CBV 2.0 does not list.
    """

    def check(findings: Findings, path: str, value: Any) -> None:
        if not isinstance(value, str):
            findings.add(path, f"must be a {vocabulary.what} as text")
        elif value in vocabulary.words or (is_open and _MEASUREMENT_WORD.fullmatch(value)):
            return
        elif ":" not in value:
            findings.add(path, f"{value!r:.60} is no {vocabulary.what} of CBV 2.0; one of your own must be a URI")
        else:
            check_uri(findings, path, value)
            full = cbv.from_urn(findings.context.expand(value))
            if vocabulary.web != cbv.GS1_VOC and full.startswith(vocabulary.web):
                local = full.removeprefix(vocabulary.web)
                if local not in vocabulary.words:
                    findings.add(path, f"{local!r:.60} is no {vocabulary.what} of CBV 2.0, though named as one")

    return check


def each(check: Check, *, unique: bool = False, size_min: int = 0) -> Check:
    """A check for a list whose members each pass another."""

    def check_list(findings: Findings, path: str, value: Any) -> None:
        if not isinstance(value, list):
            findings.add(path, "must be a list")
            return
        if len(value) < size_min:
            findings.add(path, f"must have at least {size_min} member")
        seen = set()
        for index, item in enumerate(value):
            if findings.is_full():
                return
            check(findings, pointer(path, index), item)
            if unique and isinstance(item, str):
                if item in seen:
                    findings.add(pointer(path, index), f"{item!r:.80} is in the list already")
                seen.add(item)

    return check_list


def record(
    fields: Mapping[str, Check], required: Iterable[str] = (), *, extensible: bool = False, also: Check | None = None
) -> Check:
    """A check for an object with known members.

    Args:
        fields: What each member must be.
        required: Which must be there.
        extensible: Whether members with a namespace may stand beside them.
        also: A check of the object as a whole.
    """

    def check(findings: Findings, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            findings.add(path, "must be an object")
            return
        for name in required:
            if name not in value:
                findings.add(pointer(path, name), "is required and missing")
        for name, item in value.items():
            if name in fields:
                fields[name](findings, pointer(path, name), item)
            elif extensible:
                check_extension(findings, path, name)
            else:
                findings.add(pointer(path, name), f"is no member here; there are {', '.join(fields)}")
        if also is not None:
            also(findings, path, value)

    return check


def check_extension(findings: Findings, path: str, name: str) -> None:
    """A member that the standard does not know: it needs a namespace."""
    if not findings.context.is_extension(name):
        findings.add(pointer(path, name), "is no field of the standard, and an extension needs a namespace prefix")


def check_master_data(findings: Findings, path: str, value: Any) -> None:
    """Instance or lot master data: namespaced members, dates that exist."""
    if not isinstance(value, dict) or not value:
        findings.add(path, "must be an object with at least one member")
        return
    for name, item in value.items():
        check_extension(findings, path, name)
        parts = findings.context.split(name)
        if parts is not None and parts[0] == "urn:epcglobal:cbv:mda:":
            _check_dates(findings, pointer(path, name), name, item)


def check_certification(findings: Findings, path: str, value: Any) -> None:
    """One certificate's address, its details with namespaced members, or a list of these."""
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        at = pointer(path, index) if isinstance(value, list) else path
        if isinstance(item, dict):
            for name in item:
                if name not in ("id", "type", "@id", "@type"):
                    check_extension(findings, at, name)
            _check_dates(findings, at, "", item)
        else:
            check_uri(findings, at, item)


def _check_dates(findings: Findings, path: str, name: str, value: Any) -> None:
    """Whatever calls itself a date, at any depth, is one."""
    if isinstance(value, dict):
        if "@value" in value:
            _check_dates(findings, pointer(path, "@value"), name, value["@value"])
            return
        for inner, item in value.items():
            _check_dates(findings, pointer(path, inner), inner, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_dates(findings, pointer(path, index), name, item)
    elif _DATE_NAME.fullmatch(name) and not _is_date(value):
        findings.add(path, f"must be a date such as 2026-04-05, and is {value!r:.60}")


def _is_date(value: Any) -> bool:
    """A day, or a moment."""
    if not isinstance(value, str):
        return False
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            date.fromisoformat(value)
        except ValueError:
            return False
        return True
    try:
        timestamp(value)
    except ValueError:
        return False
    return True


def check_object_id(findings: Findings, path: str, value: Any) -> None:
    """One object, not a class of objects."""
    check_uri(findings, path, value)
    if isinstance(value, str) and value.startswith(("urn:epc:class:", "urn:epc:idpat:")):
        findings.add(path, f"{value!r:.80} names a class of objects, which belongs in a quantity list")


def check_class_id(findings: Findings, path: str, value: Any) -> None:
    """A class of objects, not one of them."""
    check_uri(findings, path, value)
    if isinstance(value, str) and value.startswith("urn:epc:id:"):
        findings.add(path, f"{value!r:.80} names one object, which belongs in a list of identifiers")


def _check_quantity(findings: Findings, path: str, value: dict[str, Any]) -> None:
    """A unit measures something; without one, a quantity counts pieces."""
    if "uom" in value and "quantity" not in value:
        findings.add(pointer(path, "quantity"), "is required where a unit stands")


def _check_ranges(findings: Findings, path: str, value: dict[str, Any]) -> None:
    """Says what was measured, or what is wrong; the least is not above the most."""
    if "type" not in value and "exception" not in value:
        findings.add(pointer(path, "type"), "a report needs a type or an exception")
    low, high = value.get("minValue"), value.get("maxValue")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        findings.add(pointer(path, "minValue"), f"is {low} and thus above maxValue, {high}")


def _check_interval(findings: Findings, path: str, value: dict[str, Any]) -> None:
    """A measurement does not end before it starts."""
    try:
        start, end = timestamp(value["startTime"]), timestamp(value["endTime"])
    except (KeyError, TypeError, ValueError):
        return  # missing, or reported where it stands
    if start > end:
        findings.add(pointer(path, "startTime"), "is after endTime")


def _check_persistent(findings: Findings, path: str, value: dict[str, Any]) -> None:
    """At least one disposition is set or unset."""
    if not value.get("set") and not value.get("unset"):
        findings.add(path, "must set or unset at least one disposition")


_DEVICE: dict[str, Check] = dict.fromkeys(
    ("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), check_uri
)
_PLACE = record({"id": check_uri}, ("id",), extensible=True)
_DISPOSITIONS = each(word(cbv.DISPOSITION), unique=True)
_METADATA = record(
    {"time": check_time, "startTime": check_time, "endTime": check_time, **_DEVICE},
    extensible=True,
    also=_check_interval,
)
_REPORT = record(
    {
        "type": word(cbv.MEASUREMENT, is_open=True),
        "exception": word(cbv.SENSOR_ALERT),
        **_DEVICE,
        "time": check_time,
        **dict.fromkeys(("microorganism", "chemicalSubstance", "coordinateReferenceSystem", "uriValue"), check_uri),
        **dict.fromkeys(("value", "minValue", "maxValue", "meanValue", "percValue"), check_number),
        "component": word(cbv.COMPONENT),
        "stringValue": check_text,
        "booleanValue": check_boolean,
        "hexBinaryValue": check_hex,
        "sDev": check_not_negative,
        "percRank": check_rank,
        "uom": check_unit,
    },
    extensible=True,
    also=_check_ranges,
)
_SENSOR = record(
    {"sensorMetadata": _METADATA, "sensorReport": each(_REPORT, size_min=1)}, ("sensorReport",), extensible=True
)

EPCS = each(check_object_id, unique=True)
QUANTITIES = each(
    record(
        {"epcClass": check_class_id, "quantity": check_not_negative, "uom": check_unit},
        ("epcClass",),
        also=_check_quantity,
    )
)
ERROR_DECLARATION = record(
    {
        "declarationTime": check_time,
        "reason": word(cbv.ERROR_REASON),
        "correctiveEventIDs": each(check_event_id, unique=True),
    },
    ("declarationTime",),
    extensible=True,
)


def _parties(name: str) -> Check:
    """Sources or destinations: who or where, and in what sense."""
    return each(record({"type": word(cbv.SOURCE_DESTINATION_TYPE), name: check_uri}, ("type", name)))


EVENT_FIELDS: Final[Mapping[str, Check]] = {
    "type": check_text,
    "eventTime": check_time,
    "recordTime": check_time,
    "eventTimeZoneOffset": check_offset,
    "eventID": check_event_id,
    "certificationInfo": check_certification,
    "errorDeclaration": ERROR_DECLARATION,
    "bizStep": word(cbv.BIZ_STEP),
    "disposition": word(cbv.DISPOSITION),
    "persistentDisposition": record({"set": _DISPOSITIONS, "unset": _DISPOSITIONS}, also=_check_persistent),
    "readPoint": _PLACE,
    "bizLocation": _PLACE,
    "bizTransactionList": each(
        record({"type": word(cbv.BIZ_TRANSACTION_TYPE), "bizTransaction": check_uri}, ("bizTransaction",))
    ),
    "sourceList": _parties("source"),
    "destinationList": _parties("destination"),
    "sensorElementList": each(_SENSOR),
}
"""What every event may have."""

REQUIRED_FIELDS: Final = ("eventTime", "eventTimeZoneOffset")
