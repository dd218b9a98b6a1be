# SPDX-License-Identifier: Apache-2.0
"""How far an index has come, and what a subscriber to it is.

The position is written in the transaction that writes a block's rows, so each block counts exactly once, whatever dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, String, Table, insert, select, update

from chain.types import HASH_BYTES, BlockId, Height, Network
from client.answers import ProvenBlock
from client.follow import Cursor
from client.log_edge import LogEdge
from service.index.errors import IndexBusyError, IndexForeignError
from service.index.events import Event

metadata = MetaData()

_position = Table(
    "index_position",
    metadata,
    Column("network", LargeBinary(HASH_BYTES), primary_key=True),
    Column("subscribers", String, nullable=False),
    Column("first_height", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("block_id", LargeBinary(HASH_BYTES), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
)


class Subscriber(Protocol):
    """A service's part of the index: tables of its own, and how blocks fill them.

    A new `version` drops and rebuilds the whole index: raise it with each change of tables or meaning.
    """

    @property
    def name(self) -> str:
        """Unique among the subscribers of one index."""
        ...

    @property
    def version(self) -> int:
        """Of tables and meaning."""
        ...

    @property
    def metadata(self) -> MetaData:
        """Its tables, and nobody else's."""
        ...

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:
        """Write the rows of these blocks, which follow on all before; in the transaction that moves the position.

        Must not commit, and must not wait for anything but the database.
        """
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """How far an index has come.

    Attributes:
        first_height: It holds blocks above this one.
        time_ms: Of the newest block in it; 0 before the first.
        cursor: To go on from.
    """

    first_height: Height
    time_ms: int
    cursor: Cursor


def fingerprint(subscribers: Sequence[Subscriber]) -> str:
    """Names and versions of subscribers."""
    return ",".join(f"{subscriber.name}:{subscriber.version}" for subscriber in subscribers)


def load_position(connection: Connection, network: Network, subscribers: str) -> Position | None:
    """The position; None where there is none or other subscribers, or other versions of them, made the index.

    Raises:
        IndexForeignError: The index is of another network.
    """
    row = connection.execute(select(_position)).one_or_none()
    if row is None:
        return None
    if row.network != network:
        raise IndexForeignError(
            f"the database holds the index of network {row.network.hex()}, this service is of {network.hex()}; "
            "give each network a database of its own"
        )
    if row.subscribers != subscribers:
        return None
    peaks = [row.peaks[at : at + HASH_BYTES] for at in range(0, len(row.peaks), HASH_BYTES)]
    cursor = Cursor(Height(row.height), BlockId(row.block_id), LogEdge(row.log_size, peaks))
    return Position(Height(row.first_height), row.time_ms, cursor)


def create_position(connection: Connection, network: Network, subscribers: str, cursor: Cursor) -> Position:
    """Begin an index after a cursor."""
    values = {"network": network, "subscribers": subscribers, "first_height": cursor.height, "time_ms": 0}
    connection.execute(insert(_position).values(**values, **_columns(cursor)))
    return Position(cursor.height, 0, cursor)


def move_position(connection: Connection, before: Position, cursor: Cursor, time_ms: int) -> Position:
    """Go on, in the transaction that wrote what lies between.

    Raises:
        IndexBusyError: The position is not where it was read: another process writes here.
    """
    changed = connection.execute(
        update(_position).where(_position.c.height == before.cursor.height).values(time_ms=time_ms, **_columns(cursor))
    )
    if changed.rowcount != 1:
        raise IndexBusyError("another process moves this index; stop one of them")
    return Position(before.first_height, time_ms, cursor)


def _columns(cursor: Cursor) -> dict[str, object]:
    return {
        "height": cursor.height,
        "block_id": cursor.block_id,
        "log_size": cursor.edge.size,
        "peaks": b"".join(cursor.edge.peaks),
    }
