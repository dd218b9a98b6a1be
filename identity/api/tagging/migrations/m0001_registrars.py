# SPDX-License-Identifier: Apache-2.0
"""Registrars' access to the uniqueness service, and what they have used of their budgets."""

import sqlalchemy as sa
from alembic import op

revision = "uniqueness1"
down_revision = None
branch_labels = ("uniqueness",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "uniqueness_registrar",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_uniqueness_registrar"),
        sa.UniqueConstraint("key_digest", name="uq_uniqueness_registrar_key_digest"),
    )
    op.create_table(
        "uniqueness_usage",
        sa.Column("registrar_id", sa.String(32), nullable=False),
        sa.Column("budget", sa.String(16), nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("minute_count", sa.Integer, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("day_count", sa.Integer, nullable=False),
        sa.Column("is_refusal_noted", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("registrar_id", "budget", name="pk_uniqueness_usage"),
    )
