# SPDX-License-Identifier: Apache-2.0
"""How a backup is sealed: one key from a passphrase or a key file, AES-256-GCM for each file.

Each file is bound to the backup's header and to its own name as associated data, so that none opens in another one's
place or in another backup. The manifest names every file with its SHA-256, so that none can be left out or exchanged
for an older one of the same name.

Source: RFC 7914 (scrypt), RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from chain.types import HASH_BYTES, Network, sha256
from node.backup_errors import BackupDamaged, BackupError
from node.errors import KeyFileError
from node.keys import (
    NONCE_BYTES,
    SALT_BYTES,
    SCRYPT_MEMORY_BYTES_MAX,
    SCRYPT_N,
    SCRYPT_P,
    SCRYPT_R,
    read_private,
)

FORMAT = "zhixin-backup/1"
HEADER_NAME = "backup.json"
HEADER_BYTES_MAX = 4096
KEY_BYTES = 32
KEY_FILE_BYTES_MAX = 256
ID_BYTES = 16
_TAG_BYTES = 16
_CHECK_BYTES = 16
_FIELDS = {"format", "id", "network", "protection"}
_KINDS = {"scrypt": "a passphrase", "key-file": "a key file"}


@dataclass(frozen=True, slots=True)
class Secret:
    """What opens a backup.

    Attributes:
        kind: Which protection it is for, `scrypt` or `key-file`.
        raw: The passphrase, or the key file's 32 bytes.
    """

    kind: str
    raw: bytes

    def __repr__(self) -> str:
        return f"Secret({self.kind})"


def passphrase_secret(passphrase: bytes) -> Secret:
    """A passphrase as what opens a backup."""
    return Secret("scrypt", passphrase)


def load_key_file(path: Path) -> Secret:
    """A key file: 64 hexadecimal digits, readable by its owner alone.

    Raises:
        KeyFileError: It can't be read, is open to others, or holds something else.
    """
    text = read_private(path, KEY_FILE_BYTES_MAX).strip()
    try:
        raw = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise KeyFileError(
            f"{path} is no backup key: write 64 hexadecimal digits, as `openssl rand -hex 32` makes them"
        )
    return Secret("key-file", raw)


def new_header(network: Network, secret: Secret) -> bytes:
    """The header of a new backup: whose ledger it is, and how its key is made. Nothing in it is secret."""
    protection: dict[str, object] = {"kind": secret.kind, "salt": secrets.token_hex(SALT_BYTES)}
    if secret.kind == "scrypt":
        protection |= {"n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}
    document: dict[str, object] = {
        "format": FORMAT,
        "id": secrets.token_hex(ID_BYTES),
        "network": network.hex(),
        "protection": protection,
    }
    key = _key(protection, secret)
    return json.dumps({**document, "check": _check(key, document)}, indent=1).encode() + b"\n"


class Seal:
    """Seals and opens the files of one backup.

    Attributes:
        network: Whose ledger the header says it is; proven once a file opens.
    """

    def __init__(self, header: bytes, secret: Secret) -> None:
        """Make the key.

        Raises:
            BackupError: A newer format, or protected in another way.
            BackupDamaged: The header is malformed.
        """
        try:
            document = json.loads(header)
            named, protection, check = document["format"], document["protection"], document.pop("check")
            self.network = Network(bytes.fromhex(document["network"]))
            kind, _ = protection["kind"], bytes.fromhex(protection["salt"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BackupDamaged(HEADER_NAME, "the header of the backup is malformed") from None
        if named != FORMAT:
            raise BackupError(
                f"{HEADER_NAME} says {str(named)[:40]!r}; this program reads {FORMAT}, a newer one may more"
            )
        if set(document) != _FIELDS or len(self.network) != HASH_BYTES:
            raise BackupDamaged(HEADER_NAME, "the header of the backup is malformed")
        if kind not in _KINDS:
            raise BackupError(
                f"{HEADER_NAME} asks for the protection {str(kind)[:40]!r}, which this program does not know"
            )
        if kind != secret.kind:
            raise BackupError(f"{HEADER_NAME} says that the backup is protected by {_KINDS[kind]}; give that")
        key = _key(protection, secret)
        if check != _check(key, document):
            raise BackupError(
                f"the backup does not open: this is not its passphrase or key file, or {HEADER_NAME} was altered"
            )
        self._bound = sha256(header)
        self._cipher = AESGCM(key)

    def seal(self, name: str, content: bytes) -> bytes:
        """Encrypt a file's content under its name."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self._bound + name.encode())

    def open(self, name: str, sealed: bytes) -> bytes | None:
        """Decrypt a file's content; None if it is not what was sealed under this name with this key."""
        if len(sealed) < NONCE_BYTES + _TAG_BYTES:
            return None
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound + name.encode())
        except InvalidTag:
            return None


def _key(protection: dict[str, object], secret: Secret) -> bytes:
    """The backup's key."""
    salt = bytes.fromhex(str(protection["salt"]))
    if secret.kind == "key-file":
        return HKDF(hashes.SHA256(), KEY_BYTES, salt, FORMAT.encode()).derive(secret.raw)
    n, r, p = (protection.get(name) for name in ("n", "r", "p"))
    if not isinstance(n, int) or not isinstance(r, int) or not isinstance(p, int):
        raise BackupDamaged(HEADER_NAME, "the header of the backup is malformed")
    if n < 2 or n & (n - 1) or not 1 <= r <= 32 or not 1 <= p <= 16 or 128 * n * r > SCRYPT_MEMORY_BYTES_MAX:
        raise BackupDamaged(HEADER_NAME, "the header asks for unreasonable scrypt parameters")
    return Scrypt(salt=salt, length=KEY_BYTES, n=n, r=r, p=p).derive(secret.raw)


def _check(key: bytes, document: dict[str, object]) -> str:
    """Tells the right key, and the header it was made for, before any file is opened."""
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return HKDF(hashes.SHA256(), _CHECK_BYTES, sha256(content), b"check").derive(key).hex()
