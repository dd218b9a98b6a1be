# SPDX-License-Identifier: Apache-2.0
"""The format of a ledger's directory: what an older one needs to become the present one, and which are refused.

A migration is one atomic, synced batch with the new number in it: a crash leaves the old format whole, or the new one.
Each is tested from a directory that the older program wrote, kept in `tests/data/formats`.
"""

from collections.abc import Callable, Mapping

import structlog

from chain.checkpoint import Checkpoint
from chain.errors import InvalidMessage
from chain.storage import Database, Reader
from node.errors import StorageError
from node.store_keys import EVERYTHING, FORMAT, FORMAT_KEY, HORIZON_KEY, INSTALL_KEY

log = structlog.get_logger(__name__)


def open_format(database: Database) -> None:
    """Bring a ledger's database to the present format. An empty database stays empty.

    Raises:
        StorageError: It is of a newer format, of one that no program had, or holds a copy that is not yet whole.
    """
    if database.get(INSTALL_KEY) is not None:
        raise StorageError(
            "the database holds the beginning of a copy that was never finished; let the node fetch the ledger again, "
            "or run the restore again: both start afresh"
        )
    found = database.get(FORMAT_KEY)
    if found is None:
        return
    number = int.from_bytes(found)
    if number > FORMAT:
        raise StorageError(
            f"the ledger's directory has format {number}, this program knows {FORMAT} and older ones; start the newer "
            "program that wrote it, or an even newer one"
        )
    if number not in _MIGRATIONS and number != FORMAT:
        raise StorageError(f"the ledger's directory has format {number}, which no program ever wrote: it is damaged")
    while number < FORMAT:
        database.write({**_MIGRATIONS[number](database), FORMAT_KEY: (number + 1).to_bytes(4)})
        # The directory is of the next format from here on; a program of the older one refuses it.
        number += 1
        log.info("ledger.migrated", format=number)


def unfinished(reader: Reader) -> Checkpoint | None:
    """The checkpoint of a copy that was begun in this database and never finished; None if there is none."""
    raw = reader.get(INSTALL_KEY)
    try:
        return None if raw is None else Checkpoint.decode(raw)
    except InvalidMessage as error:
        raise StorageError(f"the database is damaged; let the node fetch the ledger again ({error.reason})") from error


def _from_1(reader: Reader) -> dict[bytes, bytes]:
    """Format 1 pruned no blocks, so it reaches back to genesis."""
    del reader
    return {HORIZON_KEY: EVERYTHING.encode()}


_MIGRATIONS: Mapping[int, Callable[[Reader], dict[bytes, bytes]]] = {1: _from_1}
"""By the format that they start from."""
