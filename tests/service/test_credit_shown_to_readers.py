# SPDX-License-Identifier: Apache-2.0
"""A holder hands a report to a reader: limited to its purpose, told of in the person's list, open by its link alone."""

import base64
from collections.abc import AsyncIterator

import pytest
from credit_service_rig import DAY_MS, CreditDesk, HolderAt, credit_desk
from store_rig import Rig

from chain.strict_json import Json
from credit import report
from credit.api import accesses, showing
from credit.api.base import date_of
from credit.api.proof_pages import proof_part
from credit.api.reading import notices_for
from credit.api.reports import make_report
from credit.api.requests import dispute
from credit.showing import Shown, make_file, verify_file
from identity import access
from service.problems import Problem
from service.sign_in.roles import Role

ANN, BEN = "440601199001011234", "440601199002021236"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig, more=[proof_part(b"a genesis file")]) as made:
        yield made


async def record(desk: CreditDesk, event_class: int, severity: str) -> None:
    """One event of Ann's, ten days old."""
    clerk = await desk.officer("org-x", Role.CLERK)
    day = date_of(desk.service.context.today - 10).isoformat()
    fields = {"number": ANN, "event_class": str(event_class), "severity": severity, "reference": f"P-{event_class}"}
    await clerk.post_and_sign("/attest", **fields, occurred=day, document=day)


async def made(holder: HolderAt, purpose: str, audience: str = "org-y") -> dict[str, str]:
    answer = await holder.browser.post("/me/shown", {"audience": audience, "purpose": purpose})
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def signed(desk: CreditDesk, holder: HolderAt, words: dict[str, str], purpose: str) -> Shown:
    """The file, as the holder's browser makes it, read as its reader reads it."""
    genesis = desk.service.ledger.genesis_proven
    raw = base64.b64decode(words["report"])
    shown = report.show(raw, genesis.network, holder.key, "org-y", purpose, bytes(16), desk.rig.clock_ms)
    word: dict[str, Json] = {name: words[name] for name in ("statement", "signer", "signature")}
    return verify_file(make_file(shown, word, base64.b64decode(words["standing"])), genesis)


async def link(holder: HolderAt, made_id: str, content: bytes = b"sealed by the browser") -> int:
    sealed = base64.b64encode(content).decode()
    return (await holder.browser.post(f"/me/shown/{made_id}/link", {"sealed": sealed})).status_code


async def opened(desk: CreditDesk, made_id: str) -> tuple[int, bytes]:
    """What somebody without an account gets for a link."""
    answer = await desk.browser().web.get(f"/read/{made_id}/sealed")
    return answer.status_code, answer.content


async def test_report_for_a_reader_holds_what_its_purpose_opens_and_stands_in_the_persons_list(
    desk: CreditDesk,
) -> None:
    context, ledger = desk.service.context, desk.service.ledger
    ann = await desk.service.open_log(ANN)
    await record(desk, 101, "serious")
    await record(desk, 301, "none")
    holder = await desk.holder(ann)
    page = (await holder.get("/me/show?to=org-y&purpose=tender")).text
    assert "What org-y gets" in page
    assert "What 1 event says is kept back" in page
    whole = signed(desk, holder, await made(holder, "trust-approval"), "trust-approval")
    assert (whole.statement.name, whole.registrar, whole.audience) == ("王芳", "org-r", "org-y")
    assert whole.report.score() == (await make_report(context, ann)).score
    limited = signed(desk, holder, await made(holder, "tender"), "tender")
    assert [one.content is not None for one in limited.report.entries] == [True, False]
    while await accesses.enter(context):
        pass
    (listed,) = await accesses.reports(context, ann)
    looks = access.verify(listed.report, listed.first_slot, ledger.genesis_proven).accesses
    contents = [one.content for one in looks if one.content is not None and one.content.organisation == "org-y"]
    assert sorted(list(one.attributes) for one in contents) == [
        ["credit-tender/shown"],
        ["credit-trust-approval/shown"],
    ]
    assert "Report that you made for them" in (await holder.get("/me/readers")).text


async def test_reader_of_a_report_that_its_holder_handed_out_is_told_of_changes(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    await record(desk, 101, "serious")
    holder = await desk.holder(ann)
    words = await made(holder, "trust-approval")
    (event_id,) = (await make_report(context, ann)).event_ids
    await dispute(context, ann, event_id, "no")
    assert notices_for(context, "org-y") == []
    approver = await desk.officer("org-x", Role.APPROVER, "Chen Hua")
    request = (await approver.get("/requests")).text.partition("/requests/")[2][:32]
    await approver.post_and_sign(f"/requests/{request}/answer", verdict="withdraw", answer="You are right")
    await make_report(context, ann)
    assert [(one.report, one.status) for one in notices_for(context, "org-y")] == [(words["id"], "withdrawn")]


async def test_link_opens_for_whoever_has_it_until_it_is_over_or_taken_back(desk: CreditDesk) -> None:
    ann, ben = await desk.service.open_log(ANN), await desk.service.open_log(BEN, "李四")
    holder, other = await desk.holder(ann), await desk.holder(ben)
    first, second = (await made(holder, "trust-approval"))["id"], (await made(holder, "trust-approval"))["id"]
    assert await link(other, first) == 404
    assert (await opened(desk, first))[0] == 404
    assert await link(holder, first) == 200
    assert await link(holder, first) == 409
    assert await link(holder, second) == 200
    assert await opened(desk, first) == (200, b"sealed by the browser")
    assert (await other.post(f"/me/shown/{first}/end")).status_code == 303
    assert (await opened(desk, first))[0] == 200
    assert "Opened 2 times" in (await holder.get("/me/show")).text
    assert (await holder.post(f"/me/shown/{first}/end")).status_code == 303
    assert (await opened(desk, first))[0] == 404
    desk.service.ledger.pass_blocks(DAY_MS)
    assert (await opened(desk, second))[0] == 404
    assert (await opened(desk, "x"))[0] == 404


async def test_what_is_sealed_for_a_link_has_its_bounds(desk: CreditDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    monkeypatch.setattr(showing, "SEALED_BYTES_MAX", 100)
    monkeypatch.setattr(showing, "LIVING_MAX", 1)
    monkeypatch.setattr(showing, "OPENED_MAX", 2)
    monkeypatch.setattr(showing, "MADE_MAX", 2)
    first, second = (await made(holder, "tender"))["id"], (await made(holder, "tender"))["id"]
    assert (await holder.browser.post("/me/shown", {"audience": "org-y", "purpose": "tender"})).status_code == 409
    for content in (bytes(101), b""):
        with pytest.raises(Problem):
            showing.keep_sealed(context, ann, first, content)
    assert await link(holder, first, bytes(100)) == 200
    assert await link(holder, second) == 409
    assert [(await opened(desk, first))[0] for _ in range(3)] == [200, 200, 404]


@pytest.mark.parametrize(
    ("audience", "purpose", "status"),
    [("nobody", "tender", 422), ("org-y", "burden", 422), ("ORG-Y", "tender", 422)],
)
async def test_report_is_made_for_active_organisations_and_purposes_that_there_are_alone(
    desk: CreditDesk, audience: str, purpose: str, status: int
) -> None:
    holder = await desk.holder(await desk.service.open_log(ANN))
    answer = await holder.browser.post("/me/shown", {"audience": audience, "purpose": purpose})
    assert answer.status_code == status
    assert (await holder.get(f"/me/show?to={audience}&purpose={purpose}")).status_code == status
    stranger = await desk.browser().post("/me/shown", {"audience": "org-y", "purpose": "tender"})
    assert stranger.status_code == 401


async def test_readers_page_asks_nobody_to_sign_in_and_is_kept_for_visits_without_a_connection(
    desk: CreditDesk,
) -> None:
    web = desk.browser().web
    for language, title in (("en", "Check a credit report"), ("zh-CN", "核验信用报告")):
        page = await web.get("/read", headers={"accept": "text/html", "accept-language": language})
        assert page.status_code == 200
        assert title in page.text
    worker = await web.get("/read/offline.js")
    assert "credit-read.js" in worker.text
    assert page.headers["zhixin-offline"] in worker.text
