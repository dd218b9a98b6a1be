# SPDX-License-Identifier: Apache-2.0
"""A season of food in Foshan, out of a seed: valid EPCIS events in order of time, as many as one wants.

Nothing is kept but what is on its way: a million events stream in bounded memory. The same seed and number give the
same bytes. Each event is valid and recorded by the ledger's rules as it says, but for those that are planted to be
wrong, which name what they are. One lot is contaminated; a laboratory finds it late, when it has gone to many buyers.
Source: made up, with the quantities and distances of a city's daily trade.
"""

import heapq
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from traceability import season_people as people
from traceability.season_events import MINUTE_MS, STEM, Author, Batch, Planted, SeasonEvent
from traceability.season_people import BAG, FISH, JARS, VEGETABLES, party

__all__ = ["CONTEXT", "EVENTS_MAX", "EVENTS_MIN", "Planted", "Season", "SeasonEvent"]

CONTEXT: Final = [
    "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
    {"fs": "https://ns.foshan-food.example/"},
]
"""The `@context` of every event."""
EVENTS_MIN: Final = 1_000
EVENTS_MAX: Final = 1_000_000

_START = datetime(2026, 3, 1, 4, tzinfo=UTC)
_SEASON_MS = 120 * 86_400_000
_HOUR_MS = 3_600_000
_EVENTS_PER_BATCH = 9
_STOCK_LOTS = 3
"""A plant begins a batch when it has so many lots."""
_EVENTS_PER_BUYER = 4_000
_BUYERS_MAX = 150


_Journey = Iterator[SeasonEvent]


class Season:
    """A season; `stream` may be taken any number of times.

    Args:
        events: How many, from 1,000 to 1,000,000.
        seed: For everything that is drawn.

    Raises:
        ValueError: Too few or too many events.
    """

    def __init__(self, events: int, seed: int = 1) -> None:
        if not EVENTS_MIN <= events <= EVENTS_MAX:
            raise ValueError(f"a season has {EVENTS_MIN} to {EVENTS_MAX} events, not {events}")
        self.events = events
        self.seed = seed
        self._batches = max(20, events // _EVENTS_PER_BATCH)

    @property
    def contaminated(self) -> str:
        """The contaminated lot, as the ledger names items."""
        return f"01/{VEGETABLES[0].gtin}/10/{self._lot_name(self._contaminated_batch)}"

    @property
    def _contaminated_batch(self) -> int:
        return self._batches // 4

    def _lot_name(self, number: int) -> str:
        return f"F{self.seed}-{number}"

    def document(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """One event as a document of its own, to check or to send."""
        return {"@context": CONTEXT, **event}

    def stream(self) -> Iterator[SeasonEvent]:
        """The events in order of time."""
        return _Telling(self.seed, self.events, self._batches, self._contaminated_batch, self._lot_name).told()


class _Telling:
    """One run of a season: journeys that are under way, by the time of their next event."""

    def __init__(self, seed: int, events: int, batches: int, contaminated: int, lot_name: Callable[[int], str]) -> None:
        self._seed = seed
        self._events = events
        self._batches = batches
        self._contaminated = contaminated
        self._lot_name = lot_name
        self._random = random.Random(seed)  # noqa: S311 - a made-up season, not a secret
        self._queue: list[tuple[int, int, SeasonEvent, _Journey]] = []
        self._sequence = 0
        self._author = Author(seed, self._random)
        self._shipments = 0
        self._produced = 0
        self._stock: dict[str, list[Batch]] = {}

    def told(self) -> Iterator[SeasonEvent]:
        """Merge the journeys."""
        gap_ms = _SEASON_MS // self._batches
        started = told = 0
        start_ms = int(_START.timestamp() * 1000)
        while told < self._events:
            due_ms = start_ms + started * gap_ms
            while not self._queue or due_ms <= self._queue[0][0]:
                self._begin(self._from_field(started, due_ms))
                started += 1
                due_ms = start_ms + started * gap_ms
            _, _, event, journey = heapq.heappop(self._queue)
            yield event
            told += 1
            self._begin(journey)

    def _begin(self, journey: _Journey) -> None:
        """Take a journey's next event into the queue."""
        event = next(journey, None)
        if event is not None:
            self._sequence += 1
            heapq.heappush(self._queue, (event.time_ms, self._sequence, event, journey))

    # ------------------------------------------------------------ journeys

    def _from_field(self, number: int, at_ms: int) -> _Journey:
        """A harvest, a test perhaps, and its ways to buyers."""
        draw = self._random
        is_contaminated = number == self._contaminated
        farm = party("farm", draw.randrange(people.FARMS))
        goods = VEGETABLES[0] if is_contaminated else draw.choice(FISH if draw.random() < 0.25 else VEGETABLES)
        buyers = min(_BUYERS_MAX, max(4, self._events // _EVENTS_PER_BUYER)) if is_contaminated else 1
        amount = draw.randrange(80, 400) * 1000 * buyers
        batch = Batch(goods, self._lot_name(number), amount, farm)
        yield self._author.harvest(batch, at_ms)
        at_ms += draw.randrange(10, 60) * MINUTE_MS
        if draw.random() < 0.2:
            yield self._author.test(batch, at_ms, "conformant")
            at_ms += draw.randrange(10, 60) * MINUTE_MS
        for index in range(buyers):
            part = Batch(goods, batch.lot, amount // buyers, farm, is_shared=is_contaminated)
            is_for_plant = goods.kind == "vegetable" and (draw.random() < 0.3 or (is_contaminated and index % 2))
            whom = party("plant", draw.randrange(people.PLANTS)) if is_for_plant else self._market()
            self._begin(self._delivery(part, whom, at_ms))
            at_ms += draw.randrange(2, 9) * _HOUR_MS
        if is_contaminated:
            yield self._author.test(batch, at_ms + 36 * _HOUR_MS, "non_conformant")

    def _delivery(self, batch: Batch, whom: str, at_ms: int) -> _Journey:
        """Shipped, carried, received; then sold or stored."""
        draw = self._random
        if not batch.is_shared and draw.random() < 0.006:
            thief = self._market()
            if thief != whom:
                lines = [batch.element(batch.amount)]
                yield self._author.move("shipping", batch, thief, whom, at_ms, lines, planted=Planted.NOT_HELD)
        carrier = party("carrier", draw.randrange(people.CARRIERS))
        pallet = ""
        if draw.random() < 0.4:
            self._shipments += 1
            pallet = f"{STEM}00/{people.sscc(self._shipments)}"
            yield self._author.pack(batch, pallet, at_ms)
            at_ms += draw.randrange(5, 30) * MINUTE_MS
        lines = [] if pallet else [batch.element(batch.amount)]
        yield self._author.move("shipping", batch, batch.holder, whom, at_ms, lines, pallet, carrier)
        minutes = draw.randrange(180, 360)
        at_ms += minutes * MINUTE_MS
        if batch.goods.limits is not None:
            yield self._author.carried(batch, pallet, carrier, at_ms, minutes)
        at_ms += draw.randrange(5, 30) * MINUTE_MS
        got, planted = batch.amount, None
        if not pallet and not batch.is_shared and draw.random() < 0.03:
            planted = draw.choice([Planted.SHORT, Planted.OVER])
            got = batch.amount * (90 if planted is Planted.SHORT else 120) // 100
        lines = [] if pallet else [batch.element(got)]
        yield self._author.move("receiving", batch, batch.holder, whom, at_ms, lines, pallet, planted=planted)
        at_ms += draw.randrange(10, 60) * MINUTE_MS
        part = Batch(batch.goods, batch.lot, min(got, batch.amount), whom, batch.is_shared)
        if pallet:
            yield self._author.unpack(part, pallet, at_ms)
            at_ms += draw.randrange(10, 60) * MINUTE_MS
        if int(whom[7:12]) >= 4000:
            self._store(part, at_ms)
        else:
            yield from self._retail(part, at_ms)

    def _store(self, part: Batch, at_ms: int) -> None:
        """A plant stores what it got, and begins a batch when it has enough."""
        stock = self._stock.setdefault(part.holder, [])
        stock.append(part)
        if len(stock) >= _STOCK_LOTS:
            self._stock[part.holder] = []
            self._begin(self._production(stock, at_ms + self._random.randrange(1, 20) * _HOUR_MS))

    def _production(self, stock: list[Batch], at_ms: int) -> _Journey:
        """Jars out of what a plant has, and their ways to markets."""
        draw, plant = self._random, stock[0].holder
        grams = sum(part.amount for part in stock) * draw.randrange(55, 95) // 100
        goods = JARS[int(plant[7:12]) - 4000]
        self._produced += 1
        jars = Batch(goods, f"P{self._seed}-{self._produced}", grams // goods.grams, plant)
        inputs = [part.element(part.amount) for part in stock]
        yield self._author.transform(plant, inputs, [jars.element(jars.amount)], at_ms)
        at_ms += draw.randrange(1, 6) * _HOUR_MS
        markets = draw.randrange(2, 6)
        for _ in range(markets):
            part = Batch(goods, jars.lot, jars.amount // markets, plant, is_shared=True)
            self._begin(self._delivery(part, self._market(), at_ms))
            at_ms += draw.randrange(1, 6) * _HOUR_MS

    def _retail(self, part: Batch, at_ms: int) -> _Journey:
        """A market sells, cuts and packs some, looks at some, and throws the rest away."""
        draw, left = self._random, part.amount
        if part.goods.kind == "vegetable" and draw.random() < 0.3:
            cut = left // 2
            self._produced += 1
            bags = Batch(BAG, f"B{self._seed}-{self._produced}", cut // BAG.grams, part.holder)
            yield self._author.transform(part.holder, [part.element(cut)], [bags.element(bags.amount)], at_ms)
            at_ms += draw.randrange(20, 90) * MINUTE_MS
            yield self._author.gone("retail_selling", bags, bags.amount, at_ms)
            left -= cut
        if draw.random() < 0.1:
            observed = self._author.observed("storing", part, at_ms, "sellable_accessible")
            yield observed
            if draw.random() < 0.3:
                at_ms += 30 * MINUTE_MS
                yield self._author.in_error(observed, at_ms)
        sales = draw.randrange(1, 4)
        for _ in range(sales):
            at_ms += draw.randrange(30, 180) * MINUTE_MS
            amount = left // (sales + 1)
            if amount:
                yield self._author.gone("retail_selling", part, amount, at_ms)
                left -= amount
        at_ms += draw.randrange(1, 5) * _HOUR_MS
        if not part.is_shared and draw.random() < 0.015:
            yield self._author.gone("retail_selling", part, part.amount + left, at_ms, planted=Planted.OVERSOLD)
        yield self._author.gone("destroying" if draw.random() < 0.2 else "retail_selling", part, left, at_ms + _HOUR_MS)

    def _market(self) -> str:
        return party("market", self._random.randrange(people.MARKETS))
