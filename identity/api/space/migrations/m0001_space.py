# SPDX-License-Identifier: Apache-2.0
"""Acts, consents and requests of people in their data space."""

import sqlalchemy as sa
from alembic import op

revision = "space1"
down_revision = None
branch_labels = ("space",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _personal(
        "space_act",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_space_act_at_ms", "space_act", ["at_ms"])
    _personal(
        "space_consent",
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
    )
    _personal(
        "space_request",
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("reference", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("staff_id", sa.String(32), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("reference", name="uq_space_request_reference"),
    )
    for column in ("organisation", "state"):
        op.create_index(f"ix_space_request_{column}", "space_request", [column])


def _personal(table: str, *items: sa.Column[str] | sa.Column[int] | sa.Column[bytes] | sa.Constraint) -> None:
    """A table about persons: its rows go with them."""
    op.create_table(
        table,
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id")),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{table}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_person_id", table, ["person_id"])
