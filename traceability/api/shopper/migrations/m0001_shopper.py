# SPDX-License-Identifier: Apache-2.0
"""Scans of serials by hour and district; complaints."""

import sqlalchemy as sa
from alembic import op

revision = "shopper1"
down_revision = None
branch_labels = ("shopper",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "food_scan",
        sa.Column("item", sa.String(100), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("district", sa.String(6), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("item", "hour", "district", name="pk_food_scan"),
    )
    op.create_index("ix_food_scan_hour", "food_scan", ["hour"])
    op.create_table(
        "food_complaint",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("item", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("district", sa.String(6), nullable=False),
        sa.Column("text", sa.String(1000), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_food_complaint"),
    )
    op.create_index("ix_food_complaint_item", "food_complaint", ["item"])
    op.create_index("ix_food_complaint_made_ms", "food_complaint", ["made_ms"])
