# SPDX-License-Identifier: Apache-2.0
"""Lists of accesses, and what opens their entries."""

import sqlalchemy as sa
from alembic import op

revision = "accesses1"
down_revision = None
branch_labels = ("accesses",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _personal(
        "access_list",
        sa.Column("first_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("first_digest", name="uq_access_list_first_digest"),
    )
    _personal(
        "access_opening",
        sa.Column("list_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("slot_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("slot", sa.LargeBinary(), nullable=True),
        sa.Column("opening", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("slot_digest", name="uq_access_opening_slot_digest"),
        sa.UniqueConstraint("list_id", "number", name="uq_access_opening_list_id_number"),
    )
    op.create_index("ix_access_opening_list_id", "access_opening", ["list_id"])


def _personal(table: str, *items: sa.Column[str] | sa.Column[int] | sa.Column[bytes] | sa.Constraint) -> None:
    """A table about persons: its rows go with them."""
    op.create_table(
        table,
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id")),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{table}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_person_id", table, ["person_id"])
