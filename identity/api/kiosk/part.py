# SPDX-License-Identifier: Apache-2.0
"""The kiosk as a part of a service on the kiosk's own machine: `[shell_part(SITE), kiosk_part(kiosk)]`."""

from pathlib import Path

import structlog
from fastapi import FastAPI

from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.pages import FORM_BYTES_MAX, kiosk_router
from identity.api.kiosk.problems import KIOSK_KINDS
from identity.api.kiosk.session import TICK_MS
from service.app import Hook, Part
from service.pages import add_templates
from service.rounds import Round

log = structlog.get_logger(__name__)

add_templates(Path(__file__).parent / "templates")


async def _nothing(_app: FastAPI) -> None:
    """For a caller that has nothing to begin or end."""


def kiosk_part(kiosk: Kiosk, *, start: Hook = _nothing, stop: Hook = _nothing, tick_ms: int = TICK_MS) -> Part:
    """What a service takes along that is a kiosk.

    Args:
        kiosk: The one that it is.
        start: Runs before the first look, such as to open the way to the ledger.
        stop: Runs after the last one.
        tick_ms: How often card and clock are looked at; 0: a test does it itself.
    """

    async def end(app: FastAPI) -> None:
        await kiosk.shut_down()
        await stop(app)

    async def serves() -> bool:
        return kiosk.is_serving

    return Part(
        "kiosk",
        [kiosk_router(kiosk)],
        start=start,
        stop=end,
        checks={"serves": serves},
        rounds=[Round("looks", kiosk.tick, tick_ms / 1000)] if tick_ms else [],
        problems=KIOSK_KINDS,
        body_limits=dict.fromkeys(("/pin", "/sign", "/state", "/choose", "/lost"), FORM_BYTES_MAX),
    )
