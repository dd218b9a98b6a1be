# SPDX-License-Identifier: Apache-2.0
"""Notices go to the outbox that all services share; those from before, which nothing delivered, are dropped."""

from alembic import op

revision = "desk4"
down_revision = "desk3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the table."""
    op.drop_table("desk_notice")
