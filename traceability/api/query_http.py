# SPDX-License-Identifier: Apache-2.0
"""The query interface of EPCIS 2.0: events, and the collections under which they are found.

Whose events somebody sees, `query_store` decides.  Source: EPCIS 2.0, sections 8.2 and 12.7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.problems import Problem
from traceability import epcis_vocabulary as cbv
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import PREFIX, Callers, EpcisRoute, json_answer, listed
from traceability.api.paging import PAGE_DEFAULT, PAGE_MAX, TOKEN_CHARACTERS_MAX, Pages
from traceability.api.problems import NO_RESOURCE, PAGE_TOKEN, QUERY
from traceability.api.query_parameters import Query as Asked
from traceability.api.query_parameters import from_address
from traceability.api.query_public import CONTEXT, STEM
from traceability.api.query_store import QueryStore
from traceability.epcis_json import InvalidDocument
from traceability.epcis_query import EVENT_TYPE_NAMES

COLLECTIONS: Final[Mapping[str, str]] = {
    "eventTypes": "eventType",
    "epcs": "MATCH_anyEPC",
    "bizSteps": "EQ_bizStep",
    "bizLocations": "EQ_bizLocation",
    "readPoints": "EQ_readPoint",
    "dispositions": "EQ_disposition",
}
"""Collections of the binding, and the parameter for which each stands."""
SIMPLE_QUERY: Final = "SimpleEventQuery"
URI_CHARACTERS_MAX: Final = 1_024

_MEMBERS: Final[Mapping[str, Sequence[str]]] = {
    "eventTypes": EVENT_TYPE_NAMES,
    "bizSteps": sorted(cbv.BIZ_STEP.words),
    "dispositions": sorted(cbv.DISPOSITION.words),
}
"""What stands in collections whose members the standard lists; those of the others are asked for by name."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of an answer is asked for."""

    size: int
    token: str


def paging(
    per_page: Annotated[int, Query(alias="perPage", ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    token: Annotated[str, Query(alias="nextPageToken", max_length=TOKEN_CHARACTERS_MAX)] = "",
) -> Paging:
    """A dependency of endpoints whose answers have pages."""
    return Paging(per_page, token)


class Answers:
    """Queries answered as EPCISQueryDocuments.

    Args:
        store: Answers them.
        pages: Leads from one page to the next.
    """

    def __init__(self, store: QueryStore, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    async def to_address(
        self, request: Request, client: Client | None, part: Paging, also: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Events for what stands in an address, and headers that lead on.

        Args:
            request: The address.
            client: Who asks.
            part: Which page.
            also: What the path says.

        Raises:
            Problem: A parameter is wrong, or the answer too large.
        """
        return await self.to_query(request, client, part, asked_in(request, also))

    async def to_query(
        self, request: Request, client: Client | None, part: Paging, query: Asked
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Events for a query, and headers that lead on.

        Raises:
            Problem: The answer is too large, or the token is none.
        """
        who = "" if client is None else client.id
        place = self._pages.place(request, part.token, who)
        if isinstance(place, int) and place:
            raise Problem(PAGE_TOKEN)
        if query.limit or query.count_max:
            return await run_in_threadpool(self._store.whole, query, client), {}
        after = place if isinstance(place, list) else None
        found = await run_in_threadpool(self._store.page, query, client, after, part.size)
        return found.events, {} if found.place is None else self._pages.next(request, found.place, who)


def asked_in(request: Request, also: Mapping[str, Any]) -> Asked:
    """The query in an address.

    Raises:
        Problem: A parameter is wrong; each is named.
    """
    try:
        return from_address(parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=200), also)
    except ValueError:
        raise Problem(QUERY, {"count": 1, "reason": "more than 200 parameters"}) from None
    except InvalidDocument as error:
        raise query_problem(error) from None


def query_problem(error: InvalidDocument) -> Problem:
    """What is wrong with a query, as a refusal."""
    parameters = {"count": len(error.problems), "reason": str(error.problems[0])}
    return Problem(QUERY, parameters, members={"errors": listed(error.problems)})


def query_document(
    events: Sequence[Mapping[str, Any]], name: str = SIMPLE_QUERY, subscription: str = ""
) -> dict[str, Any]:
    """Events as an EPCISQueryDocument.

    Args:
        events: As `query_store` shows them.
        name: Of the query.
        subscription: The id of the subscription that asked, if one did.
    """
    results: dict[str, Any] = {"queryName": name, "resultsBody": {"eventList": list(events)}}
    if subscription:
        results["subscriptionID"] = subscription
    return {
        "@context": CONTEXT,
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "epcisBody": {"queryResults": results},
    }


def query_router(context: TraceContext, answers: Answers) -> APIRouter:
    """`/epcis/events` and the collections."""
    router = APIRouter(prefix=PREFIX, tags=["query"], route_class=EpcisRoute)
    Anybody = Annotated[Client | None, Depends(Callers(context).anybody)]  # noqa: N806 - a type
    Part = Annotated[Paging, Depends(paging)]  # noqa: N806 - likewise

    @router.get("", operation_id="getCollections", summary="What there is to ask for")
    async def collections() -> Response:
        return json_answer(["capture", "events", "queries", *COLLECTIONS])

    @router.get("/events", operation_id="getEvents", summary="Events that parameters choose")
    async def events(request: Request, client: Anybody, part: Part) -> Response:
        found, headers = await answers.to_address(request, client, part, {})
        return json_answer(query_document(found), headers=headers)

    @router.get("/events/{event_id:path}", operation_id="getEvent", summary="One's own event of an id")
    async def event(
        event_id: Annotated[str, Path(max_length=URI_CHARACTERS_MAX)],
        request: Request,
        client: Anybody,
        part: Part,
    ) -> Response:
        found, headers = await answers.to_address(request, client, part, {"EQ_eventID": [event_id]})
        if not found:
            raise Problem(NO_RESOURCE)
        return json_answer(query_document(found), headers=headers)

    @router.delete("/nextPageToken/{token}", operation_id="deleteNextPageToken", summary="Give a page's token back")
    async def give_back(token: Annotated[str, Path(max_length=TOKEN_CHARACTERS_MAX)]) -> Response:
        del token  # nothing is kept for one
        return Response(status_code=204)

    for name, parameter in COLLECTIONS.items():
        _add_collection(router, answers, context, name, parameter)
    return router


def _add_collection(router: APIRouter, answers: Answers, context: TraceContext, name: str, parameter: str) -> None:
    """One collection: its members, what there is of one, and the events of one."""
    Anybody = Annotated[Client | None, Depends(Callers(context).anybody)]  # noqa: N806 - a type
    Part = Annotated[Paging, Depends(paging)]  # noqa: N806 - likewise
    Member = Annotated[str, Path(max_length=URI_CHARACTERS_MAX)]  # noqa: N806 - likewise
    title = name[0].upper() + name[1:]

    async def members() -> Response:
        return json_answer(list(_MEMBERS.get(name, ())))

    async def events(member: Member, request: Request, client: Anybody, part: Part) -> Response:
        named = STEM + member if name == "epcs" and ":" not in member else member
        found, headers = await answers.to_address(request, client, part, {parameter: [named]})
        return json_answer(query_document(found), headers=headers)

    async def member(member: Member) -> Response:
        del member  # whatever it is, that is what there is of it
        return json_answer(["events"])

    router.add_api_route(f"/{name}", members, operation_id=f"get{title}", summary=f"Members of {name}")
    router.add_api_route(
        f"/{name}/{{member:path}}/events", events, operation_id=f"get{title}Events", summary=f"Events of one of {name}"
    )
    router.add_api_route(
        f"/{name}/{{member:path}}", member, operation_id=f"get{title}Member", summary=f"What there is of one of {name}"
    )
