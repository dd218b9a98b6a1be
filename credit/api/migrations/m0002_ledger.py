# SPDX-License-Identifier: Apache-2.0
"""Consents and looks that stand on the ledger: what opens and ends a consent, and which looks are entered there.

Consents that this store alone had end here: nothing on the ledger says that they were given. Looks that it noted are
entered by the next rounds.
"""

import sqlalchemy as sa
from alembic import op

revision = "credit2"
down_revision = "credit1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.execute("DELETE FROM credit_consent")
    with op.batch_alter_table("credit_consent") as table:
        table.add_column(sa.Column("made_ms", sa.BigInteger(), nullable=False))
        table.add_column(sa.Column("commitment", sa.LargeBinary(32), nullable=False))
        table.add_column(sa.Column("content", sa.LargeBinary(), nullable=True))
        table.create_unique_constraint("uq_credit_consent_commitment", ["commitment"])
    with op.batch_alter_table("credit_access") as table:
        table.add_column(sa.Column("entered_ms", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("entry", sa.LargeBinary(), nullable=True))
    op.create_index("ix_credit_access_entered_ms", "credit_access", ["entered_ms"])
