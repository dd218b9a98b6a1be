# SPDX-License-Identifier: Apache-2.0
"""The events of a generated season, each as its author would write it in EPCIS 2.0."""

import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

from chain.types import sha256
from traceability import season_people as people
from traceability.season_people import Goods, party, place

STEM: Final = "https://id.gs1.org/"
MINUTE_MS: Final = 60_000

_ZONE = timezone(timedelta(hours=8))
_READINGS = 8


class Planted(Enum):
    """What is wrong with an event on purpose, and what the ledger makes of it."""

    OVERSOLD = "traceability.exceeds-balance"
    """More is sold than came: refused."""
    NOT_HELD = "traceability.not-held"
    """Goods are shipped by somebody who never had them: refused."""
    SHORT = "short"
    """Less arrives than was sent: recorded with a discrepancy."""
    OVER = "over"
    """More is claimed than was sent: recorded with a discrepancy."""
    WARM = "warm"
    """A truck's cooling fails for hours: recorded; the readings are outside of the limits."""
    ERROR = "error"
    """The event is declared in error later, and this is the declaration."""


@dataclass(frozen=True, slots=True)
class SeasonEvent:
    """One event of a season.

    Attributes:
        event: As EPCIS has it, without `@context`.
        actor: GLN of the participant whose event it is.
        carrier: GLN of who carries a shipment; empty: nobody else.
        time_ms: The event's time.
        planted: What is wrong with it, if anything.
    """

    event: dict[str, Any]
    actor: str
    carrier: str
    time_ms: int
    planted: Planted | None


@dataclass(frozen=True, slots=True)
class Batch:
    """A lot, or a part of one, in somebody's hands.

    Attributes:
        amount: In grams, or pieces of what is counted.
        holder: GLN.
        is_shared: Others have parts of the lot too; nothing wrong is planted with those.
    """

    goods: Goods
    lot: str
    amount: int
    holder: str
    is_shared: bool = False

    @property
    def item(self) -> str:
        """The lot's canonical link."""
        return f"{STEM}01/{self.goods.gtin}/10/{self.lot}"

    def element(self, amount: int) -> dict[str, Any]:
        """So much of it as EPCIS writes it."""
        if self.goods.kind in ("jar", "bag"):
            return {"epcClass": self.item, "quantity": amount, "uom": "H87"}
        return {"epcClass": self.item, "quantity": amount / 1000, "uom": "KGM"}


class Author:
    """Writes events; all that is drawn comes from one seeded source, and ids from a count.

    Args:
        seed: Part of each id.
        draw: Shared with whoever tells the journeys.
    """

    def __init__(self, seed: int, draw: random.Random) -> None:
        self._seed = seed
        self._random = draw
        self._identifiers = 0

    def _event(self, kind: str, actor: str, at_ms: int, fields: dict[str, Any], **also: Any) -> SeasonEvent:
        """One event with what all have."""
        self._identifiers += 1
        digest = sha256(b"season %d event %d" % (self._seed, self._identifiers))
        event = {
            "type": kind,
            "eventID": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
            "eventTime": _text(at_ms),
            "eventTimeZoneOffset": "+08:00",
            **fields,
            "readPoint": {"id": f"{STEM}414/{place(actor)}"},
        }
        return SeasonEvent(event, actor, also.get("carrier", ""), at_ms, also.get("planted"))

    def harvest(self, batch: Batch, at_ms: int) -> SeasonEvent:
        """What a farm brings in."""
        weather = self._random.choice(("晴", "多云", "小雨"))
        fields = {
            "action": "ADD",
            "bizStep": "commissioning",
            "disposition": "active",
            "quantityList": [batch.element(batch.amount)],
            "ilmd": {"cbvmda:lotNumber": batch.lot, "fs:harvestDate": _text(at_ms)[:10], "fs:weather": weather},
        }
        return self._event("ObjectEvent", batch.holder, at_ms, fields)

    def test(self, batch: Batch, at_ms: int, disposition: str) -> SeasonEvent:
        """What a laboratory finds."""
        laboratory = party("laboratory", self._random.randrange(people.LABORATORIES))
        fields = {
            "action": "OBSERVE",
            "bizStep": "inspecting",
            "disposition": disposition,
            "quantityList": [batch.element(1000)],
            "bizTransactionList": [{"type": "testres", "bizTransaction": f"urn:fs:test:{self._seed}-{batch.lot}"}],
        }
        return self._event("ObjectEvent", laboratory, at_ms, fields)

    def move(
        self,
        step: str,
        batch: Batch,
        who: str,
        whom: str,
        at_ms: int,
        lines: list[dict[str, Any]],
        pallet: str = "",
        carrier: str = "",
        planted: Planted | None = None,
    ) -> SeasonEvent:
        """A shipment or a receipt."""
        is_receipt = step == "receiving"
        disposition = "in_progress" if is_receipt else "in_transit"
        fields: dict[str, Any] = {
            "action": "OBSERVE",
            "bizStep": step,
            "disposition": "mismatch_quantity" if planted is Planted.SHORT else disposition,
            "sourceList": [{"type": "possessing_party", "source": f"{STEM}417/{who}"}],
            "destinationList": [{"type": "possessing_party", "destination": f"{STEM}417/{whom}"}],
            "bizTransactionList": [
                {"type": "desadv", "bizTransaction": f"urn:epcglobal:cbv:bt:{who}:{self._seed}-{batch.lot}"}
            ],
        }
        if lines:
            fields["quantityList"] = lines
        else:
            fields["epcList"] = [pallet]
        return self._event("ObjectEvent", whom if is_receipt else who, at_ms, fields, carrier=carrier, planted=planted)

    def carried(self, batch: Batch, pallet: str, carrier: str, at_ms: int, minutes: int) -> SeasonEvent:
        """A truck's temperatures over so many minutes, recorded on arrival."""
        draw = self._random
        assert batch.goods.limits is not None, "only what is cooled is measured"
        low, high, _ = batch.goods.limits
        planted = Planted.WARM if draw.random() < 0.01 else None
        reports = []
        for index in range(_READINGS):
            value = draw.randrange(low * 10 + 5, high * 10 - 5) / 10 + (15 if planted and index >= 2 else 0)
            moment = _text(at_ms - (_READINGS - index) * (minutes // _READINGS) * MINUTE_MS)
            reports.append({"type": "Temperature", "value": value, "uom": "CEL", "time": moment})
        device = f"{STEM}8004/{people.PREFIX}T{carrier[8:12]}"
        fields: dict[str, Any] = {
            "action": "OBSERVE",
            "bizStep": "transporting",
            "disposition": "in_transit",
            "sensorElementList": [{"sensorMetadata": {"deviceID": device}, "sensorReport": reports}],
        }
        fields["epcList" if pallet else "quantityList"] = [pallet or batch.element(batch.amount)]
        return self._event("ObjectEvent", carrier, at_ms, fields, planted=planted)

    def pack(self, batch: Batch, pallet: str, at_ms: int) -> SeasonEvent:
        """A batch onto a pallet."""
        fields = {"action": "ADD", "bizStep": "packing", "parentID": pallet}
        return self._event(
            "AggregationEvent", batch.holder, at_ms, {**fields, "childQuantityList": [batch.element(batch.amount)]}
        )

    def unpack(self, part: Batch, pallet: str, at_ms: int) -> SeasonEvent:
        """A batch off its pallet."""
        fields = {"action": "DELETE", "bizStep": "unpacking", "parentID": pallet}
        return self._event(
            "AggregationEvent", part.holder, at_ms, {**fields, "childQuantityList": [part.element(part.amount)]}
        )

    def transform(
        self, actor: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], at_ms: int
    ) -> SeasonEvent:
        """Goods made of others."""
        fields = {"bizStep": "commissioning", "inputQuantityList": inputs, "outputQuantityList": outputs}
        return self._event("TransformationEvent", actor, at_ms, fields)

    def gone(self, step: str, part: Batch, amount: int, at_ms: int, planted: Planted | None = None) -> SeasonEvent:
        """Sold or destroyed."""
        fields = {
            "action": "DELETE",
            "bizStep": step,
            "disposition": "retail_sold" if step == "retail_selling" else "destroyed",
            "quantityList": [part.element(amount)],
        }
        return self._event("ObjectEvent", part.holder, at_ms, fields, planted=planted)

    def observed(self, step: str, part: Batch, at_ms: int, disposition: str) -> SeasonEvent:
        """Goods looked at."""
        fields = {"action": "OBSERVE", "bizStep": step, "disposition": disposition}
        return self._event("ObjectEvent", part.holder, at_ms, {**fields, "quantityList": [part.element(part.amount)]})

    def in_error(self, before: SeasonEvent, at_ms: int) -> SeasonEvent:
        """The same event again, declared in error."""
        declaration = {"declarationTime": _text(at_ms), "reason": "incorrect_data"}
        event = {**before.event, "errorDeclaration": declaration}
        return SeasonEvent(event, before.actor, "", at_ms, Planted.ERROR)


def _text(at_ms: int) -> str:
    """A time as EPCIS writes it, in the season's zone."""
    return datetime.fromtimestamp(at_ms / 1000, _ZONE).isoformat(timespec="seconds")
