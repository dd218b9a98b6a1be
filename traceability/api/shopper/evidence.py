# SPDX-License-Identifier: Apache-2.0
"""What proves a journey: each event's place in the log and all records that a page rests on, under one checkpoint.

A page is written from this and nothing else, so that what it shows is what a phone can check. What never changes of a
proof is kept; paths and states are asked for anew, so that a recall shows within seconds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.pb import ledger_pb2
from chain.receipt import make
from chain.types import TRANSACTION_BYTES_MAX, TransactionId
from client.answers import Certification, ProvenState, ProvenTransaction
from client.errors import TransportError
from client.session import REQUEST_COUNT_MAX
from service.turns import Turns
from traceability.api.context import TraceContext
from traceability.api.shopper.code import anchor_keys, anchoring_organisations
from traceability.api.shopper.journey import Journey, journey_of
from traceability.api.shopper.opened import Opener, Opening
from traceability.api.trace_index import chunks, events_table
from traceability.api.trace_search import IndexedEvents
from traceability.events import event_key
from traceability.goods import FIRST_HISTORY, lot_key, next_history, object_key
from traceability.items import Kind, gtin_of, kind_of
from traceability.participants import participant_key
from traceability.pb import traceability_pb2 as pb
from traceability.products import place_key, product_key
from traceability.recalls import recall_keys

FRESH_MS: Final = 5_000
"""How long an answer is given again: a recall shows within so much more than its block takes."""
STALE_MS_MAX: Final = 24 * 3_600_000
"""While no node answers, so old an answer still is given; it says its age."""
KEPT_MAX: Final = 256
"""Journeys that are kept; some 200 KB each."""
PARTS_KEPT_MAX: Final = 20_000
"""Events whose unchanging proof is kept; some 2 KB each."""
ASKED_AT_ONCE: Final = 4
"""Journeys that nodes are asked for at once: to a node this service is one client."""
WAITING_MAX: Final = 64
TRIES: Final = 6
"""Index and nodes may be a block apart; a block takes less than a second."""
PAUSE_S: Final = 0.25


class Ledger(Protocol):
    """What is asked of nodes; `client.session.Session` is one."""

    async def receipts(
        self, identifiers: Sequence[TransactionId], *, operation_index: int = 0, all_operations: bool = False
    ) -> dict[TransactionId, list[ProvenTransaction]]:
        """Receipts of transactions by id, verified."""
        ...

    async def read_many(self, keys: Sequence[bytes], *, height: int = 0) -> list[ProvenState]:
        """State keys under one checkpoint, in the order asked."""
        ...


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """One event with what state says of it.

    Attributes:
        message: As it stands in the log.
        record: Its record: when it was recorded, discrepancies, whether it was declared in error.
    """

    message: pb.RecordEvent
    record: pb.EventRecord


@dataclass(frozen=True, slots=True)
class Evidence:
    """A journey with its proof.

    Attributes:
        events: In the order of the log.
        states: Every record that was asked for, or None where there is none, which is proven too.
        openings: Private fields that are shown, with their paths to the events' commitments.
    """

    journey: Journey
    events: tuple[ShownEvent, ...]
    states: Mapping[bytes, bytes | None]
    openings: tuple[Opening, ...]
    inclusions: tuple[ledger_pb2.Inclusion, ...]
    proofs: tuple[ledger_pb2.StateProof, ...]
    certification: Certification

    @property
    def checkpoint(self) -> Checkpoint:
        """Under which all of it is proven."""
        return self.certification.checkpoint

    def receipt(self, from_epoch: int = 0) -> bytes:
        """Bytes of one `Receipt` for all of it.

        Args:
            from_epoch: The newest epoch that the receiver knows; what closed those before it is left out.
        """
        closings = [
            closing
            for closing in self.certification.closings
            if Checkpoint.decode(closing.certified.checkpoint).epoch >= from_epoch
        ]
        return make(self.inclusions, self.proofs, self.certification.certified, closings)


@dataclass(frozen=True, slots=True)
class _Kept:
    evidence: Evidence
    at_ms: int


class Evidences:
    """Gathers journeys' proofs, and gives a fresh one again.

    Args:
        context: Of the service.
        opener: Opens what captured events say to shoppers.

    Attributes:
        organisations: Whose anchors of the page's program each proof carries.
    """

    def __init__(self, context: TraceContext, opener: Opener) -> None:
        self.organisations = anchoring_organisations(context.genesis)
        self._context = context
        self._opener = opener
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._parts: OrderedDict[bytes, ledger_pb2.Inclusion] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Evidence | None]] = {}
        self._turns = Turns(ASKED_AT_ONCE, WAITING_MAX)

    async def of(self, item: str) -> Evidence | None:
        """A journey with its proof, at most some seconds old; None where nothing is known of the item.

        Raises:
            TransportError: No node gives an answer that verifies, and none has lately.
            Problem: Too many ask at once.
        """
        kept = self._kept.get(item)
        now_ms = self._context.now()
        if kept is not None and 0 <= now_ms - kept.at_ms < FRESH_MS:
            return kept.evidence
        task = self._under_way.get(item)
        if task is None:
            task = asyncio.create_task(self._gather(item))
            self._under_way[item] = task
            task.add_done_callback(lambda _: self._under_way.pop(item, None))
        try:
            return await asyncio.shield(task)
        except TransportError:
            if kept is not None and now_ms - kept.at_ms < STALE_MS_MAX:
                return kept.evidence
            raise

    async def _gather(self, item: str) -> Evidence | None:
        async with self._turns.turn():
            for tries in range(TRIES):
                if tries:
                    await asyncio.sleep(PAUSE_S)
                found = await run_in_threadpool(self._find, item)
                evidence = None if found is None else await self._prove(*found)
                if found is None:  # not kept: whoever asks for what is not there drives nothing out
                    return None
                if evidence is not None:
                    self._kept[item] = _Kept(evidence, self._context.now())
                    self._kept.move_to_end(item)
                    if len(self._kept) > KEPT_MAX:
                        self._kept.popitem(last=False)
                    return evidence
        raise TransportError("the index and the nodes do not agree yet; try again", "transport.behind")

    def _find(self, item: str) -> tuple[Journey, list[tuple[TransactionId, int, bytes]]] | None:
        """The journey, and of each of its events the transaction, the place in it, and the event's id."""
        with self._context.reading() as connection:
            journey = journey_of(IndexedEvents(connection), item)
            if journey is None:
                return None
            columns = events_table.c
            places: dict[int, tuple[TransactionId, int, bytes]] = {}
            for some in chunks([event.number for event in journey.events]):
                rows = connection.execute(
                    select(columns.number, columns.transaction_id, columns.id).where(columns.number.in_(some))
                )
                places |= {number: (TransactionId(name), number % 1024, one) for number, name, one in rows}
        return journey, [places[event.number] for event in journey.events]

    async def _prove(self, journey: Journey, places: list[tuple[TransactionId, int, bytes]]) -> Evidence | None:
        """All proofs at one checkpoint; None where index and nodes are of different moments."""
        session: Ledger = self._context.door.session
        await self._learn(session, places)
        paths = await session.receipts(list(dict.fromkeys(name for name, _, _ in places)))
        inclusions: list[ledger_pb2.Inclusion] = []
        for name, _, event in places:
            part, path = self._parts.get(event), paths.get(name)
            if part is None or not path:
                return None
            proof = path[0].proof
            inclusions.append(_joined(part, proof))
        certification = next(iter(paths.values()))[0].certification
        events = [_event_of(inclusion) for inclusion in inclusions]
        openings = await run_in_threadpool(self._opener.open, events)
        keys = _keys_of(journey, events) | anchor_keys(self.organisations)
        proven = [
            state
            for some in _chunks(sorted(keys))
            for state in await session.read_many(some, height=certification.checkpoint.height)
        ]
        states = {state.key: state.value for state in proven}
        if not _fits(journey, states):
            return None
        shown = tuple(
            ShownEvent(event, pb.EventRecord.FromString(states[event_key(event.projection.id)] or b""))
            for event in events
        )
        proofs = tuple(state.proof for state in proven)
        return Evidence(journey, shown, states, openings, tuple(inclusions), proofs, certification)

    async def _learn(self, session: Ledger, places: list[tuple[TransactionId, int, bytes]]) -> None:
        """Have the parts of proofs that never change: operations with their paths in their transactions."""
        wanted = {(name, place): event for name, place, event in places if event not in self._parts}
        missing = list(dict.fromkeys(name for name, _ in wanted))
        while missing:
            found = await session.receipts(missing, all_operations=True)
            for name, proofs in found.items():
                for proven in proofs:
                    event = wanted.get((name, proven.operation_index))
                    if event is not None:
                        self._parts[event] = proven.proof
            if not found:
                return
            missing = [name for name in missing if name not in found]
        while len(self._parts) > PARTS_KEPT_MAX:
            self._parts.popitem(last=False)


def _joined(part: ledger_pb2.Inclusion, path: ledger_pb2.Inclusion) -> ledger_pb2.Inclusion:
    """An operation's own part with the way of its entry to today's log."""
    return ledger_pb2.Inclusion(
        operation=part.operation,
        operation_index=part.operation_index,
        operation_path=part.operation_path,
        entry=path.entry,
        leaf_index=path.leaf_index,
        path=path.path,
    )


def _event_of(inclusion: ledger_pb2.Inclusion) -> pb.RecordEvent:
    operation = ledger_pb2.Operation.FromString(inclusion.operation)
    return decode(pb.RecordEvent, operation.body, TRANSACTION_BYTES_MAX)


def record_key(item: str) -> bytes:
    """State key of the record of a lot, an object or a container."""
    return lot_key(item) if kind_of(item) is Kind.LOT else object_key(item)


def _keys_of(journey: Journey, events: Sequence[pb.RecordEvent]) -> set[bytes]:
    """State keys of everything that a page about these events names."""
    keys = {record_key(item) for item in journey.items}
    for item in journey.items:
        keys |= set(recall_keys(item))
        if kind_of(item) in (Kind.LOT, Kind.SERIAL):
            keys.add(product_key(gtin_of(item)))
    for event in events:
        projection = event.projection
        keys.add(event_key(projection.id))
        keys |= {participant_key(gln) for gln in (projection.actor, projection.counterparty, projection.carrier) if gln}
        if projection.place:
            keys.add(place_key(projection.place))
    return keys


def _fits(journey: Journey, states: Mapping[bytes, bytes | None]) -> bool:
    """Whether the index's events of each item are those that state counts."""
    for item, ids in journey.ids.items():
        raw = states[record_key(item)] or b""
        is_lot = kind_of(item) is Kind.LOT
        record = pb.LotRecord.FromString(raw) if is_lot else pb.ObjectRecord.FromString(raw)
        history = FIRST_HISTORY
        for one in ids:
            history = next_history(history, one)
        if (record.events, record.history or FIRST_HISTORY) != (len(ids), history):
            return False
    return True


def _chunks(keys: list[bytes]) -> list[list[bytes]]:
    return [keys[start : start + REQUEST_COUNT_MAX] for start in range(0, len(keys), REQUEST_COUNT_MAX)]
