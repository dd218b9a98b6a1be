# SPDX-License-Identifier: Apache-2.0
"""Tokens for offline codes are told apart from credentials."""

import sqlalchemy as sa
from alembic import op

revision = "issuer2"
down_revision = "issuer1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark; what was issued before are credentials."""
    op.add_column("issuer_copy", sa.Column("is_code", sa.Boolean(), nullable=False, server_default=sa.false()))
