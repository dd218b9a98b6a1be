# SPDX-License-Identifier: Apache-2.0
"""The pages of cards, stock, companies and mandates: by role, in both languages, each act signed with a passkey."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from desk_rig import At, DeskRig, KnownTagger, RuledLedger
from fastapi import APIRouter
from sign_in_rig import ADDRESS, GENEROUS
from sqlalchemy import select
from store_rig import BUSY_MS, Rig

from identity.api.desk import cards, cards_phone, stock
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_making import letter_of
from identity.api.desk.cards_part import cards_part
from identity.api.desk.cards_shop import trial_shop
from identity.api.desk.cards_tables import Card, PhoneCall
from identity.api.desk.legal_tables import Company, Mandate
from identity.api.desk.mandate_codes import CodeUse
from identity.api.desk.mandates import slips
from identity.api.desk.part import DESK_SITE, desk_part
from identity.api.desk.persons import Secrets, json
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.registrations import counting_key, load_person
from service.app import Part, create_app
from service.notices.tables import Notice
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.part import sign_in_part
from service.sign_in.roles import Role
from tests.rig import START_MS, Shell, signer

ORGANISATION = "org-r"
NAME, NUMBER = "陈小明", "11010519491231002X"
OWN_PIN = "864209"
WRITER_S_MAX = BUSY_MS / 1000 - 5
"""So long another writer holds the store if nobody lets it go; a page waits longer for its turn."""
COMPANY = {
    "uscc": "91110000600037341L",
    "name_zh": "佛山某某食品有限公司",
    "name_en": "Foshan Food Ltd",
    "representative": "李卫",
    "representative_number": "440604197501010019",
}


class UncheckedLedger(RuledLedger):
    """The service's own key is a stand-in, whose signatures nobody can verify."""

    async def submit_one(self, transaction):  # type: ignore[no-untyped-def]  # as the class above says
        if {one.scheme for one in transaction.signers} != {1}:
            return await super().submit_one(transaction)
        self._reach()
        from desk_rig import Executed  # noqa: PLC0415 - used here alone

        code = self.codes(transaction)[0]
        return Executed(transaction, code)


@asynccontextmanager
async def desk_of(rig: Rig, folder: Path) -> AsyncIterator[DeskRig]:
    rig.clock_ms = START_MS + 86_400_000 * 1_100
    store = rig.open(rig.settings())
    office = Office.of(store, ADDRESS, rig.now)
    ledger = UncheckedLedger(rig)
    acts = Acts(ledger)  # type: ignore[arg-type]  # its answers stand in for proven ones
    routers: list[APIRouter] = [act_router(acts, acts, None, DESK_SITE, None)]  # type: ignore[arg-type]  # nobody registers keys here

    async def start(app: object) -> None:
        app.state.acts = acts  # type: ignore[attr-defined]

    own = Shell(signer("org-r:submit"))
    shop = trial_shop(folder / "tray", bytes(32), rig.clock_ms)
    parts = [
        shell_part(DESK_SITE),
        sign_in_part(store, ADDRESS, DESK_SITE, office=office),
        Part("acts", routers, start=start),
        desk_part(store, ledger=ledger, service_key=own, now=rig.now),  # type: ignore[arg-type]  # likewise
        cards_part(shop),
    ]
    app = create_app(parts, GENEROUS, ADDRESS, secret=store.secret("http/desk"))
    async with app.router.lifespan_context(app):
        yield DeskRig(rig, store, app, office, ledger=ledger, tagger=KnownTagger(ledger), to_sign=acts)


def person(desk: DeskRig, name: str = NAME, number: str = NUMBER) -> str:
    """Somebody registered, on the ledger too."""
    known, people = Secrets.new(), desk.store.people
    desk.ledger.enrolled(person=known.registration_id)
    with desk.store.write() as session:
        person_id = people.add(session)
        row = DeskPerson(
            person_id=person_id, organisation=ORGANISATION, state=PersonState.ACTIVE, created_ms=1, changed_ms=1
        )
        people.seal(session, row, DeskPerson.name, name)
        people.seal(session, row, DeskPerson.number, number)
        people.seal(session, row, DeskPerson.phone, "13900001234")
        people.seal(session, row, DeskPerson.secrets, json.dumps(asdict(known)))
    return person_id


def stocked(desk: DeskRig) -> None:
    with desk.store.write() as session:
        count_id = stock.receive(desk.store, session, "a" * 32, "LS-1", "CC26-0001", 5, 1)
        for who in ("a" * 32, "b" * 32):
            stock.enter_figure(desk.store, session, who, count_id, 5, 1)


def only(desk: DeskRig, model: type[Card]) -> Card:
    with desk.store.read() as session:
        return session.scalars(select(model)).one()


async def signed(at: At, answer: httpx.Response) -> httpx.Response:
    """Follow a button to the act, read its page, and sign."""
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    act_id = re.fullmatch(r"/sign/([0-9a-f]{32})\?back=.*", location)
    assert act_id is not None, location
    assert (await at.get(location)).status_code == 200
    done = await at.sign(act_id[1])
    assert done.status_code == 200, done.text
    return done


async def look_up(at: At, number: str = NUMBER) -> None:
    assert (await at.post("/look-up", wanted=number, reason="at-counter")).status_code == 200


async def card_in_hand(desk: DeskRig, clerk: At, approver: At) -> str:
    """A card of somebody's, through the pages from the request to the signature."""
    stocked(desk)
    person_id = person(desk)
    await look_up(clerk)
    asked = await clerk.post(f"/persons/{person_id}/cards")
    path = asked.headers["location"]
    card_id = path.rpartition("/")[2]
    assert (await clerk.post(f"{path}/make", reader="emulated", serial="")).status_code == 303
    await signed(clerk, await clerk.post(f"{path}/propose"))
    await signed(approver, await approver.post(f"{path}/confirm"))
    assert "Print the PIN letter" in (await clerk.get(path)).text
    letter = await clerk.get(f"{path}/letter.pdf")
    assert letter.content.startswith(b"%PDF")
    assert (await clerk.post(f"{path}/printed")).status_code == 303
    pin = letter_of(desk.context, ORGANISATION, card_id).pin
    fields = {"reader": "emulated", "given_pin": pin, "own_pin": OWN_PIN, "again": OWN_PIN, "seen": "yes"}
    given = await clerk.post(f"{path}/hand-over", **fields)
    assert given.status_code == 303, given.text
    return card_id


async def test_card_goes_through_the_pages_from_the_request_to_its_holder(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        card_id = await card_in_hand(desk, clerk, approver)
        for language, word in (("en", "The holder has the card"), ("zh-CN", "持卡人持有此卡")):
            page = await clerk.get(f"/cards/{card_id}", language)
            assert word in page.text
        with desk.store.read() as session:
            card = cards.opened(desk.context, session, ORGANISATION, card_id)
            assert card.state is CardState.ACTIVE
        receipts = re.findall(rf"/cards/{card_id}/receipts/(\d+)", page.text)
        assert len(receipts) == 2, "the proposal's and the confirmation's"
        for number in receipts:
            found = await clerk.get(f"/cards/{card_id}/receipts/{number}")
            assert found.content.startswith(b"receipt ")


async def test_caller_stops_a_card_and_only_the_holder_in_person_has_it_reinstated(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        card_id = await card_in_hand(desk, clerk, approver)
        fits = await clerk.post("/phone", name=NAME, number=NUMBER)
        assert f"/cards/{card_id}/phone" in fits.text
        assert (await clerk.post(f"/cards/{card_id}/phone")).status_code == 303
        page = await clerk.get(f"/cards/{card_id}")
        assert "Suspended by telephone" in page.text
        with desk.store.read() as session:
            assert set(session.scalars(select(Notice.kind))) == {"looked-at", "card-handed-over", "card-suspended"}
            card = cards.opened(desk.context, session, ORGANISATION, card_id)
            row = session.scalars(select(DeskPerson)).one()
            registration = json.loads(desk.store.people.open(session, row, DeskPerson.secrets) or "")["registration"]
        assert card.state is CardState.SUSPENDED
        record = load_person(desk.ledger.state.get, bytes.fromhex(registration))
        assert all(counting_key(record, one, desk.ledger.time_ms) is None for one in card.commitments)
        assert (await clerk.post(f"/cards/{card_id}/phone")).status_code == 303, "a second time stops nothing more"
        await signed(clerk, await clerk.post(f"/cards/{card_id}/reinstate", method="document-inspected"))
        await clerk.get(f"/cards/{card_id}")
        assert only(desk, Card).state == CardState.ACTIVE


async def test_lost_card_is_replaced_and_the_new_one_revoked(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        old = await card_in_hand(desk, clerk, approver)
        new = (await clerk.post(f"/cards/{old}/replace", reason="lost")).headers["location"]
        assert (await clerk.post(f"{new}/make", reader="emulated", serial="CC26-0004")).status_code == 303
        await signed(clerk, await clerk.post(f"{new}/propose"))
        await signed(approver, await approver.post(f"{new}/confirm"))
        await clerk.get(new)
        assert "Another card took its place" in (await clerk.get(f"/cards/{old}")).text
        await signed(approver, await approver.post(f"{new}/revoke", reason="lost"))
        assert "Its keys ended" in (await clerk.get(new)).text


async def test_lost_card_is_stopped_by_asking_for_another(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        old = await card_in_hand(desk, clerk, approver)
        desk.ledger.is_reachable = False
        assert (await clerk.post(f"/cards/{old}/replace", reason="lost")).status_code == 503
        assert only(desk, Card).id == old, "no other card is asked for while the lost one may work"
        desk.ledger.is_reachable = True
        assert (await clerk.post(f"/cards/{old}/replace", reason="lost")).status_code == 303
        with desk.store.read() as session:
            assert cards.own(session, ORGANISATION, old).state == CardState.SUSPENDED


async def test_damaged_card_is_stopped_at_the_hand_over_of_the_new_one_and_ended_by_an_approver(
    sqlite_rig: Rig, tmp_path: Path
) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        old = await card_in_hand(desk, clerk, approver)
        new = (await clerk.post(f"/cards/{old}/replace", reason="damaged")).headers["location"]
        assert (await clerk.post(f"{new}/make", reader="emulated", serial="CC26-0004")).status_code == 303
        await signed(clerk, await clerk.post(f"{new}/propose"))
        await signed(approver, await approver.post(f"{new}/confirm"))
        await clerk.get(new)
        await clerk.post(f"{new}/printed")
        assert "The holder has the card" in (await clerk.get(f"/cards/{old}")).text
        pin = letter_of(desk.context, ORGANISATION, new.rpartition("/")[2]).pin
        fields = {"reader": "emulated", "given_pin": pin, "own_pin": OWN_PIN, "again": OWN_PIN, "seen": "yes"}
        assert (await clerk.post(f"{new}/hand-over", **fields)).status_code == 303
        page = (await clerk.get(f"/cards/{old}")).text
        assert "Stopped: the holder has the new card" in page
        assert "/reinstate" not in page
        assert "End its keys for good" not in page, "a clerk does not end keys"
        assert (await clerk.post(f"/cards/{old}/reinstate", method="document-inspected")).status_code == 409
        assert old in (await approver.get("/cards")).text
        shown = (await approver.get(f"/cards/{old}")).text
        assert 'name="reason" value="damaged"' in shown
        await signed(approver, await approver.post(f"/cards/{old}/revoke", reason="damaged"))
        assert "Another card took its place" in (await approver.get(f"/cards/{old}", "en")).text
        assert old not in (await approver.get("/cards", "zh-CN")).text


async def test_officers_do_what_their_role_lets_them(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        auditor, supervisor = await desk.officer(Role.AUDITOR, "A"), await desk.officer(Role.SUPERVISOR, "S")
        card_id = await card_in_hand(desk, clerk, approver)
        for at, path in (
            (approver, f"/cards/{card_id}/suspend"),
            (clerk, f"/cards/{card_id}/revoke"),
            (supervisor, f"/cards/{card_id}/confirm"),
            (auditor, f"/cards/{card_id}/make"),
            (auditor, "/phone"),
            (clerk, "/stock/deliveries"),
            (clerk, f"/cards/{card_id}/destroy"),
        ):
            fields = {"reason": "lost", "reader": "emulated", "name": "x", "number": "y"}
            fields |= {"reference": "r", "first": "C1", "count": "1"}
            assert (await at.post(path, **fields)).status_code == 403, path


async def test_holder_who_mistypes_is_told_and_nothing_changes(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        stocked(desk)
        person_id = person(desk)
        await look_up(clerk)
        path = (await clerk.post(f"/persons/{person_id}/cards")).headers["location"]
        await clerk.post(f"{path}/make", reader="emulated", serial="")
        await signed(clerk, await clerk.post(f"{path}/propose"))
        await signed(approver, await approver.post(f"{path}/confirm"))
        await clerk.get(path)
        await clerk.post(f"{path}/printed")
        good = {"reader": "emulated", "given_pin": "00000000", "own_pin": OWN_PIN, "again": OWN_PIN, "seen": "yes"}
        for change, code in (
            ({"again": "111111"}, 422),
            ({"seen": ""}, 422),
            ({"own_pin": "12", "again": "12"}, 422),
            ({}, 409),
            ({"reader": "another"}, 409),
        ):
            assert (await clerk.post(f"{path}/hand-over", **(good | change))).status_code == code
        assert only(desk, Card).state == CardState.PRINTED


async def test_card_page_without_the_ledger_says_so_and_loses_nothing(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        card_id = await card_in_hand(desk, clerk, approver)
        desk.ledger.is_reachable = False
        assert "The ledger does not answer" in (await clerk.get(f"/cards/{card_id}")).text
        assert (await clerk.post(f"/cards/{card_id}/suspend")).status_code == 503
        assert (await clerk.post(f"/cards/{card_id}/phone")).status_code == 503
        desk.ledger.is_reachable = True
        assert (await clerk.post(f"/cards/{card_id}/phone")).status_code == 303


async def test_stock_is_received_counted_and_destroyed_by_two_on_its_page(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, supervisor = await desk.officer(), await desk.officer(Role.SUPERVISOR, "Wang Fang")
        await supervisor.post("/stock/deliveries", reference="LS-118", first="CC26-0001", count="3")
        page = await clerk.get("/stock")
        (count_id,) = re.findall(r"/stock/counts/([0-9a-f]{32})", page.text)
        for at in (clerk, supervisor):
            assert (await at.post(f"/stock/counts/{count_id}", figure="3")).status_code == 303
        assert (await supervisor.post("/stock/spoilt", serial="CC26-0002")).status_code == 303
        assert (await supervisor.post("/stock/destroying", serial="CC26-0002")).status_code == 303
        assert (await supervisor.post("/stock/destroyed", serial="CC26-0002")).status_code == 409
        assert (await clerk.post("/stock/destroyed", serial="CC26-0002")).status_code == 303
        for language in ("en", "zh-CN"):
            assert (await clerk.get("/stock", language)).status_code == 200


async def test_company_and_its_mandate_through_the_pages(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        wrong = await clerk.post("/companies", **(COMPANY | {"uscc": "91110000600037341X"}))
        assert wrong.status_code == 422
        path = (await clerk.post("/companies", **COMPANY)).headers["location"]
        await signed(clerk, await clerk.post(f"{path}/propose"))
        await signed(approver, await approver.post(f"{path}/confirm"))
        assert "Registered" in (await clerk.get(path)).text
        with desk.store.read() as session:
            assert session.scalars(select(Company.state)).one() == "active"
        person(desk)
        fields = {"kind": "company", "principal": COMPANY["uscc"], "agent": NUMBER, "scopes": "tax", "powers": "sign"}
        fields |= {"amount": "500", "valid_from": "2026-11-01", "valid_to": "2027-11-01", "document": "D-1"}
        assert (await clerk.post("/mandates", **(fields | {"agent": "x"}))).status_code == 422
        mandate = (await clerk.post("/mandates", **fields)).headers["location"]
        await signed(clerk, await clerk.post(f"{mandate}/grant"))
        page = await clerk.get(mandate)
        assert "To be accepted" in page.text
        with desk.store.read() as session:
            row = session.scalars(select(Mandate)).one()
            codes = slips(desk.context, session, row)
        paper = await clerk.get(f"{mandate}/slips/agent.pdf")
        assert paper.content.startswith(b"%PDF")
        for side in ("agent", "principal"):
            taken = await clerk.post("/mandates/code", code=codes[side].code(CodeUse.ACCEPT), use="A")
            assert taken.status_code == 303, taken.text
            assert (await clerk.post(f"{mandate}/slips/{side}")).status_code == 303
        assert "In force" in (await clerk.get(mandate)).text
        assert (await clerk.get(f"{mandate}/slips/agent.pdf")).status_code == 404
        ended = await clerk.post("/mandates/code", code=codes["agent"].code(CodeUse.END), use="E")
        assert ended.status_code == 303, ended.text
        assert "Ended" in (await clerk.get(mandate)).text
        wrong_code = await clerk.post("/mandates/code", code="A-0000", use="A")
        assert wrong_code.status_code == 422


@pytest.mark.parametrize(
    "path", ["/cards", "/phone", "/stock", "/companies", "/companies/new", "/mandates", "/batches"]
)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_opens_in_each_language(sqlite_rig: Rig, tmp_path: Path, path: str, language: str) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk = await desk.officer()
        for one in (path, "/mandates/new", "/mandates/code"):
            assert (await clerk.get(one, language)).status_code == 200


async def test_batch_is_sent_made_bound_and_reported_on_its_pages(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        stocked(desk)
        person(desk)
        token = (await clerk.get("/batches")).text.partition('name="csrf_token" value="')[2][:64]
        rows = f"name,number\r\n{NAME},{NUMBER}\r\n某某,N-1\r\n".encode()
        sent = await clerk.browser.web.post(
            "/batches", data={"csrf_token": token}, files={"file": ("people.csv", rows, "text/csv")}
        )
        assert sent.status_code == 303, sent.text
        path = sent.headers["location"]
        assert "Nobody is registered here" in (await clerk.get(path)).text
        assert (await clerk.post(f"{path}/run")).status_code == 303
        await signed(clerk, await clerk.post(f"{path}/propose"))
        await signed(approver, await approver.post(f"{path}/confirm"))
        report = (await clerk.get(f"{path}/report")).content.decode("utf-8-sig").splitlines()
        assert len(report) == 3
        assert report[1].startswith("2,made,,CC26-0001,K-")
        assert NAME not in "".join(report)
        assert NUMBER not in "".join(report)


async def test_stolen_session_cannot_stop_every_card(sqlite_rig: Rig, tmp_path: Path) -> None:
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        card_id = await card_in_hand(desk, clerk, approver)
        with desk.store.write() as session:
            for call in range(cards_phone.OFFICER_HOUR_MAX):
                actor = clerk.browser.officer().staff_id
                session.add(PhoneCall(id=f"{call:032x}", actor=actor, subject=b"", at_ms=desk.rig.clock_ms))
        assert (await clerk.post(f"/cards/{card_id}/phone")).status_code == 429
        assert only(desk, Card).state == CardState.ACTIVE


async def test_page_that_waits_for_another_writer_holds_up_nobody_else(sqlite_rig: Rig, tmp_path: Path) -> None:
    held, let_go = threading.Event(), threading.Event()
    async with desk_of(sqlite_rig, tmp_path) as desk:
        clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
        card_id = await card_in_hand(desk, clerk, approver)

        def write() -> bool:
            with desk.store.write():
                held.set()
                return let_go.wait(WRITER_S_MAX)

        writer = asyncio.create_task(asyncio.to_thread(write))
        await asyncio.to_thread(held.wait)
        stopping = asyncio.create_task(clerk.post(f"/cards/{card_id}/phone"))
        until = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < until:
            assert (await clerk.get("/health")).status_code == 200
            await asyncio.sleep(0.01)
        assert not writer.done(), "nobody went on until the other writer gave up"
        assert not stopping.done(), "it writes, too, and it is not its turn"
        let_go.set()
        assert await writer
        assert (await stopping).status_code == 303
        assert only(desk, Card).state == CardState.SUSPENDED
