# SPDX-License-Identifier: Apache-2.0
"""Private tables of the issuance desk.

What is personal, and what joins a person to a record on the ledger (registration ids, salts, receipts), is sealed
under the person's key and goes with it. Columns in the clear hold states, times and random ids.
"""

from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from service.store import Base, Normal, PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS, new_id

add_migrations(Path(__file__).parent / "migrations")


class DeskPerson(PersonalRow):
    """A natural person whom this desk registers; one row for each person of the store.

    `details` is `details.Details` as it counts now (as JSON), empty before the first approval. `likeness` is name and
    birth date together, by which possible duplicates are found. `secrets` is `secrets_of.Secrets`: registration id,
    salts, the secret behind pairwise pseudonyms.
    """

    __tablename__ = "desk_person"

    organisation: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(16))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    changed_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    name: Mapped[bytes | None] = sealed(Normal.TEXT)
    number: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    phone: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    likeness: Mapped[bytes | None] = sealed(Normal.TEXT)
    details: Mapped[bytes | None] = sealed()
    secrets: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("person_id"),)


class DeskCase(PersonalRow):
    """One thing that is done about a person, from its beginning to its end; `cases` has its states.

    `content` is what is asked for (as JSON). `act_id` is the act that an officer is to sign for the next step.
    """

    __tablename__ = "desk_case"

    organisation: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    reference: Mapped[str] = mapped_column(String(32), unique=True)
    opened_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    opened_ms: Mapped[int] = mapped_column(BigInteger)
    changed_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(Integer)
    act_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    act_step: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes | None] = sealed()
    note: Mapped[bytes | None] = sealed()

    __table_args__ = (Index(None, "state", "changed_ms"),)


class OfCase(PersonalRow):
    """What belongs to a case."""

    __abstract__ = True

    @declared_attr
    def case_id(cls) -> Mapped[str]:  # noqa: N805 - a declared attribute is given the class
        """Which case."""
        return mapped_column(ForeignKey("desk_case.id", ondelete="CASCADE"), index=True)


class DeskStep(OfCase):
    """One step of a case, as its history shows it; with the receipt where it stands on the ledger."""

    __tablename__ = "desk_step"

    position: Mapped[int] = mapped_column(Integer)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    step: Mapped[str] = mapped_column(String(32))
    act_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    receipt: Mapped[bytes | None] = sealed()


class DeskDuplicate(OfCase):
    """Somebody registered who may be the person of a case; a supervisor decides."""

    __tablename__ = "desk_duplicate"

    other_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    likeness: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    decided_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    decided_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("case_id", "other_id"),)


class DeskImage(PersonalRow):
    """A photo or a scan of a document, made anew by us; its bytes stand in pieces."""

    __tablename__ = "desk_image"

    kind: Mapped[str] = mapped_column(String(16))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(Integer)


class DeskImagePiece(PersonalRow):
    """One piece of an image, base64: sealed values are bounded."""

    __tablename__ = "desk_image_piece"

    image_id: Mapped[str] = mapped_column(ForeignKey("desk_image.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("image_id", "position"),)


class DeskLookUp(Base):
    """A search that somebody made, with its reason; also one that found nobody. What was searched for is not kept."""

    __tablename__ = "desk_look_up"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True, default=new_id)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    reason: Mapped[str] = mapped_column(String(32))
    found: Mapped[int] = mapped_column(Integer)


class DeskAccess(PersonalRow):
    """Somebody looked at a person's data: what the citizen is shown. `number` counts up for each person.

    `opening_id` is the row that opens its slot on the ledger (`identity.api.accesses`); NULL as long as it has none.
    """

    __tablename__ = "desk_access"

    number: Mapped[int] = mapped_column(Integer)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    organisation: Mapped[str] = mapped_column(String(64))
    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    role: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(32))
    look_up_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    visible_after_ms: Mapped[int] = mapped_column(BigInteger)
    opening_id: Mapped[str | None] = mapped_column(String(ID_CHARACTERS), nullable=True, index=True)

    __table_args__ = (UniqueConstraint("person_id", "number"),)


class DeskAccessEntry(PersonalRow):
    """An access on its way into a slot of the person's list; one for each person at a time. Sealed values are hex."""

    __tablename__ = "desk_access_entry"

    access_id: Mapped[str] = mapped_column(ForeignKey("desk_access.id", ondelete="CASCADE"), unique=True)
    slot: Mapped[bytes | None] = sealed()
    content: Mapped[bytes | None] = sealed()
    salt: Mapped[bytes | None] = sealed()


class DeskAccessBatch(Base):
    """The batch of entries that is on its way, as it was signed; there is one at most.

    It holds commitments and decoys, nothing personal.
    """

    __tablename__ = "desk_access_batch"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    entries: Mapped[bytes] = mapped_column(LargeBinary)
    signed: Mapped[bytes] = mapped_column(LargeBinary)


class DeskCompartment(PersonalRow):
    """What a person sealed for two keys of their own (`identity.compartment`); nobody here opens it."""

    __tablename__ = "desk_compartment"

    kept_ms: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes | None] = sealed()

    __table_args__ = (UniqueConstraint("person_id"),)


class DeskCompartmentBefore(PersonalRow):
    """A compartment whose place another one took; `compartments` says how long it is kept."""

    __tablename__ = "desk_compartment_before"

    kept_ms: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(Integer)
    replaced_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    content: Mapped[bytes | None] = sealed()


class DeskErasure(Base):
    """A request to erase a person: two officers, a waiting period, and the account that outlives the data."""

    __tablename__ = "desk_erasure"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True, default=new_id)
    person_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    organisation: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    ground: Mapped[str] = mapped_column(String(32))
    requested_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    requested_ms: Mapped[int] = mapped_column(BigInteger)
    confirmed_by: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    due_ms: Mapped[int] = mapped_column(BigInteger)
    done_ms: Mapped[int] = mapped_column(BigInteger)
    account: Mapped[str] = mapped_column(String(4096))


class DeskDeclaration(PersonalRow):
    """That the desk deals with what somebody declared at a kiosk: by a case that changes it, or not, with a reason.

    `answer` is the reason why not. Which of both: `declared.State`.
    """

    __tablename__ = "desk_declaration"

    statement_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), unique=True)
    case_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    staff_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    changed_ms: Mapped[int] = mapped_column(BigInteger)
    answer: Mapped[bytes | None] = sealed()
