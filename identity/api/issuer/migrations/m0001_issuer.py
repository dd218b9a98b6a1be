# SPDX-License-Identifier: Apache-2.0
"""Offers, issued credentials, status lists with their places, used nonces."""

import sqlalchemy as sa
from alembic import op

revision = "issuer1"
down_revision = None
branch_labels = ("issuer",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _personal(
        "issuer_offer",
        *(_bytes(name) for name in ("digest", "code_digest", "tx_digest")),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        *(_integer(name) for name in ("tries", "copies", "lifetime_s")),
        *(_large(name) for name in ("created_ms", "expires_ms")),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        *(sa.UniqueConstraint(n, name=f"uq_issuer_offer_{n}") for n in ("digest", "code_digest", "token_digest")),
    )
    op.create_index("ix_issuer_offer_expires_ms", "issuer_offer", ["expires_ms"])
    _personal(
        "issuer_copy",
        *(_integer(name) for name in ("list_number", "place")),
        _bytes("key_digest"),
        *(_large(name) for name in ("issued_ms", "expires_s")),
        sa.Column("subjects", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("key_digest", name="uq_issuer_copy_key_digest"),
        sa.UniqueConstraint("list_number", "place", name="uq_issuer_copy_list_number_place"),
    )
    op.create_index("ix_issuer_copy_expires_s", "issuer_copy", ["expires_s"])
    op.create_table(
        "issuer_list",
        _integer("number"),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("stream", sa.LargeBinary(16), nullable=False),
        _integer("size"),
        *(_large(name) for name in ("height", "issued_s")),
        sa.Column("token", sa.Text(), nullable=False),
        _bytes("anchored"),
        sa.PrimaryKeyConstraint("number", name="pk_issuer_list"),
        sa.UniqueConstraint("name", name="uq_issuer_list_name"),
    )
    op.create_table(
        "issuer_place",
        *(_integer(name) for name in ("list_number", "place")),
        sa.Column("copy_id", sa.String(32), nullable=False),
        _integer("status"),
        _large("expires_s"),
        sa.PrimaryKeyConstraint("list_number", "place", name="pk_issuer_place"),
    )
    op.create_index("ix_issuer_place_copy_id", "issuer_place", ["copy_id"])
    op.create_index("ix_issuer_place_expires_s", "issuer_place", ["expires_s"])
    op.create_table(
        "issuer_nonce",
        _bytes("digest"),
        _large("expires_ms"),
        sa.PrimaryKeyConstraint("digest", name="pk_issuer_nonce"),
    )
    op.create_index("ix_issuer_nonce_expires_ms", "issuer_nonce", ["expires_ms"])


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(32), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)


def _large(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


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
