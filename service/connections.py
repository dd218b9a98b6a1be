# SPDX-License-Identifier: Apache-2.0
"""Connections that are closed when their other end keeps them open for nothing, and refused to who holds too many.

The server's own timer runs between two requests alone: not before the first one, and any byte that comes ends it. So
a few thousand connections that send nothing, or half of a head, would keep everybody else out for as long as they like;
so would those that ask for something large and never read it.

Source: CWE-400; RFC 9112, section 9.8 (servers may close connections that stand idle).
"""

import asyncio
import fcntl
import ipaddress
import sys
import termios
from collections import Counter
from collections.abc import Sequence
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.rates import caller_of

FLUSH_SECONDS = 300
"""For what is left of an answer once its connection is to close: 10 MB to a slow phone."""
READ_SECONDS = 15
"""How often it is looked whether an answer gets on that the other end is slow to read."""
READ_BYTES_MIN = 15_000
"""As much of it has to go out in that time: 1 KB/s, slower than any phone."""

_REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 15\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Admission:
    """How many connections each address holds, and whether it may have another one.

    Args:
        per_address_max: Connections of one address; an IPv6 network of 64 bits counts as one.
        total_max: Connections of all addresses together: beyond it nobody gets in.
        proxies: Addresses and networks that speak for others; they alone hold as many as they like, below the total.
    """

    def __init__(self, per_address_max: int, total_max: int, proxies: Sequence[str] = ()) -> None:
        self._per_address_max = per_address_max
        self._total_max = total_max
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]
        self._held: Counter[str] = Counter()

    def enter(self, address: str) -> str | None:
        """Count one more connection; None if it is refused, else under what `leave` gives it back."""
        caller = caller_of(address)
        if self._held.total() >= self._total_max:
            return None
        if self._held[caller] >= self._per_address_max and not self._is_proxy(address):
            return None
        self._held[caller] += 1
        return caller

    def leave(self, caller: str) -> None:
        """Count one less."""
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]  # so that the table never holds more than there are connections

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def connections(admission: Admission) -> type["Connection"]:
    """The connections of one server, which share an admission."""
    return type("AdmittedConnection", (Connection,), {"admission": admission})


class Connection(H11Protocol):
    """A connection that has as long for the whole head of a request as it may stand idle, however its bytes trickle."""

    admission: Admission

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._waiting: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._left_bytes = 0
        self._is_handed_over = False
        self._caller: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the server has it
        """Begin to wait for the first request, or refuse to."""
        peer = transport.get_extra_info("peername")
        self._caller = self.admission.enter(peer[0] if peer else "")
        if self._caller is None:
            transport.write(_REFUSED)
            transport.close()
            return
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        if self._caller is None:
            return
        self.admission.leave(self._caller)
        super().connection_lost(exc)
        self._stop_waiting()
        for timer in (self._closing, self._reading):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came; more bytes give no more time while no request is under way."""
        if self._caller is None:
            return
        super().data_received(data)
        if self._is_handed_over:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the protocol of WebSockets, with its place; `service.sockets` gives that back."""
        self._is_handed_over = True
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """The other end is slower than the answer: begin to look whether it reads at all."""
        super().pause_writing()
        self._left_bytes = self._unread_bytes()
        if self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self._look)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def timeout_keep_alive_handler(self) -> None:
        """Close, and give up soon on who does not take what is left of an answer."""
        super().timeout_keep_alive_handler()
        if self._closing is None:
            self._closing = self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    def _look(self) -> None:
        left_bytes = self._unread_bytes()
        if self._left_bytes - left_bytes < READ_BYTES_MIN:
            self.transport.abort()
            return
        self._left_bytes = left_bytes
        self._reading = self.loop.call_later(READ_SECONDS, self._look)

    def _unread_bytes(self) -> int:
        """What was written and the other end has not acknowledged: the kernel takes it over in large pieces."""
        queued = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _wait(self) -> None:
        if self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
