# SPDX-License-Identifier: Apache-2.0
"""Credit's services on a store of their own, with the real rules of the ledger and real proofs behind them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter
from sign_in_rig import ADDRESS, GENEROUS, Authenticator, Browser, Desk
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool
from store_rig import Rig

from chain.checkpoint import Checkpoint
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidSignature, Refused
from chain.genesis import Genesis
from chain.p256 import P256Signer
from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from chain.strict_json import Json, canonical
from chain.transaction import SignedTransaction, verify_signatures
from chain.types import Height, Millis, Network, sha256
from client.errors import TransportError
from credit.api.answering import Signing
from credit.api.base import CreditContext, Proof
from credit.api.desk_pages import CREDIT_SITE
from credit.api.holders import make_link, message_of
from credit.api.ledger import holder_of, is_member
from credit.api.notices import FetchedNotices
from credit.api.part import credit_part
from credit.api.reading import BENEFITS
from credit.api.requests import follow_requests
from credit.api.settling import settle
from credit.api.slot_index import SlotIndex, SlotSubscriber
from credit.api.subjects import Kind, add_subject, send_open
from credit.pb import credit_pb2 as pb
from identity.issuer_keys import KeySet
from identity.pb import identity_pb2
from identity.relying_rules import relying_party_key
from membership.pb import membership_pb2
from service.app import Part, create_app
from service.index import Event
from service.settings import Settings
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.part import sign_in_part
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.tables import Passkey
from service.store import Store
from sim.instant_ledger import InstantLedger
from tests.credit_rig import CreditRig
from tests.identity_rig import random_id
from tests.rig import NETWORK, START_MS, code_of, signer, transaction

DAY_MS = 86_400_000
ACTOR = "0" * 32
KEEPER = Ed25519Signer(sha256(b"the registrar's service"))
SOURCE_X = Ed25519Signer(sha256(b"source x"))
SOURCE_Y = Ed25519Signer(sha256(b"source y"))
SCORECARD: dict[str, Json] = {
    "base": 600,
    "min": 0,
    "max": 1_000,
    "grades": [["A", 720], ["B", 640], ["C", 500], ["D", 0]],
    "dimensions": [{"number": 1, "min": -300, "max": 0}, {"number": 2, "min": -50, "max": 200}],
    "open_pledges_max": 20,
    "classes": [
        {
            "class": 101,
            "dimension": 1,
            "points": {"minor": -20, "general": -60, "serious": -160},
            "decay": [[0, 100], [365, 50]],
        },
        {"class": 201, "dimension": 2, "points": {"open": 15, "kept": 40, "broken": -30}, "decay": [[0, 100]]},
        {"class": 301, "dimension": 2, "points": {"none": 70}, "decay": [[0, 100], [1_096, 0]]},
    ],
}


@dataclass(frozen=True)
class Executed:
    """What the ledger answers: a stand-in for a proven transaction, whose proof other tests hold."""

    transaction: SignedTransaction
    code: str
    height: int

    @property
    def failed(self) -> "Executed | None":
        return self if self.code else None

    @property
    def inclusion(self) -> "Executed":
        return self

    def receipt(self) -> bytes:
        return b"receipt " + self.transaction.id


class ServiceLedger(CreditRig):
    """Executes by the real rules, verifies each signature, proves state; can be out of reach, or fall silent."""

    def __init__(self, rig: Rig) -> None:
        self.rig: Rig | None = None
        super().__init__()
        self.rig = rig
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        SlotSubscriber.metadata.create_all(self.engine)
        self.is_reachable = True
        self.loses_answers = False
        self.done: dict[bytes, Executed] = {}
        self.sent: list[SignedTransaction] = []
        self.indexed_ms = 0
        self._instant = InstantLedger(("a", "b", "c", "d"), Millis(rig.clock_ms - 60_000))
        self._mirror: dict[bytes, bytes] = {}
        self._publish()

    @property
    def network(self) -> Network:
        return NETWORK

    @property
    def genesis_proven(self) -> Genesis:
        return self._instant.genesis

    @property
    def time_ms(self) -> int:
        return START_MS + self.height if self.rig is None else self.rig.clock_ms

    def add_key(self, organisation: str, key: Signer, *purposes: membership_pb2.Purpose.ValueType) -> None:
        named = ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(key.scheme), public_key=key.public_key)
        message = membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=named, purposes=purposes))
        self.salt += 1
        signed = transaction([message], [signer(f"{organisation}:govern"), key], self.time_ms + 10_000, self.salt)
        assert self.codes(signed) == [""]

    def register(self, organisation: str, **changes: Any) -> None:
        """An organisation as a relying party that may ask for each of credit's purposes, numbered from 11."""
        purposes = [
            identity_pb2.RelyingPurpose(
                number=10 + number,
                name_en=name,
                legal_basis="consent",
                attributes=[f"credit-{name}/grade", f"credit-{name}/report"],
                needs_consent=True,
                per_second_max=10,
            )
            for name, number in BENEFITS.items()
        ]
        terms = identity_pb2.RelyingTerms(purposes=purposes, valid_from_ms=1, valid_to_ms=1 << 50)
        fields = {"registrar": "org-r", "status": identity_pb2.PERSON_STATUS_ACTIVE, "version": 4, "terms": terms}
        record = identity_pb2.RelyingPartyRecord(**{**fields, **changes})
        self.state[relying_party_key(organisation)] = record.SerializeToString(deterministic=True)

    def enrol(self, count: int) -> None:
        """Living registrations, for so many logs."""
        for i in range(count):
            self.enrolled(person=random_id(f"resident {i}"))

    async def submit_one(self, transaction: SignedTransaction) -> Executed:
        self._reach()
        self.sent.append(transaction)
        if transaction.id not in self.done:
            try:
                verify_signatures(transaction, NETWORK)
            except InvalidSignature:
                raise Refused("a signature is wrong", "transaction.signature") from None
            if transaction.expires_at_ms < self.time_ms:
                raise Refused("it is too old", "transaction.expired")
            outcome = self.run(transaction)
            if not outcome.entries:
                raise Refused("no known key signs", "transaction.skipped")
            self.done[transaction.id] = Executed(transaction, code_of(outcome.entries[0]), self.height)
            self._index(transaction, self.done[transaction.id].code)
        if self.loses_answers:
            raise TransportError("the connection broke")
        return self.done[transaction.id]

    async def prove(self, keys: Sequence[bytes]) -> Proof:
        self._reach()
        instant = self._instant
        instant.checkpoint = replace(instant.checkpoint, time_ms=Millis(self.time_ms - 1_000))
        changed: dict[bytes, bytes | None] = {k: v for k, v in self.state.items() if self._mirror.get(k) != v}
        changed |= {k: None for k in self._mirror if k not in self.state}
        instant.append([], changed)
        self._mirror = dict(self.state)
        values = {key: self.state.get(key) for key in keys}
        return Proof(instant.receipt([], list(keys)), values, instant.checkpoint)

    async def newest(self) -> Checkpoint:
        self._reach()
        return replace(self._instant.checkpoint, height=Height(self.height), time_ms=Millis(self.time_ms))

    async def follow(self, height: int) -> bool:
        return height <= self.height

    async def organisation_of(self, key: Signer) -> str:
        holder = holder_of(self.state.get, key, self.time_ms)
        return holder if holder and is_member(self.state.get, holder) else ""

    async def has_role(self, organisation: str, role: str) -> bool:
        return is_member(self.state.get, organisation, role)

    def pass_blocks(self, milliseconds: int) -> None:
        """Let time pass, with an empty block at its end."""
        assert self.rig is not None
        self.rig.clock_ms += milliseconds
        self.indexed_ms = self.rig.clock_ms

    def pass_block(self) -> None:
        """An empty block, which the index takes in."""
        self.run()
        with self.engine.begin() as connection:
            SlotSubscriber().apply(connection, [SimpleNamespace(block=self.block)], [])  # type: ignore[list-item]  # all it looks at

    def _publish(self) -> None:
        """What the network published before the index began, and a scorecard."""
        assert self.code("org-c:attest", pb.PutScorecard(scorecard=1, version=1, document=canonical(SCORECARD))) == ""
        with self.engine.begin() as connection:
            for key, value in sorted(self.state.items()):
                parts = key.decode(errors="replace").split("/")
                if parts[:2] == ["credit", "class"] and len(parts) == 4:
                    self._apply(connection, "PutClass", value)
                if parts[:2] == ["credit", "source"]:
                    granted = pb.GrantSource(
                        organisation=parts[2], classes=pb.SourceRecord.FromString(value).classes
                    ).SerializeToString()
                    self._apply(connection, "GrantSource", granted)
            card = pb.PutScorecard(scorecard=1, version=1, document=canonical(SCORECARD)).SerializeToString()
            self._apply(connection, "PutScorecard", card)

    def _apply(self, connection: object, kind: str, body: bytes) -> None:
        event = Event(f"credit.{kind}", body, Height(1), Millis(1), 0, 0, bytes(32), (), "")  # type: ignore[arg-type]  # ids are bytes
        SlotSubscriber().apply(connection, [], [event])  # type: ignore[arg-type]  # an open connection

    def _index(self, done: SignedTransaction, code: str) -> None:
        events = [
            Event(one.type, one.body, Height(self.height), Millis(self.time_ms), 0, i, done.id, done.signers, code)
            for i, one in enumerate(done.operations)
        ]
        with self.engine.begin() as connection:
            SlotSubscriber().apply(connection, [SimpleNamespace(block=self.block)], events)  # type: ignore[list-item]  # all it looks at
        self.indexed_ms = self.time_ms

    def _reach(self) -> None:
        if not self.is_reachable:
            raise TransportError("no node answers")


class LedgerView:
    """The rig's ledger as services see it: its genesis is that of the proofs."""

    def __init__(self, ledger: ServiceLedger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, "genesis_proven" if name == "genesis" else name)


@dataclass
class CreditService:
    """The service, its ledger, its clock, people's keys."""

    rig: Rig
    store: Store
    ledger: ServiceLedger
    context: CreditContext
    subjects: list[str] = field(default_factory=list)

    async def open_log(self, number: str, name: str = "王芳", kind: Kind = Kind.PERSON) -> str:
        subject_id = add_subject(self.context, ACTOR, kind, number, name)
        assert await send_open(self.context, subject_id) == ""
        self.subjects.append(subject_id)
        return subject_id


def context_of(rig: Rig, store: Store, ledger: ServiceLedger) -> CreditContext:
    return CreditContext(
        store=store,
        index=SlotIndex(ledger.engine),
        ledger=LedgerView(ledger),  # type: ignore[arg-type]  # it stands in for the ledger
        service_key=KEEPER,
        issuing=None,
        origin=ADDRESS.public_origin,
        notices=FetchedNotices(),
        now=rig.now,
        tick_ms=0,
    )


@dataclass
class CreditDesk(Desk):
    """The service over HTTP, with officers' and holders' browsers before it."""

    service: CreditService = None  # type: ignore[assignment]  # given by name; dataclasses want a default after defaults
    to_sign: Acts = None  # type: ignore[assignment]  # likewise
    bosses: dict[str, Browser] = field(default_factory=dict)

    async def officer(self, organisation: str, role: Role, name: str = "Zhang Min") -> "At":
        """Somebody with a passkey that the ledger knows."""
        if organisation not in self.bosses:
            link = first_link(self.office, f"Boss of {organisation}", organisation, another=True)
            self.bosses[organisation], _ = await self.joined(link)
        link = invite(self.office, self.bosses[organisation].officer(), name, organisation, role)
        browser, device = await self.joined(link)
        with self.store.read() as session:
            query = select(Passkey.public_key).where(Passkey.id == browser.officer().passkey_id)
            public_key = session.scalar(query)
        assert public_key is not None
        key = Signer(Scheme.WEBAUTHN_ES256, public_key)
        submit, attest = membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST
        self.service.ledger.add_key(organisation, key, submit, attest)
        return At(browser, device, self)

    async def holder(self, subject_id: str) -> "HolderAt":
        """A browser whose key a subject's log was bound to."""
        token = make_link(self.service.context, ACTOR, "org-r", subject_id)
        at = HolderAt(self.browser(), P256Signer(ec.generate_private_key(ec.SECP256R1())), self.service.context)
        answer = await at.enter("join", token=token)
        assert answer.status_code == 200, answer.text
        return at


@dataclass
class At:
    """An officer at their page."""

    browser: Browser
    device: Authenticator
    desk: CreditDesk

    @property
    def signing(self) -> Signing:
        return Signing(self.desk.service.context, self.desk.office, self.desk.to_sign, self.browser.officer())

    async def sign(self, act_id: str) -> httpx.Response:
        """Read an act and sign it with the passkey, as the page's script does."""
        await self.browser.confirm(self.device)
        shown = self.desk.to_sign.find(self.desk.office, self.browser.officer(), act_id).shown
        options = await self.browser.post(f"/acts/{act_id}/options", {"shown": shown})
        assert options.status_code == 200, options.text
        return await self.browser.post(f"/acts/{act_id}/verify", {"credential": self.device.get(options.json())})

    async def get(self, path: str, language: str = "en") -> httpx.Response:
        return await self.browser.web.get(path, headers={"accept": "text/html", "accept-language": language})

    async def post(self, path: str, **fields: str) -> httpx.Response:
        await self.browser.confirm(self.device)
        return await self.browser.form(path, **fields)

    async def post_and_sign(self, path: str, **fields: str) -> None:
        """Send a form that prepares an act, and sign it."""
        answer = await self.post(path, **fields)
        assert answer.status_code == 303, answer.text
        done = await self.sign(answer.headers["location"].rpartition("/")[2])
        assert done.status_code == 200, done.text
        settle(self.desk.service.context)
        follow_requests(self.desk.service.context)


@dataclass
class HolderAt:
    """Somebody at their own page."""

    browser: Browser
    key: P256Signer
    context: CreditContext

    async def enter(self, what: str, **more: str) -> httpx.Response:
        """Join or sign in, as the page's script does."""
        nonce = (await self.browser.post("/me/nonce")).json()["nonce"]
        message = message_of(self.context, what, nonce)  # type: ignore[arg-type]  # one of two
        body = {
            "public_key": self.key.signer.public_key.hex(),
            "nonce": nonce,
            "signature": self.key.sign(message).hex(),
        }
        return await self.browser.post(f"/me/{what}", {**body, **more})

    async def get(self, path: str, language: str = "en") -> httpx.Response:
        return await self.browser.web.get(path, headers={"accept": "text/html", "accept-language": language})

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the token of the own page."""
        page = await self.browser.web.get("/me/readers", headers={"accept": "text/html"})
        token = page.text.partition('name="csrf_token" value="')[2][:64]
        return await self.browser.web.post(
            path, data={"csrf_token": token, **fields}, headers={"accept": "text/html", "accept-language": "en"}
        )


@asynccontextmanager
async def credit_desk(
    rig: Rig,
    *,
    logs: int = 4,
    issuing: KeySet | None = None,
    more: Sequence[Part] = (),
    settings: Settings = GENEROUS,
) -> AsyncIterator[CreditDesk]:
    with credit_service(rig, logs=logs) as service:
        store, ledger = service.store, service.ledger
        office = Office.of(store, ADDRESS, rig.now)
        acts = Acts(ledger, (KEEPER,))  # type: ignore[arg-type]  # its answers stand in for proven ones
        routers: list[APIRouter] = [act_router(acts, acts, None, CREDIT_SITE, None)]  # type: ignore[arg-type]  # nobody registers keys here

        async def start(app: object) -> None:
            app.state.acts = acts  # type: ignore[attr-defined]

        parts = [
            shell_part(CREDIT_SITE),
            sign_in_part(store, ADDRESS, CREDIT_SITE, office=office),
            Part("acts", routers, start=start),
            credit_part(
                store,
                ledger.engine,
                LedgerView(ledger),  # type: ignore[arg-type]  # it stands in for the ledger
                ADDRESS.public_origin,
                service_key=KEEPER,
                issuing=issuing,
                now=rig.now,
                keeps_up=False,
                tick_ms=0,
            ),
            *more,
        ]
        app = create_app(parts, settings, ADDRESS, secret=store.secret("http/credit"))
        async with app.router.lifespan_context(app):
            service.context = app.state.credit
            yield CreditDesk(rig, store, app, office, service=service, to_sign=acts)


@contextmanager
def credit_service(rig: Rig, *, logs: int = 4) -> Iterator[CreditService]:
    rig.clock_ms = START_MS + DAY_MS * 1_100
    ledger = ServiceLedger(rig)
    attest, submit = membership_pb2.PURPOSE_ATTEST, membership_pb2.PURPOSE_SUBMIT
    ledger.add_key("org-r", KEEPER.signer, submit)
    ledger.add_key("org-x", SOURCE_X.signer, attest)
    ledger.add_key("org-y", SOURCE_Y.signer, attest)
    ledger.enrol(logs)
    ledger.register("org-y")
    store = rig.open(rig.settings())
    yield CreditService(rig, store, ledger, context_of(rig, store, ledger))
