# SPDX-License-Identifier: Apache-2.0
"""Drills, notices, discrepancies."""

import sqlalchemy as sa
from alembic import op

revision = "foodregulator1"
down_revision = None
branch_labels = ("food-regulator",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "food_drill",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("is_drill", sa.Boolean(), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("opened_by", sa.String(32), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_food_drill"),
        sa.UniqueConstraint("number", name="uq_food_drill_number"),
    )
    op.create_index("ix_food_drill_started_ms", "food_drill", ["started_ms"])
    op.create_table(
        "food_notice",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("drill_id", sa.String(32), nullable=False),
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_ms", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_food_notice"),
        sa.ForeignKeyConstraint(["drill_id"], ["food_drill.id"], name="fk_food_notice_drill_id", ondelete="CASCADE"),
        sa.UniqueConstraint("drill_id", "gln", name="uq_food_notice_drill_id_gln"),
    )
    for column in ("drill_id", "gln"):
        op.create_index(f"ix_food_notice_{column}", "food_notice", [column])
    op.create_table(
        "food_discrepancy",
        sa.Column("event", sa.LargeBinary(32), nullable=False),
        sa.Column("item", sa.String(100), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("receiver", sa.String(13), nullable=False),
        sa.Column("shipper", sa.String(13), nullable=False),
        sa.Column("over", sa.BigInteger(), nullable=False),
        sa.Column("short", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event", "item", name="pk_food_discrepancy"),
    )
    op.create_index("ix_food_discrepancy_number", "food_discrepancy", ["number"])
    op.create_table(
        "food_receipts_read",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_food_receipts_read"),
    )
