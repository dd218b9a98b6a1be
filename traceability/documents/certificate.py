# SPDX-License-Identifier: Apache-2.0
"""The Chinese promise of conformity (承诺达标合格证): one for each production batch, anew where it is split or mixed.

What it says of goods follows from events; who promises, how to reach them and on what the promise rests, its promiser
says. Names and telephones stand on the printed certificate and nowhere on the ledger. Whether goods are of a class for
which one must be issued (vegetables, fruit, tea, livestock, eggs, farmed fish) nobody here decides.
Source: 农产品质量安全承诺达标合格证管理办法 (order 4 of 2025 of the ministry of agriculture), art. 14.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from traceability.acts import Act
from traceability.items import Kind, kind_of
from traceability.trace_store import TraceEvent

SOURCES_MAX = 50
"""Batches in a mixed one that a certificate names; a mix of more names them by its traced events."""
_NUMBER_HEX = 12


class Basis(Enum):
    """On what a promise rests; several may stand on one certificate."""

    ENTRUSTED_TEST = "entrusted-test"
    OWN_TEST = "own-test"
    CONTROL = "control"
    PROMISE = "promise"


class Ground(Enum):
    """Why a certificate is issued."""

    BATCH = "batch"
    """A production batch, as its farm declared it."""
    SPLIT = "split"
    """A part of a batch goes to somebody else."""
    MIX = "mix"
    """Goods were made of other batches."""


class NoBatch(ValueError):
    """Nothing in the events makes a certificate; the message says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What follows from events.

    Attributes:
        number: Of this certificate: from the event, so that the same one has the same number.
        item: The batch, as the ledger names it.
        quantity: In millionths of the unit.
        origin: GLN of the place where it was grown or made; else that of the participant.
        producer: GLN of who declared or made the batch.
        event: The event that it is made of, on the ledger; 32 bytes.
        at_ms: When that was, as its author states it.
        sources: Batches that it comes from: itself when it was split, its inputs when it was mixed.
    """

    number: str
    ground: Ground
    item: str
    quantity: int
    origin: str
    producer: str
    event: bytes
    at_ms: int
    sources: tuple[str, ...] = ()


def batch_certificate(events: Iterable[TraceEvent], item: str) -> Certificate:
    """The certificate of a production batch: what was declared of it, or made of others, less what was in error.

    Args:
        events: That name it, in the order of recording.
        item: A lot.

    Raises:
        NoBatch: It is no lot, or none of the events makes it.
    """
    if kind_of(item) is not Kind.LOT:
        raise NoBatch(f"{item} is no batch: certificates are for lots")
    made = [event for event in events if not event.in_error and _made(event, item)]
    if not made:
        raise NoBatch(f"no event that counts makes {item}")
    first = made[0]
    sources = tuple(sorted({one for event in made if event.act is Act.TRANSFORM for one, _ in event.lines}))
    return Certificate(
        number=_number(first, item),
        ground=Ground.MIX if sources else Ground.BATCH,
        item=item,
        quantity=sum(_made(event, item) for event in made),
        origin=first.place or first.actor,
        producer=first.actor,
        event=first.id,
        at_ms=first.time_ms,
        sources=sources,
    )


def part_certificate(batch: Certificate, shipment: TraceEvent) -> Certificate:
    """The certificate of a part of a batch that goes to somebody else.

    Args:
        batch: Of the whole.
        shipment: The event in which the part is shipped.

    Raises:
        NoBatch: It ships nothing of the batch, or was declared in error.
    """
    quantity = sum(amount for item, amount in shipment.lines if item == batch.item)
    if shipment.act is not Act.SHIP or shipment.in_error or not quantity:
        raise NoBatch(f"the event ships nothing of {batch.item}")
    return Certificate(
        number=_number(shipment, batch.item),
        ground=Ground.SPLIT,
        item=batch.item,
        quantity=quantity,
        origin=batch.origin,
        producer=batch.producer,
        event=shipment.id,
        at_ms=shipment.time_ms,
        sources=(batch.number,),
    )


def _made(event: TraceEvent, item: str) -> int:
    """How much of a lot an event brings into being."""
    lines = event.lines if event.act is Act.DECLARE else event.outputs if event.act is Act.TRANSFORM else ()
    return sum(quantity for one, quantity in lines if one == item)


def _number(event: TraceEvent, item: str) -> str:
    """From the event's id, which is random, and the lot."""
    return f"{event.id.hex()[:_NUMBER_HEX].upper()}-{item.rsplit('/', 1)[-1]}"
