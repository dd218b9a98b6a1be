# SPDX-License-Identifier: Apache-2.0
"""Clients that submit at a bounded rate, verify each receipt, and note what they saw."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from chain.codec import encode
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from cli.load.transactions import Transactions
from client.connection import endpoints_of
from client.errors import TransportError
from client.session import Session
from client.signing import sign_transaction
from identity.pb import identity_pb2
from tests.crash.history import Acknowledged, History, Submitted

IN_FLIGHT_MAX = 100
STATUS_EVERY = 4
"""Of so many transactions one writes state; the others only add to the log."""


class Clients:
    """Some clients, each with nodes in another order of preference.

    Attributes:
        history: What they saw.
        unresolved: Transactions of which nothing became known; each may stand in the log or not.
        failed: How many had no success, by code.
        lies: Answers that did not verify.
    """

    def __init__(
        self, genesis: Genesis, signer: TransactionSigner, history: History, *, clients: int = 4, rate: float = 100
    ) -> None:
        """`rate`: transactions a second, over all clients."""
        self._genesis = genesis
        self._signer = signer
        self._supply = Transactions(genesis.network, signer, 1)
        self.history = history
        self._interval_s = clients / rate
        self._count = clients
        self._until = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._acknowledged = 0
        self._progress = asyncio.Condition()
        self.unresolved = 0
        self.failed: dict[str, int] = {}
        self.lies: list[str] = []

    @property
    def acknowledged(self) -> int:
        """Receipts so far."""
        return self._acknowledged

    def start(self) -> None:
        """Begin to submit."""
        self._tasks = [asyncio.create_task(self._run(client)) for client in range(self._count)]

    async def more(self, count: int, seconds: float) -> bool:
        """Wait until so many more are acknowledged; whether they were in time."""
        wanted = self._acknowledged + count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._progress:
                await self._progress.wait_for(lambda: self._acknowledged >= wanted or self._is_broken())
        self._raise()
        return self._acknowledged >= wanted

    async def stop(self, seconds: float = 40) -> None:
        """Submit no more, and wait for what is under way."""
        self._until.set()
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._raise()
        self.history.close()

    def _is_broken(self) -> bool:
        return any(task.done() and not task.cancelled() and task.exception() is not None for task in self._tasks)

    def _raise(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _run(self, client: int) -> None:
        endpoints = endpoints_of(self._genesis)
        at = client % len(endpoints)
        async with Session(self._genesis, endpoints=[*endpoints[at:], *endpoints[:at]]) as session:
            while not self._until.is_set():
                async for outcome in session.submit(self._source(client), in_flight_max=IN_FLIGHT_MAX):
                    if outcome.proven is not None:
                        found = outcome.proven.inclusion
                        self.history.note(
                            Acknowledged(
                                client,
                                outcome.transaction.id,
                                found.leaf_index,
                                found.height,
                                found.position,
                                found.time_ms,
                            )
                        )
                        if outcome.proven.failed is not None:
                            self._count_failure(outcome.proven.failed.code)
                        async with self._progress:
                            self._acknowledged += 1
                            self._progress.notify_all()
                    else:
                        self._unknown(outcome.error)
            self.lies += [f"node {name} give an answer that does not verify" for name in session.roster.liars()]

    def _unknown(self, error: LedgerError | TransportError | None) -> None:
        """Nothing is known of a transaction: it may stand in the log or not, and was not acknowledged."""
        code = str(getattr(error, "code", repr(error)))
        self._count_failure(code)
        self.unresolved += 1

    def _count_failure(self, code: str) -> None:
        self.failed[code] = self.failed.get(code, 0) + 1

    def _revocation(self) -> SignedTransaction:
        """A transaction that writes state."""
        message = identity_pb2.SetStatus(
            id=secrets.token_bytes(16), status=identity_pb2.STATUS_REVOKED, reason=identity_pb2.REASON_HOLDER_REQUEST
        )
        operation = Operation.make("identity.SetStatus", encode(message))
        return sign_transaction([operation], [self._signer], self._genesis.network)

    async def _source(self, client: int) -> AsyncIterator[SignedTransaction]:
        loop = asyncio.get_running_loop()
        due = loop.time()
        number = 0
        while not self._until.is_set():
            number += 1
            transaction = self._supply.take() if number % STATUS_EVERY else self._revocation()
            self.history.note(Submitted(client, transaction.id))
            yield transaction
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))
