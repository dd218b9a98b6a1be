# SPDX-License-Identifier: Apache-2.0
"""Random scorecards and event histories for credit's tests, from one seed."""

import random
from typing import get_args

from chain.strict_json import Json, canonical
from credit.score import Event, Status
from credit.scorecard import FOUND, parse

DAY = 20_000
STATUSES: tuple[Status, ...] = get_args(Status)


def scorecard_document(draw: random.Random) -> bytes:
    """Some scorecard that `parse` takes."""
    least, most = draw.choice(((0, 1_000), (-500, 500), (300, 900)))
    steps = sorted(draw.sample(range(least + 1, most), 3), reverse=True)
    numbers = sorted(draw.sample(range(1, 17), draw.randint(1, 4)))
    classes: list[Json] = []
    for number in sorted(draw.sample(range(1, 40), draw.randint(1, 12))):
        days = sorted(draw.sample(range(1, 2_000), draw.randint(0, 4)))
        decay: list[Json] = [[day, draw.randint(0, 100)] for day in [0, *days]]
        points: dict[str, Json] = {
            found: draw.randint(-300, 300) for found in draw.sample(FOUND, draw.randint(1, len(FOUND)))
        }
        classes.append({"class": number, "dimension": draw.choice(numbers), "points": points, "decay": decay})
    value: dict[str, Json] = {
        "base": draw.randint(least, most),
        "min": least,
        "max": most,
        "grades": [[letter, points] for letter, points in zip("ABCD", [*steps, least], strict=True)],
        "dimensions": [{"number": n, "min": -draw.randint(0, 600), "max": draw.randint(0, 600)} for n in numbers],
        "open_pledges_max": draw.randint(0, 50),
        "classes": classes,
    }
    document = canonical(value)
    parse(document)
    return document


def history(draw: random.Random, count: int) -> list[Event]:
    """Events around day 20,000, also of classes that no scorecard knows and of days to come."""
    return [
        Event(
            number=draw.randint(1, 44),
            found=draw.choice(FOUND),
            status=draw.choice(STATUSES) if draw.random() < 0.5 else "active",
            document_day=DAY - draw.randint(-200, 2_500),
            published_days_max=draw.choice((0, 0, 92, 366, 1_096, draw.randint(1, 36_525))),
        )
        for _ in range(count)
    ]
