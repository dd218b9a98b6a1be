# SPDX-License-Identifier: Apache-2.0
"""Pages: escaped, in the reader's language and theme, with nothing inline, and files that never change under a name."""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from jinja2 import DictLoader, Environment, UndefinedError
from markupsafe import Markup
from starlette.requests import Request

from service import pages
from service.icons import ICONS, icon
from service.language import LANGUAGES, Language, Text
from service.pages import Place, Site, address_with, environment, render
from service.static_files import PagesNotBuilt, StaticFile, StaticFiles, load_static_files
from service.style_page import style_router

SITE = Site("shell.name")
FILES = StaticFiles(
    {name: f"ABCD/{name}" for name in ("shell.css", "shell.js", "mark.svg", "style-page.js", "htmx.js")},
    {"ABCD/shell.css": StaticFile(b"a" * 100, gzip.compress(b"a" * 100), "text/css; charset=utf-8")},
    {},
)


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests need no build."""
    monkeypatch.setattr(pages, "static_files", lambda: FILES)


@pytest.fixture
def client() -> Iterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(style_router())
    app.include_router(pages.static_router())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def request_for(path: str = "/", query: str = "", headers: dict[str, str] | None = None) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "query_string": query.encode()}
    return Request(scope | {"headers": raw, "server": ("localhost", 80), "state": {}})


def environment_of(templates: dict[str, str], language: str = "en") -> Environment:
    made = environment(language).overlay(loader=DictLoader(templates))  # type: ignore[arg-type]
    made.globals = environment(language).globals  # type: ignore[arg-type]
    return made


def test_text_from_outside_is_escaped_wherever_it_stands() -> None:
    nasty = "<script>alert(1)</script>\"'"
    made = environment_of({"x.html": "{{ value }}|{{ t('component.copy', what=value) }}|<a title=\"{{ value }}\">"})
    shown = made.get_template("x.html").render(value=nasty)
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 3
    assert "\"'" not in shown


def test_markup_given_to_a_message_stays_markup_and_its_words_do_not() -> None:
    made = environment_of({"x.html": "{{ t('component.copy', what=value) }}"})
    assert made.get_template("x.html").render(value=Markup("<b>it</b>")) == "Copy <b>it</b>"
    assert made.get_template("x.html").render(value="<b>it</b>") == "Copy &lt;b&gt;it&lt;/b&gt;"


@pytest.mark.parametrize(("language", "zone"), [("en", "China Standard Time (UTC+8)"), ("zh-CN", "北京时间（UTC+8）")])
def test_moment_says_in_which_zone_it_is(language: Language, zone: str) -> None:
    source = "{% from 'components/data.html' import moment, moment_ago %}{{ moment(at) }}|{{ moment_ago(at, now) }}"
    at = datetime(2026, 11, 23, 3, 58, 40, tzinfo=UTC)
    shown = environment(language).from_string(source).render(at=at, now=at + timedelta(hours=1))
    titles = re.findall(r'title="([^"]*)"', shown)
    assert len(titles) == 2
    assert all("11:58:40" in title and title.endswith(zone) for title in titles)


def test_template_in_the_text_of_a_visitor_is_not_run() -> None:
    made = environment_of({"x.html": "{{ value }} {{ t('component.copy', what=value) }}"})
    assert made.get_template("x.html").render(value="{{ 7*7 }}{x}") == "{{ 7*7 }}{x} Copy {{ 7*7 }}{x}"


def test_name_that_a_template_does_not_know_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="misspelt"):
        environment_of({"x.html": "{{ misspelt }}"}).get_template("x.html").render()


def test_messages_for_scripts_can_not_end_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "catalogue", lambda _: {"script.x": Text("</script><b>")})
    written = environment("en").globals["script_messages"]("script.")
    assert written == '{"script.x": "\\u003c/script\\u003e\\u003cb\\u003e"}'


@pytest.mark.parametrize("path", ["", "/workplace", "/kiosk"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_page_has_nothing_inline_and_says_its_language(
    client: httpx.AsyncClient, path: str, language: str
) -> None:
    answer = await client.get(f"/_styles{path}", headers={"accept-language": language})
    assert answer.status_code == 200
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}"' in answer.text
    assert not re.search(r"\s(style|on\w+)=|javascript:|<style", answer.text)
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert all('src="/static/' in script or 'type="application/json"' in script for script in scripts)
    assert not re.search(r'(src|href)="(?!/|#)', answer.text), "an address of another host"


async def test_page_uses_nothing_of_htmx_that_evaluates_text(client: httpx.AsyncClient) -> None:
    templates = Path(pages.__file__).parent / "templates"
    for path in templates.rglob("*.html"):
        assert not re.search(r"hx-on|hx-vals=.?js:|hx-trigger=\"[^\"]*\[|hx-confirm=.?js:", path.read_text()), path
    assert (await client.get("/_styles")).status_code == 200


async def test_choice_in_the_address_is_remembered_and_a_wrong_one_is_not(client: httpx.AsyncClient) -> None:
    answer = await client.get("/_styles?lang=en&theme=dark")
    cookies = answer.headers.get_list("set-cookie")
    assert [cookie.split(";")[0] for cookie in cookies] == ["lang=en", "theme=dark"]
    assert 'data-theme="dark"' in answer.text
    wrong = await client.get("/_styles?lang=tlh&theme=%22onload=x", headers={"cookie": "theme=%22x; lang=%22"})
    assert "set-cookie" not in wrong.headers
    assert "onload" not in wrong.text.split("</head>")[0]
    assert '<html lang="zh-CN">' in wrong.text


@pytest.mark.parametrize("path", ["//elsewhere.example/x", "///elsewhere.example", "/x"])
def test_address_of_a_page_never_leads_to_another_host(path: str) -> None:
    made = address_with(request_for(path, "a=1&lang=zh&a=2"), lang="en")
    assert made.startswith("/")
    assert not made.startswith("//")
    assert made.endswith("?a=1&a=2&lang=en")


def test_parameter_set_to_none_leaves_the_address() -> None:
    assert address_with(request_for("/x", "page=3&q=a%26b"), page=None) == "/x?q=a%26b"
    assert address_with(request_for("/x", "page=3"), page=None) == "/x"


def test_place_in_the_navigation_is_the_longest_path_that_begins_the_address() -> None:
    places = (Place("a", "/"), Place("b", "/blocks"), Place("c", "/blocks/late"))
    site = Site("shell.name", places=places)
    assert site.place_of("/blocks/17") == places[1]
    assert site.place_of("/blocks/late") == places[2]
    assert site.place_of("/blockside") == places[0]


def test_page_of_https_remembers_choices_on_https_alone() -> None:
    request = request_for("/", "theme=dark")
    request.scope["scheme"] = "https"
    problem = {"title": "x", "detail": "y", "code": "a.b", "request_id": "0" * 32}
    answer = render(request, "problem.html", site=SITE, status=404, problem=problem)
    assert answer.status_code == 404
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_static_file_is_kept_for_good_and_packed_for_who_can_unpack(client: httpx.AsyncClient) -> None:
    packed = await client.get("/static/ABCD/shell.css", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == b"a" * 100
    plain = await client.get("/static/ABCD/shell.css", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path", ["../pages.py", "%2e%2e/pages.py", "ABCD/../../pages.py", "manifest.json", "ABCD/", "/etc/passwd"]
)
async def test_path_that_the_build_did_not_name_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(httpx.URL("http://localhost/static/").copy_with(raw_path=f"/static/{path}".encode()))
    assert answer.status_code == 404


def test_missing_build_is_said_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PagesNotBuilt, match=r"manifest\.json is missing: run `make setup-web`"):
        load_static_files(tmp_path)


@pytest.mark.parametrize("manifest", ["", "{", "[]", '{"names": {}}', '{"names": {}, "files": [1]}'])
def test_damaged_build_is_said_with_what_to_run(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(PagesNotBuilt, match="run `make setup-web`"):
        load_static_files(tmp_path)


def test_icon_is_hidden_from_screen_readers_and_an_unknown_one_is_an_error() -> None:
    assert all('aria-hidden="true"' in icon(name) for name in ICONS)
    with pytest.raises(KeyError):
        icon("nowhere")
