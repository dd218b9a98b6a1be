# SPDX-License-Identifier: Apache-2.0
"""A registrar's issuing keys on disk, or in a PKCS#11 token with their certificates on disk.

One folder, mode 0700, holds the registrar's own key and certificate, each issuing key in a file of its own, and the
key-encryption key under scrypt and the passphrase that opens them. The registrar's own key is needed only to certify
the next issuing key: `zhixin credential new-key` is run where it is kept. A crash while a key is made leaves the old
keys and no new one.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key, generate_private_key

from chain.strict_json import Json
from identity import issuer_keys
from identity.issuer_keys import IssuingKey, KeySet
from identity.jose import InvalidToken, KeySigner, MemorySigner
from service.errors import KeyFileError
from service.pkcs11 import SCHEME, SigningKey, open_key, parse_uri
from service.store.files import make_folder
from service.store.key_document import KeyDocument, text, write_document
from service.store.key_encryption import FileKey, load_file_key, make_file_key

REGISTRAR_FORMAT: Final = "zhixin-registrar/1"
ISSUING_FORMAT: Final = "zhixin-issuing-key/1"
FILE_BYTES_MAX: Final = 16_384
"""A certificate, a wrapped key and some words."""
FILES_MAX: Final = 64
"""As many keys as a registrar has."""
DAY_S: Final = 86_400
SIGNS_DAYS: Final = 180
"""Then the next key should be there; it is made some weeks before."""
COUNTS_DAYS: Final = SIGNS_DAYS + 400
"""The longest-lived credential that it signs on its last day ends before its certificate does."""
REGISTRAR_DAYS: Final = 20 * 365
"""Verifiers have this certificate; exchanging it means reaching all of them."""

_REGISTRAR, _ISSUING = "registrar.json", "issuing-*.json"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a folder holds.

    Attributes:
        keys: Issuing keys.
        registrar: The registrar's own certificate, DER: what verifiers are given.
    """

    keys: KeySet
    registrar: bytes


def make_registrar(folder: Path, name: str, passphrase: bytes | None, *, allow_plain: bool, now_s: int) -> bytes:
    """Make a registrar's own key and certificate.

    Args:
        folder: Made if it is not there.
        name: The organisation's, as it stands in the certificate.
        passphrase: Protects all keys of the folder.
        allow_plain: Whether there may be none: for test networks alone.
        now_s: Unix time in s.

    Returns:
        The certificate, DER.

    Raises:
        KeyFileError: There is one already, no passphrase where one is needed, or the disk does not take it.
    """
    make_folder(folder)
    path = folder / _REGISTRAR
    if path.exists():
        raise KeyFileError(f"{path} is there already; a registrar has one")
    wrapping = make_file_key(folder, passphrase, allow_plain=allow_plain)
    private_key = generate_private_key(SECP256R1())
    certificate = issuer_keys.make_registrar(
        name, private_key, serial=_serial(), begins_s=now_s, ends_s=now_s + REGISTRAR_DAYS * DAY_S
    )
    document = {"format": REGISTRAR_FORMAT, "wrapped_by": wrapping.name, "certificate": text(certificate)}
    secret = private_key.private_numbers().private_value.to_bytes(32, "big")
    write_document(path, document | {"secret": wrapping.wrap(secret, _where(certificate)).hex()})
    return certificate


def make_issuing_key(
    folder: Path,
    passphrase: bytes | None,
    *,
    allow_plain: bool,
    now_s: int,
    environment: Mapping[str, str],
    token_uri: str = "",
) -> IssuingKey:
    """Make the next issuing key and have the registrar's own key certify it; older ones go on to count.

    Args:
        folder: Holds the registrar's own key.
        passphrase: Opens it.
        allow_plain: Whether the folder's keys may be unprotected.
        now_s: Unix time in s.
        environment: May hold the PIN of a token.
        token_uri: A key in a PKCS#11 token, as `service.pkcs11` names it; "": a key in a file.

    Raises:
        KeyFileError: The folder is incomplete, does not open, or is full.
        TokenError: The token or its key is not there.
    """
    registrar = KeyDocument(folder / _REGISTRAR, REGISTRAR_FORMAT, FILE_BYTES_MAX)
    certificate = registrar.content("certificate")
    wrapping = load_file_key(folder, registrar.word("wrapped_by"), passphrase, allow_plain=allow_plain)
    own = wrapping.unwrap(registrar.secret("secret"), _where(certificate))
    own_key = derive_private_key(int.from_bytes(own, "big"), SECP256R1())
    if len(list(folder.glob(_ISSUING))) >= FILES_MAX:
        raise KeyFileError(f"{folder} holds {FILES_MAX} issuing keys; remove those whose certificates have ended")
    made = None if token_uri else generate_private_key(SECP256R1())
    signer: KeySigner = _token_key(token_uri, environment) if made is None else MemorySigner(made)
    leaf = issuer_keys.certify(
        certificate, own_key, signer.public_key, serial=_serial(), begins_s=now_s, ends_s=now_s + COUNTS_DAYS * DAY_S
    )
    key = issuer_keys.issuing_key(leaf, signer, signs_from_s=now_s, signs_until_s=now_s + SIGNS_DAYS * DAY_S)
    document: dict[str, Json] = {
        "format": ISSUING_FORMAT,
        "wrapped_by": wrapping.name,
        "certificate": text(leaf),
        "signs_from_s": key.signs_from_s,
        "signs_until_s": key.signs_until_s,
    }
    if made is None:
        document["token"] = token_uri
    else:
        secret = made.private_numbers().private_value.to_bytes(32, "big")
        document["secret"] = wrapping.wrap(secret, _where(leaf)).hex()
    path = folder / f"issuing-{key.key_id.hex()}.json"
    if path.exists():
        raise KeyFileError(f"{path} is there already; this key of the token has its certificate")
    write_document(path, document)
    return key


def load_keys(folder: Path, passphrase: bytes | None, environment: Mapping[str, str], *, allow_plain: bool) -> Opened:
    """Open a folder's issuing keys; the registrar's own stays closed, and its secret may be missing.

    Raises:
        KeyFileError: Missing, open to others, malformed, or not to be opened.
        TokenError: A key in a token is not there.
    """
    registrar = KeyDocument(folder / _REGISTRAR, REGISTRAR_FORMAT, FILE_BYTES_MAX).content("certificate")
    wrapping: dict[str, FileKey] = {}
    keys: list[IssuingKey] = []
    paths = sorted(folder.glob(_ISSUING))
    if not paths or len(paths) > FILES_MAX:
        raise KeyFileError(f"{folder} must hold 1 to {FILES_MAX} issuing keys: run zhixin credential new-key")
    for path in paths:
        document = KeyDocument(path, ISSUING_FORMAT, FILE_BYTES_MAX)
        certificate = document.content("certificate")
        signer: KeySigner | None = None
        if "token" in document:
            signer = _token_key(document.word("token"), environment)
        elif "secret" in document:
            name = document.word("wrapped_by")
            if name not in wrapping:
                wrapping[name] = load_file_key(folder, name, passphrase, allow_plain=allow_plain)
            scalar = wrapping[name].unwrap(document.secret("secret"), _where(certificate))
            signer = MemorySigner(derive_private_key(int.from_bytes(scalar, "big"), SECP256R1()))
        try:
            begins_s, ends_s = document.number("signs_from_s"), document.number("signs_until_s")
            issuer_keys.check_issued_by(certificate, registrar)
            keys.append(issuer_keys.issuing_key(certificate, signer, signs_from_s=begins_s, signs_until_s=ends_s))
        except InvalidToken as error:
            raise KeyFileError(f"{path}: {error.reason}") from None
    return Opened(KeySet(keys), registrar)


def destroy_old_secrets(folder: Path, now_s: int) -> int:
    """Remove the private half of each key in a file that signs no longer; its certificate stays, and so what it signed.

    Returns:
        How many were destroyed.

    Raises:
        KeyFileError: The folder can't be read or written.
    """
    count = 0
    for path in sorted(folder.glob(_ISSUING)):
        document = KeyDocument(path, ISSUING_FORMAT, FILE_BYTES_MAX)
        if "secret" in document and now_s >= document.number("signs_until_s"):
            write_document(path, {name: value for name, value in document.values.items() if name != "secret"})
            count += 1
    return count


def _token_key(uri: str, environment: Mapping[str, str]) -> SigningKey:
    if not uri.startswith(SCHEME):
        raise KeyFileError("a key in a token is named by a pkcs11: URI")
    return open_key(SigningKey, parse_uri(uri), environment)


def _serial() -> int:
    return secrets.randbits(158) + 1


def _where(certificate: bytes) -> bytes:
    """What a wrapped key is bound to: it opens for its own certificate alone."""
    return b"issuing-key\x00" + certificate
