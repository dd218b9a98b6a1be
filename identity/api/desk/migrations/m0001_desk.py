# SPDX-License-Identifier: Apache-2.0
"""Persons, cases and their steps, duplicates, images, look-ups, access entries, notices, erasures."""

import sqlalchemy as sa
from alembic import op

revision = "desk1"
down_revision = None
branch_labels = ("desk",)
depends_on = "0001"


def upgrade() -> None:
    """Make the tables."""
    _persons()
    _cases()
    _images()
    _access()
    op.create_table(
        "desk_erasure",
        _id(),
        _random("person_id"),
        sa.Column("organisation", sa.String(64), nullable=False),
        _word("state", 16),
        _word("ground", 32),
        _random("requested_by"),
        _time("requested_ms"),
        _random("confirmed_by"),
        _time("due_ms"),
        _time("done_ms"),
        sa.Column("account", sa.String(4096), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_erasure"),
    )
    op.create_index("ix_desk_erasure_person_id", "desk_erasure", ["person_id"])
    op.create_index("ix_desk_erasure_state", "desk_erasure", ["state"])


def _persons() -> None:
    _personal(
        "desk_person",
        sa.Column("organisation", sa.String(64), nullable=False),
        _word("state", 16),
        _time("created_ms"),
        _time("changed_ms"),
        *(_sealed(name) for name in ("name", "number", "phone", "likeness", "details", "secrets")),
        sa.UniqueConstraint("person_id", name="uq_desk_person_person_id"),
    )
    op.create_index("ix_desk_person_organisation", "desk_person", ["organisation"])
    op.create_index("ix_desk_person_changed_ms", "desk_person", ["changed_ms"])


def _cases() -> None:
    _personal(
        "desk_case",
        sa.Column("organisation", sa.String(64), nullable=False),
        _word("kind", 16),
        _word("state", 16),
        _word("reference", 32),
        _random("opened_by"),
        _time("opened_ms"),
        _time("changed_ms"),
        _time("expires_ms"),
        sa.Column("version", sa.Integer(), nullable=False),
        _random("act_id"),
        _word("act_step", 16),
        _word("code", 64),
        _sealed("content"),
        _sealed("note"),
        sa.UniqueConstraint("reference", name="uq_desk_case_reference"),
    )
    op.create_index("ix_desk_case_act_id", "desk_case", ["act_id"])
    op.create_index("ix_desk_case_state_changed_ms", "desk_case", ["state", "changed_ms"])
    _of_case(
        "desk_step",
        sa.Column("position", sa.Integer(), nullable=False),
        _time("at_ms"),
        _random("staff_id"),
        _word("step", 32),
        _random("act_id"),
        _sealed("receipt"),
    )
    op.create_index("ix_desk_step_act_id", "desk_step", ["act_id"])
    _of_case(
        "desk_duplicate",
        _random("other_id"),
        _word("likeness", 16),
        _word("state", 16),
        _random("decided_by"),
        _time("decided_ms"),
        _sealed("note"),
        sa.UniqueConstraint("case_id", "other_id", name="uq_desk_duplicate_case_id_other_id"),
    )
    op.create_index("ix_desk_duplicate_other_id", "desk_duplicate", ["other_id"])


def _images() -> None:
    _personal(
        "desk_image",
        _word("kind", 16),
        _time("created_ms"),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("width", "height", "size_bytes")),
    )
    _personal(
        "desk_image_piece",
        _random("image_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        _sealed("content"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["desk_image.id"], name="fk_desk_image_piece_image_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("image_id", "position", name="uq_desk_image_piece_image_id_position"),
    )
    op.create_index("ix_desk_image_piece_image_id", "desk_image_piece", ["image_id"])


def _access() -> None:
    op.create_table(
        "desk_look_up",
        _id(),
        _time("at_ms"),
        _random("staff_id"),
        _word("reason", 32),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desk_look_up"),
    )
    op.create_index("ix_desk_look_up_at_ms", "desk_look_up", ["at_ms"])
    op.create_index("ix_desk_look_up_staff_id", "desk_look_up", ["staff_id"])
    _personal(
        "desk_access",
        sa.Column("number", sa.Integer(), nullable=False),
        _time("at_ms"),
        sa.Column("organisation", sa.String(64), nullable=False),
        _random("staff_id"),
        _word("role", 16),
        _word("reason", 32),
        _random("look_up_id"),
        _time("visible_after_ms"),
        sa.Column("slot", sa.LargeBinary(32), nullable=True),
        sa.UniqueConstraint("person_id", "number", name="uq_desk_access_person_id_number"),
    )
    op.create_index("ix_desk_access_staff_id", "desk_access", ["staff_id"])
    _personal("desk_notice", _time("at_ms"), _word("kind", 32), _word("state", 16), _sealed("channel"))
    op.create_index("ix_desk_notice_state", "desk_notice", ["state"])


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(32), nullable=False)


def _random(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(32), nullable=False)


def _word(name: str, characters: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(characters), nullable=False)


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _sealed(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=True)


def _personal(table: str, *items: sa.Column[str] | sa.Column[int] | sa.Column[bytes] | sa.Constraint) -> None:
    """A table about persons: its rows go with them."""
    op.create_table(
        table,
        _id(),
        _random("person_id"),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=f"fk_{table}_person_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_person_id", table, ["person_id"])


def _of_case(table: str, *items: sa.Column[str] | sa.Column[int] | sa.Column[bytes] | sa.Constraint) -> None:
    """A table of what belongs to a case."""
    _personal(
        table,
        _random("case_id"),
        *items,
        sa.ForeignKeyConstraint(["case_id"], ["desk_case.id"], name=f"fk_{table}_case_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_case_id", table, ["case_id"])
