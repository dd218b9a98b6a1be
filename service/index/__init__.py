# SPDX-License-Identifier: Apache-2.0
"""What stands on the chain, in SQL tables that can be searched; dropped and rebuilt at any time."""

from service.index.errors import IndexBusyError, IndexForeignError
from service.index.events import Event, decode_event, events_of
from service.index.follow import Indexer
from service.index.ledger_tables import LedgerTables
from service.index.tables import Position, Subscriber

__all__ = [
    "Event",
    "IndexBusyError",
    "IndexForeignError",
    "Indexer",
    "LedgerTables",
    "Position",
    "Subscriber",
    "decode_event",
    "events_of",
]
