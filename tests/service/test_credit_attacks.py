# SPDX-License-Identifier: Apache-2.0
"""What somebody with a role, a key or a log of their own tries at credit's services, and what they get."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from credit_service_rig import ACTOR, CreditDesk, HolderAt, credit_desk
from sqlalchemy import select
from store_rig import Rig

from credit.api import answering, appeals, draws, regulator_pages, relinking, requests, reviews, telling
from credit.api.base import date_of
from credit.api.benefits import ask_benefit
from credit.api.clients import add_client
from credit.api.reading import HANDLE_MS, LISTED_MAX, StoredAccesses
from credit.api.reports import make_report
from credit.api.subjects import Kind
from credit.draw import announcement_digest
from credit.pb import credit_pb2 as pb
from credit.report import show
from service.notices.tables import Notice
from service.problems import Problem
from service.sign_in.attempts import TRIES_BURST
from service.sign_in.roles import Role
from service.store.models import AuditEntry

ANN, SHOP = "440601199001011234", "91440604MA1234567A"
WHY_X, WHY_Y = "Grade B is asked for", "Another reason, which nobody signed"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig) as made:
        yield made


def ago(desk: CreditDesk, days: int) -> str:
    return (date_of(desk.service.context.today) - timedelta(days=days)).isoformat()


def penalty(desk: CreditDesk, number: str) -> dict[str, str]:
    return {
        "number": number,
        "event_class": "101",
        "severity": "serious",
        "occurred": ago(desk, 12),
        "document": ago(desk, 10),
        "reference": "P-1",
    }


async def asked(desk: CreditDesk, holder: HolderAt, subject_id: str) -> str:
    """A benefit that is asked for with the holder's report; its request."""
    context = desk.service.context
    raw, nonce = (await make_report(context, subject_id)).raw, bytes(32)
    shown = show(raw, context.ledger.genesis.network, holder.key, "org-y", "trust-approval", nonce, context.now())
    return ask_benefit(context, "org-y", subject_id, "trust-approval", shown, nonce).request_id


def decisions(desk: CreditDesk) -> list[int]:
    state = desk.service.ledger.state
    return [pb.DecisionRecord.FromString(state[key]).outcome for key in state if key.startswith(b"credit/decision/")]


def notices(desk: CreditDesk) -> list[str]:
    with desk.store.read() as session:
        return list(session.scalars(select(Notice.kind).order_by(Notice.at_ms)))


# ---------------------------------------------------------------- two answers to one request


async def test_second_decision_prepared_before_the_first_is_signed_is_refused_by_the_ledger_and_read_by_nobody(
    desk: CreditDesk,
) -> None:
    """Wu Lan prepares a grant, Qian Bo a refusal; Wu Lan signs, and Qian Bo signs too."""
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    request_id = await asked(desk, holder, ann)
    wu, qian = [await desk.officer("org-y", Role.APPROVER, name) for name in ("Wu Lan", "Qian Bo")]
    granted = answering.decide_benefit(wu.signing, request_id, grant=True, why=WHY_X)
    refused = answering.decide_benefit(qian.signing, request_id, grant=False, why=WHY_Y)
    await wu.sign(granted)
    assert requests.follow_requests(context) == 1
    await qian.sign(refused)
    requests.follow_requests(context)
    assert decisions(desk) == [pb.OUTCOME_BENEFIT_GRANTED]
    (found,) = reviews.decided_of(context, ann, 10)
    assert (found.asked.row.state, found.asked.row.act_id, found.is_granted) == (requests.ANSWERED, granted, True)
    page = (await holder.get(f"/me/decisions/{request_id}")).text
    assert WHY_X in page
    assert WHY_Y not in page


async def test_reason_that_is_prepared_after_a_refusal_was_signed_is_not_read_and_the_refusal_can_be_reviewed(
    desk: CreditDesk,
) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    request_id = await asked(desk, holder, ann)
    wu = await desk.officer("org-y", Role.APPROVER, "Wu Lan")
    first = answering.decide_benefit(wu.signing, request_id, grant=False, why=WHY_X)
    answering.decide_benefit(wu.signing, request_id, grant=False, why=WHY_Y)
    await wu.sign(first)
    again = await wu.post(f"/requests/{request_id}/decide", verdict="refuse", why=WHY_Y)
    assert again.status_code == 409  # what was signed is what holds, though nobody has opened a page since
    page = (await holder.get(f"/me/decisions/{request_id}")).text
    assert WHY_X in page
    assert WHY_Y not in page
    assert reviews.ask_review(context, ann, requests.BENEFIT, request_id, "Look again")


async def test_answer_to_an_objection_that_nobody_signed_is_not_what_the_person_reads(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, ANN))
    (event_id,) = (await make_report(context, ann)).event_ids
    request_id = await requests.dispute(context, ann, event_id, "This is not so")
    wu = await desk.officer("org-x", Role.APPROVER, "Wu Lan")
    signed = answering.answer_dispute(wu.signing, request_id, "uphold", None, WHY_X)
    answering.answer_dispute(wu.signing, request_id, "withdraw", None, WHY_Y)
    await wu.sign(signed)
    assert requests.follow_requests(context) == 1
    (one,) = requests.requests_of(context, ann)
    assert (one.words["answer"], one.words["outcome"], one.row.act_id) == (WHY_X, "active", signed)


async def test_answers_that_nobody_signs_keep_a_request_from_its_decision_for_no_longer_than_they_live(
    desk: CreditDesk,
) -> None:
    ann = await desk.service.open_log(ANN)
    request_id = await asked(desk, await desk.holder(ann), ann)
    wu = await desk.officer("org-y", Role.APPROVER, "Wu Lan")
    for _ in range(8):
        answering.decide_benefit(wu.signing, request_id, grant=False, why=WHY_Y)
    assert (await wu.post(f"/requests/{request_id}/decide", verdict="grant")).status_code == 409
    desk.service.ledger.pass_blocks(32 * 60_000)
    desk.bosses.clear()  # their sessions are over
    qian = await desk.officer("org-y", Role.APPROVER, "Qian Bo")
    await qian.sign(answering.decide_benefit(qian.signing, request_id, grant=True, why=""))
    assert decisions(desk) == [pb.OUTCOME_BENEFIT_GRANTED]


# ---------------------------------------------------------------- objecting without end


async def test_event_that_was_upheld_is_not_frozen_by_objecting_again_and_the_authority_hears_the_company(
    desk: CreditDesk,
) -> None:
    """Each objection took the event out of the score for ten working days, and nothing limited them."""
    context, ledger = desk.service.context, desk.service.ledger
    shop = await desk.service.open_log(SHOP, "禅城示范食品有限公司", Kind.COMPANY)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, SHOP))
    holder = await desk.holder(shop)
    whole = await make_report(context, shop)
    (event_id,), grade = whole.event_ids, whole.verified.score().grade
    path = f"/me/events/{event_id}"
    assert (await holder.post(f"{path}/appeal", words="too early")).status_code == 409
    assert (await holder.post(f"{path}/dispute", words="This is not so")).status_code == 303
    assert (await make_report(context, shop)).verified.score().grade != grade
    wu = await desk.officer("org-x", Role.APPROVER, "Wu Lan")
    (request,) = requests.requests_of(context, shop)
    await wu.post_and_sign(f"/requests/{request.row.id}/answer", verdict="uphold", answer="It is so")
    sent = len(ledger.sent)
    refused = await holder.post(f"{path}/dispute", words="And again")
    assert (refused.status_code, len(ledger.sent)) == (409, sent)
    assert (await make_report(context, shop)).verified.score().grade == grade

    page = (await holder.get(path)).text
    assert "Turn to the authority" in page
    assert "/dispute" not in page
    assert (await holder.post(f"{path}/appeal", words="They did not look")).status_code == 303
    assert (await holder.post(f"{path}/appeal", words="once more")).status_code == 409
    assert (await make_report(context, shop)).verified.score().grade == grade
    appeal = next(one.row for one in requests.requests_of(context, shop) if one.row.kind == requests.APPEAL)
    assert (await wu.post(f"/requests/{appeal.id}/decline", answer="no")).status_code == 409
    he = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    page = (await he.get("/companies")).text
    assert all(words in page for words in ("They did not look", "Serious", "Document of")), "what the authority decides"
    assert (await wu.post(f"/escalated/{appeal.id}/dismiss", answer="no")).status_code == 403
    assert (await he.post(f"/escalated/{appeal.id}/dismiss", answer="It was looked at twice")).status_code == 303
    assert "It was looked at twice" in (await holder.get(path)).text
    assert (await holder.post(f"{path}/appeal", words="and once more")).status_code == 409
    assert (await he.post(f"/escalated/{appeal.id}/withdraw", answer="after all")).status_code == 409

    ann = await desk.service.open_log(ANN)
    await clerk.post_and_sign("/attest", **(penalty(desk, ANN) | {"reference": "P-2"}))
    (event_id,) = (await make_report(context, ann)).event_ids
    objection = await requests.dispute(context, ann, event_id, "This is not so")
    await wu.post_and_sign(f"/requests/{objection}/answer", verdict="uphold", answer="It is so")
    heard = appeals.ask_appeal(context, ann, event_id, "It was somebody of my name")
    await he.post_and_sign(f"/escalated/{heard}/withdraw", answer="It was")
    found = {one.row.id: one for one in requests.requests_of(context, ann)}[heard]
    assert (found.row.state, found.words["outcome"], found.words["answer"]) == ("answered", "withdrawn", "It was")


# ---------------------------------------------------------------- becoming somebody else


async def test_link_to_a_log_whose_first_link_nobody_used_takes_two_approvers_for_something_may_stand_in_it(
    desk: CreditDesk,
) -> None:
    ann = await desk.service.open_log(ANN)
    telling.set_channels(desk.service.context, ACTOR, ann, ["ann@example.org"])
    chen = await desk.officer("org-r", Role.APPROVER, "Chen Hua")
    assert "/me/join#" not in (await chen.post("/logs/link", number=ANN)).text
    (request,) = requests.requests_of(desk.service.context, ann)
    assert (await chen.post(f"/logs/link/{request.row.id}")).status_code == 409
    zhou = await desk.officer("org-r", Role.APPROVER, "Zhou Kai")
    assert "/me/join#" in (await zhou.post(f"/logs/link/{request.row.id}")).text
    assert notices(desk) == ["credit-link-first"]


async def test_one_approver_alone_cannot_hand_out_a_link_that_exchanges_a_holders_key(desk: CreditDesk) -> None:
    """Whoever has the link is the person here: reads their score, consents for them, and signs them out."""
    ann = await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    telling.set_channels(desk.service.context, ACTOR, ann, ["ann@example.org"])
    chen, clerk = await desk.officer("org-r", Role.APPROVER, "Chen Hua"), await desk.officer("org-r", Role.CLERK)
    asked = await chen.post("/logs/link", number=ANN)
    assert asked.status_code == 200
    assert "/me/join#" not in asked.text
    assert (await chen.post("/logs/link", number=ANN)).status_code == 409
    (request,) = requests.requests_of(desk.service.context, ann)
    path = f"/logs/link/{request.row.id}"
    assert "Link for another device" in (await holder.get("/me")).text
    assert (await chen.post(path)).status_code == 409
    assert (await clerk.post(path)).status_code == 403
    stranger = await desk.officer("org-x", Role.APPROVER, "Wu Lan")
    assert (await stranger.post(path)).status_code == 403

    assert notices(desk) == ["credit-link-asked"]

    zhou = await desk.officer("org-r", Role.APPROVER, "Zhou Kai")
    assert "王芳" in (await zhou.get(f"/requests/{request.row.id}")).text
    given = await zhou.post(path)
    assert "/me/join#" in given.text
    assert (await zhou.post(path)).status_code == 409, "it is handed out once"
    assert (await holder.get("/me/readers")).status_code == 200, "the old key holds until the link was used"
    assert "Link for a device handed out" in (await holder.get("/me/readers")).text
    assert sorted(notices(desk)) == ["credit-link-asked", "credit-link-given"]

    assert (await chen.post("/logs/link", number=ANN)).status_code == 200
    other = zhou.browser.officer()
    desk.rig.clock_ms += requests.LINK_MS
    (late,) = requests.waiting_for(desk.service.context, "org-r", [requests.LINK])
    with pytest.raises(Problem):
        relinking.confirm_link(desk.service.context, other, late.row.id)
    assert requests.follow_requests(desk.service.context) == 1
    assert requests.waiting_for(desk.service.context, "org-r", [requests.LINK]) == []


# ---------------------------------------------------------------- burying a look


async def test_source_that_looks_somebody_up_again_and_again_buries_nobody_elses_look(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    web, key = desk.browser().web, add_client(context, ACTOR, "org-x")
    with context.store.write() as session:
        StoredAccesses(context).note(session, ann, "org-y", "tender", "report", {})
    desk.rig.clock_ms += 1_000
    for _ in range(5):
        answer = await web.post("/v1/credit/subjects", json={"number": ANN}, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    looks, more = StoredAccesses(context).of(ann)
    assert [(one.organisation, one.what) for one in looks] == [("org-x", "handle"), ("org-y", "report")]
    assert not more
    clerk = await desk.officer("org-x", Role.CLERK)
    for reference in ("P-1", "P-2"):
        await clerk.post("/attest", **(penalty(desk, ANN) | {"reference": reference}))
    assert len(StoredAccesses(context).of(ann)[0]) == 2, "an officer's look-ups are their organisation's"
    desk.rig.clock_ms += HANDLE_MS
    with context.store.write() as session:
        StoredAccesses(context).note_handle(session, ann, "org-x")
    assert len(StoredAccesses(context).of(ann)[0]) == 3, "an hour later it is another look"

    with context.store.write() as session:
        for _ in range(LISTED_MAX):
            StoredAccesses(context).note(session, ann, "org-x", "listing", "handle", {})
    desk.bosses.clear()
    holder = await desk.holder(ann)
    first = (await holder.get("/me/readers")).text
    assert "org-y" not in first
    assert 'href="/me/readers?page=2"' in first
    assert "<b>org-y</b>" in (await holder.get("/me/readers?page=2")).text
    assert (await holder.get("/me/readers?page=0")).status_code == 422


async def test_clerk_who_looks_people_up_by_a_file_and_signs_nothing_stands_in_the_list_of_each(
    desk: CreditDesk,
) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    bob = await desk.service.open_log("440601199001011250")
    clerk = await desk.officer("org-x", Role.CLERK)
    day = date_of(context.today - 3).isoformat()
    lines = [
        "number,class,severity,occurred,document,due,reference",
        f"{ANN},301,,{day},{day},,A-1",
        f"440601199001011250,999,,{day},{day},,A-2",  # a class that there is not: the line is refused, and tells
        f"440601199001019999,999,,{day},{day},,A-3",
    ]
    await clerk.browser.confirm(clerk.device)
    form = await clerk.browser.web.get("/import", headers={"accept": "text/html"})
    token = form.text.partition('name="csrf_token" value="')[2][:64]
    files = {"file": ("people.csv", "\n".join(lines).encode())}
    page = await clerk.browser.web.post(
        "/import", data={"csrf_token": token}, files=files, headers={"accept": "text/html"}
    )
    assert page.status_code == 200
    told = re.findall(r'<td class="mono">(A-[23])</td><td>([^<]*)</td>', page.text)
    assert len({reason for _, reason in told}) == 2, "who is here is told apart from who is not"
    for subject in (ann, bob):
        looks = [(one.organisation, one.what) for one in StoredAccesses(context).of(subject)[0]]
        assert looks == [("org-x", "handle")]


async def test_source_that_tries_numbers_out_is_stopped_until_the_next_day(
    desk: CreditDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credit.api.misses.MISSES_DAY_MAX", 20)
    context = desk.service.context
    await desk.service.open_log(ANN)
    web, keys = desk.browser().web, {name: add_client(context, ACTOR, name) for name in ("org-x", "org-y")}

    async def tried(number: str, by: str = "org-x") -> int:
        headers = {"authorization": f"Bearer {keys[by]}"}
        return (await web.post("/v1/credit/subjects", json={"number": number}, headers=headers)).status_code

    guesses = [f"4406011990010{1 + i:05d}" for i in range(30)]
    assert [await tried(guess) for guess in guesses] == [404] * 20 + [429] * 10
    assert await tried(ANN) == 429, "whoever is here is told apart from who is not by nobody who guesses"
    assert await tried(guesses[0], "org-y") == 404, "another organisation has its own"
    clerk = await desk.officer("org-x", Role.CLERK)
    assert (await clerk.post("/attest", **penalty(desk, ANN))).status_code == 429, "its officers share them"
    desk.service.ledger.pass_blocks(86_400_000)
    assert await tried(ANN) == 200


@pytest.mark.usefixtures("still_rates")
async def test_holder_who_signs_in_without_end_is_slowed_down_and_leaves_no_rows_without_end(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    holder = await desk.holder(ann)  # one try: the link
    answers = [(await holder.enter("sign-in")).status_code for _ in range(80)]
    assert answers == [200] * (TRIES_BURST - 1) + [429] * (81 - TRIES_BURST)
    with desk.store.read() as session:
        assert session.scalars(select(AuditEntry.act)).all().count("credit.signed-in") == TRIES_BURST


# ---------------------------------------------------------------- drawing until it pleases


async def test_draws_are_not_repeated_in_the_dark_and_nobody_is_exempt_from_them(
    desk: CreditDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six announcements in a row gave three different companies, and nobody outside saw that there were six."""
    service = desk.service
    await service.open_log(SHOP, "禅城示范食品有限公司", Kind.COMPANY)
    await service.open_log("91440604MA1234568B", "张槎小吃店", Kind.COMPANY)
    he = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    lot = {"count": "1", "inspectors": "ann"}
    first = (await he.post("/draws", **lot)).headers["location"]
    refused = await he.post("/draws", **lot)
    assert refused.status_code == 422
    assert "waits for its block" in refused.text
    for _ in range(draws.DRAW_AHEAD):
        service.ledger.pass_block()
    assert "Drawn" in (await he.get(first)).text
    assert (await he.post("/draws", **lot)).status_code == 303

    anybody = desk.browser().web
    page = (await anybody.get("/lists/draws", headers={"accept-language": "en"})).text
    announcement = (await he.get(f"{first}/announcement")).content
    assert announcement_digest(announcement).hex() in page
    assert page.count("Number ") == 2
    assert SHOP not in page, "whoever is to be inspected is not warned"
    monkeypatch.setattr(draws, "LISTED_MAX", 1)
    assert 'href="/lists/draws?page=2"' in (await anybody.get("/lists/draws")).text
    assert 'href="/draws?page=2"' in (await he.get("/draws")).text

    for _ in range(draws.DRAW_AHEAD):
        service.ledger.pass_block()
    assert draws.complete_draws(service.context) == 1
    monkeypatch.setattr(regulator_pages, "COMPANIES_MAX", 1)
    refused = await he.post("/draws", **lot)
    assert refused.status_code == 422
    assert "would exempt the others" in refused.text
    assert "more than 1 companies" in (await he.get("/companies")).text
