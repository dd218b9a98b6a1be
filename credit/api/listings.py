# SPDX-License-Identifier: Apache-2.0
"""Statutory lists: an entry with its document and its joint measures, and its end with another document.

An entry names one serious event of the subject's log whose class stands on the statutory list: a burden without one the
rules refuse (`credit.not-on-list`), as they refuse one that no human's key signs (`credit.no-human`). Another officer
ends it. It counts only as long as its event stands: while that is disputed, and once it is repaired, withdrawn or over,
nobody reads the entry as one that holds, also before an officer has signed the exit.

What the ledger's record commits to is `committed`: with its salt, whoever holds it checks that this was decided.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.strict_json import canonical
from chain.types import sha256
from credit.api.base import CreditContext, date_of, load_subject
from credit.api.events import Event
from credit.api.page_tables import CreditListing
from credit.api.problems import LISTING, UNKNOWN_REQUEST
from credit.api.requests import event_of
from credit.api.slot_index import Slot
from credit.api.subjects import name_of
from credit.api.tables import CreditSubject
from credit.pb import credit_pb2 as pb
from service.problems import Problem
from service.sign_in.acts import State as ActState
from service.sign_in.tables import PreparedAct

PREPARED, LISTED, ENDED = "prepared", "listed", "ended"
SHOWN_MAX: Final = 500
"""Entries on one page: the newest; a city has some hundred."""
DOCUMENT_CHARACTERS_MAX: Final = 60
_DOCUMENT: Final = re.compile(r"[\w〔〕()（）\[\]/.-][\w〔〕()（）\[\]/. -]*")
"""A document's own number, as offices write them; nothing in it needs another character."""

Hold: TypeAlias = Literal["holds", "disputed", "over"]


@dataclass(frozen=True, slots=True)
class Document:
    """An entry's or an exit's document.

    Attributes:
        number: As its office numbers it.
        day: Its date, in days since 1970-01-01.
    """

    number: str
    day: int

    def check(self, least: int, most: int) -> None:
        """Check the number's form and the date's bounds.

        Raises:
            Problem: Something is out of them.
        """
        is_number = len(self.number) <= DOCUMENT_CHARACTERS_MAX and _DOCUMENT.fullmatch(self.number) is not None
        if not is_number or not least <= self.day <= most:
            raise Problem(LISTING)


@dataclass(frozen=True, slots=True)
class Exit:
    """How an entry ends."""

    document: Document
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """All that is secret of an entry; sealed under its person's key.

    Attributes:
        event_id: Which event it names.
        number: The event's class, which stands on the statutory list.
        version: Of the class.
        document: The entry's.
        measures: What follows from it, by name.
        decision: Id of the ledger's record.
        salt: With which the record commits to `committed`.
        act: The act that enters.
        exits: Prepared exits by act; whichever is done ended the entry.
    """

    event_id: str
    number: int
    version: int
    document: Document
    measures: tuple[str, ...]
    decision: str = field(repr=False)
    salt: str = field(repr=False)
    act: str = ""
    exits: dict[str, Exit] = field(default_factory=dict)

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Content":
        """What `encode` wrote."""
        found: dict[str, Any] = json.loads(text)
        found["document"] = Document(**found["document"])
        found["measures"] = tuple(found["measures"])
        found["exits"] = {act: Exit(Document(**one["document"]), one["reason"]) for act, one in found["exits"].items()}
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Listing:
    """An entry as pages show it.

    Attributes:
        catalogued: The class that stands on the statutory list.
        ended: The exit that was signed; None: none was.
        hold: Whether it counts today: its event stands, is disputed, or is over.
        committed: What the ledger's record commits to.
        exit_act: An exit that waits for its signature; "": none.
    """

    row: CreditListing
    content: Content
    name: str
    number: str
    catalogued: pb.PutClass
    ended: Exit | None
    hold: Hold
    committed: bytes

    @property
    def is_in_force(self) -> bool:
        """Whether it is to be read as an entry that holds."""
        return self.row.state == LISTED and self.hold == "holds"

    @property
    def until(self) -> date:
        """The first day on which it holds no longer, whatever is done."""
        return date_of(self.row.until_day)


def committed(listing_id: str, slot: bytes, content: Content, until_day: int) -> bytes:
    """What an entry's record on the ledger commits to, as canonical JSON.

    The slot is hashed with the salt, so that a public entry leads nobody to the event's place in its subject's log.
    """
    return canonical(
        {
            "class": content.number,
            "class_version": content.version,
            "document": content.document.number,
            "document_day": content.document.day,
            "event": sha256(bytes.fromhex(content.salt) + slot).hex(),
            "listing": listing_id,
            "measures": list(content.measures),
            "until_day": until_day,
        }
    )


def commitment(content: Content, raw: bytes) -> bytes:
    """What stands on the ledger for it; 32 bytes."""
    return sha256(bytes.fromhex(content.salt) + raw)


def hold_of(context: CreditContext, event: Event, until_day: int) -> Hold:
    """Whether an entry for an event counts today."""
    slot: Slot | None = context.index.slots([event.slot]).get(event.slot)
    if slot is None or context.today >= until_day or event.content.severity != "serious":
        return "over"
    if slot.status == pb.EVENT_STATUS_DISPUTED:
        return "disputed"
    return "holds" if slot.status in (pb.EVENT_STATUS_ACTIVE, pb.EVENT_STATUS_CORRECTED) else "over"


def signed_exit(session: Session, content: Content) -> Exit | None:
    """The exit that was signed; None: none was."""
    done = select(PreparedAct.id).where(PreparedAct.id.in_(list(content.exits)), PreparedAct.state == ActState.DONE)
    act_id = session.scalar(done.limit(1))
    return None if act_id is None else content.exits[act_id]


# ---------------------------------------------------------------- reading


def listings_of(context: CreditContext, subject_id: str) -> list[Listing]:
    """A subject's entries that were signed, newest first."""
    with context.store.read() as session:
        return [one for one in entries_of(context, session, subject_id) if one.row.state != PREPARED]


def public_listings(context: CreditContext) -> list[Listing]:
    """Entries of legal persons that hold today, newest first."""
    query = select(CreditListing).where(CreditListing.is_public, CreditListing.state == LISTED)
    with context.store.read() as session:
        rows = session.scalars(query.order_by(CreditListing.listed_ms.desc()).limit(SHOWN_MAX))
        return [one for one in _read_all(context, session, rows.all()) if one.is_in_force]


def office_listings(context: CreditContext, organisation: str) -> list[Listing]:
    """Entries of an organisation, newest first; "": of all, for the authority."""
    query = select(CreditListing).where(CreditListing.state != PREPARED)
    query = query.where(CreditListing.organisation == organisation) if organisation else query
    with context.store.read() as session:
        rows = session.scalars(query.order_by(CreditListing.made_ms.desc()).limit(SHOWN_MAX))
        return _read_all(context, session, rows.all())


def find_listing(context: CreditContext, listing_id: str) -> Listing:
    """One entry that was signed.

    Raises:
        Problem: There is none of this id.
    """
    with context.store.read() as session:
        row = session.get(CreditListing, listing_id)
        if row is None or row.state == PREPARED:
            raise Problem(UNKNOWN_REQUEST)
        (found,) = _read_all(context, session, [row])
        return found


def entries_of(context: CreditContext, session: Session, subject_id: str) -> list[Listing]:
    """A subject's entries, also those that nobody signed yet; newest first."""
    query = select(CreditListing).where(CreditListing.subject_id == subject_id)
    rows = session.scalars(query.order_by(CreditListing.made_ms.desc()).limit(SHOWN_MAX))
    return _read_all(context, session, rows.all())


def _read_all(context: CreditContext, session: Session, rows: Sequence[CreditListing]) -> list[Listing]:
    return [_read(context, session, row) for row in rows]


def _read(context: CreditContext, session: Session, row: CreditListing) -> Listing:
    people = context.store.people
    content = Content.decode(people.open(session, row, CreditListing.content) or "")
    subject = load_subject(session, row.subject_id)
    event = event_of(context, session, row.subject_id, content.event_id)[1]
    catalogued = context.index.class_of(content.number, content.version)
    assert catalogued is not None, "an event names a version that was put"
    return Listing(
        row=row,
        content=content,
        name=name_of(context, session, subject),
        number=people.open(session, subject, CreditSubject.number) or "",
        catalogued=catalogued,
        ended=signed_exit(session, content),
        hold=hold_of(context, event, row.until_day),
        committed=committed(row.id, event.slot, content, row.until_day),
    )
