# SPDX-License-Identifier: Apache-2.0
"""Goods in state: lots with their parts, objects and containers, and the chain of events that names each.

A lot's or object's `history` is a hash over the ids of all its events in order. Whoever shows an item's events can be
held to it: leave one out, and the hash of the rest is another.  Under `traceability/lot/<item>`,
`…/holding/<item>/<GLN>`, `…/transit/<item>/<shipper>/<receiver>`, `…/object/<item>` and `…/contents/<container>`.
"""

from collections.abc import Sequence
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import HASH_BYTES, sha256
from traceability.items import gtin_of
from traceability.pb import traceability_pb2 as pb
from traceability.portions import NOTHING, Portion
from traceability.products import MICRO, Product, existing_product, load_tolerance

LOT_QUANTITY_MAX: Final = 10**15
"""A milliard units of one lot, far beyond any; sums of a lot's parts stay within 64 bits."""
FIRST_HISTORY: Final = bytes(HASH_BYTES)


def lot_key(item: str) -> bytes:
    """State key of a lot."""
    return b"traceability/lot/" + item.encode()


def holding_key(item: str, holder: str) -> bytes:
    """State key of what a participant has of a lot."""
    return b"traceability/holding/%s/%s" % (item.encode(), holder.encode())


def transit_key(item: str, shipper: str, receiver: str) -> bytes:
    """State key of what of a lot is on its way between two participants."""
    return b"traceability/transit/%s/%s/%s" % (item.encode(), shipper.encode(), receiver.encode())


def object_key(item: str) -> bytes:
    """State key of an object or container."""
    return b"traceability/object/" + item.encode()


def next_history(history: bytes, event: bytes) -> bytes:
    """The hash over an item's events with one more.

    Args:
        history: Over those before; `FIRST_HISTORY` over none.
        event: The id of the next; 32 bytes.
    """
    return sha256(history + event)


def contents_key(container: str) -> bytes:
    """State key of what is in a container."""
    return b"traceability/contents/" + container.encode()


# ---------------------------------------------------------------- reading and writing


def load_lot(read: ReadState, item: str) -> pb.LotRecord | None:
    """A lot, or None."""
    raw = read(lot_key(item))
    return None if raw is None else pb.LotRecord.FromString(raw)


def load_object(read: ReadState, item: str) -> pb.ObjectRecord | None:
    """An object or container, also one that ended; None if it never was."""
    raw = read(object_key(item))
    return None if raw is None else pb.ObjectRecord.FromString(raw)


def load_contents(read: ReadState, container: str) -> list[pb.Content]:
    """What is in a container, in the order of packing."""
    raw = read(contents_key(container))
    return [] if raw is None else list(pb.ContentsRecord.FromString(raw).contents)


def load_holding(read: ReadState, item: str, holder: str) -> Portion:
    """What a participant has of a lot, outside of containers."""
    return _portion(read(holding_key(item, holder)))


def load_transit(read: ReadState, item: str, shipper: str, receiver: str) -> Portion:
    """What of a lot is on its way between two participants."""
    return _portion(read(transit_key(item, shipper, receiver)))


def existing_lot(read: ReadState, item: str) -> pb.LotRecord:
    """A lot.

    Raises:
        Refused: It was never declared or made.
    """
    found = load_lot(read, item)
    if found is None:
        raise Refused(f"there is no lot {item}", "traceability.unknown-item")
    return found


def existing_object(read: ReadState, item: str) -> pb.ObjectRecord:
    """An object or container that is still there.

    Raises:
        Refused: It was never declared, made or packed, or it is sold, used or destroyed.
    """
    found = load_object(read, item)
    if found is None:
        raise Refused(f"there is no {item}", "traceability.unknown-item")
    if found.ended:
        raise Refused(f"{item} is sold, used or destroyed", "traceability.item-ended")
    return found


def save_lot(context: Context, item: str, record: pb.LotRecord, event: bytes) -> None:
    """Write a lot, with one more event that names it."""
    record.history = next_history(record.history or FIRST_HISTORY, event)
    record.events += 1
    context.write(lot_key(item), encode(record))


def save_object(context: Context, item: str, record: pb.ObjectRecord, event: bytes) -> None:
    """Write an object, with one more event that names it."""
    record.history = next_history(record.history or FIRST_HISTORY, event)
    record.events += 1
    context.write(object_key(item), encode(record))


def save_contents(
    context: Context, container: str, record: pb.ObjectRecord, contents: Sequence[pb.Content], event: bytes
) -> None:
    """Write what is in a container, and the container with one more event that names it. Two writes."""
    record.lines = len(contents)
    if contents:
        context.write(contents_key(container), encode(pb.ContentsRecord(contents=contents)))
    else:
        record.height = 0
        context.delete(contents_key(container))
    save_object(context, container, record, event)


def save_holding(context: Context, item: str, holder: str, portion: Portion) -> None:
    """Write what a participant has of a lot; an empty part is kept: it says that there was some."""
    record = pb.PortionRecord(quantity=portion.quantity, slack=portion.slack, seen=True)
    context.write(holding_key(item, holder), encode(record))


def save_transit(context: Context, item: str, shipper: str, receiver: str, portion: Portion) -> None:
    """Write what is on its way; without any there is no record."""
    if portion == NOTHING:
        context.delete(transit_key(item, shipper, receiver))
        return
    record = pb.PortionRecord(quantity=portion.quantity, slack=portion.slack, seen=True)
    context.write(transit_key(item, shipper, receiver), encode(record))


# ---------------------------------------------------------------- coming into being


def enter_lot(context: Context, item: str, actor: str, portion: Portion, event: bytes) -> None:
    """Put so much of a lot into its maker's hands; a lot that is made in several events has one maker. Two writes.

    Raises:
        Refused: The lot is another participant's, or would become too large.
    """
    record = load_lot(context.read, item)
    if record is None:
        record = pb.LotRecord(creator=actor, since_ms=context.block.time_ms)
    elif record.creator != actor:
        raise Refused(f"the lot {item} is another participant's", "traceability.lot-of-another")
    record.entered += portion.quantity
    record.granted += portion.slack
    if record.entered + record.granted > LOT_QUANTITY_MAX:
        raise Refused("a lot has at most 10^9 units", "traceability.too-much")
    save_lot(context, item, record, event)
    save_holding(context, item, actor, load_holding(context.read, item, actor).joined(portion))


def enter_object(context: Context, item: str, actor: str, event: bytes) -> pb.ObjectRecord:
    """Put a new object or container into its maker's hands. One write.

    Raises:
        Refused: Something of this name is or was there.
    """
    if load_object(context.read, item) is not None:
        raise Refused(f"there is or was a {item} already", "traceability.item-known")
    record = pb.ObjectRecord(creator=actor, holder=actor, since_ms=context.block.time_ms)
    save_object(context, item, record, event)
    return record


def product_to_make(read: ReadState, item: str, actor: str) -> Product:
    """The product of an item that a participant is about to declare or make.

    Raises:
        Refused: It is not recorded, or another participant's.
    """
    product = existing_product(read, gtin_of(item))
    if product.owner and product.owner != actor:
        raise Refused(f"the product {product.gtin} is another participant's", "traceability.product-of-another")
    return product


def check_pieces(product: Product) -> None:
    """Check that a product comes in pieces, so that single ones can have serials.

    Raises:
        Refused: It is weighed or measured.
    """
    if product.unit != pb.UNIT_PIECE:
        raise Refused("only what is counted in pieces has serials", "traceability.not-pieces")


def granted(read: ReadState, product: Product, quantity: int) -> int:
    """The tolerance that comes with so much of a product, in the same measure."""
    return quantity * load_tolerance(read, product.unit) // MICRO


# ---------------------------------------------------------------- custody


def held_object(read: ReadState, item: str, holder: str) -> pb.ObjectRecord:
    """An object that a participant has at hand: not in a container, not on its way.

    Raises:
        Refused: It is unknown or gone, another's, on its way, or in a container.
    """
    record = existing_object(read, item)
    if record.parent:
        raise Refused(f"{item} is in a container; unpack it first, or name the container", "traceability.contained")
    if record.holder != holder or record.to:
        raise Refused(f"{item} is not in this participant's hands", "traceability.not-held")
    return record


def held_portion(read: ReadState, item: str, holder: str) -> Portion:
    """What a participant has at hand of a lot.

    Raises:
        Refused: Nothing.
    """
    portion = load_holding(read, item, holder)
    if not portion.most:
        raise Refused(f"nothing of {item} is in this participant's hands", "traceability.not-held")
    return portion


def _portion(raw: bytes | None) -> Portion:
    if raw is None:
        return NOTHING
    record = pb.PortionRecord.FromString(raw)
    return Portion(record.quantity, record.slack)
