# SPDX-License-Identifier: Apache-2.0
"""A time-stamp authority's key on disk: a folder of its own, mode 0700, its key encrypted under a passphrase.

`stamps.pem` beside it is for whoever verifies. A key in a hardware token needs no folder: any `KeySigner` makes a
`TimeStampAuthority`.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from chain.errors import InvalidMessage
from chain.strict_json import parse
from identity.cards.authority import InvalidCardCertificate, load_certificate
from identity.cards.profile import seconds
from identity.jose import MemorySigner
from identity.pades.errors import InvalidTimeStamp
from identity.pades.time_stamps import TimeStampAuthority, make_certificate
from service.errors import KeyFileError
from service.store.files import make_folder, read_private, replace_private
from service.store.key_encryption import load_file_key, make_file_key

FORMAT: Final = "zhixin-time-stamps/1"
KEY_FILE: Final = "time-stamps.json"
CERTIFICATE_FILE: Final = "stamps.pem"
FILE_BYTES_MAX: Final = 8_192
"""A certificate and a wrapped key."""
NAME_CHARACTERS_MAX: Final = 64
"""Of an organisation in a certificate (RFC 5280, ub-organization-name)."""
_SECRET_BYTES: Final = 32


def make_stamp_authority(
    folder: Path, organisation: str, passphrase: bytes | None, *, allow_plain: bool, now_s: int
) -> x509.Certificate:
    """Make an authority's key and certificate; an existing one is never overwritten.

    Args:
        folder: Made if it is not there.
        organisation: Whose it is, 1 to 64 characters; stands in the certificate.
        passphrase: Protects the key.
        allow_plain: Whether there may be none: for test networks alone.
        now_s: Unix time in s.

    Returns:
        The certificate, which also stands in the folder.

    Raises:
        KeyFileError: There is one already, no passphrase where one is needed, the name is too long, or the disk does
            not take it.
    """
    if not 1 <= len(organisation) <= NAME_CHARACTERS_MAX:
        raise KeyFileError(f"the organisation's name has 1 to {NAME_CHARACTERS_MAX} characters")
    make_folder(folder)
    path = folder / KEY_FILE
    if path.exists():
        raise KeyFileError(f"{path} is there already; make a further authority in a folder of its own")
    secret = generate_private_key(SECP256R1())
    certificate = make_certificate(MemorySigner(secret), organisation, seconds(now_s))
    wrapping = make_file_key(folder, passphrase, allow_plain=allow_plain)
    scalar = secret.private_numbers().private_value.to_bytes(_SECRET_BYTES, "big")
    document = {
        "format": FORMAT,
        "wrapped_by": wrapping.name,
        "certificate": b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii"),
        "secret": wrapping.wrap(scalar, _where(certificate)).hex(),
    }
    replace_private(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))
    replace_private(path, json.dumps(document, indent=2).encode() + b"\n")
    return certificate


def load_stamp_authority(
    folder: Path, passphrase: bytes | None, clock: Callable[[], float], *, allow_plain: bool
) -> TimeStampAuthority:
    """Open an authority.

    Args:
        folder: Its folder.
        passphrase: Opens it.
        clock: Seconds since 1970.
        allow_plain: Whether its key may be unprotected.

    Raises:
        KeyFileError: Missing, open to others, malformed, or not to be opened.
    """
    path = folder / KEY_FILE
    malformed = KeyFileError(f"{path} is not a {FORMAT} file")
    try:
        document = parse(read_private(path, FILE_BYTES_MAX), size_max=FILE_BYTES_MAX, depth_max=2)
    except InvalidMessage as error:
        raise KeyFileError(f"{path}: {error.reason}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise malformed
    words = {name: document.get(name) for name in ("wrapped_by", "certificate", "secret")}
    text = {name: word for name, word in words.items() if isinstance(word, str)}
    if len(text) != len(words):
        raise malformed
    wrapping = load_file_key(folder, text["wrapped_by"], passphrase, allow_plain=allow_plain)
    try:
        certificate = load_certificate(b64decode(text["certificate"], validate=True))
        secret = wrapping.unwrap(bytes.fromhex(text["secret"]), _where(certificate))
        signer = MemorySigner(derive_private_key(int.from_bytes(secret, "big"), SECP256R1()))
        return TimeStampAuthority(certificate, signer, clock)
    except (InvalidCardCertificate, InvalidTimeStamp) as error:
        raise KeyFileError(f"{path}: {error.reason}") from None
    except ValueError:
        raise malformed from None


def _where(certificate: x509.Certificate) -> bytes:
    """What the wrapped key is bound to: it opens for its own certificate alone."""
    return b"time-stamps\x00" + certificate.public_bytes(Encoding.DER)
