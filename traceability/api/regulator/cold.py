# SPDX-License-Identifier: Apache-2.0
"""Journeys that were too warm or too cold for too long: readings of captured events against their products' limits.

Temperatures are private fields of events, so only those that this service captured are looked at, and of them the
newest. Where the load is not in a lot of a product with limits, there is nothing to compare with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from traceability.api.context import TraceContext
from traceability.api.kept import find_owner, load_events
from traceability.api.trace_index import events_table
from traceability.api.trace_records import Records
from traceability.cold_chain import Excursion, Reading, excursions, readings_of
from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb

EVENTS_LOOKED: Final = 1_000
"""The newest events that may carry temperatures; a day or two of a city's trucks."""
STEPS: Final = (pb.BUSINESS_STEP_TRANSPORTING, pb.BUSINESS_STEP_SENSOR_REPORTING, pb.BUSINESS_STEP_STORING)


@dataclass(frozen=True, slots=True)
class Alert:
    """A stretch that lasted longer than the product bears.

    Attributes:
        item: What was carried.
        actor: GLN of who reported it.
        limits: Of the product.
    """

    item: str
    actor: str
    limits: pb.TemperatureLimits
    excursion: Excursion


def alerts(context: TraceContext) -> Sequence[Alert]:
    """Alerts of the newest journeys, the newest first; blocks."""
    table = events_table.c
    wanted = select(table.projection).where(table.step.in_(STEPS)).order_by(table.number.desc()).limit(EVENTS_LOOKED)
    with context.reading() as connection:
        projections = [pb.Projection.FromString(raw) for raw in connection.scalars(wanted)]
        records = Records(connection)
        products = {
            gtin_of(line.item): records.product(gtin_of(line.item))
            for one in projections
            for line in one.lines
            if kind_of(line.item) in (Kind.LOT, Kind.SERIAL)
        }
    limits = {
        gtin: product.temperature for gtin, product in products.items() if product and product.HasField("temperature")
    }
    readings = _readings(context, projections)
    found: list[Alert] = []
    for (item, actor), own in readings.items():
        bounds = limits.get(gtin_of(item)) if kind_of(item) in (Kind.LOT, Kind.SERIAL) else None
        if bounds is not None:
            found += [Alert(item, actor, bounds, one) for one in excursions(own, bounds) if one.is_alert]
    return sorted(found, key=lambda one: -one.excursion.from_ms)


def _readings(context: TraceContext, projections: Sequence[pb.Projection]) -> dict[tuple[str, str], list[Reading]]:
    """Temperatures by goods and by who reported them: one journey is told in several events."""
    by_actor: dict[str, list[pb.Projection]] = {}
    for one in projections:
        by_actor.setdefault(one.actor, []).append(one)
    found: dict[tuple[str, str], list[Reading]] = {}
    with context.store.read() as session:
        for actor, own in by_actor.items():
            owner = find_owner(context.store, session, actor)
            if owner is None:
                continue
            kept = load_events(session, owner, [one.id for one in own])
            for one in own:
                whole = kept.get(one.id)
                if whole is None:
                    continue
                read = readings_of(whole.event, context=whole.context)
                for line in one.lines:
                    found.setdefault((line.item, actor), []).extend(read)
    return found
