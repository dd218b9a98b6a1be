# SPDX-License-Identifier: Apache-2.0
"""What a caller is told when something is refused or fails: problem documents with codes that never change meaning.

One table holds each code with its HTTP status. Its words are `problem.<code>.title` and `problem.<code>.detail` in the
message catalogues; packages above this one name their own kinds and add their own catalogues. No problem repeats
what the caller sent.  Source: RFC 9457.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.requests import HTTPConnection
from starlette.responses import Response

from service.language import Language, translate

MEDIA_TYPE = "application/problem+json"

Member: TypeAlias = str | int | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One way to be refused.

    Attributes:
        code: Stable, `family.what`; programs key on it.
        status: The HTTP status that goes with it.
        standard: A type that a standard gives it, which documents then carry; empty: where the code is explained.
    """

    code: str
    status: int
    standard: str = ""

    def title(self, language: Language) -> str:
        """What happened, in a few words; the same for each problem of the kind."""
        return translate(language, f"problem.{self.code}.title")


MALFORMED = ProblemKind("request.malformed", 400)
PATH = ProblemKind("request.path", 400)
CROSS_SITE = ProblemKind("request.cross-site", 403)
FORM_TOKEN = ProblemKind("request.form-token", 403)
NOT_FOUND = ProblemKind("request.not-found", 404)
METHOD = ProblemKind("request.method", 405)
TOO_SLOW = ProblemKind("request.too-slow", 408)
TOO_LARGE = ProblemKind("request.too-large", 413)
MEDIA = ProblemKind("request.media-type", 415)
HOST = ProblemKind("request.host", 421)
INVALID = ProblemKind("request.invalid", 422)
RATE = ProblemKind("request.rate", 429)
KEY_INVALID = ProblemKind("idempotency.key-invalid", 400)
KEY_UNSUPPORTED = ProblemKind("idempotency.unsupported", 400)
KEY_IN_PROGRESS = ProblemKind("idempotency.in-progress", 409)
KEY_DONE = ProblemKind("idempotency.done", 409)
KEY_UNKNOWN = ProblemKind("idempotency.unknown", 409)
KEY_REUSED = ProblemKind("idempotency.reused", 422)
ERASED = ProblemKind("person.erased", 410)
LEDGER_REFUSED = ProblemKind("ledger.refused", 409)
LEDGER_UNPROVEN = ProblemKind("ledger.unproven", 502)
LEDGER_UNAVAILABLE = ProblemKind("ledger.unavailable", 503)
FAILED = ProblemKind("service.failed", 500)
BUSY = ProblemKind("service.busy", 503)
NOT_READY = ProblemKind("service.not-ready", 503)
STORE = ProblemKind("service.store", 503)

KINDS: tuple[ProblemKind, ...] = (
    MALFORMED,
    PATH,
    CROSS_SITE,
    FORM_TOKEN,
    NOT_FOUND,
    METHOD,
    TOO_SLOW,
    TOO_LARGE,
    MEDIA,
    HOST,
    INVALID,
    RATE,
    KEY_INVALID,
    KEY_UNSUPPORTED,
    KEY_IN_PROGRESS,
    KEY_DONE,
    KEY_UNKNOWN,
    KEY_REUSED,
    ERASED,
    LEDGER_REFUSED,
    LEDGER_UNPROVEN,
    LEDGER_UNAVAILABLE,
    FAILED,
    BUSY,
    NOT_READY,
    STORE,
)
"""What every service may answer; a part brings its own in `Part.problems`."""

_BY_STATUS = {400: MALFORMED, 404: NOT_FOUND, 405: METHOD, 413: TOO_LARGE, 415: MEDIA, 422: INVALID, 429: RATE}


class Problem(Exception):
    """Ends a request with a problem document.

    Args:
        kind: Which.
        parameters: Fill the places of the kind's detail.
        members: Further members of the document; no personal data.
        headers: Further headers of the answer, such as Retry-After.
    """

    def __init__(
        self,
        kind: ProblemKind,
        parameters: Mapping[str, object] | None = None,
        *,
        members: Mapping[str, Member] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.code)
        self.kind = kind
        self.parameters = dict(parameters or {})
        self.members = dict(members or {})
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One problem in one language, as documents and pages show it.

    Attributes:
        type: Where the kind is explained.
        status: The HTTP status.
        code: The stable code.
        title: What happened.
        detail: What it means here and what to do.
        request_id: Ties the answer to a line of the log; 32 hex digits.
        members: Further members.
    """

    type: str
    status: int
    code: str
    title: str
    detail: str
    request_id: str
    members: Mapping[str, Member] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The document's bytes, UTF-8."""
        own = {name: getattr(self, name) for name in ("type", "title", "status", "detail", "code", "request_id")}
        return json.dumps(own | dict(self.members), ensure_ascii=False).encode()


def view(problem: Problem, language: Language, request_id: str) -> ProblemView:
    """A problem in one language."""
    kind = problem.kind
    return ProblemView(
        type=kind.standard or f"/problems/{kind.code}",
        status=kind.status,
        code=kind.code,
        title=kind.title(language),
        detail=translate(language, f"problem.{kind.code}.detail", **problem.parameters),
        request_id=request_id,
        members=problem.members,
    )


def document(problem: Problem, language: Language, request_id: str) -> Response:
    """The answer that carries a problem document."""
    headers = {**problem.headers, "content-language": language, "cache-control": "no-store"}
    return Response(
        view(problem, language, request_id).to_json(),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def kind_of_status(status: int) -> ProblemKind:
    """The kind for a status that the framework chose: unknown paths, wrong methods, bodies that are no JSON."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return MALFORMED if 400 <= status < 500 else FAILED


def wants_html(connection: HTTPConnection) -> bool:
    """Whether a person's browser asks, rather than a program: text/html is named before any JSON."""
    for part in connection.headers.get("accept", "").split(",")[:16]:
        media = part.partition(";")[0].strip().lower()
        if media == "text/html":
            return True
        if media in {"application/json", MEDIA_TYPE}:
            return False
    return False
