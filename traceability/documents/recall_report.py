# SPDX-License-Identifier: Apache-2.0
"""What a recall drill found, as a document: affected lots, where they are and how much, notices, and how long it took.

Quantities are what participants recorded (`traceability.drill`); what does not add up stands there as a difference and
is not hidden. The sheet has one row for each part of a lot, so that it can be sorted by lot, place or state.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from traceability.documents.names import Names, code_of, decimal, stamp
from traceability.documents.sheet import Sheet
from traceability.drill import Drill, Whereabouts


class Where(Enum):
    """What became of a part of an affected lot."""

    AT_HAND = "at-hand"
    ON_THE_WAY = "on-the-way"
    SOLD = "sold"
    USED = "used"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an affected lot.

    Attributes:
        holder: GLN of who has it, or shipped it; empty for what has left.
        towards: GLN of whom it is on its way to; else empty.
        quantity: In millionths of the product's unit.
    """

    item: str
    where: Where
    quantity: int
    holder: str = ""
    towards: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to somebody who had affected goods.

    Attributes:
        sent_ms: When it was laid before them.
        acknowledged_ms: When they said that they read it; 0: not yet.
    """

    participant: str
    sent_ms: int
    acknowledged_ms: int = 0


@dataclass(frozen=True, slots=True)
class RecallReport:
    """The outcome of a drill.

    Attributes:
        number: By which it is found again.
        items: Goods that it began with.
        started_ms: When it was asked for.
        took_ms: Until affected goods and their places were known.
        parts: Every part of every affected lot.
        differences: By lot: what was recorded as entered less what all parts come to; lots without one are left out.
        places: GLNs where affected goods were.
        is_complete: False: there were more events than a trace holds.
        notices: To all who had some.
    """

    number: str
    items: tuple[str, ...]
    started_ms: int
    took_ms: int
    lots: tuple[str, ...]
    parts: tuple[Part, ...]
    differences: Mapping[str, int]
    places: tuple[str, ...]
    is_complete: bool
    notices: tuple[Notice, ...]

    @property
    def acknowledged(self) -> int:
        """How many notices were acknowledged."""
        return sum(1 for notice in self.notices if notice.acknowledged_ms)

    @property
    def elapsed_ms(self) -> int | None:
        """From the question to the last acknowledgement; None: some are missing, or nobody was told."""
        if not self.notices or self.acknowledged < len(self.notices):
            return None
        return max(notice.acknowledged_ms for notice in self.notices) - self.started_ms

    def total(self, where: Where) -> Mapping[str, int]:
        """What is in one state, by lot."""
        found: dict[str, int] = {}
        for part in self.parts:
            if part.where is where:
                found[part.item] = found.get(part.item, 0) + part.quantity
        return found


def recall_report(
    number: str, items: Sequence[str], drill: Drill, *, started_ms: int, took_ms: int, notices: Sequence[Notice] = ()
) -> RecallReport:
    """A drill's outcome as a document.

    Args:
        number: By which it is found again.
        items: Goods that it began with.
        drill: What was found.
        started_ms: When it was asked for.
        took_ms: How long the search took.
        notices: To participants, so far.
    """
    parts = tuple(part for goods in drill.goods for part in _parts(goods))
    differences = {goods.item: _difference(goods) for goods in drill.goods if _difference(goods)}
    return RecallReport(
        number=number,
        items=tuple(items),
        started_ms=started_ms,
        took_ms=took_ms,
        lots=tuple(goods.item for goods in drill.goods),
        parts=parts,
        differences=differences,
        places=drill.places,
        is_complete=drill.trace.is_complete,
        notices=tuple(notices),
    )


def recall_sheet(report: RecallReport, names: Names, titles: Sequence[str], states: Mapping[Where, str]) -> Sheet:
    """One row for each part of each affected lot.

    Args:
        report: The document.
        names: Of parties and goods.
        titles: Of the eleven columns, in the reader's language.
        states: Words for what became of a part.
    """
    told = {notice.participant: notice for notice in report.notices}
    rows: list[tuple[str, ...]] = []
    for part in report.parts:
        notice = told.get(part.holder)
        rows.append(
            (
                names.product(part.item),
                code_of(part.item),
                part.item,
                states[part.where],
                decimal(part.quantity),
                names.unit(part.item),
                names.participant(part.holder) if part.holder else "",
                part.holder,
                part.towards,
                "" if notice is None else stamp(notice.sent_ms),
                "" if notice is None else stamp(notice.acknowledged_ms),
            )
        )
    return Sheet(tuple(titles), tuple(rows))


def _parts(goods: Whereabouts) -> Iterator[Part]:
    for holder in sorted(goods.at_hand):
        yield Part(goods.item, Where.AT_HAND, goods.at_hand[holder], holder)
    for shipper, receiver in sorted(goods.on_the_way):
        yield Part(goods.item, Where.ON_THE_WAY, goods.on_the_way[shipper, receiver], shipper, receiver)
    for where, quantity in ((Where.SOLD, goods.sold), (Where.USED, goods.used), (Where.REMOVED, goods.removed)):
        if quantity:
            yield Part(goods.item, where, quantity)


def _difference(goods: Whereabouts) -> int:
    """What entered less all that is accounted for."""
    return goods.entered - sum(part.quantity for part in _parts(goods))
