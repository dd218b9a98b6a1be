# SPDX-License-Identifier: Apache-2.0
"""Blank cards, counts of them, cards, their history, and calls."""

import sqlalchemy as sa
from alembic import op

revision = "deskcards1"
down_revision = None
branch_labels = ("desk-cards",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "desk_delivery",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("first_serial", sa.String(32), nullable=False),
        sa.Column("announced", sa.Integer(), nullable=False),
        sa.Column("received_by", sa.String(32), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_delivery"),
    )
    op.create_index("ix_desk_delivery_received_ms", "desk_delivery", ["received_ms"])
    op.create_table(
        "desk_blank",
        sa.Column("serial", sa.String(32), nullable=False),
        sa.Column("delivery_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("card_id", sa.String(32), nullable=True),
        sa.Column("destroy_asked_by", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("serial", name="pk_desk_blank"),
        sa.ForeignKeyConstraint(["delivery_id"], ["desk_delivery.id"], name="fk_desk_blank_delivery_id"),
    )
    for column in ("delivery_id", "state", "card_id"):
        op.create_index(f"ix_desk_blank_{column}", "desk_blank", [column])
    op.create_table(
        "desk_stock_count",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("delivery_id", sa.String(32), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_by", sa.String(32), nullable=True),
        sa.Column("first_figure", sa.Integer(), nullable=True),
        sa.Column("second_by", sa.String(32), nullable=True),
        sa.Column("second_figure", sa.Integer(), nullable=True),
        sa.Column("settled_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_stock_count"),
        sa.ForeignKeyConstraint(["delivery_id"], ["desk_delivery.id"], name="fk_desk_stock_count_delivery_id"),
    )
    op.create_index("ix_desk_stock_count_delivery_id", "desk_stock_count", ["delivery_id"])
    op.create_index("ix_desk_stock_count_opened_ms", "desk_stock_count", ["opened_ms"])
    op.create_table(
        "desk_phone_call",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(32), nullable=False),
        sa.Column("subject", sa.LargeBinary(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_phone_call"),
    )
    op.create_index("ix_desk_phone_call_at_ms", "desk_phone_call", ["at_ms"])
    _cards()


def _cards() -> None:
    op.create_table(
        "desk_card",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("suspended_from", sa.String(16), nullable=True),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("serial", sa.String(32), nullable=True),
        sa.Column("replaces", sa.String(32), nullable=True),
        sa.Column("requested_by", sa.String(32), nullable=False),
        sa.Column("requested_ms", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.LargeBinary(), nullable=True) for name in ("guid", "keys", "work", "letter", "receipt")),
        sa.PrimaryKeyConstraint("id", name="pk_desk_card"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_card_person_id", ondelete="CASCADE"),
        sa.UniqueConstraint("serial", name="uq_desk_card_serial"),
    )
    op.create_index("ix_desk_card_person_id", "desk_card", ["person_id"])
    op.create_index("ix_desk_card_state", "desk_card", ["state"])
    op.create_table(
        "desk_event",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(32), nullable=False),
        sa.Column("act_id", sa.String(32), nullable=True),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_desk_event"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_desk_event_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_desk_event_person_id", "desk_event", ["person_id"])
    op.create_index("ix_desk_event_act_id", "desk_event", ["act_id"])
    op.create_index("ix_desk_event_subject_id_number", "desk_event", ["subject_id", "number"], unique=True)
