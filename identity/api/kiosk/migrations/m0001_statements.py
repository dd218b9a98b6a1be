# SPDX-License-Identifier: Apache-2.0
"""Statements that came from kiosks."""

import sqlalchemy as sa
from alembic import op

revision = "kiosk1"
down_revision = None
branch_labels = ("kiosk",)
depends_on = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "kiosk_statement",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("stream", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(66), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_kiosk_statement"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_kiosk_statement_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("stream", name="uq_kiosk_statement_stream"),
    )
    op.create_index("ix_kiosk_statement_person_id", "kiosk_statement", ["person_id"])
    op.create_index("ix_kiosk_statement_state", "kiosk_statement", ["state"])
    op.create_index("ix_kiosk_statement_received_ms", "kiosk_statement", ["received_ms"])
