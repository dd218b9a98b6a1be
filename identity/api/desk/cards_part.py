# SPDX-License-Identifier: Apache-2.0
"""Cards, companies and mandates as a part of the desk: it stands beside `part.desk_part`."""

from fastapi import FastAPI

import identity.api.desk.batch_tables
import identity.api.desk.legal_tables  # noqa: F401 - its tables join the store
from identity.api.desk.batch_file import FILE_BYTES_MAX
from identity.api.desk.batch_pages import batch_router
from identity.api.desk.batch_problems import BATCH_KINDS
from identity.api.desk.card_making_pages import card_making_router
from identity.api.desk.card_pages import card_router
from identity.api.desk.cards_problems import CARD_KINDS
from identity.api.desk.cards_shop import Shop
from identity.api.desk.cards_signing import signing_router
from identity.api.desk.legal_pages import legal_router
from identity.api.desk.legal_problems import LEGAL_KINDS
from identity.api.desk.mandate_pages import mandate_router
from identity.api.desk.stock_pages import stock_router
from service.app import Part

FORM_BYTES = 64 * 1024
"""What a form has beside the file in it."""


def cards_part(shop: Shop | None) -> Part:
    """What the desk takes along that issues cards and registers companies.

    Args:
        shop: Readers and the authority of cards; None: none is set up, and pages say so.
    """

    async def start(app: FastAPI) -> None:
        app.state.shop = shop

    routers = [
        signing_router(),
        stock_router(),
        card_router(),
        card_making_router(),
        legal_router(),
        mandate_router(),
        batch_router(),
    ]
    problems = [*CARD_KINDS, *LEGAL_KINDS, *BATCH_KINDS]
    return Part(
        "desk-cards", routers, start=start, problems=problems, body_limits={"/batches": FILE_BYTES_MAX + FORM_BYTES}
    )
