# SPDX-License-Identifier: Apache-2.0
"""Whether this kiosk may serve: what the ledger says of its device key, and how long ago it said so."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chain.signing import Signer
from identity.api.kiosk.base import OfficeAway, States
from identity.devices import counts, device_key
from identity.pb import identity_pb2 as pb

LOOK_MS: Final = 15_000
"""How often the ledger is asked; a suspension counts after that."""
AGE_MS_MAX: Final = 4 * 3_600_000
"""For how long a kiosk that cannot reach the ledger goes on by what it was last told: half a day's shift, no more."""


class Standing(StrEnum):
    """Whether the kiosk serves, or why not."""

    SERVING = "serving"
    UNPROVEN = "unproven"
    UNKNOWN = "unknown"
    OTHER_KIND = "other-kind"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Registered:
    """As what the ledger has the kiosk.

    Attributes:
        registrar: Organisation that answers for it.
    """

    registrar: str
    place_zh: str
    place_en: str

    def place(self, language: str) -> str:
        """Where it stands, in a language if the record has it."""
        first, second = (self.place_en, self.place_zh) if language == "en" else (self.place_zh, self.place_en)
        return first or second


def standing_of(record: pb.DeviceRecord | None, time_ms: int) -> Standing:
    """What a device's record says of a kiosk.

    Args:
        record: As proven; None: the key was never registered.
        time_ms: The checkpoint's time.
    """
    if record is None:
        return Standing.UNKNOWN
    if record.kind != pb.DEVICE_KIND_KIOSK:
        return Standing.OTHER_KIND
    if counts(record, time_ms):
        return Standing.SERVING
    match record.status:
        case pb.PERSON_STATUS_SUSPENDED:
            return Standing.SUSPENDED
        case pb.PERSON_STATUS_ACTIVE:
            return Standing.EXPIRED
        case _:
            return Standing.REVOKED


class Licence:
    """Follows the device's record.

    Args:
        signer: The device's key.
        states: Reads the ledger.
        monotonic_ms: A clock that never goes back.
    """

    def __init__(self, signer: Signer, states: States, monotonic_ms: Callable[[], int]) -> None:
        self._key = device_key(signer)
        self._states = states
        self._now_ms = monotonic_ms
        self._standing = Standing.UNPROVEN
        self._asked_ms: int | None = None
        self._proven_ms = 0
        self.registered: Registered | None = None
        self.is_reachable = False

    @property
    def standing(self) -> Standing:
        """Whether the kiosk serves now."""
        if self._standing is Standing.SERVING and self._now_ms() - self._proven_ms > AGE_MS_MAX:
            return Standing.UNPROVEN
        return self._standing

    async def look(self) -> None:
        """Ask the ledger, if it is time to."""
        now_ms = self._now_ms()
        if self._asked_ms is not None and now_ms - self._asked_ms < LOOK_MS:
            return
        self._asked_ms = now_ms
        try:
            proven = (await self._states.read([self._key]))[self._key]
        except OfficeAway:
            self.is_reachable = False
            return
        self.is_reachable = True
        record = None if proven.value is None else pb.DeviceRecord.FromString(proven.value)
        self._standing, self._proven_ms = standing_of(record, proven.time_ms), now_ms
        if record is not None:
            self.registered = Registered(record.registrar, record.place_zh, record.place_en)
