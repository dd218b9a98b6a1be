# SPDX-License-Identifier: Apache-2.0
"""The slot of a kiosk: a card goes in and comes out. Calls block: they run in threads."""

import threading
from pathlib import Path
from typing import Final, Protocol

from chain.errors import InvalidMessage
from identity.cards import pcsc
from identity.cards.card import Card, CardError, CardRemoved, NoCard
from identity.cards.emulator import EmulatedCard
from service.errors import KeyFileError
from service.store.files import make_folder, replace_private

FILE_NAME: Final = "inserted.json"
FILE_BYTES_MAX: Final = 256 * 1024
"""An emulated card with its certificates has below 20 KB."""


class CardSlot(Protocol):
    """Where a card is put in."""

    def take(self) -> Card | None:
        """Take hold of the card that is in; None: there is none.

        Raises:
            CardError: The reader failed, or the card does not answer.
        """

    def is_empty(self) -> bool:
        """Whether no card is in.

        Raises:
            CardError: The reader failed.
        """


class PcscSlot:
    """A reader by PC/SC.

    Args:
        reader: Its name or part of it; "": the only one that is plugged in.
    """

    def __init__(self, reader: str = "") -> None:
        self._reader = reader

    def take(self) -> Card | None:
        """See `CardSlot`."""
        try:
            return pcsc.open_card(self._reader)
        except NoCard:
            if not self._fitting():
                raise
            return None

    def is_empty(self) -> bool:
        """See `CardSlot`."""
        return not any(one.has_card for one in self._fitting())

    def _fitting(self) -> list[pcsc.Reader]:
        return [one for one in pcsc.readers() if self._reader in one.name]


class EmulatedSlot:
    """A slot for emulated cards in this process: for tests and demonstrations alone."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._card: EmulatedCard | None = None

    def insert(self, card: EmulatedCard) -> None:
        """Put a card in."""
        with self._turn:
            if self._card is not None:
                self._card.remove()
            card.insert()
            self._card = card

    def remove(self) -> None:
        """Pull the card out."""
        with self._turn:
            if self._card is not None:
                self._card.remove()
            self._card = None

    def take(self) -> Card | None:
        """See `CardSlot`."""
        with self._turn:
            return self._card

    def is_empty(self) -> bool:
        """See `CardSlot`."""
        with self._turn:
            return self._card is None


class FolderSlot:
    """A slot in the form of a folder: a card's file in it, called `inserted.json`, is a card put in.

    The file *is* the card, private keys included, and is written anew whenever the card changes: a wrong PIN counts.

    Args:
        folder: For development; made if it is not there.

    Raises:
        KeyFileError: It can't be made, or others may enter it.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._file = folder / FILE_NAME
        self._slot = EmulatedSlot()
        self._seen: tuple[int, int] | None = None
        self._turn = threading.RLock()

    def take(self) -> Card | None:
        """See `CardSlot`."""
        self._look()
        return self._slot.take()

    def is_empty(self) -> bool:
        """See `CardSlot`."""
        self._look()
        return self._slot.is_empty()

    def _look(self) -> None:
        """Follow the folder: another file is another card.

        Raises:
            CardError: What lies there is no card.
        """
        with self._turn:
            seen = self._status()
            if seen == self._seen:
                return
            self._slot.remove()
            self._seen = seen
            if seen is not None:
                self._slot.insert(self._read())

    def _read(self) -> EmulatedCard:
        try:
            with self._file.open("rb") as file:
                return EmulatedCard.load(file.read(FILE_BYTES_MAX), changed=self._keep)
        except (OSError, InvalidMessage):
            raise CardError(f"{self._file} is no emulated card; take it away") from None

    def _keep(self, raw: bytes) -> None:
        """Write a card that has changed; one that was taken away meanwhile stays away."""
        with self._turn:
            if self._status() != self._seen:
                raise CardRemoved
            try:
                replace_private(self._file, raw)
            except KeyFileError:
                raise CardRemoved from None
            self._seen = self._status()

    def _status(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
