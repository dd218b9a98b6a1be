# SPDX-License-Identifier: Apache-2.0
"""The same client for programs without an event loop: a session that lives on a thread of its own.

Each method waits for its result and raises what the session raises. Safe to use from several threads.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from chain.checkpoint import Checkpoint
from chain.genesis import Genesis
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import TransactionId
from client.answers import Outcome, ProvenBlock, ProvenState, ProvenTransaction, SelfReport
from client.connection import Endpoint
from client.follow import Cursor
from client.session import STATE_AGE_MS_MAX, SUBMIT_TIMEOUT_S, Session
from client.signing import LIFETIME_MS
from client.submission import IN_FLIGHT_MAX

T = TypeVar("T")


class Client:
    """A blocking client of one network; use it as a context manager."""

    def __init__(
        self, genesis: Genesis, *, endpoints: Sequence[Endpoint] | None = None, trust_file: Path | None = None
    ) -> None:
        """See `client.session.Session`."""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="zhixin-client", daemon=True)
        self._thread.start()
        try:
            self._session = self._wait(_made(genesis, endpoints, trust_file))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all channels and end the thread."""
        try:
            self._wait(self._session.close())
        finally:
            self._stop()

    def sign(
        self, operations: Sequence[Operation], signers: Sequence[TransactionSigner], *, lifetime_ms: int = LIFETIME_MS
    ) -> SignedTransaction:
        """See `Session.sign`."""
        return self._session.sign(operations, signers, lifetime_ms=lifetime_ms)

    def submit(
        self,
        transactions: Iterable[SignedTransaction],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> Iterator[Outcome]:
        """See `Session.submit`; the transactions are taken on the client's thread."""
        return self._iterate(self._session.submit(transactions, in_flight_max=in_flight_max, timeout_s=timeout_s))

    def submit_one(self, transaction: SignedTransaction, *, timeout_s: float = SUBMIT_TIMEOUT_S) -> ProvenTransaction:
        """See `Session.submit_one`."""
        return self._wait(self._session.submit_one(transaction, timeout_s=timeout_s))

    def receipts(
        self, identifiers: Sequence[TransactionId], *, all_operations: bool = False, wait_ms: int = 0
    ) -> dict[TransactionId, list[ProvenTransaction]]:
        """See `Session.receipts`."""
        return self._wait(self._session.receipts(identifiers, all_operations=all_operations, wait_ms=wait_ms))

    def read(self, key: bytes, *, age_ms_max: int = STATE_AGE_MS_MAX) -> ProvenState:
        """See `Session.read`."""
        return self._wait(self._session.read(key, age_ms_max=age_ms_max))

    def read_many(
        self, keys: Sequence[bytes], *, height: int = 0, age_ms_max: int = STATE_AGE_MS_MAX
    ) -> list[ProvenState]:
        """See `Session.read_many`."""
        return self._wait(self._session.read_many(keys, height=height, age_ms_max=age_ms_max))

    def checkpoint(self) -> Checkpoint:
        """See `Session.checkpoint`."""
        return self._wait(self._session.checkpoint())

    def cursor_at(self, height: int = 0) -> Cursor:
        """See `Session.cursor_at`."""
        return self._wait(self._session.cursor_at(height))

    def blocks(self, cursor: Cursor | None = None) -> Iterator[ProvenBlock]:
        """See `Session.blocks`."""
        return self._iterate(self._session.blocks(cursor))

    def statuses(self) -> list[SelfReport]:
        """See `Session.statuses`."""
        return self._wait(self._session.statuses())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        try:
            while True:
                try:
                    item = self._wait(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._wait(_closed(items))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _made(genesis: Genesis, endpoints: Sequence[Endpoint] | None, trust_file: Path | None) -> Session:
    """Channels belong to the loop that they are made on."""
    return Session(genesis, endpoints=endpoints, trust_file=trust_file)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
