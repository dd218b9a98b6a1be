# SPDX-License-Identifier: Apache-2.0
"""A kiosk with an emulated card, clocks that a test turns, its office on a store, and the ledger's real rules."""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk_cards_rig import ORGANISATION, OWN_PIN, CardsRig
from fastapi import FastAPI
from store_rig import Rig

from chain.p256 import P256Signer
from chain.types import sha256
from cli.scenes.kiosk import Line
from identity.api.desk import legal, mandates
from identity.api.desk.details import Details, Method
from identity.api.desk.legal import Particulars
from identity.api.desk.mandates import Terms
from identity.api.desk.tables import DeskPerson
from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.base import (
    Attested,
    Bill,
    Filed,
    OfficeAway,
    OfficeRefused,
    PhoneQuestion,
    Phones,
    PhoneState,
    ProvenValue,
    Receipt,
)
from identity.api.kiosk.boxes import Signed, seal
from identity.api.kiosk.equipment import Equipment
from identity.api.kiosk.journal import Journal
from identity.api.kiosk.office import KioskDesk
from identity.api.kiosk.office_client import HttpOffice, LocalOffice
from identity.api.kiosk.office_part import office_part
from identity.api.kiosk.office_people import Judge
from identity.api.kiosk.pages import SITE
from identity.api.kiosk.paper_way import PaperWay
from identity.api.kiosk.papers import Papers
from identity.api.kiosk.part import kiosk_part
from identity.api.kiosk.phone import confirmed_of
from identity.api.kiosk.reader import CardSlot, EmulatedSlot
from identity.api.kiosk.session import State
from identity.api.kiosk.statements import Kind, Statement, make
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.cards.verifying import Chain
from identity.commitments import anchor_of
from identity.devices import DEVICE_LIFETIME_MS_MAX
from identity.documents import DocumentKind
from identity.liveness import Provider
from identity.pb import identity_pb2 as pb
from membership.state import signer_pb
from service.app import Part, create_app
from service.settings import Address, local_address, parse_settings
from service.shell import shell_part
from service.sign_in.roles import Role
from sim.instant_ledger import InstantLedger
from tests.rig import Shell, signer, transaction

PHONE = "13900001234"
LIVENESS = "example-vendor/active-3.2"
NAME = "陈小明"
ADDRESS_FIELDS = {"district": "祖庙街道", "plate": "440604001002003", "room": "1203"}
SMALL = Bill("B-1", "佛山市税务局禅城区税务分局", "城乡居民医疗保险 2027 年度", 40_000)
LARGE = Bill("B-2", "禅城区不动产登记中心", "契税", 1_250_000)
COMPANY = Particulars("91110000600037341L", "佛山某某食品有限公司", "Foshan Food Ltd", "李卫", "440604197501010019")
DAY_MS = 86_400_000


@dataclass
class RuledStates:
    """State of the rules, as the kiosk reads it; can be out of reach."""

    cards: CardsRig
    is_reachable: bool = True

    async def read(self, keys: Sequence[bytes]) -> Mapping[bytes, ProvenValue]:
        if not self.is_reachable:
            raise OfficeAway("no node answers")
        rules = self.cards.rules
        return {
            key: ProvenValue(rules.state.get(key), rules.time_ms, rules.height, b"receipt of " + key) for key in keys
        }


@dataclass
class ProvingStates:
    """State of the rules with receipts that count, for papers whose codes are to be checked."""

    cards: CardsRig
    ledger: InstantLedger = field(default_factory=lambda: InstantLedger(("a", "b", "c", "d")))

    async def read(self, keys: Sequence[bytes]) -> Mapping[bytes, ProvenValue]:
        values = {key: self.cards.rules.state.get(key) for key in keys}
        self.ledger.append([], values)
        proof = self.ledger.receipt([], sorted(keys))
        return {
            key: ProvenValue(value, self.cards.rules.time_ms, self.cards.rules.height, proof)
            for key, value in values.items()
        }


@dataclass
class LooseOffice(Line):
    """The real office on a line that a test cuts, before or after the office has heard."""

    loses_answers: bool = False

    async def file(self, stream: bytes, sealed: str) -> Filed:
        filed = await super().file(stream, sealed)
        if self.loses_answers:
            raise OfficeAway("the answer was lost")
        return filed


@dataclass
class TestPrinter:
    """Prints what it was given, as bytes."""

    __test__ = False
    receipts: list[Receipt] = field(default_factory=list)
    certificates: list[Attested] = field(default_factory=list)

    def receipt(self, receipt: Receipt) -> bytes:
        self.receipts.append(receipt)
        return b"%PDF receipt"

    def certificate(self, attested: Attested, language: str) -> bytes:
        self.certificates.append(attested)
        return b"%PDF certificate " + language.encode()


@dataclass
class HeldPhone:
    """A holder's phone that says what a test wants."""

    state: PhoneState = PhoneState.OPEN
    person: str = ""
    asked: list[tuple[bytes, Mapping[str, str] | None]] = field(default_factory=list)

    async def ask(self, message: bytes, confirmed: Mapping[str, str] | None) -> PhoneQuestion:
        self.asked.append((message, confirmed))
        return PhoneQuestion("q1", "openid4vp://?client_id=x&request_uri=y")

    async def outcome(self, question_id: str) -> tuple[PhoneState, str]:
        assert question_id == "q1"
        return self.state, self.answer(*self.asked[-1]) if self.state is PhoneState.CONFIRMED else ""

    def answer(self, message: bytes, confirmed: Mapping[str, str] | None) -> str:
        """What stands for a verifier's signed answer: to what, and whose."""
        return f"{sha256(message + repr(confirmed).encode()).hex()}.{self.person}"


class TestJudge:
    """Takes what `HeldPhone` answers for signed."""

    __test__ = False

    def pseudonym(self, message: bytes, confirmed: Mapping[str, str] | None, answer: str) -> str:
        digest, _, person = answer.partition(".")
        return person if digest == sha256(message + repr(confirmed).encode()).hex() else ""

    def is_of(self, person_id: str, pseudonym: str) -> bool:
        return person_id == pseudonym

    def confirms(self, person_id: str, stated: Statement, answer: str) -> bool:
        return self.pseudonym(stated.message, confirmed_of(stated), answer) == person_id


@dataclass
class KioskRig:
    """All of it. `slot` is where cards go in; `monotonic_ms` is the kiosk's own clock, unless it `is_live`."""

    rig: Rig
    folder: Path
    slot: CardSlot = field(default_factory=EmulatedSlot)
    bills: list[Bill] = field(default_factory=lambda: [SMALL, LARGE])
    phones: Phones | None = field(default_factory=HeldPhone)
    judge: Judge = field(default_factory=TestJudge)
    monotonic_ms: int = 1_000_000
    is_live: bool = False
    people: int = 0
    number: str = ""
    regular: tuple[str, str, EmulatedCard] | None = None
    papers: "Callable[[KioskRig], Papers] | None" = None
    liveness: Provider | None = None
    paper: PaperWay | None = None

    def __post_init__(self) -> None:
        self.cards = CardsRig(self.rig)
        self.cards.stock(40)
        self.cards.desk = replace(self.cards.desk, service_key=Shell(signer("desk")))
        self.device = P256Signer(ec.derive_private_key(77, ec.SECP256R1()))
        self.register()
        self.states = RuledStates(self.cards)
        self.desk = KioskDesk(
            lambda: self.cards.desk,
            lambda _person: tuple(self.bills),
            self.judge,
            None if self.papers is None else self.papers(self),
            frozenset({LIVENESS}),
        )
        self.office = LooseOffice(LocalOffice(self.desk, self.device))
        self.printer = TestPrinter()
        self.kiosk = self.started()

    def started(self) -> Kiosk:
        """A kiosk's process, new or after a loss of power: of the one before it has the folder alone."""
        if isinstance(self.slot, EmulatedSlot):
            self.slot.remove()
        self.printer.receipts.clear()
        self.printer.certificates.clear()
        self.kiosk = Kiosk(
            Equipment(
                slot=self.slot,
                chains=[self.chain()],
                device=self.device,
                office=self.office,
                states=self.states,
                journal=Journal(self.folder / "kiosk"),
                printer=self.printer,
                phones=self.phones,
                now_ms=lambda: self.rig.clock_ms,
                monotonic_ms=lambda: time.monotonic_ns() // 1_000_000 if self.is_live else self.monotonic_ms,
                takes_emulated=True,
                liveness=self.liveness,
                paper=self.paper,
            )
        )
        return self.kiosk

    def chain(self) -> Chain:
        found = self.cards.shop.chain
        assert found is not None
        return found

    def register(self) -> None:
        """The registrar registers the kiosk; its governing key and the device's own sign."""
        rules = self.cards.rules
        message = pb.RegisterDevice(
            key=signer_pb(self.device.signer),
            kind=pb.DEVICE_KIND_KIOSK,
            place_zh="季华五路 24 小时自助区 07 号机",
            place_en="Jihua 5th Road, kiosk 07",
            valid_to_ms=rules.time_ms + DEVICE_LIFETIME_MS_MAX - DAY_MS,
        )
        rules.salt += 1
        signers = [signer(f"{ORGANISATION}:govern"), self.device.signer]
        assert rules.codes(transaction([message], signers, rules.time_ms + 10_000, rules.salt)) == [""]

    def device_status(self, status: int) -> None:
        """The registrar suspends, reinstates or revokes the kiosk."""
        message = pb.SetDeviceStatus(
            key=signer_pb(self.device.signer), status=pb.Status.ValueType(status), reason=pb.REASON_KEY_COMPROMISED
        )
        assert self.cards.rules.code(f"{ORGANISATION}:govern", message) == ""

    def person(self, name: str = NAME) -> str:
        """Somebody registered with all that a kiosk shows; `number` is their document's."""
        self.people += 1
        self.number = f"H{self.people:08d}"
        number = self.number
        person_id = self.cards.person(name, number)
        people = self.cards.store.people
        details = Details(
            DocumentKind.RESIDENT_CARD,
            number,
            name,
            "1949-12-31",
            address="佛山市禅城区同济西路 9 号",
            method=Method.CHIP,
        )
        with self.cards.store.write() as session:
            row = session.query(DeskPerson).filter_by(person_id=person_id).one()
            people.seal(session, row, DeskPerson.details, details.encode())
            people.seal(session, row, DeskPerson.phone, PHONE)
        return person_id

    def holder(self, *, other: bool = False) -> tuple[str, str, EmulatedCard]:
        """Somebody with a card in use: ids of person and card, and the card.

        The same person each time, since making a card takes a second; a test that stops or swaps one wants another.
        """
        if self.regular is None or other:
            person_id = self.person()
            made = (person_id, *self.cards.active(person_id))
            if other:
                return made
            self.regular = made
        return self.regular

    async def mandated(self, person_id: str, **changes: object) -> str:
        """A company's mandate for somebody, accepted by both sides; its id in the desk's store."""
        desk, cards = self.cards.desk, self.cards
        company_id = legal.draft(desk, cards.clerk, COMPANY)

        def opened() -> legal.Opened:
            with cards.store.read() as session:
                return legal.open_company(desk, session, ORGANISATION, company_id)

        assert cards.act(Role.CLERK, legal.proposal(opened())[0]) == ""
        record = await legal.on_ledger(desk, COMPANY.uscc)
        assert cards.act(Role.APPROVER, legal.confirmation(opened(), record)[0]) == ""
        legal.observe(desk, ORGANISATION, company_id, await legal.on_ledger(desk, COMPANY.uscc))
        fields: dict[str, object] = {
            "kind": "company",
            "principal": COMPANY.uscc,
            "agent": person_id,
            "scopes": ["business-register"],
            "powers": ["sign"],
            "amount_fen_max": 0,
            "valid_from_ms": self.rig.clock_ms - DAY_MS,
            "valid_to_ms": self.rig.clock_ms + 30 * DAY_MS,
            "may_delegate": False,
            "document": "董事会决议 3",
        }
        row_id = mandates.draft(desk, cards.clerk, Terms(**{**fields, **changes}))  # type: ignore[arg-type]  # a test's
        with cards.store.read() as session:
            row = mandates.own(session, ORGANISATION, row_id)
            content, slips = mandates.content_of(desk, session, row), dict(mandates.slips(desk, session, row))
        assert cards.act(Role.CLERK, mandates.grant(content, "M-1")[0]) == ""
        for side, secret in slips.items():
            which = pb.SIDE_PRINCIPAL if side == "principal" else pb.SIDE_AGENT
            accept = pb.AcceptMandate(id=bytes.fromhex(content.id), side=which, proof=anchor_of(secret.raw))
            assert cards.rules.code("desk@p256", accept) == ""
        mandates.observe(desk, ORGANISATION, row_id, await mandates.on_ledger(desk, content))
        return content.id

    # ---------------------------------------------------------------- what a holder does

    async def pass_s(self, seconds: float = 1) -> None:
        """Time goes by, and the kiosk looks."""
        self.monotonic_ms += int(seconds * 1000)
        await self.kiosk.tick()

    async def insert(self, chip: EmulatedCard) -> None:
        """Put a card in."""
        if self.kiosk.licence.registered is None:
            await self.kiosk.tick()
        assert isinstance(self.slot, EmulatedSlot)
        self.slot.insert(chip)
        await self.pass_s()

    async def remove(self) -> None:
        """Take the card out."""
        assert isinstance(self.slot, EmulatedSlot)
        self.slot.remove()
        await self.pass_s()

    async def log_in(self, chip: EmulatedCard, pin: str = OWN_PIN) -> None:
        """Put a card in and enter its PIN."""
        await self.insert(chip)
        await self.kiosk.enter_pin(self.turn, pin)

    @property
    def turn(self) -> str:
        return self.kiosk.session.turn

    @property
    def state(self) -> State:
        return self.kiosk.session.state

    async def stated(self, kind: Kind, fields: Mapping[str, str]) -> None:
        """Choose and state something; it is to be confirmed."""
        self.kiosk.choose(self.turn, kind)
        await self.kiosk.state(self.turn, fields, "zh-CN")

    async def address_signed(self, chip: EmulatedCard) -> None:
        """All the way to the receipt of a change of address."""
        await self.log_in(chip)
        await self.stated(Kind.ADDRESS, ADDRESS_FIELDS)
        await self.kiosk.sign(self.turn, OWN_PIN)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Screen"]:
        """The kiosk's pages."""
        app = create_app(
            [replace(shell_part(SITE), start=None), kiosk_part(self.kiosk, tick_ms=0)],  # it compiles other pages, too
            parse_settings("", {}),
            local_address("kiosk", "127.0.0.1:8809"),
            secret=bytes(32),
        )
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost:8809") as web,
        ):
            yield Screen(self, web)

    @asynccontextmanager
    async def office_over_http(self) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """The office as the desk's service has it; the kiosk asks it over HTTP from here on."""

        async def start(app: FastAPI) -> None:
            app.state.desk = self.cards.desk

        address = Address("desk", "127.0.0.1:8803", "http://localhost:8803")
        parts = [Part("desk", start=start), self._office_part()]
        app = create_app(parts, parse_settings("", {}), address, secret=bytes(32))
        before, transport = self.office, httpx.ASGITransport(app)
        async with app.router.lifespan_context(app):
            self.office = HttpOffice(
                "http://localhost:8803", self.device, now_ms=lambda: self.rig.clock_ms, transport=transport
            )
            self.started()
            yield transport
        self.office = before

    def _office_part(self) -> Part:
        own = self.desk._papers
        papers = None if own is None else lambda _app: own
        return office_part(lambda _person: tuple(self.bills), self.judge, papers, frozenset({LIVENESS}))

    def disk(self) -> bytes:
        """All that the kiosk has on its disk."""
        return b"".join(path.read_bytes() for path in (self.folder / "kiosk").rglob("*") if path.is_file())


def signed_by(
    kiosk: KioskRig, chip: EmulatedCard, kind: Kind, fields: Mapping[str, str], **changes: Any
) -> tuple[bytes, str]:
    """A statement that a card signed for a kiosk with a mind of its own: its stream, and what goes to the office.

    Args:
        kiosk: Where.
        chip: Whose.
        kind: What is stated.
        fields: Of the kind.
        changes: What the kiosk made of the statement before it was signed.
    """
    place = "季华五路 24 小时自助区 07 号机"
    device = kiosk.device.signer.public_key
    stated = make(kind, fields, language="zh-CN", device=device, place=place, now_ms=kiosk.rig.clock_ms)
    stated = replace(stated, **changes)
    piv = Piv(chip)
    chip.insert()
    piv.select()
    piv.verify_pin(OWN_PIN)
    signature = piv.sign(Slot.SIGN, sha256(stated.message))
    guid = piv.guid()
    assert guid is not None
    signed = Signed(stated, signature, piv.certificate(Slot.SIGN) or b"", guid)
    return stated.stream_bytes, seal(signed, kiosk.desk.box_key())


async def refusal(kiosk: KioskRig, stream: bytes, sealed: str) -> str:
    """With which code the office refuses a statement."""
    with pytest.raises(OfficeRefused) as refused:
        await kiosk.office.file(stream, sealed)
    return refused.value.code


@dataclass
class Screen:
    """The kiosk's own browser."""

    rig: KioskRig
    web: httpx.AsyncClient

    async def see(self, language: str = "en", path: str = "/") -> str:
        response = await self.web.get(path, headers={"accept": "text/html", "accept-language": language})
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        return response.text

    async def touch(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the page that is shown."""
        page = (await self.web.get("/" if path != "/lost" else "/lost", headers={"accept": "text/html"})).text
        token = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
        form = {"turn": self.rig.turn, "csrf_token": token.group(1) if token else ""} | fields
        headers = {"origin": "http://localhost:8809", "accept": "text/html", "accept-language": "en"}
        return await self.web.post(path, data=form, headers=headers)
