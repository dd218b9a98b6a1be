# SPDX-License-Identifier: Apache-2.0
"""The regulator's pages as a part of the service of food records: `regulator_part(context)`."""

from pathlib import Path

from fastapi import FastAPI

from service.app import Part
from service.pages import add_templates
from traceability.api.context import TraceContext
from traceability.api.regulator.discrepancies import following
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
    offices: list[FoodOffice] = []

    async def start(app: FastAPI) -> None:
        app.state.food_office = FoodOffice(context, context.door.session)
        offices[:] = [app.state.food_office]

    routers = [dashboard_router(), recall_router(), drill_router(), list_router(), key_router()]
    rounds = [following(lambda: offices[0])] if keeps_up else []
    return Part("food-office", routers, start=start, rounds=rounds, problems=KINDS)
