# SPDX-License-Identifier: Apache-2.0
"""Containers: what is packed moves with them, and is nobody's apart from them until it is unpacked.

What is in a container stands beside its record, lots with their parts, and is written when it changes and at no other
time. A child has one parent: what is packed is no longer at hand. Pallets and crates come into being when something is
first packed in them; an empty crate may be packed by whoever has it before them, since pools lend them out without an
event.
"""

from typing import Final

from chain.errors import Refused
from chain.module import Context
from traceability.custody import HEIGHT_MAX
from traceability.goods import (
    existing_lot,
    existing_object,
    held_object,
    held_portion,
    load_contents,
    load_holding,
    load_object,
    save_contents,
    save_holding,
    save_lot,
    save_object,
)
from traceability.items import Kind, check_item
from traceability.participants import Participant
from traceability.pb import traceability_pb2 as pb
from traceability.portions import Portion

CONTENTS_MAX: Final = 128
"""Lines of one container: some 12 KiB, written when something is packed or unpacked and at no other time."""


def pack(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Put goods into a container. Two writes for it; two a lot, one an object.

    Raises:
        Refused: The actor lacks the container or a child, a child is in a container, or there would be too much in it.
    """
    container = _container(context, projection.parent, actor)
    contents = load_contents(context.read, projection.parent)
    for line in projection.lines:
        if check_item(line.item) is Kind.LOT:
            lot = existing_lot(context.read, line.item)
            gone, rest = held_portion(context.read, line.item, actor.gln).taken(line.quantity)
            save_holding(context, line.item, actor.gln, rest)
            _add(contents, line.item, gone)
            save_lot(context, line.item, lot, projection.id)
            continue
        if line.item == projection.parent:
            raise Refused("a container is not in itself", "traceability.contained")
        child = held_object(context.read, line.item, actor.gln)
        child.parent = projection.parent
        container.height = max(container.height, child.height + 1)
        contents.append(pb.Content(item=line.item))
        save_object(context, line.item, child, projection.id)
    if container.height > HEIGHT_MAX:
        raise Refused(f"containers stand at most {HEIGHT_MAX} in one another", "traceability.too-deep")
    if len(contents) > CONTENTS_MAX:
        raise Refused(f"a container has at most {CONTENTS_MAX} lines of contents", "traceability.too-many-contents")
    save_contents(context, projection.parent, container, contents, projection.id)


def unpack(context: Context, projection: pb.Projection, actor: Participant) -> None:
    """Take goods out of a container, all of them if none is named. Two writes for it; two a lot, one an object.

    Raises:
        Refused: The container is not at hand, or what is named is not in it, or not so much.
    """
    container = held_object(context.read, projection.parent, actor.gln)
    wanted = {line.item: line.quantity for line in projection.lines}
    contents = load_contents(context.read, projection.parent)
    inside = {content.item: content for content in contents}
    for item in wanted:
        if item not in inside:
            raise Refused(f"{item} is not in {projection.parent}", "traceability.not-contained")
    left: list[pb.Content] = []
    for content in contents:
        if wanted and content.item not in wanted:
            left.append(content)
        elif content.quantity or content.slack:
            left += _take_out(context, content, wanted.get(content.item, 0), actor, projection.id)
        else:
            child = existing_object(context.read, content.item)
            child.parent, child.holder = "", actor.gln
            save_object(context, content.item, child, projection.id)
    save_contents(context, projection.parent, container, left, projection.id)


def _take_out(
    context: Context, content: pb.Content, quantity: int, actor: Participant, event: bytes
) -> list[pb.Content]:
    """Take a lot out of its container, all of it for quantity 0; what stays in."""
    portion = Portion(content.quantity, content.slack)
    out, rest = portion.taken(quantity) if quantity else (portion, Portion(0, 0))
    lot = existing_lot(context.read, content.item)
    held = load_holding(context.read, content.item, actor.gln)
    save_holding(context, content.item, actor.gln, held.joined(out))
    save_lot(context, content.item, lot, event)
    return [pb.Content(item=content.item, quantity=rest.quantity, slack=rest.slack)] if rest.most else []


def _container(context: Context, item: str, actor: Participant) -> pb.ObjectRecord:
    """The container that something is packed into: at hand, or new, or an empty crate.

    Raises:
        Refused: It is none of these.
    """
    kind = check_item(item)
    if kind is Kind.LOT:
        raise Refused("a lot is no container", "traceability.not-goods")
    found = load_object(context.read, item)
    if found is None and kind is not Kind.SERIAL:
        return pb.ObjectRecord(creator=actor.gln, holder=actor.gln, since_ms=context.block.time_ms)
    if found is not None and kind is Kind.ASSET and not (found.lines or found.parent or found.to or found.ended):
        found.holder = actor.gln
        return found
    return held_object(context.read, item, actor.gln)


def _add(contents: list[pb.Content], item: str, portion: Portion) -> None:
    """Put a part of a lot in, together with what of it is there."""
    for content in contents:
        if content.item == item:
            content.quantity += portion.quantity
            content.slack += portion.slack
            return
    contents.append(pb.Content(item=item, quantity=portion.quantity, slack=portion.slack))
