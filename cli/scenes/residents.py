# SPDX-License-Identifier: Apache-2.0
"""Synthetic residents for demonstrations: the same ones for the same seed, and nobody real.

Numbers are valid under GB 11643 and carry the district code 440604 (Chancheng). They have birth years up to 1999,
years before that district and its code existed, so that hardly any can ever have been issued; each row says that it
is synthetic besides.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from identity.resident_number import check_character

REGION = "440604"
BORN_FIRST = date(1940, 1, 1)
BORN_LAST = date(1999, 12, 31)
COLUMNS = ("name", "id_number", "synthetic")
MARK = "synthetic 虚构"

_SURNAMES = "陈李黄张梁林王吴刘何罗杨周郭邓谭麦欧潘冯霍区简庞伍关卢叶苏邝"
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国志文小红晓东海燕春梅嘉欣俊健婷慧颖浩然子轩雨晴思"
    "远家豪咏诗凯琳泽锋佩仪永成润生惠珍锦"
)


@dataclass(frozen=True, slots=True)
class Resident:
    """Nobody, with a name and a number."""

    name: str
    id_number: str


def residents(count: int, seed: int) -> Iterator[Resident]:
    """Synthetic residents with distinct numbers."""
    dice = random.Random(seed)  # noqa: S311 - reproducible by purpose, and nothing secret
    days = (BORN_LAST - BORN_FIRST).days
    seen: set[str] = set()
    while len(seen) < count:
        name = dice.choice(_SURNAMES) + "".join(dice.choices(_GIVEN, k=dice.choice((1, 2, 2, 2))))
        born = BORN_FIRST + timedelta(days=dice.randint(0, days))
        first_17 = f"{REGION}{born:%Y%m%d}{dice.randint(1, 999):03d}"
        number = first_17 + check_character(first_17)
        if number not in seen:
            seen.add(number)
            yield Resident(name, number)


def write_table(path: Path, people: Sequence[Resident]) -> None:
    """Write them as `zhixin attest import` reads them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((person.name, person.id_number, MARK) for person in people)
