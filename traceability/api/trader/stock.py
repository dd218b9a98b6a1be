# SPDX-License-Identifier: Apache-2.0
"""What somebody has at hand, and what is on its way to them: candidates from the index, quantities from the ledger.

The index says which goods a participant has had to do with of late; how much there is of each now is read from state
with proof, so that nobody is offered what they do not have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, or_, select

from traceability.api.trace_index import events_table
from traceability.api.trader.standing import Reads, read_state
from traceability.goods import holding_key, load_holding, load_object, load_transit, object_key, transit_key
from traceability.items import Kind, kind_of
from traceability.pb import traceability_pb2 as pb

EVENTS_LOOKED: Final = 400
"""The newest events of a participant that are looked through: some weeks of a market's trade."""
ITEMS_MAX: Final = 200
"""Goods that a page lists."""


@dataclass(frozen=True, slots=True)
class Held:
    """Goods at hand; an object has the quantity 0."""

    item: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Coming:
    """A shipment on its way.

    Attributes:
        shipper: GLN.
        lines: Goods and how much is on its way of each.
    """

    shipper: str
    lines: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Stock:
    """What somebody has, and what comes."""

    held: tuple[Held, ...]
    coming: tuple[Coming, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Goods that a participant had to do with, the newest first.

    Attributes:
        items: Of its own events, and of shipments to it.
        sent: Item and shipper of shipments to it.
        partners: GLNs of the other sides of its events, the newest first.
    """

    items: tuple[str, ...]
    sent: tuple[tuple[str, str], ...]
    partners: tuple[str, ...]


def candidates_of(connection: Connection, gln: str) -> Candidates:
    """Goods and parties of a participant's newest events.

    Args:
        connection: Of the index.
        gln: The participant.
    """
    table = events_table.c
    wanted = (
        select(table.projection, table.unpacked)
        .where(or_(table.actor == gln, table.counterparty == gln))
        .order_by(table.number.desc())
        .limit(EVENTS_LOOKED)
    )
    items: dict[str, None] = {}
    sent: dict[tuple[str, str], None] = {}
    partners: dict[str, None] = {}
    for raw, unpacked in connection.execute(wanted):
        projection = pb.Projection.FromString(raw)
        named = [line.item for line in (*projection.lines, *projection.outputs)]
        named += [projection.parent] if projection.parent else []
        named += [line.item for line in pb.Projection.FromString(unpacked).lines]
        items.update((item, None) for item in named)
        other = projection.actor if projection.counterparty == gln else projection.counterparty
        if other:
            partners[other] = None
        if projection.counterparty == gln and projection.step == pb.BUSINESS_STEP_SHIPPING:
            sent.update(((line.item, projection.actor), None) for line in projection.lines)
    return Candidates(tuple(items)[:ITEMS_MAX], tuple(sent)[:ITEMS_MAX], tuple(partners))


async def read_stock(reads: Reads, gln: str, candidates: Candidates) -> Stock:
    """How much there is of each candidate now.

    Raises:
        TransportError: The ledger does not answer.
    """
    keys = [holding_key(item, gln) if _is_lot(item) else object_key(item) for item in candidates.items]
    keys += [transit_key(item, shipper, gln) for item, shipper in candidates.sent if _is_lot(item)]
    keys += [object_key(item) for item, _ in candidates.sent if not _is_lot(item)]
    if not keys:
        return Stock((), ())
    read = (await read_state(reads, keys)).get
    held: list[Held] = []
    for item in candidates.items:
        if _is_lot(item):
            portion = load_holding(read, item, gln)
            if portion.quantity:
                held.append(Held(item, portion.quantity))
            continue
        record = load_object(read, item)
        if record is not None and record.holder == gln and not (record.to or record.parent or record.ended):
            held.append(Held(item, 0))
    coming: dict[str, list[Held]] = {}
    for item, shipper in candidates.sent:
        if _is_lot(item):
            portion = load_transit(read, item, shipper, gln)
            if portion.quantity:
                coming.setdefault(shipper, []).append(Held(item, portion.quantity))
            continue
        record = load_object(read, item)
        if record is not None and record.holder == shipper and record.to == gln and not record.ended:
            coming.setdefault(shipper, []).append(Held(item, 0))
    return Stock(tuple(held), tuple(Coming(shipper, tuple(lines)) for shipper, lines in coming.items()))


def glns_of(stock: Stock, partners: Sequence[str]) -> Iterable[str]:
    """Parties that a page about a stock names."""
    return (*(one.shipper for one in stock.coming), *partners)


def _is_lot(item: str) -> bool:
    return kind_of(item) is Kind.LOT
