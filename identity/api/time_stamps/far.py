# SPDX-License-Identifier: Apache-2.0
"""An authority of time stamps far away, asked over HTTP.

Nothing of its answer is believed here: whoever uses the stamp verifies it against the certificate that they pinned.

Source: RFC 3161, 3.4.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import httpx

from identity.api.time_stamps.part import QUERY_TYPE, REPLY_TYPE
from identity.pades.time_stamps import TOKEN_BYTES_MAX

TIMEOUT_S: Final = 20.0
"""For a whole answer, however it drips: of an authority whose key is in a slow token, over a bad line."""

Http = Callable[[], httpx.AsyncClient]


def _plain() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)


class FarStamps:
    """Asks one address; it is `identity.pades.time_stamps.Stamps`.

    Args:
        url: Where requests are posted, such as "https://verifier.example.org/time-stamps".
        http: Makes connections; another one for tests.
    """

    def __init__(self, url: str, http: Http = _plain) -> None:
        self._url = url
        self._http = http

    async def answer(self, request: bytes) -> bytes:
        """What the authority answers.

        Args:
            request: DER.

        Raises:
            ConnectionError: It can't be reached, refuses, or answers something else than a time stamp.
        """
        headers = {"content-type": QUERY_TYPE, "accept": REPLY_TYPE}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._http() as http,
                http.stream("POST", self._url, content=request, headers=headers) as response,
            ):
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != httpx.codes.OK or kind != REPLY_TYPE:
                    raise ConnectionRefusedError(
                        f"{self._url} gives no time stamp: it answers with status {response.status_code}"
                    )
                answer = bytearray()
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) > TOKEN_BYTES_MAX:
                        raise ConnectionRefusedError(f"{self._url} answers with more than a time stamp")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ConnectionError(f"{self._url} cannot be asked for a time stamp: {type(error).__name__}") from None
        return bytes(answer)
