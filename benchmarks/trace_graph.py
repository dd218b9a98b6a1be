# SPDX-License-Identifier: Apache-2.0
"""How fast goods are traced in an index of a season: `python -m benchmarks.trace_graph [--events N]` prints JSON.

The index is filled from the season's events as the rules would record them; then the contaminated lot is traced
forward, what markets made of it is traced back, and a recall drill is run, each several times, nothing kept between.
Pages of `/epcis/events` are answered as a regulator and as a market ask for them.

With `--folder` the index stays there: what was filled is not filled again, and a run that was ended goes on where it
was. With `--record` a line goes to docs/results/trace_graph.tsv. A million events take 600 MB.
"""

import argparse
import datetime as dt
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Final, TypeVar, cast

from sqlalchemy import Engine, create_engine, event, func, select

from benchmarks.machine import hashes_per_s
from chain.types import OPERATIONS_MAX, sha256
from service.settings import StoreSettings
from service.store import open_store
from traceability.api import tables  # noqa: F401 - the store has its tables
from traceability.api.clients import REGULATOR, Client
from traceability.api.context import TraceContext
from traceability.api.query_parameters import from_json
from traceability.api.query_store import QueryStore
from traceability.api.trace_index import Recorded, add_events, events_table, metadata
from traceability.api.trace_search import IndexedEvents
from traceability.drill import drill
from traceability.graph import Trace, trace_back, trace_forward
from traceability.projection import public_part
from traceability.season import CONTEXT, Planted, Season
from traceability.season_people import party, products

T = TypeVar("T")

BATCH: Final = 5_000
"""Events a transaction of the index: what a catching-up index takes at once."""
RUNS: Final = 5
REFUSED: Final = (Planted.OVERSOLD, Planted.NOT_HELD, Planted.ERROR)
"""What leaves no event behind."""
CACHE_KIB: Final = 512 * 1024
"""Of the connection that fills: the unique index of random ids is written all over."""
AIMS: Final = {
    "forward_ms": 300.0,
    "back_ms": 300.0,
    "drill_ms": 2_000.0,
    **dict.fromkeys((f"page_{name}_ms" for name in ("newest", "step", "market", "market_step", "lot")), 100.0),
}
"""At most so many milliseconds; of the traces for each thousand events that they find, if those are more."""
RESULTS: Final = Path(__file__).parent.parent / "docs" / "results" / "trace_graph.tsv"
HEADINGS: Final = (
    "date",
    "commit",
    "seed",
    "events",
    "affected_events",
    "back_events",
    *AIMS,
    "hashes_per_s",
    "outcome",
)


def run(events: int = 100_000, seed: int = 1, folder: Path | None = None) -> dict[str, float | str]:
    """Fill an index, if it is not filled, and search it.

    Args:
        events: Of the season.
        seed: Of the season.
        folder: Where the index is or will be; None: one that goes.
    """
    season = Season(events, seed)
    with _room(folder) as room:
        file = room / f"season-{seed}-{events}.sqlite"
        filled, indexed_per_s = fill(file, season)
        engine = create_engine(f"sqlite:///{file}")
        try:
            figures = _search(engine, season)
            with tempfile.TemporaryDirectory() as kept:
                figures |= _pages(engine, Path(kept), season)
        finally:
            engine.dispose()
    return {
        "seed": seed,
        "events": filled,
        "indexed_per_s": indexed_per_s,
        **figures,
        "hashes_per_s": hashes_per_s(),
        "outcome": ", ".join(missed(figures)) or "within the aims",
    }


@contextmanager
def _room(folder: Path | None) -> Iterator[Path]:
    """A folder that stays, or one that goes."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as room:
        yield Path(room)


def missed(figures: dict[str, float]) -> list[str]:
    """Which aims these figures do not reach."""
    found = []
    for name, limit_ms in AIMS.items():
        size = figures.get({"forward_ms": "affected_events", "back_ms": "back_events"}.get(name, ""), 0)
        if figures[name] > limit_ms * max(1.0, size / 1000):
            found.append(f"{name} above {limit_ms:.0f}")
    return found


def fill(file: Path, season: Season) -> tuple[int, int]:
    """Index a season, or what is left of it.

    A process that ends here leaves whole batches; the next run goes on behind the last one. A machine that loses power
    may leave a database that does not open: then its file is to be removed.

    Args:
        file: Of SQLite.
        season: The same as before, if the file is there.

    Returns:
        How many events there are, and how many a second were indexed just now; 0: they were all there.
    """
    engine = create_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", _hurry)
    try:
        metadata.create_all(engine)
        with engine.connect() as connection:
            last = connection.scalar(select(func.max(events_table.c.number)))
            whole = int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)
        if whole:
            return whole, 0
        number = before = 0 if last is None else last // OPERATIONS_MAX + 1
        told = islice((one for one in season.stream() if one.planted not in REFUSED), before, None)
        units = {product.gtin: product.unit for product in products()}
        spent_s = 0.0
        while True:
            recorded: list[Recorded] = []
            for one in islice(told, BATCH):
                projection = public_part(
                    one.event, context=CONTEXT, actor=one.actor, unit_of=units.get, carrier=one.carrier
                )
                projection.id = sha256(one.event["eventID"].encode())
                recorded.append(Recorded(number * OPERATIONS_MAX, one.time_ms, projection, projection.id))
                number += 1
            if not recorded:
                with engine.begin() as connection:  # so that nobody tells the season anew to see that it is all there
                    connection.exec_driver_sql(f"PRAGMA user_version = {number}")
                return number, round((number - before) / spent_s) if spent_s else 0
            start = time.perf_counter()
            with engine.begin() as connection:
                add_events(connection, recorded)
            spent_s += time.perf_counter() - start
    finally:
        engine.dispose()


def _hurry(connection: object, _record: object) -> None:
    """Fill without waiting for the disk: nothing is lost that is not made again."""
    cursor = connection.cursor()  # type: ignore[attr-defined] # any driver's
    for setting in ("synchronous = OFF", "journal_mode = MEMORY", f"cache_size = -{CACHE_KIB}"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


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


def record(figures: dict[str, float | str]) -> None:
    """Append one row to the committed results file."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - whichever git the developer uses
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    ).stdout.strip()
    row = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "commit": commit or "-", **figures}
    if not RESULTS.exists():
        RESULTS.write_text("\t".join(HEADINGS) + "\n", encoding="utf-8")
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write("\t".join(str(row[name]) for name in HEADINGS) + "\n")


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the index is kept, and found again")
    parser.add_argument("--record", action="store_true", help="append a line to docs/results/trace_graph.tsv")
    arguments = parser.parse_args()
    figures = run(arguments.events, arguments.seed, arguments.folder)
    if arguments.record:
        record(figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
