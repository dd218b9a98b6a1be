# SPDX-License-Identifier: Apache-2.0
"""Where the desk's cards are: readers at the counter, or a tray of emulated cards for development and demonstrations.

A reader serves one request at a time. Cards are let go of after each use, without power, so that no verified PIN stays.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from identity.cards.card import Card, CardError, NoCard
from identity.cards.emulator import EmulatedCard
from identity.cards.pcsc import open_card, readers
from service.store.files import make_folder, replace_private

EMULATED: Final = "emulated"
"""The reader's name under which the tray is chosen."""
WAIT_SECONDS_MAX: Final = 60.0
"""For a reader that another officer of this desk uses; making a card takes some seconds."""

_SERIAL = re.compile(r"[A-Z0-9][A-Z0-9-]{0,31}", re.ASCII)


class Readers(Protocol):
    """The places where a card can be put."""

    def names(self) -> Sequence[str]:
        """Those that are there now."""

    def open(self, reader: str, serial: str) -> Card:
        """Take hold of the card in a reader.

        Args:
            reader: One of `names`.
            serial: Which card it should be; real readers cannot see what is printed on a card.

        Raises:
            CardError: There is no such reader, or no card in it.
        """


class PcscReaders:
    """Readers of this machine, through PC/SC."""

    def names(self) -> Sequence[str]:
        """Those that are plugged in; none where PC/SC is missing."""
        try:
            return [reader.name for reader in readers()]
        except CardError:
            return []

    def open(self, reader: str, serial: str) -> Card:
        """Take hold of the card in a reader. Raises as `identity.cards.pcsc.open_card` does."""
        del serial
        return open_card(reader)


class EmulatedTray:
    """Emulated cards as files, one for each serial number; each lies in the tray's one reader when it is asked for.

    Args:
        folder: Holds private keys in the clear: for development and demonstrations alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Sequence[str]:
        """The tray's one reader."""
        return [EMULATED]

    def open(self, reader: str, serial: str) -> Card:
        """Put in the card of a serial number; one that was never used is blank.

        Raises:
            NoCard: There is no such reader, or the serial number is none.
        """
        if reader != EMULATED or not _SERIAL.fullmatch(serial):
            raise NoCard("there is no such card in the tray")
        make_folder(self._folder)
        path = self._folder / f"{serial}.card"
        if path.exists():
            return EmulatedCard.load(path.read_bytes(), changed=lambda raw: replace_private(path, raw))
        return EmulatedCard(changed=lambda raw: replace_private(path, raw))


class Counter:
    """The readers of one desk, each used by one request at a time.

    Args:
        places: Readers and trays; names are looked for in this order.
    """

    def __init__(self, places: Sequence[Readers]) -> None:
        self._places = tuple(places)
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def names(self) -> list[str]:
        """All readers that are there now."""
        return [name for place in self._places for name in place.names()]

    @contextmanager
    def card(self, reader: str, serial: str) -> Iterator[Card]:
        """Hold the card in a reader, and let go of it at the end.

        Raises:
            CardError: There is no such reader or no card, or somebody else uses it for long.
        """
        place = next((one for one in self._places if reader in one.names()), None)
        if place is None:
            raise NoCard("there is no such reader; plug it in and open the page again")
        with self._guard:
            lock = self._locks.setdefault(reader, threading.Lock())
        if not lock.acquire(timeout=WAIT_SECONDS_MAX):
            raise CardError("somebody else uses this reader; wait and try again")
        try:
            card = place.open(reader, serial)
            try:
                yield card
            finally:
                card.close()
        finally:
            lock.release()
