# SPDX-License-Identifier: Apache-2.0
"""How an organisation that read a report is told that something in it is no longer so.

A notice names the report and the event by what its receiver was shown, and the new status; it says nothing of a person.
Providers are exchangeable: the built-in one leaves notices for their receivers to fetch from the interface.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """One message.

    Attributes:
        id: Random; a provider that sees one twice sends it once.
        organisation: Whom it is for.
        report: Id of the report that was given to them.
        slot: Which event of it, in hex.
        status: What it is now.
    """

    id: str
    organisation: str
    report: str
    slot: str
    status: str


class NoticeProvider(Protocol):
    """Brings notices to organisations."""

    async def send(self, notice: Notice) -> None:
        """Bring one; it may come a second time after a crash.

        Raises:
            TransportError: Not now; it is tried again.
        """


class FetchedNotices:
    """Brings nothing anywhere: receivers fetch their notices from `/v1/credit/notices`."""

    async def send(self, notice: Notice) -> None:
        """It lies ready."""
