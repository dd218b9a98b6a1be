# SPDX-License-Identifier: Apache-2.0
"""People who work with a service, their passkeys, sessions, challenges, invitations, prepared acts and duties."""

import sqlalchemy as sa
from alembic import op

revision = "sign1"
down_revision = None
branch_labels = ("sign-in",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _personal(
        "staff",
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=True),
    )
    op.create_index("ix_staff_service", "staff", ["service"])
    _of_staff(
        "passkey",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("public_key", sa.LargeBinary(33), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("digest", name="uq_passkey_digest"),
    )
    _of_staff(
        "sign_in_session",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("passkey_id", sa.String(32), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("verified_ms", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.LargeBinary(32), nullable=False),
        sa.Column("network", sa.LargeBinary(32), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("digest", name="uq_sign_in_session_digest"),
    )
    _of_staff(
        "invitation",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("made_by", sa.String(32), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("digest", name="uq_invitation_digest"),
    )
    _of_staff(
        "prepared_act",
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.LargeBinary(), nullable=True),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
    )
    op.create_table(
        "sign_in_challenge",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("binding", sa.LargeBinary(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary(4096), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_in_challenge"),
    )
    op.create_index("ix_sign_in_challenge_expires_ms", "sign_in_challenge", ["expires_ms"])
    op.create_table(
        "duty",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("duty", sa.String(16), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("subject", "duty", name="pk_duty"),
    )


def _personal(table: str, *items: sa.Column[object] | sa.Constraint) -> None:
    """A table about persons: its rows go with them."""
    op.create_table(
        table,
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{table}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_person_id", table, ["person_id"])


def _of_staff(table: str, *items: sa.Column[object] | sa.Constraint) -> None:
    """A table of what belongs to somebody's place in a service."""
    _personal(
        table,
        sa.Column("staff_id", sa.String(32), nullable=False),
        *items,
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=f"fk_{table}_staff_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_staff_id", table, ["staff_id"])
