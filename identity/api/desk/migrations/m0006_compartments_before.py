# SPDX-License-Identifier: Apache-2.0
"""Private compartments whose place another one took, for a while."""

import sqlalchemy as sa
from alembic import op

revision = "desk6"
down_revision = "desk5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    name = "desk_compartment_before"
    op.create_table(
        name,
        *(sa.Column(column, sa.String(32), nullable=False) for column in ("id", "person_id")),
        sa.Column("kept_ms", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("replaced_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{name}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{name}_person_id", name, ["person_id"])
    op.create_index(f"ix_{name}_replaced_ms", name, ["replaced_ms"])
