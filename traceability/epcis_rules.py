# SPDX-License-Identifier: Apache-2.0
"""What an EPCIS 2.0 event must have and may say, as tables of fields.

Checks of single values stand in `traceability.epcis_values`. Who may say it, and whether it agrees with earlier events,
is decided elsewhere.  Source: EPCIS 2.0, section 7; CBV 2.0, sections 7 and 8; the schema.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from traceability import epcis_vocabulary as cbv
from traceability.epcis_hash import timestamp
from traceability.epcis_json import pointer
from traceability.epcis_values import (
    Check,
    Findings,
    check_boolean,
    check_class_id,
    check_event_id,
    check_hex,
    check_not_negative,
    check_number,
    check_object_id,
    check_offset,
    check_place,
    check_rank,
    check_string,
    check_text,
    check_time,
    check_unit,
    check_uri,
)

_MEASUREMENT_WORD = re.compile(r"[A-Z][A-Za-z]*(?:_[A-Za-z]+)*")
_DATE_NAME = re.compile(r".*Date(?:Time)?")


def word(vocabulary: cbv.Vocabulary, *, is_open: bool = False) -> Check:
    """A check for a standard word, its web address, or a URI of the user's own.

    The names of CBV's words are GS1's alone: one that starts like a word of any vocabulary has to be one of this.

    Args:
        vocabulary: Which words are standard.
        is_open: Let other words through that are no slip of a standard one; published events have measurement types
            that CBV 2.0 does not list.

    Source: CBV 2.0, sections 7.1 to 7.9 and 8.1.
    """

    def check(findings: Findings, path: str, value: Any) -> None:
        if not isinstance(value, str):
            findings.add(path, f"must be a {vocabulary.what} as text")
        elif value in vocabulary.words or (is_open and _is_own_word(value, vocabulary)):
            return
        elif ":" not in value:
            findings.add(path, f"{value!r:.60} is no {vocabulary.what} of CBV 2.0; one of your own must be a URI")
        else:
            check_uri(findings, path, value)
            full = cbv.from_urn(findings.context.expand(value))
            if full.startswith(cbv.NAMESPACES):
                local = full.removeprefix(vocabulary.web)
                if local not in vocabulary.words:
                    findings.add(path, f"{local!r:.60} is no {vocabulary.what} of CBV 2.0, though named as one")

    return check


def _is_own_word(text: str, vocabulary: cbv.Vocabulary) -> bool:
    """Whether a word that is not listed looks like one that a later list has, not like a listed one miswritten."""
    plain = text.replace("_", "").lower()
    return bool(_MEASUREMENT_WORD.fullmatch(text)) and all(plain != known.lower() for known in vocabulary.words)


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
_PLACE = record({"id": check_place}, ("id",), extensible=True)
MEASUREMENT = word(cbv.MEASUREMENT, is_open=True)
_DISPOSITIONS = each(word(cbv.DISPOSITION), unique=True)
_METADATA = record(
    {"time": check_time, "startTime": check_time, "endTime": check_time, **_DEVICE},
    extensible=True,
    also=_check_interval,
)
_REPORT = record(
    {
        "type": MEASUREMENT,
        "exception": word(cbv.SENSOR_ALERT),
        **_DEVICE,
        "time": check_time,
        **dict.fromkeys(("microorganism", "chemicalSubstance", "coordinateReferenceSystem", "uriValue"), check_uri),
        **dict.fromkeys(("value", "minValue", "maxValue", "meanValue", "percValue"), check_number),
        "component": word(cbv.COMPONENT),
        "stringValue": check_string,
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
PERSISTENT_DISPOSITION = record({"set": _DISPOSITIONS, "unset": _DISPOSITIONS}, also=_check_persistent)
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
