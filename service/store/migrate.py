# SPDX-License-Identifier: Apache-2.0
"""The database's tables, brought to what this program expects; one process at a time.

Packages above this one add a folder of their own migrations, as a branch with its own label.
"""

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from service.errors import StorageError

HEADS = "heads"
_FOLDER = Path(__file__).parent / "migrations"
_folders: list[Path] = [_FOLDER / "versions"]
_LOCK = 0x7A68_6978_696E
"""PostgreSQL's advisory lock of this program's migrations: "zhixin"."""


def add_migrations(folder: Path) -> None:
    """Let a folder's migrations run with ours; for packages above this one, when they are imported."""
    if folder not in _folders:
        _folders.append(folder)


def known_folders() -> tuple[Path, ...]:
    """Where migrations come from, in the order of their packages' imports."""
    return tuple(_folders)


def migrate(engine: Engine, revision: str = HEADS) -> None:
    """Run what is missing, all of it or nothing.

    Args:
        engine: The database; may be empty.
        revision: How far, comma-separated where there are branches; HEADS: all the way.

    Raises:
        StorageError: The database can't be reached, or is of a newer program.
    """
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if revision == HEADS and _is_at_head(connection):
                return
            for one in revision.split(","):
                command.upgrade(_config(connection), one)
    except CommandError as error:
        raise StorageError(f"the database is of a newer version of this program: {error}") from None
    except DBAPIError as error:
        raise StorageError(f"the database cannot be brought up to date: {type(error.orig).__name__}") from None


def revision_of(connection: Connection) -> str:
    """Which migrations a database has seen; comma-separated where there are branches."""
    return ",".join(sorted(MigrationContext.configure(connection).get_current_heads()))


def is_known(revision: str) -> bool:
    """Whether this program has the migrations up to there."""
    known = {script.revision for script in _scripts(known_folders()).walk_revisions()}
    return set(revision.split(",")) <= known


def _is_at_head(connection: Connection) -> bool:
    """Whether there is nothing to run, as at nearly every start."""
    return set(MigrationContext.configure(connection).get_current_heads()) == set(_scripts(known_folders()).get_heads())


@lru_cache(maxsize=8)
def _scripts(_known: tuple[Path, ...]) -> ScriptDirectory:
    """The migrations of these folders, read once: there are dozens of files."""
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(folder) for folder in _folders))
    config.attributes["connection"] = connection
    return config
