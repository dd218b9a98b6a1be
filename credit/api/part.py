# SPDX-License-Identifier: Apache-2.0
"""Credit as a part of a service: `[*staffed_parts(store, address, CREDIT_SITE, ledger), credit_part(...)]`."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from chain.signing import TransactionSigner
from credit.api import interface
from credit.api.base import CreditContext, Ledger
from credit.api.batches import send_again
from credit.api.desk_pages import desk_router
from credit.api.holder_pages import holder_router
from credit.api.importing import FILE_BYTES_MAX
from credit.api.interface import interface_router
from credit.api.ledger import FollowedLedger
from credit.api.notices import FetchedNotices, NoticeProvider
from credit.api.problems import KINDS
from credit.api.reading import send_notices
from credit.api.regulator_pages import complete_draws, regulator_router
from credit.api.request_pages import request_router
from credit.api.requests import follow_requests
from credit.api.settling import settle
from credit.api.slot_index import SlotIndex
from credit.api.subjects import open_waiting
from identity.issuer_keys import KeySet
from service.app import Part
from service.pages import add_templates
from service.store import Store
from service.store.replays import unix_ms

add_templates(Path(__file__).parent / "templates")

ROUND_SECONDS: Final = 1.0
"""How soon the store follows the ledger where nobody waits for it."""
FORM_BYTES: Final = 64 * 1024
"""What a form has beside the file in it."""

log = structlog.get_logger(__name__)


def credit_part(
    store: Store,
    engine: Engine,
    ledger: Ledger,
    origin: str,
    *,
    service_key: TransactionSigner | None,
    issuing: KeySet | None = None,
    notices: NoticeProvider | None = None,
    now: Callable[[], int] = unix_ms,
    keeps_up: bool = True,
) -> Part:
    """Credit: desks, the pages of those whom it is about, the interface.

    Args:
        store: Where logs are kept.
        engine: The index's database.
        ledger: The network; a `FollowedLedger` is started and stopped with the service.
        origin: The service's public origin.
        service_key: The registrar's own, purpose `submit`.
        issuing: Signs grade credentials; None: none are issued.
        notices: Tells earlier readers of reports; None: they fetch their notices.
        now: Unix time in ms.
        keeps_up: Whether the service follows by itself; a test that takes each step itself says no.

    Returns:
        The part; `app.state.credit` is the `CreditContext`.
    """
    rounds: list[asyncio.Task[None]] = []

    async def start(app: FastAPI) -> None:
        if isinstance(ledger, FollowedLedger):
            await ledger.start()
        own_origin = origin or app.state.address.public_origin
        app.state.credit = context = CreditContext(
            store, SlotIndex(engine), ledger, service_key, issuing, own_origin, notices or FetchedNotices(), now
        )
        if keeps_up:
            rounds.append(asyncio.create_task(_keep_up(context)))

    async def stop(_app: FastAPI) -> None:
        for task in rounds:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if isinstance(ledger, FollowedLedger):
            await ledger.stop()

    checks = {"index": ledger.is_ready} if isinstance(ledger, FollowedLedger) else {}
    return Part(
        "credit",
        [interface_router(), holder_router(), desk_router(), request_router(), regulator_router()],
        start=start,
        stop=stop,
        checks=checks,
        problems=KINDS,
        body_limits={interface.SHOWN_PATH: interface.SHOWN_BODY_BYTES_MAX, "/import": FILE_BYTES_MAX + FORM_BYTES},
        machine_paths=[interface.PREFIX],
    )


async def _keep_up(context: CreditContext) -> None:
    """Follow the ledger, go on with what broke off, bring notices; for as long as the service runs."""
    while True:
        try:
            await run_in_threadpool(settle, context)
            await run_in_threadpool(follow_requests, context)
            await run_in_threadpool(complete_draws, context)
            await open_waiting(context)
            await send_again(context)
            await send_notices(context)
        except Exception as error:  # noqa: BLE001 - the outermost loop: one round that fails must not end the others
            log.warning("credit.round-failed", reason=type(error).__name__)
        await asyncio.sleep(ROUND_SECONDS)
