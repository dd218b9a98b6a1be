# SPDX-License-Identifier: Apache-2.0
"""The service of food records with its traders and regulators signed in, over the ledger's own rules in memory."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from sign_in_rig import ADDRESS, GENEROUS, Authenticator, Browser, Desk
from sqlalchemy import select
from store_rig import Rig

import traceability.api.problems  # noqa: F401 - words of the service
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidSignature, Refused
from chain.executor import Outcome
from chain.signing import Scheme, Signer
from chain.transaction import SignedTransaction, verify_signatures
from chain.types import Height, Millis, Network, sha256
from client.errors import TransportError
from membership.pb import membership_pb2
from membership.state import signer_pb as pb_of
from service.app import Part, create_app
from service.index import Event
from service.index.running import RunningIndex
from service.settings import Address
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.part import sign_in_part
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.standings import Standings
from service.sign_in.tables import Passkey
from service.store import Store
from service.store.engine import close_engine, make_engine
from tests.rig import NETWORK, START_MS, code_of, signer, transaction
from tests.trace_rig import REGULATOR, TRADERS, TraceRig, gln
from traceability.api.context import TRACE_SITE, TraceContext
from traceability.api.kept import find_owner, load_events
from traceability.api.regulator.part import regulator_part
from traceability.api.start import start_part
from traceability.api.tables import FoodCaptured
from traceability.api.trace_index import FoodTables
from traceability.api.trace_index import metadata as food_metadata
from traceability.api.trader.part import trader_part
from traceability.api.trader.trade_index import TradeTables
from traceability.api.trader.trade_index import metadata as trade_metadata
from traceability.pb import traceability_pb2 as pb

OFFICE = "org-f"
OWN = Ed25519Signer(sha256(b"the service's own key"))


@dataclass(frozen=True)
class Executed:
    """What the ledger answers: a stand-in for a proven transaction, whose proof other tests hold."""

    transaction: SignedTransaction
    code: str

    @property
    def failed(self) -> "Executed | None":
        return self if self.code else None

    def receipt(self) -> bytes:
        return b"receipt " + self.transaction.id


@dataclass(frozen=True)
class Stands:
    """A state key as the client proves it; its proof other tests hold."""

    key: bytes
    value: bytes | None
    checkpoint: Any


@dataclass(frozen=True)
class Point:
    time_ms: int


class TradeLedger(TraceRig):
    """Executes by the real rules, verifies each signature, and fills the index; can be out of reach."""

    def __init__(self, rig: Rig) -> None:
        self.rig: Rig | None = None
        self.leaves = 0
        self.is_reachable = True
        self.done: dict[bytes, Executed] = {}
        self.sent: list[SignedTransaction] = []
        self.engine = make_engine(rig.settings())
        for metadata in (food_metadata, trade_metadata):
            metadata.create_all(self.engine)
        super().__init__()
        self.rig = rig
        grant = membership_pb2.KeyGrant(key=pb_of(OWN.signer), purposes=[membership_pb2.PURPOSE_SUBMIT])
        self.grant("org-t", membership_pb2.AddKey(key=grant), OWN.signer)

    @property
    def network(self) -> Network:
        return NETWORK

    @property
    def session(self) -> "TradeLedger":
        return self

    @property
    def time_ms(self) -> int:
        return START_MS + self.height if self.rig is None else self.rig.clock_ms

    def run(self, *transactions: SignedTransaction) -> Outcome:
        outcome = super().run(*transactions)
        events = [
            Event(
                one.type,
                one.body,
                Height(self.height),
                Millis(self.time_ms),
                self.leaves + place,
                index,
                made.id,
                made.signers,
                code_of(entry),
            )
            for place, (made, entry) in enumerate(zip(outcome.executed, outcome.entries, strict=True))
            for index, one in enumerate(made.operations)
        ]
        self.leaves += len(outcome.entries)
        with self.engine.begin() as connection:
            for tables in (FoodTables(), TradeTables()):
                tables.apply(connection, [], events)
        return outcome

    def grant(self, organisation: str, message: Any, key: Signer) -> None:
        """An operation that an organisation's governing key and the key itself sign."""
        self.salt += 1
        made = transaction([message], [signer(f"{organisation}:govern"), key], self.time_ms + 10_000, self.salt)
        assert self.codes(made) == [""]

    def give_key(self, key: Signer, participant: str) -> None:
        """A participant's key, as the regulator gives it."""
        self.salt += 1
        message = pb.AddTraderKey(participant=participant, key=pb_of(key))
        made = transaction([message], [signer(REGULATOR), key], self.time_ms + 10_000, self.salt)
        assert self.codes(made) == [""]

    def appoint(self, key: Signer, organisation: str) -> None:
        """A key of an officer's, as the governing key adds it."""
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        self.grant(
            organisation, membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=pb_of(key), purposes=purposes)), key
        )

    async def submit_one(self, made: SignedTransaction) -> Executed:
        self._reach()
        self.sent.append(made)
        if made.id not in self.done:
            try:
                verify_signatures(made, NETWORK)
            except InvalidSignature:
                raise Refused("a signature is wrong", "transaction.signature") from None
            outcome = self.run(made)
            if not outcome.entries:
                raise Refused("no known key signs", "transaction.skipped")
            self.done[made.id] = Executed(made, code_of(outcome.entries[0]))
        return self.done[made.id]

    async def read_many(self, keys: Sequence[bytes], *, age_ms_max: int = 0) -> list[Stands]:
        del age_ms_max
        assert 0 < len(keys) <= 512
        self._reach()
        return [Stands(key, self.state.get(key), Point(self.time_ms)) for key in keys]

    def _reach(self) -> None:
        if not self.is_reachable:
            raise TransportError("no node answers")

    def by(self, name: str, kind: str, **fields: object) -> str:
        """An event of a participant without a browser; the failure code."""
        return self.does(name, kind, **fields)


@dataclass
class At:
    """Somebody with a browser and a passkey."""

    browser: Browser
    device: Authenticator
    desk: "TradeRig"

    async def get(self, path: str, language: str = "en") -> httpx.Response:
        return await self.browser.web.get(path, headers={"accept": "text/html", "accept-language": language})

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        return await self.browser.form(path, **fields)

    async def draft(self, **body: Any) -> httpx.Response:
        return await self.browser.web.post("/trade/drafts", json=body, headers={"accept": "application/json"})

    async def record(self, step: str, **fields: Any) -> str:
        """Send a step's form; the record's id."""
        answer = await self.post(f"/trade/record/{step}", **fields)
        assert answer.status_code == 303, answer.text
        place = str(answer.headers["location"])
        assert place.startswith("/trade/sign/")
        return place.rsplit("/", 1)[1]

    async def sign(self, act_id: str) -> httpx.Response:
        """Sign an act, as the page's script does."""
        await self.browser.confirm(self.device)
        acts = self.desk.to_sign
        shown = acts.find(self.desk.office, self.browser.officer(), act_id).shown
        options = await self.browser.post(f"/acts/{act_id}/options", {"shown": shown})
        assert options.status_code == 200, options.text
        return await self.browser.post(f"/acts/{act_id}/verify", {"credential": self.device.get(options.json())})

    async def ceremony(self, path: str, page: httpx.Response) -> httpx.Response:
        """Sign what a page shows, at the addresses that its script asks."""
        await self.browser.confirm(self.device)
        shown = page.text.partition('data-digest="')[2].partition('"')[0]
        options = await self.browser.post(f"{path}/options", {"shown": shown})
        assert options.status_code == 200, options.text
        return await self.browser.post(f"{path}/verify", {"credential": self.device.get(options.json())})

    async def sign_again(self, act_id: str) -> httpx.Response:
        """Ask once more for what was signed."""
        shown = self.desk.to_sign.find(self.desk.office, self.browser.officer(), act_id).shown
        return await self.browser.post(f"/acts/{act_id}/options", {"shown": shown})

    async def act_of(self, record_id: str) -> str:
        """The act of a record, as its page offers it."""
        page = await self.get(f"/trade/sign/{record_id}")
        return page.text.partition('data-path="/acts/')[2].partition('"')[0]

    async def does(self, step: str, **fields: Any) -> httpx.Response:
        """Record a step and sign it; the record's page."""
        record_id = await self.record(step, **fields)
        signed = await self.sign(await self.act_of(record_id))
        assert signed.status_code == 200, signed.text
        return await self.get(f"/trade/records/{record_id}")


@dataclass
class TradeRig(Desk):
    """The service, its ledger, its people."""

    ledger: TradeLedger = None  # type: ignore[assignment]  # given by name; dataclasses want a default after defaults
    to_sign: Acts = None  # type: ignore[assignment]  # likewise
    boss: Browser | None = None

    async def somebody(self, organisation: str, role: Role) -> At:
        """Somebody who accepted an invitation."""
        if self.boss is None:
            self.boss, _ = await self.joined(first_link(self.office, "Li Wei", OFFICE, another=True))
        browser, device = await self.joined(invite(self.office, self.boss.officer(), "Zhang Min", organisation, role))
        return At(browser, device, self)

    async def trader(self, name: str) -> At:
        """Somebody of a participant, whose passkey the regulator gave to it."""
        who = await self.somebody(TRADERS[name][0], Role.TRADER)
        self.give_key(who, TRADERS[name][0])
        return who

    async def officer(self, role: Role = Role.SUPERVISOR, organisation: str = OFFICE) -> At:
        """Somebody of the regulator, whose passkey is its key."""
        who = await self.somebody(organisation, role)
        self.ledger.appoint(self.key_of(who), organisation)
        return who

    def whole(self, name: str) -> dict[str, Any]:
        """The one event of a participant that is kept, whole."""
        with self.store.read() as session:
            owner = find_owner(self.store, session, TRADERS[name][0])
            assert owner is not None
            ids = session.scalars(select(FoodCaptured.id)).all()
            (found,) = load_events(session, owner, ids).values()
            return found.event

    def digest(self, content: bytes) -> str:
        return sha256(content).hex()

    def text(self, content: bytes) -> str:
        return base64.b64encode(content).decode()

    def key_of(self, who: At) -> Signer:
        with self.store.read() as session:
            wanted = select(Passkey.public_key).where(Passkey.id == who.browser.officer().passkey_id)
            public_key = session.scalar(wanted)
        assert public_key is not None
        return Signer(Scheme.WEBAUTHN_ES256, public_key)

    def give_key(self, who: At, participant: str) -> None:
        self.ledger.give_key(self.key_of(who), participant)


@dataclass(frozen=True)
class Made:
    """A service before it is served."""

    store: Store
    office: Office
    ledger: TradeLedger
    acts: Acts
    parts: list[Part]


def trade_service(rig: Rig, address: Address) -> Made:
    """The service of food records with traders' and regulators' pages.

    Args:
        rig: Its databases and clock.
        address: Where it is reached.
    """
    store = rig.open(rig.settings())
    office = Office.of(store, address, rig.now)
    ledger = TradeLedger(rig)
    acts = Acts(ledger, [OWN])  # type: ignore[arg-type]  # its answers stand in for proven ones
    context = TraceContext(
        store=store,
        index=RunningIndex(ledger.engine, [FoodTables(), TradeTables()]),
        door=ledger,  # type: ignore[arg-type]  # it reads and submits
        genesis=ledger.genesis,
        genesis_raw=b"",
        trader_signer=lambda _gln: None,
        submit_key=OWN,
        address=address,
        settings=GENEROUS,
        now=rig.now,
    )
    standings = Standings(lambda: ledger, "", rig.now)  # type: ignore[arg-type,return-value]  # likewise

    async def start(app: Any) -> None:
        app.state.acts, app.state.standings = acts, standings

    async def stop(_app: Any) -> None:
        await standings.close()

    routers = [act_router(acts, acts, None, TRACE_SITE, None)]  # type: ignore[arg-type]  # nobody registers keys here
    parts = [
        start_part(),
        shell_part(TRACE_SITE),
        sign_in_part(store, address, TRACE_SITE, office=office),
        Part("acts", routers, start=start, stop=stop),
        trader_part(context),
        regulator_part(context, keeps_up=False),
    ]
    return Made(store, office, ledger, acts, parts)


@asynccontextmanager
async def trade_rig(rig: Rig) -> AsyncIterator[TradeRig]:
    rig.clock_ms = START_MS + 86_400_000
    made = trade_service(rig, ADDRESS)
    app = create_app(made.parts, GENEROUS, ADDRESS, secret=made.store.secret("http/trace"))
    try:
        async with app.router.lifespan_context(app):
            yield TradeRig(rig, made.store, app, made.office, ledger=made.ledger, to_sign=made.acts)
    finally:
        close_engine(made.ledger.engine)


__all__ = ["OFFICE", "At", "Made", "TradeLedger", "TradeRig", "gln", "trade_rig", "trade_service"]
