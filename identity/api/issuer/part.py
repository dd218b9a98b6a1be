# SPDX-License-Identifier: Apache-2.0
"""The credential issuer as a part of a service: `[issuer_part(store, keys, address.public_origin, ...)]`."""

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.issuer import lists
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.lists import TICK_S
from identity.api.issuer.own_accesses import Prove
from identity.api.issuer.pages import BODY_BYTES_MAX, MACHINE_PATH, issuer_router
from identity.api.issuer.publishing import Anchor, Source, tick
from identity.issuer_keys import KeySet
from service.app import Hook, Part
from service.errors import StorageError, TokenError
from service.rounds import Round
from service.store import Store
from service.store.replays import unix_ms


def issuer_part(
    store: Store,
    keys: KeySet,
    origin: str,
    *,
    source: Source,
    anchor: Anchor | None = None,
    prove: Prove | None = None,
    now: Callable[[], int] = unix_ms,
    start: Hook | None = None,
    stop: Hook | None = None,
) -> Part:
    """What a service takes along that issues credentials.

    Args:
        store: Where the desk makes its offers.
        keys: The registrar's issuing keys.
        origin: The service's public origin: the issuer's identifier.
        source: How records stand on the ledger.
        anchor: Where digests of lists go; None: nowhere.
        prove: Makes receipts of states, for people's lists of accesses; None: they are not shown.
        now: Unix time in ms.
        start: What must be open before the first tick, such as a way to the ledger.
        stop: Closes it again.

    Returns:
        The part; `app.state.issuer` is the `Issuer`.
    """
    issuer = Issuer(store, keys, origin, now)

    async def begin(app: FastAPI) -> None:
        if start is not None:
            await start(app)
        app.state.issuer = issuer

    async def once() -> float:
        clock = asyncio.get_running_loop()
        due = clock.time() + TICK_S
        await tick(issuer, source, anchor)
        return max(0.0, due - clock.time())

    def fresh() -> bool:
        with store.read() as session:
            return lists.is_fresh(session, issuer.now_s)

    async def is_published() -> bool:
        return await run_in_threadpool(fresh)

    away = (TransportError, LedgerError, StorageError, TokenError)

    return Part(
        "issuer",
        [issuer_router(issuer, source, prove)],
        start=begin,
        stop=stop,
        checks={"published": is_published},
        rounds=[Round("ticks", once, TICK_S, away, tells_waiting=True)],
        body_limits={MACHINE_PATH: BODY_BYTES_MAX},
        machine_paths=[MACHINE_PATH],
        open_paths=[MACHINE_PATH, "/.well-known/", "/types/", "/status/"],  # a wallet may be a page of another origin
    )
