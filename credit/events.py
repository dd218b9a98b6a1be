# SPDX-License-Identifier: Apache-2.0
"""Events in one-time slots: recorded once, objected to, answered by their source.

    absent --RecordEvent--> active (a pledge: open)
    any of active, corrected, open, kept, broken, unless upheld --Object--> disputed
    disputed --AnswerEvent--> as before (upheld until its source says something new of it), corrected, withdrawn
    active, corrected --AnswerEvent--> corrected, repaired, expired, withdrawn
    open --AnswerEvent--> kept, broken, withdrawn;  kept, broken --AnswerEvent--> withdrawn
    repaired, expired, withdrawn: for good

On chain stand class, source, status and slot; content is committed. Under `credit/slot/<slot in hex>`.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from credit.catalogue import (
    AUTHORITY_ROLE,
    CLASSES_PREFIX,
    class_number,
    load_class,
    present_version,
    signing_source,
)
from credit.logs import check_hash, keeping_registrar
from credit.pb import credit_pb2 as pb
from identity.commitments import anchor_of
from membership.authority import signing_organisations
from membership.pb import membership_pb2

_STANDING: Final = (pb.EVENT_STATUS_ACTIVE, pb.EVENT_STATUS_CORRECTED)
_ANSWERS: Final = {
    pb.EVENT_STATUS_ACTIVE: (
        pb.EVENT_STATUS_CORRECTED,
        pb.EVENT_STATUS_REPAIRED,
        pb.EVENT_STATUS_EXPIRED,
        pb.EVENT_STATUS_WITHDRAWN,
    ),
    pb.EVENT_STATUS_CORRECTED: (
        pb.EVENT_STATUS_CORRECTED,
        pb.EVENT_STATUS_REPAIRED,
        pb.EVENT_STATUS_EXPIRED,
        pb.EVENT_STATUS_WITHDRAWN,
    ),
    pb.EVENT_STATUS_OPEN: (pb.EVENT_STATUS_KEPT, pb.EVENT_STATUS_BROKEN, pb.EVENT_STATUS_WITHDRAWN),
    pb.EVENT_STATUS_KEPT: (pb.EVENT_STATUS_WITHDRAWN,),
    pb.EVENT_STATUS_BROKEN: (pb.EVENT_STATUS_WITHDRAWN,),
}
"""What a source may say next of its event."""
FINAL: Final = (pb.EVENT_STATUS_REPAIRED, pb.EVENT_STATUS_EXPIRED, pb.EVENT_STATUS_WITHDRAWN)
"""Nothing follows: a dispute after repair finds nothing that could still change."""


def slot_key(slot: bytes) -> bytes:
    """State key of a slot: its absence proves that the log ends before it."""
    return b"credit/slot/" + slot.hex().encode()


def load_event(read: ReadState, slot: bytes) -> pb.EventRecord | None:
    """What stands in a slot, or None."""
    raw = read(slot_key(slot))
    return None if raw is None else pb.EventRecord.FromString(raw)


# ---------------------------------------------------------------- operations


def record_event(context: Context, message: pb.RecordEvent) -> None:
    """Record an event into a slot that the registrar gave for it. One write.

    Raises:
        Refused: The source or the registrar does not sign, the class is not as it must be, or the slot is taken.
    """
    number = class_number(message)
    source = signing_source(context, number)
    registrar = keeping_registrar(context)
    for value in (message.slot, message.content, message.next, message.objection):
        check_hash(value)
    present, catalogued = context.overlay.derive(CLASSES_PREFIX, number, lambda: _present(context.read, number))
    if message.class_version != present:
        raise Refused("an event names the present version of its class", "credit.wrong-version")
    if catalogued is None:
        raise Refused(f"there is no class {number}", "credit.unknown-class")
    if catalogued.retired:
        raise Refused(f"class {number} is retired", "credit.retired-class")
    if load_event(context.read, message.slot) is not None:
        raise Refused("this slot is taken", "credit.slot-taken")
    is_pledge = catalogued.kind == pb.KIND_PLEDGE
    record = pb.EventRecord(
        class_version=message.class_version,
        source=source.id,
        registrar=registrar,
        status=pb.EVENT_STATUS_OPEN if is_pledge else pb.EVENT_STATUS_ACTIVE,
        content=message.content,
        next=message.next,
        objection=message.objection,
    )
    setattr(record, "class", number)
    _save(context, message.slot, record)


def answer_event(context: Context, message: pb.AnswerEvent) -> None:
    """A source speaks about its own event, also one whose rights have ended; the authority may withdraw it. One write.

    Raises:
        Refused: Another organisation recorded it, it is final, or what it says does not follow from where it stands.
    """
    record = _standing(context, message.slot)
    status = message.status
    _check_answering(context, record.source, status)
    if record.status == pb.EVENT_STATUS_DISPUTED:
        allowed: tuple[pb.EventStatus.ValueType, ...] = (record.before, pb.EVENT_STATUS_WITHDRAWN)
        if record.before in _STANDING:
            allowed += (pb.EVENT_STATUS_CORRECTED,)
        if record.before in (pb.EVENT_STATUS_KEPT, pb.EVENT_STATUS_BROKEN):
            allowed += (pb.EVENT_STATUS_KEPT, pb.EVENT_STATUS_BROKEN)
    else:
        allowed = _ANSWERS[record.status]
    if status not in allowed:
        raise Refused("this does not follow from where the event stands", "credit.wrong-step")
    is_corrected = status == pb.EVENT_STATUS_CORRECTED and bool(message.content)
    if bool(message.content) != is_corrected or (
        status == pb.EVENT_STATUS_CORRECTED and not is_corrected and record.before != pb.EVENT_STATUS_CORRECTED
    ):
        raise Refused("a correction, and nothing else, brings new content", "credit.correction-content")
    if is_corrected:
        check_hash(message.content)
        if message.content == record.content:
            raise Refused("a correction brings other content than before", "credit.correction-content")
        record.content = message.content
        record.corrections += 1
    # frozen again and again, an event would count for nothing though its source stands by it
    record.upheld = record.status == pb.EVENT_STATUS_DISPUTED and status == record.before and not is_corrected
    record.status = status
    record.before = pb.EVENT_STATUS_UNSPECIFIED
    _save(context, message.slot, record)


def object_to(context: Context, message: pb.Object) -> None:
    """Whoever an event is about objects; what it counted for is frozen until its source answers. One write.

    An event is frozen once for what it says: whoever wants more, once its source upheld it, turns to the authority.

    Raises:
        Refused: It is final, disputed already or upheld, or the proof is wrong.
    """
    record = _standing(context, message.slot)
    if record.status == pb.EVENT_STATUS_DISPUTED:
        raise Refused("the event is disputed already; its source has to answer", "credit.disputed")
    if record.upheld:
        raise Refused("its source upheld the event and has said nothing new since", "credit.upheld")
    check_hash(message.proof)
    check_hash(message.next_objection)
    if anchor_of(message.proof) != record.objection:
        raise Refused("what is revealed does not hash to the event's anchor", "credit.wrong-proof")
    if message.next_objection == record.objection:
        raise Refused("the next objection has an anchor of its own", "credit.wrong-proof")
    record.before, record.status = record.status, pb.EVENT_STATUS_DISPUTED
    record.objection = message.next_objection
    _save(context, message.slot, record)


def _present(read: ReadState, number: int) -> tuple[int, pb.PutClass | None]:
    """A class's present version, and what it says."""
    version = present_version(read, number)
    return version, load_class(read, number, version)


def _check_answering(context: Context, source: str, status: pb.EventStatus.ValueType) -> None:
    """Check that whoever may answer for an event signs, with a key that attests.

    Raises:
        Refused: Neither its source does nor, to withdraw it, the authority; or the one that does is suspended.
    """
    for organisation in signing_organisations(context, membership_pb2.PURPOSE_ATTEST):
        if organisation.id == source or (AUTHORITY_ROLE in organisation.roles and status == pb.EVENT_STATUS_WITHDRAWN):
            if not organisation.is_active:
                raise Refused("the organisation that answers is suspended", "credit.suspended")
            return
    raise Refused("another source recorded this event", "credit.other-source")


def _standing(context: Context, slot: bytes) -> pb.EventRecord:
    """An event that something can still be said about.

    Raises:
        Refused: There is none in this slot, or it is final.
    """
    check_hash(slot)
    record = load_event(context.read, slot)
    if record is None:
        raise Refused("there is no event in this slot", "credit.unknown-event")
    if record.status in FINAL:
        raise Refused("the event is repaired, expired or withdrawn, and that is final", "credit.final")
    return record


def _save(context: Context, slot: bytes, record: pb.EventRecord) -> None:
    context.write(slot_key(slot), encode(record))
