# SPDX-License-Identifier: Apache-2.0
"""Two small drawings: the way from place to place, and the curve of the temperature.

Made from the same numbers that stand beside them in words, by this server and no map service. Colours come from the
page's style; nothing in them is a script or a style of their own.
"""

import itertools
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from traceability.api.shopper.districts import district_of
from traceability.api.shopper.telling import Stop
from traceability.cold_chain import Reading
from traceability.pb import traceability_pb2 as pb

WIDTH: Final = 340
_ROUTE_HEIGHT: Final = 112
_LEFT, _RIGHT = 30, WIDTH - 30
_HIGH, _LOW = 34, 72
_CHART_HEIGHT: Final = 150
_CHART_LEFT, _CHART_TOP, _CHART_BOTTOM = 34, 10, 126
POINTS_MAX: Final = 300
"""Of the curve: more than a phone's screen has dots across."""
_LABEL_CHARACTERS: Final = 12


def route(stops: Sequence[Stop], label: str) -> Markup:
    """The places on the way, from left to right, the further north the higher; empty for fewer than two.

    Args:
        stops: In their order.
        label: What it is, for a screen reader; the places stand in words beside it.
    """
    if len(stops) < 2:
        return Markup("")
    lats = [found.lat if (found := district_of(stop.district)) else 23.0 for stop in stops]
    low, high = min(lats), max(lats)
    step = (_RIGHT - _LEFT) / (len(stops) - 1)
    points = [(_LEFT + index * step, _height(lat, low, high, index)) for index, lat in enumerate(lats)]
    road = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (x0 + x1) / 2
        road += f"C{middle:.0f} {y0 - 14:.0f} {middle:.0f} {y1 + 14:.0f} {x1:.0f} {y1:.0f}"
    drawn = Markup('<path class="road" d="{}"/>').format(road)
    for index, (stop, (x, y)) in enumerate(zip(stops, points, strict=True)):
        anchor = "start" if index == 0 else "end" if stop.is_last else "middle"
        at = x - 8 if index == 0 else x + 8 if stop.is_last else x
        below = y + 24 if index % 2 == 0 else y - 14
        drawn += Markup('<circle class="stop{}" cx="{:.0f}" cy="{:.0f}" r="6"/>').format(
            " last" if stop.is_last else "", x, y
        )
        drawn += Markup('<text x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>').format(
            at, below, anchor, _short(stop.name)
        )
    return _drawing(drawn, _ROUTE_HEIGHT, label)


def curve(
    readings: Sequence[Reading], limits: pb.TemperatureLimits | None, label: str, ends: tuple[str, str]
) -> Markup:
    """Temperatures over time, with the band that is allowed; empty for fewer than two readings.

    Args:
        readings: By time.
        limits: Of the product, if it has any.
        label: What it is, for a screen reader; the figures stand in a table beside it.
        ends: When it begins and ends, in words.
    """
    if len(readings) < 2:
        return Markup("")
    shown = readings[:: -(-len(readings) // POINTS_MAX)]
    start, end = shown[0].from_ms, max(one.from_ms for one in shown)
    values = [value for one in shown for value in (one.low, one.high)]
    if limits is not None:
        values += [limits.min_millicelsius, limits.max_millicelsius]
    low, high = min(values) - 500, max(values) + 500

    def x_of(time_ms: int) -> float:
        return _CHART_LEFT + (WIDTH - _CHART_LEFT - 8) * (time_ms - start) / max(1, end - start)

    def y_of(milli: int) -> float:
        return _CHART_BOTTOM - (_CHART_BOTTOM - _CHART_TOP) * (milli - low) / (high - low)

    drawn = Markup("")
    if limits is not None:
        top, bottom = y_of(limits.max_millicelsius), y_of(limits.min_millicelsius)
        drawn += Markup('<rect class="band" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
            _CHART_LEFT, top, WIDTH - _CHART_LEFT - 8, max(0.0, bottom - top)
        )
        for milli, y in ((limits.max_millicelsius, top), (limits.min_millicelsius, bottom)):
            drawn += _tick(milli, y)
    else:
        drawn += _tick(max(values), y_of(max(values))) + _tick(min(values), y_of(min(values)))
    line = " ".join(f"{x_of(one.from_ms):.1f},{y_of((one.low + one.high) // 2):.1f}" for one in shown)
    drawn += Markup('<polyline class="curve" points="{}"/>').format(line)
    if limits is not None:
        for one in shown:
            if one.low < limits.min_millicelsius or one.high > limits.max_millicelsius:
                worst = one.high if one.high > limits.max_millicelsius else one.low
                drawn += Markup('<circle class="outside" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(
                    x_of(one.from_ms), y_of(worst)
                )
    for x, anchor, words in ((_CHART_LEFT, "start", ends[0]), (WIDTH - 8, "end", ends[1])):
        drawn += Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, _CHART_HEIGHT - 6, anchor, words)
    return _drawing(drawn, _CHART_HEIGHT, label)


def _height(lat: float, low: float, high: float, index: int) -> float:
    """How high a stop stands; a gentle wave where all lie alike."""
    if high - low < 0.05:
        return (_HIGH + _LOW) / 2 + (10 if index % 2 == 0 else -10)
    return _LOW - (_LOW - _HIGH) * (lat - low) / (high - low)


def _tick(milli: int, y: float) -> Markup:
    return Markup('<text x="{}" y="{:.1f}" text-anchor="end">{:.0f}°</text>').format(
        _CHART_LEFT - 6, y + 4, milli / 1000
    )


def _short(name: str) -> str:
    """The last word of a place, as far as there is room."""
    word = name.rpartition(" ")[2] if not name.isascii() else name.partition(",")[0]
    return word if len(word) <= _LABEL_CHARACTERS else word[: _LABEL_CHARACTERS - 1] + "…"


def _drawing(content: Markup, height: int, label: str) -> Markup:
    return Markup('<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, content
    )
