# SPDX-License-Identifier: Apache-2.0
"""The database's tables, brought to what this program expects; one process at a time.

Packages above this one add a folder of their own migrations, as a branch with its own label.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
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
            for one in revision.split(","):
                _upgrade(connection, one)
    except RevisionError as error:
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


def _upgrade(connection: Connection, revision: str) -> None:
    """Run what is missing up to a revision: nothing at nearly every start."""
    scripts = _scripts(known_folders())

    def missing(heads: Sequence[str] | str, _context: MigrationContext) -> list[MigrationStep]:
        newest_first = scripts.iterate_revisions(revision, tuple(heads), implicit_base=True)
        return [MigrationStep.upgrade_from_script(scripts.revision_map, one) for one in reversed(list(newest_first))]

    context = MigrationContext.configure(connection)
    if missing(context.get_current_heads(), context):
        with EnvironmentContext(Config(), scripts, fn=missing, destination_rev=revision) as environment:
            environment.configure(connection=connection, transactional_ddl=True)
            environment.run_migrations()


@lru_cache(maxsize=8)
def _scripts(known: tuple[Path, ...]) -> ScriptDirectory:
    """The migrations of these folders, read once: there are dozens of files."""
    return ScriptDirectory(str(_FOLDER), version_locations=[str(folder) for folder in known])
