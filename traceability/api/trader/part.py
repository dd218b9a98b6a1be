# SPDX-License-Identifier: Apache-2.0
"""The traders' pages as a part of the service of food records: `trader_part(context)`."""

from pathlib import Path

from fastapi import FastAPI

from service.app import Part
from service.pages import add_templates
from service.pictures import FILE_BYTES_MAX
from traceability.api.context import TraceContext
from traceability.api.trader.forms import DRAFT_PHOTO_BYTES_MAX
from traceability.api.trader.ground import PATH, TradeDesk
from traceability.api.trader.key_pages import key_router
from traceability.api.trader.offline import offline_router
from traceability.api.trader.pages import home_router
from traceability.api.trader.paper_pages import paper_router
from traceability.api.trader.problems import KINDS
from traceability.api.trader.record_pages import record_router

add_templates(Path(__file__).parent / "templates")

FORM_BYTES = 64 * 1024
"""What a form has beside the file in it."""


def trader_part(context: TraceContext) -> Part:
    """The traders' pages; sign-in and acts stand beside them.

    Args:
        context: The service's.

    Returns:
        The part; `app.state.trade` is the `TradeDesk`.
    """

    async def start(app: FastAPI) -> None:
        app.state.trade = TradeDesk(context, context.door.session)

    limits = {
        f"{PATH}/record/": FILE_BYTES_MAX + FORM_BYTES,
        f"{PATH}/drafts": DRAFT_PHOTO_BYTES_MAX * 4 // 3 + FORM_BYTES,
    }
    return Part(
        "trade",
        [home_router(), record_router(), paper_router(), key_router(), offline_router()],
        start=start,
        problems=KINDS,
        body_limits=limits,
    )
