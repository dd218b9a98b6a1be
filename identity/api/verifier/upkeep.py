# SPDX-License-Identifier: Apache-2.0
"""What goes on by itself: entries that are still due, notices to relying parties, and forgetting.

A notice says that a verification is over and nothing else; who gets it fetches the answer with their own key. It is
signed, and is sent until it is taken or has been tried often enough.
"""

import asyncio
import contextlib
from typing import Final

import structlog
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.verifier import clients
from identity.api.verifier.answers import sign_notice
from identity.api.verifier.outbound import NotReached
from identity.api.verifier.registered import Access
from identity.api.verifier.tables import Verification
from identity.api.verifier.verifier import TICK_ROWS_MAX, Verifier
from identity.jose import JsonObject
from service.errors import KeyFileError, StorageError
from service.problems import Problem
from service.store import new_id

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
FORGET_S: Final = 3_600
NOTICE_TRIES_MAX: Final = 8
"""With waits that double from 5 s: some twenty minutes. Who was away so long looks by themselves."""
NOTICE_WAIT_MS: Final = 5_000
NOTICE_ANSWER_BYTES_MAX: Final = 4_096
"""Nothing of it is read."""
NOTICE_MEDIA_TYPE: Final = "application/jwt"


async def tick(verifier: Verifier) -> None:
    """Write entries that are still due, and send notices.

    Raises:
        StorageError: The store failed; the next tick begins anew.
    """
    await run_in_threadpool(verifier.give_up)
    waiting = await run_in_threadpool(verifier.unfinished)
    await asyncio.gather(*(_finish(verifier, *one) for one in waiting))
    for identifier in await run_in_threadpool(_due, verifier):
        await _notify(verifier, identifier)


async def _finish(verifier: Verifier, identifier: str, client_id: str, access: Access) -> None:
    client = await run_in_threadpool(lambda: clients.by_id(verifier.store, client_id, also_ended=True))
    if client is not None and verifier.realm_of(client).recorder is not None:
        await verifier.finish(identifier, access, client)


class Upkeep:
    """Runs ticks for as long as the service does."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._task: asyncio.Task[None] | None = None
        self.is_well = True

    def start(self) -> None:
        """Begin, inside the event loop that will go on with it."""
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """End; what a tick was about is found again by the next process."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        forget_at = loop.time()
        while True:
            try:
                await tick(self._verifier)
                if loop.time() >= forget_at:
                    await run_in_threadpool(self._verifier.forget)
                    forget_at = loop.time() + FORGET_S
                self.is_well = True
            except (StorageError, KeyFileError, TransportError, LedgerError) as error:
                self.is_well = False
                log.warning("verifier.tick-failed", reason=str(error))
            except Exception:
                self.is_well = False  # a defect of one tick must not end all of them unnoticed
                log.exception("verifier.tick-broke")
            await asyncio.sleep(TICK_S)


def _due(verifier: Verifier) -> list[str]:
    with verifier.store.read() as session:
        query = select(Verification.id).where(Verification.notice_due_ms <= verifier.now_ms())
        return list(session.scalars(query.order_by(Verification.notice_due_ms).limit(TICK_ROWS_MAX)))


async def _notify(verifier: Verifier, identifier: str) -> None:
    """Send one notice; what was sent and not noted down by a crash is sent again."""
    found = await run_in_threadpool(_notice, verifier, identifier)
    if found is None:
        return
    url, body = found
    try:
        await verifier.outbound.send(
            "POST", url, body=body, media_type=NOTICE_MEDIA_TYPE, bytes_max=NOTICE_ANSWER_BYTES_MAX
        )
        is_sent = True
    except NotReached as error:
        log.info("verifier.notice-not-taken", reason=str(error))
        is_sent = False
    await run_in_threadpool(_note, verifier, identifier, is_sent=is_sent)


def _notice(verifier: Verifier, identifier: str) -> tuple[str, bytes] | None:
    with verifier.store.read() as session:
        row = session.get(Verification, identifier)
        if row is None or row.notice_due_ms is None:
            return None
        client_id, state = row.client_id, row.state
    client = clients.by_id(verifier.store, client_id)
    question = None if client is None else verifier.by_id(client, identifier)
    if client is None or question is None:
        return None
    try:
        key = verifier.key()
    except Problem:
        return None
    claims: JsonObject = {
        "iss": verifier.origin,
        "aud": client.relying_party,
        "iat": verifier.now_s,
        "jti": new_id(),
        "verification": identifier,
        "state": state,
    }
    return question.asked.notify_url, sign_notice(claims, key).encode()


def _note(verifier: Verifier, identifier: str, *, is_sent: bool) -> None:
    with verifier.store.write() as session:
        row = session.get(Verification, identifier, with_for_update=True)
        if row is None:
            return
        row.notice_tries += 1
        if is_sent or row.notice_tries >= NOTICE_TRIES_MAX:
            row.notice_due_ms = None
        else:
            row.notice_due_ms = verifier.now_ms() + (NOTICE_WAIT_MS << (row.notice_tries - 1))
