# SPDX-License-Identifier: Apache-2.0
"""Looks that the law delays, sealed on the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "space2"
down_revision = "space1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "space_seal",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id", "access_id")),
        sa.Column("due_day", sa.Integer(), nullable=False),
        sa.Column("sealed_ms", sa.BigInteger(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_space_seal"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_space_seal_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("access_id", name="uq_space_seal_access_id"),
    )
    op.create_index("ix_space_seal_person_id", "space_seal", ["person_id"])
