# SPDX-License-Identifier: Apache-2.0
"""Months of the monitor, what they are compared with and by, and entries on statutory lists."""

import sqlalchemy as sa
from alembic import op

revision = "creditpages1"
down_revision = None
branch_labels = ("creditpages",)
depends_on = "credit1"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "credit_month",
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("month", name="pk_credit_month"),
    )
    op.create_table(
        "credit_reference",
        sa.Column("scorecard", sa.LargeBinary(32), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("scorecard", name="pk_credit_reference"),
    )
    op.create_table(
        "credit_grouping",
        sa.Column("attribute", sa.String(16), nullable=False),
        sa.Column("basis", sa.String(200), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("attribute", name="pk_credit_grouping"),
    )
    op.create_table(
        "credit_listing",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id", "subject_id")),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("until_day", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("made_ms", "listed_ms", "ended_ms")),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_credit_listing"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_credit_listing_person_id", ondelete="CASCADE"),
    )
    for name in ("person_id", "subject_id", "organisation", "state"):
        op.create_index(f"ix_credit_listing_{name}", "credit_listing", [name])
