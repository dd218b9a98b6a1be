# SPDX-License-Identifier: Apache-2.0
"""Events as searches look at them, and what a store of them answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from traceability.acts import Act, act_of
from traceability.pb import traceability_pb2 as pb


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """What a search looks at of an event.

    Attributes:
        id: On the chain; 32 bytes.
        number: Rises in the order of recording.
        time_ms: As its author states it; nothing is concluded from it.
        lines: Item and quantity in millionths, 0 for an object: goods, children, inputs. Of an unpacking, what came
            out, also where the event names nothing: the index fills it in from the container's contents.
        outputs: Likewise, of a transformation.
        process: Joins the parts of one transformation, within one actor; empty: it has none.
        in_error: It was declared in error.
    """

    id: bytes
    number: int
    time_ms: int
    act: Act
    actor: str
    lines: tuple[tuple[str, int], ...] = ()
    outputs: tuple[tuple[str, int], ...] = ()
    place: str = ""
    counterparty: str = ""
    carrier: str = ""
    parent: str = ""
    process: bytes = b""
    in_error: bool = False

    @property
    def items(self) -> tuple[str, ...]:
        """Everything under which a store lists the event: goods, outputs, container, and its process."""
        names = [item for item, _ in (*self.lines, *self.outputs)]
        names += [self.parent] if self.parent else []
        names += [process_item(self.actor, self.process)] if self.process else []
        return tuple(dict.fromkeys(names))


def process_item(actor: str, process: bytes) -> str:
    """The name under which a transformation in parts is listed, as if it were a container of mass."""
    return f"process/{actor}/{process.hex()}"


def trace_event(
    projection: pb.Projection, number: int, *, unpacked: Iterable[tuple[str, int]] = (), in_error: bool = False
) -> TraceEvent:
    """What a search needs of a recorded event.

    Args:
        projection: As it stands in the log; it was executed.
        number: Of the event.
        unpacked: For an unpacking that names no goods: what was in the container.
        in_error: Whether it was declared in error since.
    """
    lines = tuple((line.item, line.quantity) for line in projection.lines)
    return TraceEvent(
        id=projection.id,
        number=number,
        time_ms=projection.event_time_ms,
        act=act_of(projection),
        actor=projection.actor,
        lines=lines or tuple(sorted(unpacked)),
        outputs=tuple((line.item, line.quantity) for line in projection.outputs),
        place=projection.place,
        counterparty=projection.counterparty,
        carrier=projection.carrier,
        parent=projection.parent,
        process=projection.process,
        in_error=in_error,
    )


class Store(Protocol):
    """Events by the items that they name."""

    def touching(self, items: Sequence[str]) -> Mapping[str, Sequence[TraceEvent]]:
        """For each item, the events that list it, in the order of recording; none: left out."""
        ...


class EventsInMemory:
    """The store for tests and small sets."""

    def __init__(self, events: Iterable[TraceEvent]) -> None:
        self._events: dict[str, list[TraceEvent]] = {}
        for event in sorted(events, key=_number_of):
            for item in event.items:
                self._events.setdefault(item, []).append(event)

    def touching(self, items: Sequence[str]) -> Mapping[str, Sequence[TraceEvent]]:
        """See `Store`."""
        return {item: self._events[item] for item in items if item in self._events}


def _number_of(event: TraceEvent) -> int:
    return event.number
