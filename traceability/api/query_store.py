# SPDX-License-Identifier: Apache-2.0
"""Answers queries from the index of the chain: candidates by index, each shown as the caller may see it, then tested.

A participant sees its own events whole as far as they were captured here, and of others the public part of those that
name it, or goods that it names; a food regulator the public part of all; anybody the way of goods that they name, as on
the page of a label, without amounts and buyers. Only certified events are answered, and each look at the index is
bounded: an answer may be shorter than a page, or empty, and yet lead on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select
from sqlalchemy.orm import Session

from service.problems import Problem
from traceability import epcis_vocabulary as cbv
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.kept import Owner, Whole, find_events, find_owner, load_events
from traceability.api.problems import GOODS_NEEDED, QUERY_TOO_COMPLEX, QUERY_TOO_LARGE
from traceability.api.query_match import GOODS_PARAMETERS, canonical, names_some, test_of
from traceability.api.query_parameters import Query
from traceability.api.query_public import CONTEXT, STEM, public_event, time_text
from traceability.api.query_shown import Shown, Test, moment_ms
from traceability.api.tables import FoodCapture, FoodSubmission
from traceability.api.trace_index import events_table, items_table, parties_table, touches_table
from traceability.api.trace_records import Records
from traceability.epcis_context import Context
from traceability.items import gtin_of, is_product
from traceability.pb import traceability_pb2 as pb
from traceability.projection import word_of

SCAN_MAX: Final = 1_000
"""Events that one answer looks through; some tens of milliseconds."""
ROUNDS_MAX: Final = 20
"""Looks at the index for an answer that is not paged."""
ITEMS_MAX: Final = 2_000
"""Lots and serials of a product that one query looks for."""

_C = events_table.c


@dataclass(frozen=True, slots=True)
class Found:
    """A page.

    Attributes:
        events: As EPCIS events.
        place: After which the next page begins; None: there is none.
        last: Number of the last event that was looked at; None: there was none.
        waits: There is more that is not kept yet: look again soon.
    """

    events: list[dict[str, Any]]
    place: list[int] | None
    last: int | None = None
    waits: bool = False


class QueryStore:
    """Answers of one service.

    Args:
        context: Has index and store.
    """

    def __init__(self, context: TraceContext) -> None:
        self._context = context

    def page(
        self, query: Query, client: Client | None, place: Sequence[int] | None, size: int, *, is_feed: bool = False
    ) -> Found:
        """One page of an answer.

        Args:
            query: What is asked for.
            client: Who asks; None: anybody.
            place: After which to go on; None: the beginning.
            size: Events of a page.
            is_feed: Each event is answered once: the page ends before one of the caller's that was captured here and is
                on the ledger, but not kept yet, so that the caller gets it whole.

        Raises:
            Problem: The caller has to name goods, or there are more events than the query allows.
        """
        found: list[dict[str, Any]] = []
        with self._context.reading() as connection, self._context.store.read() as session:
            look = _Look(self._context, connection, session, query, client, is_feed=is_feed)
            for looked_at, (row, event) in enumerate(look.events(place), 1):
                place = [row.time_ms, row.number]
                if event is not None:
                    found.append(event)
                if len(found) == size or looked_at == SCAN_MAX:
                    return Found(found, list(place), row.number)
        return Found(found, None, None if place is None else place[1], waits=look.waits)

    def since(self, query: Query, client: Client, number: int, size: int) -> Found:
        """What was recorded after an event, in the order of recording; as `page`.

        Args:
            query: What is asked for; its order and counts are not looked at.
            client: Who asks.
            number: Of the event.
            size: At most so many.
        """
        query = replace(query, order_by="recordTime", is_descending=False, limit=0, count_max=0)
        return self.page(query, client, [0, number], size, is_feed=True)

    def newest(self, before_ms: int | None) -> int:
        """The number of the newest event in the index; -1: there is none.

        Args:
            before_ms: Only of blocks before this time; None: of all.
        """
        wanted = select(_C.number).order_by(_C.number.desc()).limit(1)
        if before_ms is not None:
            wanted = wanted.where(_C.recorded_ms < before_ms)
        with self._context.reading() as connection:
            found = connection.execute(wanted).scalar()
        return -1 if found is None else int(found)

    def whole(self, query: Query, client: Client | None) -> list[dict[str, Any]]:
        """All events of a query that says how many it takes.

        Args:
            query: With `limit` or `count_max`.
            client: Who asks; None: anybody.

        Raises:
            Problem: There are more than `count_max`, or too much has to be looked through.
        """
        wanted = query.limit or query.count_max + 1
        place: Sequence[int] | None = None
        found: list[dict[str, Any]] = []
        for _ in range(ROUNDS_MAX):
            part = self.page(query, client, place, wanted - len(found))
            found += part.events
            place = part.place
            if len(found) >= wanted or place is None:
                if query.count_max and len(found) > query.count_max:
                    raise Problem(QUERY_TOO_LARGE, {"count": query.count_max})
                return found
        raise Problem(QUERY_TOO_COMPLEX)


class _Look:
    """One look at the index for one query."""

    def __init__(
        self,
        context: TraceContext,
        connection: Connection,
        session: Session,
        query: Query,
        client: Client | None,
        *,
        is_feed: bool,
    ) -> None:
        self.waits = False
        self._is_feed = is_feed
        self._connection = connection
        self._session = session
        self._query = query
        self._test: Test = test_of(query)
        self._records = Records(connection)
        self._client = client
        self._owner: Owner | None = None
        if client is not None and not client.is_regulator:
            self._owner = find_owner(context.store, session, client.gln)

    def events(self, place: Sequence[int] | None) -> Iterator[tuple[Row[Any], dict[str, Any] | None]]:
        """Candidates in order, each with the event as it is shown, or None where the query does not mean it."""
        statement = self._statement(place)
        if statement is None:
            return
        while True:
            rows = self._connection.execute(statement.limit(200)).all()
            own = self._own(rows)
            for row in rows:
                if self._is_feed and row.id not in own and self._is_on_its_way(row):
                    self.waits = True
                    return
                yield row, self._shown(row, own)
            if len(rows) < 200:
                return
            statement = self._statement([rows[-1].time_ms, rows[-1].number])
            assert statement is not None, "the same question as before"

    def _is_on_its_way(self, row: Row[Any]) -> bool:
        """Whether an event that is not kept may be one of the owner's whose outcome is just being stored."""
        if self._owner is None or row.actor != self._owner.gln:
            return False
        mine = select(FoodSubmission.capture).join(FoodCapture, FoodCapture.number == FoodSubmission.capture)
        return self._session.scalar(mine.where(FoodCapture.owner_id == self._owner.id).limit(1)) is not None

    # ------------------------------------------------------------ candidates

    def _statement(self, place: Sequence[int] | None) -> Select[Any] | None:
        """Candidates in the query's order; None: there can be none."""
        query = self._query
        statement: Select[Any] = select(
            _C.number, _C.id, _C.time_ms, _C.recorded_ms, _C.actor, _C.projection, _C.unpacked, _C.declared_ms
        )
        items = self._items()
        time: ColumnElement[int] = _C.time_ms
        number: ColumnElement[int] = _C.number
        if items is not None:
            if not items:
                return None
            touching = select(touches_table.c.event).where(touches_table.c.item.in_(items))
            statement = statement.where(_C.number.in_(touching))
        elif self._client is None:
            raise Problem(GOODS_NEEDED)
        elif not self._client.is_regulator:
            statement = statement.join(parties_table, parties_table.c.event == _C.number)
            statement = statement.where(parties_table.c.party == self._client.gln)
            time, number = parties_table.c.time_ms, parties_table.c.event
        for condition in self._conditions(time):
            statement = statement.where(condition)
        by_record = query.order_by == "recordTime"
        if place is not None:
            statement = statement.where(_after(time, number, place, by_record=by_record, down=query.is_descending))
        order = [number] if by_record else [time, number]
        return statement.order_by(*(column.desc() if query.is_descending else column for column in order))

    def _conditions(self, time: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
        """What columns say; each is implied by the query."""
        parameters = self._query.parameters
        for name, column in (("eventTime", time), ("recordTime", _C.recorded_ms)):
            for operator in ("GE", "GT"):
                if f"{operator}_{name}" in parameters:
                    yield column >= int(moment_ms(parameters[f"{operator}_{name}"]))
            for operator in ("LT", "LE"):
                if f"{operator}_{name}" in parameters:
                    yield column <= int(moment_ms(parameters[f"{operator}_{name}"])) + 1
        if "eventType" in parameters:
            yield _C.type.in_([pb.EventType.Value(_type_name(one)) for one in parameters["eventType"]])
        if "EQ_bizStep" in parameters:
            words = [word_of(one, cbv.BIZ_STEP, Context()) for one in parameters["EQ_bizStep"]]
            yield _C.step.in_([pb.BusinessStep.Value(f"BUSINESS_STEP_{one.upper()}") if one else 0 for one in words])
        if "EQ_disposition" in parameters:
            words = [word_of(one, cbv.DISPOSITION, Context()) for one in parameters["EQ_disposition"]]
            yield _C.disposition.in_(
                [pb.Disposition.Value(f"DISPOSITION_{one.upper()}") if one else 0 for one in words]
            )
        if "EQ_eventID" in parameters:
            ids = (
                ()
                if self._owner is None
                else find_events(self._session, self._owner, parameters["EQ_eventID"]).values()
            )
            yield _C.id.in_(list(ids))

    def _items(self) -> list[int] | None:
        """Numbers of the goods that a query names; None: it names none. Products stand for all that is of them."""
        named: set[str] | None = None
        for parameter in GOODS_PARAMETERS:
            texts = self._query.parameters.get(parameter)
            if texts is not None and all(map(names_some, texts)):
                names = {canonical(text).removeprefix(STEM) for text in texts}
                named = names if named is None else named | names
        if named is None:
            return None
        products = sorted(name for name in named if is_product(name))
        found = self._connection.execute(
            select(items_table.c.number).where(items_table.c.item.in_(sorted(named))).limit(ITEMS_MAX)
        ).scalars()
        numbers = set(found)
        for product in products:
            below = and_(items_table.c.item > f"{product}/", items_table.c.item < f"{product}0")
            rows = self._connection.execute(select(items_table.c.number).where(below).limit(ITEMS_MAX)).scalars()
            numbers |= set(rows)
        if len(numbers) >= ITEMS_MAX:
            raise Problem(QUERY_TOO_LARGE, {"count": ITEMS_MAX})
        return sorted(numbers)

    # ------------------------------------------------------------ showing

    def _own(self, rows: Sequence[Row[Any]]) -> dict[bytes, Whole]:
        """The caller's own events among some, whole; names of the others' goods are read at once."""
        self._records.load(
            "product",
            {
                gtin_of(line.item)
                for row in rows
                for line in pb.Projection.FromString(row.projection).lines
                if line.item.startswith("01/")
            },
        )
        if self._owner is None:
            return {}
        mine = [row.id for row in rows if row.actor == self._owner.gln]
        return dict(load_events(self._session, self._owner, mine))

    def _shown(self, row: Row[Any], own: dict[bytes, Whole]) -> dict[str, Any] | None:
        """An event as the caller may see it; None: the query does not mean it."""
        whole = own.get(row.id)
        if whole is None:
            projection = pb.Projection.FromString(row.projection)
            is_bare = self._client is None
            event = public_event(projection, row.recorded_ms, self._records.unit_of, is_bare=is_bare)
            context: object = CONTEXT
        else:
            event, context = whole.event, whole.context
            event["recordTime"] = time_text(row.recorded_ms)
            if context is not None and context != CONTEXT[0]:
                event = {"@context": context, **event}
        if row.declared_ms and "errorDeclaration" not in event:
            event["errorDeclaration"] = {"declarationTime": time_text(row.declared_ms)}
        return event if self._test(Shown(event, context, row.recorded_ms)) else None


def _after(
    time: ColumnElement[int], number: ColumnElement[int], place: Sequence[int], *, by_record: bool, down: bool
) -> ColumnElement[bool]:
    """Only what comes after a place in the order."""
    time_ms, last = place
    if by_record:
        return number < last if down else number > last
    if down:
        return or_(time < time_ms, and_(time == time_ms, number < last))
    return or_(time > time_ms, and_(time == time_ms, number > last))


def _type_name(name: str) -> str:
    return f"EVENT_TYPE_{name.removesuffix('Event').upper()}"
