# SPDX-License-Identifier: Apache-2.0
"""Names and units for documents: readers know companies and goods by their names, with the numbers beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final
from urllib.parse import unquote

from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import MICRO
from traceability.season_people import DISTRICTS

CHINA: Final = timezone(timedelta(hours=8))
"""The zone in which documents of this city state their times."""

UNIT_NAMES: Final[Mapping[int, tuple[str, str]]] = {
    pb.UNIT_KILOGRAM: ("公斤", "kg"),
    pb.UNIT_LITRE: ("升", "L"),
    pb.UNIT_PIECE: ("件", "pcs"),
}
"""Chinese, English."""
_DISTRICTS: Final = {code: (zh, en) for code, zh, en in DISTRICTS}


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of parties, places and products; what is not known is named by its number.

    Attributes:
        language: "zh-CN", or else English.
    """

    participants: Mapping[str, pb.RecordParticipant] = field(default_factory=dict)
    places: Mapping[str, pb.RecordPlace] = field(default_factory=dict)
    products: Mapping[str, pb.RecordProduct] = field(default_factory=dict)
    language: str = "zh-CN"

    def participant(self, gln: str) -> str:
        """A company's name; of a smallholder, who has none in public, the number."""
        found = self.participants.get(gln)
        return gln if found is None else self._one_of(found.name_zh, found.name_en) or gln

    def place(self, gln: str) -> str:
        """A place's name, or else its district, with its number."""
        found = self.places.get(gln)
        if found is None:
            return gln
        return self._one_of(found.name_zh, found.name_en) or self.district(found.district) or gln

    def district(self, code: str) -> str:
        """A district by its six digits, as far as this city's are known."""
        found = _DISTRICTS.get(code)
        return code if found is None else found[0 if self._is_chinese else 1]

    def product(self, item: str) -> str:
        """The name of an item's product; of a container, what stands for it."""
        if kind_of(item) not in (Kind.LOT, Kind.SERIAL):
            return item
        found = self.products.get(gtin_of(item))
        return gtin_of(item) if found is None else self._one_of(found.name_zh, found.name_en) or gtin_of(item)

    def unit(self, item: str) -> str:
        """In what an item is counted; empty where it is not known. One object is a piece."""
        found = self.products.get(gtin_of(item)) if kind_of(item) is Kind.LOT else None
        number = (
            pb.UNIT_PIECE if kind_of(item) is not Kind.LOT else pb.UNIT_UNSPECIFIED if found is None else found.unit
        )
        names = UNIT_NAMES.get(number)
        return "" if names is None else names[0 if self._is_chinese else 1]

    def amount(self, item: str, quantity: int) -> str:
        """So many millionths, with the unit: "12.5 kg"."""
        return f"{decimal(quantity)} {self.unit(item)}".strip()

    @property
    def _is_chinese(self) -> bool:
        return self.language == "zh-CN"

    def _one_of(self, name_zh: str, name_en: str) -> str:
        return (name_zh or name_en) if self._is_chinese else (name_en or name_zh)


def code_of(item: str) -> str:
    """What stands on a label of an item: the lot's or serial's own name, or the container's number."""
    return unquote(item.rsplit("/", 1)[-1])


def decimal(quantity: int) -> str:
    """Millionths as a decimal number without zeros at its end."""
    text = f"{Decimal(quantity) / MICRO:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def stamp(unix_ms: int) -> str:
    """A moment as spreadsheets sort it, in the city's zone with its offset; empty for none."""
    if not unix_ms:
        return ""
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone(CHINA)
    return moment.isoformat(sep=" ", timespec="seconds")
