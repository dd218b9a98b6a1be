# SPDX-License-Identifier: Apache-2.0
"""Named queries over REST: made, listed, asked, deleted.  Source: EPCIS 2.0, 12.7.3."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from service.problems import Problem
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import PREFIX, Callers, EpcisRoute, json_answer, json_body
from traceability.api.problems import NO_RESOURCE, QUERY
from traceability.api.queries import NAME, QUERIES_MAX, QUERY_CHARACTERS_MAX, Queries
from traceability.api.query_http import Answers, Paging, asked_in, paging, query_document, query_problem
from traceability.api.query_parameters import from_json
from traceability.epcis_json import InvalidDocument, parse
from traceability.epcis_json import Problem as Fault

QueryName = Annotated[str, Path(pattern=NAME)]


def queries_router(context: TraceContext, queries: Queries, answers: Answers) -> APIRouter:
    """Endpoints under `/epcis/queries`."""
    router = APIRouter(prefix=PREFIX, tags=["query"], route_class=EpcisRoute)
    Known = Annotated[Client, Depends(Callers(context).known)]  # noqa: N806 - a type
    Body = Annotated[bytes, Depends(json_body)]  # noqa: N806 - likewise
    Part = Annotated[Paging, Depends(paging)]  # noqa: N806 - likewise

    @router.get("/queries", operation_id="getQueries", summary="One's own named queries")
    async def listed(client: Known) -> Response:
        found = await run_in_threadpool(queries.listed, client.gln, "", QUERIES_MAX)
        return json_answer([{"name": name, "query": query} for name, query in found])

    @router.post("/queries", operation_id="postQuery", summary="Name a query", status_code=201)
    async def add(client: Known, raw: Body) -> Response:
        name, parameters = read_query(raw)
        await run_in_threadpool(queries.add, client.gln, name, parameters)
        return Response(status_code=201, headers={"Location": f"{PREFIX}/queries/{name}"})

    @router.get("/queries/{name}", operation_id="getQuery", summary="A named query")
    async def one(name: QueryName, client: Known) -> Response:
        found = await run_in_threadpool(queries.find, client.gln, name)
        if found is None:
            raise Problem(NO_RESOURCE)
        return json_answer({"name": name, "query": found[1]})

    @router.delete("/queries/{name}", operation_id="deleteQuery", summary="Delete a query and its subscriptions")
    async def remove(name: QueryName, client: Known) -> Response:
        if not await run_in_threadpool(queries.remove, client.gln, name):
            raise Problem(NO_RESOURCE)
        return Response(status_code=204)

    @router.get("/queries/{name}/events", operation_id="getQueryEvents", summary="Events of a named query")
    async def events(name: QueryName, request: Request, client: Known, part: Part) -> Response:
        found = await run_in_threadpool(queries.find, client.gln, name)
        if found is None:
            raise Problem(NO_RESOURCE)
        if asked_in(request, {}).parameters:
            raise Problem(QUERY, {"count": 1, "reason": "a named query takes no parameters but for its pages"})
        shown, headers = await answers.to_query(request, client, part, found[0])
        return json_answer(query_document(shown, name), headers=headers)

    return router


def read_query(raw: bytes) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a query that is to be kept.

    Raises:
        Problem: It is none.
    """
    try:
        document = parse(raw, size_max=QUERY_CHARACTERS_MAX)
        name, query = (document.get("name"), document.get("query")) if isinstance(document, dict) else (None, None)
        faults = []
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            faults.append(Fault("/name", "must have 1 to 100 letters, digits or ._~-, a letter or digit first"))
        if not isinstance(query, dict):
            faults.append(Fault("/query", "must be an object of parameters"))
        else:
            from_json(query)
    except InvalidDocument as error:
        raise query_problem(error) from None
    if faults:
        raise query_problem(InvalidDocument(faults))
    assert isinstance(name, str), "checked above"
    assert isinstance(query, dict), "checked above"
    return name, query
