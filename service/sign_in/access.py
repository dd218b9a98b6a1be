# SPDX-License-Identifier: Apache-2.0
"""Who sends a request, and whether they may: dependencies for routers.

    @router.get("/people")
    def people(officer: Annotated[Officer, Depends(Require(Permission.MANAGE_PEOPLE))]) -> Response: ...

Browsers that ask for a page are sent to sign in or to confirm, and come back; programs get a problem.
"""

from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.envelope import request_id_of
from service.problems import Problem, ProblemKind, wants_html
from service.rates import Buckets
from service.redirects import Elsewhere, local_path
from service.sign_in import kinds
from service.sign_in.devices import device_of
from service.sign_in.office import TOKEN_CHARACTERS_MAX, Office, new_token, token_digest
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer, end_session, resolve
from service.sign_in.standings import Standings
from service.store import Act

SIGN_IN_PATH = "/sign-in"
CONFIRM_PATH = "/confirm"
FRESH_MS = 5 * 60_000
"""How old a passkey's answer may be for a sensitive act."""

NOTED_BURST = 10
"""Refusals of one person for one thing that are noted at once, then one every `NOTED_MS`: rows of the audit stay for
good, and whoever tries without end is seen by these."""
NOTED_MS = 60_000
_noted = Buckets(1, NOTED_BURST, 10_000)

_LOCAL = frozenset({None, Permission.MANAGE_PEOPLE, Permission.REGISTER_KEY, Permission.OPERATE, Permission.TRADE})
"""What needs no standing of a member on the ledger: else nobody could register the first key, or remove an officer of
an organisation that was suspended. Whom a trader may act for, the pages of food records read themselves."""


def office_of(request: Request) -> Office:
    """Sign-in of the service that answers."""
    found = request.app.state.office
    assert isinstance(found, Office)
    return found


def signed_in(request: Request) -> Officer | None:
    """Who sends a request; None if nobody is signed in."""
    office = office_of(request)
    token = request.cookies.get(office.session_cookie, "")
    if not token or len(token) > TOKEN_CHARACTERS_MAX:
        return None
    return resolve(office, token, device_of(request))


def met_officer(request: Request) -> Officer | None:
    """Whom `Require` found to send this request; None: it did not ask, or nobody is signed in."""
    found = getattr(request.state, "officer", None)
    assert found is None or isinstance(found, Officer)
    return found


def session_of(request: Request) -> str | None:
    """Id of the session that a request belongs to, the same however often its token is renewed; None: there is none."""
    officer = signed_in(request)
    return None if officer is None else officer.session_id


class Require:
    """A dependency: somebody who is signed in and may do this.

    Where the service's officers sign on the ledger, the ledger is asked, too: their organisation must be an active
    member with the role that the service needs, and what they sign with must be its key, but for looking after people,
    one's own sign-in and the service itself; who never signs (auditors) needs no key. See `standings`.

    Args:
        permission: What; None: being signed in is enough.
        fresh_ms: The passkey was asked for no longer ago than this; None: at some time in this network.
    """

    def __init__(self, permission: Permission | None = None, *, fresh_ms: int | None = None) -> None:
        self._permission = permission
        self._fresh_ms = fresh_ms

    async def __call__(self, request: Request) -> Officer:
        """Let an officer through, or end the request."""
        officer = await run_in_threadpool(self._admit, request)
        standings = getattr(request.app.state, "standings", None)
        if standings is not None and self._permission not in _LOCAL:
            assert isinstance(standings, Standings)
            await standings.check(officer, needs_key=officer.may(Permission.REGISTER_KEY))
        return officer

    def _admit(self, request: Request) -> Officer:
        """What the service itself knows."""
        officer = signed_in(request)
        if officer is None:
            raise away(request, SIGN_IN_PATH, kinds.NEEDED)
        request.state.officer = officer
        office = office_of(request)
        if self._permission is not None and not officer.may(self._permission):
            if not _noted.take(f"{officer.staff_id} {self._permission}", office.now() // NOTED_MS * 1000):
                with office.store.write() as session:
                    act = Act(
                        officer.person_id, f"access.refused-{self._permission}", "-", request_id_of(request.scope)
                    )
                    office.store.record(session, act)
            raise Problem(kinds.NOT_ALLOWED)
        age_ms = office.now() - officer.verified_ms
        if not officer.verified_ms or (self._fresh_ms is not None and age_ms > self._fresh_ms):
            raise away(request, CONFIRM_PATH, kinds.CONFIRM)
        return officer


def away(request: Request, path: str, kind: ProblemKind) -> Exception:
    """What ends a request that needs a passkey first: a way there and back for a page, a problem for a program."""
    if not wants_html(request):
        return Problem(kind)
    if request.method in {"GET", "HEAD"}:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:  # a form: back to its page, whose sending is not repeated by itself
        back = urlsplit(request.headers.get("referer", "")).path
    return Elsewhere(f"{path}?next={quote(local_path(back), safe='/')}")


def browser_token(request: Request) -> tuple[str, bytes]:
    """The cookie of a browser that is about to sign in, made if there is none, with its digest."""
    token = request.cookies.get(office_of(request).browser_cookie, "")
    if not 40 <= len(token) <= TOKEN_CHARACTERS_MAX:
        token = new_token()
    return token, token_digest("browser", token)


def set_session(response: Response, office: Office, token: str) -> None:
    """Hand the browser its session; it ends with the browser, at the latest."""
    _set(response, office, office.session_cookie, token, "lax")
    response.delete_cookie(office.browser_cookie, path="/", secure=office.address.is_https, httponly=True)


def end_former_session(request: Request) -> None:
    """End the session that a browser brings when somebody signs in anew: a copy of its cookie is worth nothing then."""
    former = signed_in(request)
    if former is not None:
        end_session(office_of(request), former, former.session_id)


def set_browser(response: Response, office: Office, token: str) -> None:
    """Hand a browser the cookie that challenges are bound to."""
    _set(response, office, office.browser_cookie, token, "strict")


def forget_session(response: Response, office: Office) -> None:
    """Take the session's cookie back."""
    response.delete_cookie(office.session_cookie, path="/", secure=office.address.is_https, httponly=True)


def _set(response: Response, office: Office, name: str, token: str, same_site: str) -> None:
    secure = "; Secure" if office.address.is_https else ""
    response.headers.append("set-cookie", f"{name}={token}; Path=/; HttpOnly; SameSite={same_site.title()}{secure}")
