# SPDX-License-Identifier: Apache-2.0
"""What comes to be captured: a document is read, checked, and divided into events, each with what is wrong with it.

Pure. Under "rollback" one invalid event refuses all; under "proceed" the others go on, and the document is refused as a
whole only for what is wrong with its envelope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain.types import OPERATIONS_MAX, TRANSACTION_BYTES_MAX
from traceability import epcis
from traceability.epcis_json import InvalidDocument, Problem
from traceability.openings import event_bytes

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one document; 2,000 events of ordinary size, and no more, since it is read before it is known who sends it."""
EVENTS_MAX: Final = 2_000
"""Events of one document under "proceed": two seconds of a core to check them."""
ROLLBACK_EVENTS_MAX: Final = 500
"""Events of one document under "rollback": they fit one ledger transaction, if they have few lines of goods."""
EVENT_BYTES_MAX: Final = 256 * 1024
"""Of one event with its context, as it is kept."""

_EVENT_BYTES: Final = 448
_LINE_BYTES: Final = 120
"""At most so many bytes does an operation have, and one line of goods: every field of a projection at its longest."""
_TRANSACTION_SPARE: Final = 4096
_LISTS: Final = (
    "epcList",
    "quantityList",
    "childEPCs",
    "childQuantityList",
    "inputEPCList",
    "inputQuantityList",
    "outputEPCList",
    "outputQuantityList",
)


@dataclass(frozen=True, slots=True)
class Offered:
    """One event of a document.

    Attributes:
        data: Event and context, as they are kept; empty where it is not valid.
        problems: What is wrong with it; pointers into the document.
    """

    data: bytes
    problems: tuple[Problem, ...] = ()


class TooManyEvents(Exception):
    """More than one document may have, or than fit one transaction.

    Attributes:
        limit: How many may.
        reason: Of what there is too much.
    """

    def __init__(self, limit: int, reason: str) -> None:
        super().__init__(reason)
        self.limit = limit
        self.reason = reason


def read_document(raw: bytes, *, is_rollback: bool) -> list[Offered]:
    """The events of a document.

    Args:
        raw: JSON text of an EPCISDocument.
        is_rollback: Whether one invalid event refuses all.

    Raises:
        InvalidDocument: It is none, or it is refused as a whole.
        TooManyEvents: Divide it.
    """
    document = epcis.parse(raw, size_max=BODY_BYTES_MAX)
    if not isinstance(document, Mapping) or document.get("type") != "EPCISDocument":
        raise InvalidDocument([Problem("/type", "must be EPCISDocument")])
    events = epcis.events(document)
    limit = ROLLBACK_EVENTS_MAX if is_rollback else EVENTS_MAX
    if len(events) > limit:
        raise TooManyEvents(limit, f"{len(events)} events, at most {limit} are taken at once")
    problems = epcis.problems(document)
    context = document.get("@context")
    if is_rollback:
        if problems:
            raise InvalidDocument(problems)
        found = [_offer(event, context, _path(index)) for index, event in enumerate(events)]
        faults = [problem for one in found for problem in one.problems]
        if faults:
            raise InvalidDocument(faults)
        check_fits(events)
        return found
    outside = [problem for problem in problems if not problem.path.startswith("/epcisBody/eventList/")]
    if outside:
        raise InvalidDocument(outside)
    if not problems:
        return [_offer(event, context, _path(index)) for index, event in enumerate(events)]
    return [_checked(event, context, _path(index)) for index, event in enumerate(events)]


def read_event(raw: bytes) -> Offered:
    """One event that is a document of its own.

    Raises:
        InvalidDocument: It is none.
    """
    event = epcis.parse(raw, size_max=EVENT_BYTES_MAX)
    kind = event.get("type") if isinstance(event, Mapping) else None
    if kind not in epcis.EVENT_TYPES:
        raise InvalidDocument([Problem("/type", f"must be one of {', '.join(epcis.EVENT_TYPES)}")])
    epcis.validate(event)
    offered = _offer(event, None, "")
    if offered.problems:
        raise InvalidDocument(offered.problems)
    check_fits([event])
    return offered


def size_max_of(event: Mapping[str, Any]) -> int:
    """At most so many bytes has the operation that records an event."""
    lines = sum(len(event.get(name, ())) for name in _LISTS)
    return _EVENT_BYTES + _LINE_BYTES * lines


def check_fits(events: Sequence[Mapping[str, Any]]) -> None:
    """Check that events fit one ledger transaction.

    Raises:
        TooManyEvents: They do not.
    """
    size = sum(size_max_of(event) for event in events)
    if len(events) > OPERATIONS_MAX or size > TRANSACTION_BYTES_MAX - _TRANSACTION_SPARE:
        raise TooManyEvents(
            ROLLBACK_EVENTS_MAX,
            f"events of {size} bytes on the ledger, at most {TRANSACTION_BYTES_MAX - _TRANSACTION_SPARE} fit one "
            "transaction; send fewer at once, or with the error behaviour proceed",
        )


def _checked(event: Any, context: object, path: str) -> Offered:
    """One event, checked by itself: the whole document has more faults than one answer lists."""
    own = event.get("@context") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping):
        return Offered(b"", (Problem(path, "must be an object"),))
    parts: list[Any] = []
    for one in (context, own):
        parts += [part for part in (one if isinstance(one, list) else [one]) if part is not None and part not in parts]
    problems = epcis.problems({**event, "@context": parts, "type": event.get("type", "")})
    if problems:
        return Offered(b"", tuple(Problem(path + problem.path, problem.reason) for problem in problems))
    return _offer(event, context, path)


def _offer(event: Mapping[str, Any], context: object, path: str) -> Offered:
    """A valid event as it is kept; one that is too long is refused."""
    data = event_bytes(event, context)
    if len(data) > EVENT_BYTES_MAX:
        reason = f"has {len(data)} bytes with its context; at most {EVENT_BYTES_MAX} are taken"
        return Offered(b"", (Problem(path, reason),))
    return Offered(data)


def _path(index: int) -> str:
    return f"/epcisBody/eventList/{index}"
