# SPDX-License-Identifier: Apache-2.0
"""Temperatures of a journey against a product's limits: readings out of events, and stretches outside.

Pure. A reading counts from its time until the next one of the same device, so that silence after a reading outside does
not end the stretch: nobody knows that it was cold again. Whether an alert is raised depends on the product's minutes.
Source: EPCIS 2.0, section 7.3.7; UN/ECE Recommendation 20 for units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from traceability import epcis_vocabulary as cbv
from traceability.epcis_context import Context
from traceability.epcis_hash import timestamp
from traceability.pb import traceability_pb2 as pb

READINGS_MAX: Final = 100_000
"""Readings of one journey: a sensor a minute for two months."""

_TO_CELSIUS: Final = {
    "CEL": (Decimal(0), Decimal(1)),
    "FAH": (Decimal(-32), Decimal(5) / 9),
    "KEL": (Decimal("-273.15"), Decimal(1)),
}
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What a device saw at a time, or between two.

    Attributes:
        device: Its name, or empty.
        from_ms: When, or from when.
        to_ms: Until when; the same for a moment.
        low: Lowest temperature, in thousandths of a degree Celsius.
        high: Highest, likewise.
    """

    device: str
    from_ms: int
    to_ms: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Excursion:
    """A stretch outside of the limits.

    Attributes:
        device: Whose readings.
        from_ms: Of the first reading outside.
        to_ms: Of the first one inside again, or the last one at all.
        low: Lowest temperature of it, in thousandths of a degree Celsius.
        high: Highest, likewise.
        is_alert: It lasted longer than the product bears.
        is_open: No reading inside follows.
    """

    device: str
    from_ms: int
    to_ms: int
    low: int
    high: int
    is_alert: bool
    is_open: bool


def readings_of(event: Mapping[str, Any], *, context: object = None) -> list[Reading]:
    """An event's temperatures; reports of other things, and those without a value, are passed over.

    Args:
        event: One valid event, as parsed.
        context: The document's `@context`.
    """
    scope = Context().extended([] if context is None else context).extended(event.get("@context", []))
    found: list[Reading] = []
    for element in event.get("sensorElementList", []):
        metadata = element.get("sensorMetadata", {})
        for report in element.get("sensorReport", []):
            kind = scope.expand(report.get("type", "")).removeprefix(cbv.GS1_VOC)
            values = [report[name] for name in ("value", "minValue", "maxValue", "meanValue") if name in report]
            unit = _TO_CELSIUS.get(report.get("uom", "CEL"))
            if kind != "Temperature" or not values or unit is None:
                continue
            milli = [round((Decimal(str(value)) + unit[0]) * unit[1] * 1000) for value in values]
            moment = report.get("time") or metadata.get("time") or event["eventTime"]
            start = _milliseconds(metadata["startTime"]) if "startTime" in metadata else _milliseconds(moment)
            end = _milliseconds(metadata["endTime"]) if "endTime" in metadata else start
            if "time" in report:
                start = end = _milliseconds(report["time"])
            device = report.get("deviceID") or metadata.get("deviceID") or ""
            found.append(Reading(device, start, end, min(milli), max(milli)))
    return found


def excursions(readings: Iterable[Reading], limits: pb.TemperatureLimits) -> list[Excursion]:
    """The stretches outside of a product's limits, by device and time.

    Args:
        readings: Of one journey, in any order; beyond 100,000 the rest is left out.
        limits: Of the product.
    """
    found: list[Excursion] = []
    ordered = sorted(readings)[:READINGS_MAX]
    for device, own in groupby(ordered, key=_device_of):
        outside: list[Reading] = []
        for reading in own:
            if limits.min_millicelsius <= reading.low and reading.high <= limits.max_millicelsius:
                if outside:
                    found.append(_excursion(device, outside, reading.from_ms, limits, is_open=False))
                outside = []
            else:
                outside.append(reading)
        if outside:
            found.append(_excursion(device, outside, max(one.to_ms for one in outside), limits, is_open=True))
    return found


def _excursion(
    device: str, outside: list[Reading], to_ms: int, limits: pb.TemperatureLimits, *, is_open: bool
) -> Excursion:
    """One stretch."""
    from_ms = outside[0].from_ms
    return Excursion(
        device,
        from_ms,
        to_ms,
        min(one.low for one in outside),
        max(one.high for one in outside),
        is_alert=to_ms - from_ms > limits.minutes_max * _MINUTE_MS,
        is_open=is_open,
    )


def _device_of(reading: Reading) -> str:
    return reading.device


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(timestamp(text)).timestamp() * 1000)
