# SPDX-License-Identifier: Apache-2.0
"""Accesses on their way into one-time slots on the ledger, and the batch that takes them there."""

import sqlalchemy as sa
from alembic import op

revision = "desk2"
down_revision = "desk1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; entries that are there already get their slots at the next ticks."""
    op.drop_column("desk_access", "slot")
    op.add_column("desk_access", sa.Column("opening_id", sa.String(32), nullable=True))
    op.create_index("ix_desk_access_opening_id", "desk_access", ["opening_id"])
    op.create_table(
        "desk_access_entry",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id", "access_id")),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("slot", "content", "salt")),
        sa.PrimaryKeyConstraint("id", name="pk_desk_access_entry"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_desk_access_entry_person_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["access_id"], ["desk_access.id"], name="fk_desk_access_entry_access_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("access_id", name="uq_desk_access_entry_access_id"),
    )
    op.create_index("ix_desk_access_entry_person_id", "desk_access_entry", ["person_id"])
    op.create_table(
        "desk_access_batch",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_access_batch"),
    )
