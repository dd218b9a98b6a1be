# SPDX-License-Identifier: Apache-2.0
"""A program's key that is in use has no end, as in each other table of programs; before it ended at 0."""

import sqlalchemy as sa
from alembic import op

revision = "credit4"
down_revision = "credit3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the column."""
    with op.batch_alter_table("credit_client") as table:
        table.alter_column("ended_ms", existing_type=sa.BigInteger(), nullable=True)
    op.execute("UPDATE credit_client SET ended_ms = NULL WHERE ended_ms = 0")
