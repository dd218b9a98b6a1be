# SPDX-License-Identifier: Apache-2.0
"""The keys of the tags, one for each version: in a PKCS#11 token that never gives them out, or in an encrypted file.

`tag-keys.json` in the keys' folder says which versions there are and where each lies. A version's key is made before
the ledger is told of it, and destroyed once no tag of it is left.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from service.errors import KeyFileError, TokenError
from service.registrar_settings import UniquenessSettings
from service.store.cipher import KEY_BYTES, new_key, place
from service.store.files import locked, make_folder, read_private, replace_private
from service.store.key_encryption import FileKey, load_file_key, load_passphrase, make_file_key

FORMAT: Final = "zhixin-tag-keys/1"
FILE_BYTES_MAX: Final = 16 * 1024
"""Two versions are in use at once."""
_FILE = "tag-keys.json"


class Mac(Protocol):
    """Makes HMACs under one key."""

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes."""


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A key that was read from a file."""

    secret: bytes

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes."""
        return hmac.digest(self.secret, content, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class _Content:
    """The file as it stands: which key-encryption key wraps those in it, and where each version's key lies."""

    wrapping: str
    keys: dict[int, dict[str, str]]


class TagKeys:
    """The keys of all versions that are in use.

    Args:
        settings: Name the folder, the passphrase and the token.
        environment: May hold ZHIXIN_PASSPHRASE and ZHIXIN_PKCS11_PIN.

    Raises:
        KeyFileError: A key can't be read, doesn't open, or is not in its token.
    """

    def __init__(self, settings: UniquenessSettings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._folder = Path(settings.keys)
        make_folder(self._folder)
        self._macs: dict[int, Mac] = {}
        self.reload()

    @property
    def versions(self) -> list[int]:
        """Those that there are, oldest first."""
        return sorted(self._macs)

    def reload(self) -> None:
        """Read the file anew: a command may have made or destroyed a key.

        Raises:
            KeyFileError: A key can't be read, doesn't open, or is not in its token.
        """
        content = self._read()
        self._macs = {version: self._open(content, version) for version in content.keys}

    def digest(self, version: int, content: bytes) -> bytes:
        """HMAC under a version's key; 32 bytes. Blocks where the key is in a token.

        Raises:
            KeyFileError: There is no such version, or its token fails.
        """
        if version not in self._macs:
            self.reload()
        mac = self._macs.get(version)
        if mac is None:
            raise KeyFileError(f"{self._folder / _FILE} has no key of version {version}; put the newest copy back")
        return mac.digest(content)

    def make(self, version: int) -> None:
        """Make the key of a version, durably, unless it is there.

        Raises:
            KeyFileError: The disk or the token does not take it.
        """
        with locked(self._folder):
            content = self._read()
            if version not in content.keys:
                self._write(self._with_new(content, version))
        self.reload()

    def drop_before(self, version: int) -> None:
        """Destroy the keys of older versions; tags under them can't be made any more, which is the purpose.

        Raises:
            KeyFileError: The disk or the token fails.
        """
        with locked(self._folder):
            content = self._read()
            for old in [one for one in content.keys if one < version]:
                if "token" in content.keys[old]:
                    self._destroy(content.keys[old]["token"])
            left = {one: where for one, where in content.keys.items() if one >= version}
            if left != content.keys:
                self._write(replace(content, keys=left))
        self.reload()

    def _with_new(self, content: _Content, version: int) -> _Content:
        """A new key in the token if one is set, else in the file."""
        if self._settings.token:
            from service.pkcs11 import MacKey, make_key, parse_uri  # noqa: PLC0415 - loads PKCS#11 where it is used

            made = make_key(MacKey, parse_uri(self._settings.token), self._environment)
            return replace(content, keys=content.keys | {version: {"token": made.address.id.hex()}})
        wrapping = self._wrapping(content.wrapping)
        wrapped = wrapping.wrap(new_key(), _where(version)).hex()
        return _Content(wrapping.name, content.keys | {version: {"wrapped": wrapped}})

    def _open(self, content: _Content, version: int) -> Mac:
        where = content.keys[version]
        if "token" in where:
            from service.pkcs11 import MacKey, open_key, parse_uri  # noqa: PLC0415 - loads PKCS#11 where it is used

            if not self._settings.token:
                raise TokenError(f"the tags' key of version {version} is in a token: set uniqueness.token to its URI")
            address = replace(parse_uri(self._settings.token), label="", id=bytes.fromhex(where["token"]))
            return open_key(MacKey, address, self._environment)
        secret = self._wrapping(content.wrapping).unwrap(bytes.fromhex(where["wrapped"]), _where(version))
        if len(secret) != KEY_BYTES:
            raise KeyFileError(f"{self._folder / _FILE} is not a {FORMAT} file")
        return _InMemory(secret)

    def _destroy(self, key_id: str) -> None:
        from service.pkcs11 import Kind, parse_uri  # noqa: PLC0415 - loads PKCS#11 where it is used alone
        from service.pkcs11_token import open_token  # noqa: PLC0415 - likewise

        if not self._settings.token:
            raise TokenError("an old key of the tags is in a token: set uniqueness.token to its URI")
        address = replace(parse_uri(self._settings.token), label="", id=bytes.fromhex(key_id))
        open_token(address, self._environment).destroy(address, Kind.MAC)

    def _wrapping(self, name: str) -> FileKey:
        """The key under which keys lie in the file; made with the first of them."""
        settings = self._settings
        passphrase = load_passphrase(settings.passphrase_file, self._environment)
        if name:
            return load_file_key(self._folder, name, passphrase, allow_plain=settings.allow_plain)
        return make_file_key(self._folder, passphrase, allow_plain=settings.allow_plain)

    def _read(self) -> _Content:
        path = self._folder / _FILE
        if not path.exists():
            return _Content("", {})
        try:
            document = json.loads(read_private(path, FILE_BYTES_MAX))
            if document["format"] != FORMAT:
                raise KeyFileError(f"{path} is not a {FORMAT} file")
            keys = {int(item.pop("version")): {str(k): str(v) for k, v in item.items()} for item in document["keys"]}
            return _Content(str(document["wrapping"]), keys)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise KeyFileError(f"{path} is not a {FORMAT} file") from None

    def _write(self, content: _Content) -> None:
        listed = [{"version": version, **where} for version, where in sorted(content.keys.items())]
        document = {"format": FORMAT, "wrapping": content.wrapping, "keys": listed}
        replace_private(self._folder / _FILE, json.dumps(document, indent=2).encode() + b"\n")


def _where(version: int) -> bytes:
    return place(FORMAT, version)
