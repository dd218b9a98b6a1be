# SPDX-License-Identifier: Apache-2.0
"""Where people read what was decided about them and why, and ask for a review; and where an officer answers one."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from credit.api import requests, reviews
from credit.api.answering import class_name
from credit.api.base import CreditContext, credit_of
from credit.api.desk_pages import Approver, Reader, Supervisor, Text, show, signing_of, to_act
from credit.api.holder_pages import Text as HolderText
from credit.api.holder_pages import show_holder
from credit.api.holders import Here
from credit.api.listing_acts import follow_listings
from credit.api.listings import listings_of
from credit.api.measures import MEASURES, REASONS
from credit.api.problems import UNKNOWN_REQUEST
from credit.api.reading import PURPOSES
from credit.api.words import HOLD_KEYS, OUTCOME_KEYS
from service.language import language_of
from service.problems import Problem

DECISIONS_MAX: Final = 100
"""Of one person: the newest."""


def review_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_holder(router)
    _add_office(router)
    return router


def follow(context: CreditContext) -> None:
    """Let what was decided follow the acts that decide it."""
    requests.follow_requests(context)
    follow_listings(context)
    reviews.follow_reviews(context)


def _add_holder(router: APIRouter) -> None:
    @router.get("/me/decisions")
    def decisions(request: Request, holder: Here) -> Response:
        context = credit_of(request)
        follow(context)
        decided = reviews.decided_of(context, holder.subject_id, DECISIONS_MAX)
        listed = listings_of(context, holder.subject_id)
        names = {one.row.id: class_name(one.catalogued, language_of(request)) for one in listed}
        return show_holder(
            request, "decisions.html", decided=decided, listings=listed, names=names,
            hold_keys=HOLD_KEYS, outcome_keys=OUTCOME_KEYS,
        )  # fmt: skip

    @router.get("/me/decisions/{request_id}")
    def decision(request_id: str, request: Request, holder: Here) -> Response:
        context, language = credit_of(request), language_of(request)
        follow(context)
        found = reviews.decided_of(context, holder.subject_id, DECISIONS_MAX)
        one = next((one for one in found if one.asked.row.id == request_id), None)
        if one is None:
            raise Problem(UNKNOWN_REQUEST)
        catalogue = context.index.catalogue()
        return show_holder(
            request,
            "decision.html",
            one=one,
            least=PURPOSES[one.asked.words["purpose"]].least,
            lost=[(class_name(catalogue.get(number), language), points) for number, points in one.asked.words["lost"]],
            outcome_keys=OUTCOME_KEYS,
        )

    @router.get("/me/decisions/listings/{listing_id}")
    def listing(listing_id: str, request: Request, holder: Here) -> Response:
        context, language = credit_of(request), language_of(request)
        follow(context)
        one = next((one for one in listings_of(context, holder.subject_id) if one.row.id == listing_id), None)
        if one is None:
            raise Problem(UNKNOWN_REQUEST)
        return show_holder(
            request, "my-listing.html", one=one, what=class_name(one.catalogued, language), measures=MEASURES,
            reasons=REASONS, hold_keys=HOLD_KEYS, outcome_keys=OUTCOME_KEYS,
            review=reviews.review_of(context, holder.subject_id, listing_id),
        )  # fmt: skip

    @router.post("/me/decisions/{request_id}/review")
    def ask(request_id: str, request: Request, holder: Here, words: HolderText) -> Response:
        reviews.ask_review(credit_of(request), holder.subject_id, requests.BENEFIT, request_id, words)
        return RedirectResponse(f"/me/decisions/{request_id}", 303)

    @router.post("/me/decisions/listings/{listing_id}/review")
    def ask_off(listing_id: str, request: Request, holder: Here, words: HolderText) -> Response:
        reviews.ask_review(credit_of(request), holder.subject_id, reviews.LISTING, listing_id, words)
        return RedirectResponse(f"/me/decisions/listings/{listing_id}", 303)


def _add_office(router: APIRouter) -> None:
    @router.get("/requests/{request_id}/review")
    async def one(request_id: str, request: Request, officer: Reader) -> Response:
        context, language = credit_of(request), language_of(request)
        await run_in_threadpool(follow, context)
        found = await run_in_threadpool(reviews.to_review, signing_of(request, officer), request_id)
        lost = []
        if found.benefit is not None:
            catalogue = await run_in_threadpool(context.index.catalogue)
            lost = [
                (class_name(catalogue.get(number), language), points) for number, points in found.benefit.words["lost"]
            ]
        return show(request, officer, "review.html", found=found, lost=lost, outcome_keys=OUTCOME_KEYS)

    @router.post("/requests/{request_id}/review/answer")
    def answer(
        request_id: str,
        request: Request,
        officer: Approver,
        verdict: Annotated[str, Form(pattern="^(grant|refuse)$")],
        answer: Text,
    ) -> Response:
        signing = signing_of(request, officer)
        return to_act(reviews.answer_review(signing, request_id, grant=verdict == "grant", answer=answer))

    @router.post("/requests/{request_id}/review/keep")
    def keep(request_id: str, request: Request, officer: Supervisor, answer: Text) -> Response:
        return to_act(reviews.keep_listing(signing_of(request, officer), request_id, answer))
