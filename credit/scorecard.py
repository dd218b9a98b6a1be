# SPDX-License-Identifier: Apache-2.0
"""A scorecard: the published document that says how events become points. Integers only, one spelling.

The document is canonical JSON (ASCII, sorted keys, no blanks), so that its digest names it:

    {"base": 600, "min": 0, "max": 1000,
     "grades": [["A", 800], ["B", 650], ["C", 500], ["D", 0]],
     "dimensions": [{"number": 1, "min": -300, "max": 200}, …],
     "open_pledges_max": 20,
     "classes": [{"class": 101, "dimension": 1, "points": {"minor": -20, "general": -60, "serious": -150},
                  "decay": [[0, 100], [365, 50], [1096, 0]]}, …]}

`points` is keyed by what an event is found to be: `minor`, `general`, `serious` for a negative record; `none` for a
positive one or an endorsement; `open`, `kept`, `broken` for a pledge. `decay` is steps of [days since the document's
date, percent], from day 0 on, ascending; the last one holds for good.  Source: docs/credit.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from chain.errors import InvalidMessage
from chain.strict_json import Json, canonical
from chain.strict_json import parse as parse_json
from chain.types import sha256

DOCUMENT_BYTES_MAX: Final = 12 * 1024
"""A document whose whole meaning a person can be shown; it fits one state value."""
POINTS_MAX: Final = 10_000
"""So that no sum of 100,000 events leaves what other languages hold exactly."""
CLASSES_MAX: Final = 256
STEPS_MAX: Final = 8
DAYS_MAX: Final = 36_525
FOUND: Final = ("broken", "general", "kept", "minor", "none", "open", "serious")
"""What an event may be found to be."""
GRADES: Final = ("A", "B", "C", "D")


@dataclass(frozen=True, slots=True)
class ClassRule:
    """What events of one class count for.

    Attributes:
        dimension: Which sum they go into.
        points: By what an event is found to be.
        decay: Steps of (days, percent).
    """

    number: int
    dimension: int
    points: Mapping[str, int]
    decay: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """What events of one class that were found to be one thing count for as they age.

    Attributes:
        days: From which age on each step holds, ascending from 0.
        points: What each step counts for; percentages round towards zero.
    """

    dimension: int
    days: tuple[int, ...]
    points: tuple[int, ...]


@dataclass(frozen=True)
class Scorecard:
    """One version of a scorecard.

    Attributes:
        document: Its bytes.
        grades: Letter and least points, best first.
        dimensions: Least and most points by number.
        open_pledges_max: What all pledges that nobody has checked count for at most.
        classes: By number.
    """

    document: bytes
    base: int
    least: int
    most: int
    grades: tuple[tuple[str, int], ...]
    dimensions: Mapping[int, tuple[int, int]]
    open_pledges_max: int
    classes: Mapping[int, ClassRule]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the document."""
        return sha256(self.document)

    def curve(self, number: int, found: str) -> Curve | None:
        """What events of a class that were found to be this count for; None: never anything.

        Args:
            number: The class, whether the scorecard knows it or not.
            found: One of `FOUND`.
        """
        key = (number, found)
        try:
            return self._curves[key]
        except KeyError:
            rule = self.classes.get(number)
            if rule is None:
                return None
            made = self._curves[key] = _curve(rule, found)
            return made

    @cached_property
    def _curves(self) -> dict[tuple[int, str], Curve | None]:
        """Curves that were asked for: at most seven for each class of the scorecard."""
        return {}


def _curve(rule: ClassRule, found: str) -> Curve | None:
    full = rule.points.get(found, 0)
    if not full:
        return None
    shares = [abs(full) * percent // 100 for _, percent in rule.decay]
    points = shares if full > 0 else [-share for share in shares]
    return Curve(rule.dimension, tuple(days for days, _ in rule.decay), tuple(points))


def parse(document: bytes) -> Scorecard:
    """Read a scorecard.

    Args:
        document: Canonical JSON, at most 12 KiB.

    Raises:
        InvalidMessage: It is no scorecard; the reason names the field.
    """
    value = parse_json(document, size_max=DOCUMENT_BYTES_MAX, depth_max=8)
    if not isinstance(value, dict) or canonical(value) != document or not document.isascii():
        raise InvalidMessage("a scorecard is canonical JSON: ASCII, sorted keys, no blanks")
    top = _object(value, "scorecard", ("base", "classes", "dimensions", "grades", "max", "min", "open_pledges_max"))
    least, most = _points(top["min"], "min"), _points(top["max"], "max")
    base = _points(top["base"], "base")
    if not least <= base <= most:
        raise InvalidMessage("base: lies between min and max")
    dimensions: dict[int, tuple[int, int]] = {}
    for i, item in enumerate(_list(top["dimensions"], "dimensions", 16)):
        found = _object(item, f"dimensions[{i}]", ("max", "min", "number"))
        number = _integer(found["number"], f"dimensions[{i}].number", 1, 16)
        bounds = (_points(found["min"], f"dimensions[{i}].min"), _points(found["max"], f"dimensions[{i}].max"))
        if bounds[0] > 0 or bounds[1] < 0 or (dimensions and number <= max(dimensions)):
            raise InvalidMessage(f"dimensions[{i}]: ascending numbers, min at most 0, max at least 0")
        dimensions[number] = bounds
    classes: dict[int, ClassRule] = {}
    for i, item in enumerate(_list(top["classes"], "classes", CLASSES_MAX)):
        rule = _class(item, f"classes[{i}]")
        if rule.dimension not in dimensions:
            raise InvalidMessage(f"classes[{i}].dimension: there is no such dimension")
        if classes and rule.number <= max(classes):
            raise InvalidMessage(f"classes[{i}].class: numbers ascend")
        classes[rule.number] = rule
    return Scorecard(
        document=document,
        base=base,
        least=least,
        most=most,
        grades=_grades(top["grades"], least),
        dimensions=dimensions,
        open_pledges_max=_integer(top["open_pledges_max"], "open_pledges_max", 0, POINTS_MAX),
        classes=classes,
    )


def _grades(value: Json, least: int) -> tuple[tuple[str, int], ...]:
    """Four letters, each with the least points that give it.

    Raises:
        InvalidMessage: They do not descend to the scorecard's least points.
    """
    found = [_pair(item, f"grades[{i}]") for i, item in enumerate(_list(value, "grades", len(GRADES)))]
    grades = tuple((str(letter), _points(points, f"grades[{i}]")) for i, (letter, points) in enumerate(found))
    if tuple(letter for letter, _ in grades) != GRADES:
        raise InvalidMessage("grades: A, B, C and D, in this order")
    if any(better[1] <= worse[1] for better, worse in pairwise(grades)) or grades[-1][1] != least:
        raise InvalidMessage("grades: points descend, and D begins at min")
    return grades


def _class(value: Json, where: str) -> ClassRule:
    """One entry of `classes`.

    Raises:
        InvalidMessage: It has another form.
    """
    found = _object(value, where, ("class", "decay", "dimension", "points"))
    points = found["points"]
    if not isinstance(points, dict) or not points or any(key not in FOUND for key in points):
        raise InvalidMessage(f"{where}.points: keyed by {', '.join(FOUND)}")
    decay: list[tuple[int, int]] = []
    for i, item in enumerate(_list(found["decay"], f"{where}.decay", STEPS_MAX)):
        days, percent = _pair(item, f"{where}.decay[{i}]")
        step = (
            _integer(days, f"{where}.decay[{i}]", 0, DAYS_MAX),
            _integer(percent, f"{where}.decay[{i}]", 0, 100),
        )
        if (step[0] != 0) if not decay else step[0] <= decay[-1][0]:
            raise InvalidMessage(f"{where}.decay: steps ascend from day 0")
        decay.append(step)
    if not decay:
        raise InvalidMessage(f"{where}.decay: there is at least the step from day 0")
    return ClassRule(
        number=_integer(found["class"], f"{where}.class", 1, 65_535),
        dimension=_integer(found["dimension"], f"{where}.dimension", 1, 16),
        points={key: _points(item, f"{where}.points.{key}") for key, item in points.items()},
        decay=tuple(decay),
    )


def _object(value: Json, where: str, keys: Sequence[str]) -> Mapping[str, Json]:
    if not isinstance(value, dict) or sorted(value) != sorted(keys):
        raise InvalidMessage(f"{where}: an object with {', '.join(keys)}")
    return value


def _list(value: Json, where: str, most: int) -> Sequence[Json]:
    if not isinstance(value, list) or len(value) > most:
        raise InvalidMessage(f"{where}: a list of at most {most}")
    return value


def _pair(value: Json, where: str) -> tuple[Json, Json]:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidMessage(f"{where}: a pair")
    return value[0], value[1]


def _points(value: Json, where: str) -> int:
    return _integer(value, where, -POINTS_MAX, POINTS_MAX)


def _integer(value: Json, where: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidMessage(f"{where}: an integer from {least} to {most}")
    return value
