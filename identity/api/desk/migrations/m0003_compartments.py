# SPDX-License-Identifier: Apache-2.0
"""Private compartments of persons."""

import sqlalchemy as sa
from alembic import op

revision = "desk3"
down_revision = "desk2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "desk_compartment",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id")),
        sa.Column("kept_ms", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_compartment"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_compartment_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("person_id", name="uq_desk_compartment_person_id"),
    )
    op.create_index("ix_desk_compartment_person_id", "desk_compartment", ["person_id"])
