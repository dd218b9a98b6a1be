# SPDX-License-Identifier: Apache-2.0
"""Visits the pages of credit's service in each language, theme and size, and lays the pictures out to be looked at.

    .venv/bin/python tests/make_credit_sheets.py                     # all twelve; some minutes
    .venv/bin/python tests/make_credit_sheets.py phone-zh-CN-light   # one of them

The pictures lie in .artefacts/credit, with a sheet of all pages for each look. It ends with 1 where a page is wider
than its screen, logs an error, is no page, or breaks a rule of accessibility (`page_sheets`). Run by hand when credit's
pages have changed. Everybody in it is invented.
"""

import asyncio
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from http.client import OK, TOO_MANY_REQUESTS
from pathlib import Path

import httpx
import repository
from credit_service_rig import ACTOR, DAY_MS, At, CreditDesk, HolderAt, credit_desk
from page_sheets import Shown, chosen, make_sheets
from sign_in_rig import GENEROUS, Browser
from store_rig import Rig
from test_credit_decisions import entry
from test_credit_monitor_pages import keep_city

from chain.types import Millis
from credit.api import consents, draws, requests, reviews, telling
from credit.api.base import date_of
from credit.api.benefits import ask_benefit
from credit.api.listings import listings_of
from credit.api.proof_pages import proof_part
from credit.api.reports import make_report, report_for
from credit.api.subjects import Kind
from credit.report import show
from service.settings import LoggingSettings
from service.sign_in.roles import Role
from sim.instant_ledger import make_genesis
from tests.rig import START_MS

FOLDER = repository.ROOT / ".artefacts" / "credit"
ANN, BOB, SHOP, SECOND_SHOP = "440601199001011234", "440601199203045678", "91440604MA1234567A", "91440604MA1234580C"
LOGS = 400
"""Living registrations: each look opens a log."""


@asynccontextmanager
async def desk_of(folder: Path) -> AsyncIterator[CreditDesk]:
    """Credit's service with its ledger, in this process."""
    genesis = make_genesis(("a", "b", "c", "d"), Millis(START_MS + DAY_MS * 1_100 - 60_000))
    rig = Rig(folder, None)
    silent = replace(GENEROUS, logging=LoggingSettings(access=False))
    async with credit_desk(rig, logs=LOGS, more=[proof_part(genesis)], settings=silent) as desk:
        yield desk
    rig.close()


class City:
    """Who works at the desks, and who has a log."""

    def __init__(self, desk: CreditDesk) -> None:
        self.desk = desk
        self.context = desk.service.context
        self._references = itertools.count(1)

    async def settle_in(self) -> None:
        """Officers of a source, of an organisation that grants benefits, of the registrar and of the authority."""
        officer = self.desk.officer
        self.clerk, self.approver = await officer("org-x", Role.CLERK), await officer("org-x", Role.APPROVER, "陈华")
        self.boss, self.second = (
            await officer("org-x", Role.SUPERVISOR, "苏敏"),
            await officer("org-x", Role.SUPERVISOR, "施雨"),
        )
        self.decider, self.reviewer = (
            await officer("org-y", Role.APPROVER, "吴岚"),
            await officer("org-y", Role.APPROVER, "钱博"),
        )
        self.keeper, self.handing = (
            await officer("org-r", Role.CLERK, "李伟"),
            await officer("org-r", Role.APPROVER, "周凯"),
        )
        self.asking, self.authority = (
            await officer("org-r", Role.APPROVER, "何静"),
            await officer("org-c", Role.SUPERVISOR, "何岚"),
        )
        sources, others = (self.clerk, self.approver, self.boss, self.second), (self.decider, self.reviewer)
        self.officers = (*sources, *others, self.keeper, self.handing, self.asking, self.authority)
        service = self.desk.service
        self.ann, self.bob = await service.open_log(ANN), await service.open_log(BOB, "李雷")
        self.shop = await service.open_log(SHOP, "禅城示范食品有限公司", Kind.COMPANY)
        await service.open_log(SECOND_SHOP, "佛山市禅城区示范冷链物流有限公司", Kind.COMPANY)

    def ago(self, days: int) -> str:
        return (date_of(self.context.today) - timedelta(days=days)).isoformat()

    async def attested(self, number: str, subject: str, event_class: int, severity: str, days: int) -> str:
        """The newest event of a log, attested so many days ago."""
        fields = {"number": number, "event_class": str(event_class), "severity": severity}
        fields |= {"occurred": self.ago(days + 2), "document": self.ago(days)}
        await self.clerk.post_and_sign("/attest", **fields, reference=f"P-2026/{next(self._references)}")
        return (await make_report(self.context, subject)).event_ids[-1]

    def request_of(self, subject: str, kind: str) -> str:
        """The newest request of a kind."""
        found = [one.row for one in requests.requests_of(self.context, subject) if one.row.kind == kind]
        return max(found, key=lambda row: row.opened_ms).id


async def of_a_person(city: City) -> list[Shown]:
    """Ann's pages, and what her requests look like at the desk; Bob has nothing yet."""
    context, ann = city.context, city.ann
    holder, empty = await city.desk.holder(ann), await city.desk.holder(city.bob)
    serious = await city.attested(ANN, ann, 101, "serious", 10)
    general = await city.attested(ANN, ann, 101, "general", 120)
    minor = await city.attested(ANN, ann, 101, "minor", 5)
    await city.attested(ANN, ann, 301, "none", 40)
    pledged = {"what": "201:org-x", "due": city.ago(-30), "words": "保持后厨整洁，欢迎随时检查。"}
    await holder.post("/me/pledge", **pledged)
    to_record = city.request_of(ann, requests.PLEDGE)
    recorded = dict(pledged, words="每月公示一次进货来源。")
    city.desk.wait(1_000)
    await holder.post("/me/pledge", **recorded)
    await city.clerk.post_and_sign(f"/requests/{city.request_of(ann, requests.PLEDGE)}/record")
    disputed = await requests.dispute(context, ann, serious, "罚款当天已缴清，处罚决定书写错了日期。")
    upheld = await requests.dispute(context, ann, minor, "这不是我，是同名的人。")
    answer = "已核对身份证号码，确为本人。"
    await city.approver.post_and_sign(f"/requests/{upheld}/answer", verdict="uphold", answer=answer)
    await holder.post(f"/me/events/{general}/repair", words="罚款已缴清。", fulfilled=city.ago(1), pledges="yes")
    repair = city.request_of(ann, requests.REPAIR)
    await holder.post(f"/me/events/{minor}/appeal", words="他们没有看我的材料。")
    await consents.give(context, ann, "org-y", "trust-approval", 30)
    await consents.give(context, ann, "org-y", "tender", 7)
    await report_for(context, ann, "org-y", "trust-approval")
    telling.set_channels(context, ACTOR, ann, ["ann@example.org"])
    await city.asking.post("/logs/link", number=ANN)
    link = city.request_of(ann, requests.LINK)
    refused = await decided(city, holder)
    at, bare = holder.browser, empty.browser
    return [
        Shown("me", at, "/me"),
        Shown("me-empty", bare, "/me"),
        Shown("event-disputed", at, f"/me/events/{serious}"),
        Shown("event-repair-asked", at, f"/me/events/{general}"),
        Shown("event-appealed", at, f"/me/events/{minor}"),
        Shown("readers", at, "/me/readers"),
        Shown("readers-empty", bare, "/me/readers"),
        Shown("my-pledges", at, "/me/pledge"),
        Shown("decisions", at, "/me/decisions"),
        Shown("decisions-empty", bare, "/me/decisions"),
        Shown("show", at, "/me/show?to=org-y&purpose=trust-approval"),
        Shown("show-empty", bare, "/me/show"),
        *refused,
        Shown("request-dispute", city.approver.browser, f"/requests/{disputed}"),
        Shown("request-dispute-clerk", city.clerk.browser, f"/requests/{disputed}"),
        Shown("request-repair", city.approver.browser, f"/requests/{repair}"),
        Shown("request-pledge", city.clerk.browser, f"/requests/{to_record}"),
        Shown("request-link", city.handing.browser, f"/requests/{link}"),
        Shown("requests", city.approver.browser, "/requests"),
    ]


async def asked(city: City, holder: HolderAt, nonce: bytes) -> str:
    """A benefit that Ann asks for with her report; its request."""
    context, purpose = city.context, "trust-approval"
    raw = (await make_report(context, city.ann)).raw
    shown = show(raw, context.ledger.genesis.network, holder.key, "org-y", purpose, nonce, context.now())
    return ask_benefit(context, "org-y", city.ann, purpose, shown, nonce).request_id


async def decided(city: City, holder: HolderAt) -> list[Shown]:
    """A benefit that waits, and one that was refused and is being reviewed."""
    first = await asked(city, holder, bytes(32))
    path = f"/requests/{first}/decide"
    await city.decider.post_and_sign(path, verdict="refuse", why="容缺受理要求 B 级以上。")
    reviews.ask_review(city.context, city.ann, requests.BENEFIT, first, "罚款当天已缴清，情节轻微，请重新审查。")
    review = city.request_of(city.ann, requests.REVIEW)
    city.desk.wait(1_000)
    second = await asked(city, holder, bytes([1]) * 32)
    return [
        Shown("decision-reviewed", holder.browser, f"/me/decisions/{first}"),
        Shown("decision-open", holder.browser, f"/me/decisions/{second}"),
        Shown("request-benefit", city.decider.browser, f"/requests/{second}"),
        Shown("review", city.reviewer.browser, f"/requests/{review}/review"),
        Shown("review-own", city.decider.browser, f"/requests/{review}/review"),
    ]


async def of_a_company(city: City) -> list[Shown]:
    """A company that is on a list and asks to be taken off; who reads of it."""
    context, holder = city.context, await city.desk.holder(city.shop)
    event = await city.attested(SHOP, city.shop, 101, "serious", 20)
    page = (await city.boss.post("/statutory/find", number=SHOP)).text
    entered = await entry(city.desk, page, ["funds", "honours"])
    await city.boss.post_and_sign("/statutory", **entered)  # type: ignore[arg-type]  # a list is sent as several
    await city.boss.get("/statutory")
    (one,) = listings_of(context, city.shop)
    reviews.ask_review(context, city.shop, reviews.LISTING, one.row.id, "整改已完成并通过复查。")
    review = city.request_of(city.shop, requests.REVIEW)
    await city.attested(SHOP, city.shop, 101, "serious", 15)
    anybody = city.desk.browser()

    async def found() -> httpx.Response:
        return await city.boss.browser.form("/statutory/find", number=SHOP)

    return [
        Shown("event-on-list", holder.browser, f"/me/events/{event}"),
        Shown("my-listing", holder.browser, f"/me/decisions/listings/{one.row.id}"),
        Shown("decisions-listed", holder.browser, "/me/decisions"),
        Shown("lists", anybody, "/lists"),
        Shown("list-entry", anybody, f"/lists/{one.row.id}"),
        Shown("statutory", city.boss.browser, "/statutory"),
        Shown("statutory-enter", city.boss.browser, "/statutory/find", found),
        Shown("statutory-one", city.second.browser, f"/statutory/{one.row.id}"),
        Shown("review-listing", city.second.browser, f"/requests/{review}/review"),
    ]


async def of_draws(city: City) -> list[Shown]:
    """A draw that was drawn, one that is void, one that waits; nothing was drawn for anybody before."""
    service, fields = city.desk.service, {"count": "1", "inspectors": "陈华\n张敏"}
    drawn = (await city.authority.post("/draws", **fields)).headers["location"]
    for _ in range(draws.DRAW_AHEAD + 1):
        service.ledger.pass_block()
    await city.authority.get(drawn)
    waits = (await city.authority.post("/draws", **fields)).headers["location"]

    async def again() -> httpx.Response:
        return await city.authority.browser.form("/draws", **fields)

    return [
        Shown("draws", city.authority.browser, "/draws"),
        Shown("draw-drawn", city.authority.browser, drawn),
        Shown("draw-waits", city.authority.browser, waits),
        Shown("draw-again", city.authority.browser, "/draws", again, status=422),
        Shown("public-draws", city.desk.browser(), "/lists/draws"),
    ]


async def of_desks(city: City) -> list[Shown]:
    """What officers of each organisation find, and the answers to what they send."""
    numbers = itertools.count(1)

    async def opened() -> httpx.Response:
        number = f"44060119880101{next(numbers):04}"
        return await city.keeper.browser.form("/logs", kind="person", number=number, name="赵敏")

    async def opened_twice() -> httpx.Response:
        return await city.keeper.browser.form("/logs", kind="person", number=ANN, name="王芳")

    async def linked() -> httpx.Response:
        for one in requests.requests_of(city.context, city.bob):
            if one.row.kind == requests.LINK and one.row.state == requests.OPEN:
                requests.decline(city.context, ACTOR, "org-r", one.row.id, "再来一次。")
        return await city.asking.browser.form("/logs/link", number=BOB)

    async def made() -> httpx.Response:
        return await city.boss.browser.form("/clients")

    async def brought() -> httpx.Response:
        return await bring(city.clerk, city.ago(5))

    month = keep_city(city.desk)
    lost = city.desk.service.subjects[1]
    assert lost == city.bob
    pages = [
        Shown("logs-opened", city.keeper.browser, "/logs", opened),
        Shown("logs-second", city.keeper.browser, "/logs", opened_twice, status=409),
        Shown("link-waits", city.asking.browser, "/logs/link", linked),
        Shown("clients-made", city.boss.browser, "/clients", made),
        Shown("import-done", city.clerk.browser, "/import", brought),
        Shown("month", city.authority.browser, f"/monitor/{month}"),
    ]
    for at, paths in (
        (city.clerk, "home attest import pledges requests"),
        (city.approver, "logs pledges"),
        (city.keeper, "logs"),
        (city.handing, "requests logs"),
        (city.boss, "companies"),
        (city.authority, "companies monitor statutory clients"),
    ):
        pages += [plain(at, path) for path in paths.split()]
    for path in ("me/sign-in", "me/join", "read"):
        pages.append(Shown(path.replace("/", "-"), city.desk.browser(), f"/{path}"))
    return pages


def plain(at: At, path: str) -> Shown:
    """A page that an officer opens from the navigation; what their organisation may not see is refused."""
    officer = at.browser.officer()
    status = 403 if (path, officer.organisation) in {("companies", "org-x"), ("logs", "org-x")} else 200
    name = f"{path}-{officer.organisation}-{officer.role}"
    return Shown(name, at.browser, "/" if path == "home" else f"/{path}", status=status)


async def bring(clerk: At, day: str) -> httpx.Response:
    """A file with a good line and some that are not."""
    lines = [
        "number,class,severity,occurred,document,due,reference",
        f"{ANN},301,,{day},{day},,A-1",
        f"{ANN},999,,{day},{day},,A-2",
        f"999999,301,,{day},{day},,A-3",
        f"{ANN},301,,not a day,{day},,A-6",
    ]
    web: Browser = clerk.browser
    page = await web.web.get("/import", headers={"accept": "text/html"})
    token = page.text.partition('name="csrf_token" value="')[2][:64]
    files = {"file": ("events.csv", "\n".join(lines).encode())}
    return await web.web.post("/import", data={"csrf_token": token}, files=files, headers={"accept": "text/html"})


async def prepared(desk: CreditDesk) -> list[Shown]:
    """Everything that there is to see."""
    city = City(desk)
    await city.settle_in()
    shown = await of_a_person(city)
    shown += await of_a_company(city)
    shown += await of_draws(city)
    shown += await of_desks(city)
    for at in city.officers:
        await confirmed(at)
    return shown


async def confirmed(at: At) -> None:
    """Let an officer say who they are; one address may try so often at once, and then has to wait."""
    answer = await at.browser.confirm(at.device)
    if answer.status_code == TOO_MANY_REQUESTS:
        await asyncio.sleep(2 * int(answer.headers["retry-after"]) + 1)
        answer = await at.browser.confirm(at.device)
    assert answer.status_code == OK, answer.text


async def main(looks: Sequence[str]) -> int:
    """Visit; 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        async with desk_of(Path(folder)) as desk:
            return await make_sheets(FOLDER, looks, await prepared(desk), desk.rig.clock_ms)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(chosen(sys.argv[1:]))))
