# SPDX-License-Identifier: Apache-2.0
"""The start page of food records: whoever is signed in goes on to their own pages, a stranger hears what there is."""

from typing import Final

from starlette.requests import Request

from service.app import Part
from service.sign_in.access import signed_in
from service.sign_in.pages import start_path
from service.start_page import Way, start_router
from traceability.api.context import TRACE_SITE

WAYS: Final = (
    Way("/trade", "table", "food.start-trade", "food.start-trade-about"),
    Way("/regulator", "building", "food.start-regulator", "food.start-regulator-about"),
    Way("/openapi.json", "file", "food.start-programs", "food.start-programs-about"),
)
"""A shopper's way is a label, which the page says in words."""


def start_part() -> Part:
    """The page; stands before the sign-in, which would ask a shopper for a passkey at the same address."""
    return Part("start", [start_router(TRACE_SITE, "food.start-about", WAYS, _own_start)])


def _own_start(request: Request) -> str | None:
    officer = signed_in(request)
    return None if officer is None else start_path(TRACE_SITE, officer)
