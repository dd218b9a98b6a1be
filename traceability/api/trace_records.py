# SPDX-License-Identifier: Apache-2.0
"""Participants, places and products as the index has them: their names, and in which unit goods are counted."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from traceability.api.trace_index import chunks, items_table, records_table
from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb


class Records:
    """What is recorded of parties, places and products; keeps what it has read, so make one for each request.

    Args:
        connection: For reading.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], bytes | None] = {}

    def participant(self, gln: str) -> pb.RecordParticipant | None:
        """A participant; a smallholder's record has no name."""
        raw = self._read("participant", [gln])[gln]
        return None if raw is None else pb.RecordParticipant.FromString(raw)

    def place(self, gln: str) -> pb.RecordPlace | None:
        """A place."""
        raw = self._read("place", [gln])[gln]
        return None if raw is None else pb.RecordPlace.FromString(raw)

    def product(self, gtin: str) -> pb.RecordProduct | None:
        """A product."""
        raw = self._read("product", [gtin])[gtin]
        return None if raw is None else pb.RecordProduct.FromString(raw)

    def unit_of(self, gtin: str) -> pb.Unit.ValueType | None:
        """The unit of a product; None: it is not recorded. As `traceability.projection.project` asks."""
        found = self.product(gtin)
        return None if found is None else found.unit

    def load(self, kind: str, numbers: Iterable[str]) -> None:
        """Read many at once, before they are asked for one by one.

        Args:
            kind: "participant", "place" or "product".
            numbers: GLNs or GTINs.
        """
        self._read(kind, list(dict.fromkeys(numbers)))

    def _read(self, kind: str, numbers: list[str]) -> Mapping[str, bytes | None]:
        missing = [number for number in numbers if (kind, number) not in self._known]
        for some in chunks(missing):
            self._known.update({(kind, number): None for number in some})
            table = records_table.c
            rows = self._connection.execute(
                select(table.number, table.record).where(table.kind == kind, table.number.in_(some))
            )
            self._known.update({(kind, number): record for number, record in rows})
        return {number: self._known[kind, number] for number in numbers}


def describe(connection: Connection, item: str) -> str | None:
    """What an item or product is, for people; None: nothing is known of it.

    Args:
        connection: Of the index.
        item: The path of a canonical Digital Link, such as `01/06901234000014/10/L7`.
    """
    parts = item.split("/")
    kind = kind_of(item)
    if kind is None and not (len(parts) == 2 and parts[0] == "01"):
        return None
    if kind is not None:
        is_known = connection.execute(select(items_table.c.number).where(items_table.c.item == item)).scalar()
        if is_known is None:
            return None
    if kind in (Kind.SHIPMENT, Kind.ASSET):
        return item.partition("/")[2]
    product = Records(connection).product(gtin_of(item))
    if product is None:
        return None
    name = " · ".join(name for name in (product.name_zh, product.name_en) if name)
    return name if kind is None else f"{name} {parts[-1]}"
