# SPDX-License-Identifier: Apache-2.0
"""Which events tell an item's way to a shopper: where it came from, and what happened to it since.

Pure, over any store of events. Of what an item was made of, only the part that went into it counts; of a lot, where
its other parts were sold does not. What is left out is still counted: the ids of all events of each item go along, so
that a phone can hold them to the item's history on the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from traceability.acts import Act
from traceability.graph import END, trace_back
from traceability.items import Kind, kind_of
from traceability.trace_store import Store, TraceEvent

EVENTS_MAX: Final = 120
"""Events of one page: four times what a usual journey has, and some 0.4 s of a slow phone to check."""
RIDES_MAX: Final = 1_000
"""Events of containers that are looked at for one item; a page shows a fraction of them."""
ITEMS_MAX: Final = 60
"""Goods and containers whose records one page proves: with recalls four keys each, within one question to a node."""
IDS_MAX: Final = 2_048
"""Ids of events that a page does not show, over all its items: 64 KiB. An item with more is said not to be complete."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What a page about an item tells.

    Attributes:
        item: The item.
        events: In the order of recording.
        goods: The item, and all that it was made of, for as far as the page goes; sorted.
        containers: What they were packed in on the way; sorted.
        ids: Of each of these, the ids of all events that name it, in the order of recording; an item is missing where
            they are too many.
        is_complete: False: the way is longer than a page tells.
    """

    item: str
    events: tuple[TraceEvent, ...]
    goods: tuple[str, ...]
    containers: tuple[str, ...]
    ids: Mapping[str, tuple[bytes, ...]]
    is_complete: bool

    @property
    def items(self) -> tuple[str, ...]:
        """Goods and containers."""
        return tuple(sorted({*self.goods, *self.containers}))


def journey_of(store: Store, item: str) -> Journey | None:
    """An item's way, or None where no event names it.

    Args:
        store: Of events; asked some times more than the item has generations.
        item: A lot, a serial or a container.
    """
    own = store.touching([item]).get(item, ())
    if not own:
        return None
    back = trace_back(store, item, holder=own[0].actor)
    rides, riding, is_whole = _rides(store, item)
    goods, containers = {item, *back.goods}, {*back.containers, *riding}
    found = {event.id: event for event in (*back.events, *_own(own, item), *rides)}
    is_whole &= back.is_complete
    events = sorted(found.values(), key=_number_of)
    goods, containers = {one for one in goods if kind_of(one)}, {one for one in containers if kind_of(one)} - goods
    kept = sorted(goods, key=lambda one: (one != item, one))[:ITEMS_MAX]
    carried = sorted(containers)[: ITEMS_MAX - len(kept)]
    is_whole &= len(events) <= EVENTS_MAX and len(kept) + len(carried) == len(goods) + len(containers)
    shown = tuple(_cut(events))
    ids = _ids(store, [item, *kept, *carried])
    return Journey(item, shown, tuple(sorted(kept)), tuple(carried), ids, is_whole)


def _own(own: Sequence[TraceEvent], item: str) -> list[TraceEvent]:
    """What happened to the item itself; of a lot not where its other parts were sold or used up."""
    if kind_of(item) is Kind.LOT:
        return [event for event in own if event.act not in (Act.SELL, Act.REMOVE) and not _uses_up(event, item)]
    return list(own)


def _rides(store: Store, item: str) -> tuple[list[TraceEvent], set[str], bool]:
    """What befell the containers that something was in while it was in them; those; and whether that is all."""
    found: dict[bytes, TraceEvent] = {}
    containers: set[str] = set()
    pending = [(item, 0, END)]
    while pending and len(found) <= RIDES_MAX:
        touching = store.touching(list(dict.fromkeys(one for one, _, _ in pending)))
        packed = [
            (event.parent, event.number, _out_of(touching[one], one, event), one)
            for one, first, last in pending
            for event in touching.get(one, ())
            if event.act is Act.PACK and event.parent != one and first <= event.number <= last
        ]
        inside = store.touching(list(dict.fromkeys(parent for parent, _, _, _ in packed)))
        for parent, first, last, cargo in packed:
            containers.add(parent)
            for event in inside.get(parent, ()):
                if first <= event.number <= last and _shares(event, parent, cargo):
                    found[event.id] = event
        pending = list(dict.fromkeys((parent, first, last) for parent, first, last, _ in packed if parent != item))
    return list(found.values()), containers, not pending


def _out_of(events: Sequence[TraceEvent], item: str, packing: TraceEvent) -> int:
    """The number of the event after which nothing of an item is in a container any more."""
    out = [event.number for event in events if event.act is Act.UNPACK and event.parent == packing.parent != item]
    return max((number for number in out if number > packing.number), default=END)


def _shares(event: TraceEvent, container: str, cargo: str) -> bool:
    """Whether a container's event concerns one thing in it: what is put in or taken out beside it does not."""
    if event.parent == container and event.act in (Act.PACK, Act.UNPACK):
        return any(one == cargo for one, _ in event.lines)
    return True


def _uses_up(event: TraceEvent, item: str) -> bool:
    return event.act is Act.TRANSFORM and all(item != one for one, _ in event.outputs)


def _cut(events: list[TraceEvent]) -> list[TraceEvent]:
    """As many as a page tells: the beginning says where goods came from, the end where they are."""
    if len(events) <= EVENTS_MAX:
        return events
    half = EVENTS_MAX // 2
    return [*events[:half], *events[-half:]]


def _ids(store: Store, items: list[str]) -> dict[str, tuple[bytes, ...]]:
    """Ids of all events of each item, the scanned one's first, for as many as there is room."""
    touching = store.touching(list(dict.fromkeys(items)))
    room = IDS_MAX
    found: dict[str, tuple[bytes, ...]] = {}
    for item in dict.fromkeys(items):
        events = touching.get(item, ())
        if len(events) <= room:
            found[item] = tuple(event.id for event in events)
            room -= len(events)
    return found


def _number_of(event: TraceEvent) -> int:
    return event.number
