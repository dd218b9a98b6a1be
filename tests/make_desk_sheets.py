# SPDX-License-Identifier: Apache-2.0
"""Visits every page of the desk in each language, theme and size, and lays the pictures out to be looked at.

    .venv/bin/python tests/make_desk_sheets.py                     # all twelve; some minutes
    .venv/bin/python tests/make_desk_sheets.py phone-zh-CN-light   # one of them

The pictures lie in .artefacts/desk, with a sheet of all pages for each look. It ends with 1 where a page is wider than
its screen, logs an error, is no page, or breaks a rule of accessibility (`page_sheets`). Run by hand when the desk's
pages have changed. Everybody in it is invented.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import repository
import test_data_space_desk as space_pages
import test_desk_card_pages as card_pages
import test_desk_declarations as declaring
from desk_rig import At, DeskRig, KnownTagger, form, picture, resident
from page_sheets import Shown, chosen, make_sheets
from sign_in_rig import ADDRESS, GENEROUS
from sqlalchemy import select
from store_rig import Rig

from identity.api.desk import deciding, enrolling
from identity.api.desk.cards_part import cards_part
from identity.api.desk.cards_shop import trial_shop
from identity.api.desk.follow import follow
from identity.api.desk.legal_tables import Mandate
from identity.api.desk.looking_up import Reason, look_up
from identity.api.desk.mandate_codes import CodeUse
from identity.api.desk.mandates import slips
from identity.api.desk.offer_pages import offers_part
from identity.api.desk.part import DESK_SITE, desk_part
from identity.api.desk.states import CaseKind
from service.app import Part, create_app
from service.notices.outbox import Rates, claim, settle
from service.notices.providers import Way
from service.settings import LoggingSettings
from service.shell import shell_part
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.part import sign_in_part
from service.sign_in.roles import Role
from tests.rig import START_MS, Shell, signer

FOLDER = repository.ROOT / ".artefacts" / "desk"


@asynccontextmanager
async def desk_of(folder: Path) -> AsyncIterator[DeskRig]:
    """The whole desk with its ledger, cards and offers, in this process."""
    rig = Rig(folder, None)
    rig.clock_ms = START_MS + 86_400_000 * 1_100
    store = rig.open(rig.settings())
    office = Office.of(store, ADDRESS, rig.now)
    ledger = card_pages.UncheckedLedger(rig)
    tagger, acts = KnownTagger(ledger), Acts(ledger)  # type: ignore[arg-type]  # its answers stand in for proven ones

    async def start(app: object) -> None:
        app.state.acts = acts  # type: ignore[attr-defined]

    parts = [
        shell_part(DESK_SITE),
        sign_in_part(store, ADDRESS, DESK_SITE, office=office),
        Part("acts", [act_router(acts, acts, None, DESK_SITE, None)], start=start),  # type: ignore[arg-type]  # likewise
        desk_part(
            store,
            ledger=ledger,  # type: ignore[arg-type]  # likewise
            tagger=tagger,
            service_key=Shell(signer("org-r:submit")),  # type: ignore[arg-type]  # likewise
            now=rig.now,
            keeps_up=False,
        ),
        cards_part(trial_shop(folder / "tray", bytes(32), rig.clock_ms)),
        offers_part("https://issuer.example.org"),
    ]
    app = create_app(
        parts, replace(GENEROUS, logging=LoggingSettings(access=False)), ADDRESS, secret=store.secret("http/desk")
    )
    async with app.router.lifespan_context(app):
        yield DeskRig(rig, store, app, office, ledger=ledger, tagger=tagger, to_sign=acts)
    rig.close()


async def signed(desk: DeskRig, at: At, case_id: str, act_id: str) -> None:
    assert (await at.sign(act_id)).status_code == 200
    follow(desk.context, case_id)


async def begun(desk: DeskRig, clerk: At, index: int, **changes: str) -> str:
    """A case that was checked."""
    typed = form(resident(index), phone=f"1390000{1000 + index}", mail="chen@example.org", **changes)
    case_id = enrolling.begin(desk.context, clerk.browser.officer(), typed)
    checked = await enrolling.submit(desk.context, clerk.browser.officer(), case_id, "en")
    assert not checked.errors, checked.errors
    return case_id


async def proposed(desk: DeskRig, clerk: At, index: int) -> str:
    case_id = await begun(desk, clerk, index)
    await signed(desk, clerk, case_id, deciding.propose(clerk.signing, case_id))
    return case_id


async def cases(desk: DeskRig, clerk: At, approver: At) -> list[Shown]:
    """Cases in each state, and the person of one that is done."""
    draft = enrolling.begin(desk.context, clerk.browser.officer(), form(resident(10), number="11010519491231002"))
    ready, waiting = await begun(desk, clerk, 11), await proposed(desk, clerk, 12)
    sent = {"picture": ("face.jpg", picture(size=(480, 640)), "image/jpeg")}
    token = (await clerk.get("/enrol")).text.partition('name="csrf_token" value="')[2][:64]
    kept = await clerk.browser.web.post(f"/pictures/{ready}/photo", data={"csrf_token": token}, files=sent)
    assert kept.status_code == 303, kept.text
    approving, returned, done = [await proposed(desk, clerk, index) for index in (13, 14, 15)]
    await deciding.approve(approver.signing, approving)
    assert (await approver.post(f"/cases/{returned}/return", note="照片与证件不符，请重新拍摄。")).status_code == 303
    await signed(desk, approver, done, await deciding.approve(approver.signing, done))
    lost = await proposed(desk, clerk, 16)
    act = await deciding.approve(approver.signing, lost)
    desk.ledger.is_reachable = False
    await approver.sign(act)
    desk.ledger.is_reachable = True
    person = desk.case(done).person_id
    look_up(desk.context, clerk.browser.officer(), Reason.COUNTER, resident(15).id_number)
    alike = resident(15)
    born = f"{alike.id_number[6:10]}-{alike.id_number[10:12]}-{alike.id_number[12:14]}"
    double = form(alike, document="passport", number="E12345678", country="CHN", born=born)
    held = enrolling.begin(desk.context, clerk.browser.officer(), double)
    await enrolling.submit(desk.context, clerk.browser.officer(), held, "en")
    fail_a_notice(desk)
    offered = f"/persons/{person}/credential"
    return [
        Shown("case-draft", clerk.browser, f"/cases/{draft}/edit"),
        Shown("case-ready", clerk.browser, f"/cases/{ready}"),
        Shown("case-proposed", clerk.browser, f"/cases/{waiting}"),
        Shown("case-sign", approver.browser, f"/cases/{approving}"),
        Shown("case-returned", clerk.browser, f"/cases/{returned}"),
        Shown("case-on-its-way", approver.browser, f"/cases/{lost}"),
        Shown("case-done", clerk.browser, f"/cases/{done}"),
        Shown("case-held", clerk.browser, f"/cases/{held}"),
        Shown("person", clerk.browser, f"/persons/{person}"),
        Shown("person-cards", clerk.browser, f"/persons/{person}/cards"),
        Shown("compartment", clerk.browser, f"/compartments/{person}"),
        Shown("offer", clerk.browser, offered, lambda: clerk.browser.form(offered)),
    ]


def fail_a_notice(desk: DeskRig) -> None:
    with desk.store.write() as session:
        for one in claim(desk.store, session, frozenset(Way), Rates(40, 40), desk.rig.clock_ms)[:1]:
            settle(session, one, "smtp", "smtp.550", desk.rig.clock_ms, is_final=True)


async def cards(desk: DeskRig, clerk: At, approver: At) -> list[Shown]:
    """Cards, a batch, a company and its mandate."""
    card_id = await card_pages.card_in_hand(desk, clerk, approver)
    waiting = (await clerk.post(f"/persons/{card_pages.person(desk, '王小红', 'N-2')}/cards")).headers.get(
        "location", ""
    )
    token = (await clerk.get("/batches")).text.partition('name="csrf_token" value="')[2][:64]
    rows = f"name,number\r\n{card_pages.NAME},{card_pages.NUMBER}\r\n某某,N-1\r\n".encode()
    files = {"file": ("people.csv", rows, "text/csv")}
    batch = (await clerk.browser.web.post("/batches", data={"csrf_token": token}, files=files)).headers["location"]
    company = (await clerk.post("/companies", **card_pages.COMPANY)).headers["location"]
    await card_pages.signed(clerk, await clerk.post(f"{company}/propose"))
    await card_pages.signed(approver, await approver.post(f"{company}/confirm"))
    fields = {"kind": "company", "principal": card_pages.COMPANY["uscc"], "agent": card_pages.NUMBER, "scopes": "tax"}
    fields |= {"powers": "sign", "amount": "500", "document": "D-1"}
    fields |= {"valid_from": "2026-11-01", "valid_to": "2027-11-01"}
    mandate = (await clerk.post("/mandates", **fields)).headers["location"]
    await card_pages.signed(clerk, await clerk.post(f"{mandate}/grant"))
    with desk.store.read() as session:
        codes = slips(desk.context, session, session.scalars(select(Mandate)).one())
    await clerk.post("/mandates/code", code=codes["agent"].code(CodeUse.ACCEPT), use="A")
    pages = [
        Shown("card", clerk.browser, f"/cards/{card_id}"),
        Shown("batch", clerk.browser, batch),
        Shown("company", clerk.browser, company),
        Shown("mandate", clerk.browser, mandate),
    ]
    return [*pages, Shown("card-requested", clerk.browser, waiting)]


async def asked_of(desk: DeskRig, clerk: At, person: str) -> list[Shown]:
    """What people declared at kiosks, and asked for in their data space; nothing of it is changed."""
    waiting, declined = declaring.file(desk, person), declaring.file(desk, person)
    for one in (waiting, declined):
        await clerk.post(f"/declarations/{one}/open")
    await clerk.post(f"/declarations/{declined}/decline", answer="门牌不存在，请携带产权证明到窗口办理。")
    new, taken = space_pages.asked(desk), space_pages.asked(desk, tail="-2")
    for one in (new, taken):
        await clerk.post(f"/requests/{one}/open")
    await clerk.post(f"/requests/{taken}/take")
    return [
        Shown("declarations", clerk.browser, "/declarations"),
        Shown("declaration", clerk.browser, f"/declarations/{waiting}"),
        Shown("declaration-declined", clerk.browser, f"/declarations/{declined}"),
        Shown("requests", clerk.browser, "/requests"),
        Shown("request", clerk.browser, f"/requests/{new}"),
        Shown("request-taken", clerk.browser, f"/requests/{taken}"),
    ]


async def prepared(desk: DeskRig) -> list[Shown]:
    """Everything that there is to see."""
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, "Wang Fang")
    boss, auditor = await desk.officer(Role.SUPERVISOR, "Zhao Lei"), await desk.officer(Role.AUDITOR, "Sun Li")
    shown = await cases(desk, clerk, approver)
    shown += await cards(desk, clerk, approver)
    person = next(one.path for one in shown if one.name == "person").rpartition("/")[2]
    shown += await asked_of(desk, clerk, person)
    look_up(desk.context, boss.browser.officer(), Reason.COMPLAINT, resident(15).id_number)
    status = deciding.open_status_case(
        desk.context, approver.browser.officer(), person, CaseKind.REVOKE, "holder-request"
    )
    shown += [Shown("case-revoke", approver.browser, f"/cases/{status}")]
    for officer, paths in (
        (clerk, "look-up enrol cases cards phone batches companies companies/new mandates mandates/new mandates/code"),
        (clerk, "stock notices passkeys sessions"),
        (boss, "duplicates erasures stock"),
        (auditor, "look-ups notices"),
    ):
        shown += [
            Shown(f"{path.replace('/', '-')}-{officer.browser.officer().role}", officer.browser, f"/{path}")
            for path in paths.split()
        ]
    for at in (clerk, approver, boss, auditor):
        await at.browser.confirm(at.device)
    return shown


async def main(looks: Sequence[str]) -> int:
    """Visit; 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        async with desk_of(Path(folder)) as desk:
            return await make_sheets(FOLDER, looks, await prepared(desk), desk.rig.clock_ms)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(chosen(sys.argv[1:]))))
