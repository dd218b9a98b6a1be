# SPDX-License-Identifier: Apache-2.0
"""Private tables of credit: whose log it is, what opens its slots, who read it, what somebody asked for.

What joins a person to a record on the ledger (slots, salts, the log's first slot) and what is said of them is sealed
under the person's key: who destroys that key leaves commitments on the ledger that nobody opens. Batches are no
person's rows: they hold a transaction that is on the ledger anyway.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.api_keys import ApiKeyRow
from service.store import Base, Normal, PersonalRow, sealed
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

ORGANISATION_CHARACTERS = 64


class CreditSubject(PersonalRow):
    """A natural or legal person with a log. `secrets` is `logs.Secrets` as JSON.

    `key_digest` is keyed: it finds the holder's key again and says nothing to who lacks the store's secret. `count` is
    how many events the log holds, which is the position of the next one.
    """

    __tablename__ = "credit_subject"

    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    count: Mapped[int] = mapped_column(Integer)
    key_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True, nullable=True)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[bytes | None] = sealed(Normal.IDENTIFIER)
    name: Mapped[bytes | None] = sealed()
    secrets: Mapped[bytes | None] = sealed()


class CreditEvent(PersonalRow):
    """An event that is on the ledger, or drawn and on its way there (`position` is empty). `content` is `logs.Event`.

    `reference_digest` is keyed: a source's own number for the event, so that it records nothing twice.
    """

    __tablename__ = "credit_event"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    batch_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    source: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    position: Mapped[int | None] = mapped_column(Integer, nullable=True)
    reference_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()

    __table_args__ = (
        UniqueConstraint("source", "reference_digest"),
        UniqueConstraint("subject_id", "position"),
        Index(None, "batch_id"),
    )


class CreditChange(PersonalRow):
    """What is about to replace an opening or an objection's secret once the ledger shows it. `content` as in `logs`."""

    __tablename__ = "credit_change"

    event_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    dies_ms: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes | None] = sealed()


class CreditBatch(Base):
    """Events that one signature of a source covers. `transaction` is kept before it goes anywhere."""

    __tablename__ = "credit_batch"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    source: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    act_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    count: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    dies_ms: Mapped[int] = mapped_column(BigInteger)
    header: Mapped[bytes] = mapped_column(LargeBinary)
    transaction: Mapped[bytes] = mapped_column(LargeBinary)
    code: Mapped[str] = mapped_column(String(64))
    receipt: Mapped[bytes] = mapped_column(LargeBinary)


class CreditRequest(PersonalRow):
    """What somebody asks of an organisation: an objection, a repair, a pledge to be checked, a benefit.

    `content` is JSON: the words of both sides, and of which class or benefit it is.
    """

    __tablename__ = "credit_request"

    kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    event_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    opened_ms: Mapped[int] = mapped_column(BigInteger)
    due_day: Mapped[int] = mapped_column(Integer)
    closed_ms: Mapped[int] = mapped_column(BigInteger)
    act_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    content: Mapped[bytes | None] = sealed()


class CreditConsent(PersonalRow):
    """What a person lets an organisation read, for which purpose and until when, and what ends it.

    Whether it counts, the ledger says, under `commitment`. `content` is `consents.Kept`. `given_ms` is 0 until the
    ledger is known to have it.
    """

    __tablename__ = "credit_consent"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    purpose: Mapped[str] = mapped_column(String(32))
    given_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)
    ended_ms: Mapped[int] = mapped_column(BigInteger)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    commitment: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    content: Mapped[bytes | None] = sealed()


class CreditAccess(PersonalRow):
    """One look at a person's credit: who, what for, what was shown. Reports keep what they showed, sealed.

    Each look is an entry of the person's list on the ledger too: `entered_ms` says since when, and `entry`
    (`accesses`) is what makes it while it is on its way there.
    """

    __tablename__ = "credit_access"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    purpose: Mapped[str] = mapped_column(String(32))
    what: Mapped[str] = mapped_column(String(16))
    at_ms: Mapped[int] = mapped_column(BigInteger)
    shown: Mapped[bytes | None] = sealed()
    entered_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    entry: Mapped[bytes | None] = sealed()


class CreditNotice(PersonalRow):
    """A message that an earlier reader of a report is owed, because something in it is no longer so.

    `told` is what `reading.told` makes of the event's standing: the same thing is told once.
    """

    __tablename__ = "credit_notice"

    access_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    event_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    state: Mapped[str] = mapped_column(String(16), index=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    sent_ms: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    told: Mapped[bytes] = mapped_column(LargeBinary(32))

    __table_args__ = (UniqueConstraint("access_id", "event_id", "told"),)


class CreditKeyLink(PersonalRow):
    """A link by which a person binds a key of their own to their log; good once."""

    __tablename__ = "credit_key_link"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger)


class CreditVisit(PersonalRow):
    """A session of somebody who signed in with the key that their log is bound to."""

    __tablename__ = "credit_visit"

    subject_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    seen_ms: Mapped[int] = mapped_column(BigInteger)


class CreditNonce(Base):
    """A nonce that a holder's key has signed, to sign in or to show a report: it is good once.

    Those that nobody signed take no place here.
    """

    __tablename__ = "credit_nonce"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class CreditClient(ApiKeyRow):
    """A key by which an organisation's own system uses the interface; kept as a digest."""

    __tablename__ = "credit_client"

    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS), index=True)


class CreditDraw(Base):
    """A random inspection draw: announced and anchored, then drawn with a block that came later.

    `receipt` proves that the ledger had the announcement before; without it nothing is drawn.
    """

    __tablename__ = "credit_draw"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(ORGANISATION_CHARACTERS))
    made_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    height: Mapped[int] = mapped_column(BigInteger)
    announcement: Mapped[bytes] = mapped_column(LargeBinary)
    seed: Mapped[bytes] = mapped_column(LargeBinary)
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    receipt: Mapped[bytes] = mapped_column(LargeBinary)
