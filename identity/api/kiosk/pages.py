# SPDX-License-Identifier: Apache-2.0
"""The kiosk's pages: one address, which shows where the session stands; forms, which carry its turn; and its PDF.

Nothing here is kept by a browser: each answer says no-store, a PIN stands in one request's body and nowhere else, and
what a page shows is gone from this process once the session is over.
"""

import io
from typing import Annotated, Any, Final

import segno
from fastapi import APIRouter, Form
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.base import Notice
from identity.api.kiosk.forms import DISTRICTS, NUMBER, PHONE, read_fields
from identity.api.kiosk.problems import OUT_OF_TURN
from identity.api.kiosk.session import OutOfTurn, State
from identity.api.kiosk.statements import TITLES, Kind, yuan
from service.language import language_of, translate
from service.pages import Site, render
from service.problems import Problem

SITE: Final = Site("kiosk.title", size="kiosk", scripts=("kiosk.js",))
FORM_BYTES_MAX: Final = 4_096
"""A PIN, or an address in figures."""

Turn = Annotated[str, Form(pattern=r"^[0-9a-f]{16}$")]
Pin = Annotated[str, Form(max_length=16)]
Short = Annotated[str, Form(max_length=64)]

_TEMPLATES: Final = {
    State.IDLE: "kiosk/idle.html",
    State.SCAN: "kiosk/scan.html",
    State.PIN: "kiosk/pin.html",
    State.BLOCKED: "kiosk/blocked.html",
    State.MENU: "kiosk/menu.html",
    State.FORM: "kiosk/form.html",
    State.CONFIRM: "kiosk/confirm.html",
    State.SENDING: "kiosk/sending.html",
    State.PHONE: "kiosk/phone.html",
    State.RECEIPT: "kiosk/receipt.html",
    State.TAKE: "kiosk/take.html",
}


def kiosk_router(kiosk: Kiosk) -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def now(request: Request) -> Response:
        return _show(request, kiosk)

    @router.get("/now")
    async def looked() -> Response:
        """Where the session stands, for the page's script; no touch of the screen."""
        seconds = -(-kiosk.left_ms() // 1000)
        answer = {"turn": _mark(kiosk), "left": seconds}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    @router.post("/touch")
    async def touched() -> Response:
        kiosk.touch()
        return Response(status_code=204)

    @router.get("/print")
    async def printed() -> Response:
        visit = kiosk.session.visit
        if kiosk.session.state is not State.RECEIPT or visit is None or not visit.pdf:
            raise Problem(OUT_OF_TURN)
        headers = {"cache-control": "no-store", "content-disposition": 'inline; filename="kiosk.pdf"'}
        return Response(visit.pdf, headers=headers, media_type="application/pdf")

    @router.post("/print")
    async def to_paper(turn: Turn) -> Response:
        with _in_turn():
            await kiosk.print_paper(turn)
        return _onwards()

    _add_session(router, kiosk)
    _add_statements(router, kiosk)
    _add_lost(router, kiosk)
    return router


def _add_session(router: APIRouter, kiosk: Kiosk) -> None:
    @router.post("/scan")
    async def scan(turn: Turn) -> Response:
        with _in_turn():
            await kiosk.scan(turn)
        return _onwards()

    @router.post("/pin")
    async def pin(turn: Turn, pin: Pin = "", last_try: Short = "") -> Response:
        with _in_turn():
            await kiosk.enter_pin(turn, pin, dares_last_try=last_try == "yes")
        return _onwards()

    @router.post("/choose")
    async def choose(request: Request, turn: Turn, what: Short = "") -> Response:
        with _in_turn():
            if what == "certificate":
                await kiosk.certify(turn, language_of(request))
            elif what in set(Kind):
                kiosk.choose(turn, Kind(what))
        return _onwards()

    @router.post("/back")
    async def back(turn: Turn) -> Response:
        with _in_turn():
            kiosk.back(turn)
        return _onwards()

    @router.post("/leave")
    async def leave(turn: Turn) -> Response:
        with _in_turn():
            await kiosk.leave(turn)
        return _onwards()


def _add_statements(router: APIRouter, kiosk: Kiosk) -> None:
    @router.post("/state")
    async def state(
        request: Request,
        turn: Turn,
        chosen: Short = "",
        district: Short = "",
        plate: Short = "",
        room: Short = "",
    ) -> Response:
        language = language_of(request)
        given = {"chosen": chosen, "district": district, "plate": plate, "room": room}
        with _in_turn():
            visit = kiosk.session.present(State.FORM, turn=turn)
            names = {name: translate(language, key) for name, key in DISTRICTS.items()}
            fields = read_fields(kiosk, visit, given, names)
            if isinstance(fields, str):
                kiosk.touch()
                return _show(request, kiosk, wrong=fields, given=given)
            await kiosk.state(turn, fields, language)
        return _onwards()

    @router.post("/phone")
    async def phone(turn: Turn) -> Response:
        with _in_turn():
            await kiosk.ask_phone(turn)
        return _onwards()

    @router.post("/sign")
    async def sign(turn: Turn, pin: Pin = "", last_try: Short = "") -> Response:
        with _in_turn():
            await kiosk.sign(turn, pin, dares_last_try=last_try == "yes")
        return _onwards()


def _add_lost(router: APIRouter, kiosk: Kiosk) -> None:
    @router.get("/lost")
    async def lost(request: Request) -> Response:
        return _show_lost(request, kiosk, None)

    @router.post("/lost")
    async def stop(request: Request, number: Short = "", phone: Short = "") -> Response:
        number, phone = number.strip().upper(), phone.strip()
        if not NUMBER.fullmatch(number) or not PHONE.fullmatch(phone):
            return _show_lost(request, kiosk, Notice("kiosk.form.lost"))
        with _in_turn():
            return _show_lost(request, kiosk, await kiosk.stop_lost(number, phone))


class _in_turn:  # noqa: N801 - reads as what it does
    """What comes out of turn is a conflict: the page is one of before."""

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OutOfTurn):
            raise Problem(OUT_OF_TURN) from None


def _onwards() -> Response:
    return RedirectResponse("/", 303)


def _mark(kiosk: Kiosk) -> str:
    """Changes whenever another page is to be shown."""
    parts = (kiosk.session.turn, kiosk.licence.standing, int(kiosk.is_serving), kiosk.filing.waiting)
    return "/".join(str(part) for part in parts)


def _show(request: Request, kiosk: Kiosk, **more: Any) -> Response:
    language = language_of(request)
    session, registered = kiosk.session, kiosk.licence.registered
    is_out = not kiosk.is_serving and session.visit is None
    visit = session.visit
    context: dict[str, Any] = {
        "kiosk": kiosk,
        "state": session.state,
        "turn": session.turn,
        "mark": _mark(kiosk),
        "visit": visit,
        "notice": kiosk.notice if visit is None else visit.notice,
        "place": "" if registered is None else registered.place(language),
        "left_s": -(-kiosk.left_ms() // 1000),
        "needs_phone": visit is not None and kiosk.needs_phone(visit),
        "titles": TITLES,
        "districts": DISTRICTS,
        "yuan": yuan,
        "qr": _qr,
        "wrong": None,
        "given": {},
    }
    template = "kiosk/out.html" if is_out else _TEMPLATES[session.state]
    return _uncached(render(request, template, site=SITE, **(context | more)))


def _show_lost(request: Request, kiosk: Kiosk, notice: Notice | None) -> Response:
    if not kiosk.is_serving or kiosk.session.state is not State.IDLE:
        return _onwards()
    registered = kiosk.licence.registered
    place = "" if registered is None else registered.place(language_of(request))
    return _uncached(
        render(
            request,
            "kiosk/lost.html",
            site=SITE,
            notice=notice,
            place=place,
            mark=_mark(kiosk),
            kiosk=kiosk,
            turn="",
            left_s=0,
            state=State.IDLE,
        )
    )


def _uncached(response: Response) -> Response:
    response.headers["cache-control"] = "no-store"
    return response


def _qr(text: str) -> Markup:
    """A QR code as SVG, without anything that a text could bring in."""
    made = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(made, kind="svg", border=4, xmldecl=False, svgns=True, nl=False, omitsize=True, dark="#000", light="#fff")
    return Markup(made.getvalue().decode())  # noqa: S704 - modules alone
