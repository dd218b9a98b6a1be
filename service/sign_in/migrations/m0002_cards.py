# SPDX-License-Identifier: Apache-2.0
"""Staff cards beside passkeys: what is there already is a passkey, and stays as it is."""

import sqlalchemy as sa
from alembic import op

revision = "sign2"
down_revision = "sign1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a card has and a passkey has not."""
    op.add_column("passkey", sa.Column("kind", sa.String(8), nullable=False, server_default="passkey"))
    op.add_column("passkey", sa.Column("sign_key", sa.LargeBinary(33), nullable=True))
    op.add_column("passkey", sa.Column("expires_ms", sa.BigInteger(), nullable=True))
    op.create_index("ix_passkey_sign_key", "passkey", ["sign_key"], unique=True)
