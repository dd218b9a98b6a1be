# SPDX-License-Identifier: Apache-2.0
"""Key files: one secret each, under scrypt and AES-256-GCM, or plain where a test network says so in so many words.

A file is a JSON object; everything in it but the ciphertext is authenticated with it, so a purpose or public key can't
be exchanged. Files have mode 0600 and their folder 0700, and a looser mode is refused. No error here shows a secret.

Source: RFC 7914 (scrypt), NIST SP 800-38D (GCM).
"""

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from nacl.signing import SigningKey

from chain import bls
from chain.errors import InvalidSignature
from node.errors import KeyFileError

FORMAT = "zhixin-key/1"
SECRET_BYTES = 32
KEY_FILE_BYTES_MAX = 4096
SCRYPT_N = 2**15
"""With r = 8: 32 MiB and 0.1 s a guess."""
SCRYPT_R = 8
SCRYPT_P = 1
SCRYPT_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""128 * n * r; a file that asks for more could not be opened on a small machine, or is meant to stall us."""
SALT_BYTES = 16
NONCE_BYTES = 12
PASSPHRASE_BYTES_MAX = 1024

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Purpose(StrEnum):
    """What a key is for; a file of one purpose is refused for another."""

    VALIDATOR = "validator"
    TLS = "tls"
    ORGANISATION = "organisation"


class Algorithm(StrEnum):
    """What a key is."""

    BLS = "bls12-381"
    P256 = "p256"
    ED25519 = "ed25519"


ALGORITHMS: Mapping[Purpose, frozenset[Algorithm]] = {
    Purpose.VALIDATOR: frozenset({Algorithm.BLS}),
    Purpose.TLS: frozenset({Algorithm.P256}),
    Purpose.ORGANISATION: frozenset({Algorithm.ED25519, Algorithm.P256}),
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A secret with its public half.

    Attributes:
        public_key: 48 bytes (BLS), 33 (P-256, compressed) or 32 (Ed25519).
        secret: The scalar or seed, 32 bytes.
    """

    purpose: Purpose
    algorithm: Algorithm
    public_key: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"KeyPair({self.purpose}, {self.algorithm}, public_key={self.public_key.hex()})"


def public_key_of(algorithm: Algorithm, secret: bytes) -> bytes:
    """The public half of a secret.

    Raises:
        KeyFileError: The bytes are no secret of this algorithm.
    """
    if len(secret) != SECRET_BYTES:
        raise KeyFileError(f"a secret key has {SECRET_BYTES} bytes")
    try:
        return _PUBLIC[algorithm](secret)
    except (ValueError, InvalidSignature):
        raise KeyFileError(f"the secret is not a valid {algorithm} key") from None


def generate_key(purpose: Purpose, algorithm: Algorithm, entropy: bytes | None = None) -> KeyPair:
    """Make a new key from the system's randomness, or from 32 bytes given (test networks that must repeat).

    Raises:
        KeyFileError: No key of this purpose has this algorithm.
    """
    _check_purpose(purpose, algorithm)
    seed = secrets.token_bytes(SECRET_BYTES) if entropy is None else entropy
    if algorithm is Algorithm.BLS:
        seed = bls.SecretKey.derive(seed).to_bytes()
    elif algorithm is Algorithm.P256:
        scalar = int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1
        seed = scalar.to_bytes(SECRET_BYTES, "big")
    return KeyPair(purpose, algorithm, public_key_of(algorithm, seed), seed)


def save_key(path: Path, key: KeyPair, passphrase: bytes | None) -> None:
    """Write a key file that does not exist yet; a crash leaves the whole file or none.

    Args:
        path: Its folder is made with mode 0700.
        key: What to keep.
        passphrase: None leaves the secret unencrypted: for test networks alone.

    Raises:
        KeyFileError: The file exists, or cannot be written.
    """
    document: dict[str, object] = {
        "format": FORMAT,
        "purpose": str(key.purpose),
        "algorithm": str(key.algorithm),
        "public_key": key.public_key.hex(),
    }
    if passphrase is None:
        document["protection"] = {"kind": "plain"}
        document["secret"] = key.secret.hex()
    else:
        salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
        document["protection"] = {
            "kind": "scrypt-aes256gcm",
            "n": SCRYPT_N,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
            "salt": salt.hex(),
            "nonce": nonce.hex(),
        }
        wrapping = _stretch(passphrase, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
        document["secret"] = AESGCM(wrapping).encrypt(nonce, key.secret, _authenticated(document)).hex()
    _write_private(path, json.dumps(document, indent=2).encode() + b"\n")


def load_key(path: Path, purpose: Purpose, passphrase: bytes | None, *, allow_plain: bool = False) -> KeyPair:
    """Read and open a key file.

    Args:
        path: The file.
        purpose: What the caller wants a key for.
        passphrase: Opens an encrypted file.
        allow_plain: Whether an unencrypted file is acceptable.

    Raises:
        KeyFileError: Missing, readable by others, malformed, of another purpose, or the passphrase is wrong.
    """
    document = _read_document(path)
    try:
        algorithm = Algorithm(str(document["algorithm"]))
        named = Purpose(str(document["purpose"]))
        public_key = bytes.fromhex(str(document["public_key"]))
        ciphertext = bytes.fromhex(str(document["secret"]))
        protection = document["protection"]
    except (KeyError, ValueError):
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None
    if document.get("format") != FORMAT or not isinstance(protection, dict):
        raise KeyFileError(f"{path} is not a {FORMAT} file")
    if named is not purpose:
        raise KeyFileError(f"{path} holds a key for {named!s}, not for {purpose!s}")
    _check_purpose(purpose, algorithm)
    kind = protection.get("kind")
    if kind == "plain":
        if not allow_plain:
            raise KeyFileError(f"{path} is not encrypted; set keys.allow_plain for a test network, or encrypt it")
        secret = ciphertext
    elif kind == "scrypt-aes256gcm":
        secret = _open(path, document, protection, ciphertext, passphrase)
    else:
        raise KeyFileError(f"{path} is protected in a way that this version does not know")
    if public_key_of(algorithm, secret) != public_key:
        raise KeyFileError(f"{path}: the secret does not belong to the public key beside it")
    return KeyPair(purpose, algorithm, public_key, secret)


def load_public_key(path: Path) -> tuple[Purpose, Algorithm, bytes]:
    """What a key file says of itself without opening it; nothing vouches for it.

    Raises:
        KeyFileError: Missing, readable by others, or malformed.
    """
    document = _read_document(path)
    try:
        return (
            Purpose(str(document["purpose"])),
            Algorithm(str(document["algorithm"])),
            bytes.fromhex(str(document["public_key"])),
        )
    except (KeyError, ValueError):
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None


def load_passphrase(file: str, environment: Mapping[str, str]) -> bytes | None:
    """The passphrase of a node's keys: from a file, else from ZHIXIN_PASSPHRASE, else None.

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


def private_key_pem(key: KeyPair) -> bytes:
    """A P-256 key as PKCS#8 PEM, for TLS."""
    assert key.algorithm is Algorithm.P256, "only P-256 serves TLS"
    private = ec.derive_private_key(int.from_bytes(key.secret, "big"), ec.SECP256R1())
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_p256(secret: bytes) -> bytes:
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


_PUBLIC: Mapping[Algorithm, Callable[[bytes], bytes]] = {
    Algorithm.BLS: lambda secret: bls.SecretKey(secret).public_key(),
    Algorithm.P256: _public_p256,
    Algorithm.ED25519: lambda secret: bytes(SigningKey(secret).verify_key),
}


def _check_purpose(purpose: Purpose, algorithm: Algorithm) -> None:
    if algorithm not in ALGORITHMS[purpose]:
        raise KeyFileError(f"a key for {purpose!s} cannot be {algorithm!s}")


def _stretch(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase)


def _authenticated(document: Mapping[str, object]) -> bytes:
    """What the ciphertext is bound to: all but itself, in one order."""
    rest = {name: value for name, value in document.items() if name != "secret"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()


def _open(
    path: Path,
    document: Mapping[str, object],
    protection: Mapping[str, object],
    ciphertext: bytes,
    passphrase: bytes | None,
) -> bytes:
    """Decrypt an encrypted file's secret."""
    if passphrase is None:
        raise KeyFileError(f"{path} is encrypted; give ZHIXIN_PASSPHRASE or keys.passphrase_file")
    n, r, p = (protection.get(name) for name in ("n", "r", "p"))
    if not isinstance(n, int) or not isinstance(r, int) or not isinstance(p, int):
        raise KeyFileError(f"{path} is not a {FORMAT} file")
    if n < 2 or n & (n - 1) or not 1 <= r <= 32 or not 1 <= p <= 16 or 128 * n * r > SCRYPT_MEMORY_BYTES_MAX:
        raise KeyFileError(f"{path} asks for unreasonable scrypt parameters")
    try:
        salt, nonce = bytes.fromhex(str(protection["salt"])), bytes.fromhex(str(protection["nonce"]))
        return AESGCM(_stretch(passphrase, salt, n, r, p)).decrypt(nonce, ciphertext, _authenticated(document))
    except (KeyError, ValueError):
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None
    except InvalidTag:
        raise KeyFileError(f"{path} does not open: wrong passphrase, or the file was changed") from None


def _read_document(path: Path) -> dict[str, object]:
    try:
        document = json.loads(read_private(path, KEY_FILE_BYTES_MAX))
    except (ValueError, RecursionError):
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None
    if not isinstance(document, dict):
        raise KeyFileError(f"{path} is not a {FORMAT} file")
    return document


def read_private(path: Path, bytes_max: int) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        KeyFileError: It can't be read, others may read it, or it is larger than allowed.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise KeyFileError(f"{path} must be a file that only its owner can read: chmod 600")
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise KeyFileError(f"{path} is too large")
    return content


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600: first beside it, synced, then linked into place, so none is overwritten."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
    except FileExistsError:
        raise KeyFileError(f"{path} exists already; a key is never overwritten") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None
