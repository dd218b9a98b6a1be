# SPDX-License-Identifier: Apache-2.0
"""Captured events of food, whole and sealed, the jobs that bring them onto the chain, and programs' access."""

import sqlalchemy as sa
from alembic import op

revision = "food1"
down_revision = None
branch_labels = ("food",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "food_owner",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_food_owner"),
        sa.UniqueConstraint("gln", name="uq_food_owner_gln"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_food_owner_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_food_owner_person_id", "food_owner", ["person_id"])
    op.create_table(
        "food_client",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_food_client"),
        sa.UniqueConstraint("key_digest", name="uq_food_client_key_digest"),
    )
    op.create_table(
        "food_captured",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("is_declaration", sa.Boolean, nullable=False),
        sa.Column("owner_id", sa.String(32), nullable=False),
        sa.Column("name", sa.LargeBinary(32), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("captured_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", "is_declaration", name="pk_food_captured"),
        sa.UniqueConstraint("owner_id", "name", "is_declaration", name="uq_food_captured_owner_id_name_is_declaration"),
        _owned("food_captured"),
    )
    op.create_table(
        "food_capture",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("owner_id", sa.String(32), nullable=False),
        sa.Column("is_rollback", sa.Boolean, nullable=False),
        sa.Column("is_running", sa.Boolean, nullable=False),
        sa.Column("is_success", sa.Boolean, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_food_capture"),
        sa.UniqueConstraint("id", name="uq_food_capture_id"),
        _owned("food_capture"),
    )
    op.create_index("ix_food_capture_owner_id_is_running_number", "food_capture", ["owner_id", "is_running", "number"])
    op.create_table(
        "food_submission",
        sa.Column("capture", sa.Integer, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("capture", name="pk_food_submission"),
        _of_capture("food_submission"),
    )
    op.create_table(
        "food_capture_item",
        sa.Column("capture", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("operation", sa.Integer, nullable=True),
        sa.Column("content", sa.LargeBinary, nullable=True),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("fault", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("capture", "position", name="pk_food_capture_item"),
        _of_capture("food_capture_item"),
    )
    op.create_table(
        "food_query",
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gln", "name", name="pk_food_query"),
    )
    op.create_table(
        "food_subscription",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("gln", sa.String(13), nullable=False),
        sa.Column("query", sa.String(100), nullable=False),
        sa.Column("dest", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("report_if_empty", sa.Boolean, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("heard_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_food_subscription"),
        sa.ForeignKeyConstraint(
            ["gln", "query"],
            ["food_query.gln", "food_query.name"],
            name="fk_food_subscription_gln_query",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_food_subscription_due_ms", "food_subscription", ["due_ms"])
    op.create_index("ix_food_subscription_gln_query", "food_subscription", ["gln", "query"])


def _owned(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["owner_id"], ["food_owner.id"], name=f"fk_{table}_owner_id", ondelete="CASCADE")


def _of_capture(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["capture"], ["food_capture.number"], name=f"fk_{table}_capture", ondelete="CASCADE")
