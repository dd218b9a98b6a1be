# SPDX-License-Identifier: Apache-2.0
"""A seal's keys on disk: a folder of its own, mode 0700, its keys encrypted under a passphrase.

`chain.pem` beside them is for whoever verifies. The same passphrase opens the folder of the time-stamp authority, which
stands elsewhere: whoever has a seal alone can't date what it signed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from chain.strict_json import Json
from identity.cards.authority import InvalidCardCertificate
from identity.cards.profile import seconds
from identity.cards.verifying import load_chain
from identity.jose import MemorySigner
from identity.pades.seals import DocumentSeal, SealCertificates, make_certificates
from identity.pades.time_stamps import TimeStampAuthority
from service.errors import KeyFileError
from service.store.files import make_folder, replace_private
from service.store.key_document import KeyDocument, text, write_document
from service.store.key_encryption import FileKey, load_file_key, make_file_key

FORMAT: Final = "zhixin-document-seal/1"
KEY_FILE: Final = "seal.json"
CHAIN_FILE: Final = "chain.pem"
FILE_BYTES_MAX: Final = 16_384
"""Three certificates and two wrapped keys."""
NAME_CHARACTERS_MAX: Final = 64
"""Of an organisation in a certificate (RFC 5280, ub-organization-name)."""
_SECRET_BYTES: Final = 32


def make_seal(
    folder: Path, organisation: str, passphrase: bytes | None, *, allow_plain: bool, now_s: int
) -> x509.Certificate:
    """Make a seal's keys and certificates; an existing one is never overwritten.

    Args:
        folder: Made if it is not there.
        organisation: Whose it is, 1 to 64 characters; everybody who opens a sealed paper reads it.
        passphrase: Protects the keys.
        allow_plain: Whether there may be none: for test networks alone.
        now_s: Unix time in s.

    Returns:
        The seal's certificate. A crash before leaves no seal.

    Raises:
        KeyFileError: There is one already, no passphrase where one is needed, the name is too long, or the disk does
            not take it.
    """
    if not 1 <= len(organisation) <= NAME_CHARACTERS_MAX or not organisation.isprintable():
        raise KeyFileError(f"the organisation's name has 1 to {NAME_CHARACTERS_MAX} characters")
    make_folder(folder)
    path = folder / KEY_FILE
    if path.exists():
        raise KeyFileError(f"{path} is there already; make a further seal in a folder of its own")
    issuing, own = (generate_private_key(SECP256R1()) for _ in range(2))
    made = make_certificates(organisation, MemorySigner(issuing), MemorySigner(own), seconds(now_s))
    wrapping = make_file_key(folder, passphrase, allow_plain=allow_plain)
    chain = made.chain.issuing.public_bytes(Encoding.PEM) + made.chain.root.public_bytes(Encoding.PEM)
    document: dict[str, Json] = {
        "format": FORMAT,
        "wrapped_by": wrapping.name,
        "chain": chain.decode("ascii"),
        "certificate": text(made.certificate.public_bytes(Encoding.DER)),
    }
    for name, secret in (("issuing_secret", issuing), ("secret", own)):
        scalar = secret.private_numbers().private_value.to_bytes(_SECRET_BYTES, "big")
        document[name] = wrapping.wrap(scalar, _where(name, made.certificate)).hex()
    replace_private(folder / CHAIN_FILE, chain)
    write_document(path, document)
    return made.certificate


def load_seal(
    folder: Path,
    passphrase: bytes | None,
    stamps: TimeStampAuthority,
    clock: Callable[[], float],
    *,
    allow_plain: bool,
) -> DocumentSeal:
    """Open a seal.

    Args:
        folder: Its folder.
        passphrase: Opens it.
        stamps: The time-stamp authority.
        clock: Seconds since 1970.
        allow_plain: Whether its keys may be unprotected.

    Raises:
        KeyFileError: Missing, open to others, malformed, not to be opened, or over.
    """
    path = folder / KEY_FILE
    document = KeyDocument(path, FORMAT, FILE_BYTES_MAX)
    wrapping = load_file_key(folder, document.word("wrapped_by"), passphrase, allow_plain=allow_plain)
    try:
        chain = load_chain(document.word("chain").encode("ascii"))
        certificate = x509.load_der_x509_certificate(document.content("certificate"))
        if clock() >= certificate.not_valid_after_utc.timestamp():
            raise KeyFileError(f"{path}: the seal ended on {certificate.not_valid_after_utc:%Y-%m-%d}; make a new one")
        issuing, own = (_signer(document, wrapping, name, certificate) for name in ("issuing_secret", "secret"))
        return DocumentSeal(SealCertificates(chain, certificate), issuing, own, stamps, clock)
    except InvalidCardCertificate as error:
        raise KeyFileError(f"{path}: {error.reason}") from None
    except ValueError:
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None


def _signer(document: KeyDocument, wrapping: FileKey, name: str, certificate: x509.Certificate) -> MemorySigner:
    secret = wrapping.unwrap(document.secret(name), _where(name, certificate))
    return MemorySigner(derive_private_key(int.from_bytes(secret, "big"), SECP256R1()))


def _where(name: str, certificate: x509.Certificate) -> bytes:
    """What a wrapped key is bound to: it opens for its own purpose and certificate alone."""
    return b"document-seal\x00" + name.encode() + b"\x00" + certificate.public_bytes(Encoding.DER)
