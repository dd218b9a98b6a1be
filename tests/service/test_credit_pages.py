# SPDX-License-Identifier: Apache-2.0
"""Credit's pages: officers attest and answer with their own signatures, people see, object, ask and let others read."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from credit_service_rig import CreditDesk, credit_desk
from sqlalchemy import select
from store_rig import Rig

from credit.api import consents, requests
from credit.api.base import date_of
from credit.api.reading import notices_for, send_notices
from credit.api.reports import make_report, report_for
from credit.api.settling import settle
from credit.api.subjects import Kind
from credit.api.tables import CreditRequest
from credit.draw import Announcement, draw, verify_announced
from service.sign_in.roles import Role

ANN = "440601199001011234"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig) as made:
        yield made


def ago(desk: CreditDesk, days: int) -> str:
    return (date_of(desk.service.context.today) - timedelta(days=days)).isoformat()


def penalty(desk: CreditDesk, reference: str = "P-1", severity: str = "serious", days: int = 10) -> dict[str, str]:
    return {
        "number": ANN,
        "event_class": "101",
        "severity": severity,
        "occurred": ago(desk, days + 2),
        "document": ago(desk, days),
        "reference": reference,
    }


def request_of(desk: CreditDesk) -> str:
    with desk.store.read() as session:
        return session.scalars(select(CreditRequest.id).order_by(CreditRequest.opened_ms.desc())).first() or ""


async def test_dispute_runs_from_objection_to_correction_and_earlier_readers_are_told(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    approver = await desk.officer("org-x", Role.APPROVER, "Chen Hua")
    await clerk.post_and_sign("/attest", **penalty(desk))
    holder = await desk.holder(ann)
    page = await holder.get("/me")
    assert page.status_code == 200, page.text
    assert "440" in page.text  # 600 - 160
    await consents.give(context, ann, "org-y", "tender", 30)
    await report_for(context, ann, "org-y", "tender")

    event = re.search(r"/me/events/([0-9a-f]{32})", page.text)
    assert event is not None
    answer = await holder.post(f"/me/events/{event[1]}/dispute", words="It was a small thing")
    assert answer.status_code == 303, answer.text
    assert "It was a small thing" in (await holder.get(f"/me/events/{event[1]}")).text
    assert (await make_report(context, ann)).score.points == 600
    assert "/requests/" in (await approver.get("/requests")).text
    request_id = request_of(desk)
    assert "It was a small thing" in (await approver.get(f"/requests/{request_id}")).text
    await approver.post_and_sign(
        f"/requests/{request_id}/answer",
        verdict="correct",
        severity="minor",
        occurred=ago(desk, 12),
        document=ago(desk, 10),
        answer="You are right",
    )
    assert (await make_report(context, ann)).score.points == 580
    shown = (await holder.get(f"/me/events/{event[1]}")).text
    assert "You are right" in shown
    assert "Corrected" in shown
    (notice,) = notices_for(context, "org-y")
    assert notice.status == "corrected"
    assert await send_notices(context) == 1
    assert await send_notices(context) == 0
    requests.follow_requests(context)
    await make_report(context, ann)
    assert len(notices_for(context, "org-y")) == 1
    assert notices_for(context, "org-x") == []


async def test_whoever_attested_an_event_does_not_answer_the_objection_to_it(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk))
    (event_id,) = (await make_report(desk.service.context, ann)).event_ids
    await requests.dispute(desk.service.context, ann, event_id, "no")
    answer = await clerk.post(f"/requests/{request_of(desk)}/answer", verdict="uphold", answer="It is so")
    assert answer.status_code == 403
    stranger = await desk.officer("org-y", Role.APPROVER, "Wu Lan")
    answer = await stranger.post(f"/requests/{request_of(desk)}/answer", verdict="uphold", answer="It is so")
    assert answer.status_code == 404


async def test_repair_is_asked_for_signed_and_final(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    approver = await desk.officer("org-x", Role.APPROVER, "Chen Hua")
    await clerk.post_and_sign("/attest", **penalty(desk, "early", "general", days=10))
    await clerk.post_and_sign("/attest", **penalty(desk, "late", "general", days=120))
    holder = await desk.holder(ann)
    early, late = (await make_report(context, ann)).event_ids
    fields = {"words": "paid", "fulfilled": ago(desk, 1), "pledges": "yes"}
    assert (await holder.post(f"/me/events/{early}/repair", **fields)).status_code == 409
    assert (await holder.post(f"/me/events/{late}/repair", **(fields | {"pledges": ""}))).status_code == 409
    assert (await holder.post(f"/me/events/{late}/repair", **fields)).status_code == 303
    await approver.post_and_sign(f"/requests/{request_of(desk)}/repair", answer="Paid in full")
    assert (await make_report(context, ann)).score.points == 600 - 60
    answer = await holder.post(f"/me/events/{late}/dispute", words="and yet")
    assert answer.status_code == 409
    assert "final" in answer.text


async def test_pledge_is_made_recorded_and_checked_and_its_points_follow(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    clerk = await desk.officer("org-x", Role.CLERK)
    approver = await desk.officer("org-x", Role.APPROVER, "Chen Hua")
    due = (date_of(context.today) + timedelta(days=30)).isoformat()
    assert "201:org-x" in (await holder.get("/me/pledge")).text
    assert (await holder.post("/me/pledge", what="101:org-x", due=due, words="no pledge")).status_code == 422
    assert (await holder.post("/me/pledge", what="201:org-y", due=due, words="not theirs")).status_code == 403
    assert (await holder.post("/me/pledge", what="201:org-x", due=due, words="Clean kitchens")).status_code == 303
    await clerk.post_and_sign(f"/requests/{request_of(desk)}/record")
    assert (await make_report(context, ann)).score.points == 615
    (event_id,) = (await make_report(context, ann)).event_ids
    await approver.post_and_sign(f"/pledges/{event_id}", verdict="kept")
    assert (await make_report(context, ann)).score.points == 640


async def test_objection_that_nobody_answers_is_escalated_and_the_authority_withdraws_the_event(
    desk: CreditDesk,
) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk))
    (event_id,) = (await make_report(context, ann)).event_ids
    await requests.dispute(context, ann, event_id, "nobody reads this")
    desk.service.ledger.pass_blocks(20 * 86_400_000)
    desk.bosses.clear()  # their working day is over
    assert requests.follow_requests(context) == 1
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    page = await authority.get("/companies")
    assert "nobody reads this" in page.text
    source = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    assert (await source.get("/companies")).status_code == 403
    await authority.post_and_sign(f"/escalated/{request_of(desk)}/withdraw", answer="No answer came")
    assert (await make_report(context, ann)).score.points == 600


async def test_file_of_events_reports_bad_lines_and_goes_on_where_it_stopped(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    day = ago(desk, 5)
    lines = [
        "number,class,severity,occurred,document,due,reference",
        f"{ANN},301,,{day},{day},,A-1",
        f"{ANN},999,,{day},{day},,A-2",
        f"999999,301,,{day},{day},,A-3",
        f"{ANN},101,serious,{day},{ago(desk, 9)},,A-4",
        f"{ANN},301,,{day},{day},,A-1",
        f"{ANN},301,,not a day,{day},,A-6",
        f"{ANN},301,,{day},{day},,A-7",
    ]

    async def bring(text: str) -> str:
        await clerk.browser.confirm(clerk.device)
        page = await clerk.browser.web.get("/import", headers={"accept": "text/html"})
        token = page.text.partition('name="csrf_token" value="')[2][:64]
        answer = await clerk.browser.web.post(
            "/import", data={"csrf_token": token}, files={"file": ("events.csv", text.encode())},
            headers={"accept": "text/html"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.text

    page = await bring("\n".join(lines))
    found = re.findall(r'<td class="num">(\d+)</td><td class="mono">([^<]*)</td><td>([^<]*)</td>', page)
    assert [(line, reference) for line, reference, _ in found] == [
        ("3", "A-2"), ("4", "A-3"), ("5", "A-4"), ("6", "A-1"), ("7", "A-6"),
    ]  # fmt: skip
    assert ANN not in page
    (act,) = re.findall(r"/acts/([0-9a-f]{32})", page)
    assert (await clerk.sign(act)).status_code == 200
    page = await bring("\n".join([*lines[:2], f"{ANN},301,,{day},{day},,A-2", lines[-1]]))
    (act,) = re.findall(r"/acts/([0-9a-f]{32})", page)
    assert (await clerk.sign(act)).status_code == 200
    settle(context)
    assert len((await make_report(context, ann)).event_ids) == 3
    assert "/acts/" not in await bring("\n".join(lines[:2]))


async def test_holders_nonce_is_good_once_and_for_one_thing_and_a_link_binds_one_key(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    nonce = (await holder.browser.post("/me/nonce")).json()["nonce"]
    signed = {
        "public_key": holder.key.signer.public_key.hex(),
        "nonce": nonce,
        "signature": holder.key.sign(f"zhixin/credit-holder/1\0join\0https://desk.example.org\0{nonce}".encode()).hex(),
    }
    assert (await holder.browser.post("/me/sign-in", signed)).status_code == 401
    again = await holder.enter("sign-in")
    assert again.status_code == 200
    assert (await holder.enter("join", token="A" * 43)).status_code == 410
    other = await desk.holder(ann)
    assert (await holder.enter("sign-in")).status_code == 401
    assert (await holder.get("/me")).headers["location"] == "/me/sign-in"
    assert (await other.get("/me")).status_code == 200
    desk.wait(16 * 60_000)
    assert (await other.get("/me")).headers["location"] == "/me/sign-in"


async def test_nobody_reads_or_changes_what_is_another_ones(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    bob = await desk.service.open_log("440601199001015678", "李雷")
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk))
    (event_id,) = (await make_report(context, ann)).event_ids
    thief = await desk.holder(bob)
    assert (await thief.get(f"/me/events/{event_id}")).status_code == 404
    assert (await thief.post(f"/me/events/{event_id}/dispute", words="mine")).status_code == 404
    consent = await consents.give(context, ann, "org-y", "tender", 3)
    await thief.post(f"/me/consents/{consent}/end")
    assert consents.listed(context, ann)[0].ended_ms == 0
    for path in ("/me", "/me/report", "/me/report.pdf", "/me/readers", "/me/pledge"):
        assert (await desk.browser().web.get(path, headers={"accept": "application/json"})).status_code == 401


async def test_log_is_opened_by_the_registrar_alone_and_its_link_is_shown_once(desk: CreditDesk) -> None:
    registrar = await desk.officer("org-r", Role.CLERK, "Liu Yi")
    source = await desk.officer("org-x", Role.CLERK)
    fields = {"kind": "person", "number": ANN, "name": "王芳"}
    assert (await source.post("/logs", **fields)).status_code == 403
    page = await registrar.post("/logs", **fields)
    assert "/me/join#" in page.text
    assert (await registrar.post("/logs", **fields)).status_code == 409
    assert "/me/join#" not in (await registrar.get("/logs")).text


async def test_link_for_another_device_takes_an_approver_and_the_holder_sees_it(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-r", Role.CLERK, "Liu Yi")
    approver = await desk.officer("org-r", Role.APPROVER, "Chen Hua")
    assert (await clerk.post("/logs/link", number=ANN)).status_code == 403
    holder = await desk.holder(ann)
    assert "Link for a device handed out" in (await holder.get("/me/readers")).text
    assert "/me/join#" not in (await approver.post("/logs/link", number=ANN)).text, "it takes a second approver"


async def test_act_says_a_persons_name_masked_for_it_outlives_their_erasure(desk: CreditDesk) -> None:
    await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    answer = await clerk.post("/attest", **penalty(desk))
    page = (await clerk.get(answer.headers["location"])).text
    assert "王＊" in page
    assert "王芳" not in page


async def test_draw_is_announced_before_its_seed_and_anybody_draws_the_same_again(desk: CreditDesk) -> None:
    service = desk.service
    numbers = ["91440604MA1234567A", "91440604MA1234568B"]
    for number in numbers:
        await service.open_log(number, f"公司 {number[-1]}", Kind.COMPANY)
    await service.open_log(ANN)
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    page = await authority.get("/companies")
    assert all(number in page.text for number in numbers)
    assert ANN not in page.text
    assert (await authority.post("/draws", count="3", inspectors="ann\nbob")).status_code == 422
    answer = await authority.post("/draws", count="1", inspectors="bob, ann")
    path = answer.headers["location"]
    assert "Waiting for the block" in (await authority.get(path)).text
    raw = (await authority.get(f"{path}/announcement")).content
    announced = Announcement.decode(raw)
    assert announced.inspectors == ("ann", "bob")
    assert [weight for _, weight in announced.candidates] == [4, 4]
    proof = (await authority.get(f"{path}/proof")).content
    verify_announced(raw, proof, service.context.ledger.genesis, "org-r", 1)
    while service.ledger.height < announced.height:
        service.ledger.pass_block()
    block_id = service.context.index.block_id(announced.height)
    assert block_id is not None
    ((company, inspector),) = draw(raw, block_id)
    page = await authority.get(path)
    assert f'<th scope="row" class="mono">{company}</th><td>{inspector}</td>' in page.text
    source = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    assert (await source.get("/draws")).status_code == 403


async def test_key_of_a_system_is_shown_once_and_ended_by_its_own_organisation(desk: CreditDesk) -> None:
    boss = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    page = await boss.post("/clients")
    assert "zxc_" in page.text
    page = await boss.get("/clients")
    assert "zxc_" not in page.text
    (client,) = re.findall(r"/clients/([0-9a-f]{32})/end", page.text)
    assert (await boss.post(f"/clients/{client}/end")).status_code == 303
    assert f"/clients/{client}/end" not in (await boss.get("/clients")).text


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_pages_hold_what_the_browser_computes_from_and_no_inline_script(desk: CreditDesk, language: str) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk))
    holder = await desk.holder(ann)
    page = (await holder.get("/me", language)).text
    block = page.partition('id="credit-data">')[2].partition("</script>")[0]
    data = json.loads(block)
    assert data["raw"] == (await make_report(context, ann)).score.raw.decode()
    assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", page)
    for path in ("/me/pledge", "/me/readers"):
        assert (await holder.get(path, language)).status_code == 200
    printed = await holder.get("/me/report.pdf", language)
    assert printed.content.startswith(b"%PDF")
    for path in ("/", "/attest", "/import", "/requests", "/pledges"):
        assert (await clerk.get(path, language)).status_code == 200


async def test_start_page_leads_an_administrator_to_people_and_a_refusal_has_a_way_on(desk: CreditDesk) -> None:
    clerk = await desk.officer("org-x", Role.CLERK)
    boss = desk.bosses["org-x"]
    answer = await boss.web.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/people")
    assert (await clerk.get("/")).status_code == 200
    refused = await clerk.get("/draws")
    assert refused.status_code == 403
    navigation = refused.text.partition("<main")[0]
    assert 'href="/attest"' in navigation
    assert 'href="/draws"' not in navigation
