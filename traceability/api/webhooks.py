# SPDX-License-Identifier: Apache-2.0
"""Sending to addresses that others have named, without being led into one's own network.

A name is resolved once, every address that it has must be public or in a network that the operator allows, and the
connection goes to an address that was looked at: what a name says a moment later does not matter. No redirect is
followed, no proxy asked, and no more of an answer read than its status.

Source: CWE-918; RFC 6890 (special-purpose addresses); RFC 6052 (addresses with others inside).
"""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from client.errors import TransportError
from service.outside import is_public, unmapped
from traceability.epcis_json import InvalidDocument, Problem

SECONDS_MAX: Final = 10.0
"""For a receiver to take a document in."""
URL_CHARACTERS_MAX: Final = 2_000
SIGNATURE_HEADER: Final = "GS1-Signature"


class Sends(Protocol):
    """Delivers documents; a test has another."""

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Post a body; the status of the answer.

        Raises:
            TransportError: There was none, or the address is not one to send to.
        """
        ...


def check_url(url: object, networks: Sequence[str]) -> str:
    """Check the form of an address; where it leads is looked at each time something is sent.

    Args:
        url: From a subscriber.
        networks: Private networks that the operator allows; with any of them plain http is taken, too.

    Raises:
        InvalidDocument: It is no address to send to.
    """
    if not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable():
        raise InvalidDocument(
            [Problem("/dest", f"must be an https address of at most {URL_CHARACTERS_MAX} characters")]
        )
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in ({"https", "http"} if networks else {"https"}):
        raise InvalidDocument([Problem("/dest", "must be an https address with a host")])
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidDocument([Problem("/dest", "must hold no name, password or fragment")])
    return url


def is_allowed(address: str, networks: Sequence[str]) -> bool:
    """Whether a resolved address may be sent to.

    Args:
        address: As the resolver gives it.
        networks: Private networks that the operator allows.
    """
    found = unmapped(address)
    if found is None:
        return False
    return is_public(address) or any(found in ipaddress.ip_network(network) for network in networks)


def signature_of(token: bytes, subscription: str, time_ms: int, body: bytes) -> str:
    """What proves to a receiver that a document is ours and when it was sent: HMAC-SHA-256 under the shared token."""
    text = f"{subscription}.{time_ms}.".encode()
    return f"t={time_ms},v1={hmac.digest(token, text + body, hashlib.sha256).hex()}"


class Webhooks:
    """Delivers over HTTP.

    Args:
        networks: Private networks that the operator allows.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(networks)

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """See `Sends`."""
        parts = urlsplit(check_url(url, self._networks))
        assert parts.hostname is not None, "it was checked"
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self._resolve(parts.hostname, port)
        host = f"[{address}]" if ":" in address else address
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = f"{parts.scheme}://{host}:{port}{path}"
        sent = {**headers, "Host": parts.netloc, "Content-Type": "application/ld+json", "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(SECONDS_MAX),
                httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS_MAX) as web,
                web.stream(
                    "POST", target, content=body, headers=sent, extensions={"sni_hostname": parts.hostname}
                ) as answer,
            ):
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:
            raise TransportError(f"the receiver does not answer: {type(error).__name__}") from None

    async def _resolve(self, host: str, port: int) -> str:
        """One address of a host, all of whose addresses may be sent to.

        Raises:
            TransportError: It has none, or one that may not.
        """
        try:
            async with asyncio.timeout(SECONDS_MAX):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise TransportError("the receiver's name leads nowhere") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses or not all(is_allowed(address, self._networks) for address in addresses):
            raise TransportError("the receiver's name leads to an address that is not public", "webhook.private")
        return addresses[0]
