# SPDX-License-Identifier: Apache-2.0
"""The credential issuer as a part of a service: `[issuer_part(store, keys, address.public_origin, ...)]`."""

from collections.abc import Callable

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from identity.api.issuer import lists
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.own_accesses import Prove
from identity.api.issuer.pages import BODY_BYTES_MAX, MACHINE_PATH, issuer_router
from identity.api.issuer.publishing import Anchor, Source, Ticker, tick
from identity.issuer_keys import KeySet
from service.app import Hook, Part
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
    ticker = Ticker(lambda: tick(issuer, source, anchor))

    async def begin(app: FastAPI) -> None:
        if start is not None:
            await start(app)
        app.state.issuer = issuer
        ticker.start()

    async def end(app: FastAPI) -> None:
        await ticker.stop()
        if stop is not None:
            await stop(app)

    def fresh() -> bool:
        with store.read() as session:
            return lists.is_fresh(session, issuer.now_s)

    async def is_published() -> bool:
        return ticker.is_well and await run_in_threadpool(fresh)

    return Part(
        "issuer",
        [issuer_router(issuer, source, prove)],
        start=begin,
        stop=end,
        checks={"published": is_published},
        body_limits={MACHINE_PATH: BODY_BYTES_MAX},
        machine_paths=[MACHINE_PATH],
        open_paths=[MACHINE_PATH, "/.well-known/", "/types/", "/status/"],  # a wallet may be a page of another origin
    )
