# SPDX-License-Identifier: Apache-2.0
"""Notices to a gateway of text messages, which a signed webhook reaches.

The gateway gets a JSON document and three headers: `webhook-id`, the same at each try, by which it drops a second one;
`webhook-timestamp`, Unix time in seconds, by which it drops an old one; `webhook-signature`, "v1," and the base64 of
HMAC-SHA-256 over `id.timestamp.body`. It answers 2xx once the message is its own to deliver.

Source: Standard Webhooks 1.0.0 (symmetric signatures).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from typing import Final

import httpx

from service.errors import ConfigError
from service.notices.providers import Message, NotTaken, Way

TIMEOUT_S: Final = 10.0
"""For a whole try: a gateway that answers byte by byte takes no longer."""
KEY_PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64
ANSWER_BYTES_MAX: Final = 16 * 1024
"""What an answer says is not read; one that goes on is cut off."""
FINAL: Final = frozenset({400, 410, 413, 422})
"""The message is what's wrong. Everything else, a refused signature too, is somebody's to mend, and is tried again."""


def parse_key(text: str) -> bytes:
    """The key that signs, from "whsec_" and base64.

    Raises:
        ConfigError: It is none.
    """
    try:
        key = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(KEY_PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        wanted = f"{KEY_PREFIX} and the base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
        raise ConfigError(f"notices.webhook_key_file must hold {wanted}")
    return key


def signature(key: bytes, identifier: str, timestamp_s: int, body: bytes) -> str:
    """What `webhook-signature` says.

    Args:
        key: Shared with the gateway.
        identifier: What `webhook-id` says.
        timestamp_s: What `webhook-timestamp` says.
        body: As it is sent.
    """
    signed = b".".join((identifier.encode(), str(timestamp_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def body_of(message: Message) -> bytes:
    """The JSON document that the gateway gets."""
    content = {
        "type": "notice",
        "id": message.id,
        "kind": message.kind,
        "to": message.channel,
        "language": message.language,
        "text": message.text,
        "at_ms": message.at_ms,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


class WebhookProvider:
    """Hands messages to the gateway of text messages.

    Args:
        url: Where.
        key: Signs.
        ca_file: Certificates that the gateway's is signed by; "": the system's.
        now_s: Unix time in seconds.
    """

    name = "webhook"
    ways = frozenset({Way.PHONE})

    def __init__(
        self, url: str, key: bytes, ca_file: str = "", *, now_s: Callable[[], int] = lambda: int(time.time())
    ) -> None:
        self._url = url
        self._key = key
        self._now_s = now_s
        verify = ssl.create_default_context(cafile=ca_file or None)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False, verify=verify)

    async def send(self, message: Message) -> None:
        """See `Provider`."""
        body, timestamp_s = body_of(message), self._now_s()
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(self._key, message.id, timestamp_s, body),
        }
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code
                await _drain(response)
        except (httpx.TimeoutException, TimeoutError):
            raise NotTaken("webhook.timeout", is_final=False) from None
        except httpx.HTTPError:
            raise NotTaken("webhook.unreachable", is_final=False) from None
        if not 200 <= status < 300:
            raise NotTaken(f"webhook.{status}", is_final=status in FINAL)

    async def close(self) -> None:
        """See `Provider`."""
        await self._client.aclose()


async def _drain(response: httpx.Response) -> None:
    """Take what little an answer says, so that the connection serves again."""
    taken = 0
    async for piece in response.aiter_raw():
        taken += len(piece)
        if taken > ANSWER_BYTES_MAX:
            return
