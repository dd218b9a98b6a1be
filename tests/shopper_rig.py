# SPDX-License-Identifier: Apache-2.0
"""A ledger with real signatures and certificates on which food went from a field to a shop, and the pages about it.

No consensus and no sockets: blocks are made one after the other, the index is fed with what they hold, and a session
that asks the store verifies its answers like any client.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import prepared

from chain.checkpoint import Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.errors import LedgerError
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2
from chain.receipt import make, make_inclusions, make_state_proof
from chain.transaction import Operation, SignedTransaction, build
from chain.types import Height, Millis, TransactionId, sha256
from client.answers import ProvenState, ProvenTransaction
from client.errors import TransportError
from client.trust import Trust
from membership.pb import membership_pb2
from service.index import Event
from service.index.running import RunningIndex
from service.settings import Address, Settings, StoreSettings, local_address
from service.store import Store, open_store
from service.store.engine import make_engine
from tests.certified_ledger import BODIES, REGISTRAR, CertifiedLedger, key_of
from tests.trace_rig import BAG, CABBAGE, SHAPES, gln, lot, participant, product, smallholder
from traceability.api.context import TraceContext
from traceability.api.trace_index import FoodTables, metadata
from traceability.pb import traceability_pb2 as pb
from traceability.projection import project

STEM = "https://id.gs1.org/"
CONTEXT = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
HOUR_MS = 3_600_000
FARM, COOP, CARRIER, PLANT, SHOP, LAB = (gln(number) for number in range(1, 7))
FIELD, COLD, KITCHEN, STALL = (gln(number) for number in range(101, 105))
NAMES = {FARM: "farm", COOP: "coop", CARRIER: "carrier", PLANT: "plant", SHOP: "shop", LAB: "lab"}
SERIAL = f"01/{BAG}/21/000184"
LOT = lot("L260921-07")


def party(name: str, gln_: str, side: str) -> dict[str, str]:
    return {"type": "possessing_party", side: f"{STEM}417/{gln_}"}


class Session:
    """Answers from a ledger's store, verified like any node's."""

    def __init__(self, shop: "FoodLedger") -> None:
        self._shop = shop
        self.trust = Trust(shop.ledger.genesis)
        self.is_silent = False
        self.asked = 0

    async def receipts(
        self, identifiers: Sequence[TransactionId], *, operation_index: int = 0, all_operations: bool = False
    ) -> dict[TransactionId, list[ProvenTransaction]]:
        self._hear()
        shop, ledger = self._shop, self._shop.ledger
        inclusions: list[ledger_pb2.Inclusion] = []
        for leaf, (transaction, entry) in enumerate(shop.leaves):
            if transaction.id in identifiers:
                path = ledger.store.prove_inclusion(leaf, ledger.checkpoint.log_size)
                made = make_inclusions(transaction, entry, leaf, path)
                inclusions += made if all_operations else [made[operation_index]]
        found: dict[TransactionId, list[ProvenTransaction]] = {}
        if inclusions:
            for proven in self.trust.verify_transactions(self._receipt(inclusions, [], ledger.checkpoint.height)):
                found.setdefault(proven.id, []).append(proven)
        return found

    async def read_many(self, keys: Sequence[bytes], *, height: int = 0) -> list[ProvenState]:
        self._hear()
        ledger = self._shop.ledger
        at = Height(height or ledger.checkpoint.height)
        states = [make_state_proof(key, *ledger.store.prove_state(key, at)) for key in sorted(keys)]
        return self.trust.verify_states(self._receipt([], states, at), keys)

    async def read(self, key: bytes) -> ProvenState:
        return (await self.read_many([key]))[0]

    def sign(self, operations: list[Operation], signers: list[Any]) -> SignedTransaction:
        return self._shop.transaction(operations, signers)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        self._shop.run(transaction)
        return (await self.receipts([transaction.id]))[transaction.id][0]

    def _receipt(self, inclusions: Any, states: Any, height: int) -> bytes:
        certified = self._shop.ledger.certificates[height]
        first, end = self.trust.epoch, Checkpoint.decode(certified.checkpoint).epoch
        return make(inclusions, states, certified, self._shop.closings[first - 1 : end - 1])

    def _hear(self) -> None:
        self.asked += 1
        if self.is_silent:
            raise TransportError("no node answers")


class Door:
    """What a service's door offers while it runs."""

    def __init__(self, session: Session) -> None:
        self.session = session


class FoodLedger:
    """People, places and products are recorded; `record` captures what they do."""

    def __init__(self, folder: Path, *, port: int = 0, now_ms: int = 0) -> None:
        self.start_ms = (now_ms or time.time_ns() // 1_000_000) - 48 * HOUR_MS
        self.ledger = CertifiedLedger(MemoryDatabase(), block_ms=1_000, time_ms=Millis(self.start_ms - HOUR_MS))
        self.leaves: list[tuple[SignedTransaction, bytes]] = []
        self.closings: list[ClosingCheckpoint] = []
        self.kept_events: dict[bytes, tuple[bytes, bytes]] = {}
        self.secrets = 0
        settings = StoreSettings(
            url=prepared.sqlite_url(folder / "store.sqlite"), keys=str(folder / "keys"), allow_plain=True
        )
        self.store: Store = open_store(settings, {})
        self.engine = make_engine(StoreSettings(url=f"sqlite:///{folder / 'index.sqlite'}"))
        metadata.create_all(self.engine)
        self.address = local_address("trace", f"127.0.0.1:{port or 8806}")
        self._found()
        self.session = Session(self)

    def close(self) -> None:
        self.store.close()
        self.engine.dispose()

    def context(
        self, address: Address | None = None, *, key: Any = None, now: Callable[[], int] | None = None
    ) -> TraceContext:
        return TraceContext(
            store=self.store,
            index=RunningIndex(self.engine, [FoodTables()]),
            door=Door(self.session),  # type: ignore[arg-type]  # pages ask its session and nothing else
            genesis=self.ledger.genesis,
            genesis_raw=self.ledger.genesis_bytes,
            trader_signer=lambda _: None,
            submit_key=key,
            address=address or self.address,
            settings=Settings(),
            now=now or (lambda: time.time_ns() // 1_000_000),
        )

    def kept(self, events: Sequence[pb.RecordEvent]) -> Mapping[bytes, tuple[bytes, bytes]]:
        """As `traceability.api.shopper.opened.KeptEvents`."""
        ids = {event.projection.id for event in events}
        return {one: kept for one, kept in self.kept_events.items() if one in ids}

    # ------------------------------------------------------------ blocks

    def transaction(self, operations: Iterable[Operation], signers: Sequence[Any]) -> SignedTransaction:
        ledger = self.ledger
        ledger.salt += 1
        expires = Millis(ledger.time_ms + 60_000)
        return build(list(operations), list(signers), expires, ledger.salt.to_bytes(16), ledger.genesis.network)

    def signed(self, names: Iterable[str], *messages: Any) -> SignedTransaction:
        operations = [
            one if isinstance(one, Operation) else Operation.make(f"traceability.{type(one).__name__}", encode(one))
            for one in messages
        ]
        return self.transaction(operations, [key_of(REGISTRAR), *(key_of(name) for name in names)])

    def run(self, *transactions: SignedTransaction) -> None:
        """A block, in which all of these take effect, and the index with it."""
        execution = self.ledger.append(*transactions)
        self.ledger.block_ms = 1_000
        if execution.next_set is not None:
            certified = self.ledger.certificates[execution.block.height]
            self.closings.append(ClosingCheckpoint(certified, execution.next_set.encode()))
        with self.engine.begin() as connection:
            for transaction, entry in zip(transactions, execution.entries, strict=True):
                decoded = ledger_pb2.Entry.FromString(entry)
                if decoded.WhichOneof("result") != "success":
                    raise LedgerError(decoded.failure.code)
                events = [
                    Event(
                        one.type,
                        one.body,
                        execution.block.height,
                        execution.block.time_ms,
                        len(self.leaves),
                        index,
                        transaction.id,
                        transaction.signers,
                        "",
                    )
                    for index, one in enumerate(transaction.operations)
                ]
                self.leaves.append((transaction, entry))
                FoodTables().apply(connection, [], events)

    def advance(self, to_ms: int) -> None:
        """Let the next block stand at a time."""
        self.ledger.block_ms = max(1_000, to_ms - self.ledger.ledger.tip().time_ms)

    def settle(self) -> None:
        """An empty block of now, so that what is proven is recent."""
        self.advance(time.time_ns() // 1_000_000 - 2_000)
        self.run()

    def replace_validator(self, organisation: str) -> ClosingCheckpoint:
        """Close the epoch by exchanging a validator."""
        self.run(*self.ledger.replace_validator(organisation, 1)[:3])  # the fourth vote would come too late
        return self.closings[-1]

    # ------------------------------------------------------------ what happens

    def record(self, who: str, *, hours: float, **fields: Any) -> pb.RecordEvent:
        """Capture one event of a participant, so many hours after the start."""
        time_ms = self.start_ms + round(hours * HOUR_MS)
        event = {
            "type": "ObjectEvent",
            "eventTime": _iso(time_ms),
            "eventTimeZoneOffset": "+08:00",
            **fields,
        }
        self.secrets += 1
        secret = self.secrets.to_bytes(32)
        carrier = event.pop("carrier", "")
        units = {CABBAGE: pb.UNIT_KILOGRAM, BAG: pb.UNIT_PIECE}
        found = project(event, context=CONTEXT, actor=who, secret=secret, unit_of=units.get, carrier=carrier)
        self.advance(time_ms + 60_000)
        self.run(self.signed([NAMES[who]], *found.operations))
        assert found.message is not None
        self.kept_events[found.message.projection.id] = (found.data, secret)
        return found.message

    def event(self, who: str, kind: str, **fields: Any) -> pb.RecordEvent:
        """An event by its short name, without anything that is private; lines as dicts of item and quantity."""
        self.secrets += 1
        shape: dict[str, Any] = dict(SHAPES[kind])
        for name in ("lines", "outputs"):
            given = fields.pop(name, {})
            shape[name] = [pb.Line(item=item, quantity=quantity) for item, quantity in given.items()]
        projection = {
            "id": sha256(b"shopper's event %d" % self.secrets),
            "actor": who,
            "event_time_ms": self.ledger.ledger.tip().time_ms,
            "offset_minutes": 480,
            **shape,
            **fields,
        }
        return pb.RecordEvent(projection=pb.Projection(**projection), event_commitment=bytes(32))

    def does(self, who: str, kind: str, **fields: Any) -> pb.RecordEvent:
        """Record such an event."""
        made = self.event(who, kind, **fields)
        self.run(self.signed([NAMES[who]], made))
        return made

    def journey(self, *, readings: int = 6, warm: bool = False) -> list[pb.RecordEvent]:
        """100 kg of cabbage from a field: tested, carried cold to a plant, made into bags, one of them sold."""
        lots = {"quantityList": [{"epcClass": STEM + LOT, "quantity": 100, "uom": "KGM"}]}
        bag = {"epcList": [STEM + SERIAL]}
        to_plant = {"sourceList": [party("", FARM, "source")], "destinationList": [party("", PLANT, "destination")]}
        to_shop = {"sourceList": [party("", PLANT, "source")], "destinationList": [party("", SHOP, "destination")]}
        place = {gln_: {"bizLocation": {"id": f"{STEM}414/{gln_}"}} for gln_ in (FIELD, COLD, KITCHEN, STALL)}
        observed: dict[str, Any] = {"action": "OBSERVE"}
        return [
            self.record(FARM, hours=1, action="ADD", bizStep="commissioning", **lots, **place[FIELD]),
            self.record(
                LAB,
                hours=3,
                **observed,
                bizStep="inspecting",
                disposition="conformant",
                certificationInfo="https://lab.example/reports/63-residues",
                **lots,
            ),
            self.record(
                FARM, hours=4, **observed, bizStep="shipping", carrier=CARRIER, **lots, **to_plant, **place[FIELD]
            ),
            self.record(
                CARRIER,
                hours=6,
                **observed,
                bizStep="transporting",
                sensorElementList=[
                    self._sensor(4 + index / 4, 2.1 + index * (1.9 if warm else 0.7)) for index in range(readings)
                ],
                **lots,
                **place[COLD],
            ),
            self.record(PLANT, hours=8, **observed, bizStep="receiving", **lots, **to_plant, **place[KITCHEN]),
            self.record(
                PLANT,
                hours=9,
                type="TransformationEvent",
                bizStep="commissioning",
                inputQuantityList=[{"epcClass": STEM + LOT, "quantity": 1, "uom": "KGM"}],
                outputEPCList=[STEM + SERIAL],
                **place[KITCHEN],
            ),
            self.record(PLANT, hours=10, **observed, bizStep="shipping", **bag, **to_shop, **place[KITCHEN]),
            self.record(SHOP, hours=20, **observed, bizStep="receiving", **bag, **to_shop, **place[STALL]),
        ]

    def sell(self) -> pb.RecordEvent:
        """The bag goes over the counter."""
        return self.record(SHOP, hours=30, action="DELETE", bizStep="retail_selling", epcList=[STEM + SERIAL])

    def recall(self, *items: str) -> None:
        self.run(
            self.signed([], pb.Recall(items=list(items), kind=pb.RECALL_KIND_RECALL, reason=pb.RECALL_REASON_RESIDUES))
        )

    def _sensor(self, hours: float, degrees: float) -> dict[str, Any]:
        at = _iso(self.start_ms + round(hours * HOUR_MS))
        return {
            "sensorMetadata": {"time": at, "deviceID": "urn:epc:id:giai:4000001.111"},
            "sensorReport": [{"type": "Temperature", "value": round(degrees, 2), "uom": "CEL"}],
        }

    def _found(self) -> None:
        grant = membership_pb2.Act(grant_role=membership_pb2.GrantRole(organisation=REGISTRAR, role="food-regulator"))
        ledger = self.ledger
        expires = ledger.time_ms + 86_400_000
        proposal = ledger.sign(BODIES[0], membership_pb2.Propose(epoch=1, expires_at_ms=expires, acts=[grant]))
        votes = [ledger.sign(name, membership_pb2.Approve(proposal_id=proposal.id, epoch=1)) for name in BODIES[1:3]]
        self.run(proposal, *votes)
        people = [
            participant(FARM, [pb.ROLE_FARM], name_zh="乐平镇南边村合作社", name_en="Leping Nanbian Cooperative"),
            smallholder(COOP, roles=[pb.ROLE_FARM, pb.ROLE_PROCESSOR]),
            participant(CARRIER, [pb.ROLE_CARRIER], name_zh="中南冷链", name_en="Zhongnan Cold Chain"),
            participant(PLANT, [pb.ROLE_MARKET, pb.ROLE_PROCESSOR], name_zh="禅西净菜厂", name_en="Chanxi Fresh Cut"),
            participant(SHOP, [pb.ROLE_MARKET], name_zh="魁奇路市场 12 号档", name_en="Kuiqi Road Market, stall 12"),
            participant(LAB, [pb.ROLE_LABORATORY], name_zh="区农产品质检站", name_en="District Produce Laboratory"),
        ]
        keys = [pb.AddTraderKey(participant=number, key=_key(name)) for number, name in NAMES.items()]
        goods = [
            product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, "水东芥菜", name_en="Shuidong mustard greens"),
            product(BAG, pb.UNIT_PIECE, 500_000, "水东芥菜 500 g", name_en="Shuidong mustard greens, 500 g"),
        ]
        for one in goods:
            one.temperature.min_millicelsius, one.temperature.max_millicelsius = 0, 8_000
            one.temperature.minutes_max = 20
        places = [
            _place(FIELD, FARM, pb.PLACE_KIND_FARM, "440607", "乐平农场", "Leping Farm"),
            _place(COLD, CARRIER, pb.PLACE_KIND_WAREHOUSE, "440605", "中南冷库", "Zhongnan Cold Store"),
            _place(KITCHEN, PLANT, pb.PLACE_KIND_PLANT, "440604", "禅西厂", "Chanxi Plant"),
            _place(STALL, SHOP, pb.PLACE_KIND_MARKET, "440604", "魁奇路市场", "Kuiqi Road Market"),
        ]
        self.run(self.signed(NAMES.values(), *people, *keys, *goods, *places))


def _place(gln_: str, owner: str, kind: pb.PlaceKind.ValueType, district: str, zh: str, en: str) -> pb.RecordPlace:
    return pb.RecordPlace(gln=gln_, owner=owner, kind=kind, district=district, name_zh=zh, name_en=en)


def _key(name: str) -> ledger_pb2.Signer:
    signer = key_of(name).signer
    return ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_ED25519, public_key=signer.public_key)


def _iso(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))
