# SPDX-License-Identifier: Apache-2.0
"""A refused benefit is explained and reviewed by another person; a statutory list is entered and left by document."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from credit_service_rig import SOURCE_X, CreditDesk, HolderAt, credit_desk
from sqlalchemy import select
from store_rig import Rig

from chain.errors import Refused
from chain.transaction import build
from chain.types import SALT_BYTES, Millis
from credit.api import listing_acts, listings, requests, reviews
from credit.api.base import date_of, operation
from credit.api.benefits import ask_benefit
from credit.api.page_tables import CreditListing
from credit.api.reading import StoredAccesses
from credit.api.reports import make_report
from credit.api.statutory_pages import PUBLIC_MS
from credit.api.subjects import Kind
from credit.api.tables import CreditRequest
from credit.decisions import load_decision
from credit.pb import credit_pb2 as pb
from credit.report import show
from service.problems import Problem
from service.sign_in.roles import Role

ANN, SHOP = "440601199001011234", "91440604MA1234567A"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig) as made:
        yield made


def ago(desk: CreditDesk, days: int) -> str:
    return (date_of(desk.service.context.today) - timedelta(days=days)).isoformat()


def penalty(desk: CreditDesk, number: str, severity: str = "serious", reference: str = "P-1") -> dict[str, str]:
    return {
        "number": number,
        "event_class": "101",
        "severity": severity,
        "occurred": ago(desk, 12),
        "document": ago(desk, 10),
        "reference": reference,
    }


async def asked(desk: CreditDesk, holder: HolderAt, subject_id: str) -> str:
    """A benefit that is asked for with the holder's report; its request."""
    context = desk.service.context
    raw, nonce = (await make_report(context, subject_id)).raw, bytes(32)
    shown = show(raw, context.ledger.genesis.network, holder.key, "org-y", "trust-approval", nonce, context.now())
    return ask_benefit(context, "org-y", subject_id, "trust-approval", shown, nonce).request_id


def review_id(desk: CreditDesk) -> str:
    with desk.store.read() as session:
        return session.scalars(select(CreditRequest.id).where(CreditRequest.kind == requests.REVIEW)).one()


async def test_refused_benefit_is_explained_and_reviewed_by_another_person_whose_answer_its_holder_reads(
    desk: CreditDesk,
) -> None:
    ann, bob = await desk.service.open_log(ANN), await desk.service.open_log("440601199001015678", "李雷")
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, ANN))
    holder = await desk.holder(ann)
    request_id = await asked(desk, holder, ann)
    path = f"/me/decisions/{request_id}"
    assert "Ask for a review" not in (await holder.get(path)).text
    assert (await holder.post(f"{path}/review", words="not yet")).status_code == 404
    decider = await desk.officer("org-y", Role.APPROVER, "Wu Lan")
    await decider.post_and_sign(f"/requests/{request_id}/decide", verdict="refuse", why="Grade B is asked for")
    page = (await holder.get(path)).text
    assert all(words in page for words in ("Grade B is asked for", "Ask for a review", "160"))

    thief = await desk.holder(bob)
    assert (await thief.get(path)).status_code == 404
    assert (await thief.post(f"{path}/review", words="mine")).status_code == 404
    assert (await holder.post(f"{path}/review", words=" ")).status_code == 409
    assert (await holder.post(f"{path}/review", words="I paid the same day")).status_code == 303
    assert (await holder.post(f"{path}/review", words="and again")).status_code == 409
    review = review_id(desk)
    answer = await decider.get(f"/requests/{review}")
    assert answer.headers["location"] == f"/requests/{review}/review"
    assert "You decided this yourself" in (await decider.get(f"/requests/{review}/review")).text
    fields = {"verdict": "grant", "answer": "It was paid, and the rest is small"}
    assert (await decider.post(f"/requests/{review}/review/answer", **fields)).status_code == 409
    assert (await clerk.get(f"/requests/{review}/review")).status_code == 404
    assert (await decider.post(f"/requests/{review}/decline", answer="no")).status_code == 409

    other = await desk.officer("org-y", Role.APPROVER, "Qian Bo")
    assert "I paid the same day" in (await other.get(f"/requests/{review}/review")).text
    assert (await other.post(f"/requests/{review}/review/answer", **(fields | {"answer": " "}))).status_code == 409
    await other.post_and_sign(f"/requests/{review}/review/answer", **fields)
    page = (await holder.get(path)).text
    assert "Granted" in page
    assert fields["answer"] in page
    (key,) = [key for key in desk.service.ledger.state if key.startswith(b"credit/decision/")]
    record = pb.DecisionRecord.FromString(desk.service.ledger.state[key])
    assert (record.outcome, record.reviews) == (pb.OUTCOME_BENEFIT_GRANTED, 1)
    assert (await other.post(f"/requests/{review}/review/answer", **fields)).status_code == 409


async def test_review_that_nobody_answers_in_time_is_late_and_can_still_be_answered(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    request_id = await asked(desk, holder, ann)
    decider = await desk.officer("org-y", Role.APPROVER, "Wu Lan")
    await decider.post_and_sign(f"/requests/{request_id}/decide", verdict="refuse", why="Grade B is asked for")
    reviews.ask_review(context, ann, requests.BENEFIT, request_id, "please look again")
    desk.service.ledger.pass_blocks(20 * 86_400_000)
    assert requests.follow_requests(context) == 1
    (found,) = reviews.decided_of(context, ann, 10)
    assert found.review is not None
    assert found.review.row.state == requests.ESCALATED
    desk.bosses.clear()  # their working day is over
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    assert "please look again" in (await authority.get("/companies")).text
    other = await desk.officer("org-y", Role.APPROVER, "Qian Bo")
    fields = {"verdict": "refuse", "answer": "The grade is still C"}
    await other.post_and_sign(f"/requests/{review_id(desk)}/review/answer", **fields)
    assert (await holder.enter("sign-in")).status_code == 200
    assert "Upheld" in (await holder.get(f"/me/decisions/{request_id}")).text


async def entry(desk: CreditDesk, page: str, measures: list[str], **changes: str) -> dict[str, object]:
    """The fields of an entry's form, from the page that offers its event."""
    event = re.search(r'<option value="([0-9a-f]{32})"', page)
    handle = re.search(r'name="subject" value="([0-9a-f]+)"', page)
    assert event is not None, page
    assert handle is not None
    fields = {"event": event[1], "subject": handle[1], "document": "佛禅信认〔2026〕3号", "day": ago(desk, 1)}
    return {**fields, **changes, "measures": measures}


async def test_company_is_entered_on_a_list_with_its_document_shown_to_everybody_and_ended_by_another_officer(
    desk: CreditDesk,
) -> None:
    context, ledger = desk.service.context, desk.service.ledger
    shop = await desk.service.open_log(SHOP, "禅城示范食品有限公司", Kind.COMPANY)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, SHOP))
    first = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    page = (await first.post("/statutory/find", number=SHOP)).text
    assert "Directors" not in page
    for changes in ({"document": "=1+1|x"}, {"day": ago(desk, 400)}, {"day": ago(desk, -1)}, {"event": "0" * 32}):
        refused = await first.post("/statutory", **await entry(desk, page, ["funds"], **changes))  # type: ignore[arg-type]  # a list is sent as several
        assert refused.status_code == 422, changes
    for measures in ([], ["office"], ["prison"]):
        refused = await first.post("/statutory", **await entry(desk, page, measures))  # type: ignore[arg-type]  # likewise
        assert refused.status_code == 422, measures
    await first.post_and_sign("/statutory", **await entry(desk, page, ["funds", "honours"]))  # type: ignore[arg-type]  # likewise
    assert "No event allows an entry" in (await first.post("/statutory/find", number=SHOP)).text

    assert "In force" in (await first.get("/statutory")).text
    anybody = desk.browser().web
    listed = (await anybody.get("/lists", headers={"accept-language": "en"})).text
    assert "禅城示范食品有限公司" in listed
    (public,) = set(re.findall(r"/lists/([0-9a-f]{32})", listed))
    shown = (await anybody.get(f"/lists/{public}", headers={"accept-language": "en"})).text
    assert all(
        words in shown for words in ("佛禅信认〔2026〕3号", "Excluded from grants of public money", "行政处罚法")
    )
    told = (await anybody.get(f"/lists/{public}/decision.json")).json()
    record = load_decision(ledger.state.get, bytes.fromhex(told["decision"]))
    assert record is not None
    digest = hashlib.sha256(bytes.fromhex(told["salt"]) + told["committed"].encode()).digest()
    assert (record.outcome, record.commitment) == (pb.OUTCOME_BURDEN, digest)
    assert json.loads(told["committed"])["measures"] == ["funds", "honours"]

    holder = await desk.holder(shop)
    assert "You stand on a statutory list" in (await holder.get("/me/decisions")).text
    assert (await holder.post(f"/me/decisions/listings/{public}/review", words="We made it good")).status_code == 303
    (event_id,) = (await make_report(context, shop)).event_ids
    await requests.dispute(context, shop, event_id, "This is not so")
    ledger.pass_blocks(PUBLIC_MS)
    assert "禅城示范食品有限公司" not in (await anybody.get("/lists")).text
    assert (await anybody.get(f"/lists/{public}")).status_code == 404
    assert (await anybody.get(f"/lists/{public}/decision.json")).status_code == 404

    out = {"document": "佛禅信移〔2026〕1号", "day": ago(desk, 0), "reason": "withdrawn"}
    review = review_id(desk)
    assert (await first.post(f"/requests/{review}/review/keep", answer="It stays")).status_code == 409
    assert (await first.post(f"/statutory/{public}/end", **out)).status_code == 409
    second = await desk.officer("org-x", Role.SUPERVISOR, "Shi Yu")
    assert (await second.post(f"/statutory/{public}/end", **(out | {"day": ago(desk, 5)}))).status_code == 422
    assert (await second.post(f"/statutory/{public}/end", **(out | {"reason": "mercy"}))).status_code == 422
    await second.post_and_sign(f"/statutory/{public}/end", **out)
    page = (await second.get(f"/statutory/{public}")).text
    assert all(words in page for words in ("Ended", "佛禅信移〔2026〕1号", "The event was corrected or withdrawn"))
    assert "Changed in your favour" in (await holder.get(f"/me/decisions/listings/{public}")).text
    record = load_decision(ledger.state.get, bytes.fromhex(told["decision"]))
    assert record is not None
    assert record.outcome == pb.OUTCOME_UNSPECIFIED
    assert (await second.post(f"/statutory/{public}/end", **out)).status_code == 409


async def test_person_on_a_list_is_on_no_public_page_and_reads_it_and_every_look_at_it(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, ANN))
    await clerk.post_and_sign("/attest", **penalty(desk, ANN, "general", "P-2"))
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    stranger = await desk.officer("org-y", Role.SUPERVISOR, "Lu Jia")
    known, unknown = [
        (await stranger.post("/statutory/find", number=number)).text.partition("<main")[2]
        for number in (ANN, "440601199001019999")
    ]
    assert "No event allows an entry" in known
    assert known == unknown  # whether somebody has a log is not told
    page = (await authority.post("/statutory/find", number=ANN)).text
    assert len(re.findall(r'<option value="[0-9a-f]{32}"', page)) == 1  # the general one is no ground
    await authority.post_and_sign("/statutory", **await entry(desk, page, ["office"]))  # type: ignore[arg-type]  # a list is sent as several
    with desk.store.read() as session:
        (listing_id,) = session.scalars(select(CreditListing.id))
    anybody = desk.browser().web
    assert "王" not in (await anybody.get("/lists")).text
    for path in (f"/lists/{listing_id}", f"/lists/{listing_id}/decision.json"):
        assert (await anybody.get(path)).status_code == 404
    assert (await stranger.get(f"/statutory/{listing_id}")).status_code == 404
    assert "王芳" not in (await authority.get("/statutory")).text
    assert (await authority.get(f"/statutory/{listing_id}")).status_code == 200

    holder = await desk.holder(ann)
    page = (await holder.get(f"/me/decisions/listings/{listing_id}")).text
    assert "May not be a company" in page
    looks = [(one.organisation, one.purpose) for one in StoredAccesses(context).of(ann)[0]]
    assert looks.count(("org-c", "listing")) == 2
    assert "Statutory lists" in (await holder.get("/me/readers")).text
    bob = await desk.holder(await desk.service.open_log("440601199001015678", "李雷"))
    assert (await bob.get(f"/me/decisions/listings/{listing_id}")).status_code == 404
    assert (await bob.post(f"/me/decisions/listings/{listing_id}/review", words="mine")).status_code == 404

    assert (
        await holder.post(f"/me/decisions/listings/{listing_id}/review", words="I left that office")
    ).status_code == 303
    other = await desk.officer("org-c", Role.SUPERVISOR, "Ma Rui")
    review = review_id(desk)
    assert "I left that office" in (await other.get(f"/requests/{review}/review")).text
    again = {"words": "Look once more"}
    assert (await holder.post(f"/me/decisions/listings/{listing_id}/review", **again)).status_code == 409
    await other.post_and_sign(f"/requests/{review}/review/keep", answer="The finding stands")
    assert "The finding stands" in (await holder.get(f"/me/decisions/listings/{listing_id}")).text
    assert (await holder.post(f"/me/decisions/listings/{listing_id}/review", **again)).status_code == 303
    (second,) = {one.row.id for one in requests.requests_of(context, ann) if one.row.state == "open"} - {review}
    await other.post_and_sign(f"/requests/{second}/review/keep", answer="It does")
    assert "It does" in (await holder.get(f"/me/decisions/listings/{listing_id}")).text
    told = listings.listings_of(context, ann)[0].content.decision
    record = load_decision(desk.service.ledger.state.get, bytes.fromhex(told))
    assert record is not None
    assert (record.outcome, record.reviews) == (pb.OUTCOME_BURDEN, 2)
    (one,) = listings.listings_of(context, ann)
    assert one.is_in_force
    desk.service.ledger.pass_blocks(1_200 * 86_400_000)  # its publication is over, and nobody signed an exit
    (one,) = listings.listings_of(context, ann)
    assert (one.row.state, one.is_in_force) == (listings.LISTED, False)
    desk.store.erase(one.row.person_id)
    with desk.store.read() as session:
        assert session.scalars(select(CreditListing.id)).all() == []


async def test_person_leaves_a_list_by_its_exit_document_also_after_a_review_upheld_the_entry(desk: CreditDesk) -> None:
    context, ann = desk.service.context, await desk.service.open_log(ANN)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, ANN))
    first = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    page = (await first.post("/statutory/find", number=ANN)).text
    await first.post_and_sign("/statutory", **await entry(desk, page, ["office"]))  # type: ignore[arg-type]  # a list is sent as several
    assert listing_acts.follow_listings(context) == 1
    (one,) = listings.listings_of(context, ann)
    reviews.ask_review(context, ann, reviews.LISTING, one.row.id, "I left that office")
    second = await desk.officer("org-x", Role.SUPERVISOR, "Shi Yu")
    await second.post_and_sign(f"/requests/{review_id(desk)}/review/keep", answer="The finding stands")
    out = {"document": "佛禅信移〔2026〕2号", "day": ago(desk, 0), "reason": "withdrawn"}
    assert (await first.post(f"/statutory/{one.row.id}/end", **out)).status_code == 409, "by whoever entered it"
    await second.post_and_sign(f"/statutory/{one.row.id}/end", **out)
    holder = await desk.holder(ann)
    page = (await holder.get(f"/me/decisions/listings/{one.row.id}")).text
    assert all(words in page for words in ("Ended", "佛禅信认〔2026〕3号", "佛禅信移〔2026〕2号", "The finding stands"))
    (one,) = listings.listings_of(context, ann)
    assert not one.is_in_force
    record = load_decision(desk.service.ledger.state.get, bytes.fromhex(one.content.decision))
    assert record is not None
    assert (record.outcome, record.reviews) == (pb.OUTCOME_UNSPECIFIED, 2)


async def test_entry_that_nobody_signs_is_gone_when_its_time_is_over(desk: CreditDesk) -> None:
    context, shop = desk.service.context, await desk.service.open_log(SHOP, "禅城示范食品有限公司", Kind.COMPANY)
    clerk = await desk.officer("org-x", Role.CLERK)
    await clerk.post_and_sign("/attest", **penalty(desk, SHOP))
    first = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    (ground,) = listing_acts.grounds_of(context, shop, "org-x")
    document = listings.Document("佛禅信认〔2026〕3号", context.today)
    listing_acts.enter(first.signing, shop, ground.event_id, document, ["funds"], source="org-x")
    with pytest.raises(Problem) as refused:
        listing_acts.enter(first.signing, shop, ground.event_id, document, ["funds"], source="org-x")
    assert refused.value.kind.code == "credit.listing"
    assert listing_acts.follow_listings(context) == 0
    assert listings.listings_of(context, shop) == []
    desk.service.ledger.pass_blocks(3_600_000)
    assert listing_acts.follow_listings(context) == 1
    assert listing_acts.grounds_of(context, shop, "org-x") == [ground]


async def test_burden_without_a_list_or_without_a_human_is_refused_by_the_ledger(desk: CreditDesk) -> None:
    """No page can prepare either; a program that signs with an organisation's key gets no further."""
    ledger = desk.service.ledger
    for number, code in ((301, "credit.not-on-list"), (101, "credit.no-human")):
        message = pb.Decide(id=bytes([number % 256]) * 32, outcome=pb.OUTCOME_BURDEN, commitment=bytes(32))
        setattr(message, "class", number)
        expires = Millis(desk.service.context.now() + 60_000)
        signed = build([operation(message)], [SOURCE_X], expires, bytes([number % 256]) * SALT_BYTES, ledger.network)
        try:
            executed = await ledger.submit_one(signed)
            assert executed.code in {code, "credit.no-human"}
        except Refused as refused:
            assert refused.code in {code, "credit.no-human"}  # noqa: PT017 - refused before or within a block
