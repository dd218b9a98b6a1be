# SPDX-License-Identifier: Apache-2.0
"""Scans of serials, and what they hint at: a label that is in two places at once, or looked at far too often.

Kept are serial, hour and district, counted, for 30 days: no address, no time within the hour, nothing of a browser or a
person. Of batch codes nothing at all is kept, for many people scan the same one by right. What is concluded is a hint
to a shopper and never a verdict: anybody can scan a label often.

So that reloading a page does not count twice, an address counts once an hour for a serial; that is remembered in this
process's memory alone, as a digest under a key that nobody keeps.
"""

import hashlib
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update

from service.store import Store
from service.store.engine import insert_new
from traceability.api.shopper.districts import distance_km, district_of
from traceability.api.shopper.tables import FoodScan
from traceability.items import Kind, kind_of

HOUR_MS: Final = 3_600_000
KEPT_HOURS: Final = 30 * 24
BURST_MIN: Final = 20
"""Scans of one piece in an hour by different addresses: a family at table looks a few times."""
TRAVEL_KM_H: Final = 300
"""Faster than goods travel by road; slower than a plane, which no cabbage takes between two scans."""
TRAVEL_KM_MIN: Final = 60
"""Neighbouring districts are near each other wherever their seats are."""
ROWS_READ_MAX: Final = 2_000
"""Of one serial, the newest: more hours and districts than a piece of food sees."""
COUNT_MAX: Final = 1_000_000
CALLERS_MAX: Final = 50_000
"""Digests of who scanned what this hour; some 5 MB."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What scans of one serial hint at.

    Attributes:
        burst: Most scans in an hour, where that is too many; 0: it never was.
        travel: Hours and kilometres between two scans that nothing travels in; None: there are none such.
    """

    burst: int = 0
    travel: tuple[int, int] | None = None


NONE: Final = Hints()


class Scans:
    """Counts scans, and forgets them.

    Args:
        store: The private store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def note(self, item: str, caller: str, now_ms: int, district: str = "") -> bool:
        """Count a scan of a serial; blocks.

        Args:
            item: Anything but a serial is passed over.
            caller: The address, for counting once an hour; it is not kept.
            now_ms: Unix time in ms.
            district: Where whoever scans says that they are; empty: they do not.

        Returns:
            Whether it was counted.
        """
        hour = now_ms // HOUR_MS
        if kind_of(item) is not Kind.SERIAL or (district and district_of(district) is None):
            return False
        if self._is_known(f"{caller}\n{hour}\n{district}\n{item}"):
            return False
        with self._store.write() as session:
            if insert_new(session, FoodScan(item=item, hour=hour, district=district, count=1)):
                return True
            session.execute(
                update(FoodScan)
                .where(FoodScan.item == item, FoodScan.hour == hour, FoodScan.district == district)
                .where(FoodScan.count < COUNT_MAX)
                .values(count=FoodScan.count + 1)
            )
        return True

    def hints(self, item: str, now_ms: int) -> Hints:
        """What the scans of a serial hint at; blocks."""
        if kind_of(item) is not Kind.SERIAL:
            return NONE
        with self._store.read() as session:
            columns = (FoodScan.hour, FoodScan.district, FoodScan.count)
            query = select(*columns).where(FoodScan.item == item, FoodScan.hour > now_ms // HOUR_MS - KEPT_HOURS)
            rows = [
                (hour, district, count)
                for hour, district, count in session.execute(query.order_by(FoodScan.hour.desc()).limit(ROWS_READ_MAX))
            ]
        return Hints(_burst(rows), _travel(rows))

    def forget(self, now_ms: int) -> int:
        """Delete what is older than 30 days; returns how many rows. Blocks."""
        with self._store.write() as session:
            done = session.execute(delete(FoodScan).where(FoodScan.hour <= now_ms // HOUR_MS - KEPT_HOURS))
            return int(getattr(done, "rowcount", 0))

    def _is_known(self, text: str) -> bool:
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=16).digest()
        if digest in self._seen:
            return True
        self._seen[digest] = None
        if len(self._seen) > CALLERS_MAX:
            self._seen.popitem(last=False)
        return False


def _burst(rows: Sequence[tuple[int, str, int]]) -> int:
    """The most scans of one hour, where they are too many."""
    by_hour: dict[int, int] = {}
    for hour, _, count in rows:
        by_hour[hour] = by_hour.get(hour, 0) + count
    most = max(by_hour.values(), default=0)
    return most if most >= BURST_MIN else 0


def _travel(rows: Sequence[tuple[int, str, int]]) -> tuple[int, int] | None:
    """Hours and kilometres of the first two scans in a row between which nothing travels."""
    placed = sorted((hour, district) for hour, district, _ in rows if district)
    for (hour, one), (later, other) in itertools.pairwise(placed):
        km = distance_km(one, other)
        hours = later - hour + 1  # scans of one hour may lie almost two apart, seen from either end
        if km is not None and km >= TRAVEL_KM_MIN and km > hours * TRAVEL_KM_H:
            return hours, round(km)
    return None
