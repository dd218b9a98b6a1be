# SPDX-License-Identifier: Apache-2.0
"""Who is still to be told of what was recorded, and how far people were told of what ended."""

import sqlalchemy as sa
from alembic import op

revision = "creditpages4"
down_revision = "creditpages3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "credit_to_tell",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "subject_id")),
        sa.PrimaryKeyConstraint("id", name="pk_credit_to_tell"),
    )
    op.create_table(
        "credit_pass",
        sa.Column("name", sa.String(16), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("done_day", "day")),
        sa.Column("after", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_credit_pass"),
    )
