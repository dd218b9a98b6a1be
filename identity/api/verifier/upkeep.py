# SPDX-License-Identifier: Apache-2.0
"""What goes on by itself: entries that are still due, notices to relying parties, and forgetting.

A notice says that a verification is over and nothing else; who gets it fetches the answer with their own key. It is
signed, and is sent until it is taken or has been tried often enough. Notices go out beside all else, a few at once and
at most one to each program, so that a receiver that hangs holds up nobody but its own program.
"""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.verifier import clients
from identity.api.verifier.answers import sign_notice
from identity.api.verifier.kept import TICK_ROWS_MAX
from identity.api.verifier.outbound import NotReached
from identity.api.verifier.registered import Access
from identity.api.verifier.tables import Verification
from identity.api.verifier.verifier import Verifier
from identity.jose import JsonObject
from service.errors import KeyFileError, StorageError
from service.problems import Problem
from service.rounds import Round
from service.store import new_id

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
FORGET_S: Final = 3_600
NOTICE_TRIES_MAX: Final = 8
"""With waits that double from 5 s: some twenty minutes. Who was away so long looks by themselves."""
NOTICE_WAIT_MS: Final = 5_000
NOTICES_AT_ONCE: Final = 16
"""Programs that are told at once; each holds a connection for five seconds at most."""
NOTICE_TURN_S: Final = 5.0
"""After so long another program has its turn, if one waits."""
NOTICE_ANSWER_BYTES_MAX: Final = 4_096
"""Nothing of it is read."""
NOTICE_MEDIA_TYPE: Final = "application/jwt"


async def tick(verifier: Verifier) -> None:
    """Give up what is too late, and write entries that are still due.

    Raises:
        StorageError: The store failed; the next tick begins anew.
    """
    await run_in_threadpool(verifier.kept.give_up)
    waiting = await run_in_threadpool(verifier.kept.unfinished)
    await asyncio.gather(*(_finish(verifier, *one) for one in waiting))


async def _finish(verifier: Verifier, identifier: str, client_id: str, access: Access) -> None:
    client = await run_in_threadpool(lambda: clients.by_id(verifier.store, client_id, also_ended=True))
    if client is not None and verifier.realm_of(client).recorder is not None:
        await verifier.finish(identifier, access, client)


class Notices:
    """Tells programs that verifications are over."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._telling: dict[str, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """Begin to tell programs whose notices are due, as far as there are places; waits for none of them.

        Raises:
            StorageError: The store failed.
        """
        places = NOTICES_AT_ONCE - len(self._telling)
        if not places:
            return
        for client_id in await run_in_threadpool(_due, self._verifier, tuple(self._telling), places):
            self._telling[client_id] = asyncio.create_task(self._tell(client_id))

    async def told(self) -> None:
        """Wait until all that was begun is over."""
        await asyncio.gather(*self._telling.values())

    async def stop(self) -> None:
        """End; a notice that was sent and not noted down is sent again by the next process."""
        for task in self._telling.values():
            task.cancel()
        await asyncio.gather(*self._telling.values(), return_exceptions=True)
        self._telling.clear()  # one that had not begun yet did not leave by itself

    async def _tell(self, client_id: str) -> None:
        """Send a program's notices, one after the other, until one is not taken or its turn is over."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + NOTICE_TURN_S
        try:
            for identifier in await run_in_threadpool(_due_of, self._verifier, client_id):
                if not await _notify(self._verifier, identifier) or loop.time() >= ends_at:
                    return
        except (StorageError, KeyFileError) as error:
            log.warning("verifier.notice-failed", reason=str(error))
        except Exception:
            log.exception("verifier.notice-broke")  # a defect of one notice must not end those of others
        finally:
            self._telling.pop(client_id, None)


class Upkeep:
    """What a verifier does by itself, notices waiting for nothing else.

    Attributes:
        rounds: For its part; the check of each tells of every failure.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._notices = Notices(verifier)
        self._forget_at = 0.0
        away = (StorageError, KeyFileError, TransportError, LedgerError)
        self.rounds = [
            Round("upkeep", self._tick, TICK_S, away, tells_waiting=True),
            Round("notices", self._notices.begin, TICK_S, away, tells_waiting=True),
        ]

    async def stop(self) -> None:
        """End notices that are under way; the next process finds them again."""
        await self._notices.stop()

    async def _tick(self) -> None:
        await tick(self._verifier)
        loop = asyncio.get_running_loop()
        if loop.time() >= self._forget_at:
            await run_in_threadpool(self._verifier.kept.forget)
            self._forget_at = loop.time() + FORGET_S


def _due(verifier: Verifier, but: Collection[str], count: int) -> list[str]:
    """Some programs with notices that are due, drawn, so that none comes before others each time."""
    with verifier.store.read() as session:
        due = select(Verification.client_id).where(
            Verification.notice_due_ms <= verifier.now_ms(), Verification.client_id.not_in(but)
        )
        return list(session.scalars(due.group_by(Verification.client_id).order_by(func.random()).limit(count)))


def _due_of(verifier: Verifier, client_id: str) -> list[str]:
    with verifier.store.read() as session:
        query = select(Verification.id).where(
            Verification.notice_due_ms <= verifier.now_ms(), Verification.client_id == client_id
        )
        return list(session.scalars(query.order_by(Verification.notice_due_ms).limit(TICK_ROWS_MAX)))


async def _notify(verifier: Verifier, identifier: str) -> bool:
    """Send one notice; what was sent and not noted down by a crash is sent again.

    Returns:
        Whether it was taken.
    """
    found = await run_in_threadpool(_notice, verifier, identifier)
    if found is None:
        return False
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
    return is_sent


def _notice(verifier: Verifier, identifier: str) -> tuple[str, bytes] | None:
    with verifier.store.read() as session:
        row = session.get(Verification, identifier)
        if row is None or row.notice_due_ms is None:
            return None
        client_id, state = row.client_id, row.state
    client = clients.by_id(verifier.store, client_id)
    if client is None:  # its program was ended: there is nobody to tell
        _note(verifier, identifier, is_sent=True)
        return None
    question = verifier.kept.by_id(client.id, identifier)
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
