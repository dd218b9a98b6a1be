# SPDX-License-Identifier: Apache-2.0
"""Passkeys that are to become participants' keys."""

import sqlalchemy as sa
from alembic import op

revision = "trader2"
down_revision = "trader1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "trader_key_request",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("staff_id", sa.String(32), nullable=False),
        sa.Column("passkey_id", sa.String(32), nullable=False),
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("officer_passkey", sa.String(32), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trader_key_request"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_trader_key_request_person_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("staff_id", name="uq_trader_key_request_staff_id"),
    )
    op.create_index("ix_trader_key_request_person_id", "trader_key_request", ["person_id"])
