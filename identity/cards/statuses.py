# SPDX-License-Identifier: Apache-2.0
"""What relying parties are told of cards' certificates: derived from one finalized height, never from a clock of ours.

Revocation lists, answers to OCSP and credentials' status lists are made from the same view, so they agree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Reason(StrEnum):
    """Why a certificate does not count; on hold is the only reason that may end."""

    HOLD = "hold"
    LOST = "lost"
    REPLACED = "replaced"
    ENDED = "ended"
    """The holder died, left, or gave the card back."""


@dataclass(frozen=True, slots=True)
class Ending:
    """That a certificate is suspended or revoked.

    Attributes:
        reason: Why.
        since_s: Since when, in seconds since 1970, by the ledger's time.
    """

    reason: Reason
    since_s: int


class StatusView(Protocol):
    """All certificates as of one finalized height."""

    @property
    def height(self) -> int:
        """The height."""

    @property
    def time_s(self) -> int:
        """The height's time, in seconds since 1970."""

    def is_issued(self, serial: int) -> bool:
        """Whether a certificate of this serial number was issued."""

    def ending(self, serial: int) -> Ending | None:
        """That a certificate is suspended or revoked, or None."""

    def endings(self) -> Iterator[tuple[int, Ending]]:
        """All that are suspended or revoked and have not expired, by serial number, ascending."""


@dataclass(frozen=True, slots=True)
class StatusTable:
    """A view in memory.

    Attributes:
        height: The finalized height.
        time_s: Its time, in seconds since 1970.
        certificates: Serial number -> None, or that it is suspended or revoked.
    """

    height: int
    time_s: int
    certificates: Mapping[int, Ending | None]

    def is_issued(self, serial: int) -> bool:
        """Whether a certificate of this serial number was issued."""
        return serial in self.certificates

    def ending(self, serial: int) -> Ending | None:
        """That a certificate is suspended or revoked, or None."""
        return self.certificates.get(serial)

    def endings(self) -> Iterator[tuple[int, Ending]]:
        """All that are suspended or revoked, by serial number, ascending."""
        ended = [(serial, ending) for serial, ending in self.certificates.items() if ending is not None]
        return iter(sorted(ended, key=lambda each: each[0]))
