# SPDX-License-Identifier: Apache-2.0
"""The electronic sortable spreadsheet that FSMA 204 asks for within 24 hours, made from events.

One row for each traceability lot of each critical tracking event, in the rule's own English words. What the ledger
does not have is left empty and said in `NOT_RECORDED`: farmers' names, telephones and fields stay with them by design.
Source: 21 CFR 1.1325 to 1.1350 and 1.1455(c).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from traceability.acts import Act
from traceability.documents.names import Names, code_of, decimal, stamp
from traceability.documents.sheet import Sheet
from traceability.items import Kind, kind_of
from traceability.trace_store import TraceEvent

COLUMNS: Final = (
    "Critical tracking event",
    "21 CFR",
    "Traceability lot code",
    "Traceability lot code (GS1)",
    "Product description",
    "Quantity",
    "Unit of measure",
    "Date and time",
    "Location description",
    "Location GLN",
    "Immediate previous source",
    "Immediate previous source GLN",
    "Immediate subsequent recipient",
    "Immediate subsequent recipient GLN",
    "Traceability lot code source",
    "Traceability lot code source GLN",
    "Input traceability lot codes",
    "Reference document type",
    "Reference document number",
    "Declared in error",
)
"""Titles in the rule's words. One event of the ledger is the reference document of each row."""

NOT_RECORDED: Final = (
    "Harvester's and field's names and telephone numbers (1.1325, 1.1330): with the farm, off the ledger",
    "Cooling (1.1325): not a step of its own here",
    "First land-based receiving (1.1335): fishing vessels take no part",
)
"""What the rule knows and these rows do not have."""

_EVENTS: Final[Mapping[Act, tuple[str, str]]] = {
    Act.DECLARE: ("Harvesting", "1.1325"),
    Act.PACK: ("Initial packing", "1.1330"),
    Act.SHIP: ("Shipping", "1.1340"),
    Act.RECEIVE: ("Receiving", "1.1345"),
    Act.TRANSFORM: ("Transformation", "1.1350"),
}


def fsma_sheet(events: Iterable[TraceEvent], names: Names) -> Sheet:
    """The rows of some events, in the order of recording.

    Args:
        events: As a trace finds them; steps that are no critical tracking events are passed over, and so are
            containers: goods move in them, and stand in the row of their packing.
        names: Of parties, places and goods; in English.
    """
    kept = sorted(events, key=lambda event: event.number)
    sources = {
        item: event.actor
        for event in reversed(kept)
        if not event.in_error
        for item, _ in (event.lines if event.act is Act.DECLARE else event.outputs)
    }
    packed: set[str] = set()
    rows: list[tuple[str, ...]] = []
    for event in kept:
        if event.act not in _EVENTS:
            continue
        for item, quantity in _lots(event, packed, sources):
            rows.append(_row(event, item, quantity, names, sources.get(item, "")))
    return Sheet(COLUMNS, tuple(rows))


def _lots(event: TraceEvent, packed: set[str], sources: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """The traceability lots of an event; of packings only the first, by whoever made the lot."""
    for item, quantity in event.outputs if event.act is Act.TRANSFORM else event.lines:
        if kind_of(item) not in (Kind.LOT, Kind.SERIAL):
            continue
        if event.act is Act.PACK:
            if item in packed or sources.get(item) != event.actor:
                continue
            packed.add(item)
        yield item, quantity


def _row(event: TraceEvent, item: str, quantity: int, names: Names, source: str) -> tuple[str, ...]:
    title, section = _EVENTS[event.act]
    place = event.place or event.actor
    before = event.counterparty if event.act is Act.RECEIVE else ""
    after = event.counterparty if event.act is Act.SHIP else ""
    inputs = event.lines if event.act is Act.TRANSFORM else ()
    return (
        title,
        section,
        code_of(item),
        item,
        names.product(item),
        decimal(quantity) if quantity else "1",
        names.unit(item),
        stamp(event.time_ms),
        names.place(event.place) if event.place else names.participant(event.actor),
        place,
        names.participant(before) if before else "",
        before,
        names.participant(after) if after else "",
        after,
        names.participant(source) if source else "",
        source,
        "; ".join(sorted(code_of(one) for one, _ in inputs)),
        "Ledger event",
        event.id.hex(),
        "yes" if event.in_error else "",
    )
