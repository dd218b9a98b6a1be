# SPDX-License-Identifier: Apache-2.0
"""What the private store costs: `python -m benchmarks.store [--persons N] [--url URL]` prints one JSON object.

Sealing and opening are measured alone, in processor time, and with the database, by the clock: a form that writes one
person with three fields, two of them searched for, in a transaction of its own; a page that reads one; a search.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.orm import Mapped

from service.settings import StoreSettings
from service.store import Base, Normal, PersonalRow, Store, cipher, open_store, sealed
from service.store.backup import write_backup
from service.store.replays import unix_ms

ALONE = 5_000
SOME = 200


class Card(PersonalRow):
    """A table about persons, for the measurement alone."""

    __tablename__ = "benchmark_card"

    name: Mapped[bytes | None] = sealed(Normal.TEXT)
    number: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    note: Mapped[bytes | None] = sealed()


def run(persons: int = 2_000, url: str = "") -> dict[str, float]:
    """Measure a store in a temporary folder, or in an empty PostgreSQL database.

    Args:
        persons: How many it holds.
        url: Where the database is; empty: SQLite.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = StoreSettings(url=url, folder=f"{folder}/data", keys=f"{folder}/keys", allow_plain=True)
        store = open_store(settings, {})
        try:
            Base.metadata.create_all(store.engine)
            return {"persons": persons, **_sealing(), **_database(store, persons, Path(folder))}
        finally:
            store.close()


def _sealing() -> dict[str, float]:
    key, where, value = cipher.new_key(), cipher.place("table", "column", "row"), b"x" * 40
    start = time.process_time()
    for _ in range(ALONE):
        made = cipher.seal(key, value, where)
    seal_s = time.process_time() - start
    start = time.process_time()
    for _ in range(ALONE):
        cipher.unseal(key, made, where)
    return {"seal_us": _us(seal_s, ALONE), "unseal_us": _us(time.process_time() - start, ALONE)}


def _database(store: Store, persons: int, folder: Path) -> dict[str, float]:
    rows = []
    start = time.perf_counter()
    for index in range(persons):
        with store.write() as session:
            row = Card(person_id=store.people.add(session))
            store.people.seal(session, row, Card.name, f"Name {index}")
            store.people.seal(session, row, Card.number, f"1390000{index:06}")
            store.people.seal(session, row, Card.note, "a note")
            rows.append((row.person_id, row.id))
    write_s = time.perf_counter() - start

    def read(index: int) -> None:
        with store.read() as session:
            row = session.get_one(Card, rows[index][1])
            for column in (Card.name, Card.number, Card.note):
                assert store.people.open(session, row, column) is not None

    def find(index: int) -> None:
        with store.read() as session:
            assert store.people.find(session, Card.number, f"1390000{index:06}") == [rows[index][1]]

    count = min(SOME, persons // 2)
    figures = {
        "write_form_us": _us(write_s, persons),
        "read_form_us": _each_us(read, count),
        "find_us": _each_us(find, count),
        "erase_us": _each_us(lambda index: store.erase(rows[index][0]), count),
    }
    start = time.perf_counter()
    path = write_backup(store, folder / "backups", unix_ms())
    figures["backup_us_each"] = _us(time.perf_counter() - start, persons - count)
    figures["backup_bytes_each"] = round(path.stat().st_size / (persons - count))
    start = time.perf_counter()
    done = store.end_epoch()
    figures["end_epoch_us_each"] = _us(time.perf_counter() - start, done.rewrapped)
    return figures


def _each_us(work: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for index in range(count):
        work(index)
    return _us(time.perf_counter() - start, count)


def _us(seconds: float, count: int) -> float:
    return round(seconds / count * 1_000_000, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=2_000)
    parser.add_argument("--url", default="", help="an empty PostgreSQL database; else SQLite in a temporary folder")
    options = parser.parse_args()
    print(json.dumps(run(options.persons, options.url)))
