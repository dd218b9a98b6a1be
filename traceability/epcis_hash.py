# SPDX-License-Identifier: Apache-2.0
"""The CBV 2.0 event hash: one text for each event however it was written down, and the digest of that text.

Two orders exist. `REFERENCE` is what the published test vectors and the reference program yield: a parent comes before
the objects, and after the places sensor data, then everything else sorted together. `SPECIFICATION` is as printed, and
leaves texts that look like numbers alone, where the reference rewrites them through a double.
Timestamps follow the written rule in both: half up to milliseconds, carrying.

The hash identifies an event; it is no signature, and texts of more than 15 digits can collide in `REFERENCE`.
Source: CBV 2.0, section 8.9; RFC 6920.
"""

import enum
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from traceability import epcis_vocabulary as cbv
from traceability.epc import canonical_identifier
from traceability.epcis_context import EPCIS, Context
from traceability.epcis_json import DEPTH_MAX, InvalidDocument, Problem, pointer

__all__ = ["Order", "event_hash", "pre_hash", "timestamp"]


class Order(enum.Enum):
    """Which of the two orders a hash was taken in."""

    REFERENCE = "reference"
    SPECIFICATION = "specification"


_Layout = tuple[tuple[str, "_Layout"], ...]

_EPCS: _Layout = (("epc", ()),)
_QUANTITIES: _Layout = (("quantityElement", (("epcClass", ()), ("quantity", ()), ("uom", ()))),)
_DEVICE = ("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod")
_SENSORS: _Layout = (
    (
        "sensorElement",
        (
            (
                "sensorMetadata",
                tuple((name, ()) for name in ("time", "startTime", "endTime", *_DEVICE, "bizRules")),
            ),
            (
                "sensorReport",
                tuple(
                    (name, ())
                    for name in (
                        *("type", "exception", *_DEVICE, "time", "microorganism", "chemicalSubstance", "value"),
                        *("component", "stringValue", "booleanValue", "hexBinaryValue", "uriValue", "minValue"),
                        *("maxValue", "meanValue", "sDev", "percRank", "percValue", "uom"),
                        "coordinateReferenceSystem",
                    )
                ),
            ),
        ),
    ),
)

_LAYOUT: _Layout = (
    ("eventTime", ()),
    ("eventTimeZoneOffset", ()),
    ("certificationInfo", ()),
    ("epcList", _EPCS),
    ("parentID", ()),
    ("inputEPCList", _EPCS),
    ("childEPCs", _EPCS),
    ("quantityList", _QUANTITIES),
    ("childQuantityList", _QUANTITIES),
    ("inputQuantityList", _QUANTITIES),
    ("outputEPCList", _EPCS),
    ("outputQuantityList", _QUANTITIES),
    ("action", ()),
    ("transformationID", ()),
    ("bizStep", ()),
    ("disposition", ()),
    ("persistentDisposition", (("set", ()), ("unset", ()))),
    ("readPoint", (("id", ()),)),
    ("bizLocation", (("id", ()),)),
)
"""The printed order of an event's fields up to the places."""

_SWAPPED: Mapping[str, tuple[str, _Layout]] = {"epcList": ("parentID", ()), "parentID": ("epcList", _EPCS)}

_REFERENCE_LAYOUT: _Layout = (
    *(_SWAPPED.get(name, (name, inner)) for name, inner in _LAYOUT),
    ("sensorElementList", _SENSORS),
)
"""The order of the reference program: parent before objects, and sensor data after the places."""

_TIMES = re.compile(
    r"/eventTime/0|/sensorElementList/[0-9]+/sensor(?:Metadata|Report)/[0-9]+/(?:time|startTime|endTime)/0"
)
_EXCLUDED = frozenset({"type", "recordTime", "eventID", "errorDeclaration", "@context"})
_COMMENTS = frozenset({"comment", "rdfs:comment", "{http://www.w3.org/2000/01/rdf-schema#}comment"})
_ADDRESSES = ("https://", "http://", "urn:")
_PAIRS = {"bizTransactionList": "bizTransaction", "sourceList": "source", "destinationList": "destination"}
_RENAMED = {
    "inputEPC": "epc",
    "outputEPC": "epc",
    "quantity": "quantityElement",
    "childQuantity": "quantityElement",
    "inputQuantity": "quantityElement",
    "outputQuantity": "quantityElement",
}
_WORDS = {
    "bizStep": cbv.BIZ_STEP,
    "disposition": cbv.DISPOSITION,
    "set": cbv.DISPOSITION,
    "unset": cbv.DISPOSITION,
    "bizTransactionList": cbv.BIZ_TRANSACTION_TYPE,
    "sourceList": cbv.SOURCE_DESTINATION_TYPE,
    "destinationList": cbv.SOURCE_DESTINATION_TYPE,
    "sensorReport": cbv.MEASUREMENT,
    "exception": cbv.SENSOR_ALERT,
    "component": cbv.COMPONENT,
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)


@dataclass(slots=True)
class _Node:
    """A field with its value as text, its parts, or both empty."""

    name: str
    text: str
    parts: list["_Node"]
    is_number: bool = False


def event_hash(
    event: Mapping[str, Any],
    context: object = None,
    *,
    order: Order = Order.REFERENCE,
    ignored: Iterable[str] = (),
) -> str:
    """The hash that identifies an event, as `eventID` carries it.

    Args:
        event: One event as parsed JSON.
        context: What is in force around it: an `@context` value, or the whole document, whose `…:ignoreFields` then
            counts too; None is GS1's own context.
        order: The published vectors' order, or the printed one.
        ignored: Names of extensions to leave out, as the event writes them.

    Returns:
        `ni:///sha-256;<64 hexadecimal digits>?ver=CBV2.0`.

    Raises:
        InvalidDocument: No event type, a timestamp that is none, or nested too deep.
    """
    text = pre_hash(event, context, order=order, ignored=ignored)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"ni:///sha-256;{digest}?ver=CBV2.0"


def pre_hash(
    event: Mapping[str, Any],
    context: object = None,
    *,
    order: Order = Order.REFERENCE,
    ignored: Iterable[str] = (),
) -> str:
    """The canonical text that `event_hash` takes the digest of; arguments as there."""
    event_type = event.get("type")
    if not isinstance(event_type, str):
        raise InvalidDocument([Problem("/type", "an event needs a type")])
    names = set(ignored)
    surrounding = context
    if isinstance(context, Mapping) and "@context" in context:
        names.update(_ignored_by(context))
        surrounding = context["@context"]
    scope = surrounding if isinstance(surrounding, Context) else Context().extended(surrounding or [])
    if "@context" in event:
        scope = scope.extended(event["@context"])
    reader = _Reader(scope, frozenset(_name(name, scope) for name in names))
    nodes = [
        node
        for member, value in event.items()
        if member not in _EXCLUDED
        for node in reader.nodes(member, value, pointer("", member), 0)
    ]
    full = scope.expand(event_type)
    name = full.removeprefix(EPCIS) if full.startswith(EPCIS) else event_type
    return f"eventType={name}{_Writer(order).event(nodes)}"


def timestamp(text: str) -> str:
    """A timestamp in UTC with milliseconds, half up; the carry may reach the year.

    Raises:
        ValueError: No date and time with an offset as XML Schema and RFC 3339 have it, or none that exists.

    Source: CBV 2.0, section 8.9.2, rules 8 and 9.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no date and time with offset, such as 2026-04-05T08:30:00+08:00")
    date, time, fraction, offset = match.groups()
    digits = (fraction or "").ljust(4, "0")
    milliseconds = int(digits[:3]) + (digits[3] >= "5")
    try:
        whole = datetime.fromisoformat(f"{date}T{time}{offset.upper().replace('Z', '+00:00')}")
        moment = (whole + timedelta(milliseconds=milliseconds)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no date and time that exists") from None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _ignored_by(document: Mapping[str, Any]) -> set[str]:
    """Extensions that a document says are not part of its events (`…:ignoreFields`)."""
    names: set[str] = set()
    for member, value in document.items():
        if member.endswith(":ignoreFields"):
            names.update(name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str))
    return names


def _name(member: str, scope: Context) -> str:
    """A member's name in the canonical text: `{namespace}local` for extensions, also where it is written in full."""
    namespace, local = scope.split(member) or (member, "")
    if not local:
        if namespace is member and not member.startswith(_ADDRESSES):
            return member
        end = max(namespace.rfind("/"), namespace.rfind("#"), namespace.rfind(":")) + 1
        namespace, local = namespace[:end], namespace[end:]
    return f"{{{namespace}}}{local}"


class _Reader:
    """Turns parsed JSON into nodes, resolving what the context abbreviates."""

    def __init__(self, scope: Context, ignored: frozenset[str]) -> None:
        self._scope = scope
        self._ignored = ignored

    def nodes(self, member: str, value: Any, path: str, depth: int) -> list[_Node]:
        """The nodes of one member: none when it does not count, several for a plain list."""
        if depth > DEPTH_MAX:
            raise InvalidDocument([Problem(path, f"nested deeper than {DEPTH_MAX}")])
        name = _name(member, self._scope)
        if member in _COMMENTS or name in _COMMENTS or name in self._ignored or member == "@context" or value is None:
            return []
        items = value if isinstance(value, list) else [value]
        if name in _PAIRS:
            return [_Node(name, "", [self._pair(name, item, path) for item in items])] if items else []
        made = [self._node(name, item, pointer(path, index), depth) for index, item in enumerate(items)]
        if name == "childEPCs" or name.endswith("List"):
            part = "epc" if name == "childEPCs" else name.removesuffix("List")
            for node in made:
                node.name = _RENAMED.get(part, part)
            return [_Node(name, "", made)] if made else []
        return made

    def _node(self, name: str, value: Any, path: str, depth: int) -> _Node:
        """One value under a name."""
        if isinstance(value, Mapping):
            parts = [
                node
                for member, item in value.items()
                for node in self.nodes(member, item, pointer(path, member), depth + 1)
            ]
            if name == "sensorReport":
                for part in parts:
                    if part.name == "type":
                        part.text = cbv.expand(part.text, cbv.MEASUREMENT)
            return _Node(name, "", parts)
        if isinstance(value, list):
            return _Node(name, "", self.nodes("", value, path, depth + 1))
        if isinstance(value, bool):
            return _Node(name, "true" if value else "false", [])
        if isinstance(value, int | float | Decimal):
            return _Node(name, str(value), [], is_number=True)
        return _Node(name, self._text(name, str(value), path), [])

    def _text(self, name: str, text: str, path: str) -> str:
        """A text without blanks around it, in full, and a time as the rule wants it."""
        text = text.strip()
        if _TIMES.fullmatch(path):
            try:
                return timestamp(text)
            except ValueError as error:
                raise InvalidDocument([Problem(path.rpartition("/")[0], str(error))]) from None
        word = _WORDS.get(name)
        return cbv.from_urn(self._scope.expand(text if word is None else cbv.expand(text, word)))

    def _pair(self, name: str, value: Any, path: str) -> _Node:
        """A transaction, source or destination: its type comes first, then what it is."""
        if not isinstance(value, Mapping):
            raise InvalidDocument([Problem(path, "each member must be an object")])
        parts: list[_Node] = []
        for member in ("type", _PAIRS[name]):
            text = value.get(member)
            if isinstance(text, str):
                text = cbv.expand(text.strip(), _WORDS[name]) if member == "type" else text.strip()
                parts.append(_Node(member, cbv.from_urn(self._scope.expand(text)), []))
        return _Node("", "", parts)


class _Writer:
    """Joins nodes to the canonical text."""

    def __init__(self, order: Order) -> None:
        self._reference = order is Order.REFERENCE

    def event(self, nodes: list[_Node]) -> str:
        """All fields of an event."""
        if self._reference:
            text, rest = self._ordered(nodes, _REFERENCE_LAYOUT, nested=False)
            return text + self._sorted(rest)
        text, rest = self._ordered(nodes, _LAYOUT, nested=False)
        for name in ("bizTransactionList", "sourceList", "destinationList"):
            text += self._sorted([node for node in rest if node.name == name])
        sensors, rest = self._ordered(rest, (("sensorElementList", _SENSORS),), nested=False)
        text += sensors + self._sorted([node for node in rest if node.name == "ilmd"])
        return text + self._sorted([node for node in rest if node.name != "ilmd" and node.name not in _PAIRS])

    def _ordered(self, nodes: list[_Node], layout: _Layout, *, nested: bool) -> tuple[str, list[_Node]]:
        """Fields in the layout's order, extensions of a nested one at its end; and what found no place."""
        own = [node for node in nodes if nested and self._is_extension(node, len(nodes))]
        rest = [node for node in nodes if not (nested and self._is_extension(node, len(nodes)))]
        text = ""
        for name, inner in layout:
            pieces = []
            unplaced = []
            for node in [node for node in rest if node.name == name]:
                below, left = self._ordered(node.parts, inner, nested=True) if inner else ("", node.parts)
                value = f"={self._value(node)}" if node.text else ""
                if value or below:
                    pieces.append(name + value + below)
                if left:
                    unplaced.append(_Node(name, node.text, left, node.is_number))
            rest = [node for node in rest if node.name != name] + unplaced
            text += "".join(sorted(pieces))
        return text + self._sorted(own), rest

    def _is_extension(self, node: _Node, size: int) -> bool:
        """Whether a part of a standard field is an extension; the reference wants a `/` and something beside it."""
        if self._reference:
            return "/}" in node.name and size > 1
        return node.name.startswith("{")

    def _sorted(self, nodes: Sequence[_Node]) -> str:
        """Fields without an order of their own, by code point."""
        pieces = []
        for node in nodes:
            value = f"={self._value(node)}" if node.text else ""
            is_pair = not node.name and bool(node.parts) and node.parts[-1].name in _PAIRS.values()
            below = "".join(self._sorted([part]) for part in node.parts) if is_pair else self._sorted(node.parts)
            pieces.append(node.name + value + below)
        return "".join(sorted(pieces))

    def _value(self, node: _Node) -> str:
        """A value in its one form: numbers without superfluous digits, identifiers as canonical links."""
        if self._reference or node.is_number:
            number = _number_of_reference(node.text) if self._reference else _number(node.text)
            if number is not None:
                return number
        return canonical_identifier(node.text) or node.text


def _number_of_reference(text: str) -> str | None:
    """A number as the reference program writes it, by way of a double; None for what is no number."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if math.isinf(value):
        return None
    return str(int(value)) if value == int(value) else str(value)


def _number(text: str) -> str:
    """A number exactly, without trailing zeros."""
    written = format(Decimal(text), "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
