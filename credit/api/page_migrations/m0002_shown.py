# SPDX-License-Identifier: Apache-2.0
"""Reports that holders gave to readers by a link."""

import sqlalchemy as sa
from alembic import op

revision = "creditpages2"
down_revision = "creditpages1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "credit_shown",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id", "subject_id")),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credit_shown"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_credit_shown_person_id", ondelete="CASCADE"),
    )
    for name in ("person_id", "subject_id", "expires_ms"):
        op.create_index(f"ix_credit_shown_{name}", "credit_shown", [name])
