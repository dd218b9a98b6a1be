# SPDX-License-Identifier: Apache-2.0
"""Names, quantities and places as the journey page words them, from proven records alone.

`web/trace/words.ts` words the same records in the same way: a phone compares what it reads with what it would write.
"""

from collections.abc import Mapping

from service.language import Language, group, translate
from service.wording import CHINA, SPACE, day, instant
from traceability.acts import Act
from traceability.api.shopper.districts import district_name
from traceability.items import Kind, gtin_of, kind_of
from traceability.participants import participant_key
from traceability.pb import traceability_pb2 as pb
from traceability.products import place_key, product_key

States = Mapping[bytes, bytes | None]
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_ACTS: Mapping[Act, str] = {
    Act.DECLARE: "script.trace.act-declare",
    Act.TRANSFORM: "script.trace.act-transform",
    Act.PACK: "script.trace.act-pack",
    Act.UNPACK: "script.trace.act-unpack",
    Act.SHIP: "script.trace.act-ship",
    Act.CANCEL: "script.trace.act-cancel",
    Act.RECEIVE: "script.trace.act-receive",
    Act.SELL: "script.trace.act-sell",
    Act.REMOVE: "script.trace.act-remove",
    Act.OBSERVE: "script.trace.act-observe",
    Act.NOTE: "script.trace.act-observe",
}
_STEPS: Mapping[int, str] = {
    pb.BUSINESS_STEP_ARRIVING: "script.trace.step-arriving",
    pb.BUSINESS_STEP_DEPARTING: "script.trace.step-departing",
    pb.BUSINESS_STEP_INSPECTING: "script.trace.step-inspecting",
    pb.BUSINESS_STEP_LOADING: "script.trace.step-loading",
    pb.BUSINESS_STEP_SAMPLING: "script.trace.step-sampling",
    pb.BUSINESS_STEP_SENSOR_REPORTING: "script.trace.step-sensor-reporting",
    pb.BUSINESS_STEP_STOCKING: "script.trace.step-stocking",
    pb.BUSINESS_STEP_STORING: "script.trace.step-storing",
    pb.BUSINESS_STEP_TRANSPORTING: "script.trace.step-transporting",
    pb.BUSINESS_STEP_UNLOADING: "script.trace.step-unloading",
}
_RESULTS: Mapping[int, str] = {
    pb.DISPOSITION_CONFORMANT: "script.trace.result-passed",
    pb.DISPOSITION_NON_CONFORMANT: "script.trace.result-failed",
    pb.DISPOSITION_DAMAGED: "script.trace.result-damaged",
}
_UNITS: Mapping[int, str] = {
    pb.UNIT_KILOGRAM: "script.trace.unit-kilogram",
    pb.UNIT_LITRE: "script.trace.unit-litre",
    pb.UNIT_PIECE: "script.trace.unit-piece",
}
RECALL_KINDS: Mapping[int, str] = {
    pb.RECALL_KIND_WITHDRAWAL: "script.trace.recall-withdrawal",
    pb.RECALL_KIND_RECALL: "script.trace.recall-recall",
}
RECALL_REASONS: Mapping[int, str] = {
    pb.RECALL_REASON_CONTAMINATION: "script.trace.reason-contamination",
    pb.RECALL_REASON_RESIDUES: "script.trace.reason-residues",
    pb.RECALL_REASON_PATHOGEN: "script.trace.reason-pathogen",
    pb.RECALL_REASON_COLD_CHAIN: "script.trace.reason-cold-chain",
    pb.RECALL_REASON_LABELLING: "script.trace.reason-labelling",
    pb.RECALL_REASON_FOREIGN_BODY: "script.trace.reason-foreign-body",
    pb.RECALL_REASON_PRECAUTION: "script.trace.reason-precaution",
}


class Wording:
    """Words in one language, over proven records.

    Args:
        language: The reader's.
        states: Records by key, as proven.
        now_ms: Time of the checkpoint: moments of its year go without it.
    """

    def __init__(self, language: Language, states: States, now_ms: int) -> None:
        self.language = language
        self._states = states
        self._year = instant(now_ms).astimezone(CHINA).year

    def act(self, act: Act, projection: pb.Projection) -> str:
        """What an event did, in a word or two; a harvest is called so where the place is a farm."""
        if act is Act.DECLARE and self.place_record(projection.place).kind == pb.PLACE_KIND_FARM:
            return translate(self.language, "script.trace.act-harvest")
        if act in (Act.OBSERVE, Act.NOTE):
            return translate(self.language, _STEPS.get(projection.step, _ACTS[act]))
        return translate(self.language, _ACTS[act])

    def result(self, projection: pb.Projection) -> str:
        """How a check came out; empty where the event does not say."""
        key = _RESULTS.get(projection.disposition)
        return "" if key is None else translate(self.language, key)

    def moment(self, time_ms: int) -> str:
        """Date and time, in China's zone: `20 Nov 05:40`, `11月20日 05:40`; of another year, with it."""
        local = instant(time_ms).astimezone(CHINA)
        is_far = local.year != self._year
        if self.language == "zh-CN":
            return f"{f'{local.year}年' if is_far else ''}{local.month}月{local.day}日 {local:%H:%M}"
        return f"{local.day} {_MONTHS[local.month - 1]}{f' {local.year}' if is_far else ''} {local:%H:%M}"

    def day(self, time_ms: int) -> str:
        """The date, in China's zone."""
        return day(self.language, instant(time_ms), CHINA)

    def party(self, gln: str) -> str:
        """A participant's name; of a smallholder, that it is one; its number where nothing is recorded."""
        raw = self._states.get(participant_key(gln))
        if raw is None:
            return gln
        record = pb.ParticipantRecord.FromString(raw)
        if record.kind == pb.PARTICIPANT_KIND_SMALLHOLDER:
            return translate(self.language, "script.trace.smallholder")
        return self._either(record.name_zh, record.name_en) or gln

    def place_record(self, gln: str) -> pb.RecordPlace:
        """A place's record; an empty one where there is none."""
        return pb.RecordPlace.FromString(self._states.get(place_key(gln)) or b"")

    def place(self, gln: str) -> str:
        """District and name of a place; empty for none."""
        record = self.place_record(gln)
        district = district_name(self.language, record.district) if record.district else ""
        name = self._either(record.name_zh, record.name_en)
        words = [district, name] if self.language == "zh-CN" else [name, district]
        return (" " if self.language == "zh-CN" else ", ").join(word for word in words if word)

    def product(self, gtin: str) -> pb.RecordProduct:
        """A product's record; an empty one where there is none."""
        return pb.RecordProduct.FromString(self._states.get(product_key(gtin)) or b"")

    def name(self, item: str) -> str:
        """What goods are: the product's name, or that they are a container."""
        if kind_of(item) in (Kind.LOT, Kind.SERIAL):
            record = self.product(gtin_of(item))
            return self._either(record.name_zh, record.name_en) or gtin_of(item)
        return translate(self.language, "script.trace.container")

    def identity(self, item: str) -> str:
        """Which of the goods: batch, serial or number."""
        code = item.rpartition("/")[2]
        kind = kind_of(item)
        if kind is Kind.LOT:
            return translate(self.language, "script.trace.batch", code=code)
        if kind is Kind.SERIAL:
            return translate(self.language, "script.trace.serial", code=code)
        return translate(self.language, "script.trace.number", code=code)

    def goods(self, item: str, quantity: int, own: str) -> str:
        """One line of goods: of the item that the page is about, only how much."""
        amount = self.quantity(item, quantity) if quantity else ""
        if item == own:
            return amount
        return " ".join(word for word in (self.name(item), self.identity(item), amount) if word)

    def quantity(self, item: str, quantity: int) -> str:
        """So many millionths of a product's unit, in thousandths."""
        thousandths = (quantity + 500) // 1000
        whole, rest = divmod(thousandths, 1000)
        fraction = f".{rest:03}".rstrip("0") if rest else ""
        unit = _UNITS.get(self.product(gtin_of(item)).unit, "script.trace.unit-piece")
        return f"{group(whole)}{fraction}{SPACE}{translate(self.language, unit)}"

    def degrees(self, milli: int) -> str:
        """A temperature in tenths, rounded half up: `-0.4`."""
        tenths = (milli + 50) // 100
        return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"

    def _either(self, zh: str, en: str) -> str:
        return (zh or en) if self.language == "zh-CN" else (en or zh)
