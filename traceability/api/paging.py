# SPDX-License-Identifier: Apache-2.0
"""Pages of EPCIS answers: a token says where the next one begins, for the same caller and question, for a while.

Nothing is kept for a token; it carries its place with a keyed digest, so that nobody makes one up.
Source: EPCIS 2.0, 12.8 (paging); RFC 8288 (Link).
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode

from fastapi import Request

from service.problems import Problem
from traceability.api.problems import PAGE_TOKEN

PAGE_DEFAULT: Final = 30
PAGE_MAX: Final = 100
"""Events of one answer: each may have hundreds of goods."""
TOKEN_CHARACTERS_MAX: Final = 512
TOKEN_MS: Final = 24 * 3600 * 1000
"""A token is good for a day: its place stays right for ever, but whose it is may change."""
_MAC_BYTES: Final = 16
_PAGING: Final = frozenset({"perPage", "nextPageToken"})


class Pages:
    """Makes tokens and reads them.

    Args:
        secret: 32 bytes, the service's own.
        origin: Of the service, for links.
        now: Unix time in ms.
    """

    def __init__(self, secret: bytes, origin: str, now: Callable[[], int]) -> None:
        self._secret = secret
        self._origin = origin
        self._now = now

    def next(self, request: Request, position: int | list[int], who: str) -> dict[str, str]:
        """Headers that lead to the next page.

        Args:
            request: What was asked.
            position: The last place shown, in the order of the answer.
            who: The caller.
        """
        expires_ms = self._now() + TOKEN_MS
        payload = json.dumps([position, expires_ms]).encode()
        token = base64.urlsafe_b64encode(self._mac(request, who, payload) + payload).rstrip(b"=").decode()
        query = [(name, value) for name, value in parse_qsl(request.url.query) if name != "nextPageToken"]
        address = f"{self._origin}{_path(request)}?{urlencode([*query, ('nextPageToken', token)])}"
        expires = datetime.fromtimestamp(expires_ms / 1000, UTC).isoformat(timespec="seconds")
        return {"Link": f'<{address}>; rel="next"', "GS1-Next-Page-Token-Expires": expires.replace("+00:00", "Z")}

    def position(self, request: Request, token: str, who: str) -> int:
        """The place after which a page begins, of answers in the order of one number; 0: at the beginning.

        Raises:
            Problem: The token is none of ours, of another question or caller, or too old.
        """
        found = self.place(request, token, who)
        if isinstance(found, list):
            raise Problem(PAGE_TOKEN)
        return found

    def place(self, request: Request, token: str, who: str) -> int | list[int]:
        """The same for any order; 0: at the beginning.

        Raises:
            Problem: See `position`.
        """
        if not token:
            return 0
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise Problem(PAGE_TOKEN) from None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(request, who, payload)):
            raise Problem(PAGE_TOKEN)
        position, expires_ms = json.loads(payload)
        if self._now() > expires_ms:
            raise Problem(PAGE_TOKEN)
        assert isinstance(position, int | list), "we made it"
        return position

    def _mac(self, request: Request, who: str, payload: bytes) -> bytes:
        """Over caller, path, and parameters but for the paging ones."""
        asked = sorted((name, value) for name, value in parse_qsl(request.url.query) if name not in _PAGING)
        text = json.dumps([who, request.scope["path"], asked]).encode()
        return hmac.digest(self._secret, len(text).to_bytes(4) + text + payload, hashlib.sha256)[:_MAC_BYTES]


def _path(request: Request) -> str:
    """The path as it came, still escaped."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.partition(b"?")[0].decode("ascii")
