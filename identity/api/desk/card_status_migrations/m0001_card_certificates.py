# SPDX-License-Identifier: Apache-2.0
"""Every certificate that the card authority issued, and how it stands."""

import sqlalchemy as sa
from alembic import op

revision = "deskcardstatus1"
down_revision = None
branch_labels = ("desk-card-status",)
depends_on = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "desk_card_certificate",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("guid", sa.String(32), nullable=False),
        sa.Column("expires_s", sa.BigInteger(), nullable=False),
        sa.Column("has_counted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=True),
        sa.Column("since_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_desk_card_certificate"),
    )
    for column in ("guid", "expires_s"):
        op.create_index(f"ix_desk_card_certificate_{column}", "desk_card_certificate", [column])
