# SPDX-License-Identifier: Apache-2.0
"""What traders record, and how it is said as an EPCIS event: ten steps, each of one kind of event.

An entry is what somebody typed, scanned or tapped; an event is made of it or every wrong field is named. Whether the
goods allow it, the ledger says.  Source: EPCIS 2.0, 7.4; CBV 2.0, 7.1 and 7.2.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from traceability.documents.names import CHINA
from traceability.epc import canonical_identifier
from traceability.events import CLOCK_AHEAD_MS_MAX, QUANTITY_MAX
from traceability.items import Kind, gtin_of, is_gln, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import MICRO

STEM: Final = "https://id.gs1.org/"
CONTEXT: Final = [
    "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
    {"zx": "https://ns.zhixin.example/food/"},
]
"""The `@context` of events that are made here."""
LINES_MAX: Final = 20
"""Goods in one record: what somebody still reads before signing."""
AGE_MS_MAX: Final = 30 * 86_400_000
"""A phone that was off the net for longer records it at the desk, where somebody looks at it."""
OUTPUTS_MAX: Final = 3
"""Products of one processing: what a form on a phone still shows at a glance."""
SCANNED_CHARACTERS_MAX: Final = 400
MILLICELSIUS_MAX: Final = 100_000

_UOM: Final = {pb.UNIT_KILOGRAM: "KGM", pb.UNIT_LITRE: "LTR", pb.UNIT_PIECE: "H87"}
_LISTS: Final = {
    "AggregationEvent": ("childEPCs", "childQuantityList"),
    "TransformationEvent": ("inputEPCList", "inputQuantityList"),
}
_LOT = re.compile(r"[A-Za-z0-9._-]{1,20}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{18}", re.ASCII)


class Step(StrEnum):
    """What somebody does."""

    HARVEST = "harvest"
    PACK = "pack"
    UNPACK = "unpack"
    SHIP = "ship"
    RECEIVE = "receive"
    SELL = "sell"
    DESTROY = "destroy"
    TEST = "test"
    MAKE = "make"
    CARRY = "carry"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a step asks for.

    Attributes:
        roles: Who has it before them first; the ledger says who may.
    """

    type: str
    action: str
    biz_step: str
    roles: tuple[pb.Role.ValueType, ...]
    disposition: str = ""
    needs_partner: bool = False
    needs_container: bool = False


_MAKERS = (pb.ROLE_PROCESSOR,)
_SELLERS = (pb.ROLE_FARM, pb.ROLE_PROCESSOR, pb.ROLE_MARKET)
_HOLDERS = (*_SELLERS, pb.ROLE_IMPORTER)
SHAPES: Final[Mapping[Step, Shape]] = {
    Step.HARVEST: Shape("ObjectEvent", "ADD", "commissioning", (pb.ROLE_FARM, pb.ROLE_IMPORTER), "active"),
    Step.PACK: Shape("AggregationEvent", "ADD", "packing", _HOLDERS, "in_progress", needs_container=True),
    Step.SHIP: Shape("ObjectEvent", "OBSERVE", "shipping", _HOLDERS, "in_transit", needs_partner=True),
    Step.CARRY: Shape("ObjectEvent", "OBSERVE", "transporting", (pb.ROLE_CARRIER,), "in_transit"),
    Step.RECEIVE: Shape("ObjectEvent", "OBSERVE", "receiving", _HOLDERS, "in_progress", needs_partner=True),
    Step.UNPACK: Shape("AggregationEvent", "DELETE", "unpacking", _HOLDERS, "in_progress", needs_container=True),
    Step.MAKE: Shape("TransformationEvent", "", "creating_class_instance", _MAKERS, "in_progress"),
    Step.SELL: Shape("ObjectEvent", "DELETE", "retail_selling", _SELLERS, "retail_sold"),
    Step.DESTROY: Shape("ObjectEvent", "DELETE", "destroying", _HOLDERS, "destroyed"),
    Step.TEST: Shape("ObjectEvent", "OBSERVE", "inspecting", (pb.ROLE_LABORATORY,)),
}
"""In the order in which goods go through them."""


@dataclass(frozen=True, slots=True)
class Line:
    """Goods as they were entered: a scanned link, the path of one, or a container's number; and how much."""

    item: str
    quantity: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A new lot of a product, and how much; empty where a form's row was not used."""

    product: str = ""
    lot: str = ""
    quantity: str = ""

    def is_used(self) -> bool:
        """Whether somebody entered something: a product alone is what a list shows first."""
        return bool(self.lot.strip() or self.quantity.strip())


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody entered.

    Attributes:
        actor: GLN of whose act it is.
        at_ms: When it was done.
        place: GLN of one's own place; may be empty.
        partner: GLN of the other side, or a scanned link to it.
        carrier: Of a shipment, if another participant carries it.
        container: What goods go into or come out of.
        product: GTIN of what was harvested.
        lot: Its lot; one line with the quantity stands beside.
        outputs: What was made of the lines.
        passed: Of a test: whether the goods passed it.
        complete: Of a receipt: what is missing will not come.
        celsius: Of a journey: the temperature of the load; may be empty.
        photo: Hex SHA-256 of a picture; may be empty.
    """

    step: Step
    actor: str
    at_ms: int
    lines: tuple[Line, ...] = ()
    place: str = ""
    partner: str = ""
    carrier: str = ""
    container: str = ""
    product: str = ""
    lot: str = ""
    outputs: tuple[Output, ...] = ()
    passed: bool = True
    complete: bool = False
    celsius: str = ""
    photo: str = ""


class Wrong(StrEnum):
    """What can be wrong with a field; `words` has the sentences."""

    ITEM = "item"
    QUANTITY = "quantity"
    NO_LINES = "no-lines"
    NO_OUTPUTS = "no-outputs"
    TWICE = "twice"
    PARTNER = "partner"
    CARRIER = "carrier"
    CONTAINER = "container"
    PRODUCT = "product"
    LOT = "lot"
    BALANCE = "balance"
    TIME = "time"
    CELSIUS = "celsius"


@dataclass(slots=True)
class Faults:
    """What is wrong with an entry, by field."""

    found: dict[str, Wrong] = field(default_factory=dict)

    def add(self, name: str, wrong: Wrong) -> None:
        """Note a fault; the first of a field stands."""
        self.found.setdefault(name, wrong)


UnitOf = Callable[[str], pb.Unit.ValueType | None]


def item_of(text: str) -> str:
    """The ledger's name of goods that were scanned or typed; empty for what is none."""
    text = text.strip()
    if not 0 < len(text) <= SCANNED_CHARACTERS_MAX:
        return ""
    if _DIGITS.fullmatch(text):
        text = f"00/{text}"
    if kind_of(text) is not None:
        return text
    found = (canonical_identifier(text) or "").removeprefix(STEM)
    return found if kind_of(found) is not None else ""


def party_of(text: str) -> str:
    """The GLN of a party that was scanned, chosen or typed; empty for none."""
    text = text.strip()
    if is_gln(text):
        return text
    if not 0 < len(text) <= SCANNED_CHARACTERS_MAX:
        return ""
    found = (canonical_identifier(text) or "").removeprefix(STEM)
    number = found.removeprefix("417/").removeprefix("414/").partition("/")[0]
    return number if is_gln(number) else ""


def micro_of(text: str) -> int:
    """A quantity in millionths; 0 for what is none, or beyond what one line may have."""
    text = text.strip().replace("，", ".").replace(",", ".")
    try:
        micro = Decimal(text) * MICRO if len(text) <= 20 else Decimal(0)
    except InvalidOperation:
        return 0
    is_whole = micro.is_finite() and micro == micro.to_integral_value()
    return int(micro) if is_whole and 1 <= micro <= QUANTITY_MAX else 0


def event_of(entry: Entry, unit_of: UnitOf, now_ms: int, event_id: str = "") -> tuple[dict[str, Any], Faults]:
    """An entry as an EPCIS event.

    Args:
        entry: What was entered.
        unit_of: Looks products up.
        now_ms: Unix time; an entry is neither ahead of it nor far behind.
        event_id: A UUID; empty: a new one.

    Returns:
        The event, complete where nothing is wrong, and the faults.
    """
    return _Making(entry, unit_of, now_ms).event(event_id or str(uuid.uuid4()))


class _Making:
    """One entry on its way to an event."""

    def __init__(self, entry: Entry, unit_of: UnitOf, now_ms: int) -> None:
        self._entry = entry
        self._unit_of = unit_of
        self._now_ms = now_ms
        self._shape = SHAPES[entry.step]
        self._faults = Faults()

    def event(self, event_id: str) -> tuple[dict[str, Any], Faults]:
        """The event and its faults."""
        entry, shape = self._entry, self._shape
        if not -AGE_MS_MAX <= entry.at_ms - self._now_ms <= CLOCK_AHEAD_MS_MAX:
            self._faults.add("at", Wrong.TIME)
        event: dict[str, Any] = {
            "type": shape.type,
            "eventID": f"urn:uuid:{event_id}",
            "eventTime": _text(entry.at_ms),
            "eventTimeZoneOffset": "+08:00",
            "bizStep": shape.biz_step,
        }
        if shape.action:
            event["action"] = shape.action
        disposition = self._disposition()
        if disposition:
            event["disposition"] = disposition
        if entry.place:
            event["readPoint"] = {"id": f"{STEM}414/{entry.place}"}
        self._add_goods(event)
        if entry.step is Step.MAKE:
            self._add_outputs(event)
        if shape.needs_container:
            event["parentID"] = STEM + self._container()
        if shape.needs_partner:
            self._add_parties(event)
        if entry.celsius.strip():
            self._add_temperature(event)
        if entry.photo:
            event["zx:photo"] = f"ni:///sha-256;{entry.photo}"
        return event, self._faults

    def _disposition(self) -> str:
        entry = self._entry
        if entry.step is Step.TEST:
            return "conformant" if entry.passed else "non_conformant"
        if entry.step is Step.RECEIVE and entry.complete:
            return "mismatch_quantity"
        return self._shape.disposition

    # ------------------------------------------------------------ goods

    def _add_goods(self, event: dict[str, Any]) -> None:
        entry = self._entry
        lines = entry.lines
        if entry.step is Step.HARVEST:
            lines = self._harvested()
        objects: list[str] = []
        quantities: list[dict[str, Any]] = []
        seen: set[str] = set()
        for index, line in enumerate(lines):
            if not line.item.strip() and not line.quantity.strip():
                continue
            item = item_of(line.item)
            if not item:
                self._faults.add(f"item-{index}", Wrong.ITEM)
            elif item in seen:
                self._faults.add(f"item-{index}", Wrong.TWICE)
            elif kind_of(item) is Kind.LOT:
                quantities.append(self._lot(item, line, index))
            else:
                objects.append(STEM + item)
            seen.add(item)
        if not seen and entry.step is not Step.UNPACK:
            self._faults.add("item-0", Wrong.NO_LINES)
        names = _LISTS.get(self._shape.type, ("epcList", "quantityList"))
        event.update({name: found for name, found in zip(names, (objects, quantities), strict=True) if found})

    def _add_outputs(self, event: dict[str, Any]) -> None:
        """New lots of what was made."""
        made: list[dict[str, Any]] = []
        seen: set[str] = set()
        for index, one in enumerate(self._entry.outputs):
            if not one.is_used():
                continue
            item = f"01/{one.product}/10/{one.lot}"
            seen.add(item)
            if self._unit_of(one.product) is None:
                self._faults.add(f"out-product-{index}", Wrong.PRODUCT)
            elif _LOT.fullmatch(one.lot) is None:
                self._faults.add(f"out-lot-{index}", Wrong.LOT)
            elif len(seen) <= len(made):
                self._faults.add(f"out-lot-{index}", Wrong.TWICE)
            else:
                made.append(self._lot(item, Line(item, one.quantity), index, "out-quantity"))
        if not seen:
            self._faults.add("out-quantity-0", Wrong.NO_OUTPUTS)
        event["outputQuantityList"] = made

    def _harvested(self) -> tuple[Line, ...]:
        """The new lot with its quantity."""
        entry = self._entry
        if self._unit_of(entry.product) is None:
            self._faults.add("product", Wrong.PRODUCT)
            return (Line(""),)
        if _LOT.fullmatch(entry.lot) is None:
            self._faults.add("lot", Wrong.LOT)
            return (Line(""),)
        quantity = entry.lines[0].quantity if entry.lines else ""
        return (Line(f"01/{entry.product}/10/{entry.lot}", quantity or "0"),)

    def _lot(self, item: str, line: Line, index: int, name: str = "quantity") -> dict[str, Any]:
        """A lot's element, with its quantity in the product's unit."""
        unit = self._unit_of(gtin_of(item))
        if unit is None:
            self._faults.add(f"item-{index}", Wrong.PRODUCT)
            return {}
        micro = micro_of(line.quantity)
        if not micro:
            self._faults.add(f"{name}-{index}", Wrong.QUANTITY)
        amount = Decimal(micro) / MICRO
        number = int(amount) if amount == amount.to_integral_value() else float(amount)
        return {"epcClass": STEM + item, "quantity": number, "uom": _UOM[unit]}

    def _container(self) -> str:
        item = item_of(self._entry.container)
        if kind_of(item) not in (Kind.SHIPMENT, Kind.ASSET):
            self._faults.add("container", Wrong.CONTAINER)
        return item

    # ------------------------------------------------------------ parties and sensors

    def _add_parties(self, event: dict[str, Any]) -> None:
        entry = self._entry
        partner = party_of(entry.partner)
        if not partner or partner == entry.actor:
            self._faults.add("partner", Wrong.PARTNER)
        if entry.carrier.strip() and not party_of(entry.carrier):
            self._faults.add("carrier", Wrong.CARRIER)
        elif entry.step is Step.SHIP and entry.carrier.strip():
            event["zx:carrier"] = f"{STEM}417/{party_of(entry.carrier)}"
        source, destination = (entry.actor, partner) if entry.step is Step.SHIP else (partner, entry.actor)
        event["sourceList"] = [{"type": "possessing_party", "source": f"{STEM}417/{source}"}]
        event["destinationList"] = [{"type": "possessing_party", "destination": f"{STEM}417/{destination}"}]

    def _add_temperature(self, event: dict[str, Any]) -> None:
        text = self._entry.celsius.strip().replace(",", ".").replace("−", "-")
        try:
            value = Decimal(text) if len(text) <= 8 else Decimal("NaN")
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or abs(value * 1000) > MILLICELSIUS_MAX:
            self._faults.add("celsius", Wrong.CELSIUS)
            return
        report = {"type": "Temperature", "value": float(value), "uom": "CEL"}
        time = {"time": event["eventTime"]}
        event["sensorElementList"] = [{"sensorMetadata": time, "sensorReport": [report]}]


def _text(at_ms: int) -> str:
    """A time as EPCIS writes it, in the city's zone."""
    bounded = min(max(at_ms, 0), 253_370_764_800_000)  # what a calendar has; whatever is beyond is refused before
    return datetime.fromtimestamp(bounded / 1000, UTC).astimezone(CHINA).isoformat(timespec="seconds")
