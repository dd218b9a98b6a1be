# SPDX-License-Identifier: Apache-2.0
"""Notices into a folder, for development and demonstration: what would be said, without to whom. Nobody is told."""

import asyncio
import json
from pathlib import Path
from typing import Final

from service.errors import ConfigError
from service.notices.providers import Message, NotTaken, Way

FILES_MAX: Final = 10_000
"""A folder of that many is nobody's to look at; the provider takes no more then."""


class FolderProvider:
    """Writes each message's kind and text into a file of its own; addressees are left out.

    Args:
        folder: Made if it is not there.

    Raises:
        ConfigError: It can't be made.
    """

    name = "folder"
    ways = frozenset(Way)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._count = sum(1 for _ in folder.iterdir())
        except OSError as error:
            raise ConfigError(f"notices.folder: {folder} cannot be used: {error.strerror}") from None

    async def send(self, message: Message) -> None:
        """See `Provider`."""
        await asyncio.to_thread(self._write, message)

    async def close(self) -> None:
        """See `Provider`; no file stays open."""

    def _write(self, message: Message) -> None:
        if self._count >= FILES_MAX:
            raise NotTaken("folder.full", is_final=False)
        content = {"kind": message.kind, "way": message.way, "subject": message.subject, "text": message.text}
        try:
            (self._folder / f"{message.at_ms}-{message.id}.json").write_text(
                json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )
        except OSError:
            raise NotTaken("folder.not-written", is_final=False) from None
        self._count += 1
