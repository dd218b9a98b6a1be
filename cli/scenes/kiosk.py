# SPDX-License-Identifier: Apache-2.0
"""The scene `kiosk`: somebody with a card at a kiosk, without a screen; the office behind it; the ledger that proves.

The kiosk is the one of `zhixin serve kiosk`, with a card that is emulated in this process; the office is in the same
process, too. What is printed is checked here as a phone does it, with the receipt and the genesis file alone.
"""

import time
from dataclasses import dataclass, replace
from secrets import randbelow

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chain import p256
from chain.errors import InvalidSignature
from chain.p256 import P256Signer
from chain.receipt import verify as verify_receipt
from cli.language import LANGUAGES, catalogue, t
from cli.scenes import residents
from cli.scenes.admitting import code_of
from cli.scenes.identity_desk import SceneDesk, open_desk
from cli.scenes.kiosk_people import COMPANY, PIN, KioskHolder, arrive, mandate
from cli.scenes.stage import Stage
from client.session import Session
from identity.api.desk.cards_life import CardState
from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.base import Bill, CardProof, Filed, Holder, OfficeAway, PhoneProof, Receipt
from identity.api.kiosk.equipment import Equipment
from identity.api.kiosk.journal import Journal
from identity.api.kiosk.ledger import SessionStates
from identity.api.kiosk.office import KioskDesk
from identity.api.kiosk.office_client import LocalOffice
from identity.api.kiosk.papers import Papers
from identity.api.kiosk.printing import PaperPrinter
from identity.api.kiosk.reader import EmulatedSlot
from identity.api.kiosk.session import IDLE_MS_MAX, State, Visit
from identity.api.kiosk.standing import LOOK_MS, Standing
from identity.api.kiosk.statements import Kind
from identity.cards.authority import compressed_key, load_certificate
from identity.cards.profile import seconds
from identity.devices import DEVICE_LIFETIME_MS_MAX
from identity.jose import MemorySigner
from identity.pades.seals import DocumentSeal, make_certificates, organisation_of
from identity.pades.time_stamps import TimeStampAuthority, make_certificate
from identity.pades.verifying import Trust, verify_pdf
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person
from membership.pb import membership_pb2
from membership.state import signer_pb
from node.testnet import REGISTRAR
from service.language import Language
from service.store.replays import unix_ms

BILLS = (
    Bill("YB-2027-0001", "佛山市税务局禅城区税务分局", "城乡居民医疗保险 2027 年度", 40_000),
    Bill("QS-2026-0417", "禅城区不动产登记中心", "契税", 1_250_000),
)
ADDRESS = {"district": "祖庙街道", "plate": "440604001002003", "room": "1203"}
CHECK_URL = "http://localhost:8801/check"
SEAL_OF = "禅城区户政中心"
_MARGIN_MS = 86_400_000


@dataclass
class Line:
    """The kiosk's way to its office, which the scene cuts."""

    office: LocalOffice
    is_reachable: bool = True

    def _reach(self) -> None:
        if not self.is_reachable:
            raise OfficeAway("the line is cut")

    async def box_key(self) -> bytes:
        """See `Office`."""
        self._reach()
        return await self.office.box_key()

    async def challenge(self) -> bytes:
        """See `Office`."""
        self._reach()
        return await self.office.challenge()

    async def open(self, proof: CardProof | PhoneProof) -> Holder:
        """See `Office`."""
        self._reach()
        return await self.office.open(proof)

    async def paper(self, visit: str, stream: bytes, language: Language) -> bytes:
        """See `Office`."""
        self._reach()
        return await self.office.paper(visit, stream, language)

    async def file(self, stream: bytes, sealed: str) -> Filed:
        """See `Office`."""
        self._reach()
        return await self.office.file(stream, sealed)

    async def stop_lost(self, number: str, phone: str) -> int:
        """See `Office`."""
        self._reach()
        return await self.office.stop_lost(number, phone)


@dataclass
class Clock:
    """The kiosk's clock, which the scene sets forward instead of waiting."""

    skipped_ms: int = 0

    def now_ms(self) -> int:
        """It never goes back."""
        return time.monotonic_ns() // 1_000_000 + self.skipped_ms


@dataclass
class Booth:
    """The kiosk with what the scene does to it."""

    kiosk: Kiosk
    slot: EmulatedSlot
    line: Line
    device: P256Signer
    clock: Clock
    trust: Trust

    async def pass_ms(self, span_ms: int) -> None:
        """Time goes by, and the kiosk looks."""
        self.clock.skipped_ms += span_ms
        await self.kiosk.tick()

    async def log_in(self, holder: KioskHolder, pin: str = PIN) -> Visit:
        """Put a card in and enter its PIN."""
        self.slot.insert(holder.chip)
        await self.kiosk.tick()
        await self.kiosk.enter_pin(self.kiosk.session.turn, pin)
        visit = self.kiosk.session.visit
        assert visit is not None, "the card is in"
        return visit

    async def sign(self, kind: Kind, fields: dict[str, str]) -> Receipt:
        """State something, sign it, and take the receipt; back at the menu."""
        kiosk = self.kiosk
        kiosk.choose(kiosk.session.turn, kind)
        await kiosk.state(kiosk.session.turn, fields, "zh-CN")
        await kiosk.sign(kiosk.session.turn, PIN)
        visit = kiosk.session.visit
        assert visit is not None, "the card is in"
        assert visit.receipt is not None, visit.notice
        receipt = visit.receipt
        kiosk.back(kiosk.session.turn)
        return receipt

    async def remove(self) -> None:
        """Take the card out."""
        self.slot.remove()
        await self.kiosk.tick()


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
    """
    async with stage.network.home.session() as session:
        with stage.step(t("scene.kiosk.opens")):
            desk = await open_desk(stage, session)
            try:
                holder, booth = await _open(stage, session, desk)
            except BaseException:
                desk.close()
                raise
        try:
            await _transactions(stage, desk, holder, booth)
            with stage.step(t("scene.kiosk.ends")):
                await _end(stage, session, booth, holder)
        finally:
            await booth.kiosk.shut_down()
            desk.close()


def summary(stage: Stage) -> list[str]:
    """What happened and what to try next, in both languages."""
    return [line for one in LANGUAGES for line in ("", catalogue(one).say("scene.kiosk.summary", **stage.facts))]


async def _open(stage: Stage, session: Session, desk: SceneDesk) -> tuple[KioskHolder, Booth]:
    """Somebody with a card, a kiosk with a device key; before it is registered it serves nobody."""
    phone, device = (P256Signer(generate_private_key(SECP256R1())) for _ in range(2))
    resident = next(residents.residents(1, randbelow(2**32)))
    stage.personal |= {resident.name, resident.id_number}
    holder = await arrive(desk, resident, phone)
    slot = EmulatedSlot()
    home = stage.network.home
    papers = Papers(_seal(), SessionStates(lambda: session), PaperPrinter(home.genesis().name, CHECK_URL, SEAL_OF))
    office = KioskDesk(lambda: desk.context, lambda _person: BILLS, papers=papers)
    line = Line(LocalOffice(office, device))
    assert desk.shop.chain is not None, "a trial shop has its chain"
    clock = Clock()
    kiosk = Kiosk(
        Equipment(
            slot=slot,
            chains=[desk.shop.chain],
            device=device,
            office=line,
            states=SessionStates(lambda: session),
            journal=Journal(stage.folder / "journal"),
            printer=PaperPrinter(home.genesis().name, CHECK_URL),
            phones=None,
            now_ms=unix_ms,
            monotonic_ms=clock.now_ms,
            takes_emulated=True,
        )
    )
    booth = Booth(kiosk, slot, line, device, clock, papers.seal.trust)
    await kiosk.tick()
    stage.hold(t("scene.kiosk.unregistered"), kiosk.licence.standing is Standing.UNKNOWN and not kiosk.is_serving)
    register = pb.RegisterDevice(
        key=signer_pb(device.signer),
        kind=pb.DEVICE_KIND_KIOSK,
        place_zh="季华五路 24 小时自助区 07 号机",
        place_en="Jihua 5th Road, kiosk 07",
        valid_to_ms=unix_ms() + DEVICE_LIFETIME_MS_MAX - _MARGIN_MS,
    )
    assert await code_of(session, [home.signer(REGISTRAR), device], register) == ""
    await booth.pass_ms(LOOK_MS)
    stage.hold(t("scene.kiosk.registered"), kiosk.is_serving)
    return holder, booth


async def _transactions(stage: Stage, desk: SceneDesk, holder: KioskHolder, booth: Booth) -> None:
    with stage.step(t("scene.kiosk.log-in")):
        await _log_in(stage, booth, holder)
    with stage.step(t("scene.kiosk.certificate")):
        await _certificate(stage, booth, holder)
    with stage.step(t("scene.kiosk.address")):
        await _address(stage, booth, holder)
    with stage.step(t("scene.kiosk.payment")):
        await _payment(stage, booth)
    with stage.step(t("scene.kiosk.company")):
        await _company(stage, desk, booth, holder)
    with stage.step(t("scene.kiosk.stop")):
        await _stop(stage, desk, booth, holder)


async def _log_in(stage: Stage, booth: Booth, holder: KioskHolder) -> None:
    """A wrong PIN costs a try of the card's; the right one tells the office whose card it is."""
    visit = await booth.log_in(holder, "111111")
    stage.hold(t("scene.kiosk.wrong-pin", count=visit.tries_left or 0), booth.kiosk.session.state is State.PIN)
    await booth.kiosk.enter_pin(booth.kiosk.session.turn, PIN)
    is_known = visit.holder is not None and visit.holder.name == holder.resident.name
    stage.hold(t("scene.kiosk.right-pin"), is_known and booth.kiosk.session.state is State.MENU)


async def _certificate(stage: Stage, booth: Booth, holder: KioskHolder) -> None:
    """What a phone does with the codes on the paper."""
    kiosk = booth.kiosk
    await kiosk.certify(kiosk.session.turn, "zh-CN")
    visit = kiosk.session.visit
    assert visit is not None, "the card is in"
    assert visit.attested is not None, visit.notice
    proven = verify_receipt(visit.attested.proof, stage.network.home.genesis()).states[0]
    record = load_person({proven.key: proven.value}.get, holder.known.registration_id)
    counts = record is not None and record.status == pb.PERSON_STATUS_ACTIVE
    size_kb = len(visit.pdf) // 1000
    stage.hold(t("scene.kiosk.printed", size=size_kb), visit.pdf.startswith(b"%PDF") and counts)
    report = verify_pdf(visit.pdf, booth.trust)
    sealed_by = organisation_of(load_certificate(report.certificate))
    stage.hold(t("scene.kiosk.sealed", name=sealed_by, level=report.level), report.is_valid and sealed_by == SEAL_OF)
    kiosk.back(kiosk.session.turn)


async def _address(stage: Stage, booth: Booth, holder: KioskHolder) -> None:
    """Signed as shown, filed, proven; and without a network kept sealed until it is back."""
    receipt = await booth.sign(Kind.ADDRESS, ADDRESS)
    stage.hold(t("scene.kiosk.filed"), receipt.filed is not None and _is_proven(stage, receipt))
    stage.hold(t("scene.kiosk.signed"), _is_signed(receipt))
    booth.line.is_reachable = False
    pending = await booth.sign(Kind.ADDRESS, ADDRESS)
    kept = b"".join(path.read_bytes() for path in (stage.folder / "journal").iterdir())
    words = (holder.resident.name, holder.resident.id_number, ADDRESS["plate"])
    is_sealed = bool(kept) and not any(word.encode() in kept for word in words)
    stage.hold(t("scene.kiosk.pending"), pending.filed is None and is_sealed)
    booth.line.is_reachable = True
    await booth.pass_ms(LOOK_MS)
    stage.hold(t("scene.kiosk.sent"), booth.kiosk.filing.waiting == 0)


async def _payment(stage: Stage, booth: Booth) -> None:
    """Amount and payee are in what is signed; a large amount is not signed here alone."""
    receipt = await booth.sign(Kind.PAYMENT, _fields(BILLS[0]))
    said = "".join(receipt.signed.statement.lines)
    stage.hold(t("scene.kiosk.paid"), _is_proven(stage, receipt) and BILLS[0].payee in said and "400.00" in said)
    kiosk = booth.kiosk
    kiosk.choose(kiosk.session.turn, Kind.PAYMENT)
    await kiosk.state(kiosk.session.turn, _fields(BILLS[1]), "zh-CN")
    visit = kiosk.session.visit
    assert visit is not None, "the card is in"
    stage.hold(t("scene.kiosk.large"), kiosk.needs_phone(visit))
    kiosk.back(kiosk.session.turn)


async def _company(stage: Stage, desk: SceneDesk, booth: Booth, holder: KioskHolder) -> None:
    """The mandate counts, so the holder signs; it ends, so they don't."""
    mandate_id = await mandate(desk, holder)
    await booth.remove()
    visit = await booth.log_in(holder)
    fields = booth.kiosk.company_fields(visit, mandate_id.hex())
    assert fields is not None, "the office names the company"
    receipt = await booth.sign(Kind.COMPANY, fields)
    said = "".join(receipt.signed.statement.lines)
    stage.hold(t("scene.kiosk.for-company"), _is_proven(stage, receipt) and COMPANY.name_zh in said)
    assert await desk.code(desk.approver.signer, pb.EndMandate(id=mandate_id)) == ""
    kiosk = booth.kiosk
    kiosk.choose(kiosk.session.turn, Kind.COMPANY)
    await kiosk.state(kiosk.session.turn, fields, "zh-CN")
    stage.hold(t("scene.kiosk.mandate-over"), kiosk.session.state is State.FORM and visit.statement is None)
    kiosk.back(kiosk.session.turn)


async def _stop(stage: Stage, desk: SceneDesk, booth: Booth, holder: KioskHolder) -> None:
    """The phone is lost, and then the card, too."""
    visit = booth.kiosk.session.visit
    assert visit is not None, "the card is in"
    assert visit.holder is not None, "the office said who it is"
    way = next(one for one in visit.holder.ways if one.id == holder.phone_key.hex())
    receipt = await booth.sign(Kind.STOP, {"way": way.way.value, "id": way.id, "reference": way.reference})
    record = await desk.record(holder.known.registration_id)
    is_stopped = any(key.commitment == holder.phone_key and key.suspended for key in record.keys)
    stage.hold(t("scene.kiosk.phone-stopped"), is_stopped and _is_proven(stage, receipt))
    await booth.remove()
    notice = await booth.kiosk.stop_lost(holder.resident.id_number, "13900001234")
    is_over = desk.card(holder.card_id).state is CardState.SUSPENDED
    stage.hold(t("scene.kiosk.card-stopped"), notice.parameters == {"count": 1} and is_over)
    booth.slot.insert(holder.chip)
    await booth.kiosk.tick()
    await booth.kiosk.enter_pin(booth.kiosk.session.turn, PIN)
    stage.hold(t("scene.kiosk.card-over"), booth.kiosk.session.state is State.TAKE)
    await booth.remove()


async def _end(stage: Stage, session: Session, booth: Booth, holder: KioskHolder) -> None:
    """Nobody touches the screen; the registrar revokes the kiosk; nothing is left on its disk."""
    booth.slot.insert(holder.chip)
    await booth.kiosk.tick()
    await booth.pass_ms(IDLE_MS_MAX)
    stage.hold(t("scene.kiosk.wiped"), booth.kiosk.session.visit is None)
    await booth.remove()
    revoke = pb.SetDeviceStatus(
        key=signer_pb(booth.device.signer), status=pb.STATUS_REVOKED, reason=pb.REASON_KEY_COMPROMISED
    )
    assert await code_of(session, [stage.network.home.signer(REGISTRAR)], revoke) == ""
    await booth.pass_ms(LOOK_MS)
    stage.hold(t("scene.kiosk.revoked"), booth.kiosk.licence.standing is Standing.REVOKED)
    stage.hold(t("scene.kiosk.clean"), not list((stage.folder / "journal").iterdir()))


def _seal() -> DocumentSeal:
    """The registrar's seal and time stamps, whose keys last as long as the scene."""
    issuing, own, stamping = (MemorySigner(generate_private_key(SECP256R1())) for _ in range(3))
    today = seconds(int(time.time()))
    stamps = TimeStampAuthority(make_certificate(stamping, SEAL_OF, today), stamping, time.time)
    return DocumentSeal(make_certificates(SEAL_OF, issuing, own, today), issuing, own, stamps, time.time)


def _fields(bill: Bill) -> dict[str, str]:
    return {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }


def _is_proven(stage: Stage, receipt: Receipt) -> bool:
    """Whether the printed proof shows, with the genesis file alone, that the ledger has what was signed."""
    proven = verify_receipt(receipt.proof, stage.network.home.genesis()).states[0]
    record = membership_pb2.AnchorRecord.FromString(proven.value or b"")
    return record.digest == receipt.signed.statement.recorded(receipt.signed.signature)


def _is_signed(receipt: Receipt) -> bool:
    """Whether the card's key signed the very lines, and nothing else fits the signature."""
    signed = receipt.signed
    key = compressed_key(load_certificate(signed.certificate))
    p256.verify(key, signed.statement.message, signed.signature)
    altered = replace(signed.statement, lines=[*signed.statement.lines[:-1], "something else"])
    try:
        p256.verify(key, altered.message, signed.signature)
    except InvalidSignature:
        return True
    return False
