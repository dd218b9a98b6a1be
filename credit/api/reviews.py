# SPDX-License-Identifier: Apache-2.0
"""Reviews: somebody whom a benefit was refused, or who stands on a statutory list, asks that a person looks again.

Another officer of the same organisation answers, with reasons and their own signature (`Review`, which the rules take
from another key than the one that decided). A benefit is reviewed once: it can be asked for anew. A listing is lifted
by its exit (`listings`), or upheld, with reasons; whoever stays on a list may ask again once that was answered.

What an officer is about to sign is kept by its act: whichever act is done is what was answered.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from credit.api.answering import Signing
from credit.api.answers import keep_answer
from credit.api.base import CreditContext, load_subject, operation
from credit.api.listings import Content
from credit.api.page_tables import CreditListing
from credit.api.problems import NOT_NOW, UNKNOWN_REQUEST
from credit.api.requests import (
    ANSWERED,
    BENEFIT,
    LIVING,
    OPEN,
    REVIEW,
    WORDS_CHARACTERS_MAX,
    Asked,
    add_request,
    close,
    load_request,
    read_request,
)
from credit.api.subjects import masked_name
from credit.api.tables import CreditRequest
from credit.pb import credit_pb2 as pb
from service.language import LANGUAGES, Language, translate
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.acts import State
from service.sign_in.tables import PreparedAct
from service.store.audit import SYSTEM

LISTING: Final = "listing"
"""What a review is about, beside `BENEFIT`."""
CHANGED, UPHELD = "changed", "upheld"
FOLLOWED_MAX: Final = 500
"""Reviews that one round looks at."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a benefit, as its holder reads it.

    Attributes:
        asked: The benefit's request.
        review: What became of its review; None: nobody asked for one.
    """

    asked: Asked
    review: Asked | None

    @property
    def is_granted(self) -> bool:
        """Whether the benefit is granted, also by a review."""
        changed = self.review is not None and self.review.words["outcome"] == CHANGED
        return changed or bool(self.asked.words.get("granted"))

    @property
    def may_be_reviewed(self) -> bool:
        """Whether a review can be asked for."""
        return self.asked.row.state == ANSWERED and not self.is_granted and self.review is None


def decided_of(context: CreditContext, subject_id: str, most: int) -> list[Decided]:
    """A subject's benefits with their reviews, newest first."""
    mine = CreditRequest.subject_id == subject_id
    query = select(CreditRequest).where(mine, CreditRequest.kind == BENEFIT)
    with context.store.read() as session:
        benefits = session.scalars(query.order_by(CreditRequest.opened_ms.desc()).limit(most)).all()
        reviews = {one.words["of"]: one for one in _reviews(context, session, subject_id)}
        return [Decided(read_request(context, session, row), reviews.get(row.id)) for row in benefits]


def review_of(context: CreditContext, subject_id: str, about: str) -> Asked | None:
    """The review of a decision or a listing; None: nobody asked for one."""
    with context.store.read() as session:
        return next((one for one in _reviews(context, session, subject_id) if one.words["of"] == about), None)


def _reviews(context: CreditContext, session: Session, subject_id: str) -> list[Asked]:
    query = select(CreditRequest).where(CreditRequest.subject_id == subject_id, CreditRequest.kind == REVIEW)
    rows = session.scalars(query.order_by(CreditRequest.opened_ms.desc()).limit(FOLLOWED_MAX))
    return [read_request(context, session, row) for row in rows]


# ---------------------------------------------------------------- asking


def ask_review(context: CreditContext, subject_id: str, about: str, of: str, words: str) -> str:
    """Ask that a person looks at a decision again; its clock begins.

    Args:
        context: Which service.
        subject_id: Who asks.
        about: `BENEFIT` or `LISTING`.
        of: Id of the benefit's request or of the listing.
        words: Why.

    Returns:
        The review's id.

    Raises:
        Problem: Nothing of this id was decided against this subject, it was reviewed or is about to be, or too many
            requests wait.
    """
    with context.store.write() as session:
        organisation = _decider(context, session, subject_id, about, of)
        earlier = [one.words["outcome"] for one in _reviews(context, session, subject_id) if one.words["of"] == of]
        may_ask = all(about == LISTING and outcome == UPHELD for outcome in earlier)
        if not may_ask or not words.strip():
            raise Problem(NOT_NOW)
        content = {
            "about": about,
            "of": of,
            "words": words[:WORDS_CHARACTERS_MAX],
            "answers": {},
            "answer": "",
            "outcome": "",
        }
        # of two at once, the second waits for the subject's row and for this audit row, and finds the first
        return add_request(context, session, subject_id, REVIEW, organisation, "", OPEN, content).id


def _decider(context: CreditContext, session: Session, subject_id: str, about: str, of: str) -> str:
    """Whose decision it was.

    Raises:
        Problem: There is none of this id that was against this subject.
    """
    if about == LISTING:
        listing = session.get(CreditListing, of, with_for_update=True)
        if listing is None or listing.subject_id != subject_id or listing.state != "listed":
            raise Problem(UNKNOWN_REQUEST)
        return listing.organisation
    row = session.get(CreditRequest, of, with_for_update=True)
    if row is None or row.subject_id != subject_id or row.kind != BENEFIT or row.state != ANSWERED:
        raise Problem(UNKNOWN_REQUEST)
    if read_request(context, session, row).words.get("granted"):
        raise Problem(NOT_NOW)
    return row.organisation


# ---------------------------------------------------------------- answering


@dataclass(frozen=True, slots=True)
class ToReview:
    """A review with what it is about, for the officer who answers.

    Attributes:
        benefit: The benefit's request; None: it is about a listing.
        is_own: Whether this officer made the decision, and so does not review it.
    """

    asked: Asked
    benefit: Asked | None
    listing_id: str
    is_own: bool


def to_review(signing: Signing, request_id: str) -> ToReview:
    """A review that the officer's organisation has to answer; that it was read is recorded.

    Raises:
        Problem: There is none of this id.
    """
    context, officer = signing.context, signing.officer
    with context.store.write() as session:
        row, asked, benefit = _load(signing, session, request_id)
        context.record(session, officer.person_id, "credit.request-read", row.id)
        if benefit is None:
            listing = session.get(CreditListing, asked.words["of"])
            return ToReview(asked, None, "" if listing is None else listing.id, is_own=False)
        return ToReview(asked, benefit, "", is_own=_decided_by(session, benefit) == officer.person_id)


def answer_review(signing: Signing, request_id: str, *, grant: bool, answer: str) -> str:
    """Have an officer answer the review of a refused benefit; the act's id.

    Raises:
        Problem: It was answered, is about a listing, gives no reason, or the officer made the decision.
    """
    context, officer = signing.context, signing.officer
    if not answer.strip():
        raise Problem(NOT_NOW)
    with context.store.read() as session:
        row, _, benefit = _load(signing, session, request_id)
        if row.state not in LIVING or benefit is None:
            raise Problem(NOT_NOW)
        if _decided_by(session, benefit) == officer.person_id:
            raise Problem(kinds.SAME_PERSON)
        decision = bytes.fromhex(benefit.words["decision"])
    outcome = pb.OUTCOME_BENEFIT_GRANTED if grant else pb.OUTCOME_BENEFIT_REFUSED
    found = CHANGED if grant else UPHELD
    key = "credit-list.act-review-grant" if grant else "credit-list.act-review-refuse"
    said = {language: [translate(language, key, grade=benefit.words["grade"])] for language in LANGUAGES}
    return _prepare(signing, request_id, pb.Review(id=decision, outcome=outcome), said, (found, answer))


def _prepare(
    signing: Signing, request_id: str, message: pb.Review, said: dict[Language, list[str]], answer: tuple[str, str]
) -> str:
    """Have the decision's next review signed, and keep what it answers under its act; the act's id."""
    context, officer = signing.context, signing.officer
    message.number = context.index.next_review(message.id)
    act_id = signing.prepare([operation(message)], said)
    # a crash here leaves an act of which this store knows nothing: signed, it stands on the ledger, and the review
    # stays open here until somebody sees that the ledger refuses a second one
    with context.store.write() as session:
        row = load_request(session, officer.organisation, request_id, hold=True)
        words = read_request(context, session, row).words
        kept = {"outcome": answer[0], "answer": answer[1][:WORDS_CHARACTERS_MAX]}
        keep_answer(context, session, words, act_id, kept)
        context.store.people.seal(session, row, CreditRequest.content, json.dumps(words))
    return act_id


def keep_listing(signing: Signing, request_id: str, answer: str) -> str:
    """Have an officer let a listing stay, saying why; the act's id. An exit ends a listing, and the review with it.

    Raises:
        Problem: It was answered, is about a benefit, gives no reason, or the officer entered the listing.
    """
    context, officer = signing.context, signing.officer
    with context.store.read() as session:
        row, asked, benefit = _load(signing, session, request_id)
        listing = session.get(CreditListing, asked.words["of"])
        if row.state not in LIVING or benefit is not None or listing is None or not answer.strip():
            raise Problem(NOT_NOW)
        if entered_by(context, session, listing) == officer.person_id:
            raise Problem(kinds.SAME_PERSON)
        entry = Content.decode(context.store.people.open(session, listing, CreditListing.content) or "")
        name = masked_name(context, session, load_subject(session, row.subject_id))
    message = pb.Review(id=bytes.fromhex(entry.decision), outcome=pb.OUTCOME_BURDEN)
    key = "credit-list.act-review-keep"
    said = {language: [translate(language, key, name=name, document=entry.document.number)] for language in LANGUAGES}
    return _prepare(signing, request_id, message, said, (UPHELD, answer))


def entered_by(context: CreditContext, session: Session, listing: CreditListing) -> str:
    """Who signed a listing's entry: the person's random id; "": they are gone."""
    content: dict[str, Any] = json.loads(context.store.people.open(session, listing, CreditListing.content) or "{}")
    act = session.get(PreparedAct, content.get("act", ""))
    return "" if act is None else act.person_id


def _load(
    signing: Signing, session: Session, request_id: str, *, hold: bool = False
) -> tuple[CreditRequest, Asked, Asked | None]:
    """A review of the officer's organisation, with the benefit that it is about."""
    context = signing.context
    row = load_request(session, signing.officer.organisation, request_id, hold=hold)
    if row.kind != REVIEW:
        raise Problem(UNKNOWN_REQUEST)
    asked = read_request(context, session, row)
    if asked.words["about"] == LISTING:
        return row, asked, None
    benefit = session.get(CreditRequest, asked.words["of"])
    assert benefit is not None, "a benefit goes with its person, and so does its review"
    return row, asked, read_request(context, session, benefit)


def _decided_by(session: Session, benefit: Asked) -> str:
    """Who signed a decision: the person's random id; "": they are gone."""
    act = session.get(PreparedAct, benefit.row.act_id)
    return "" if act is None else act.person_id


# ---------------------------------------------------------------- what becomes of it


def follow_reviews(context: CreditContext) -> int:
    """End reviews of which an act is done, or whose listing ended; how many."""
    query = select(CreditRequest.id).where(CreditRequest.kind == REVIEW, CreditRequest.state.in_(LIVING))
    with context.store.read() as session:
        ids = session.scalars(query.order_by(CreditRequest.due_day).limit(FOLLOWED_MAX)).all()
    return sum(_follow(context, one) for one in ids)


def _follow(context: CreditContext, request_id: str) -> bool:
    with context.store.read() as session:
        row = session.get(CreditRequest, request_id)
        if row is None or _answer(context, session, row) is None:
            return False
    with context.store.write() as session:
        row = session.get(CreditRequest, request_id, with_for_update=True)
        found = None if row is None or row.state not in LIVING else _answer(context, session, row)
        if row is None or found is None:
            return False
        close(context, session, row, ANSWERED, found)
        context.record(session, SYSTEM, "credit.review-answered", row.id)
    return True


def _answer(context: CreditContext, session: Session, row: CreditRequest) -> dict[str, str] | None:
    """What a review was answered; None: it was not yet."""
    words = read_request(context, session, row).words
    done = select(PreparedAct.id).where(PreparedAct.id.in_(list(words["answers"])), PreparedAct.state == State.DONE)
    act_id = session.scalar(done.limit(1))
    if act_id is not None:  # it stood on the ledger before any exit: after one the rules take no review
        found: dict[str, str] = words["answers"][act_id]
        return {"outcome": found["outcome"], "answer": found["answer"]}
    if words["about"] != LISTING:
        return None
    listing = session.get(CreditListing, words["of"])
    return {"outcome": CHANGED, "answer": ""} if listing is None or listing.state == "ended" else None
