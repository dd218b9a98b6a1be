# SPDX-License-Identifier: Apache-2.0
"""A table about persons, as a package above the services' ground would add one."""

import sqlalchemy as sa
from alembic import op

revision = "contact1"
down_revision = None
branch_labels = ("contact",)
depends_on = "0001"


def upgrade() -> None:
    op.create_table(
        "test_contact",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=True),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_test_contact"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_test_contact_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_test_contact_person_id", "test_contact", ["person_id"])
