# SPDX-License-Identifier: Apache-2.0
"""Whether an officer may work here as far as the ledger goes, remembered for a short time and never for long.

What an organisation may do and which keys are its own stands on the ledger. A request that needs to know waits for at
most `WAIT_SECONDS_MAX`; an answer serves for `FRESH_MS`, and while the ledger does not answer for `KEPT_MS_MAX`; after
that nobody gets through. A refusal is never remembered, so that whoever was just registered need not wait.
Nothing here runs in a worker thread or keeps one: a slow ledger takes no thread from anybody.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from chain.errors import LedgerError
from chain.signing import Signer
from client.errors import TransportError
from service.problems import Problem
from service.sign_in import kinds
from service.sign_in.ledger import Reads, Standing, read_standing
from service.sign_in.sessions import Officer

FRESH_MS = 15_000
"""How long an organisation that was suspended, or a key that was revoked, may still be taken for good."""
KEPT_MS_MAX = 60_000
"""The same while no node answers: long enough for a network that has lost its leader, short enough to name."""
AGAIN_MS = 1_000
"""A ledger that did not answer is asked no oftener."""
WAIT_SECONDS_MAX = 3.0
"""A page waits no longer for the ledger; the question goes on and serves the next one."""
REMEMBERED_MAX = 4_096
"""Officers at work in a city's largest service, twice over; some hundred bytes each."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Remembered:
    """What is known of one officer's key.

    Attributes:
        standing: None: nothing was ever read.
        read_ms: When it was; by a clock that never goes back.
        tried_ms: When the ledger last failed to answer.
        asking: The question under way.
    """

    standing: Standing | None = None
    read_ms: int = 0
    tried_ms: int | None = None
    asking: asyncio.Task[None] | None = None


class Standings:
    """Standings of a service's officers.

    Args:
        reads: A client of the ledger; asked for only once the service runs.
        role: What organisations must have to work here; "": being an active member is enough.
        now: A clock in ms that never goes back.
    """

    def __init__(
        self, reads: Callable[[], Reads], role: str, now: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    ) -> None:
        self._reads = reads
        self._role = role
        self._now = now
        self._remembered: OrderedDict[tuple[str, Signer], _Remembered] = OrderedDict()

    async def check(self, officer: Officer, *, needs_key: bool) -> None:
        """Let an officer work here, or end the request.

        Args:
            officer: Who is signed in.
            needs_key: Whether what they sign with must be a key of their organisation.

        Raises:
            Problem: The organisation is not an active member with the role, the key is not its own, or nothing is
                known of it.
        """
        standing = await self.find(officer.organisation, officer.signer, needs_key=needs_key)
        if not standing.has_role(self._role):
            raise Problem(kinds.STANDING_ORGANISATION)
        if needs_key and not standing.is_key_usable():
            raise Problem(kinds.STANDING_KEY)

    async def find(self, organisation: str, signer: Signer, *, needs_key: bool = True) -> Standing:
        """What the ledger says, no older than `KEPT_MS_MAX`; asked just now where it is a refusal.

        Args:
            organisation: Id of the organisation.
            signer: What the officer signs with.
            needs_key: Whether a key that is not usable is a refusal.

        Raises:
            Problem: It did not answer for longer.
        """
        entry = self._entry((organisation, signer))
        if not self._is_fresh(entry, needs_key=needs_key):
            if entry.asking is None and (entry.tried_ms is None or self._now() - entry.tried_ms >= AGAIN_MS):
                entry.asking = asyncio.create_task(self._ask(entry, organisation, signer))
            if entry.asking is not None:
                await asyncio.wait([entry.asking], timeout=WAIT_SECONDS_MAX)
        if entry.standing is None or self._now() - entry.read_ms >= KEPT_MS_MAX:
            raise Problem(kinds.STANDING_UNKNOWN, headers={"Retry-After": "5"})
        return entry.standing

    async def close(self) -> None:
        """End questions that are under way."""
        tasks = [entry.asking for entry in self._remembered.values() if entry.asking is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._remembered.clear()

    def _entry(self, key: tuple[str, Signer]) -> _Remembered:
        entry = self._remembered.setdefault(key, _Remembered())
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return entry

    def _is_fresh(self, entry: _Remembered, *, needs_key: bool) -> bool:
        if entry.standing is None:
            return False
        is_good = entry.standing.has_role(self._role) and (not needs_key or entry.standing.is_key_usable())
        return is_good and self._now() - entry.read_ms < FRESH_MS

    async def _ask(self, entry: _Remembered, organisation: str, signer: Signer) -> None:
        """One question; of several requests at once one asks for all."""
        asked_ms = self._now()  # before the answer is made: it may be older than it looks, never younger
        try:
            entry.standing = await read_standing(self._reads(), organisation, signer)
            entry.read_ms, entry.tried_ms = asked_ms, None
        except (TransportError, LedgerError) as error:
            entry.tried_ms = self._now()
            log.warning("standing.unread", code=error.code)
        finally:
            entry.asking = None
