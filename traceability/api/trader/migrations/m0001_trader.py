# SPDX-License-Identifier: Apache-2.0
"""What traders prepared to record, and pictures."""

import sqlalchemy as sa
from alembic import op

revision = "trader1"
down_revision = None
branch_labels = ("trader",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "trader_record",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("staff_id", sa.String(32), nullable=False),
        sa.Column("draft", sa.String(36), nullable=False),
        sa.Column("actor", sa.String(13), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("event", sa.LargeBinary(32), nullable=False),
        sa.Column("act_id", sa.String(32), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trader_record"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_trader_record_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("event", name="uq_trader_record_event"),
        sa.UniqueConstraint("staff_id", "draft", name="uq_trader_record_staff_id_draft"),
    )
    for column in ("person_id", "staff_id", "created_ms"):
        op.create_index(f"ix_trader_record_{column}", "trader_record", [column])
    op.create_table(
        "trader_picture",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("record_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trader_picture"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_trader_picture_person_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["record_id"], ["trader_record.id"], name="fk_trader_picture_record_id", ondelete="CASCADE"
        ),
    )
    for column in ("person_id", "record_id"):
        op.create_index(f"ix_trader_picture_{column}", "trader_picture", [column])
