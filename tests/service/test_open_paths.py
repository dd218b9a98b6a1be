# SPDX-License-Identifier: Apache-2.0
"""Paths that pages of any origin may ask and read: what anybody could read, and never in a visitor's name."""

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.app import Part
from tests.service.http_rig import Counter, caller, code, service

ELSEWHERE = {"origin": "https://wallet.example", "sec-fetch-site": "cross-site"}
ASKED = {**ELSEWHERE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def opened() -> Part:
    router = APIRouter()

    @router.api_route("/protocol/offer", methods=["GET", "POST"], include_in_schema=False)
    async def offer(request: Request) -> Response:
        response = Response(request.headers.get("cookie", "none"))
        response.set_cookie("session", "x")
        return response

    @router.get("/described", include_in_schema=False)
    async def described() -> Response:
        return Response("described")

    return Part("protocol", [router], machine_paths=["/protocol/"], open_paths=["/protocol/", "/described"])


async def test_page_elsewhere_reads_an_open_path_and_sends_no_cookie() -> None:
    async with caller(service(Counter(), parts=[opened()]), {**ELSEWHERE, "cookie": "__Host-desk-session=abc"}) as web:
        for answer in (await web.get("/protocol/offer"), await web.post("/protocol/offer", content="x")):
            assert (answer.status_code, answer.text) == (200, "none")
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert "access-control-allow-credentials" not in answer.headers


async def test_browser_that_asks_first_is_told_what_it_may_send() -> None:
    async with caller(service(Counter(), parts=[opened()]), ASKED) as web:
        answer = await web.options("/protocol/offer")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
        assert answer.headers["access-control-allow-methods"] == "GET, POST"


@pytest.mark.parametrize("path", ["/orders", "/page", "/protocol", "/protocolx/offer", "/openapi.json"])
async def test_no_other_path_lets_a_page_elsewhere_read(path: str) -> None:
    async with caller(service(Counter(), parts=[opened()]), ASKED) as web:
        for answer in (await web.options(path), await web.get(path)):
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_post_of_a_page_elsewhere_to_an_open_path_that_is_no_machines_is_refused() -> None:
    async with caller(service(Counter(), parts=[opened()]), ELSEWHERE) as web:
        assert code(await web.post("/described", content="x")) == "request.cross-site"


async def test_refusal_on_an_open_path_can_be_read_by_whoever_asked() -> None:
    async with caller(service(Counter(), parts=[opened()]), ELSEWHERE) as web:
        answer = await web.get("/protocol/none")
        assert (code(answer), answer.headers["access-control-allow-origin"]) == ("request.not-found", "*")
