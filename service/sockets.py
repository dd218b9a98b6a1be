# SPDX-License-Identifier: Apache-2.0
"""WebSocket connections: counted like every other one, and given up when their other end does not read.

The server hands a connection over to another protocol at its handshake; from then on that one gives its place back.
What it is for, and who may have one, the part says that takes it.

Source: RFC 6455; CWE-400.
"""

import asyncio
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from service.connections import Admission
from service.rates import caller_of

MESSAGE_BYTES_MAX = 4096
"""Of what comes: programs listen here, they have nothing to say."""
PING_SECONDS = 20
"""How often it is asked whether the other end is there, and how long it has to say so."""
READ_SECONDS = 30
"""Who is behind has so long to catch up to where more is sent."""


def sockets(admission: Admission) -> type["Socket"]:
    """The WebSocket connections of one server, which share the admission of its others."""
    return type("AdmittedSocket", (Socket,), {"admission": admission})


class Socket(WebSocketsSansIOProtocol):
    """A connection that came in as HTTP, and was counted then."""

    admission: Admission

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._caller = ""
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the place that the connection has."""
        peer = transport.get_extra_info("peername")
        self._caller = caller_of(peer[0] if peer else "")
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give it back."""
        self.admission.leave(self._caller)
        self._stop_waiting()
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        """Send for the service; a refusal that was answered is the end of a handshake, and nobody's error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def pause_writing(self) -> None:
        """The other end does not read: what it says, pings that want an answer, waits as well; then it is given up."""
        super().pause_writing()
        self.transport.pause_reading()
        if self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._stop_waiting()
        if not self.read_paused:
            self.transport.resume_reading()

    def _stop_waiting(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
