# SPDX-License-Identifier: Apache-2.0
"""From a valid EPCIS 2.0 event to what is recorded of it on the chain: its public projection and its commitments.

Pure; the secret is an argument. What the chain shows are goods, quantities, parties, step, time and place; everything
else of the event stays with the service, under `traceability.openings`. The event must be valid
(`traceability.epcis.validate`); what is valid and yet cannot be recorded is refused here with the field and the reason.
Source: EPCIS 2.0, section 7.4; CBV 2.0, sections 7 and 8; UN/ECE Recommendation 20.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from chain.codec import encode
from chain.errors import LedgerError, Refused
from chain.transaction import Operation
from chain.types import sha256
from traceability import epcis_vocabulary as cbv
from traceability.acts import Act, act_of
from traceability.epc import canonical_identifier
from traceability.epcis_context import Context
from traceability.epcis_hash import event_hash, timestamp
from traceability.epcis_json import pointer
from traceability.events import LINES_MAX, QUANTITY_MAX
from traceability.items import Kind, gtin_of, is_gln, kind_of
from traceability.openings import event_bytes, event_commitment, fields_root, id_commitment
from traceability.pb import traceability_pb2 as pb

RECORD_EVENT: Final = "traceability.RecordEvent"
DECLARE_ERROR: Final = "traceability.DeclareError"

UNITS: Final[Mapping[str, tuple[pb.Unit.ValueType, Decimal]]] = {
    "KGM": (pb.UNIT_KILOGRAM, Decimal(1)),
    "GRM": (pb.UNIT_KILOGRAM, Decimal("0.001")),
    "TNE": (pb.UNIT_KILOGRAM, Decimal(1000)),
    "LTR": (pb.UNIT_LITRE, Decimal(1)),
    "MLT": (pb.UNIT_LITRE, Decimal("0.001")),
    "H87": (pb.UNIT_PIECE, Decimal(1)),
    "EA": (pb.UNIT_PIECE, Decimal(1)),
    "C62": (pb.UNIT_PIECE, Decimal(1)),
}
"""Units of measure of events, with how many of the ledger's units one is. Without one, EPCIS counts pieces."""

_STEM = "https://id.gs1.org/"
_TYPES: Final = {
    "ObjectEvent": pb.EVENT_TYPE_OBJECT,
    "AggregationEvent": pb.EVENT_TYPE_AGGREGATION,
    "TransactionEvent": pb.EVENT_TYPE_TRANSACTION,
    "TransformationEvent": pb.EVENT_TYPE_TRANSFORMATION,
    "AssociationEvent": pb.EVENT_TYPE_ASSOCIATION,
}
_REASONS: Final = {
    "did_not_occur": pb.ERROR_REASON_DID_NOT_OCCUR,
    "incorrect_data": pb.ERROR_REASON_INCORRECT_DATA,
}
_FINAL_RECEIPTS: Final = ("mismatch_quantity", "mismatch_class", "mismatch_instance")
"""Dispositions of a receipt that say that what is missing does not come any more."""

UnitOf = Callable[[str], pb.Unit.ValueType | None]
"""The unit of a recorded product by its GTIN; None: it is not recorded."""
IdOf = Callable[[str], bytes | None]
"""The id on the chain of an event that was captured before, by its EPCIS id; None: it was not."""


class Unrecordable(LedgerError):
    """A valid event that the ledger cannot record.

    Attributes:
        pointer: Of the field, in the event.
    """

    default_code = "traceability.unrecordable"

    def __init__(self, at: str, reason: str) -> None:
        super().__init__(f"{at}: {reason}" if at else reason)
        self.pointer = at


@dataclass(frozen=True, slots=True)
class Projected:
    """What becomes of one event.

    Attributes:
        event_id: The EPCIS id: the event's own, or its hash where it has none.
        id: The id on the chain; 32 bytes.
        data: What the commitment to the whole event covers; the service keeps it with the secret.
        message: What is recorded; None where the event declares an earlier one in error.
        operations: To sign and submit, in this order.
    """

    event_id: str
    id: bytes
    data: bytes
    message: pb.RecordEvent | None
    operations: list[Operation]


def operations_of(
    event: Mapping[str, Any],
    *,
    context: object,
    actor: str,
    secret: bytes,
    unit_of: UnitOf,
    id_of: IdOf | None = None,
    carrier: str = "",
) -> list[Operation]:
    """The operations that record one event; see `project`."""
    projected = project(
        event, context=context, actor=actor, secret=secret, unit_of=unit_of, id_of=id_of, carrier=carrier
    )
    return projected.operations


def project(
    event: Mapping[str, Any],
    *,
    context: object,
    actor: str,
    secret: bytes,
    unit_of: UnitOf,
    id_of: IdOf | None = None,
    carrier: str = "",
) -> Projected:
    """Everything that capturing one event takes.

    Args:
        event: One valid event, as parsed.
        context: The document's `@context`; None where the event has its own.
        actor: GLN of the participant whose event it is, as it signed in.
        secret: 32 random bytes for this event alone. Keep it: it opens the commitments, and recording the event again
            with it is refused as known.
        unit_of: Looks products up.
        id_of: Looks earlier events up; needed for error declarations.
        carrier: GLN of who carries a shipment, if another participant does.

    Raises:
        Unrecordable: Goods without lot or serial, of an unknown product or in another unit, parties missing or
            contradicting the actor, or an error declared for an event that was never captured.
    """
    event_id = event_id_of(event, context)
    data = event_bytes(event, context)
    if "errorDeclaration" in event:
        operation = _declaration(event, event_id, _scope(event, context), id_of)
        return Projected(event_id, operation.event, data, None, [_operation(DECLARE_ERROR, operation)])
    projection = public_part(event, context=context, actor=actor, unit_of=unit_of, carrier=carrier)
    projection.id = id_commitment(event_id, secret)
    message = pb.RecordEvent(
        projection=projection,
        event_commitment=event_commitment(data, secret),
        fields_root=fields_root(event, secret),
    )
    return Projected(event_id, projection.id, data, message, [_operation(RECORD_EVENT, message)])


def event_id_of(event: Mapping[str, Any], context: object) -> str:
    """The EPCIS id of an event: its own, or its hash where it has none.

    Args:
        event: As for `project`.
        context: Likewise.
    """
    event_id = event.get("eventID")
    if isinstance(event_id, str):
        return event_id
    return event_hash(event, {"@context": context} if context is not None else None)


def public_part(
    event: Mapping[str, Any], *, context: object, actor: str, unit_of: UnitOf, carrier: str = ""
) -> pb.Projection:
    """The projection alone, without its id: what everybody will see, to show to an author before anything is signed.

    Args:
        event: As for `project`, and no error declaration.
        context: Likewise.
        actor: Likewise.
        unit_of: Likewise.
        carrier: Likewise.

    Raises:
        Unrecordable: As there.
    """
    return _Projector(event, _scope(event, context), actor, unit_of, carrier).projection()


def _scope(event: Mapping[str, Any], context: object) -> Context:
    """The context in force in an event."""
    return Context().extended([] if context is None else context).extended(event.get("@context", []))


def _operation(name: str, message: pb.RecordEvent | pb.DeclareError) -> Operation:
    return Operation.make(name, encode(message))


def _declaration(event: Mapping[str, Any], event_id: str, scope: Context, id_of: IdOf | None) -> pb.DeclareError:
    """An error declaration repeats an event, and names what corrects it."""
    found = None if id_of is None else id_of(event_id)
    if found is None:
        raise Unrecordable("/eventID", f"{event_id} was not captured, so it cannot be declared in error")
    declaration = event["errorDeclaration"]
    corrections = declaration.get("correctiveEventIDs", [])
    ids = [None if id_of is None else id_of(one) for one in corrections]
    for index, one in enumerate(ids):
        if one is None:
            at = pointer("/errorDeclaration/correctiveEventIDs", index)
            raise Unrecordable(at, f"{corrections[index]} was not captured; capture what corrects first")
    reason = word_of(declaration.get("reason"), cbv.ERROR_REASON, scope)
    return pb.DeclareError(
        event=found,
        reason=_REASONS.get(reason, pb.ERROR_REASON_INCORRECT_DATA),
        corrected_by=[one for one in ids if one is not None],
    )


class _Projector:
    """Reads one event's public part."""

    def __init__(self, event: Mapping[str, Any], scope: Context, actor: str, unit_of: UnitOf, carrier: str) -> None:
        self._event = event
        self._scope = scope
        self._actor = actor
        self._unit_of = unit_of
        self._carrier = carrier

    def projection(self) -> pb.Projection:
        """The projection but for its id."""
        event = self._event
        kind = _TYPES.get(event["type"])
        if kind is None:
            raise Unrecordable("/type", "only events of the five types of EPCIS are recorded")
        out = pb.Projection(
            actor=self._actor,
            type=kind,
            action=pb.Action.Value(f"ACTION_{event['action']}") if "action" in event else pb.ACTION_UNSPECIFIED,
            event_time_ms=_milliseconds(event["eventTime"]),
            offset_minutes=_minutes(event["eventTimeZoneOffset"]),
            place=self._place(),
        )
        step = word_of(event.get("bizStep"), cbv.BIZ_STEP, self._scope)
        disposition = word_of(event.get("disposition"), cbv.DISPOSITION, self._scope)
        if step:
            out.step = pb.BusinessStep.Value(f"BUSINESS_STEP_{step.upper()}")
        if disposition:
            out.disposition = pb.Disposition.Value(f"DISPOSITION_{disposition.upper()}")
        if kind != pb.EVENT_TYPE_ASSOCIATION:
            self._add_goods(out)
        try:
            act = act_of(out)
        except Refused as refusal:
            raise Unrecordable("/action", refusal.reason) from None
        if act in (Act.SHIP, Act.CANCEL, Act.RECEIVE):
            self._add_parties(out, act)
        if act is Act.SHIP:
            out.carrier = self._carrier
        if act is Act.RECEIVE:
            out.complete = disposition in _FINAL_RECEIPTS
        return out

    # ------------------------------------------------------------ goods

    def _add_goods(self, out: pb.Projection) -> None:
        """Lines, outputs, parent and the name of a transformation in parts."""
        event, kind = self._event, out.type
        if kind == pb.EVENT_TYPE_TRANSFORMATION:
            out.lines.extend(self._lines("inputEPCList", "inputQuantityList"))
            out.outputs.extend(self._lines("outputEPCList", "outputQuantityList"))
            if "transformationID" in event:
                out.process = sha256(self._scope.expand(event["transformationID"]).encode())
        elif kind == pb.EVENT_TYPE_AGGREGATION:
            out.lines.extend(self._lines("childEPCs", "childQuantityList"))
            if "parentID" not in event:
                raise Unrecordable("/parentID", "is needed: without it nothing says which container is meant")
            out.parent = self._item(event["parentID"], "/parentID")
        else:
            out.lines.extend(self._lines("epcList", "quantityList"))
            if kind == pb.EVENT_TYPE_TRANSACTION and "parentID" in event:
                out.lines.append(pb.Line(item=self._item(event["parentID"], "/parentID")))
        if len(out.lines) + len(out.outputs) > LINES_MAX:
            raise Unrecordable("", f"an event has at most {LINES_MAX} lines of goods; divide it")

    def _lines(self, objects: str, quantities: str) -> list[pb.Line]:
        """One line for each object and each lot, lots that stand twice joined."""
        event = self._event
        lines = [
            pb.Line(item=self._object(text, pointer(f"/{objects}", index)))
            for index, text in enumerate(event.get(objects, []))
        ]
        lots: dict[str, int] = {}
        for index, element in enumerate(event.get(quantities, [])):
            at = pointer(f"/{quantities}", index)
            item = self._item(element["epcClass"], pointer(at, "epcClass"))
            if kind_of(item) is not Kind.LOT:
                raise Unrecordable(pointer(at, "epcClass"), "only lots have quantities")
            lots[item] = lots.get(item, 0) + self._quantity(element, item, at)
        return lines + [pb.Line(item=item, quantity=quantity) for item, quantity in lots.items()]

    def _object(self, text: str, at: str) -> str:
        item = self._item(text, at)
        if kind_of(item) is Kind.LOT:
            raise Unrecordable(at, "a lot stands in a list of quantities")
        return item

    def _item(self, text: str, at: str) -> str:
        """The name of goods on the chain."""
        link = canonical_identifier(self._scope.expand(text))
        item = link.removeprefix(_STEM) if link is not None else ""
        if kind_of(item) is None:
            raise Unrecordable(
                at, f"{text!r:.80} is no lot (01, 10), serial (01, 21), SSCC, GRAI or GIAI with a right check digit"
            )
        return item

    def _quantity(self, element: Mapping[str, Any], item: str, at: str) -> int:
        """A quantity in millionths of the product's unit."""
        unit = self._unit_of(gtin_of(item))
        if unit is None:
            raise Unrecordable(pointer(at, "epcClass"), f"the product {gtin_of(item)} is not recorded")
        if "quantity" not in element:
            raise Unrecordable(pointer(at, "quantity"), "is needed: mass balance counts quantities")
        measure = UNITS.get(element.get("uom", "H87"))
        if measure is None or measure[0] != unit:
            known = ", ".join(uom for uom, (one, _) in UNITS.items() if one == unit)
            raise Unrecordable(pointer(at, "uom"), f"must be one of {known}, as the product is recorded")
        micro = Decimal(str(element["quantity"])) * measure[1] * 1_000_000
        if micro != micro.to_integral_value() or not 1 <= micro <= QUANTITY_MAX:
            raise Unrecordable(pointer(at, "quantity"), "must be from 0.000001 to 1000000 units, in whole millionths")
        return int(micro)

    # ------------------------------------------------------------ parties and place

    def _add_parties(self, out: pb.Projection, act: Act) -> None:
        """The other side of a shipment or receipt; one's own, where it stands there, is the actor."""
        own, other = "sourceList", "destinationList"
        if act is Act.RECEIVE:
            own, other = other, own
        mine = self._party(own)
        if mine and mine != self._actor:
            raise Unrecordable(f"/{own}", f"names {mine}, and the event is {self._actor}'s")
        out.counterparty = self._party(other)
        if not out.counterparty:
            raise Unrecordable(f"/{other}", "must name a party by PGLN (417): possessing_party, or else owning_party")

    def _party(self, name: str) -> str:
        """Who has, or else owns, the goods at one end."""
        member = name.removesuffix("List")
        found: dict[str, str] = {}
        for element in self._event.get(name, []):
            link = canonical_identifier(self._scope.expand(element[member])) or ""
            kind = word_of(element.get("type"), cbv.SOURCE_DESTINATION_TYPE, self._scope)
            for prefix in ("417/", "414/"):
                number = link.removeprefix(_STEM + prefix)
                if is_gln(number):
                    found.setdefault(kind, number)
        return found.get("possessing_party") or found.get("owning_party") or ""

    def _place(self) -> str:
        """The GLN of the read point, or else of the business location; other addresses stay private."""
        for name in ("readPoint", "bizLocation"):
            link = canonical_identifier(self._scope.expand(self._event.get(name, {}).get("id", ""))) or ""
            number = link.removeprefix(f"{_STEM}414/").partition("/")[0]
            if is_gln(number):
                return number
        return ""


def word_of(text: object, vocabulary: cbv.Vocabulary, scope: Context) -> str:
    """The bare standard word that a text stands for; empty for none, or one of the author's own."""
    if not isinstance(text, str):
        return ""
    bare = cbv.from_urn(scope.expand(text)).removeprefix(vocabulary.web)
    return bare if bare in vocabulary.words else ""


def _milliseconds(text: str) -> int:
    """A time as milliseconds since 1970."""
    moment = datetime.fromisoformat(timestamp(text))
    return round(moment.timestamp() * 1000)


def _minutes(text: str) -> int:
    """An offset such as +08:00 in minutes."""
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes
