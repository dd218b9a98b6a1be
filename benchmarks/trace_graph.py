# SPDX-License-Identifier: Apache-2.0
"""How fast goods are traced in an index of a season: `python -m benchmarks.trace_graph [--events N]` prints JSON.

The index is filled from the season's events as the rules would record them; then the contaminated lot is traced
forward, what markets made of it is traced back, and a recall drill is run, each several times, nothing kept between.
Pages of `/epcis/events` are answered as a regulator and as a market ask for them.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast

from sqlalchemy import Engine, create_engine

from benchmarks.machine import hashes_per_s
from chain.types import sha256
from service.settings import StoreSettings
from service.store import open_store
from traceability.api import tables  # noqa: F401 - the store has its tables
from traceability.api.clients import REGULATOR, Client
from traceability.api.context import TraceContext
from traceability.api.query_parameters import from_json
from traceability.api.query_store import QueryStore
from traceability.api.trace_index import Recorded, add_events, metadata
from traceability.api.trace_search import IndexedEvents
from traceability.drill import drill
from traceability.graph import Trace, trace_back, trace_forward
from traceability.projection import public_part
from traceability.season import CONTEXT, Planted, Season
from traceability.season_people import party, products

T = TypeVar("T")

BATCH = 5_000
"""Events a transaction of the index: what a catching-up index takes at once."""
RUNS = 5
REFUSED = (Planted.OVERSOLD, Planted.NOT_HELD, Planted.ERROR)
"""What leaves no event behind."""


def run(events: int = 100_000, seed: int = 1) -> dict[str, float]:
    """Fill an index and search it.

    Args:
        events: Of the season.
        seed: Of the season.
    """
    season = Season(events, seed)
    with tempfile.TemporaryDirectory() as room:
        engine = create_engine(f"sqlite:///{Path(room) / 'index.db'}")
        try:
            metadata.create_all(engine)
            filled, filling_s = _fill(engine, season)
            figures = _search(engine, season) | _pages(engine, Path(room), season)
        finally:
            engine.dispose()
    return {
        "events": filled,
        "indexed_per_s": round(filled / filling_s),
        **figures,
        "hashes_per_s": hashes_per_s(),
    }


def _fill(engine: Engine, season: Season) -> tuple[int, float]:
    """Index a season; how many events, and the seconds that the index itself took."""
    units = {product.gtin: product.unit for product in products()}
    told = (one for one in season.stream() if one.planted not in REFUSED)
    number, spent_s = 0, 0.0
    while True:
        recorded: list[Recorded] = []
        for one in islice(told, BATCH):
            projection = public_part(
                one.event, context=CONTEXT, actor=one.actor, unit_of=units.get, carrier=one.carrier
            )
            projection.id = sha256(one.event["eventID"].encode())
            recorded.append(Recorded(number * 1024, one.time_ms, projection, projection.id))
            number += 1
        if not recorded:
            return number, spent_s
        start = time.perf_counter()
        with engine.begin() as connection:
            add_events(connection, recorded)
        spent_s += time.perf_counter() - start


def _search(engine: Engine, season: Season) -> dict[str, float]:
    """Time the searches, with a fresh store for each."""
    item = season.contaminated

    def forward() -> Trace:
        with engine.connect() as connection:
            return trace_forward(IndexedEvents(connection), [item])

    def whole_drill() -> Trace:
        with engine.connect() as connection:
            return drill(IndexedEvents(connection), [item]).trace

    found, forward_ms = _timed(forward)
    reached = max(found.goods, key=found.goods.__getitem__)

    def back() -> Trace:
        with engine.connect() as connection:
            return trace_back(IndexedEvents(connection), reached)

    backwards, back_ms = _timed(back)
    _, drill_ms = _timed(whole_drill)
    return {
        "affected_events": len(found.events),
        "affected_goods": len(found.goods),
        "forward_ms": forward_ms,
        "back_events": len(backwards.events),
        "back_ms": back_ms,
        "drill_ms": drill_ms,
    }


def _pages(engine: Engine, room: Path, season: Season) -> dict[str, float]:
    """Time pages of events: the newest of all, of one step at a time in the middle, of one market, of one lot."""
    store = open_store(StoreSettings(folder=str(room / "s"), keys=str(room / "k"), allow_plain=True), {})
    context = SimpleNamespace(store=store, reading=engine.connect)
    queries = QueryStore(cast("TraceContext", context))
    regulator, market = Client("", REGULATOR), Client("", party("market", 0))
    middle = "2026-04-15T00:00:00Z"
    asked = {
        "newest": (from_json({}), regulator),
        "step": (from_json({"EQ_bizStep": ["receiving"], "LT_eventTime": middle}), regulator),
        "market": (from_json({"LT_eventTime": middle}), market),
        "market_step": (from_json({"EQ_bizStep": ["retail_selling"], "orderBy": "recordTime"}), market),
        "lot": (from_json({"MATCH_anyEPC": [f"https://id.gs1.org/{season.contaminated}"]}), regulator),
    }
    figures: dict[str, float] = {}
    try:
        for name, (query, client) in asked.items():
            found, figures[f"page_{name}_ms"] = _timed(partial(queries.page, query, client, None, 30))
            assert found.events, name
    finally:
        store.close()
    return figures


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the median of several runs in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        outcome = work()
        times.append((time.perf_counter() - start) * 1000)
    return outcome, round(statistics.median(times), 1)


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    print(json.dumps(run(parser.parse_args().events)))


if __name__ == "__main__":
    main()
