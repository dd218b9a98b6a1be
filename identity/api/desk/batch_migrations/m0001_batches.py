# SPDX-License-Identifier: Apache-2.0
"""Batches of cards and their rows."""

import sqlalchemy as sa
from alembic import op

revision = "deskbatch1"
down_revision = None
branch_labels = ("desk-batch",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "desk_batch",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(32), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_batch"),
    )
    op.create_index("ix_desk_batch_created_ms", "desk_batch", ["created_ms"])
    op.create_table(
        "desk_batch_row",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("batch_id", sa.String(32), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=True),
        sa.Column("card_id", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_batch_row"),
        sa.ForeignKeyConstraint(["batch_id"], ["desk_batch.id"], name="fk_desk_batch_row_batch_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_batch_row_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_desk_batch_row_person_id", "desk_batch_row", ["person_id"])
    op.create_index("ix_desk_batch_row_batch_id_line", "desk_batch_row", ["batch_id", "line"], unique=True)
