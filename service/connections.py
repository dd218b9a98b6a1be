# SPDX-License-Identifier: Apache-2.0
"""Connections that are closed when their other end keeps them open for nothing.

The server's own timer runs between two requests alone: not before the first one, and any byte that comes ends it. So
a few thousand connections that send nothing, or half of a head, would keep everybody else out for as long as they like.

Source: CWE-400; RFC 9112, section 9.8 (servers may close connections that stand idle).
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

FLUSH_SECONDS = 300
"""For what is left of an answer once its connection is to close: 10 MB to a slow phone."""


class Connection(H11Protocol):
    """A connection that has as long for the whole head of a request as it may stand idle, however its bytes trickle."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._waiting: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the server has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        self._stop_waiting()
        if self._closing is not None:
            self._closing.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came; more bytes give no more time while no request is under way."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def timeout_keep_alive_handler(self) -> None:
        """Close, and give up soon on who does not take what is left of an answer."""
        super().timeout_keep_alive_handler()
        if self._closing is None:
            self._closing = self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    def _wait(self) -> None:
        if self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
