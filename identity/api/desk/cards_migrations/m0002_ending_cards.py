# SPDX-License-Identifier: Apache-2.0
"""Cards whose holder has the one that replaces them."""

import sqlalchemy as sa
from alembic import op

revision = "deskcards2"
down_revision = "deskcards1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time since when, and the ways to find them."""
    op.add_column("desk_card", sa.Column("ending_ms", sa.BigInteger(), nullable=True))
    op.create_index("ix_desk_card_ending_ms", "desk_card", ["ending_ms"])
    op.create_index("ix_desk_card_replaces", "desk_card", ["replaces"])
