# SPDX-License-Identifier: Apache-2.0
"""The service of food records over the ledger's own rules, executed in memory; faults of the way there on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from store_rig import Rig as StoreRig

from chain.codec import encode
from chain.pb import ledger_pb2
from chain.transaction import Operation, SignedTransaction
from chain.types import Height, Millis
from client.errors import TransportError
from service.app import Part, create_app
from service.index import Event
from service.index.running import RunningIndex
from service.settings import Address, Settings, parse_settings
from service.store.engine import make_engine
from tests.rig import NETWORK, Shell, signer
from tests.trace_rig import CABBAGE, CUT, SERVICE, TRADERS, TraceRig, product
from traceability.api import clients
from traceability.api.context import TraceContext
from traceability.api.part import epcis_part
from traceability.api.trace_index import FoodTables, metadata
from traceability.pb import traceability_pb2 as pb

ORIGIN = "https://food.example.org"
ADDRESS = Address("trace", "127.0.0.1:8806", ORIGIN)
CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"ex": "https://ns.example.org/"}]
NAMES = {gln: name for name, (gln, _) in TRADERS.items()}
Fate = Callable[[SignedTransaction], str]


@dataclass
class Failed:
    code: str
    operation: int


@dataclass
class Proven:
    failed: Failed | None


class Ledger:
    """Executes what is submitted, and tells the index.

    Attributes:
        fate: Of each submission: "" it goes through; "lost" before it is executed; "silent" after; or raises.
    """

    network = NETWORK

    def __init__(self, chain: "Chain", index: Callable[[list[Event]], None]) -> None:
        self.chain = chain
        self.fate: Fate = lambda _transaction: ""
        self.submitted: list[SignedTransaction] = []
        self.outcomes: dict[bytes, Proven] = {}
        self.leaves = 0
        self._index = index
        self.session = self

    async def checkpoint(self) -> Any:
        """As a client's session says; what else it says is not asked."""
        return SimpleNamespace(height=self.chain.height)

    async def submit_one(self, transaction: SignedTransaction) -> Any:
        self.submitted.append(transaction)
        fate = self.fate(transaction)
        if fate == "lost":
            raise TransportError("nobody answers")
        if transaction.id not in self.outcomes:
            self.outcomes[transaction.id] = self._execute(transaction)
        if fate == "silent":
            raise TransportError("nothing is known of it yet")
        return self.outcomes[transaction.id]

    def _execute(self, transaction: SignedTransaction) -> Proven:
        chain = self.chain
        (code,) = chain.codes(transaction)
        at = _failed_at(chain, transaction) if code else 0
        self._index(
            [
                Event(
                    one.type,
                    one.body,
                    Height(chain.height),
                    Millis(chain.time_ms),
                    self.leaves,
                    index,
                    transaction.id,
                    transaction.signers,
                    code,
                )
                for index, one in enumerate(transaction.operations)
            ]
        )
        self.leaves += 1
        return Proven(Failed(code, at) if code else None)

    def recorded(self) -> int:
        """Events in state."""
        return sum(1 for key in self.chain.state if key.startswith(b"traceability/event/"))


def _failed_at(chain: "Chain", transaction: SignedTransaction) -> int:
    entry = ledger_pb2.Entry.FromString(chain.entries[-1])
    assert entry.header == transaction.header
    return entry.failure.operation


class Chain(TraceRig):
    """Keeps the entries of blocks."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        super().__init__()

    def run(self, *transactions: SignedTransaction) -> Any:
        outcome = super().run(*transactions)
        self.entries += outcome.entries
        return outcome


class HeldIndex(RunningIndex):
    """Follows nothing: the rig writes into it; `caught_up` stands for its coming up to the ledger."""

    def caught_up(self) -> bool:
        """Whether it has come up to the ledger when it is waited for."""
        return True

    async def wait_for(self, _height: int, _timeout_s: float) -> bool:
        return self.caught_up()


@dataclass
class CaptureRig:
    """A service with its store, index and ledger."""

    stores: StoreRig
    settings: Settings = field(default_factory=lambda: parse_settings("[limits]\naddress_burst = 100000", {}))

    def __post_init__(self) -> None:
        self.store_settings = self.stores.settings()
        self.store = self.stores.open(self.store_settings)
        self.engine = make_engine(self.stores.settings())
        metadata.create_all(self.engine)
        self.chain = Chain()
        self.ledger = Ledger(self.chain, self.index)
        self.held = HeldIndex(self.engine, [FoodTables()])
        self.tell_products()
        self.keys = {name: clients.add(self.store, gln, 1)[1] for name, (gln, _) in TRADERS.items()}
        self.regulator = clients.add(self.store, clients.REGULATOR, 1)[1]
        self.numbers = 0

    def tell_products(self) -> None:
        """What the index has of the chain from the beginning."""
        self.index(
            [
                self._told(message)
                for message in (
                    product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, "菜心"),
                    product(CUT, pb.UNIT_KILOGRAM, 1_000_000, "净菜"),
                )
            ]
        )

    def _told(self, message: pb.RecordProduct) -> Event:
        return Event(
            "traceability.RecordProduct",
            encode(message),
            Height(1),
            Millis(1),
            0,
            0,
            NETWORK,  # type: ignore[arg-type]  # any 32 bytes
            (),
            "",
        )

    def index(self, events: list[Event]) -> None:
        with self.engine.begin() as connection:
            FoodTables().apply(connection, [], events)

    def sign(self, operations: Sequence[Operation], gln: str) -> SignedTransaction:
        return self.chain.sign([SERVICE, NAMES[gln]], *operations)

    def context(self) -> TraceContext:
        return TraceContext(
            store=self.store,
            index=self.held,
            door=self.ledger,  # type: ignore[arg-type]  # submits and knows the network
            genesis=self.chain.genesis,
            genesis_raw=b"",
            trader_signer=lambda gln: Shell(signer(NAMES[gln])) if gln in NAMES else None,
            submit_key=Shell(signer(SERVICE)),
            address=ADDRESS,
            settings=self.settings,
            now=lambda: int(self.chain.time_ms),
        )

    def service(self, *parts: Part) -> FastAPI:
        return create_app([*parts], self.settings, ADDRESS, secret=bytes(32), replays=self.store.replays())

    @asynccontextmanager
    async def caller(self, name: str = "farm") -> AsyncIterator[httpx.AsyncClient]:
        """A participant's program, while the service runs."""
        app = self.service(epcis_part(self.context(), sign=self.sign))
        key = self.regulator if name == "regulator" else self.keys.get(name, "")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers=headers, timeout=30
            ) as caller,
        ):
            yield caller

    # ------------------------------------------------------------ events

    def event(self, **fields: Any) -> dict[str, Any]:
        """A harvest, or what the fields make of it."""
        self.numbers += 1
        when = datetime.fromtimestamp((self.chain.time_ms - 60_000) / 1000, UTC).isoformat(timespec="milliseconds")
        made: dict[str, Any] = {
            "type": "ObjectEvent",
            "eventID": f"urn:uuid:{UUID(int=self.numbers)}",
            "eventTime": when.replace("+00:00", "Z"),
            "eventTimeZoneOffset": "+08:00",
            "action": "ADD",
            "bizStep": "commissioning",
            "quantityList": [{"epcClass": link(), "quantity": 100, "uom": "KGM"}],
            **fields,
        }
        return {name: value for name, value in made.items() if value is not None}

    def document(self, *events: dict[str, Any]) -> dict[str, Any]:
        return {
            "@context": CONTEXT,
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2026-11-01T00:00:00Z",
            "epcisBody": {"eventList": list(events)},
        }

    def move(self, step: str, who: str, whom: str, amount: float, item: str = "") -> dict[str, Any]:
        """A shipment by, or a receipt from."""
        mine, other = ("sourceList", "destinationList") if step == "shipping" else ("destinationList", "sourceList")
        return self.event(
            action="OBSERVE",
            bizStep=step,
            disposition="in_transit" if step == "shipping" else "in_progress",
            quantityList=[{"epcClass": item or link(), "quantity": amount, "uom": "KGM"}],
            **{mine: [party(mine, who)], other: [party(other, whom)]},
        )


async def ended(caller: httpx.AsyncClient, location: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """A job, once it has ended."""
    async with asyncio.timeout(60):
        while True:
            job: dict[str, Any] = (await caller.get(location, headers=headers)).json()
            if not job["running"]:
                return job
            await asyncio.sleep(0.01)


def code(response: httpx.Response) -> str:
    """The code of a refusal, whose type is one of the standard's."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["type"].startswith("epcisException:")
    return str(document["code"])


def link(name: str = "L1", gtin: str = CABBAGE) -> str:
    return f"https://id.gs1.org/01/{gtin}/10/{name}"


def party(name: str, who: str) -> dict[str, str]:
    return {"type": "possessing_party", name.removesuffix("List"): f"https://id.gs1.org/417/{TRADERS[who][0]}"}
