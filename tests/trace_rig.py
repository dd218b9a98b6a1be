# SPDX-License-Identifier: Apache-2.0
"""A network with a food regulator and traders, for tests of traceability's rules.

A trader has a key of its own name: `farm`, `market`, … The service that submits is `org-t:submit`. Cabbage by the
kilogram, bags of 500 g of it and juice by the litre are for everybody to make; jars are the plant's.
"""

from collections.abc import Sequence

from google.protobuf.message import Message

from chain.transaction import Operation
from chain.types import sha256
from tests.rig import Rig, genesis, organisation, signer_pb
from traceability.goods import load_contents, load_holding, load_lot, load_object, load_transit
from traceability.gs1 import check_digit
from traceability.pb import traceability_pb2 as pb
from traceability.portions import Portion

MICRO = 1_000_000
REGULATOR = "org-f:attest"
SERVICE = "org-t:submit"
USCC = "91110000600037341L"


def gln(number: int) -> str:
    body = f"69012340{number:04}"
    return body + check_digit(body)


def gtin(number: int) -> str:
    body = f"069012340{number:04}"
    return body + check_digit(body)


def sscc(number: int) -> str:
    body = f"0690123400000{number:04}"
    return "00/" + body + check_digit(body)


def crate(number: int) -> str:
    body = "690123400000"
    return f"8003/0{body}{check_digit(body)}C{number}"


TRADERS: dict[str, tuple[str, list[pb.Role.ValueType]]] = {
    "farm": (gln(1), [pb.ROLE_FARM]),
    "carrier": (gln(2), [pb.ROLE_CARRIER]),
    "market": (gln(3), [pb.ROLE_MARKET]),
    "lab": (gln(4), [pb.ROLE_LABORATORY]),
    "plant": (gln(5), [pb.ROLE_PROCESSOR]),
    "shop": (gln(6), [pb.ROLE_MARKET]),
    "farm-2": (gln(7), [pb.ROLE_FARM]),
    "coop": (gln(8), [pb.ROLE_FARM, pb.ROLE_PROCESSOR]),
}
FIELD = gln(101)
CABBAGE, JUICE, BAG, JAR, CUT = (gtin(number) for number in range(1, 6))
ALL_STEPS = {name.removeprefix("BUSINESS_STEP_").lower(): number for name, number in pb.BusinessStep.items()}


def lot(name: str = "L1", product: str = CABBAGE) -> str:
    return f"01/{product}/10/{name}"


def serial(name: object, product: str = BAG) -> str:
    return f"01/{product}/21/{name}"


def kg(amount: float) -> int:
    return round(amount * MICRO)


class TraceRig(Rig):
    """Traders with keys, products and a place are recorded."""

    def __init__(self) -> None:
        super().__init__(
            genesis(
                [
                    organisation("org-a"),
                    organisation("org-f", roles=("food-regulator",)),
                    organisation("org-g", roles=("food-regulator",)),
                    organisation("org-t"),
                ],
                [("v0", "org-a")],
            )
        )
        self.events = 0
        for name, (number, roles) in TRADERS.items():
            assert self.code(REGULATOR, participant(number, roles)) == ""
            key = pb.AddTraderKey(participant=number, key=signer_pb(name))
            assert self.code([REGULATOR, name], key) == ""
        place = pb.RecordPlace(
            gln=FIELD, owner=gln(1), kind=pb.PLACE_KIND_FARM, district="440604", name_zh="南庄菜地", name_en="Nanzhuang"
        )
        assert self.code([SERVICE, "farm"], place) == ""
        for message in (
            product(CABBAGE, pb.UNIT_KILOGRAM, MICRO, "菜心"),
            product(JUICE, pb.UNIT_LITRE, 1_030_000, "蔬菜汁"),
            product(BAG, pb.UNIT_PIECE, 500_000, "袋装菜心"),
            product(CUT, pb.UNIT_KILOGRAM, MICRO, "净菜"),
            product(JAR, pb.UNIT_PIECE, 250_000, "腌菜", owner=gln(5)),
        ):
            assert self.code(REGULATOR, message) == ""

    def event(self, who: str, kind: str, **fields: object) -> pb.RecordEvent:
        """An event by its short name; `lines` and `outputs` as dicts of item and quantity."""
        self.events += 1
        shape = dict(SHAPES[kind])
        for field in ("lines", "outputs"):
            given = fields.pop(field, {})
            assert isinstance(given, dict)
            shape[field] = [pb.Line(item=item, quantity=quantity) for item, quantity in given.items()]
        projection = {
            "id": sha256(b"event %d" % self.events),
            "actor": TRADERS[who][0],
            "event_time_ms": self.time_ms - 1000,
            "offset_minutes": 480,
            **shape,
            **fields,
        }
        return pb.RecordEvent(projection=pb.Projection(**projection), event_commitment=bytes(32))

    def does(self, who: str, kind: str, **fields: object) -> str:
        """Record an event signed by its actor and the service; the failure code."""
        return self.code([SERVICE, who], self.event(who, kind, **fields))

    def signed(self, names: str | Sequence[str], *messages: Message | Operation) -> str:
        """The failure code of a transaction that the service signs too."""
        return self.code([SERVICE, *([names] if isinstance(names, str) else names)], *messages)

    # ------------------------------------------------------------ what state says

    def holding(self, item: str, who: str) -> Portion:
        return load_holding(self.state.get, item, TRADERS[who][0])

    def transit(self, item: str, who: str, whom: str) -> Portion:
        return load_transit(self.state.get, item, TRADERS[who][0], TRADERS[whom][0])

    def lot_record(self, item: str) -> pb.LotRecord:
        found = load_lot(self.state.get, item)
        assert found is not None
        return found

    def object_record(self, item: str) -> pb.ObjectRecord:
        found = load_object(self.state.get, item)
        assert found is not None
        return found

    def contents(self, item: str) -> list[pb.Content]:
        return load_contents(self.state.get, item)

    def harvested(self, amount: float = 100, item: str = lot(), who: str = "farm") -> str:
        assert self.does(who, "harvest", lines={item: kg(amount)}) == ""
        return item

    def delivered(self, item: str, amount: float, who: str = "farm", whom: str = "market") -> None:
        """Shipped and received in full."""
        lines = {item: kg(amount)} if "/10/" in item else {item: 0}
        assert self.does(who, "ship", counterparty=TRADERS[whom][0], lines=lines) == ""
        assert self.does(whom, "receive", counterparty=TRADERS[who][0], lines=lines) == ""


def _object(action: int, step: int) -> dict[str, object]:
    return {"type": pb.EVENT_TYPE_OBJECT, "action": action, "step": step}


SHAPES: dict[str, dict[str, object]] = {
    "harvest": _object(pb.ACTION_ADD, pb.BUSINESS_STEP_COMMISSIONING),
    "ship": _object(pb.ACTION_OBSERVE, pb.BUSINESS_STEP_SHIPPING),
    "cancel": _object(pb.ACTION_OBSERVE, pb.BUSINESS_STEP_VOID_SHIPPING),
    "receive": _object(pb.ACTION_OBSERVE, pb.BUSINESS_STEP_RECEIVING),
    "sell": _object(pb.ACTION_DELETE, pb.BUSINESS_STEP_RETAIL_SELLING),
    "destroy": _object(pb.ACTION_DELETE, pb.BUSINESS_STEP_DESTROYING),
    "inspect": _object(pb.ACTION_OBSERVE, pb.BUSINESS_STEP_INSPECTING),
    "pack": {"type": pb.EVENT_TYPE_AGGREGATION, "action": pb.ACTION_ADD, "step": pb.BUSINESS_STEP_PACKING},
    "unpack": {"type": pb.EVENT_TYPE_AGGREGATION, "action": pb.ACTION_DELETE, "step": pb.BUSINESS_STEP_UNPACKING},
    "look": {"type": pb.EVENT_TYPE_AGGREGATION, "action": pb.ACTION_OBSERVE, "step": pb.BUSINESS_STEP_STORING},
    "transform": {"type": pb.EVENT_TYPE_TRANSFORMATION, "step": pb.BUSINESS_STEP_COMMISSIONING},
    "associate": {"type": pb.EVENT_TYPE_ASSOCIATION, "action": pb.ACTION_ADD},
}


def participant(number: str, roles: Sequence[pb.Role.ValueType], **changes: object) -> pb.RecordParticipant:
    fields: dict[str, object] = {
        "gln": number,
        "kind": pb.PARTICIPANT_KIND_COMPANY,
        "roles": roles,
        "name_zh": f"经营者{number}",
        "uscc": USCC,
    }
    return pb.RecordParticipant(**{**fields, **changes})


def smallholder(number: str, **changes: object) -> pb.RecordParticipant:
    fields: dict[str, object] = {
        "gln": number,
        "kind": pb.PARTICIPANT_KIND_SMALLHOLDER,
        "roles": [pb.ROLE_FARM],
        "commitment": bytes(32),
    }
    return pb.RecordParticipant(**{**fields, **changes})


def product(number: str, unit: int, mass_mg: int, name: str, **changes: object) -> pb.RecordProduct:
    fields: dict[str, object] = {"gtin": number, "unit": unit, "mass_mg": mass_mg, "name_zh": name}
    return pb.RecordProduct(**{**fields, **changes})
