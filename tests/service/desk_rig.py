# SPDX-License-Identifier: Apache-2.0
"""The desk on a store of its own, with the real rules of the ledger behind it and officers' browsers before it."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import httpx
from fastapi import APIRouter
from PIL import Image
from sign_in_rig import ADDRESS, GENEROUS, Authenticator, Browser, Desk
from store_rig import Rig

from chain.errors import InvalidSignature, Refused
from chain.pb import ledger_pb2
from chain.signing import TransactionSigner
from chain.transaction import SignedTransaction, verify_signatures
from chain.types import Network
from cli.scenes.residents import Resident, residents
from client.errors import TransportError
from identity.api.desk.base import DeskContext, Proven
from identity.api.desk.deciding import Signing
from identity.api.desk.offer_pages import offers_part
from identity.api.desk.part import DESK_SITE, desk_part
from identity.api.desk.tables import DeskCase
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person
from membership.pb import membership_pb2
from service.app import Part, create_app
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.part import sign_in_part
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.staff_cards import StaffCards
from tests.identity_rig import IdentityRig, number
from tests.rig import NETWORK, START_MS, code_of, signer, transaction

REGISTRAR = "org-r"
ISSUER = "https://issuer.example.org"
DUTIES = {Role.CLERK: [pb.DUTY_ENROL], Role.APPROVER: [pb.DUTY_CONFIRM], Role.SUPERVISOR: [pb.DUTY_CONFIRM]}


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


class RuledLedger(IdentityRig):
    """Executes by the real rules and verifies each signature; can be out of reach."""

    def __init__(self, rig: Rig) -> None:
        self.rig: Rig | None = None
        super().__init__()
        self.rig = rig
        self.is_reachable = True
        self.done: dict[bytes, Executed] = {}
        self.sent: list[SignedTransaction] = []

    @property
    def network(self) -> Network:
        return NETWORK

    @property
    def time_ms(self) -> int:
        return START_MS + self.height if self.rig is None else self.rig.clock_ms

    async def submit_one(self, transaction: SignedTransaction) -> Executed:
        self._reach()
        self.sent.append(transaction)
        if transaction.id not in self.done:
            try:
                verify_signatures(transaction, NETWORK)
            except InvalidSignature:
                raise Refused("a signature is wrong", "transaction.signature") from None
            outcome = self.run(transaction)
            if not outcome.entries:
                raise Refused("no known key signs", "transaction.skipped")
            self.done[transaction.id] = Executed(transaction, code_of(outcome.entries[0]))
        return self.done[transaction.id]

    async def read(self, keys: Sequence[bytes]) -> Proven:
        self._reach()
        return Proven({key: self.state.get(key) for key in keys}, self.time_ms)

    def _reach(self) -> None:
        if not self.is_reachable:
            raise TransportError("no node answers")

    def status(self, registration: bytes) -> int:
        record = load_person(self.state.get, registration)
        return 0 if record is None else record.status


@dataclass(frozen=True)
class KnownTag:
    version: int
    value: bytes
    previous: bytes | None = None


@dataclass
class KnownTagger:
    """A uniqueness service whose key is known; it registers with the ledger under its own organisation's key."""

    ledger: RuledLedger
    is_reachable: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    registered: dict[bytes, bytes] = field(default_factory=dict)

    async def tag(self, number_kind: str, number: str) -> KnownTag:
        if not self.is_reachable:
            raise TransportError("the uniqueness service is away")
        self.asked.append((number_kind, number))
        return KnownTag(1, hmac.digest(b"k" * 32, f"{number_kind}|{number}".encode(), hashlib.sha256))

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        tag = await self.tag(number_kind, number)
        if self.registered.get(tag.value) == holder:
            return
        message = pb.RegisterTag(key_version=1, tag=tag.value, registrar=registrar, holder=holder)
        code = self.ledger.code("org-u:attest", message)
        if code:
            raise Refused("the rules refuse it", code)
        self.registered[tag.value] = holder

    async def release(self, number_kind: str, number: str) -> None:
        tag = await self.tag(number_kind, number)
        code = self.ledger.code("org-u:attest", pb.ReleaseTag(key_version=1, tag=tag.value))
        if code:
            raise Refused("the rules refuse it", code)
        self.registered.pop(tag.value, None)


@dataclass
class At:
    """An officer at the desk."""

    browser: Browser
    device: Authenticator
    desk: "DeskRig"

    @property
    def signing(self) -> Signing:
        return Signing(self.desk.context, self.desk.office, self.desk.to_sign, self.browser.officer())

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
        return await self.browser.form(path, **fields)


@dataclass
class DeskRig(Desk):
    """The desk's service, its ledger, its officers."""

    ledger: RuledLedger = None  # type: ignore[assignment]  # given by name; dataclasses want a default after defaults
    tagger: KnownTagger = None  # type: ignore[assignment]  # likewise
    to_sign: Acts = None  # type: ignore[assignment]  # likewise
    boss: Browser | None = None

    @property
    def context(self) -> DeskContext:
        found: DeskContext = self.app.state.desk
        return found

    async def officer(self, role: Role = Role.CLERK, name: str = "Zhang Min", person: str = "") -> At:
        """Somebody with a passkey that the ledger knows and, if their role signs, that was appointed."""
        if self.boss is None:
            self.boss, _ = await self.joined(first_link(self.office, "Li Wei", REGISTRAR, another=True))
        browser, device = await self.joined(invite(self.office, self.boss.officer(), name, REGISTRAR, role))
        if role in DUTIES:
            self.appoint(browser, DUTIES[role], person or f"{name} {role} {len(self.clients)} {browser.token}")
        return At(browser, device, self)

    def appoint(self, browser: Browser, duties: list[int], person: str) -> None:
        own = browser.officer().signer
        key = ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(own.scheme), public_key=own.public_key)
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        grant = membership_pb2.KeyGrant(key=key, purposes=purposes)
        officer = pb.AppointOfficer(
            key=key, officer=number(person), duties=[pb.Duty.ValueType(duty) for duty in duties]
        )
        signers = [signer(f"{REGISTRAR}:govern"), own]
        self.ledger.salt += 1
        added = transaction(
            [membership_pb2.AddKey(key=grant), officer], signers, self.ledger.time_ms + 10_000, self.ledger.salt
        )
        assert self.ledger.codes(added) == [""]

    def case(self, case_id: str) -> DeskCase:
        with self.store.read() as session:
            found = session.get(DeskCase, case_id)
            assert found is not None
            return found

    def case_state(self, case_id: str) -> str:
        return self.case(case_id).state


@asynccontextmanager
async def desk_rig(
    rig: Rig, *, tags: bool = True, service_key: TransactionSigner | None = None, cards: StaffCards | None = None
) -> AsyncIterator[DeskRig]:
    rig.clock_ms = START_MS + 86_400_000 * 1_100
    store = rig.open(rig.settings())
    office = Office.of(store, ADDRESS, rig.now, cards=cards)
    ledger = RuledLedger(rig)
    tagger = KnownTagger(ledger)
    acts = Acts(ledger)  # type: ignore[arg-type]  # its answers stand in for proven ones
    routers: list[APIRouter] = [act_router(acts, acts, None, DESK_SITE, None)]  # type: ignore[arg-type]  # nobody registers keys here

    async def start(app: object) -> None:
        app.state.acts = acts  # type: ignore[attr-defined]

    parts = [
        shell_part(DESK_SITE),
        sign_in_part(store, ADDRESS, DESK_SITE, office=office),
        Part("acts", routers, start=start),
        desk_part(
            store,
            ledger=ledger,  # type: ignore[arg-type]  # its answers stand in for proven ones
            tagger=tagger if tags else None,
            service_key=service_key,
            now=rig.now,
            keeps_up=False,
        ),
        offers_part(ISSUER),
    ]
    app = create_app(parts, GENEROUS, ADDRESS, secret=store.secret("http/desk"))
    async with app.router.lifespan_context(app):
        yield DeskRig(rig, store, app, office, ledger=ledger, tagger=tagger, to_sign=acts)


def resident(index: int = 0) -> Resident:
    """Somebody synthetic."""
    return list(residents(index + 1, 11))[index]


def form(one: Resident, **changes: str) -> dict[str, str]:
    """What a clerk types about a resident."""
    fields = {
        "document": "resident-card",
        "number": one.id_number,
        "name": one.name,
        "sex": "",
        "born": "",
        "address": "佛山市禅城区同济西路 9 号",
        "phone": "13900001234",
        "document_until": "",
        "method": "document-inspected",
    }
    return fields | changes


def picture(kind: str = "JPEG", size: tuple[int, int] = (640, 480), **options: object) -> bytes:
    made = BytesIO()
    Image.new("RGB", size, (120, 30, 60)).save(made, kind, **options)
    return made.getvalue()
