# SPDX-License-Identifier: Apache-2.0
"""Subscriptions over REST: new events of a named query, sent to an address.  Source: EPCIS 2.0, 12.7.4."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from starlette.concurrency import run_in_threadpool

from service.problems import Problem
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import PREFIX, Callers, EpcisRoute, json_answer, json_body, listed
from traceability.api.problems import NO_RESOURCE, SUBSCRIPTION
from traceability.api.queries import QUERY_CHARACTERS_MAX
from traceability.api.queries_http import QueryName
from traceability.api.query_parameters import from_address
from traceability.api.query_shown import moment_ms
from traceability.api.query_store import QueryStore
from traceability.api.subscriptions import Subscriptions, read_subscription
from traceability.epcis_json import InvalidDocument, parse

SubscriptionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def subscriptions_router(context: TraceContext, subscriptions: Subscriptions, store: QueryStore) -> APIRouter:
    """Endpoints under `/epcis/queries/{name}/subscriptions`."""
    router = APIRouter(prefix=PREFIX, tags=["subscriptions"], route_class=EpcisRoute)
    Known = Annotated[Client, Depends(Callers(context).known)]  # noqa: N806 - a type
    Body = Annotated[bytes, Depends(json_body)]  # noqa: N806 - likewise
    path = "/queries/{name}/subscriptions"

    @router.get(path, operation_id="getSubscriptions", summary="One's own subscriptions to a query")
    async def all_of_them(name: QueryName, client: Known) -> Response:
        return json_answer(await run_in_threadpool(subscriptions.listed, client.gln, name))

    @router.post(path, operation_id="postSubscription", summary="Have new events sent to an address", status_code=201)
    async def add(name: QueryName, client: Known, raw: Body) -> Response:
        try:
            asked = read_subscription(parse(raw, size_max=QUERY_CHARACTERS_MAX), context.settings.trace.webhooks)
            before_ms = initial_ms(asked.initial)
        except InvalidDocument as error:
            raise subscription_problem(error) from None
        place = await run_in_threadpool(store.newest, before_ms)
        made = await run_in_threadpool(subscriptions.add, client.gln, name, asked, place)
        return Response(status_code=201, headers={"Location": f"{PREFIX}/queries/{name}/subscriptions/{made}"})

    @router.get(path + "/{subscription_id}", operation_id="getSubscription", summary="A subscription")
    async def one(name: QueryName, subscription_id: SubscriptionId, client: Known) -> Response:
        found = await run_in_threadpool(subscriptions.find, client.gln, name, subscription_id)
        if found is None:
            raise Problem(NO_RESOURCE)
        return json_answer(found)

    @router.delete(path + "/{subscription_id}", operation_id="deleteSubscription", summary="End a subscription")
    async def remove(name: QueryName, subscription_id: SubscriptionId, client: Known) -> Response:
        if not await run_in_threadpool(subscriptions.remove, client.gln, name, subscription_id):
            raise Problem(NO_RESOURCE)
        return Response(status_code=204)

    return router


def subscription_problem(error: InvalidDocument) -> Problem:
    """What is wrong with a subscription, field by field."""
    members = {"errors": listed(error.problems)}
    return Problem(SUBSCRIPTION, {"reason": str(error.problems[0])}, members=members)


def initial_ms(text: str) -> int | None:
    """From which block's time on; None: from now on.

    Raises:
        InvalidDocument: It is no time.
    """
    if not text:
        return None
    from_address([("GE_recordTime", text)])
    return int(moment_ms(text))
