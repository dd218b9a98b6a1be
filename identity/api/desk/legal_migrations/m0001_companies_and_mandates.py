# SPDX-License-Identifier: Apache-2.0
"""Companies, and mandates between persons."""

import sqlalchemy as sa
from alembic import op

revision = "desklegal1"
down_revision = None
branch_labels = ("desk-legal",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "desk_company",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("uscc", sa.String(18), nullable=False),
        sa.Column("name_zh", sa.String(192), nullable=False),
        sa.Column("name_en", sa.String(192), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("drafted_by", sa.String(32), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("pending", "private", "representative")),
        sa.PrimaryKeyConstraint("id", name="pk_desk_company"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_company_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("organisation", "uscc", name="uq_desk_company_organisation_uscc"),
    )
    for column in ("person_id", "state", "changed_ms"):
        op.create_index(f"ix_desk_company_{column}", "desk_company", [column])
    op.create_table(
        "desk_mandate",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String(64), nullable=False),
        sa.Column("principal_id", sa.String(32), nullable=True),
        sa.Column("company", sa.LargeBinary(32), nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("principal_side", sa.LargeBinary(32), nullable=False),
        sa.Column("agent_side", sa.LargeBinary(32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("slips", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_mandate"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_mandate_person_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["person.id"], name="fk_desk_mandate_principal_id", ondelete="CASCADE"
        ),
    )
    for column in ("person_id", "principal_id", "company", "state", "changed_ms", "principal_side", "agent_side"):
        op.create_index(f"ix_desk_mandate_{column}", "desk_mandate", [column])
