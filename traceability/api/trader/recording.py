# SPDX-License-Identifier: Apache-2.0
"""From what somebody entered to what they sign: the event is made once, its secret kept before anything goes anywhere.

A draft has the device's own name, so that sending it twice makes one record; the event's id and secret stay with it, so
that signing it twice records it once. What the ledger took is then kept beside all other captured events.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.codec import encode
from chain.transaction import Operation
from service.language import LANGUAGES, Language
from service.pictures import joined, pieces_of
from service.problems import RATE, Problem
from service.sign_in.acts import Acts, State
from service.sign_in.office import Office
from service.sign_in.sessions import Officer
from service.sign_in.tables import PreparedAct
from service.store import Act
from service.store.models import new_id
from traceability import epcis
from traceability.api.kept import Whole, keep, make_owner, new_secret
from traceability.api.tables import FoodCaptured
from traceability.api.trace_records import Records
from traceability.api.trader.balance import balance_of
from traceability.api.trader.ground import Present, TradeDesk, names_of
from traceability.api.trader.problems import DRAFT_OTHER, ENTRY, NO_SUBMITTER, NOT_AGENT, UNKNOWN, UNRECORDABLE
from traceability.api.trader.steps import CONTEXT, Entry, Faults, Step, Wrong, event_of, party_of
from traceability.api.trader.tables import TraderPicture, TraderRecord
from traceability.api.trader.words import act_words
from traceability.documents.names import Names
from traceability.items import gtin_of
from traceability.pb import traceability_pb2 as pb
from traceability.projection import RECORD_EVENT, Projected, Unrecordable, project

LISTED_MAX: Final = 100
"""Records that a page lists, the newest."""
RECORDS_DAY_MAX: Final = 1_000
"""Of one person in 24 hours, signed or not: two a minute all day. Each is kept with its picture, 200 KB or so."""
RETRY_S: Final = 3_600
_DAY_MS: Final = 86_400_000


class Rejected(Exception):
    """Fields of an entry are wrong.

    Attributes:
        faults: By field.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__(", ".join(faults.found))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Signing:
    """Who prepares a record, and where it is signed."""

    desk: TradeDesk
    office: Office
    acts: Acts
    present: Present

    @property
    def officer(self) -> Officer:
        """Who signs."""
        return self.present.officer


@dataclass(frozen=True, slots=True)
class Record:
    """A record as pages show it.

    Attributes:
        state: Of its act; "over": it was not signed in time; "gone": its act was swept away.
        code: Which rule refused it; "" otherwise.
        projection: What everybody reads, or would.
        photo: Hex digest of its picture; "" for none.
    """

    id: str
    step: Step
    actor: str
    event: bytes
    act_id: str
    state: str
    code: str
    created_ms: int
    projection: pb.Projection
    photo: str


OVER: Final = "over"


def prepare(signing: Signing, entry: Entry, draft: str, photo: bytes = b"") -> str:
    """Make an event of an entry, keep it, and have it signed.

    Args:
        signing: Who and where.
        entry: What was entered.
        draft: The device's name for it; the same one again is the same record.
        photo: A picture of ours (`photos.remake`); b"" for none.

    Returns:
        The record's id.

    Raises:
        Rejected: Fields are wrong.
        Problem: Somebody acts in another's name, the draft's name stands for something else, or there were too many.
    """
    desk, officer = signing.desk, signing.officer
    if desk.context.submit_key is None:
        raise Problem(NO_SUBMITTER)
    if signing.present.trader.acting(entry.actor) is None:
        raise Problem(NOT_AGENT)
    entry = replace(entry, photo=hashlib.sha256(photo).hexdigest() if photo else "")
    print_of = _print_of(entry)
    with desk.context.store.read() as session:
        before = _find_draft(session, officer, draft)
        if before is not None:
            if _content(desk, session, before)["entry"] != print_of:
                raise Problem(DRAFT_OTHER)
            return before.id
        _check_room(session, officer, desk.context.now())
    projected, secret = _made(desk, entry)
    content = {
        "message": encode(_message_of(projected)).hex(),
        "data": projected.data.hex(),
        "id": projected.event_id,
        "secret": secret.hex(),
        "celsius": entry.celsius,
        "photo": entry.photo,
        "entry": print_of,
    }
    record_id = new_id()
    act_id = _act(signing, entry.step, _message_of(projected), content)
    with desk.context.store.write() as session:
        if (again := _find_draft(session, officer, draft)) is not None:
            return again.id  # two at once: the first one stands, and the other's act is swept away unsigned
        row = TraderRecord(
            id=record_id,
            person_id=officer.person_id,
            staff_id=officer.staff_id,
            draft=draft,
            actor=entry.actor,
            step=entry.step,
            event=projected.id,
            act_id=act_id,
            created_ms=desk.context.now(),
        )
        desk.context.store.people.seal(session, row, TraderRecord.content, json.dumps(content, ensure_ascii=False))
        session.flush()
        for position, piece in enumerate(pieces_of(photo)):
            part = TraderPicture(person_id=officer.person_id, record_id=record_id, position=position)
            desk.context.store.people.seal(session, part, TraderPicture.content, piece)
        session.flush()
        desk.context.store.record(session, Act(officer.person_id, "trade.prepared", record_id))
    return record_id


def prepare_again(signing: Signing, record_id: str) -> None:
    """Have a record signed whose act was over: the same event, under the same id.

    Raises:
        Problem: There is no such record, it is on the ledger, or may be.
    """
    desk, officer = signing.desk, signing.officer
    with desk.context.store.read() as session:
        row = _own(session, officer, record_id)
        if _state(session, row.act_id, desk.context.now())[0] != OVER:
            raise Problem(UNKNOWN)
        content, step = _content(desk, session, row), Step(row.step)
        if signing.present.trader.acting(row.actor) is None:
            raise Problem(NOT_AGENT)
    act_id = _act(signing, step, _message(content), content)
    with desk.context.store.write() as session:
        _own(session, officer, record_id).act_id = act_id


def find(desk: TradeDesk, officer: Officer, record_id: str) -> Record:
    """One of somebody's own records; one that the ledger took is kept with all captured events.

    Raises:
        Problem: There is no such record of theirs.
    """
    with desk.context.store.read() as session:
        row = _own(session, officer, record_id)
        found = _record(desk, session, row)
    if found.state == State.DONE:
        _keep(desk, found, officer)
    return found


def listed(desk: TradeDesk, officer: Officer) -> Sequence[Record]:
    """Somebody's newest records, the newest first."""
    with desk.context.store.read() as session:
        wanted = select(TraderRecord).where(TraderRecord.staff_id == officer.staff_id)
        rows = session.scalars(wanted.order_by(TraderRecord.created_ms.desc()).limit(LISTED_MAX)).all()
        return [_record(desk, session, row) for row in rows]


def picture(desk: TradeDesk, officer: Officer, record_id: str) -> bytes:
    """The picture of one of somebody's own records; b"" for none.

    Raises:
        Problem: There is no such record of theirs.
    """
    with desk.context.store.read() as session:
        row = _own(session, officer, record_id)
        wanted = select(TraderPicture).where(TraderPicture.record_id == row.id).order_by(TraderPicture.position)
        people = desk.context.store.people
        return joined([people.open(session, one, TraderPicture.content) or "" for one in session.scalars(wanted)])


# ---------------------------------------------------------------- making


def _print_of(entry: Entry) -> str:
    """A digest of what was entered, but for the moment: a form that is sent twice says another one."""
    return hashlib.sha256(json.dumps(asdict(replace(entry, at_ms=0)), sort_keys=True).encode()).hexdigest()


def _message_of(projected: Projected) -> pb.RecordEvent:
    """What is recorded of an event."""
    assert projected.message is not None, "an event that is recorded is no declaration"
    return projected.message


def _made(desk: TradeDesk, entry: Entry) -> tuple[Projected, bytes]:
    """What becomes of an entry's event, and its secret.

    Raises:
        Rejected: Fields are wrong.
        Problem: It is no event that can be recorded.
    """
    secret = new_secret()
    with desk.context.reading() as connection:
        records = Records(connection)
        event, faults = event_of(entry, records.unit_of, desk.context.now())
        if faults.found:
            raise Rejected(faults)
        faulty = epcis.problems({"@context": CONTEXT, **event})
        if faulty:
            raise Problem(ENTRY, {"reason": str(faulty[0])})
        try:
            projected = project(
                event,
                context=CONTEXT,
                actor=entry.actor,
                secret=secret,
                unit_of=records.unit_of,
                carrier=party_of(entry.carrier),
            )
        except Unrecordable as error:
            raise Problem(UNRECORDABLE, {"reason": error.reason}) from None
        if entry.step is Step.MAKE:
            _check_balance(projected, records)
    return projected, secret


def _check_balance(projected: Projected, records: Records) -> None:
    """Whether what was made can come of what was used.

    Raises:
        Rejected: However much tolerance there is, it cannot.
    """
    projection = _message_of(projected).projection
    gtins = {gtin_of(line.item) for line in (*projection.lines, *projection.outputs)}
    products = {gtin: found for gtin in sorted(gtins) if (found := records.product(gtin)) is not None}
    balance = balance_of(projection, products)
    if balance is not None and not balance.is_possible:
        faults = Faults()
        faults.add("out-quantity-0", Wrong.BALANCE)
        raise Rejected(faults)


def _message(content: dict[str, Any]) -> pb.RecordEvent:
    """What is recorded, as it was kept: the same event under the same id."""
    return pb.RecordEvent.FromString(bytes.fromhex(content["message"]))


def _act(signing: Signing, step: Step, message: pb.RecordEvent, content: dict[str, Any]) -> str:
    """An act that records an event; its words come from what goes on the ledger."""
    projection = message.projection
    own = signing.present.trader.own.gln
    with signing.desk.context.reading() as connection:
        known: dict[Language, Names] = {
            language: names_of(
                connection,
                language,
                glns=[projection.actor, projection.counterparty, projection.carrier, own],
                places=[projection.place],
                items=[line.item for line in (*projection.lines, *projection.outputs)],
            )
            for language in LANGUAGES
        }
    words = act_words(
        step,
        projection,
        known.__getitem__,
        "" if own == projection.actor else own,
        has_photo=bool(content["photo"]),
        celsius=content["celsius"],
    )
    operation = Operation.make(RECORD_EVENT, encode(message))
    return signing.acts.prepare(signing.office, signing.officer, [operation], words)


# ---------------------------------------------------------------- reading


def _check_room(session: Session, officer: Officer, now_ms: int) -> None:
    """See whether somebody may prepare one more.

    Raises:
        Problem: They prepared enough for a day.
    """
    mine = (TraderRecord.staff_id == officer.staff_id) & (TraderRecord.created_ms > now_ms - _DAY_MS)
    if (session.scalar(select(func.count()).select_from(TraderRecord).where(mine)) or 0) >= RECORDS_DAY_MAX:
        raise Problem(RATE, {"seconds": RETRY_S}, headers={"Retry-After": str(RETRY_S)})


def _find_draft(session: Session, officer: Officer, draft: str) -> TraderRecord | None:
    wanted = (TraderRecord.staff_id == officer.staff_id) & (TraderRecord.draft == draft)
    return session.scalar(select(TraderRecord).where(wanted))


def _own(session: Session, officer: Officer, record_id: str) -> TraderRecord:
    """One of somebody's own records.

    Raises:
        Problem: There is no such record of theirs.
    """
    wanted = (TraderRecord.id == record_id) & (TraderRecord.staff_id == officer.staff_id)
    row = session.scalar(select(TraderRecord).where(wanted))
    if row is None:
        raise Problem(UNKNOWN)
    return row


def _content(desk: TradeDesk, session: Session, row: TraderRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(desk.context.store.people.open(session, row, TraderRecord.content) or "{}")
    return found


def _state(session: Session, act_id: str, now_ms: int) -> tuple[str, str]:
    """How far a record's act has come, and which rule refused it."""
    act = session.get(PreparedAct, act_id)
    if act is None or (act.state == State.PREPARED and act.expires_ms <= now_ms):
        return OVER, ""
    return act.state, act.code


def _record(desk: TradeDesk, session: Session, row: TraderRecord) -> Record:
    content = _content(desk, session, row)
    state, code = _state(session, row.act_id, desk.context.now())
    return Record(
        id=row.id,
        step=Step(row.step),
        actor=row.actor,
        event=row.event,
        act_id=row.act_id,
        state=state,
        code=code,
        created_ms=row.created_ms,
        projection=_message(content).projection,
        photo=content["photo"],
    )


def _keep(desk: TradeDesk, record: Record, officer: Officer) -> None:
    """Keep an event that the ledger took beside all captured ones; once."""
    with desk.context.store.write() as session:
        if session.get(FoodCaptured, (record.event, False)) is not None:
            return
        content = _content(desk, session, _own(session, officer, record.id))
        owner = make_owner(desk.context.store, session, record.actor)
        whole = Whole(bytes.fromhex(content["secret"]), bytes.fromhex(content["data"]))
        keep(session, owner, content["id"], record.event, whole, desk.context.now())
