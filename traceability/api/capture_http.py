# SPDX-License-Identifier: Apache-2.0
"""The capture interface of EPCIS 2.0: documents asynchronously as jobs, single events at once.

Events are recorded in the name of the participant whose key the caller has, and signed with that participant's own
ledger key, which the service's operator has put beside it (`trace.trader_keys`). Who keeps the ledger key to themselves
records through the traders' pages.  Source: EPCIS 2.0, sections 8.1 and 12.6.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.problems import Problem
from traceability import epcis
from traceability.api.capture_document import Offered, read_document, read_event
from traceability.api.capture_jobs import DUPLICATE, Fault, Job, Jobs, TooManyJobs
from traceability.api.capture_runner import Runner
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import (
    CAPTURE_HEADERS,
    CONTEXT,
    MEDIA,
    PREFIX,
    Callers,
    EpcisRoute,
    json_answer,
    json_body,
)
from traceability.api.paging import PAGE_DEFAULT, PAGE_MAX, Pages
from traceability.api.problems import (
    CAPTURES_WAITING,
    INVALID_DOCUMENT,
    KNOWN_EVENT,
    NO_RESOURCE,
    NO_SIGNER,
    REFUSED_EVENT,
    STILL_RUNNING,
)
from traceability.projection import event_id_of

EVENT_SECONDS_MAX: Final = 25.0
"""How long a caller waits for a single event to be certified."""


def capture_router(context: TraceContext, jobs: Jobs, runner: Runner, pages: Pages) -> APIRouter:
    """Endpoints under `/epcis/capture`."""
    router = APIRouter(prefix=PREFIX, tags=["capture"], route_class=EpcisRoute)
    callers = Callers(context)
    Participant = Annotated[Client, Depends(callers.participant)]  # noqa: N806 - a type
    Body = Annotated[bytes, Depends(json_body)]  # noqa: N806 - likewise
    Behaviour = Annotated[  # noqa: N806 - likewise
        str | None, Header(alias="GS1-Capture-Error-Behaviour", pattern="^(rollback|proceed)$")
    ]
    PerPage = Annotated[int, Query(alias="perPage", ge=1, le=PAGE_MAX)]  # noqa: N806 - likewise
    Token = Annotated[str, Query(alias="nextPageToken", max_length=512)]  # noqa: N806 - likewise

    @router.post(
        "/capture",
        operation_id="postCapture",
        summary="Capture the events of a document, as a job",
        status_code=202,
        openapi_extra=_json_body("An EPCISDocument, 2.0"),
    )
    async def capture(client: Participant, raw: Body, behaviour: Behaviour = None) -> Response:
        _check_signer(context, client)
        is_rollback = behaviour != "proceed"
        offered = await run_in_threadpool(read_document, raw, is_rollback=is_rollback)
        job = await _accept(jobs, runner, client, offered, is_rollback=is_rollback)
        headers = {**CAPTURE_HEADERS, "Location": f"{PREFIX}/capture/{job.id}"}
        headers["GS1-Capture-Error-Behaviour"] = "rollback" if job.is_rollback else "proceed"
        return Response(status_code=202, headers=headers)

    @router.get("/capture", operation_id="getCaptures", summary="One's own capture jobs, the newest first")
    async def captures(
        request: Request, client: Participant, per_page: PerPage = PAGE_DEFAULT, token: Token = ""
    ) -> Response:
        before = pages.position(request, token, client.gln)
        found = await run_in_threadpool(jobs.page, client.gln, before, per_page + 1)
        headers = dict(CAPTURE_HEADERS)
        if len(found) > per_page:
            headers |= pages.next(request, found[per_page - 1].number, client.gln)
        return json_answer([_job(job) for job in found[:per_page]], headers=headers)

    @router.get("/capture/{capture_id}", operation_id="getCapture", summary="A capture job and its errors")
    async def one_capture(capture_id: str, client: Participant) -> Response:
        job = await run_in_threadpool(jobs.find, client.gln, capture_id)
        if job is None:
            raise Problem(NO_RESOURCE)
        return json_answer(_job(job), headers=CAPTURE_HEADERS)

    for path, allow in (("", "GET"), ("/capture", "GET, POST"), ("/events", "GET, POST")):
        router.add_api_route(path, _options(allow), methods=["OPTIONS"], include_in_schema=False)
    return router


def event_router(context: TraceContext, jobs: Jobs, runner: Runner) -> APIRouter:
    """`POST /epcis/events`: one event, which is answered once it is certified."""
    router = APIRouter(prefix=PREFIX, tags=["capture"], route_class=EpcisRoute)
    Participant = Annotated[Client, Depends(Callers(context).participant)]  # noqa: N806 - a type
    Body = Annotated[bytes, Depends(json_body)]  # noqa: N806 - likewise

    @router.post(
        "/events",
        operation_id="postEvent",
        summary="Capture one event and wait until it is certified",
        status_code=201,
        openapi_extra=_json_body("One event with its own @context"),
    )
    async def post_event(client: Participant, raw: Body) -> Response:
        _check_signer(context, client)
        offered = await run_in_threadpool(read_event, raw)
        job = await _accept(jobs, runner, client, [offered], is_rollback=True)
        await runner.wait_for(lambda: not _found(jobs, client, job).is_running, EVENT_SECONDS_MAX)
        ended = await run_in_threadpool(_found, jobs, client, job)
        location = f"{PREFIX}/capture/{job.id}"
        if ended.is_running:
            raise Problem(STILL_RUNNING, headers={"Retry-After": "5", "Location": location})
        if ended.faults:
            raise _refusal(ended.faults[0])
        event = await run_in_threadpool(_event_id, raw)
        return Response(status_code=201, headers={"Location": f"{PREFIX}/events/{quote(event, safe='')}"})

    return router


def _check_signer(context: TraceContext, client: Client) -> None:
    """Whether events can be signed in a participant's name here.

    Raises:
        Problem: They cannot.
    """
    if context.submit_key is None or context.trader_signer(client.gln) is None:
        raise Problem(NO_SIGNER)


async def _accept(jobs: Jobs, runner: Runner, client: Client, offered: list[Offered], *, is_rollback: bool) -> Job:
    """Take events on.

    Raises:
        Problem: Too many jobs wait.
    """
    try:
        job = await run_in_threadpool(jobs.accept, client.gln, offered, is_rollback=is_rollback)
    except TooManyJobs:
        raise Problem(CAPTURES_WAITING, headers={"Retry-After": "10"}) from None
    runner.wake()
    return job


def _options(allow: str) -> Callable[[], Awaitable[Response]]:
    """What may be done here, and within which limits."""

    async def options() -> Response:
        return Response(status_code=204, headers={**CAPTURE_HEADERS, "Allow": f"{allow}, OPTIONS"})

    return options


def _found(jobs: Jobs, client: Client, job: Job) -> Job:
    """The job as it stands."""
    found = jobs.find(client.gln, job.id)
    if found is None:  # its owner was erased meanwhile, and everything of theirs with them
        raise Problem(NO_RESOURCE)
    return found


def _refusal(fault: Fault) -> Problem:
    """Why a single event was not recorded."""
    if fault.code == DUPLICATE:
        return Problem(KNOWN_EVENT)
    what = fault.detail or fault.code
    return Problem(REFUSED_EVENT, {"reason": what}, members={"ledger_code": fault.code})


def _event_id(raw: bytes) -> str:
    """The id under which a captured event is found."""
    event = epcis.parse(raw)
    return event_id_of(event, None)


def _job(job: Job) -> dict[str, Any]:
    """A job as the standard has it."""
    shown: dict[str, Any] = {
        "@context": CONTEXT,
        "type": "EPCISCaptureJob",
        "captureID": job.id,
        "createdAt": _time(job.created_ms),
        "running": job.is_running,
        "success": job.success,
        "captureErrorBehaviour": "rollback" if job.is_rollback else "proceed",
        "errors": [_error(fault) for fault in job.faults],
        "zhixin:events": job.events,
        "zhixin:recorded": job.recorded,
    }
    if job.finished_ms:
        shown["finishedAt"] = _time(job.finished_ms)
    return shown


def _error(fault: Fault) -> dict[str, Any]:
    """One event's error: where in the document, by which rule, and why."""
    kind = KNOWN_EVENT if fault.code == DUPLICATE else INVALID_DOCUMENT
    return {
        "type": kind.standard,
        "title": fault.code,
        "status": kind.status,
        "detail": fault.detail or fault.code,
        "instance": f"#/epcisBody/eventList/{fault.position}",
    }


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_body(what: str) -> dict[str, Any]:
    """A JSON-LD body in the description of the interface."""
    schema = {"type": "object", "description": what}
    return {"requestBody": {"required": True, "content": {media: {"schema": schema} for media in MEDIA}}}
