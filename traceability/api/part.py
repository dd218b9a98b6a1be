# SPDX-License-Identifier: Apache-2.0
"""EPCIS 2.0 as a part of the service of food records: capture and query, and the worker behind them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import FastAPI

from chain.transaction import Operation, SignedTransaction
from client.signing import sign_transaction
from service.app import Part
from service.errors import KeyFileError
from traceability.api.capture_document import BODY_BYTES_MAX
from traceability.api.capture_http import capture_router, event_router
from traceability.api.capture_jobs import Jobs
from traceability.api.capture_runner import Runner
from traceability.api.capture_steps import Sign, Steps
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import PREFIX
from traceability.api.paging import Pages
from traceability.api.problems import KINDS
from traceability.api.queries import Queries
from traceability.api.queries_http import queries_router
from traceability.api.query_http import Answers, query_router
from traceability.api.query_store import QueryStore
from traceability.api.sockets import Sockets, sockets_router
from traceability.api.subscriber import Subscriber
from traceability.api.subscriptions import Subscriptions
from traceability.api.subscriptions_http import subscriptions_router
from traceability.api.trace_records import Records
from traceability.api.webhooks import Webhooks
from traceability.projection import UnitOf


def epcis_part(context: TraceContext, *, sign: Sign | None = None) -> Part:
    """Capture and query of EPCIS 2.0 under `/epcis`.

    Args:
        context: What it stands on.
        sign: Where a test has a clock of its own.
    """
    jobs = Jobs(context.store, context.now)
    steps = Steps(jobs, context.now, signing(context) if sign is None else sign)
    runner = Runner(jobs, steps, context.door, lambda: _units(context), context.catch_up)
    pages = Pages(context.store.secret("food/pages"), context.origin, context.now)

    store = QueryStore(context)
    answers, queries = Answers(store, pages), Queries(context.store, context.now)
    subscriptions = Subscriptions(context.store, context.now)
    hooks = Webhooks(context.settings.trace.webhooks)
    subscriber = Subscriber(subscriptions, queries, store, hooks, context.now)

    async def stop(_app: FastAPI) -> None:
        await runner.stop()
        await subscriber.stop()

    return Part(
        "epcis",
        [
            capture_router(context, jobs, runner, pages),
            event_router(context, jobs, runner),
            query_router(context, answers),
            queries_router(context, queries, answers),
            subscriptions_router(context, subscriptions, store),
            sockets_router(Sockets(context, queries, store)),
        ],
        stop=stop,
        rounds=[runner.round, subscriber.round],
        problems=KINDS,
        body_limits={f"{PREFIX}/capture": BODY_BYTES_MAX},
        machine_paths=[f"{PREFIX}/"],
        uri_paths=[f"{PREFIX}/"],
        socket_paths=[f"{PREFIX}/queries/"],
    )


@contextmanager
def _units(context: TraceContext) -> Iterator[UnitOf]:
    """The products of the index."""
    with context.reading() as connection:
        yield Records(connection).unit_of


def signing(context: TraceContext) -> Sign:
    """Signs captured events: with the participant's own key, and the service's beside it."""

    def sign(operations: Sequence[Operation], gln: str) -> SignedTransaction:
        trader = context.trader_signer(gln)
        if trader is None or context.submit_key is None:
            raise KeyFileError(f"there is no ledger key of {gln} in trace.trader_keys, or none in signing.submit_key")
        return sign_transaction(operations, [trader, context.submit_key], context.door.network)

    return sign
