# SPDX-License-Identifier: Apache-2.0
"""Recalls and withdrawals: a key of its own for each item, so that a phone can prove that there is none.

Which lots a contamination reached is computed from the events, off the chain; each of them is then recalled by name.
What is recalled is not sold and goes into nothing; it can still be shipped back and destroyed. Under
`traceability/recall/<item>`, also for a whole product, `01/<GTIN>`.
"""

from collections.abc import Sequence
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from traceability.goods import load_lot, load_object
from traceability.items import Kind, check_item, gtin_of, is_product
from traceability.participants import acting_participant, regulator_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import load_product

ITEMS_MAX: Final = 64
"""Items that one operation recalls: each is a write, and a transaction takes a thousand operations."""

_KINDS = (pb.RECALL_KIND_WITHDRAWAL, pb.RECALL_KIND_RECALL)
_REASONS = frozenset(pb.RecallReason.values()) - {pb.RECALL_REASON_UNSPECIFIED}


def recall_key(item: str) -> bytes:
    """State key that says that an item is recalled; absent: it is not."""
    return b"traceability/recall/" + item.encode()


def recall_keys(item: str) -> tuple[bytes, ...]:
    """All keys under which a recall of an item may stand: its own, and its product's."""
    kind = check_item(item)
    if kind in (Kind.LOT, Kind.SERIAL):
        return recall_key(item), recall_key(f"01/{gtin_of(item)}")
    return (recall_key(item),)


def load_recall(read: ReadState, item: str) -> pb.RecallRecord | None:
    """An item's own recall, if one is in force."""
    raw = read(recall_key(item))
    return None if raw is None else pb.RecallRecord.FromString(raw)


def check_not_recalled(read: ReadState, item: str) -> None:
    """Check that neither an item nor its product is recalled.

    Raises:
        Refused: It is.
    """
    if any(read(key) is not None for key in recall_keys(item)):
        raise Refused(f"{item} is recalled or withdrawn", "traceability.recalled")


def recall(context: Context, message: pb.Recall) -> None:
    """Recall or withdraw. A regulator's takes the place of a participant's. One write an item.

    Raises:
        Refused: Neither who made an item nor a regulator signs, an item is unknown, or recalled already.
    """
    if message.kind not in _KINDS or message.reason not in _REASONS:
        raise Refused("the kind or the reason of the recall is not known", "traceability.unknown-recall")
    regulator = _who(context, message.actor)
    _check_items(message.items)
    for item in message.items:
        maker = _maker(context.read, item)
        if message.actor and maker != message.actor:
            raise Refused(f"{item} is another participant's", "traceability.not-maker")
        before = load_recall(context.read, item)
        if before is not None and (message.actor or before.regulator):
            raise Refused(f"{item} is recalled already", "traceability.recalled")
        record = pb.RecallRecord(
            kind=message.kind,
            reason=message.reason,
            by=message.actor,
            regulator=regulator,
            since_ms=context.block.time_ms,
        )
        context.write(recall_key(item), encode(record))


def lift_recall(context: Context, message: pb.LiftRecall) -> None:
    """End recalls; the log keeps that they were. One write an item.

    Raises:
        Refused: An item is not recalled, or a regulator recalled it and none signs.
    """
    _who(context, message.actor)
    _check_items(message.items)
    for item in message.items:
        before = load_recall(context.read, item)
        if before is None:
            raise Refused(f"{item} is not recalled", "traceability.not-recalled")
        if message.actor and before.by != message.actor:
            raise Refused(f"the recall of {item} is another's", "traceability.recall-of-another")
        context.delete(recall_key(item))


def _who(context: Context, actor: str) -> str:
    """The regulator's id, or nothing when a participant acts.

    Raises:
        Refused: Neither signs.
    """
    if not actor:
        return regulator_of(context)
    acting_participant(context, actor)
    return ""


def _check_items(items: Sequence[str]) -> None:
    if not 1 <= len(items) <= ITEMS_MAX or len(set(items)) != len(items):
        raise Refused(f"a recall names 1 to {ITEMS_MAX} different items", "traceability.invalid-recall")


def _maker(read: ReadState, item: str) -> str:
    """Who made an item, or whose product it is; nobody's: empty.

    Raises:
        Refused: There is no such thing.
    """
    if is_product(item):
        product = load_product(read, gtin_of(item))
        if product is not None:
            return product.owner
    elif check_item(item) is Kind.LOT:
        lot = load_lot(read, item)
        if lot is not None:
            return lot.creator
    else:
        found = load_object(read, item)
        if found is not None:
            return found.creator
    raise Refused(f"there is no {item}", "traceability.unknown-item")
