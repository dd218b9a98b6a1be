# SPDX-License-Identifier: Apache-2.0
"""Where goods went and where they came from, over any store of events.

Pure: a `Store` answers which events name some items, many at a time; each wave of the search is one question. Goods
flow through transformations from inputs to outputs, and move within containers exactly while they are in them: what a
pallet carried before or afterwards is not theirs, and neither is what lay beside them on it.

What counts as before and after is the order of recording, which the ledger's rules have kept goods to. The times that
events state are their authors' word, and whoever dates a sale before the harvest hides nothing by it.

An event that was declared in error is shown where it is met, and nothing flows through it.
Source: EPCIS 2.0, section 7.4; the rules that hold on the ledger are in `traceability.events`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from traceability.acts import Act
from traceability.trace_store import Store, TraceEvent, process_item

EVENTS_MAX: Final = 200_000
"""Events of one trace. A lot of a whole city's flour may reach more; then a trace says that it is incomplete."""
END: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Trace:
    """What a search found.

    Attributes:
        events: Each once, in the order of recording.
        goods: Lots and serials reached, with the number of the event from which (forward) or until which (back) they
            count.
        containers: Pallets and crates that they were in.
        is_complete: False: there were more events than a trace holds.
    """

    events: tuple[TraceEvent, ...]
    goods: Mapping[str, int]
    containers: tuple[str, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _Leg:
    """An item to look at, between two numbers; `holder`: whose part of a lot, empty: anybody's."""

    item: str
    first: int
    last: int
    holder: str = ""


@dataclass(frozen=True, slots=True)
class _Ride:
    """A container to follow while something is in it.

    Attributes:
        item: The container.
        start: Id of the event that put the cargo in (forward) or took it out (back).
        cargo: A child of the container.
        quantity: Of a lot; 0 for an object.
        holder: Back: whether the search follows one holder's part; its GLN.
    """

    item: str
    start: bytes
    cargo: str
    quantity: int
    holder: str = ""


@dataclass(slots=True)
class _Search:
    """Waves of questions to a store, each leg and ride looked at once."""

    store: Store
    pending: deque[_Leg | _Ride] = field(default_factory=deque)
    seen: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    rides: set[_Ride] = field(default_factory=set)
    known: dict[str, Sequence[TraceEvent]] = field(default_factory=dict)
    found: dict[bytes, TraceEvent] = field(default_factory=dict)
    goods: dict[str, int] = field(default_factory=dict)
    containers: dict[str, None] = field(default_factory=dict)
    is_complete: bool = True

    def look(self, leg: _Leg) -> None:
        """Look at a leg later, unless one that covers it was."""
        where = leg.item, leg.holder
        before = self.seen.get(where)
        if before is not None:
            if before[0] <= leg.first and leg.last <= before[1]:
                return
            leg = _Leg(leg.item, min(before[0], leg.first), max(before[1], leg.last), leg.holder)
        self.seen[where] = leg.first, leg.last
        self.pending.append(leg)

    def ride(self, container: str, event: TraceEvent, cargo: str, quantity: int, holder: str = "") -> None:
        """Follow a container later, unless this ride is known."""
        ride = _Ride(container, event.id, cargo, quantity, holder)
        if ride not in self.rides:
            self.rides.add(ride)
            self.containers[container] = None
            self.pending.append(ride)

    def wave(self) -> list[tuple[_Leg | _Ride, Sequence[TraceEvent]]]:
        """What is pending with its items' events; items not asked for yet are asked for together."""
        legs = list(self.pending)
        self.pending.clear()
        missing = list(dict.fromkeys(leg.item for leg in legs if leg.item not in self.known))
        if missing:
            answers = self.store.touching(missing)
            self.known.update((item, answers.get(item, ())) for item in missing)
        return [(leg, self.known[leg.item]) for leg in legs]

    def take(self, event: TraceEvent) -> bool:
        """Keep an event; whether goods flow through it."""
        if event.id not in self.found:
            if len(self.found) >= EVENTS_MAX:
                self.is_complete = False
                return False
            self.found[event.id] = event
        return not event.in_error

    def result(self) -> Trace:
        """Everything found, in the order of recording."""
        events = tuple(sorted(self.found.values(), key=_number_of))
        return Trace(events, dict(self.goods), tuple(self.containers), self.is_complete)


def _number_of(event: TraceEvent) -> int:
    return event.number


# ---------------------------------------------------------------- forward


def trace_forward(store: Store, items: Iterable[str], *, since: int = 0) -> Trace:
    """Everything that became of some goods.

    Args:
        store: Of events.
        items: Lots, serials, or containers with what is in them then or later.
        since: A number: events recorded before it do not count, for what left the lot earlier was not affected.
    """
    search = _Search(store)
    for item in items:
        search.goods[item] = since
        search.look(_Leg(item, since, END))
    while search.pending and search.is_complete:
        for leg, events in search.wave():
            if isinstance(leg, _Ride):
                _ride(search, leg, events)
            else:
                _spread(search, leg, events)
    return search.result()


def _spread(search: _Search, leg: _Leg, events: Sequence[TraceEvent]) -> None:
    """An item's own events: what was made of it, what it was packed into, and for a container what is in it."""
    for item in _contents(events, leg.item, leg.first):
        _reach(search, item, leg.first)
    for event in events:
        if not leg.first <= event.number <= leg.last:
            continue
        if event.act is Act.TRANSFORM and not _is_input(event, leg.item):
            if any(item == leg.item for item, _ in event.outputs):
                search.take(event)
            continue
        if not search.take(event):
            continue
        if event.act is Act.TRANSFORM:
            _flow(search, event)
        elif event.act is Act.PACK and leg.item == event.parent:
            for item, _ in event.lines:
                _reach(search, item, event.number)
        elif event.act is Act.PACK:
            search.ride(event.parent, event, leg.item, dict(event.lines)[leg.item])


def _contents(events: Sequence[TraceEvent], container: str, at: int) -> list[str]:
    """What is in a container after an event, by its own events."""
    inside: dict[str, int] = {}
    for event in events:
        if event.parent != container or event.number > at or event.in_error:
            continue
        for item, quantity in event.lines:
            if event.act is Act.PACK:
                inside[item] = inside.get(item, 0) + quantity
            elif event.act is Act.UNPACK and inside.get(item, 0) <= quantity:
                inside.pop(item, None)
            elif event.act is Act.UNPACK:
                inside[item] -= quantity
    return list(inside)


def _is_input(event: TraceEvent, item: str) -> bool:
    """Whether goods flow from an item into a transformation, or have done so."""
    return any(item == one for one, _ in event.lines) or (
        bool(event.process) and item == process_item(event.actor, event.process)
    )


def _flow(search: _Search, event: TraceEvent) -> None:
    """From an input, or what is in a transformation already, to what comes out."""
    for item, _ in event.outputs:
        _reach(search, item, event.number)
    if event.process:
        search.look(_Leg(process_item(event.actor, event.process), event.number, END))


def _reach(search: _Search, item: str, since: int) -> None:
    """Something is affected from an event on."""
    search.goods[item] = min(search.goods.get(item, END), since)
    search.look(_Leg(item, since, END))


def _ride(search: _Search, ride: _Ride, events: Sequence[TraceEvent]) -> None:
    """A container's events from when something was put in until it is out again."""
    left, is_in = ride.quantity, False
    for event in events:
        if event.id == ride.start:
            is_in = True
            continue
        if not is_in or not _shares(event, ride) or not search.take(event):
            continue
        if event.parent != ride.item:
            if event.act is Act.PACK:
                search.ride(event.parent, event, ride.item, 0)
            continue
        if event.act is Act.PACK:
            left += dict(event.lines)[ride.cargo]
        elif event.act is Act.UNPACK:
            left -= dict(event.lines)[ride.cargo]
            if left <= 0:
                return


def _shares(event: TraceEvent, ride: _Ride) -> bool:
    """Whether a container's event concerns one thing in it: what is put in or taken out beside it does not."""
    if event.parent == ride.item and event.act in (Act.PACK, Act.UNPACK):
        return any(item == ride.cargo for item, _ in event.lines)
    return True


# ---------------------------------------------------------------- back


def trace_back(store: Store, item: str, *, holder: str = "", until: int = END) -> Trace:
    """Where something came from.

    Args:
        store: Of events.
        item: A lot, serial or container.
        holder: GLN: only this participant's part of it, by the way that it came; empty: all parts.
        until: A number: events recorded after it do not count.
    """
    search = _Search(store)
    search.goods[item] = until
    search.look(_Leg(item, 0, until, holder))
    while search.pending and search.is_complete:
        for leg, events in search.wave():
            if isinstance(leg, _Ride):
                _ride_back(search, leg, events)
            else:
                _gather(search, leg, events)
    return search.result()


def _gather(search: _Search, leg: _Leg, events: Sequence[TraceEvent]) -> None:
    """An item's own events up to one, and what they came from."""
    inside = _contents(events, leg.item, leg.last)
    for event in events:
        if not leg.first <= event.number <= leg.last or not _concerns(event, leg) or not search.take(event):
            continue
        if event.act is Act.TRANSFORM:
            for item, _ in event.lines:
                _need(search, leg, item, event)
            if event.process:
                _need(search, leg, process_item(event.actor, event.process), event)
        elif event.act is Act.PACK:
            for item, _ in event.lines:
                if item in inside or not inside:  # an empty container stands for all that was in it
                    _need(search, leg, item, event)
        elif event.act is Act.RECEIVE and leg.holder:
            search.look(_Leg(leg.item, 0, event.number, event.counterparty))
        elif event.act is Act.UNPACK and leg.item != event.parent:
            search.ride(event.parent, event, leg.item, dict(event.lines)[leg.item], event.actor if leg.holder else "")


def _need(search: _Search, leg: _Leg, item: str, event: TraceEvent) -> None:
    """Something went into what is looked at."""
    if not item.startswith("process/"):
        search.goods[item] = max(search.goods.get(item, 0), event.number)
    search.look(_Leg(item, 0, event.number, event.actor if leg.holder else ""))


def _concerns(event: TraceEvent, leg: _Leg) -> bool:
    """Whether an event is on the way by which an item, or a holder's part of it, came; where it went later is not."""
    if event.act in (Act.SELL, Act.REMOVE, Act.CANCEL):
        return False
    if event.act is Act.TRANSFORM:
        is_made = any(item == leg.item for item, _ in event.outputs)
        return is_made or (bool(event.process) and leg.item == process_item(event.actor, event.process))
    if event.act is Act.PACK:
        return event.parent == leg.item
    if not leg.holder or event.act is Act.OBSERVE:
        return True
    return (event.counterparty if event.act is Act.SHIP else event.actor) == leg.holder


def _ride_back(search: _Search, ride: _Ride, events: Sequence[TraceEvent]) -> None:
    """A container's events from when something came out, back to when it was put in."""
    left, is_in = ride.quantity, False
    for event in reversed(events):
        if event.id == ride.start:
            is_in = True
            continue
        if not is_in or not _shares(event, ride) or not search.take(event):
            continue
        if event.parent != ride.item:
            if event.act is Act.UNPACK:
                search.ride(event.parent, event, ride.item, 0, ride.holder)
            continue
        if event.act is Act.UNPACK:
            left += dict(event.lines)[ride.cargo]
        elif event.act is Act.PACK:
            if ride.cargo in search.goods:  # and not merely a container of some
                search.look(_Leg(ride.cargo, 0, event.number, event.actor if ride.holder else ""))
            left -= dict(event.lines)[ride.cargo]
            if left <= 0:
                return
