# SPDX-License-Identifier: Apache-2.0
"""Where people and organisations are told of what happens to credit."""

import sqlalchemy as sa
from alembic import op

revision = "creditpages3"
down_revision = "creditpages2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "credit_contact",
        *(sa.Column(name, sa.String(32), nullable=False) for name in ("id", "person_id")),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("channels", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_credit_contact"),
        sa.UniqueConstraint("owner", name="uq_credit_contact_owner"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_credit_contact_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_credit_contact_person_id", "credit_contact", ["person_id"])
