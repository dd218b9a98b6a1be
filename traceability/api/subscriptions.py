# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to named queries: new events go to a receiver, who gets the next ones once it has taken these.

A subscription's place moves only after the receiver's 200, in the order of recording; a crash in between sends the same
document again, with the same events. A receiver that fails is tried again ever more seldom, and holds nobody up.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.problems import Problem
from service.store import Store, cipher, new_id
from traceability.api.problems import NO_RESOURCE, TOO_MANY_NAMES
from traceability.api.schedules import Schedule, read_schedule
from traceability.api.tables import FoodClient, FoodQuery, FoodSubscription
from traceability.api.webhooks import check_url
from traceability.epcis_json import InvalidDocument
from traceability.epcis_json import Problem as Fault

SUBSCRIPTIONS_MAX: Final = 50
"""Of one owner; each costs a look at the index whenever something is recorded."""
TOKEN_CHARACTERS: Final = (16, 256)
TURN_MAX: Final = 200
"""Looked at in one turn; whoever was looked at goes to the end of the queue."""
BACK_OFF_MS: Final = 2_000
BACK_OFF_MS_MAX: Final = 3_600_000
_MEMBERS: Final = frozenset(
    {"dest", "signatureToken", "stream", "schedule", "reportIfEmpty", "initialRecordTime", "@context"}
)


@dataclass(frozen=True, slots=True)
class Controls:
    """When a subscription wants events.

    Attributes:
        schedule: As JSON; None: each event at once.
        report_if_empty: Whether a scheduled time without events is reported, too.
        initial: From which block's time on; empty: from now on.
    """

    schedule: Mapping[str, Any] | None
    report_if_empty: bool
    initial: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A subscription that somebody wants.

    Attributes:
        schedule: As JSON; None: each event at once.
        initial: From which block's time on; empty: from now on.
    """

    dest: str
    token: str
    schedule: Mapping[str, Any] | None
    report_if_empty: bool
    initial: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """One that is kept.

    Attributes:
        place: Number of the last event that the receiver has acknowledged.
        schedule: None: each event at once.
    """

    id: str
    gln: str
    query: str
    dest: str
    token: bytes
    schedule: Schedule | None
    report_if_empty: bool
    place: int
    failures: int


def read_subscription(document: object, networks: Sequence[str]) -> Asked:
    """A subscription from its JSON form.

    Args:
        document: As parsed.
        networks: Private networks that the operator allows.

    Raises:
        InvalidDocument: With the field at fault.
    """
    if not isinstance(document, dict):
        raise InvalidDocument([Fault("", "must be an object")])
    faults = [Fault(f"/{name}", "is no field of a subscription") for name in document if name not in _MEMBERS]
    token = document.get("signatureToken")
    low, high = TOKEN_CHARACTERS
    if not isinstance(token, str) or not low <= len(token) <= high:
        faults.append(Fault("/signatureToken", f"must have {low} to {high} characters; it proves who sends"))
    controls = read_controls(document, faults)
    dest = check_url(document.get("dest"), networks)
    return Asked(dest, str(token), controls.schedule, controls.report_if_empty, controls.initial)


def read_controls(document: Mapping[str, Any], faults: Sequence[Fault] = ()) -> Controls:
    """When a subscription wants events, from its JSON form.

    Args:
        document: As parsed; other members are not looked at.
        faults: What is wrong with those.

    Raises:
        InvalidDocument: With the fields at fault.
    """
    found = list(faults)
    schedule = document.get("schedule")
    if (schedule is None) is not (document.get("stream") is True):
        found.append(Fault("/schedule", "either stream is true, or there is a schedule"))
    if schedule is not None and not isinstance(schedule, dict):
        found.append(Fault("/schedule", "must be an object"))
    empty = document.get("reportIfEmpty", False)
    if not isinstance(empty, bool):
        found.append(Fault("/reportIfEmpty", "must be true or false"))
    initial = document.get("initialRecordTime", "")
    if not isinstance(initial, str):
        found.append(Fault("/initialRecordTime", "must be a time with an offset"))
    if found:
        raise InvalidDocument(found)
    if schedule is not None:
        read_schedule(schedule)
    return Controls(schedule, bool(empty), str(initial))


class Subscriptions:
    """The subscriptions of one store.

    Args:
        store: The private store.
        now: Unix time in ms.
    """

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._key = store.secret("food/webhooks")

    def add(self, gln: str, query: str, asked: Asked, place: int) -> str:
        """Keep a subscription; its id.

        Args:
            gln: Whose.
            query: The named query.
            asked: What was checked.
            place: Events behind this number are sent.

        Raises:
            Problem: There is no such query, or too many subscriptions.
        """
        made = new_id()
        schedule = None if asked.schedule is None else read_schedule(asked.schedule)
        due = self._now() if schedule is None else schedule.next_after(self._now())
        with self._store.write() as session:
            if session.get(FoodQuery, (gln, query)) is None:
                raise Problem(NO_RESOURCE)
            count = select(func.count()).select_from(FoodSubscription).where(FoodSubscription.gln == gln)
            if (session.scalar(count) or 0) >= SUBSCRIPTIONS_MAX:
                raise Problem(TOO_MANY_NAMES, {"count": SUBSCRIPTIONS_MAX})
            row = FoodSubscription(
                id=made,
                gln=gln,
                query=query,
                dest=asked.dest,
                secret=cipher.seal(self._key, asked.token.encode(), cipher.place("food_subscription", made)),
                schedule="" if asked.schedule is None else json.dumps(asked.schedule),
                report_if_empty=asked.report_if_empty,
                place=place,
                due_ms=due or 0,
                failures=0,
                made_ms=self._now(),
                heard_ms=0,
            )
            session.add(row)
        return made

    def listed(self, gln: str, query: str) -> list[dict[str, Any]]:
        """An owner's subscriptions to a query; no token is shown."""
        with self._store.read() as session:
            wanted = select(FoodSubscription).where(FoodSubscription.gln == gln, FoodSubscription.query == query)
            return [_shown(row) for row in session.scalars(wanted.order_by(FoodSubscription.made_ms)).all()]

    def find(self, gln: str, query: str, subscription: str) -> dict[str, Any] | None:
        """One of them; None: there is none."""
        with self._store.read() as session:
            row = _own(session, gln, query, subscription)
            return None if row is None else _shown(row)

    def remove(self, gln: str, query: str, subscription: str) -> bool:
        """End one; False: there is none."""
        with self._store.write() as session:
            row = _own(session, gln, query, subscription)
            if row is None:
                return False
            session.delete(row)
            return True

    # ------------------------------------------------------------ for the worker

    def due(self, but: Collection[str] = ()) -> list[Subscription]:
        """Those whose time has come, the longest waiting first; owners without a key in use wait.

        Args:
            but: Owners that are being served already.
        """
        with self._store.read() as session:
            alive = select(FoodClient.gln).where(FoodClient.ended_ms.is_(None))
            wanted = select(FoodSubscription).where(
                FoodSubscription.due_ms <= self._now(),
                FoodSubscription.gln.in_(alive),
                FoodSubscription.gln.not_in(but),
            )
            rows = session.scalars(wanted.order_by(FoodSubscription.due_ms).limit(TURN_MAX)).all()
            return [self._read(row) for row in rows]

    def acknowledged(self, one: Subscription, place: int) -> None:
        """The receiver has taken everything up to a place, or nothing up to there is for it."""
        self._move(one, place, failures=0, due_ms=self._next(one))

    def refused(self, one: Subscription) -> None:
        """The receiver did not say 200: the same again, later."""
        wait_ms = min(BACK_OFF_MS << min(one.failures, 20), BACK_OFF_MS_MAX)
        jitter_ms = secrets.randbelow(wait_ms // 4 + 1)  # so that many do not come back at once
        self._move(one, one.place, failures=one.failures + 1, due_ms=self._now() + wait_ms + jitter_ms)

    def more(self, one: Subscription, place: int) -> None:
        """The receiver has taken a part, and there is more: at once."""
        self._move(one, place, failures=0, due_ms=self._now())

    def _next(self, one: Subscription) -> int:
        """When it is due again: at once for streams, which then wait for something to be recorded."""
        if one.schedule is None:
            return self._now()
        return one.schedule.next_after(self._now()) or 2**62

    def _move(self, one: Subscription, place: int, *, failures: int, due_ms: int) -> None:
        with self._store.write() as session:
            row = session.get(FoodSubscription, one.id, with_for_update=True)
            if row is not None and row.place == one.place:
                if place != row.place:
                    row.heard_ms = self._now()
                row.place, row.failures, row.due_ms = place, failures, due_ms

    def _read(self, row: FoodSubscription) -> Subscription:
        token = cipher.unseal(self._key, row.secret, cipher.place("food_subscription", row.id))
        schedule = read_schedule(json.loads(row.schedule)) if row.schedule else None
        return Subscription(
            row.id, row.gln, row.query, row.dest, token, schedule, row.report_if_empty, row.place, row.failures
        )


def _own(session: Session, gln: str, query: str, subscription: str) -> FoodSubscription | None:
    row = session.get(FoodSubscription, subscription)
    return row if row is not None and (row.gln, row.query) == (gln, query) else None


def _shown(row: FoodSubscription) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "subscriptionID": row.id,
        "dest": row.dest,
        "reportIfEmpty": row.report_if_empty,
        "zhixin:failures": row.failures,
    }
    return shown | ({"schedule": json.loads(row.schedule)} if row.schedule else {"stream": True})
