# SPDX-License-Identifier: Apache-2.0
"""Pages: templates rendered for one request, in its language and theme.

Everything is escaped unless a template marks it, and a name that a template does not know is an error. No page holds
an inline script or style, so that the Content-Security-Policy can forbid both.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service import wording
from service.icons import icon
from service.language import (
    LANGUAGE_COOKIE,
    LANGUAGE_NAMES,
    LANGUAGE_PARAMETER,
    LANGUAGES,
    Language,
    catalogue,
    language_of,
    parse_language,
    template,
)
from service.static_files import PREFIX, static_files

Theme: TypeAlias = Literal["system", "light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
THEME_COOKIE = "theme"
THEME_PARAMETER = "theme"

CHOICE_AGE_S = 365 * 24 * 3600
"""How long a browser remembers language and theme."""

_folders: list[Path] = [Path(__file__).parent / "templates"]


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of a site's navigation."""

    title: str
    """Key of its name in the catalogues."""
    path: str
    count: int | None = None
    """How much waits there, if that is worth showing."""
    permission: str = ""
    """What somebody who is signed in needs to see it, a `service.sign_in.roles.Permission`; "": nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages of one service share."""

    title: str
    """Key of the service's name in the catalogues."""
    home: str = "/"
    places: tuple[Place, ...] = ()
    layout: Literal["page", "workplace"] = "page"
    """`page` is one column for a citizen; `workplace` has its navigation at the side."""
    size: Literal["normal", "kiosk"] = "normal"
    """`kiosk` is read from 80 cm: 28 px text, 72 px targets."""
    scripts: tuple[str, ...] = field(default=())
    """Built scripts that each page of this site loads beside the shell's."""

    def place_of(self, path: str) -> Place | None:
        """The entry that a path stands under: the one with the longest path of those that begin it."""
        under = [place for place in self.places if path == place.path or path.startswith(place.path.rstrip("/") + "/")]
        return max(under, key=lambda place: len(place.path), default=None)


def add_templates(folder: Path) -> None:
    """Let a folder's templates be rendered and extended; for packages above this one, when they are imported.

    Args:
        folder: Its files are named from here; give each a folder of its own (`explorer/block.html`).
    """
    if folder not in _folders:
        _folders.append(folder)
        environment.cache_clear()


def theme_of(request: Request) -> Theme:
    """Light, dark, or what the system says: by the address, else as chosen before."""
    for asked in (request.query_params.get(THEME_PARAMETER), request.cookies.get(THEME_COOKIE)):
        for theme in THEMES:
            if asked == theme:
                return theme
    return "system"


def address_with(request: Request, **changes: str | int | None) -> str:
    """This page's address with some query parameters set anew, or left out where None.

    Args:
        request: The request being answered.
        changes: Parameters by name; all others stay, in their order.

    Returns:
        Path and query: never another host, whatever the request said.
    """
    kept = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] not in changes]
    query = urlencode([*kept, *((name, str(value)) for name, value in changes.items() if value is not None)])
    path = "/" + request.url.path.lstrip("/")
    return f"{path}?{query}" if query else path


@cache
def environment(language: Language) -> Environment:
    """The templates in one language; made once."""
    made = Environment(
        loader=FileSystemLoader(_folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )

    def t(key: str, /, **parameters: object) -> Markup:
        """The text under a key; parameters are escaped unless they are markup already."""
        text = escape(template(language, key, parameters.get("count")))
        return text.format(**{name: _shown(value) for name, value in parameters.items()})

    made.globals |= {
        "t": t,
        "language": language,
        "languages": LANGUAGES,
        "language_names": LANGUAGE_NAMES,
        "themes": THEMES,
        "icon": icon,
        "static": lambda name: static_files().url(name),
        "script_messages": lambda *prefixes: _script_messages(language, prefixes),
        "number": wording.number,
        "quantity": wording.quantity,
        "share": wording.share,
        "size": wording.size,
        "shorten": wording.shorten,
    }
    in_language: Mapping[str, Callable[..., str]] = {
        "day": wording.day,
        "clock": wording.clock,
        "span": wording.span,
        "ago": wording.ago,
    }
    made.globals |= {name: _bound(function, language) for name, function in in_language.items()}
    return made


def render(request: Request, name: str, *, site: Site, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a page.

    Args:
        request: The request being answered: says language and theme.
        name: A template below one of the folders; extends `base.html`.
        site: The service that the page belongs to.
        status: HTTP status.
        context: What else the template names. A template that names more fails.

    Returns:
        The page. Where the address chose a language or theme, the answer sets the cookie that remembers it.
    """
    language, theme = language_of(request), theme_of(request)
    page = environment(language).get_template(name)
    body = page.render(
        request=request,
        site=site,
        theme=theme,
        address_with=lambda **changes: address_with(request, **changes),
        csrf_token=getattr(request.state, "csrf_token", None),
        **context,
    )
    headers = {"content-language": language, "vary": "Accept-Language, Cookie", "cache-control": "private, no-cache"}
    response = HTMLResponse(body, status, headers)
    if parse_language(request.query_params.get(LANGUAGE_PARAMETER, "")) is not None:
        _remember(response, request, LANGUAGE_COOKIE, language)
    if request.query_params.get(THEME_PARAMETER) in THEMES:
        _remember(response, request, THEME_COOKIE, theme)
    return response


def compile_templates() -> None:
    """Compile every template now, so that no reader waits for it: it takes longer than all the rest of a page."""
    for language in LANGUAGES:
        made = environment(language)
        for name in made.list_templates():
            made.get_template(name)


def static_router() -> APIRouter:
    """The route of the built files.

    Raises:
        PagesNotBuilt: There is no build: said when the service is put together, not at its first page.
    """
    router = APIRouter()
    router.add_api_route(PREFIX + "{path:path}", static_files().serve, methods=["GET"], include_in_schema=False)
    return router


def _remember(response: Response, request: Request, cookie: str, value: str) -> None:
    """Keep a choice of looks in the browser; scripts may read it, for it says nothing about a person."""
    secure = request.url.scheme == "https"
    response.set_cookie(cookie, value, max_age=CHOICE_AGE_S, samesite="lax", secure=secure)


def _bound(function: Callable[..., str], language: Language) -> Callable[..., str]:
    return lambda *arguments, **named: function(language, *arguments, **named)


def _shown(value: object) -> object:
    return wording.number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _script_messages(language: Language, prefixes: tuple[str, ...]) -> Markup:
    """The texts that scripts say, as the content of a JSON data block."""
    texts = {
        key: text.other if text.one is None else {"one": text.one, "other": text.other}
        for key, text in catalogue(language).items()
        if key.startswith(prefixes)
    }
    escaped = json.dumps(texts, ensure_ascii=False, sort_keys=True)
    for character in "<>&\u2028\u2029":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    return Markup(escaped)  # noqa: S704 - JSON in which no character can end the block
