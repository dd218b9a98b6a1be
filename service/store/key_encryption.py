# SPDX-License-Identifier: Apache-2.0
"""The key-encryption key: what all other keys of the store are wrapped under. It wraps a handful of keys, no data.

Here it is a file under scrypt and AES-256-GCM; `service.store.token_key` has the one in a PKCS#11 token.

Source: RFC 7914 (scrypt), NIST SP 800-38D (GCM).
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from service.errors import KeyFileError, PassphraseMissing
from service.store.cipher import KEY_BYTES, Unopened, new_key, place, seal, unseal
from service.store.files import read_private, replace_private

FORMAT = "zhixin-service-kek/1"
TOKEN_PREFIX = "token-"  # noqa: S105 - begins a name
FILE_BYTES_MAX = 4096
PASSPHRASE_BYTES_MAX = 1024
SCRYPT_N = 2**15
"""With r = 8: 32 MiB and 0.1 s a guess."""
SCRYPT_R = 8
SCRYPT_P = 1
SCRYPT_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""128 * n * r; a file that asks for more could not be opened on a small machine, or is meant to stall us."""


class KeyEncryptionKey(Protocol):
    """Wraps keys and opens them again; the key itself need never leave where it is."""

    @property
    def name(self) -> str:
        """Stands beside what it wrapped: 16 random hex digits for a file's, `token-` and its id for a token's."""

    def wrap(self, key: bytes, where: bytes) -> bytes:
        """Encrypt a key for one place."""

    def unwrap(self, wrapped: bytes, where: bytes) -> bytes:
        """Open what `wrap` made, or raise KeyFileError."""


class FileKey:
    """A key-encryption key that was read from a file into memory."""

    def __init__(self, name: str, secret: bytes) -> None:
        assert len(secret) == KEY_BYTES
        self.name = name
        self._secret = secret

    def wrap(self, key: bytes, where: bytes) -> bytes:
        """Encrypt a key for one place."""
        return seal(self._secret, key, where)

    def unwrap(self, wrapped: bytes, where: bytes) -> bytes:
        """Open what `wrap` made.

        Raises:
            KeyFileError: Another key wrapped it, for another place, or it was changed.
        """
        try:
            return unseal(self._secret, wrapped, where)
        except Unopened:
            raise KeyFileError(f"a key does not open under key-encryption key {self.name}; was it changed?") from None


def path_of(folder: Path, name: str) -> Path:
    """Where the key of a name is kept."""
    return folder / f"kek-{name}.json"


def make_file_key(folder: Path, passphrase: bytes | None, *, allow_plain: bool) -> FileKey:
    """Make a new key and its file.

    Args:
        folder: Exists, mode 0700.
        passphrase: Protects the file; None leaves it unencrypted.
        allow_plain: Whether that is acceptable: for test networks alone.

    Raises:
        KeyFileError: No passphrase where one is needed, or the disk does not take the file.
    """
    if passphrase is None and not allow_plain:
        raise PassphraseMissing(None)
    key = FileKey(secrets.token_hex(8), secret := new_key())
    document: dict[str, object] = {"format": FORMAT, "name": key.name}
    if passphrase is None:
        document |= {"protection": {"kind": "plain"}, "secret": secret.hex()}
    else:
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        numbers = {"n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}
        document["protection"] = {"kind": "scrypt-aes256gcm", **numbers, "salt": salt.hex(), "nonce": nonce.hex()}
        wrapping = Scrypt(salt=salt, length=32, **numbers).derive(passphrase)
        document["secret"] = AESGCM(wrapping).encrypt(nonce, secret, _authenticated(document)).hex()
    replace_private(path_of(folder, key.name), json.dumps(document, indent=2).encode() + b"\n")
    return key


def load_file_key(folder: Path, name: str, passphrase: bytes | None, *, allow_plain: bool) -> FileKey:
    """Read and open the key of a name.

    Raises:
        KeyFileError: Missing, readable by others, malformed, not encrypted, or the passphrase is wrong.
    """
    path = path_of(folder, name)
    malformed = KeyFileError(f"{path} is not a {FORMAT} file")
    try:
        document = json.loads(read_private(path, FILE_BYTES_MAX))
        protection = document["protection"]
        content = bytes.fromhex(document["secret"])
        kind = protection["kind"]
        if document["format"] != FORMAT or document["name"] != name:
            raise malformed
        if kind == "plain":
            if not allow_plain:
                raise KeyFileError(f"{path} is not encrypted; store.allow_plain is for test networks")
            secret = content
        else:
            secret = _open(path, document, content, passphrase)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise malformed from None
    if len(secret) != KEY_BYTES:
        raise malformed
    return FileKey(name, secret)


def load_passphrase(file: str, environment: Mapping[str, str]) -> bytes | None:
    """The passphrase of the key-encryption key: from a file, else from ZHIXIN_PASSPHRASE, else None.

    Raises:
        KeyFileError: The file cannot be read, is open to others, is empty or too long.
    """
    if not file:
        text = environment.get("ZHIXIN_PASSPHRASE", "")
        return text.encode() if text else None
    content = read_private(Path(file), PASSPHRASE_BYTES_MAX).rstrip(b"\r\n")
    if not content:
        raise KeyFileError(f"{file} is empty")
    return content


def _open(path: Path, document: dict[str, object], content: bytes, passphrase: bytes | None) -> bytes:
    """Decrypt an encrypted file's secret."""
    if passphrase is None:
        raise PassphraseMissing(path)
    protection = document["protection"]
    if not isinstance(protection, dict) or protection["kind"] != "scrypt-aes256gcm":
        raise KeyFileError(f"{path} is protected in a way that this version does not know")
    n, r, p = int(protection["n"]), int(protection["r"]), int(protection["p"])
    if n < 2 or n & (n - 1) or not 1 <= r <= 32 or not 1 <= p <= 16 or 128 * n * r > SCRYPT_MEMORY_BYTES_MAX:
        raise KeyFileError(f"{path} asks for unreasonable scrypt parameters")
    salt, nonce = bytes.fromhex(protection["salt"]), bytes.fromhex(protection["nonce"])
    wrapping = Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase)
    try:
        return AESGCM(wrapping).decrypt(nonce, content, _authenticated(document))
    except InvalidTag:
        raise KeyFileError(f"{path} does not open: wrong passphrase, or the file was changed") from None


def _authenticated(document: dict[str, object]) -> bytes:
    """What the ciphertext is bound to: all but itself, in one order."""
    rest = {name: value for name, value in document.items() if name != "secret"}
    return place(json.dumps(rest, sort_keys=True, separators=(",", ":")))
