# SPDX-License-Identifier: Apache-2.0
"""Subjects, events, changes, batches, requests, consents, reads, notices, holders' keys, interface keys, draws."""

import sqlalchemy as sa
from alembic import op

revision = "credit1"
down_revision = None
branch_labels = ("credit",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _persons()
    _asked()
    _read()
    _keys()
    op.create_table(
        "credit_batch",
        _text("id", 32),
        _text("source", 64),
        _text("state", 16),
        _text("act_id", 32),
        _integer("count"),
        *(_large(name) for name in ("created_ms", "dies_ms")),
        *(_bytes(name) for name in ("header", "transaction")),
        _text("code", 64),
        _bytes("receipt"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_batch"),
    )
    for name in ("source", "state"):
        op.create_index(f"ix_credit_batch_{name}", "credit_batch", [name])
    op.create_table(
        "credit_draw",
        _text("id", 32),
        _text("organisation", 64),
        *(_large(name) for name in ("made_ms", "height")),
        *(_bytes(name) for name in ("announcement", "seed")),
        sa.PrimaryKeyConstraint("id", name="pk_credit_draw"),
    )
    op.create_index("ix_credit_draw_made_ms", "credit_draw", ["made_ms"])


def _persons() -> None:
    _personal(
        "credit_subject",
        *(_text(name, 16) for name in ("kind", "state")),
        _integer("count"),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=True),
        _large("created_ms"),
        *(_sealed(name) for name in ("number", "name", "secrets")),
        sa.UniqueConstraint("key_digest", name="uq_credit_subject_key_digest"),
    )
    op.create_index("ix_credit_subject_state", "credit_subject", ["state"])
    _personal(
        "credit_event",
        *(_text(name, 32) for name in ("subject_id", "batch_id")),
        _text("source", 64),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("reference_digest", sa.LargeBinary(32), nullable=False),
        _large("created_ms"),
        _sealed("content"),
        sa.UniqueConstraint("source", "reference_digest", name="uq_credit_event_source_reference_digest"),
        sa.UniqueConstraint("subject_id", "position", name="uq_credit_event_subject_id_position"),
    )
    op.create_index("ix_credit_event_batch_id", "credit_event", ["batch_id"])
    _personal("credit_change", _text("event_id", 32), _text("kind", 16), _large("dies_ms"), _sealed("content"))
    op.create_index("ix_credit_change_event_id", "credit_change", ["event_id"])


def _asked() -> None:
    _personal(
        "credit_request",
        _text("kind", 16),
        *(_text(name, 32) for name in ("subject_id", "event_id")),
        _text("organisation", 64),
        _text("state", 16),
        _large("opened_ms"),
        _integer("due_day"),
        _large("closed_ms"),
        _text("act_id", 32),
        _sealed("content"),
    )
    for name in ("subject_id", "event_id", "organisation", "state"):
        op.create_index(f"ix_credit_request_{name}", "credit_request", [name])


def _read() -> None:
    _personal(
        "credit_consent",
        _text("subject_id", 32),
        _text("organisation", 64),
        _text("purpose", 32),
        *(_large(name) for name in ("given_ms", "until_ms", "ended_ms")),
    )
    op.create_index("ix_credit_consent_subject_id", "credit_consent", ["subject_id"])
    _personal(
        "credit_access",
        _text("subject_id", 32),
        _text("organisation", 64),
        _text("purpose", 32),
        _text("what", 16),
        _large("at_ms"),
        _sealed("shown"),
    )
    op.create_index("ix_credit_access_subject_id", "credit_access", ["subject_id"])
    _personal(
        "credit_notice",
        *(_text(name, 32) for name in ("access_id", "event_id")),
        _text("organisation", 64),
        _text("state", 16),
        *(_large(name) for name in ("made_ms", "sent_ms")),
        _text("status", 16),
        sa.Column("told", sa.LargeBinary(32), nullable=False),
        sa.UniqueConstraint("access_id", "event_id", "told", name="uq_credit_notice_access_id_event_id_told"),
    )
    op.create_index("ix_credit_notice_state", "credit_notice", ["state"])


def _keys() -> None:
    _personal(
        "credit_key_link",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        _large("expires_ms"),
        sa.UniqueConstraint("digest", name="uq_credit_key_link_digest"),
    )
    _personal(
        "credit_visit",
        _text("subject_id", 32),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        *(_large(name) for name in ("created_ms", "seen_ms")),
        sa.UniqueConstraint("digest", name="uq_credit_visit_digest"),
    )
    op.create_table(
        "credit_nonce",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        _large("expires_ms"),
        sa.PrimaryKeyConstraint("digest", name="pk_credit_nonce"),
    )
    op.create_index("ix_credit_nonce_expires_ms", "credit_nonce", ["expires_ms"])
    op.create_table(
        "credit_client",
        _text("id", 32),
        _text("organisation", 64),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        *(_large(name) for name in ("made_ms", "ended_ms")),
        sa.PrimaryKeyConstraint("id", name="pk_credit_client"),
        sa.UniqueConstraint("key_digest", name="uq_credit_client_key_digest"),
    )
    op.create_index("ix_credit_client_organisation", "credit_client", ["organisation"])


def _text(name: str, characters: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(characters), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)


def _large(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _sealed(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=True)


def _personal(table: str, *items: sa.Column[str] | sa.Column[int] | sa.Column[bytes] | sa.Constraint) -> None:
    """A table about persons: its rows go with them."""
    op.create_table(
        table,
        *(_text(name, 32) for name in ("id", "person_id")),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{table}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_person_id", table, ["person_id"])
