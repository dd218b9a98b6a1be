# SPDX-License-Identifier: Apache-2.0
"""What liveness methods said of whoever opened a visit."""

import sqlalchemy as sa
from alembic import op

revision = "kiosk2"
down_revision = "kiosk1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "kiosk_presence",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("device", sa.String(66), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_kiosk_presence"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_kiosk_presence_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_kiosk_presence_person_id", "kiosk_presence", ["person_id"])
