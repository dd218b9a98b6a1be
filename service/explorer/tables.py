# SPDX-License-Identifier: Apache-2.0
"""What the explorer adds to the index: which organisations may exist, and whose keys have signed.

Both are hints only. A page about an organisation reads its record from the ledger's state, with proof.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, String, Table, insert, select

from client.answers import ProvenBlock
from membership.names import ORGANISATION_ID_BYTES_MAX
from membership.pb import membership_pb2 as pb
from service.index import Event, decode_event
from service.index.ledger_tables import SIGNER_BYTES_MAX, signer_bytes

metadata = MetaData()

proposed_table = Table(
    "explorer_proposed_organisation",
    metadata,
    Column("id", String(ORGANISATION_ID_BYTES_MAX), primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
)
"""Organisations that a proposal named; whether the vote took them in, state tells."""

signers_table = Table(
    "explorer_signer",
    metadata,
    Column("signer", LargeBinary(SIGNER_BYTES_MAX), primary_key=True),
    Column("organisation", String(ORGANISATION_ID_BYTES_MAX), index=True),
)
"""`organisation`: from the key's proven record, which never names another; None: not looked up yet."""


class ExplorerTables:
    """The subscriber that fills these tables."""

    name = "explorer"
    version = 1
    metadata = metadata

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:  # noqa: ARG002 - the protocol's
        """See `service.index.tables.Subscriber`."""
        signers = {signer_bytes(signer) for event in events if event.operation_index == 0 for signer in event.signers}
        _insert_new(connection, signers_table, "signer", {signer: {"organisation": None} for signer in sorted(signers)})
        named: dict[str, dict[str, object]] = {}
        for event in events:
            if event.type == "membership.Propose" and not event.failure:
                for organisation in _proposed(event):
                    named.setdefault(organisation, {"leaf_index": event.leaf_index})
        _insert_new(connection, proposed_table, "id", named)


def _proposed(event: Event) -> Iterator[str]:
    proposal = decode_event(event, pb.Propose)
    for act in () if proposal is None else proposal.acts:
        if act.WhichOneof("act") == "add_organisation":
            yield act.add_organisation.id


def _insert_new(
    connection: Connection,
    table: Table,
    key: str,
    rows: Mapping[Any, Mapping[str, object]],
) -> None:
    """Insert rows whose keys are new; a batch of blocks names few."""
    if not rows:
        return
    column = table.c[key]
    known = set(connection.execute(select(column).where(column.in_(list(rows)))).scalars())
    new = [{key: name, **values} for name, values in rows.items() if name not in known]
    if new:
        connection.execute(insert(table), new)
