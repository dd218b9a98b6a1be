# SPDX-License-Identifier: Apache-2.0
"""A service with a few endpoints to attack, and callers of it."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from service.app import Part, create_app
from service.idempotency import Place, State
from service.redirects import local_path
from service.settings import Address, Settings, parse_settings

ORIGIN = "https://desk.example.org"
ADDRESS = Address("desk", "127.0.0.1:8801", ORIGIN, ("10.0.0.7:8801",))


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    amount: int


class Counter:
    """What the endpoints have really done."""

    def __init__(self) -> None:
        self.done: list[int] = []


def part(counter: Counter) -> Part:
    router = APIRouter(tags=["orders"])

    @router.post("/orders", operation_id="postOrder", summary="Order something", status_code=201)
    async def order(order: Order) -> dict[str, str]:
        counter.done.append(order.amount)
        return {"id": secrets.token_hex(8)}

    @router.post("/large", operation_id="postLarge", summary="Answer at length")
    async def large(order: Order) -> dict[str, str]:
        counter.done.append(order.amount)
        return {"text": "x" * 100_000}

    @router.post("/broken", operation_id="postBroken", summary="Fail halfway")
    async def broken(order: Order) -> dict[str, str]:
        counter.done.append(order.amount)
        raise ValueError("a secret 13900001111")

    @router.post("/forms", include_in_schema=False)
    async def form(request: Request) -> Response:
        fields = await request.form()
        counter.done.append(int(str(fields["amount"])))
        return PlainTextResponse("done")

    @router.get("/page", include_in_schema=False)
    async def page(request: Request) -> Response:
        return PlainTextResponse(str(request.state.csrf_token))

    @router.get("/plain", include_in_schema=False)
    async def plain() -> Response:
        return PlainTextResponse("plain")

    @router.get("/next", include_in_schema=False)
    async def onwards(to: str = "") -> Response:
        return RedirectResponse(local_path(to), 303)

    @router.post("/wallet/answer", operation_id="postAnswer", summary="What a machine posts")
    async def machine(request: Request) -> dict[str, str]:
        return {"cookie": request.headers.get("cookie", ""), "body": (await request.body()).decode()}

    return Part("orders", [router], body_limits={"/wallet/": 1000}, machine_paths=["/wallet/"])


class MemoryReplays:
    """The store's places, in memory."""

    def __init__(self) -> None:
        self.places: dict[bytes, Place] = {}

    def begin(self, key: bytes, request: bytes) -> Place:
        if key in self.places:
            return self.places[key]
        self.places[key] = Place(State.UNDER_WAY, request)
        return Place(State.NEW, request)

    def finish(self, key: bytes, answer: bytes) -> None:
        self.places[key] = Place(State.DONE, self.places[key].request, answer)

    def release(self, key: bytes) -> None:
        del self.places[key]

    def lose(self, key: bytes) -> None:
        self.places[key] = Place(State.UNKNOWN, self.places[key].request)


def service(counter: Counter, text: str = "", **more: Any) -> FastAPI:
    """The service, with settings as TOML."""
    settings: Settings = parse_settings(text, {})
    return create_app([part(counter), *more.pop("parts", [])], settings, more.pop("address", ADDRESS), **more)


@asynccontextmanager
async def caller(
    app: FastAPI, headers: Mapping[str, str] | None = None, client: tuple[str, int] = ("198.51.100.7", 40000)
) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who calls the service, from an address."""
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as made:
        yield made


class StillClock:
    """In place of `time` where rates are counted: nobody gets a token back, however slow the machine is."""

    @staticmethod
    def monotonic_ns() -> int:
        return 10**15


BROWSER = {"origin": ORIGIN, "sec-fetch-site": "same-origin", "accept-language": "en"}


def code(response: httpx.Response) -> str:
    """The code of a problem document, whose form is checked on the way."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["type"] == f"/problems/{document['code']}"
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["title"]
    assert document["detail"]
    found: str = document["code"]
    return found
