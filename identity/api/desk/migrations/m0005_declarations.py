# SPDX-License-Identifier: Apache-2.0
"""What the desk does about statements that were filed at kiosks."""

import sqlalchemy as sa
from alembic import op

revision = "desk5"
down_revision = "desk4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    names = ("id", "person_id", "statement_id", "case_id", "staff_id")
    op.create_table(
        "desk_declaration",
        *(sa.Column(name, sa.String(32), nullable=False) for name in names),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_declaration"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_declaration_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("statement_id", name="uq_desk_declaration_statement_id"),
    )
    op.create_index("ix_desk_declaration_person_id", "desk_declaration", ["person_id"])
