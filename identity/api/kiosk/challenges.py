# SPDX-License-Identifier: Apache-2.0
"""The office's nonces: each opens one visit, at one kiosk, within a minute or three, and can't be known before.

So a kiosk that was taken over can have no proof signed while the card is in and use it once the card is out. A nonce is
its time, something random, and a MAC, so that the office keeps none; those that were used it keeps for a day.
"""

import hmac
import secrets
from typing import Final

from chain.types import sha256
from identity.api.desk.base import DeskContext
from identity.api.kiosk.base import NONCE_BYTES, OfficeRefused
from identity.api.kiosk.device import Device
from service.idempotency import State

_TIME_BYTES: Final = 8
_RANDOM_BYTES: Final = 16
_MAC_BYTES: Final = 16
_USED: Final = b"zhixin/kiosk/challenge\x00"
assert _TIME_BYTES + _RANDOM_BYTES + _MAC_BYTES == NONCE_BYTES


def make_challenge(desk: DeskContext, device: Device) -> bytes:
    """A nonce for one opening at a kiosk; NONCE_BYTES."""
    said = desk.now().to_bytes(_TIME_BYTES) + secrets.token_bytes(_RANDOM_BYTES)
    return said + _mac(desk, device, said)


def use_challenge(desk: DeskContext, device: Device, nonce: bytes, age_ms_max: int) -> None:
    """Take a nonce that was answered; it counts this once. Blocks.

    Args:
        desk: Which desk.
        device: The kiosk.
        nonce: What was answered.
        age_ms_max: How long it may have taken.

    Raises:
        OfficeRefused: The nonce is none of this office's for this kiosk, is too old, or was used.
    """
    said, mac = nonce[:-_MAC_BYTES], nonce[-_MAC_BYTES:]
    if len(nonce) != NONCE_BYTES or not hmac.compare_digest(mac, _mac(desk, device, said)):
        raise OfficeRefused("kiosk.visit")
    if desk.now() - int.from_bytes(said[:_TIME_BYTES]) > age_ms_max:  # another process of the desk may be ahead
        raise OfficeRefused("kiosk.visit")
    once = sha256(_USED + nonce)
    if desk.store.replays().begin(once, once).state is not State.NEW:
        raise OfficeRefused("kiosk.visit")


def _mac(desk: DeskContext, device: Device, said: bytes) -> bytes:
    secret = desk.store.secret("kiosk/challenge")
    return hmac.digest(secret, device.public_key + said, "sha256")[:_MAC_BYTES]
