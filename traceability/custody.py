# SPDX-License-Identifier: Apache-2.0
"""Who has goods: shipping, taking back, receiving, and who may say that they were seen.

Only who has goods at hand ships them. They are then on their way to one receiver, and nobody's until that one receives
them. A receipt that claims more than was on its way counts for what was, and is a discrepancy; what a receipt leaves
stays on its way until more is received, the shipper takes it back, or the receiver says that no more comes.
"""

from chain.errors import Refused
from chain.module import Context
from traceability.goods import (
    existing_lot,
    held_object,
    held_portion,
    holding_key,
    load_holding,
    load_lot,
    load_object,
    load_transit,
    save_holding,
    save_lot,
    save_object,
    save_transit,
)
from traceability.items import Kind, check_item
from traceability.participants import Participant, active_participant, existing_participant
from traceability.pb import traceability_pb2 as pb
from traceability.portions import NOTHING, Portion

CARRIERS_MAX = 4
"""Carriers of one shipment, one after the other; each may observe it."""
HEIGHT_MAX = 8
"""Boxes in crates on pallets in containers are four; nobody nests deeper than twice that."""


def ship(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Send goods on their way to another participant. Three writes a lot, one more with a carrier; one an object.

    Raises:
        Refused: The actor does not have so much at hand, or the receiver or the carrier is unknown or suspended.
    """
    receiver, carrier = projection.counterparty, projection.carrier
    active_participant(context.read, receiver)
    if receiver == actor.gln:
        raise Refused("nobody ships to oneself", "traceability.same-party")
    if carrier:
        active_participant(context.read, carrier)
    for line in projection.lines:
        if check_item(line.item) is not Kind.LOT:
            record = held_object(context.read, line.item, actor.gln)
            record.to = receiver
            if carrier:
                record.carriers.append(carrier)
            save_object(context, line.item, record, projection.id)
            continue
        lot = existing_lot(context.read, line.item)
        gone, rest = held_portion(context.read, line.item, actor.gln).taken(line.quantity)
        save_holding(context, line.item, actor.gln, rest)
        before = load_transit(context.read, line.item, actor.gln, receiver)
        save_transit(context, line.item, actor.gln, receiver, before.joined(gone))
        if carrier and context.read(holding_key(line.item, carrier)) is None:
            save_holding(context, line.item, carrier, NOTHING)
        save_lot(context, line.item, lot, projection.id)


def cancel(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Take goods back that one shipped and nobody received. Three writes a lot, one an object.

    Raises:
        Refused: So much is not on its way from the actor to this receiver.
    """
    receiver = projection.counterparty
    existing_participant(context.read, receiver)
    for line in projection.lines:
        if check_item(line.item) is not Kind.LOT:
            record = load_object(context.read, line.item)
            if record is None or record.ended or record.holder != actor.gln or record.to != receiver:
                raise Refused(f"{line.item} is not on its way to {receiver}", "traceability.not-in-transit")
            record.to = ""
            del record.carriers[:]
            save_object(context, line.item, record, projection.id)
            continue
        lot = existing_lot(context.read, line.item)
        before = load_transit(context.read, line.item, actor.gln, receiver)
        if not before.most:
            raise Refused(f"nothing of {line.item} is on its way to {receiver}", "traceability.not-in-transit")
        back, rest = before.taken(line.quantity)
        save_transit(context, line.item, actor.gln, receiver, rest)
        held = load_holding(context.read, line.item, actor.gln)
        save_holding(context, line.item, actor.gln, held.joined(back))
        save_lot(context, line.item, lot, projection.id)


def receive(context: Context, projection: pb.Projection, actor: Participant) -> list[pb.Discrepancy]:
    """Take over what was on its way to the actor. Three writes a lot, one an object.

    Returns:
        Where the receipt does not match: what it claims in excess, and what it says will not come.

    Raises:
        Refused: The shipper is unknown.
    """
    existing_participant(context.read, projection.counterparty)
    found: list[pb.Discrepancy] = []
    for line in projection.lines:
        if check_item(line.item) is Kind.LOT:
            differs = _receive_lot(context, projection, line, actor)
        else:
            differs = _receive_object(context, projection, line, actor)
        if differs is not None:
            found.append(differs)
    return found


def _receive_lot(
    context: Context, projection: pb.Projection, line: pb.Line, actor: Participant
) -> pb.Discrepancy | None:
    """One lot of a receipt."""
    lot = load_lot(context.read, line.item)
    if lot is None:
        return pb.Discrepancy(item=line.item, over=line.quantity)
    shipper = projection.counterparty
    before = load_transit(context.read, line.item, shipper, actor.gln)
    credited = min(line.quantity, before.most)
    came, rest = before.taken(credited) if credited else (NOTHING, before)
    over, short = line.quantity - credited, 0
    if projection.complete:
        short, rest = rest.quantity, NOTHING
    save_transit(context, line.item, shipper, actor.gln, rest)
    held: Portion = load_holding(context.read, line.item, actor.gln)
    if came != NOTHING:
        save_holding(context, line.item, actor.gln, held.joined(came))
    lot.left += short
    save_lot(context, line.item, lot, projection.id)
    return pb.Discrepancy(item=line.item, over=over, short=short) if over or short else None


def _receive_object(
    context: Context, projection: pb.Projection, line: pb.Line, actor: Participant
) -> pb.Discrepancy | None:
    """One object of a receipt."""
    record = load_object(context.read, line.item)
    if record is None or record.ended or record.holder != projection.counterparty or record.to != actor.gln:
        return pb.Discrepancy(item=line.item, over=1)
    record.holder, record.to = actor.gln, ""
    del record.carriers[:]
    save_object(context, line.item, record, projection.id)
    return None


# ---------------------------------------------------------------- observing


def observe(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Say that goods were seen, moved, measured or tested. One write an item.

    Raises:
        Refused: An item is unknown, or the actor neither has, had nor carries it and is no laboratory.
    """
    is_laboratory = pb.ROLE_LABORATORY in actor.roles
    for item in [line.item for line in projection.lines] + ([projection.parent] if projection.parent else []):
        if check_item(item) is Kind.LOT:
            lot = existing_lot(context.read, item)
            if not is_laboratory and context.read(holding_key(item, actor.gln)) is None:
                raise _unrelated(item)
            save_lot(context, item, lot, projection.id)
            continue
        record = load_object(context.read, item)
        if record is None:
            raise Refused(f"there is no {item}", "traceability.unknown-item")
        if not is_laboratory:
            outer = _outermost(context, record)
            if actor.gln not in (outer.holder, outer.to, *outer.carriers):
                raise _unrelated(item)
        save_object(context, item, record, projection.id)


def _outermost(context: Context, record: pb.ObjectRecord) -> pb.ObjectRecord:
    """The container whose custody counts for an object."""
    for _ in range(HEIGHT_MAX):
        if not record.parent:
            break
        outer = load_object(context.read, record.parent)
        assert outer is not None, "a container of something exists"
        record = outer
    return record


def _unrelated(item: str) -> Refused:
    """Whoever has nothing to do with an item says nothing of it."""
    return Refused(f"this participant neither has nor carries {item}", "traceability.not-related")
