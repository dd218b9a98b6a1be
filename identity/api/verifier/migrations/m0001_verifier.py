# SPDX-License-Identifier: Apache-2.0
"""Programs of relying parties, verifications, their access entries, log-ins."""

import sqlalchemy as sa
from alembic import op

revision = "verifier1"
down_revision = None
branch_labels = ("verifier",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "verifier_client",
        _text("id", 32),
        _text("relying_party", 128),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("certificate_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("is_sandbox", sa.Boolean(), nullable=False),
        sa.Column("origins", sa.Text(), nullable=False),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        _text("login_purpose", 128),
        _moment("made_ms"),
        _moment("ended_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_verifier_client"),
        sa.UniqueConstraint("key_digest", name="uq_verifier_client_key_digest"),
    )
    op.create_table(
        "verifier_verification",
        _text("id", 32),
        _text("client_id", 32),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(32), nullable=True),
        _text("state", 16),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("presented", "answer", "access")),
        _text("entry", 16),
        _moment("notice_due_ms", nullable=True),
        sa.Column("notice_tries", sa.Integer(), nullable=False),
        *(_moment(name) for name in ("created_ms", "expires_ms", "gone_ms")),
        sa.PrimaryKeyConstraint("id", name="pk_verifier_verification"),
        sa.UniqueConstraint("token_digest", name="uq_verifier_verification_token_digest"),
    )
    for name in ("client_id", "gone_ms", "entry", "notice_due_ms"):
        op.create_index(f"ix_verifier_verification_{name}", "verifier_verification", [name])
    op.create_table(
        "verifier_entry",
        _text("id", 32),
        sa.Column("drawn", sa.LargeBinary(), nullable=False),
        sa.Column("is_recorded", sa.Boolean(), nullable=False),
        _moment("made_ms"),
        sa.PrimaryKeyConstraint("id", name="pk_verifier_entry"),
    )
    op.create_index("ix_verifier_entry_is_recorded", "verifier_entry", ["is_recorded"])
    op.create_table(
        "verifier_login",
        *(_text(name, 32) for name in ("id", "client_id", "verification_id")),
        sa.Column("browser_digest", sa.LargeBinary(32), nullable=False),
        *(sa.Column(name, sa.LargeBinary(32), nullable=True) for name in ("code_digest", "token_digest")),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        *(_moment(name) for name in ("expires_ms", "gone_ms")),
        sa.PrimaryKeyConstraint("id", name="pk_verifier_login"),
        *(sa.UniqueConstraint(name, name=f"uq_verifier_login_{name}") for name in ("code_digest", "token_digest")),
    )
    for name in ("verification_id", "gone_ms"):
        op.create_index(f"ix_verifier_login_{name}", "verifier_login", [name])


def _text(name: str, characters: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(characters), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
