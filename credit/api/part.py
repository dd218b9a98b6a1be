# SPDX-License-Identifier: Apache-2.0
"""Credit as a part of a service: `[*staffed_parts(store, address, CREDIT_SITE, ledger), credit_part(...)]`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from sqlalchemy import Engine

from chain.signing import TransactionSigner
from credit.api import interface, wallet_grades
from credit.api.base import CreditContext, Ledger
from credit.api.desk_pages import desk_router
from credit.api.holder_pages import holder_router
from credit.api.importing import FILE_BYTES_MAX
from credit.api.interface import interface_router
from credit.api.ledger import FollowedLedger
from credit.api.monitor_job import Monitor
from credit.api.monitor_pages import monitor_router
from credit.api.notices import FetchedNotices, NoticeProvider
from credit.api.problems import KINDS
from credit.api.regulator_pages import regulator_router
from credit.api.request_pages import request_router
from credit.api.review_pages import review_router
from credit.api.showing_pages import SHOWN_BODY_BYTES_MAX, SHOWN_PATH, showing_router
from credit.api.slot_index import SlotIndex
from credit.api.statutory_pages import statutory_router
from credit.api.ticks import TICK_MS
from credit.api.upkeep import upkeep_rounds
from credit.api.wallet_grades import wallet_router
from credit.api.wallet_pages import wallet_page_router
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.pages import MACHINE_PATH
from identity.issuer_keys import KeySet
from service.app import Part
from service.pages import add_templates
from service.store import Store
from service.store.replays import unix_ms

add_templates(Path(__file__).parent / "templates")

FORM_BYTES: Final = 64 * 1024
"""What a form has beside the file in it."""


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
    tick_ms: int = TICK_MS,
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
        tick_ms: How often accesses and signed batches go out; 0: at once.
        keeps_up: Whether the service follows by itself; a test that takes each step itself says no.

    Returns:
        The part; `app.state.credit` is the `CreditContext`.
    """
    running: list[CreditContext] = []
    monitors: list[Monitor] = []
    issuer = None if issuing is None else Issuer(store, issuing, origin, now)

    async def start(app: FastAPI) -> None:
        if isinstance(ledger, FollowedLedger):
            await ledger.start()
        own_origin = origin or app.state.address.public_origin
        app.state.credit = context = CreditContext(
            store,
            SlotIndex(engine),
            ledger,
            service_key,
            issuing,
            own_origin,
            notices or FetchedNotices(),
            now,
            tick_ms=tick_ms,
        )
        running[:] = [context]
        if issuer is not None:
            issuer.origin = own_origin
        app.state.credit_monitor = Monitor(context)
        monitors[:] = [app.state.credit_monitor]

    async def stop(_app: FastAPI) -> None:
        if isinstance(ledger, FollowedLedger):
            await ledger.stop()

    return Part(
        "credit",
        [
            interface_router(),
            holder_router(),
            showing_router(),
            review_router(),
            desk_router(),
            request_router(),
            regulator_router(),
            statutory_router(),
            monitor_router(),
            wallet_page_router(),
            *([] if issuer is None else [wallet_router(issuer, lambda: running[0])]),
        ],
        start=start,
        stop=stop,
        checks={"index": ledger.is_ready} if isinstance(ledger, FollowedLedger) else {},
        rounds=upkeep_rounds(lambda: running[0], lambda: monitors[0]) if keeps_up else [],
        problems=KINDS,
        body_limits={
            interface.SHOWN_PATH: interface.SHOWN_BODY_BYTES_MAX,
            SHOWN_PATH: SHOWN_BODY_BYTES_MAX,
            "/import": FILE_BYTES_MAX + FORM_BYTES,
            MACHINE_PATH: wallet_grades.BODY_BYTES_MAX,
        },
        machine_paths=[interface.PREFIX, MACHINE_PATH],
        open_paths=[MACHINE_PATH, "/.well-known/"] if issuer else [],  # a wallet may be a page of another origin
    )
