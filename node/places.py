# SPDX-License-Identifier: Apache-2.0
"""Places and bytes that callers occupy at a node: bounded in all, and for each address, so that no stranger has all.

Addresses are cheap in number and not free: a share for each makes one machine's flood that machine's own affair.
"""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import unquote

SHARE = 4
"""One address has at most one part of so many."""


class Full(Exception):
    """No place is free, in all or for this address."""


def address_of(peer: str) -> str:
    """The host of gRPC's name for the other end of a connection, such as `ipv4:10.0.0.1:4711`.

    All addresses of one IPv6 /64 count as one, since one machine commonly has all of them.
    """
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    if kind == "ipv6":
        with contextlib.suppress(ValueError):
            address = ipaddress.IPv6Address(host)
            if address.ipv4_mapped is not None:
                return str(address.ipv4_mapped)
            return host if address.is_loopback else str(ipaddress.IPv6Network((address, 64), strict=False))
    return host or peer


def is_local(address: str) -> bool:
    """Whether an address is of this machine's own loopback."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class Places:
    """So many places, of which one address has a share.

    Args:
        count_max: In all.
        is_exempt: Whether loopback may take all of them.
    """

    def __init__(self, count_max: int, *, is_exempt: bool) -> None:
        self._count_max = count_max
        self._share = max(1, count_max // SHARE)
        self._is_exempt = is_exempt
        self._taken: Counter[str] = Counter()
        self._count = 0

    def has_room(self, address: str, count: int = 1) -> bool:
        """Whether so many places are free for this address; one that has none may always have what is free."""
        if self._count + count > self._count_max:
            return False
        if self._is_exempt and is_local(address):
            return True
        return not self._taken[address] or self._taken[address] + count <= self._share

    def occupy(self, address: str, count: int = 1) -> Callable[[], None]:
        """Take places; call what this returns, once, to give them back.

        Raises:
            Full: There are none.
        """
        if not self.has_room(address, count):
            raise Full
        self._count += count
        self._taken[address] += count

        def release() -> None:
            self._count -= count
            self._taken[address] -= count
            if not self._taken[address]:
                del self._taken[address]

        return release

    @contextlib.contextmanager
    def take(self, address: str) -> Iterator[None]:
        """Hold one place.

        Raises:
            Full: There is none.
        """
        release = self.occupy(address)
        try:
            yield
        finally:
            release()


class ByteBudget:
    """Bytes on their way to callers that may not take them."""

    def __init__(self, bytes_max: int, *, is_exempt: bool) -> None:
        self._bytes_max = bytes_max
        self._places = Places(bytes_max, is_exempt=is_exempt)
        self._freed = asyncio.Event()

    def occupy(self, address: str, size_bytes: int) -> Callable[[], None]:
        """Take so many bytes; call what this returns, once, to give them back.

        Raises:
            Full: There is no room.
        """
        release_places = self._places.occupy(address, min(size_bytes, self._bytes_max))

        def release() -> None:
            release_places()
            freed, self._freed = self._freed, asyncio.Event()
            freed.set()

        return release

    @contextlib.asynccontextmanager
    async def hold(self, address: str, size_bytes: int) -> AsyncIterator[None]:
        """Hold so many bytes, once there is room for them."""
        while not self._places.has_room(address, min(size_bytes, self._bytes_max)):
            await self._freed.wait()
        release = self.occupy(address, size_bytes)
        try:
            yield
        finally:
            release()
