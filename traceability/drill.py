# SPDX-License-Identifier: Apache-2.0
"""A recall drill: which goods a problem reached, where they are now, and how much of each is out of reach.

Pure, over what `traceability.graph` finds. Quantities are added up from the events alone, in millionths of each
product's unit: they are what participants recorded. The ledger's own accounts differ where a receipt was a discrepancy.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from traceability.acts import Act
from traceability.graph import Trace, trace_forward
from traceability.trace_store import Store, TraceEvent

K = TypeVar("K")

OBJECT_QUANTITY: Final = 1_000_000
"""One object, in millionths of a piece."""


@dataclass(slots=True)
class Whereabouts:
    """One affected lot or serial, added up.

    Attributes:
        since: Number of the event from which it is affected.
        entered: Declared or made.
        sold: To consumers.
        removed: Destroyed, used up, or missing.
        used: Gone into other goods, which are affected too.
        at_hand: By participant's GLN, containers in their hands included.
        on_the_way: By shipper's and receiver's GLN.
    """

    item: str
    since: int
    entered: int = 0
    sold: int = 0
    removed: int = 0
    used: int = 0
    at_hand: dict[str, int] = field(default_factory=dict)
    on_the_way: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drill:
    """The outcome of a drill.

    Attributes:
        trace: Forward, from the goods that began it.
        goods: Affected lots and serials, by name.
        places: GLNs of places where they were, sorted.
        participants: GLNs of who had, carried or sold them: whom to notify, sorted.
    """

    trace: Trace
    goods: tuple[Whereabouts, ...]
    places: tuple[str, ...]
    participants: tuple[str, ...]


def drill(store: Store, items: Iterable[str], *, since: int = 0) -> Drill:
    """Carry out a drill.

    Args:
        store: Of events.
        items: Where the problem is: lots, serials or containers.
        since: A number: what left before that event was recorded is not affected.
    """
    trace = trace_forward(store, items, since=since)
    books = _Books({item: Whereabouts(item, since) for item, since in trace.goods.items()})
    for event in trace.events:
        if not event.in_error:
            books.enter(event)
    places = {event.place for event in trace.events if event.place}
    participants = {name for event in trace.events for name in (event.actor, event.counterparty, event.carrier) if name}
    goods = tuple(books.goods[item] for item in sorted(books.goods))
    return Drill(trace, goods, tuple(sorted(places)), tuple(sorted(participants)))


class _Books:
    """Adds up where affected goods are, event by event."""

    def __init__(self, goods: dict[str, Whereabouts]) -> None:
        self.goods = goods
        self._inside: dict[str, dict[str, int]] = {}
        """By container: what of the affected goods is in it."""

    def enter(self, event: TraceEvent) -> None:
        """Take one event into the books."""
        lines = [(item, quantity or OBJECT_QUANTITY) for item, quantity in event.lines]
        match event.act:
            case Act.DECLARE:
                self._make(event, lines)
            case Act.TRANSFORM:
                self._make(event, [(item, quantity or OBJECT_QUANTITY) for item, quantity in event.outputs])
                self._leave(event, lines, "used")
            case Act.SELL:
                self._leave(event, lines, "sold")
            case Act.REMOVE:
                self._leave(event, lines, "removed")
            case Act.SHIP | Act.CANCEL | Act.RECEIVE:
                for item, quantity in self._spelt_out(lines):
                    self._move(event, item, quantity)
            case Act.PACK | Act.UNPACK:
                self._pack(event, lines)
            case _:
                pass

    def _make(self, event: TraceEvent, lines: list[tuple[str, int]]) -> None:
        for item, quantity in lines:
            if item in self.goods:
                self.goods[item].entered += quantity
                _add(self.goods[item].at_hand, event.actor, quantity)

    def _leave(self, event: TraceEvent, lines: list[tuple[str, int]], where: str) -> None:
        for item, quantity in lines:
            if item in self.goods:
                account = self.goods[item]
                setattr(account, where, getattr(account, where) + quantity)
                _add(account.at_hand, event.actor, -quantity)

    def _move(self, event: TraceEvent, item: str, quantity: int) -> None:
        account = self.goods[item]
        away = (event.counterparty, event.actor) if event.act is Act.RECEIVE else (event.actor, event.counterparty)
        if event.act is Act.SHIP:
            _add(account.at_hand, event.actor, -quantity)
            _add(account.on_the_way, away, quantity)
        else:
            came = min(quantity, account.on_the_way.get(away, 0))
            _add(account.on_the_way, away, -came)
            _add(account.at_hand, event.actor, came)

    def _pack(self, event: TraceEvent, lines: list[tuple[str, int]]) -> None:
        """Packed goods are still at hand; the container knows what moves with it."""
        contents = self._inside.setdefault(event.parent, {})
        for item, quantity in lines:
            _add(contents, item, quantity if event.act is Act.PACK else -quantity)

    def _spelt_out(self, lines: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Goods, with containers replaced by what of the affected goods is in them, at any depth."""
        found: list[tuple[str, int]] = []
        opened: set[str] = set()
        pending = list(lines)
        while pending:
            item, quantity = pending.pop()
            if item in self.goods:
                found.append((item, quantity))
            if item not in opened:
                opened.add(item)
                pending += self._inside.get(item, {}).items()
        return found


def _add(account: dict[K, int], name: K, quantity: int) -> None:
    """Add to an account; one that comes to nothing is left out."""
    total = account.get(name, 0) + quantity
    if total > 0:
        account[name] = total
    else:
        account.pop(name, None)
