# SPDX-License-Identifier: Apache-2.0
"""Blocks, transactions and operations as tables: what an explorer lists.

Bodies stay on the chain; a row says what kind of act stood where, signed by which keys, and how it ended.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    text,
)

from chain.signing import PUBLIC_KEY_BYTES, Scheme, Signer
from chain.types import HASH_BYTES
from client.answers import ProvenBlock
from service.index.events import Event

metadata = MetaData()

SIGNER_BYTES_MAX = 1 + max(PUBLIC_KEY_BYTES.values())
"""The scheme's number, then the public key."""

blocks_table = Table(
    "ledger_block",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("id", LargeBinary(HASH_BYTES), nullable=False, unique=True),
    Column("epoch", BigInteger, nullable=False),
    Column("view", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("first_leaf", BigInteger, nullable=False),
    Column("transactions", Integer, nullable=False),
    Column("operations", Integer, nullable=False),
    Column("certified_at", BigInteger, nullable=False),
)
"""`certified_at`: height of the certified checkpoint that covered the block when it came."""

transactions_table = Table(
    "ledger_transaction",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("id", LargeBinary(HASH_BYTES), nullable=False, unique=True),
    Column("height", BigInteger, nullable=False, index=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("operations", Integer, nullable=False),
    Column("first_type", String(128), nullable=False),
    Column("signers", LargeBinary, nullable=False),
    Column("failure", String(128), nullable=False),
    Index(
        "ledger_transaction_failed",
        "leaf_index",
        sqlite_where=text("failure != ''"),
        postgresql_where=text("failure != ''"),
    ),
)
"""`signers`: of each a byte for the scheme and the public key, whose length the scheme tells, one after the other."""

operations_table = Table(
    "ledger_operation",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("operation_index", Integer, primary_key=True, autoincrement=False),
    Column("type", String(128), nullable=False),
    Index("ledger_operation_by_type", "type", "leaf_index"),
)

signatures_table = Table(
    "ledger_signature",
    metadata,
    Column("signer", LargeBinary(SIGNER_BYTES_MAX), primary_key=True),
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
)
"""`signer`: a byte for the scheme and the public key."""


def signer_bytes(signer: Signer) -> bytes:
    """A signer as the tables hold it."""
    return bytes((signer.scheme,)) + signer.public_key


def split_signers(signers: bytes) -> list[bytes]:
    """Each signer of a transaction's column `signers`."""
    parts, at = [], 0
    while at < len(signers):
        end = at + 1 + PUBLIC_KEY_BYTES[Scheme(signers[at])]
        parts.append(signers[at:end])
        at = end
    return parts


class LedgerTables:
    """The subscriber that fills these tables."""

    name = "ledger"
    version = 2
    metadata = metadata

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:
        """See `service.index.tables.Subscriber`."""
        transactions: dict[int, dict[str, object]] = {}
        counts: dict[int, int] = {}
        for event in events:
            counts[event.height] = counts.get(event.height, 0) + 1
            if event.operation_index == 0:
                transactions[event.leaf_index] = {
                    "leaf_index": event.leaf_index,
                    "id": event.transaction_id,
                    "height": event.height,
                    "time_ms": event.time_ms,
                    "operations": 1,
                    "first_type": event.type,
                    "signers": b"".join(map(signer_bytes, event.signers)),
                    "failure": event.failure,
                }
            else:
                transactions[event.leaf_index]["operations"] = event.operation_index + 1
        connection.execute(
            insert(blocks_table),
            [
                {
                    "height": block.block.height,
                    "id": block.block.id,
                    "epoch": block.block.epoch,
                    "view": block.block.view,
                    "time_ms": block.block.time_ms,
                    "first_leaf": block.first_leaf,
                    "transactions": len(block.entries),
                    "operations": counts.get(block.block.height, 0),
                    "certified_at": block.checkpoint.height,
                }
                for block in blocks
            ],
        )
        if not transactions:
            return
        connection.execute(insert(transactions_table), list(transactions.values()))
        connection.execute(
            insert(operations_table),
            [{"leaf_index": e.leaf_index, "operation_index": e.operation_index, "type": e.type} for e in events],
        )
        signatures = {(signer_bytes(s), e.leaf_index) for e in events if e.operation_index == 0 for s in e.signers}
        connection.execute(
            insert(signatures_table), [{"signer": signer, "leaf_index": leaf} for signer, leaf in sorted(signatures)]
        )
