# SPDX-License-Identifier: Apache-2.0
"""The card authority's keys on disk, or in a PKCS#11 token: issuing key, and the master of cards' management keys.

One folder, mode 0700, holds `authority.json` and the key-encryption key that opens it under the passphrase; `chain.pem`
is for relying parties. The root's key stands in a folder of its own inside, `root`, to be moved offline once it is
made: it is needed again only for the next authority under the same root. The responder's key lives in memory and is
made anew with each start, its certificate signed by the issuing key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding

from chain.strict_json import Json
from identity.cards.authority import CardAuthority, InvalidCardCertificate, load_certificate
from identity.cards.making import MASTER_BYTES, Diversifier, MasterKey
from identity.cards.ocsp import Responder
from identity.cards.profile import RESPONDER_DAYS, Places, make_issuing, make_responder, make_root, seconds
from identity.jose import KeySigner, MemorySigner
from service.errors import KeyFileError
from service.pkcs11 import SCHEME, MacKey, SigningKey, open_key, parse_uri
from service.store.cipher import new_key
from service.store.files import make_folder, replace_private
from service.store.key_document import KeyDocument, text, write_document
from service.store.key_encryption import FileKey, load_file_key, make_file_key

FORMAT: Final = "zhixin-card-authority/1"
ROOT_FORMAT: Final = "zhixin-card-root/1"
FILE_BYTES_MAX: Final = 32_768
"""Two certificates, two wrapped keys and some addresses."""
DAY_S: Final = 86_400
NAME_CHARACTERS_MAX: Final = 64
"""Of an organisation in a certificate (RFC 5280, ub-organization-name)."""

AUTHORITY_FILE: Final = "authority.json"
CHAIN_FILE: Final = "chain.pem"
ROOT_FOLDER: Final = "root"
PLACES: Final = ("issuer", "crl", "ocsp")
"""Members of `profile.Places`, in its order."""
_ROOT_FILE: Final = "root.json"


@dataclass(slots=True)
class CardKeys:
    """A card authority at work.

    Attributes:
        authority: Certifies cards and lists what no longer counts.
        diversifier: Gives each card its own management key.
        root: The root's certificate.
    """

    authority: CardAuthority
    diversifier: Diversifier
    root: x509.Certificate
    _signer: KeySigner = field(repr=False)
    _responder: tuple[int, Responder] | None = field(default=None, repr=False)

    @property
    def chain_pem(self) -> bytes:
        """For relying parties: the issuing certificate, then the root."""
        return self.authority.issuing.public_bytes(Encoding.PEM) + self.root.public_bytes(Encoding.PEM)

    def responder(self, now_s: int) -> Responder:
        """Who answers about certificates; one that has half its time left at least.

        Args:
            now_s: Unix time in s.
        """
        if self._responder is None or not 0 <= now_s - self._responder[0] < RESPONDER_DAYS * DAY_S // 2:
            signer = MemorySigner(generate_private_key(SECP256R1()))
            issuing = self.authority.issuing
            certificate = make_responder(issuing, self._signer, signer.public_key, seconds(now_s))
            self._responder = (now_s, Responder(issuing, certificate, signer))
        return self._responder[1]


def make_card_authority(
    folder: Path,
    organisation: str,
    places: Places,
    passphrase: bytes | None,
    *,
    allow_plain: bool,
    allows_emulated: bool,
    now_s: int,
    environment: Mapping[str, str],
    issuing_token: str = "",
    master_token: str = "",
    root_from: Path | None = None,
) -> x509.Certificate:
    """Make an authority: root, issuing key and the master of cards' management keys.

    Args:
        folder: Made if it is not there.
        organisation: Whose it is, 1 to 64 characters; stands in the certificates.
        places: Where relying parties will find certificate, list and responder.
        passphrase: Protects the files.
        allow_plain: Whether there may be none: for test networks alone.
        allows_emulated: Whether it certifies emulated cards: for tests alone.
        now_s: Unix time in s.
        environment: May hold the PIN of a token.
        issuing_token: A P-256 key in a PKCS#11 token, as `service.pkcs11` names it; "": a key in the file.
        master_token: An HMAC key likewise.
        root_from: Folder of a root that there is already, under the same passphrase; None makes a new one.

    Returns:
        The root's certificate. A crash before that leaves no authority, and at most a root that signed nothing.

    Raises:
        KeyFileError: There is one already, no passphrase where one is needed, the name is too long, or the disk does
            not take it.
        TokenError: A key in a token is not there.
    """
    if not 1 <= len(organisation) <= NAME_CHARACTERS_MAX:
        raise KeyFileError(f"the organisation's name has 1 to {NAME_CHARACTERS_MAX} characters")
    make_folder(folder)
    path = folder / AUTHORITY_FILE
    if path.exists():
        raise KeyFileError(f"{path} is there already; cards of an authority stop counting if its keys are replaced")
    today = seconds(now_s)
    wrapping = make_file_key(folder, passphrase, allow_plain=allow_plain)
    document: dict[str, Json] = {"format": FORMAT, "wrapped_by": wrapping.name, "allows_emulated": allows_emulated}
    issuing_secret = generate_private_key(SECP256R1())
    if root_from is None:
        root_secret = generate_private_key(SECP256R1())
        root_signer = MemorySigner(root_secret)
        root = make_root(root_signer, organisation, today)
        _keep_root(folder / ROOT_FOLDER, root, _scalar(root_secret), passphrase, allow_plain=allow_plain)
    else:
        root, root_signer = _load_root(root_from, passphrase, allow_plain=allow_plain)
    signer = _signing_token(issuing_token, environment) if issuing_token else MemorySigner(issuing_secret)
    issuing = make_issuing(root, root_signer, signer.public_key, today, Places())
    if issuing_token:
        document["issuing_token"] = issuing_token
    else:
        document["issuing_secret"] = wrapping.wrap(_scalar(issuing_secret), _where("issuing", issuing)).hex()
    if master_token:
        open_key(MacKey, parse_uri(master_token), environment)
        document["master_token"] = master_token
    else:
        document["master_secret"] = wrapping.wrap(new_key(), _where("master", issuing)).hex()
    document |= {"root": _text(root), "issuing": _text(issuing)}
    document["places"] = {"issuer": places.issuer, "crl": places.crl, "ocsp": places.ocsp}
    replace_private(folder / CHAIN_FILE, issuing.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))
    write_document(path, document)
    return root


def load_card_authority(
    folder: Path,
    passphrase: bytes | None,
    environment: Mapping[str, str],
    *,
    allow_plain: bool,
    log: Callable[[bytes, bytes], None] | None = None,
) -> CardKeys:
    """Open an authority; its root stays closed, and need not be there.

    Args:
        folder: Its folder.
        passphrase: Opens it.
        environment: May hold the PIN of a token.
        allow_plain: Whether its keys may be unprotected.
        log: Writes each certificate down; see `CardAuthority`.

    Raises:
        KeyFileError: Missing, open to others, malformed, or not to be opened.
        TokenError: A key in a token is not there.
    """
    path = folder / AUTHORITY_FILE
    document = KeyDocument(path, FORMAT, FILE_BYTES_MAX)
    wrapping = load_file_key(folder, document.word("wrapped_by"), passphrase, allow_plain=allow_plain)
    try:
        root, issuing = (load_certificate(document.content(name)) for name in ("root", "issuing"))
        signer = _signer(document, wrapping, issuing, environment)
        places, allows_emulated = document.values.get("places"), document.values.get("allows_emulated")
        addresses = [places.get(name) for name in PLACES] if isinstance(places, dict) else []
        known = [address for address in addresses if isinstance(address, str)]
        if len(known) != len(PLACES) or not isinstance(allows_emulated, bool):
            raise KeyFileError(f"{path} is not a {FORMAT} file")
        authority = CardAuthority(issuing, signer, Places(*known), allows_emulated=allows_emulated, log=log)
        return CardKeys(authority, _diversifier(document, wrapping, issuing, environment), root, signer)
    except InvalidCardCertificate as error:
        raise KeyFileError(f"{path}: {error.reason}") from None
    except ValueError:
        raise KeyFileError(f"{path} is not a {FORMAT} file") from None


def _signer(
    document: KeyDocument, wrapping: FileKey, issuing: x509.Certificate, environment: Mapping[str, str]
) -> KeySigner:
    if "issuing_token" in document:
        return _signing_token(document.word("issuing_token"), environment)
    secret = wrapping.unwrap(document.secret("issuing_secret"), _where("issuing", issuing))
    return MemorySigner(derive_private_key(int.from_bytes(secret, "big"), SECP256R1()))


def _diversifier(
    document: KeyDocument, wrapping: FileKey, issuing: x509.Certificate, environment: Mapping[str, str]
) -> Diversifier:
    if "master_token" in document:
        return open_key(MacKey, parse_uri(document.word("master_token")), environment)
    secret = wrapping.unwrap(document.secret("master_secret"), _where("master", issuing))
    if len(secret) != MASTER_BYTES:
        raise KeyFileError(f"a master key has {MASTER_BYTES} bytes")
    return MasterKey(secret)


def _keep_root(
    folder: Path, root: x509.Certificate, secret: bytes, passphrase: bytes | None, *, allow_plain: bool
) -> None:
    """The root's own folder, with a key-encryption key of its own, so that it can be carried away."""
    make_folder(folder)
    wrapping = make_file_key(folder, passphrase, allow_plain=allow_plain)
    document: dict[str, Json] = {"format": ROOT_FORMAT, "wrapped_by": wrapping.name, "certificate": _text(root)}
    write_document(folder / _ROOT_FILE, document | {"secret": wrapping.wrap(secret, _where("root", root)).hex()})


def _load_root(folder: Path, passphrase: bytes | None, *, allow_plain: bool) -> tuple[x509.Certificate, MemorySigner]:
    document = KeyDocument(folder / _ROOT_FILE, ROOT_FORMAT, FILE_BYTES_MAX)
    wrapping = load_file_key(folder, document.word("wrapped_by"), passphrase, allow_plain=allow_plain)
    try:
        root = load_certificate(document.content("certificate"))
        secret = wrapping.unwrap(document.secret("secret"), _where("root", root))
        return root, MemorySigner(derive_private_key(int.from_bytes(secret, "big"), SECP256R1()))
    except (ValueError, InvalidCardCertificate):
        raise KeyFileError(f"{folder / _ROOT_FILE} is not a {ROOT_FORMAT} file") from None


def _signing_token(uri: str, environment: Mapping[str, str]) -> SigningKey:
    if not uri.startswith(SCHEME):
        raise KeyFileError("a key in a token is named by a pkcs11: URI")
    return open_key(SigningKey, parse_uri(uri), environment)


def _scalar(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


def _where(purpose: str, certificate: x509.Certificate) -> bytes:
    """What a wrapped key is bound to: it opens for its own purpose and certificate alone."""
    return b"card-authority\x00" + purpose.encode() + b"\x00" + certificate.public_bytes(Encoding.DER)


def _text(certificate: x509.Certificate) -> str:
    return text(certificate.public_bytes(Encoding.DER))
