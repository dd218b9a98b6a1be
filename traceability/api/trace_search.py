# SPDX-License-Identifier: Apache-2.0
"""The index as the store that searches ask: a few questions for a whole generation of goods, whatever its size."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, select

from traceability.api.trace_index import chunks, events_table, numbers_of, touches_table
from traceability.pb import traceability_pb2 as pb
from traceability.trace_store import TraceEvent, trace_event


class IndexedEvents:
    """Events of the index; keeps what one search has met, so make one for each.

    Args:
        connection: For reading, as of one moment: what is recorded meanwhile stays out.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[int, TraceEvent] = {}

    def touching(self, items: Sequence[str]) -> Mapping[str, Sequence[TraceEvent]]:
        """See `traceability.trace_store.Store`."""
        numbers = numbers_of(self._connection, items)
        listed: dict[int, list[int]] = {number: [] for number in numbers.values()}
        for some in chunks(list(listed)):
            rows = self._connection.execute(
                select(touches_table.c.item, touches_table.c.event)
                .where(touches_table.c.item.in_(some))
                .order_by(touches_table.c.item, touches_table.c.event)
            )
            for item, event in rows:
                listed[item].append(event)
        self._load(listed.values())
        return {item: [self._known[event] for event in listed[number]] for item, number in numbers.items()}

    def _load(self, lists: Iterable[list[int]]) -> None:
        """Read the events that no earlier question met."""
        missing = sorted({event for events in lists for event in events} - self._known.keys())
        columns = events_table.c
        for some in chunks(missing):
            rows = self._connection.execute(
                select(columns.number, columns.projection, columns.unpacked, columns.declared_ms).where(
                    columns.number.in_(some)
                )
            )
            for number, projection, unpacked, declared_ms in rows:
                came_out = [(line.item, line.quantity) for line in pb.Projection.FromString(unpacked).lines]
                self._known[number] = trace_event(
                    pb.Projection.FromString(projection), number, unpacked=came_out, in_error=bool(declared_ms)
                )
