# SPDX-License-Identifier: Apache-2.0
"""Files of keys: JSON with wrapped secrets and certificates, readable by their owner alone.

Whatever is wrong with one is said with the file's path and the member's name, and never with a value.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

from chain.errors import InvalidMessage
from chain.strict_json import Json, parse
from service.errors import KeyFileError
from service.store.files import read_private, replace_private

_DEPTH_MAX = 3


class KeyDocument:
    """One file that was read.

    Args:
        path: Of the file.
        kind: Its format, e.g. "zhixin-issuing-key/1".
        bytes_max: No such file is larger.

    Attributes:
        path: Of the file.
        values: All of its members.

    Raises:
        KeyFileError: Missing, open to others, malformed, or of another format.
    """

    def __init__(self, path: Path, kind: str, bytes_max: int) -> None:
        self.path = path
        self._kind = kind
        try:
            document = parse(read_private(path, bytes_max), size_max=bytes_max, depth_max=_DEPTH_MAX)
        except InvalidMessage as error:
            raise KeyFileError(f"{path}: {error.reason}") from None
        if not isinstance(document, dict) or document.get("format") != kind:
            raise KeyFileError(f"{path} is not a {kind} file")
        self.values: Mapping[str, Json] = document

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def word(self, name: str) -> str:
        """A member that is a string; `KeyFileError` if it is not there."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self._lacks(name)
        return value

    def number(self, name: str) -> int:
        """A member that is a whole number; `KeyFileError` if it is not there."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._lacks(name)
        return value

    def content(self, name: str) -> bytes:
        """A member that is base64, as `text` writes it; `KeyFileError` if it is not."""
        try:
            return b64decode(self.word(name), validate=True)
        except ValueError:
            raise KeyFileError(f"{self.path}: {name} is no base64") from None

    def secret(self, name: str) -> bytes:
        """A member that is hexadecimal, such as a wrapped secret; `KeyFileError` if it is not."""
        try:
            return bytes.fromhex(self.word(name))
        except ValueError:
            raise KeyFileError(f"{self.path}: {name} is no hexadecimal number") from None

    def _lacks(self, name: str) -> KeyFileError:
        return KeyFileError(f"{self.path} lacks {name}; it is not a {self._kind} file")


def write_document(path: Path, document: Mapping[str, Json]) -> None:
    """Write one in the place of what there is; whoever reads meanwhile reads the old one or the new one whole."""
    replace_private(path, json.dumps(document, indent=2).encode() + b"\n")


def text(content: bytes) -> str:
    """As `KeyDocument.content` reads it."""
    return b64encode(content).decode("ascii")
