# SPDX-License-Identifier: Apache-2.0
"""Shoppers' complaints: taken without a name, few from one address, listed for the regulator."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.rates import Buckets
from service.store import Store
from service.store.models import new_id
from traceability.api.shopper.districts import district_of
from traceability.api.shopper.tables import COMPLAINT_CHARACTERS_MAX, FoodComplaint

KINDS: Final[Mapping[str, str]] = {
    "ill": "shopper.complaint-ill",
    "spoiled": "shopper.complaint-spoiled",
    "label": "shopper.complaint-label",
    "recalled": "shopper.complaint-recalled",
    "other": "shopper.complaint-other",
}
"""Kinds with the keys of their words, the most urgent first."""
ELSEWHERE: Final = "000000"
KEPT_MS: Final = 365 * 24 * 3_600_000
PER_DAY_MAX: Final = 2_000
"""Of all addresses together: what a regulator's staff can read, and no more than fills a disk in a lifetime."""
URGENT: Final = "ill"
"""The kind that nothing else keeps from being heard."""
URGENT_ROOM: Final = 1_000
"""Of those of a day, for `URGENT` alone."""
ITEM_KIND_MAX: Final = 50
"""Of one kind about the same goods in a day: the next one tells whoever reads the first ones nothing new."""
BURST: Final = 5
"""Of one address at once; then one every ten minutes. A family behind one address has more than one voice."""
REFILL_MS: Final = 600_000
CALLERS_MAX: Final = 20_000
REFERENCE_CHARACTERS: Final = 8
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint, as the regulator reads it.

    Attributes:
        kind: A key of `KINDS`.
        district: Six digits, `ELSEWHERE`, or empty.
        seen_ms: When somebody marked it as read; 0: nobody has.
    """

    id: str
    item: str
    kind: str
    district: str
    text: str
    made_ms: int
    seen_ms: int

    @property
    def reference(self) -> str:
        """The number that the shopper was told."""
        return self.id[:REFERENCE_CHARACTERS]


def complaint_errors(kind: str, district: str, text: str) -> dict[str, str]:
    """What is wrong with a form, by its fields; keys of the words."""
    errors: dict[str, str] = {}
    if kind not in KINDS:
        errors["kind"] = "shopper.complaint-kind-missing"
    if district and district != ELSEWHERE and (len(district) != 6 or district_of(district) is None):
        errors["district"] = "shopper.complaint-district-unknown"
    if len(text) > COMPLAINT_CHARACTERS_MAX:
        errors["text"] = "shopper.complaint-text-long"
    return errors


class Complaints:
    """Takes complaints and lists them.

    Args:
        store: The private store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._buckets = Buckets(1, BURST, CALLERS_MAX)
        self._key = secrets.token_bytes(32)

    def wait_s(self, caller: str, now_ms: int) -> int:
        """Take this address's turn to complain.

        Args:
            caller: The address; counted under a digest, in memory alone.
            now_ms: A clock that never goes back.

        Returns:
            0, or the seconds until it may complain again.
        """
        name = hashlib.blake2b(caller.encode(), key=self._key, digest_size=16).hexdigest()
        return self._buckets.take(name, now_ms * 1000 // REFILL_MS) * (REFILL_MS // 1000)

    def take(self, item: str, kind: str, district: str, text: str, now_ms: int) -> Complaint | None:
        """Keep a complaint that has no errors; blocks. None: too many came today, about these goods or at all."""
        made = FoodComplaint(id=new_id(), item=item, kind=kind, district=district, text=text, made_ms=now_ms, seen_ms=0)
        found = _complaint(made)
        with self._store.write() as session:
            if not _has_place(session, made):
                return None
            session.add(made)
        return found

    def listed(self, *, limit: int, before_ms: int = 1 << 62, item: str = "") -> Sequence[Complaint]:
        """Complaints, the newest first; blocks.

        Args:
            limit: At most so many.
            before_ms: Only those made earlier.
            item: Only those of one item; empty: of all.
        """
        query = select(FoodComplaint).where(FoodComplaint.made_ms < before_ms)
        if item:
            query = query.where(FoodComplaint.item == item)
        with self._store.read() as session:
            rows = session.scalars(query.order_by(FoodComplaint.made_ms.desc(), FoodComplaint.id).limit(limit))
            return [_complaint(row) for row in rows]

    def mark_seen(self, complaint_id: str, now_ms: int) -> None:
        """Note that somebody has read it; blocks."""
        with self._store.write() as session:
            session.execute(
                update(FoodComplaint)
                .where(FoodComplaint.id == complaint_id, FoodComplaint.seen_ms == 0)
                .values(seen_ms=now_ms)
            )

    def forget(self, now_ms: int) -> None:
        """Delete what is older than a year; blocks."""
        with self._store.write() as session:
            session.execute(delete(FoodComplaint).where(FoodComplaint.made_ms <= now_ms - KEPT_MS))


def _complaint(row: FoodComplaint) -> Complaint:
    return Complaint(row.id, row.item, row.kind, row.district, row.text, row.made_ms, row.seen_ms)


def _has_place(session: Session, made: FoodComplaint) -> bool:
    """Whether one more may be kept today."""
    today = select(func.count()).where(FoodComplaint.made_ms > made.made_ms - _DAY_MS)
    limits = [
        (today, PER_DAY_MAX),
        (today.where(FoodComplaint.item == made.item, FoodComplaint.kind == made.kind), ITEM_KIND_MAX),
    ]
    if made.kind != URGENT:
        limits.append((today.where(FoodComplaint.kind != URGENT), PER_DAY_MAX - URGENT_ROOM))
    return all((session.scalar(count) or 0) < most for count, most in limits)
