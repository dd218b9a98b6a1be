# SPDX-License-Identifier: Apache-2.0
"""A card in real browsers on a real network: made, bound, handed over, stopped by telephone, replaced, revoked."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk_network import REGISTRAR, Network, ServedDesk, in_thread, running_network, served_desk
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from test_desk import CEREMONY, SETTLED_MS_MAX, enrol, has_people, revoke, settled, sign
from visiting import Visit

from chain import p256, receipt
from cli.scenes.residents import residents
from identity import access
from identity.access import Access, AccessList, slot_of_claim
from identity.api.desk import stock
from identity.api.desk.cards_making import Letter
from identity.api.desk.cards_part import cards_part
from identity.api.desk.cards_shop import trial_shop
from identity.api.desk.cards_tables import Card
from identity.api.desk.cards_workshop import EMULATED, Counter, EmulatedTray, PcscReaders
from identity.cards.emulator import EmulatedCard
from identity.compartment import seal
from identity.pb.access_pb2 import AccessOpening
from service.app import Part
from service.sign_in.roles import Role
from service.store import Store
from service.store.replays import unix_ms
from tests.cards.reader_rig import READER, shared_reader

pytestmark = pytest.mark.network

PERSON = next(residents(1, 41))
OWN_PIN = "864209"
LOOKS_S_MAX = 60.0
"""One look of a person goes to the ledger in each second here; a busy machine takes its time."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running_network(tmp_path_factory.mktemp("cards") / "net") as made:
        yield made


@pytest.fixture(scope="module")
def desk(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDesk]:
    folder = tmp_path_factory.mktemp("cards-store")
    shared_reader()  # before the first page asks for readers: the PC/SC library remembers where it found its service

    def more(store: Store) -> Sequence[Part]:
        with store.write() as session:
            count_id = stock.receive(store, session, "a" * 32, "LS-118", "CC26-0001", 5, unix_ms())
            for who in ("a" * 32, "b" * 32):
                stock.enter_figure(store, session, who, count_id, 5, unix_ms())

        trial = trial_shop(folder / "tray", bytes(32), unix_ms())
        shop = replace(trial, counter=Counter([EmulatedTray(folder / "tray"), PcscReaders()]))
        return [cards_part(shop)]

    with served_desk(network, folder, more, has_key=True) as made:
        yield made


def look(seen: Visit, name: str) -> None:
    """Keep a picture, and hold the page against the rules of accessibility."""
    seen.keep(f"desk-card-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def act(seen: Visit, card: str, step: str, name: str = "") -> None:
    """Take a step that is signed: the act is read on its page, and the card's page comes back."""
    seen.open(card)
    form = seen.page.locator(f"form[action='{card}/{step}']")
    if not form.locator("button").is_visible():
        seen.page.locator("details:has(" + f"form[action='{card}/{step}']" + ") > summary").click()
    form.locator("button").click()
    seen.page.locator("main form[data-ceremony]").wait_for()
    if name:
        look(seen, name)
    seen.page.click(CEREMONY)
    seen.page.wait_for_url(seen.origin + card)  # the page before has it in its address too
    settled(seen)


def letter(desk: ServedDesk, card: str) -> Letter:
    """The PIN letter's content, as the holder reads it."""
    with desk.store.read() as session:
        row = session.scalar(select(Card).where(Card.id == card.rpartition("/")[2]))
        assert row is not None
        return Letter(**json.loads(desk.store.people.open(session, row, Card.letter) or ""))


def made(seen: Visit, card: str, reader: str = EMULATED) -> None:
    seen.page.select_option("#reader", reader)
    seen.page.locator(f"form[action='{card}/make'] button").click()
    seen.page.locator(f"form[action='{card}/propose']").wait_for()


def look_up(seen: Visit) -> None:
    seen.open("/look-up")
    seen.page.fill("#wanted", PERSON.id_number)
    seen.page.check("input[value=at-counter]")
    seen.press("Control+Enter")
    seen.page.locator("main table a").click()
    seen.page.wait_for_url("**/persons/*")


def handed_over(seen: Visit, desk: ServedDesk, card: str, name: str = "", reader: str = EMULATED) -> None:
    seen.open(card)
    seen.page.locator(f"form[action='{card}/printed'] button").click()
    seen.page.locator(f"form[action='{card}/hand-over']").wait_for()
    pin = letter(desk, card).pin
    seen.page.select_option("#reader", reader)
    seen.page.check("#seen")
    seen.page.fill("#given_pin", pin)
    seen.page.fill("#own_pin", OWN_PIN)
    seen.page.fill("#again", OWN_PIN)
    if name:
        look(seen, name)
    seen.page.locator(f"form[action='{card}/hand-over'] button").click()
    seen.page.locator(f"form[action='{card}/suspend']").wait_for(state="attached")


def registered(clerk: Visit, approver: Visit) -> None:
    """The person is enrolled by one officer, and approved by another."""
    case = enrol(clerk, PERSON)
    sign(clerk, case, "propose")
    approver.open(case)
    approver.page.locator(f"form[action='{case}/approve'] button").click()
    approver.page.locator(CEREMONY).click()
    expect(approver.page.locator(".badge").first).to_contain_text("Done", timeout=SETTLED_MS_MAX)


def test_card_is_made_handed_over_stopped_by_telephone_replaced_revoked_and_its_holder_recovered(
    browser: Browser, desk: ServedDesk, network: Network
) -> None:
    chip = EmulatedCard()  # for the second card, in a reader of a real pcscd; the first one lies in the desk's tray
    with (
        desk.officer(browser, Role.CLERK, "Zhang Min", language="zh-CN") as clerk,
        desk.officer(browser, Role.APPROVER, "Chen Hua", size="tablet", language="en") as approver,
    ):
        registered(clerk, approver)
        look_up(clerk)
        person = clerk.page.url.removeprefix(clerk.origin)
        clerk.open(f"{person}/cards")
        look(clerk, "none")
        clerk.page.locator("main form button").click()
        clerk.page.wait_for_url("**/cards/*")
        card = clerk.page.url.removeprefix(clerk.origin)
        look(clerk, "requested")
        made(clerk, card)
        look(clerk, "personalised")
        act(clerk, card, "propose", "sign")
        look(clerk, "proposed")
        approver.open("/cards")
        look(approver, "waiting")
        approver.open(card)
        look(approver, "confirm")
        act(approver, card, "confirm")
        clerk.open(card)
        look(clerk, "bound")
        handed_over(clerk, desk, card, "hand-over")
        expect(clerk.page.locator(".badge").first).to_contain_text("使用中")
        look(clerk, "active")

        clerk.open("/phone")
        look(clerk, "phone")
        clerk.page.fill("#name", PERSON.name)
        clerk.page.fill("#number", PERSON.id_number)
        clerk.press("Control+Enter")
        clerk.page.locator(f"form[action='{card}/phone'] button").wait_for()
        look(clerk, "phone-fits")
        clerk.page.locator(f"form[action='{card}/phone'] button").click()
        clerk.page.wait_for_url(clerk.origin + card)
        expect(clerk.page.locator(".badge").first).to_contain_text("已暂停")
        look(clerk, "suspended")

        clerk.page.locator(f"details:has(form[action='{card}/replace']) > summary").click()
        clerk.page.locator(f"form[action='{card}/replace'] button").click()
        clerk.page.wait_for_url(lambda url: url.startswith(f"{clerk.origin}/cards/") and not url.endswith(card))
        new = clerk.page.url.removeprefix(clerk.origin)
        with shared_reader().inserted(chip):
            clerk.open(new)
            made(clerk, new, READER)
        act(clerk, new, "propose")
        act(approver, new, "confirm")
        clerk.open(card)
        expect(clerk.page.locator(".badge").first).to_contain_text("已补换")
        with shared_reader().inserted(chip):
            handed_over(clerk, desk, new, reader=READER)
        approver.open(new)
        look(approver, "active")
        act(approver, new, "revoke")
        expect(approver.page.locator(".badge").first).to_contain_text("Revoked")
        look(approver, "revoked")
        recovered(clerk, approver, person)
        compartment_kept(clerk, person)
        assert len(proven_looks(clerk, person, network)) > 3, "each look is the person's own, proven by genesis alone"
        revoke(approver, PERSON)


def recovered(clerk: Visit, approver: Visit, person: str) -> None:
    """The holder comes in without any key: a card is made, two officers sign one transaction."""
    clerk.open(f"{person}/cards")
    clerk.page.locator("main form button").click()
    clerk.page.wait_for_url("**/cards/*")
    made(clerk, clerk.page.url.removeprefix(clerk.origin))
    clerk.open(person)
    clerk.page.locator("details:has(form[action$='/recover']) > summary").click()
    clerk.page.locator("form[action$='/recover'] button").click()
    clerk.page.wait_for_url("**/cases/*")
    case = clerk.page.url.removeprefix(clerk.origin)
    look(clerk, "recovery")
    clerk.page.locator(f"form[action='{case}/joint'] button").click()
    clerk.page.locator("main form[data-ceremony]").wait_for()
    look(clerk, "recovery-sign")
    clerk.page.locator(CEREMONY).click()
    clerk.page.locator("main form[data-ceremony]").wait_for(state="detached")
    settled(clerk)
    look(clerk, "recovery-waits")
    approver.open(case)
    look(approver, "recovery-sign")
    approver.page.locator(CEREMONY).click()
    expect(approver.page.locator(".badge").first).to_contain_text("Done")
    look(approver, "recovery-done")


def compartment_kept(seen: Visit, person: str) -> None:
    """The holder brings what they sealed for their card and their wallet; the desk keeps it unopened."""
    seen.open(person.replace("/persons/", "/compartments/"))
    card, wallet = (p256.compress(ec.derive_private_key(one, ec.SECP256R1()).public_key()) for one in (71, 72))
    sealed = seal("过敏：青霉素".encode(), card, wallet)
    seen.page.set_input_files("#sealed", {"name": "box.jwe", "mimeType": "application/jose+json", "buffer": sealed})
    look(seen, "compartment")
    seen.page.locator("form[enctype] button[type=submit]").click()
    seen.page.locator("a[href$='/sealed']").wait_for()
    look(seen, "compartment-kept")


def proven_looks(seen: Visit, person: str, network: Network) -> Sequence[Access]:
    """What the person verifies of their list of accesses, from their export and a receipt of any node."""
    deadline = time.monotonic() + LOOKS_S_MAX
    while True:
        exported = seen.page.request.get(f"{seen.origin}{person}/export").json()
        (own,) = exported["access_lists"]
        if len(own["openings"]) == len(exported["accesses"]):
            break
        assert time.monotonic() < deadline, "looks wait for their slots"
        time.sleep(1)
    first = slot_of_claim(own["first_slot"])
    openings = tuple(AccessOpening.FromString(bytes.fromhex(one)) for one in own["openings"])
    shown = AccessList(first, openings)

    async def report() -> bytes:
        async with network.session() as session:
            states = await session.read_many(shown.state_keys())
            found = states[0].certification
            proof = receipt.make([], [one.proof for one in states], found.certified, found.closings)
            return shown.report(proof)

    verified = access.verify(in_thread(report), first, network.devnet.home.genesis_path.read_bytes())
    assert all(one.content is not None and one.content.organisation == REGISTRAR for one in verified.accesses)
    return verified.accesses


def test_stock_companies_mandates_batches_and_erasure_in_both_languages_and_sizes(
    browser: Browser, desk: ServedDesk
) -> None:
    if not has_people(desk):  # another process has the test before
        with (
            desk.officer(browser, Role.CLERK, "Zhang Min", language="zh-CN") as clerk,
            desk.officer(browser, Role.APPROVER, "Chen Hua", size="tablet", language="en") as approver,
        ):
            registered(clerk, approver)
            revoke(approver, PERSON)
    with (
        desk.officer(browser, Role.SUPERVISOR, "Luo Jing", language="en") as supervisor,
        desk.officer(browser, Role.SUPERVISOR, "Xu Bo", size="tablet", language="zh-CN") as second,
        desk.officer(browser, Role.CLERK, "Pan Hui", size="tablet", language="zh-CN") as clerk,
    ):
        supervisor.open("/stock")
        supervisor.page.fill("#reference", "LS-119")
        supervisor.page.fill("#first", "CC26-1001")
        supervisor.page.fill("#count", "20")
        supervisor.press("Control+Enter")
        supervisor.page.locator("input[type=number][name=figure]").first.wait_for()
        look(supervisor, "stock")
        clerk.open("/stock")
        look(clerk, "stock")
        for path in ("/companies", "/companies/new", "/mandates", "/mandates/new", "/mandates/code", "/batches"):
            for seen in (supervisor, clerk):
                if seen is clerk or not path.endswith("/new"):
                    seen.open(path)
                    look(seen, path.strip("/").replace("/", "-"))
        clerk.expect("422")  # the form's answer to what is wrong
        clerk.open("/companies/new")
        for field, value in (("uscc", "91110000600037341X"), ("name_zh", "佛山某某食品有限公司")):
            clerk.page.fill(f"#{field}", value)
        for field, value in (("representative", "李卫"), ("representative_number", "440604197501010019")):
            clerk.page.fill(f"#{field}", value)
        clerk.press("Control+Enter")
        clerk.page.locator("#uscc-error").wait_for()
        look(clerk, "company-wrong")
        clerk.page.fill("#uscc", "91110000600037341L")
        clerk.press("Control+Enter")
        clerk.page.wait_for_url(lambda url: "/companies/" in url)
        company = clerk.page.url.removeprefix(clerk.origin)
        act(clerk, company, "propose")
        expect(clerk.page.locator(".badge").first).to_contain_text("已提出")
        look(clerk, "company")
        look_up(supervisor)
        look(supervisor, "person-revoked")
        supervisor.page.locator("details:has(form[action$='/erase']) > summary").click()
        supervisor.page.locator("form[action$='/erase'] button").click()
        supervisor.page.wait_for_url("**/erasures")
        look(supervisor, "erasure-asked")
        second.open("/erasures")
        look(second, "erasure-asked")
        second.page.locator("form[action$='/confirm'] button").click()
        second.page.locator("form[action$='/confirm']").wait_for(state="detached")
        look(second, "erasure-confirmed")
