# SPDX-License-Identifier: Apache-2.0
"""Signed statements on their way: kept, sent, proven to be on the ledger, forgotten. See `journal` for what is kept."""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from identity.api.kiosk.base import Filed, OfficeAway, OfficeRefused, ProvenValue
from identity.api.kiosk.boxes import Signed, seal
from identity.api.kiosk.equipment import Equipment
from identity.api.kiosk.journal import Entry
from identity.api.kiosk.standing import Licence, Standing
from membership.anchors import anchor_key
from membership.pb import membership_pb2
from service.errors import StorageError

log = structlog.get_logger(__name__)

SYNC_MS: Final = 10_000
"""How often statements that wait are sent again."""
AWAY_MAX: Final = 3
"""Failures in one round: if it is the office that is away, the others would fail as well; if not, they get their turn
in the next round."""


class Filing:
    """What this kiosk has to have filed.

    Args:
        equipment: Journal, office, ledger, clocks.
        licence: Who registered the kiosk: whose anchors count.

    Attributes:
        waiting: Statements that wait to be sent.
    """

    def __init__(self, equipment: Equipment, licence: Licence) -> None:
        self._own = equipment
        self._licence = licence
        self._box_key = b""
        self._turn = asyncio.Lock()
        self._synced_ms: int | None = None
        self._tried = (0, "")
        self.waiting = len(equipment.journal)

    @property
    def is_ready(self) -> bool:
        """Whether statements can be sealed for the office."""
        return bool(self._box_key)

    async def learn_key(self) -> None:
        """Ask the office for its key, unless it is known."""
        if not self._box_key and self._licence.standing is Standing.SERVING:
            with suppress(OfficeAway, OfficeRefused):
                self._box_key = await self._own.office.box_key()

    async def keep(self, signed: Signed) -> Entry:
        """Seal a signed statement and keep it, durably, until it is filed.

        Raises:
            JournalFull: Too many wait.
            StorageError: The disk does not take it.
        """
        stated = signed.statement
        sealed = seal(signed, self._box_key)
        entry = Entry(stated.stream, signed.recorded.hex(), sealed, self._own.now_ms())
        await asyncio.to_thread(self._own.journal.add, entry)
        self.waiting += 1
        return entry

    async def deliver(self, entry: Entry) -> tuple[Filed, ProvenValue]:
        """Have one filed now, and see with proof that the ledger has its digest.

        Raises:
            OfficeAway: It waits.
            OfficeRefused: It never will be filed, and is kept here no longer.
        """
        async with self._turn:
            return await self._file(entry)

    async def sync(self) -> None:
        """Send what waits, if it is time to and nobody does already."""
        now_ms = self._own.monotonic_ms()
        if not self.waiting or self._turn.locked() or self._licence.standing is not Standing.SERVING:
            return
        if self._synced_ms is not None and now_ms - self._synced_ms < SYNC_MS:
            return
        self._synced_ms = now_ms
        async with self._turn:
            try:
                await self._send_all()
            except StorageError as error:
                log.error("kiosk.journal", reason=str(error))  # noqa: TRY400 - it says which file; no trace helps

    async def _send_all(self) -> None:
        """Send all that waits, beginning after the one that was tried last: one that is stuck holds up no other."""
        entries = await asyncio.to_thread(self._own.journal.entries)
        after = [entry for entry in entries if (entry.made_ms, entry.stream) > self._tried]
        away = 0
        for entry in [*after, *entries[: len(entries) - len(after)]]:
            self._tried = (entry.made_ms, entry.stream)
            try:
                with suppress(OfficeRefused):
                    await self._file(entry)
            except OfficeAway as reason:
                log.info("kiosk.waiting", count=self.waiting, reason=str(reason))
                away += 1
                if away == AWAY_MAX:
                    return

    async def _file(self, entry: Entry) -> tuple[Filed, ProvenValue]:
        registered = self._licence.registered
        if registered is None:
            raise OfficeAway("this kiosk has not found itself on the ledger yet")
        stream = bytes.fromhex(entry.stream)
        try:
            filed = await self._own.office.file(stream, entry.sealed)
        except OfficeRefused as refused:
            log.warning("kiosk.statement-refused", code=refused.code)
            await self._forget(entry)
            raise
        if filed.organisation != registered.registrar:
            raise OfficeAway("the office answers for another organisation than the one that registered this kiosk")
        key = anchor_key(filed.organisation, membership_pb2.ANCHOR_KIND_AUDIT, stream)
        proven = (await self._own.states.read([key]))[key]
        record = None if proven.value is None else membership_pb2.AnchorRecord.FromString(proven.value)
        if record is None or record.digest.hex() != entry.digest:
            raise OfficeAway("the ledger does not have this statement's digest")
        # A crash before the next line leaves it here; the office then says once more that it has it.
        await self._forget(entry)
        return filed, proven

    async def _forget(self, entry: Entry) -> None:
        await asyncio.to_thread(self._own.journal.remove, entry.stream)
        self.waiting = max(0, self.waiting - 1)
