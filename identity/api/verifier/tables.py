# SPDX-License-Identifier: Apache-2.0
"""Private tables of the verifier: who may ask, what is asked, what was answered.

The verifier knows nobody: no row names a person of this store, and nothing joins two verifications of one person. What
was presented and answered is sealed, and goes with its row after `verifier.keep_days`.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.api_keys import ApiKeyRow
from service.store import Base
from service.store.migrate import add_migrations
from service.store.models import ID_CHARACTERS

add_migrations(Path(__file__).parent / "migrations")

OPEN, RECORDING, ANSWERED, REFUSED, CANCELLED = "open", "recording", "answered", "refused", "cancelled"
"""States of a verification: nobody has answered; the answer waits for its access entry; it held; it did not; ended by
the relying party. One that is open and past its time is over."""
NO_ENTRY, WANTED, WRITTEN = "none", "wanted", "written"
"""Of an access entry: none is due; it is to be written; the ledger has it."""
NAME_CHARACTERS: Final = 128


class VerifierClient(ApiKeyRow):
    """A program of a relying party. Its key stands here as a digest alone."""

    __tablename__ = "verifier_client"

    relying_party: Mapped[str] = mapped_column(String(NAME_CHARACTERS))
    certificate_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), nullable=True)
    is_sandbox: Mapped[bool] = mapped_column(Boolean)
    origins: Mapped[str] = mapped_column(Text)
    redirect_uris: Mapped[str] = mapped_column(Text)
    login_purpose: Mapped[str] = mapped_column(String(NAME_CHARACTERS))


class Verification(Base):
    """One question, and its answer.

    `asked` (what was asked, `asking.Asked`), `presented` (what came, as it came), `answer` (the signed answer) and
    `access` (the entry that is due) are sealed (`sealing.Sealing`).
    """

    __tablename__ = "verifier_verification"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    code_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), nullable=True)
    state: Mapped[str] = mapped_column(String(16))
    asked: Mapped[bytes] = mapped_column(LargeBinary)
    presented: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    access: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=True)
    entry: Mapped[str] = mapped_column(String(16))
    notice_due_ms: Mapped[int | None] = mapped_column(BigInteger, nullable=True)
    notice_tries: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    gone_ms: Mapped[int] = mapped_column(BigInteger, index=True)

    __table_args__ = (Index(None, "entry"), Index(None, "notice_due_ms"))


class VerifierEntry(Base):
    """An access entry on its way to the ledger, and to whoever keeps the list.

    `drawn` is all that makes it (`recording.Drawn`) with the start of its list, sealed.
    """

    __tablename__ = "verifier_entry"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    drawn: Mapped[bytes] = mapped_column(LargeBinary)
    is_recorded: Mapped[bool] = mapped_column(Boolean, index=True)
    made_ms: Mapped[int] = mapped_column(BigInteger)


class VerifierLogin(Base):
    """One log-in through OpenID Connect; codes and tokens stand here as digests alone.

    `grant` is what the code is good for, sealed (`oidc.Grant`).
    """

    __tablename__ = "verifier_login"

    id: Mapped[str] = mapped_column(String(ID_CHARACTERS), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(ID_CHARACTERS))
    verification_id: Mapped[str] = mapped_column(String(ID_CHARACTERS), index=True)
    browser_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    code_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True, nullable=True)
    token_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True, nullable=True)
    grant: Mapped[bytes] = mapped_column(LargeBinary)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    gone_ms: Mapped[int] = mapped_column(BigInteger, index=True)
