# SPDX-License-Identifier: Apache-2.0
"""What everybody may see of an event, as an EPCIS event: its projection on the chain, in the standard's words.

Pure. It has no `eventID`, for that is committed to and not shown; `zhixin:event` is its id on the chain.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from traceability.acts import Act, act_of
from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb

NAMESPACE: Final = "https://ns.zhixin.example/epcis/"
CONTEXT: Final = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"zhixin": NAMESPACE}]
"""Of answers."""
STEM: Final = "https://id.gs1.org/"

UnitOf = Callable[[str], pb.Unit.ValueType | None]

_UOM: Final = {pb.UNIT_KILOGRAM: "KGM", pb.UNIT_LITRE: "LTR"}
_TYPES: Final = {
    pb.EVENT_TYPE_OBJECT: ("ObjectEvent", "epcList", "quantityList"),
    pb.EVENT_TYPE_AGGREGATION: ("AggregationEvent", "childEPCs", "childQuantityList"),
    pb.EVENT_TYPE_TRANSACTION: ("TransactionEvent", "epcList", "quantityList"),
    pb.EVENT_TYPE_TRANSFORMATION: ("TransformationEvent", "inputEPCList", "inputQuantityList"),
    pb.EVENT_TYPE_ASSOCIATION: ("AssociationEvent", "childEPCs", "childQuantityList"),
}


def public_event(
    projection: pb.Projection, recorded_ms: int, unit_of: UnitOf, *, is_bare: bool = False
) -> dict[str, Any]:
    """An event that is somebody else's.

    Args:
        projection: As it stands in the log.
        recorded_ms: Its block's time.
        unit_of: Looks products up.
        is_bare: Without amounts, and without whom goods went to or came from: the way of goods, and no more.
    """
    kind, objects, quantities = _TYPES[projection.type]
    event: dict[str, Any] = {
        "type": kind,
        "eventTime": time_text(projection.event_time_ms, projection.offset_minutes),
        "eventTimeZoneOffset": offset_text(projection.offset_minutes),
        "recordTime": time_text(recorded_ms),
    }
    if projection.action:
        event["action"] = pb.Action.Name(projection.action).removeprefix("ACTION_")
    if projection.step:
        event["bizStep"] = pb.BusinessStep.Name(projection.step).removeprefix("BUSINESS_STEP_").lower()
    if projection.disposition:
        event["disposition"] = pb.Disposition.Name(projection.disposition).removeprefix("DISPOSITION_").lower()
    if projection.place:
        event["readPoint"] = {"id": f"{STEM}414/{projection.place}"}
    if projection.parent:
        event["parentID"] = STEM + projection.parent
    _add_goods(event, projection.lines, objects, quantities, None if is_bare else unit_of)
    _add_goods(event, projection.outputs, "outputEPCList", "outputQuantityList", None if is_bare else unit_of)
    if projection.process:
        event["transformationID"] = f"ni:///sha-256;{projection.process.hex()}"
    if not is_bare:
        _add_parties(event, projection)
    event["zhixin:actor"] = f"{STEM}417/{projection.actor}"
    if projection.carrier and not is_bare:
        event["zhixin:carrier"] = f"{STEM}417/{projection.carrier}"
    event["zhixin:event"] = projection.id.hex()
    return event


def time_text(time_ms: int, offset_minutes: int = 0) -> str:
    """A time with milliseconds and offset; `Z` for none."""
    zone = timezone(timedelta(minutes=offset_minutes)) if offset_minutes else UTC
    text = datetime.fromtimestamp(time_ms / 1000, zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def offset_text(offset_minutes: int) -> str:
    """An offset as EPCIS writes it, such as +08:00."""
    hours, minutes = divmod(abs(offset_minutes), 60)
    return f"{'-' if offset_minutes < 0 else '+'}{hours:02}:{minutes:02}"


def _add_goods(event: dict[str, Any], lines: Any, objects: str, quantities: str, unit_of: UnitOf | None) -> None:
    """Objects in one list, lots in the other, with their quantities if units are given."""
    for line in lines:
        if kind_of(line.item) is not Kind.LOT:
            event.setdefault(objects, []).append(STEM + line.item)
            continue
        element: dict[str, Any] = {"epcClass": STEM + line.item}
        if line.quantity and unit_of is not None:
            whole, rest = divmod(line.quantity, 1_000_000)
            element["quantity"] = whole if not rest else line.quantity / 1_000_000
            unit = unit_of(gtin_of(line.item))
            if unit in _UOM:
                element["uom"] = _UOM[unit]
        event.setdefault(quantities, []).append(element)


def _add_parties(event: dict[str, Any], projection: pb.Projection) -> None:
    """From whom to whom."""
    if not projection.counterparty:
        return
    is_receipt = act_of(projection) is Act.RECEIVE
    source, destination = (projection.actor, projection.counterparty)
    if is_receipt:
        source, destination = destination, source
    event["sourceList"] = [{"type": "possessing_party", "source": f"{STEM}417/{source}"}]
    event["destinationList"] = [{"type": "possessing_party", "destination": f"{STEM}417/{destination}"}]
