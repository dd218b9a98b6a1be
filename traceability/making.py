# SPDX-License-Identifier: Apache-2.0
"""Goods come into being, become others, and leave: where mass is counted.

Only a declaration makes goods out of nothing, and only farms and importers declare. It grants the lineage's tolerance,
once. A transformation compares masses in nanograms: what comes out has at most the mass of what went in, and of the
slack that came with it; the slack that is left goes on in proportion, never more than the product's unit would grant.
Source: docs/adr/0016-mass-balance-by-lineage.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from traceability.goods import (
    check_pieces,
    enter_lot,
    enter_object,
    existing_lot,
    granted,
    held_object,
    held_portion,
    product_to_make,
    save_holding,
    save_lot,
    save_object,
)
from traceability.items import Kind, check_item, gtin_of
from traceability.participants import Participant
from traceability.pb import traceability_pb2 as pb
from traceability.portions import NOTHING, Portion
from traceability.products import MICRO, Product, existing_product
from traceability.recalls import check_not_recalled

DECLARES: Final = (pb.ROLE_FARM, pb.ROLE_IMPORTER)
TRANSFORMS: Final = (pb.ROLE_FARM, pb.ROLE_PROCESSOR, pb.ROLE_MARKET)
SELLS: Final = (pb.ROLE_FARM, pb.ROLE_PROCESSOR, pb.ROLE_MARKET)

_MASS_BYTES = 10
MASS_NG_MAX: Final = 10**22
"""Of one transformation: ten million tonnes; fits its 10 bytes."""


def check_role(actor: Participant, roles: Sequence[pb.Role.ValueType]) -> None:
    """Check that a participant has one of some roles.

    Raises:
        Refused: It has none of them.
    """
    if not any(role in actor.roles for role in roles):
        raise Refused("the participant's roles do not allow this step", "traceability.wrong-role")


def declare(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Record a harvest or an import, or the first use of a container. Two writes a lot, one an object.

    Raises:
        Refused: The actor does not declare, or an item cannot come into being here.
    """
    for line in projection.lines:
        kind = check_item(line.item)
        if kind in (Kind.SHIPMENT, Kind.ASSET):
            enter_object(context, line.item, actor.gln, projection.id)
            continue
        check_role(actor, DECLARES)
        product = product_to_make(context.read, line.item, actor.gln)
        if kind is Kind.SERIAL:
            check_pieces(product)
            enter_object(context, line.item, actor.gln, projection.id)
        else:
            portion = Portion(line.quantity, granted(context.read, product, line.quantity))
            enter_lot(context, line.item, actor.gln, portion, projection.id)


def sell(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Sell to consumers. Two writes a lot, one an object.

    Raises:
        Refused: The actor does not sell, does not have so much at hand, or it is recalled.
    """
    check_role(actor, SELLS)
    for line in projection.lines:
        check_not_recalled(context.read, line.item)
    remove(context, projection, actor)


def remove(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Take goods out of the ledger. Two writes a lot, one an object.

    Raises:
        Refused: The actor does not have so much at hand.
    """
    for line in projection.lines:
        if check_item(line.item) is Kind.LOT:
            lot = existing_lot(context.read, line.item)
            portion = held_portion(context.read, line.item, actor.gln)
            save_holding(context, line.item, actor.gln, portion.sold(line.quantity))
            lot.left += line.quantity
            save_lot(context, line.item, lot, projection.id)
        else:
            _end_object(context, line.item, actor, projection.id)


# ---------------------------------------------------------------- transformations


@dataclass(frozen=True, slots=True)
class _Output:
    """One line of what comes out, with its product and mass in nanograms; `product` None for none of those."""

    line: pb.Line
    kind: Kind
    product: Product
    mass: int


def transform(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Make goods from others. Two writes a lot, one an object, one for a transformation in parts.

    Raises:
        Refused: The actor does not transform or lacks an input, an input is recalled, or more comes out than went in.
    """
    check_role(actor, TRANSFORMS)
    if not projection.process and not (projection.lines and projection.outputs):
        raise Refused("a transformation has inputs and outputs", "traceability.empty-event")
    pool = _load_process(context, actor.gln, projection.process) if projection.process else NOTHING
    for line in projection.lines:
        check_not_recalled(context.read, line.item)
        pool = pool.joined(_used(context, line, actor, projection.id))
    outputs = [_planned(context, line, actor) for line in projection.outputs]
    total = sum(output.mass for output in outputs)
    if total > pool.most:
        raise Refused(
            f"{total} ng come out of {pool.quantity}, with {pool.slack} of tolerance", "traceability.exceeds-input"
        )
    moved, rest = pool.taken(total) if total else (NOTHING, pool)
    for output in outputs:
        _make(context, output, moved, actor, projection.id)
    if projection.process:
        _save_process(context, actor.gln, projection.process, rest)


def _used(context: Context, line: pb.Line, actor: Participant, event: bytes) -> Portion:
    """Use up one input: its mass and slack in nanograms."""
    kind = check_item(line.item)
    if kind not in (Kind.LOT, Kind.SERIAL):
        raise Refused("a container is no input; unpack it first", "traceability.not-goods")
    product = existing_product(context.read, gtin_of(line.item))
    if kind is Kind.SERIAL:
        _end_object(context, line.item, actor, event)
        return Portion(MICRO * product.mass_mg, 0)
    lot = existing_lot(context.read, line.item)
    gone, rest = held_portion(context.read, line.item, actor.gln).taken(line.quantity)
    save_holding(context, line.item, actor.gln, rest)
    lot.left += line.quantity
    save_lot(context, line.item, lot, event)
    return Portion(gone.quantity * product.mass_mg, gone.slack * product.mass_mg)


def _planned(context: Context, line: pb.Line, actor: Participant) -> _Output:
    """One output with its mass; nothing is written yet."""
    kind = check_item(line.item)
    if kind not in (Kind.LOT, Kind.SERIAL):
        raise Refused("a container is no output; pack it instead", "traceability.not-goods")
    product = product_to_make(context.read, line.item, actor.gln)
    if kind is Kind.SERIAL:
        check_pieces(product)
    return _Output(line, kind, product, (line.quantity or MICRO) * product.mass_mg)


def _make(context: Context, output: _Output, moved: Portion, actor: Participant, event: bytes) -> None:
    """Write one output, with its share of the slack."""
    if output.kind is Kind.SERIAL:
        enter_object(context, output.line.item, actor.gln, event)
        return
    share = moved.slack * output.mass // moved.quantity // output.product.mass_mg
    quantity = output.line.quantity
    slack = min(share, granted(context.read, output.product, quantity))
    enter_lot(context, output.line.item, actor.gln, Portion(quantity, slack), event)


def _end_object(context: Context, item: str, actor: Participant, event: bytes) -> None:
    """Sell, use or destroy one object."""
    record = held_object(context.read, item, actor.gln)
    if record.lines:
        raise Refused(f"{item} is not empty; unpack it first", "traceability.not-empty")
    record.ended = True
    save_object(context, item, record, event)


def process_key(gln: str, process: bytes) -> bytes:
    """State key of a transformation that is recorded in parts."""
    return b"traceability/process/%s/%s" % (gln.encode(), process.hex().encode())


def _load_process(context: Context, gln: str, process: bytes) -> Portion:
    raw = context.read(process_key(gln, process))
    if raw is None:
        return NOTHING
    record = pb.ProcessRecord.FromString(raw)
    return Portion(int.from_bytes(record.mass), int.from_bytes(record.slack))


def _save_process(context: Context, gln: str, process: bytes, rest: Portion) -> None:
    """Write what is in a transformation still; without any there is no record.

    Raises:
        Refused: It is beyond all measure.
    """
    if rest == NOTHING:
        context.delete(process_key(gln, process))
        return
    if rest.most > MASS_NG_MAX:
        raise Refused("a transformation has at most ten million tonnes", "traceability.too-much")
    record = pb.ProcessRecord(mass=rest.quantity.to_bytes(_MASS_BYTES), slack=rest.slack.to_bytes(_MASS_BYTES))
    context.write(process_key(gln, process), encode(record))
