# SPDX-License-Identifier: Apache-2.0
"""Events on the chain: their public projection is checked, executed, and its hash kept; errors are declared beside.

The projection itself stands in the log, with a salted commitment to the whole event and a root over salted commitments
to its private fields. State keeps the hash under `traceability/event/<id>`, so that a phone can check what it is shown.
Each operation writes that key and what the act writes, at most 4 keys for each of at most 256 lines.
"""

from collections.abc import Callable, Mapping
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import HASH_BYTES, sha256
from traceability.acts import Act, act_of
from traceability.containers import pack, unpack
from traceability.custody import cancel, observe, receive, ship
from traceability.items import Kind, check_item
from traceability.making import declare, remove, sell, transform
from traceability.participants import Participant, acting_participant, regulator_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import check_place

LINES_MAX: Final = 256
"""Lines of one event, inputs and outputs together: some 15 KiB, and up to a thousand writes."""
QUANTITY_MAX: Final = 10**12
"""A million units in one line; larger ones are several lines, in several events."""
CLOCK_AHEAD_MS_MAX: Final = 300_000
"""How far an author's clock may be ahead of the block's time."""
OFFSET_MINUTES_MAX: Final = 840
CORRECTIONS_MAX: Final = 8
"""Events that correct one; more of them correct each other."""

_STEPS = frozenset(pb.BusinessStep.values())
_DISPOSITIONS = frozenset(pb.Disposition.values())
_REASONS = frozenset(pb.ErrorReason.values()) - {pb.ERROR_REASON_UNSPECIFIED}

_Execute = Callable[[Context, pb.Projection, Participant], None]
_EXECUTE: Final[Mapping[Act, _Execute]] = {
    Act.DECLARE: declare,
    Act.TRANSFORM: transform,
    Act.PACK: pack,
    Act.UNPACK: unpack,
    Act.SHIP: ship,
    Act.CANCEL: cancel,
    Act.SELL: sell,
    Act.REMOVE: remove,
    Act.OBSERVE: observe,
}
_WITHOUT_LINES = (Act.UNPACK, Act.OBSERVE, Act.TRANSFORM)
_BETWEEN_PARTIES = (Act.SHIP, Act.CANCEL, Act.RECEIVE)


def event_key(event: bytes) -> bytes:
    """State key of an event."""
    return b"traceability/event/" + event.hex().encode()


def load_event(read: ReadState, event: bytes) -> pb.EventRecord | None:
    """What state keeps of an event, or None."""
    raw = read(event_key(event))
    return None if raw is None else pb.EventRecord.FromString(raw)


def projection_hash(projection: pb.Projection) -> bytes:
    """What state keeps of a projection; 32 bytes."""
    return sha256(encode(projection))


def record_event(context: Context, message: pb.RecordEvent) -> None:
    """Check an event's projection, and do what it says. One write, and those of its act.

    Raises:
        Refused: A field is not as it must be, its actor does not sign, or the goods do not allow it.
    """
    projection = message.projection
    if len(message.event_commitment) != HASH_BYTES or len(message.fields_root) not in (0, HASH_BYTES):
        raise Refused(f"a commitment has {HASH_BYTES} bytes", "traceability.invalid-commitment")
    if len(projection.id) != HASH_BYTES:
        raise Refused(f"an event's id has {HASH_BYTES} bytes", "traceability.invalid-event-id")
    if context.read(event_key(projection.id)) is not None:
        raise Refused("this event is recorded already", "traceability.event-known")
    act = act_of(projection)
    _check_fields(context, projection, act)
    _check_lines(projection, act)
    actor = acting_participant(context, projection.actor)
    discrepancies = []
    if act is Act.RECEIVE:
        discrepancies = receive(context, projection, actor)
    elif act is not Act.NOTE:
        _EXECUTE[act](context, projection, actor)
    record = pb.EventRecord(
        projection=projection_hash(projection),
        actor=projection.actor,
        recorded_ms=context.block.time_ms,
        discrepancies=discrepancies,
    )
    context.write(event_key(projection.id), encode(record))


def declare_error(context: Context, message: pb.DeclareError) -> None:
    """Declare an event in error, once; it stays. One write.

    Raises:
        Refused: Neither its actor nor a regulator signs, it is unknown, or declared in error before.
    """
    record = load_event(context.read, message.event)
    if record is None:
        raise Refused("there is no event of this id", "traceability.unknown-event")
    try:
        acting_participant(context, record.actor)
    except Refused:
        regulator_of(context)
    if message.reason not in _REASONS:
        raise Refused("the reason is not known", "traceability.unknown-reason")
    if len(message.corrected_by) > CORRECTIONS_MAX or any(len(one) != HASH_BYTES for one in message.corrected_by):
        raise Refused(f"at most {CORRECTIONS_MAX} events correct one", "traceability.invalid-event-id")
    if record.declared_ms:
        raise Refused("the event is declared in error already", "traceability.event-declared")
    record.declared_ms, record.reason = context.block.time_ms, message.reason
    record.corrected_by.extend(message.corrected_by)
    context.write(event_key(message.event), encode(record))


def _check_fields(context: Context, projection: pb.Projection, act: Act) -> None:
    """Check what stands beside the goods.

    Raises:
        Refused: A word, time or place is not as it must be, or a field stands where it means nothing.
    """
    if projection.step not in _STEPS or projection.disposition not in _DISPOSITIONS:
        raise Refused("the business step or disposition is not known", "traceability.unknown-word")
    if not 0 < projection.event_time_ms <= context.block.time_ms + CLOCK_AHEAD_MS_MAX:
        raise Refused("the event's time is in the future, or none", "traceability.event-time")
    if not -OFFSET_MINUTES_MAX <= projection.offset_minutes <= OFFSET_MINUTES_MAX:
        raise Refused("the time zone is within 14 hours", "traceability.event-time")
    if projection.place:
        check_place(context.read, projection.place)
    is_container = projection.type == pb.EVENT_TYPE_AGGREGATION
    misplaced = (
        (bool(projection.counterparty) is not (act in _BETWEEN_PARTIES))
        or (projection.carrier and act is not Act.SHIP)
        or (bool(projection.parent) is not is_container)
        or ((projection.outputs or projection.process) and act is not Act.TRANSFORM)
        or (projection.complete and act is not Act.RECEIVE)
        or len(projection.process) not in (0, HASH_BYTES)
    )
    if misplaced:
        raise Refused("a field is missing, or stands where it means nothing", "traceability.misplaced-field")


def _check_lines(projection: pb.Projection, act: Act) -> None:
    """Check the goods' names and quantities.

    Raises:
        Refused: None, too many, one twice, a quantity for an object or none for a lot.
    """
    count = len(projection.lines) + len(projection.outputs)
    if count > LINES_MAX:
        raise Refused(f"an event has at most {LINES_MAX} lines", "traceability.too-many-lines")
    if act is Act.NOTE and count:
        raise Refused("this event says nothing of goods", "traceability.misplaced-field")
    if not projection.lines and act is not Act.NOTE and act not in _WITHOUT_LINES:
        raise Refused("the event names no goods", "traceability.empty-event")
    for lines in (projection.lines, projection.outputs):
        seen = set()
        for line in lines:
            if line.item in seen:
                raise Refused(f"{line.item} stands twice", "traceability.repeated-item")
            seen.add(line.item)
            is_lot = check_item(line.item) is Kind.LOT
            if is_lot and act is Act.OBSERVE and not line.quantity:
                continue
            if not (1 <= line.quantity <= QUANTITY_MAX if is_lot else line.quantity == 0):
                raise Refused("a lot has a quantity, an object has none", "traceability.invalid-quantity")
