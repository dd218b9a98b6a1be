# SPDX-License-Identifier: Apache-2.0
"""How fast credit is recorded, computed and proven: `python -m benchmarks.credit` prints JSON, a line for each part.

A score of one person's events; many people's scores on one core; a complete report of that many events made from a
state tree and verified with its certificate. Figures are processor time of one core, with the machine's load beside
them. Then events a second on a devnet of four, the ledger alone and through the service (`benchmarks.credit_events`);
`--batches 0` leaves that out.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Callable

from benchmarks import credit_events
from benchmarks.machine import hashes_per_s
from chain.codec import encode
from chain.strict_json import Json, canonical
from chain.types import sha256
from credit import model, report
from credit.catalogue import class_key
from credit.events import slot_key
from credit.logs import log_key
from credit.pb import credit_pb2 as pb
from credit.population import LAST_DAY, Population
from credit.report import Opened, keys_of, make
from credit.score import Event, score
from credit.scorecard import Scorecard, parse
from credit.scorecards import scorecard_key
from credit.slots import Content, content_commitment, link_commitment
from sim.instant_ledger import InstantLedger

DAY = 20_000
CLASSES = 40
OTHER_KEYS = 20_000
"""So that proofs have the depth of a real tree."""


def scorecard() -> Scorecard:
    """A scorecard of forty classes in four dimensions, decaying in three steps."""
    classes: list[Json] = [
        {
            "class": number,
            "dimension": number % 4 + 1,
            "points": {"minor": -10, "general": -40, "serious": -120, "none": 15},
            "decay": [[0, 100], [365, 60], [730, 30], [1_096, 0]],
        }
        for number in range(1, CLASSES + 1)
    ]
    value: dict[str, Json] = {
        "base": 600,
        "min": 0,
        "max": 1_000,
        "grades": [["A", 800], ["B", 650], ["C", 500], ["D", 0]],
        "dimensions": [{"number": number, "min": -200, "max": 150} for number in range(1, 5)],
        "open_pledges_max": 20,
        "classes": classes,
    }
    return parse(canonical(value))


def history(draw: random.Random, count: int) -> list[Event]:
    """Five years of events."""
    return [
        Event(
            draw.randint(1, CLASSES),
            draw.choice(("none", "minor", "general")),
            "active",
            DAY - draw.randrange(1_826),
            0,
        )
        for _ in range(count)
    ]


def run(events: int = 500, people: int = 100_000) -> dict[str, float]:
    """Measure scores and a report.

    Args:
        events: Of one person.
        people: Whose scores are computed one after another, with a tenth as many companies.
    """
    draw, card = random.Random(1), scorecard()
    one = history(draw, events)
    city = [member.at(LAST_DAY) for member in Population(people, people // 10).members()]
    opened, states, records = log(events)
    others = {b"identity/other/%d" % i: b"x" * 64 for i in range(OTHER_KEYS)}
    ledger = InstantLedger(("a", "b", "c", "d"))
    ledger.append([], {**states, **others, scorecard_key(1, 1): card.document})
    keys = list(keys_of(opened, records, (1, 1)))
    raw = make(opened, ledger.receipt([], keys), (1, 1))
    return {
        "events": events,
        "score_ms": _seconds(20, lambda: score(one, card, DAY)) * 1_000,
        "people": people,
        "companies": people // 10,
        "seconds_for_all_of_them": _seconds(1, lambda: [score(each, model.scorecard(), LAST_DAY) for each in city]),
        "report_kilobytes": len(raw) // 1_000,
        "report_made_ms": _seconds(3, lambda: make(opened, ledger.receipt([], keys), (1, 1))) * 1_000,
        "report_verified_ms": _seconds(3, lambda: report.verify(raw, ledger.genesis)) * 1_000,
        "load_1m": round(os.getloadavg()[0], 1),
        "hashes_per_s": hashes_per_s(),
    }


def log(count: int) -> tuple[Opened, dict[bytes, bytes], list[pb.EventRecord]]:
    """A log of so many events: as its keeper knows it, and as it stands in state."""
    slots = [sha256(b"slot %d" % i) for i in range(count + 1)]
    opened = Opened(
        slots[0],
        sha256(b"salt"),
        tuple(
            pb.Opening(
                content=Content("none", DAY - i, DAY - i).encode(),
                content_salt=sha256(b"content %d" % i),
                next_slot=slots[i + 1],
                next_salt=sha256(b"link %d" % i),
            )
            for i in range(count)
        ),
    )
    states = {log_key(opened.log): encode(pb.LogRecord(registrar="registrar"))}
    records: list[pb.EventRecord] = []
    for i, opening in enumerate(opened.openings):
        record = pb.EventRecord(
            class_version=1,
            source="source",
            registrar="registrar",
            status=pb.EVENT_STATUS_ACTIVE,
            content=content_commitment(Content.decode(opening.content), opening.content_salt),
            next=link_commitment(opening.next_slot, opening.next_salt),
            objection=sha256(b"objection %d" % i),
        )
        number = i % CLASSES + 1
        setattr(record, "class", number)
        records.append(record)
        states[slot_key(slots[i])] = encode(record)
        catalogued = pb.PutClass(version=1, severity=pb.SEVERITY_NONE, legal_basis="law")
        setattr(catalogued, "class", number)
        states[class_key(number, 1)] = encode(catalogued)
    return opened, states, records


def _seconds(times: int, work: Callable[[], object]) -> float:
    """Processor time of one run."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def main() -> None:
    """Print the figures of each part as one JSON object on a line of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=96)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.events, arguments.people)), flush=True)
    for through_service in (False, True) if arguments.batches else ():
        found = credit_events.run(arguments.batches, credit_events.SIZE, through_service=through_service)
        print(json.dumps(asyncio.run(found)), flush=True)


if __name__ == "__main__":
    main()
