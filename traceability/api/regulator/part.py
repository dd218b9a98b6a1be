# SPDX-License-Identifier: Apache-2.0
"""The regulator's pages as a part of the service of food records: `regulator_part(context)`."""

import asyncio
from pathlib import Path

from fastapi import FastAPI

from service.app import Part
from service.pages import add_templates
from traceability.api.context import TraceContext
from traceability.api.regulator.discrepancies import DISCREPANCIES, keep_up
from traceability.api.regulator.drill_pages import drill_router
from traceability.api.regulator.ground import FoodOffice
from traceability.api.regulator.key_pages import key_router
from traceability.api.regulator.list_pages import list_router
from traceability.api.regulator.pages import dashboard_router
from traceability.api.regulator.problems import KINDS
from traceability.api.regulator.recall_pages import recall_router

add_templates(Path(__file__).parent / "templates")


def regulator_part(context: TraceContext, *, keeps_up: bool = True) -> Part:
    """The regulator's pages; sign-in and acts stand beside them.

    Args:
        context: The service's.
        keeps_up: Whether receipts are looked up by themselves, too; a test that opens each page itself says no.

    Returns:
        The part; `app.state.food_office` is the `FoodOffice`.
    """
    rounds: list[asyncio.Task[None]] = []
    broken: set[str] = set()

    async def start(app: FastAPI) -> None:
        app.state.food_office = FoodOffice(context, context.door.session)
        if keeps_up:
            rounds.append(asyncio.create_task(keep_up(app.state.food_office, broken)))

    async def stop(_app: FastAPI) -> None:
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        rounds.clear()

    async def is_whole() -> bool:
        return DISCREPANCIES not in broken

    routers = [dashboard_router(), recall_router(), drill_router(), list_router(), key_router()]
    checks = {DISCREPANCIES: is_whole}
    return Part("food-office", routers, start=start, stop=stop, checks=checks, problems=KINDS)
