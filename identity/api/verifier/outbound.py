# SPDX-License-Identifier: Apache-2.0
"""Requests that the verifier makes to addresses which others named: never into its own network.

The name is resolved here, each address that it leads to must be public, and the connection goes to an address that was
checked, so that a name which resolves to something else a moment later (DNS rebinding) gains nothing. No redirects, no
proxy of the environment, bounded in time and size. Origins that the operator listed are exempt from the check of
addresses: a city's issuer may well be inside.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpx

from service.outside import is_public

TIMEOUT_S: Final = 5.0
"""Who takes longer is tried again later."""
URL_CHARACTERS_MAX: Final = 2_048
NAME_CHARACTERS_MAX: Final = 253
LABEL_CHARACTERS_MAX: Final = 63
"""Of a host's name and of each part between its points: no resolver takes a longer one. Source: RFC 1035, 2.3.4."""

_ONE_EACH = httpx.Limits(max_keepalive_connections=0)
"""Connections are kept by address: one whose certificate was checked for a name would be used for others there."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]


class NotReached(Exception):
    """An address that may not be asked, or does not answer as it must; the reason names no content.

    Attributes:
        status: The HTTP status of an answer that was none; 0: there was no answer.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """An address in its parts.

    Attributes:
        scheme: "https", or "http" for listed origins.
        host: As it was named, without brackets.
        port: Its port.
        origin: Scheme, host and port as browsers write them.
        target: Path and query.
    """

    scheme: str
    host: str
    port: int
    origin: str
    target: str


async def resolved(host: str, port: int) -> list[str]:
    """The addresses that a name leads to."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter is how a name ends that can't even be asked for
        raise NotReached("its name does not resolve") from None
    return [str(entry[4][0]) for entry in found]


def parse_place(url: str) -> Place:
    """Take an absolute address apart.

    Raises:
        NotReached: It is none, has a user, a fragment, a blank or a control character, or its host is no name.
    """
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or any(ord(one) <= 32 or ord(one) == 127 for one in url):
        raise NotReached("it is no address")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotReached("it is no address") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise NotReached("it is no address that starts with https://")
    if parts.fragment or "#" in url:
        raise NotReached("it has a fragment")
    if ":" not in parts.hostname and not _is_name(parts.hostname):
        raise NotReached("its host is no name")
    number = port or (443 if parts.scheme == "https" else 80)
    shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_usual = number == (443 if parts.scheme == "https" else 80)
    origin = f"{parts.scheme}://{shown}" if is_usual else f"{parts.scheme}://{shown}:{number}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, parts.hostname, number, origin, target)


def _is_name(host: str) -> bool:
    """Whether a resolver can be asked for it: no part is empty but the root's at its end, and none is too long."""
    name = host.removesuffix(".")
    return len(name) <= NAME_CHARACTERS_MAX and all(0 < len(one) <= LABEL_CHARACTERS_MAX for one in name.split("."))


class Outbound:
    """Makes such requests.

    Args:
        listed: Origins that may be inside, and plain http; from the operator's settings alone.
        resolve: Finds addresses; another one in tests.
        transport: How requests go out; another one in tests.
    """

    def __init__(
        self,
        listed: Collection[str] = (),
        resolve: Resolve = resolved,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._listed = frozenset(listed)
        self._resolve = resolve
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
            transport=transport,
            verify=True,
            limits=_ONE_EACH,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        media_type: str = "",
        accept: str = "",
        bytes_max: int,
        more: Mapping[str, str] | None = None,
    ) -> bytes:
        """Ask, and take the answer.

        Args:
            method: "GET" or "POST".
            url: Where.
            body: What is sent.
            media_type: Of what is sent.
            accept: What is wanted.
            bytes_max: A longer answer is none.
            more: Further headers.

        Raises:
            NotReached: It may not be asked, does not answer in time, or not with 2xx.
        """
        place = parse_place(url)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                address = await self._checked(place)
        except TimeoutError:
            raise NotReached("its name does not resolve") from None
        shown = f"[{address}]" if ":" in address else address
        headers = {"Host": place.origin.partition("://")[2], "Accept-Encoding": "identity"}
        headers |= {"Content-Type": media_type} if media_type else {}
        headers |= {"Accept": accept} if accept else {}
        headers |= more or {}
        request = self._client.build_request(
            method,
            f"{place.scheme}://{shown}:{place.port}{place.target}",
            content=body,
            headers=headers,
            extensions={"sni_hostname": place.host},
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.send(request, stream=True)
                try:
                    if answer.headers.get("Content-Encoding", "identity") != "identity":
                        raise NotReached("its answer is packed, which nobody asked for")
                    content = b""
                    async for chunk in answer.aiter_bytes():
                        content += chunk
                        if len(content) > bytes_max:
                            raise NotReached("its answer is too long")
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError):
            raise NotReached("it does not answer") from None
        if not answer.is_success:
            raise NotReached(f"it answers with status {answer.status_code}", answer.status_code)
        return content

    async def _checked(self, place: Place) -> str:
        """An address to connect to.

        Raises:
            NotReached: The place is not allowed, or one of its addresses is inside.
        """
        addresses = await self._resolve(place.host, place.port)
        if not addresses:
            raise NotReached("its name does not resolve")
        if place.origin in self._listed:
            return addresses[0]
        if place.scheme != "https":
            raise NotReached("it does not start with https://")
        if not all(is_public(address) for address in addresses):
            raise NotReached("it leads into a network that is not public")
        return addresses[0]
