# SPDX-License-Identifier: Apache-2.0
"""Delivery as a part of a service: `notices_part(store, providers, settings)`.

Any process on the store may run it, and several may at once. A provider that fails turns no service unready: officers
go on, and what waits shows on the desk's page and in the metrics.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.concurrency import run_in_threadpool

from service.app import Part
from service.errors import StorageError
from service.notice_settings import NoticeSettings
from service.notices import outbox
from service.notices.outbox import DAY_MS, Claimed, NoticeState, Rates
from service.notices.providers import NotTaken, Provider, Way
from service.rounds import Round
from service.store import Store
from service.store.replays import unix_ms

log = structlog.get_logger(__name__)

ROUND_SECONDS: Final = 1.0
SEND_SECONDS_MAX: Final = 60.0
"""One try; half of the lease, so that nobody else tries meanwhile."""
COUNT_MS: Final = 15_000
"""How old the gauges may be; counting a city's notices takes some milliseconds."""
TIDY_MS: Final = 3_600_000


class Courier:
    """Delivers what is due.

    Args:
        store: Has the outbox.
        providers: Of several that serve a channel the first is asked.
        settings: Rates, and how long what is kept.
        now: Unix time in ms.
        registry: Where it counts.
    """

    def __init__(
        self,
        store: Store,
        providers: Sequence[Provider],
        settings: NoticeSettings,
        now: Callable[[], int],
        registry: CollectorRegistry,
    ) -> None:
        self._store = store
        self._providers: dict[Way, Provider] = {}
        for provider in reversed(providers):
            self._providers.update(dict.fromkeys(provider.ways, provider))
        self._rates = Rates(settings.ordinary_per_day, settings.urgent_per_day)
        self._keep_ms = settings.keep_days * DAY_MS
        self._now = now
        self._counted_ms = self._tidied_ms = 0
        self._tries = Counter("zhixin_notices", "Tries to deliver", ["provider", "outcome"], registry=registry)
        self._held = Gauge("zhixin_notices_held", "Notices in the outbox", ["state"], registry=registry)
        self._oldest = Gauge("zhixin_notices_oldest_seconds", "Age of the oldest that is due", registry=registry)

    async def deliver(self) -> int:
        """Try what is due now; how many."""
        claimed = await run_in_threadpool(self._claim)
        await asyncio.gather(*(self._try(one) for one in claimed))
        await run_in_threadpool(self._count)
        return len(claimed)

    async def _try(self, claimed: Claimed) -> None:
        message = claimed.message
        provider = self._providers[message.way]
        code, is_final = "", False
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await provider.send(message)
        except NotTaken as error:
            code, is_final = error.code, error.is_final
        except TimeoutError:
            code = f"{provider.name}.timeout"
        except Exception as error:  # noqa: BLE001 - a defect of a provider must not stop the notices of others
            code = f"{provider.name}.broke"
            log.error("notices.provider-broke", provider=provider.name, error=type(error).__name__)  # noqa: TRY400 - a traceback shows values
        outcome = await run_in_threadpool(self._settle, claimed, provider.name, code, is_final)
        self._tries.labels(provider.name, outcome).inc()
        if outcome is not NoticeState.SENT:
            log.warning("notices.not-taken", provider=provider.name, code=code, state=outcome, tries=claimed.tries)

    def _claim(self) -> list[Claimed]:
        now_ms = self._now()
        with self._store.read() as session:
            if not outbox.is_due(session, now_ms):
                return []
        with self._store.write() as session:
            outbox.put_off(session, self._providers.keys(), now_ms)
            claimed = []
            for ways in self._served():
                claimed += outbox.claim(self._store, session, ways, self._rates, now_ms)
            return claimed

    def _served(self) -> list[frozenset[Way]]:
        """Channels, by who serves them."""
        each = {id(provider): provider for provider in self._providers.values()}
        return [frozenset(way for way, provider in self._providers.items() if provider is one) for one in each.values()]

    def _settle(self, claimed: Claimed, provider: str, code: str, is_final: bool) -> NoticeState:
        with self._store.write() as session:
            return outbox.settle(session, claimed, provider, code, self._now(), is_final=is_final)

    def _count(self) -> None:
        now_ms = self._now()
        if now_ms - self._counted_ms < COUNT_MS:
            return
        self._counted_ms = now_ms
        with self._store.read() as session:
            for state, count in outbox.counts(session).items():
                self._held.labels(state).set(count)
            self._oldest.set(outbox.oldest_ms(session, now_ms) / 1000)
        if now_ms - self._tidied_ms >= TIDY_MS:
            self._tidied_ms = now_ms
            with self._store.write() as session:
                outbox.forget(session, now_ms - self._keep_ms)


def notices_part(
    store: Store,
    providers: Sequence[Provider],
    settings: NoticeSettings | None = None,
    *,
    now: Callable[[], int] = unix_ms,
    runs: bool = True,
) -> Part:
    """Delivery, for as long as the service runs.

    Args:
        store: Has the outbox.
        providers: Who delivers; none: everything waits.
        settings: Rates, and how long what is kept.
        now: Unix time in ms.
        runs: Whether it delivers by itself; a test that takes each step itself says no.

    Returns:
        The part; `app.state.courier` is the `Courier`.
    """
    couriers: list[Courier] = []

    async def start(app: FastAPI) -> None:
        courier = Courier(store, providers, settings or NoticeSettings(), now, app.state.metrics.registry)
        app.state.courier = courier
        couriers[:] = [courier]

    async def once() -> float:
        return 0 if await couriers[0].deliver() else ROUND_SECONDS

    async def stop(_app: FastAPI) -> None:
        for provider in providers:
            await provider.close()

    rounds = [Round("rounds", once, ROUND_SECONDS, (StorageError,), tells_waiting=True)] if runs else []
    return Part("notices", start=start, stop=stop, rounds=rounds)
