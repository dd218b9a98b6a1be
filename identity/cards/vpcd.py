# SPDX-License-Identifier: Apache-2.0
"""Puts an emulated card into the virtual reader of vsmartcard's vpcd, so that every PC/SC program sees it.

A message is two bytes of length, big-endian, and as many bytes: one byte is a control, more are a command. The reader's
driver speaks first; the connection's end is the card's removal.

Source: vsmartcard, "Virtual Smart Card architecture", the vpcd protocol.
"""

import asyncio
import contextlib
import socket
from typing import Final

from identity.cards.card import CardError, CardRemoved, NoCard
from identity.cards.emulator import EmulatedCard

HOST: Final = "127.0.0.1"
PORT: Final = 35963
"""Where Debian's vpcd waits for a card."""

_POWER_OFF: Final = 0
_POWER_ON: Final = 1
_RESET: Final = 2
_ANSWER_TO_RESET: Final = 4
_LENGTH_BYTES: Final = 2


async def plug_in(
    card: EmulatedCard, *, host: str = HOST, port: int = PORT, plugged: asyncio.Event | None = None
) -> None:
    """Put a card into the reader and keep it there until the task is cancelled, the card removed or the reader gone.

    Args:
        card: The card; it is reset when it comes out.
        host: Where vpcd listens.
        port: Its TCP port.
        plugged: Is set when the reader has taken the card.

    Raises:
        NoCard: No virtual reader listens there.
    """
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise NoCard(
            f"no virtual reader listens at {host} port {port}: {error.strerror or error}; "
            "install pcscd and vsmartcard-vpcd and start pcscd"
        ) from None
    link: socket.socket = writer.get_extra_info("socket")
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if plugged is not None:
        plugged.set()
    try:
        while (message := await _receive(reader, link)) is not None:
            answer = _answer(card, message)
            if answer is not None:
                writer.write(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)
                await writer.drain()
    except (ConnectionError, CardRemoved):
        pass  # either side ended it: the card is out
    finally:
        card.close()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _receive(reader: asyncio.StreamReader, link: socket.socket) -> bytes | None:
    """One message, or None at the end. Its length bounds it to 65,535 bytes.

    The driver sends length and content apart, and its kernel holds the second back until we acknowledge the first:
    without quick acknowledgement each command waits 40 ms. The kernel forgets the setting, so it is set each time.
    """
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        return None


def _answer(card: EmulatedCard, message: bytes) -> bytes | None:
    """What goes back to the driver, or None where it waits for nothing."""
    if len(message) != 1:
        return card.transmit(message)
    if message[0] in {_POWER_OFF, _POWER_ON, _RESET}:
        card.reset()
        return None
    if message[0] == _ANSWER_TO_RESET:
        return card.atr
    raise CardError(f"the virtual reader sent control {message[0]}, which vpcd does not have")
