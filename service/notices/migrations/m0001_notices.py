# SPDX-License-Identifier: Apache-2.0
"""The outbox of notices."""

import sqlalchemy as sa
from alembic import op

revision = "notices1"
down_revision = None
branch_labels = ("notices",)
depends_on = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "notice",
        _text("id", 32),
        _text("person_id", 32),
        _text("kind", 32),
        sa.Column("is_urgent", sa.Boolean(), nullable=False),
        _text("way", 8),
        _text("language", 8),
        _text("state", 8),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("at_ms", "due_ms", "tried_ms", "done_ms")),
        sa.Column("tries", sa.Integer(), nullable=False),
        _text("provider", 16),
        _text("code", 32),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("channel", "words")),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_notice_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_notice_person_id", "notice", ["person_id"])
    op.create_index("ix_notice_at_ms", "notice", ["at_ms"])
    op.create_index("ix_notice_state_due_ms", "notice", ["state", "due_ms"])


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)
