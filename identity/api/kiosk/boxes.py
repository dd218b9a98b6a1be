# SPDX-License-Identifier: Apache-2.0
"""A signed statement sealed for the office: the kiosk keeps it on disk while the network is away, and can't open it.

Source: RFC 7516 (compact serialization); RFC 7518, 4.6 (ECDH-ES) and 5.3 (A256GCM).
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from chain.errors import InvalidMessage
from chain.strict_json import parse
from chain.types import sha256
from identity.api.kiosk.statements import Statement
from identity.cards.objects import GUID_BYTES
from identity.jose import InvalidToken, decode_base64url, encode_base64url, jwk_of

SEALED_CHARACTERS_MAX: Final = 128 * 1024
"""Statement, certificate and the answer of a verifier with its receipts, in Base64 twice; ours have below 10 KB."""
CERTIFICATE_BYTES_MAX: Final = 4_096
_SIGNATURE_BYTES = 64
_NAMES = ["certificate", "guid", "phone", "signature", "statement"]
_REGISTRY = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])
_REGISTRY.max_ciphertext_length = SEALED_CHARACTERS_MAX


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signature.

    Attributes:
        statement: What was signed.
        signature: By slot 9C, 64 bytes; empty: the phone alone confirmed it.
        certificate: Of slot 9C, DER; likewise.
        guid: The card's, 16 bytes; likewise.
        phone: The verifier's signed answer, if the holder's phone confirmed it; else empty.
    """

    statement: Statement
    signature: bytes
    certificate: bytes
    guid: bytes
    phone: str = ""

    @property
    def is_by_phone(self) -> bool:
        """Whether no card signed it."""
        return not self.signature

    @property
    def recorded(self) -> bytes:
        """What the ledger gets: a digest of statement and signature, or answer; 32 bytes."""
        return self.statement.recorded(self.signature or sha256(self.phone.encode()))


def seal(signed: Signed, box_key: bytes) -> str:
    """Seal a signed statement.

    Args:
        signed: The statement with all that shows who signed it.
        box_key: The office's, 33 bytes.
    """
    content = json.dumps(
        {
            "statement": encode_base64url(signed.statement.encode()),
            "signature": encode_base64url(signed.signature),
            "certificate": encode_base64url(signed.certificate),
            "guid": encode_base64url(signed.guid),
            "phone": signed.phone,
        }
    ).encode()
    key = ECKey.import_key(dict(jwk_of(box_key)))  # type: ignore[arg-type]  # members are texts
    return jwe.encrypt_compact({"alg": "ECDH-ES", "enc": "A256GCM"}, content, key, registry=_REGISTRY)


def unseal(sealed: str, box: EllipticCurvePrivateKey) -> Signed:
    """Open what was sealed for this office; nothing of it is checked but its form.

    Raises:
        InvalidMessage: It does not open, or is something else.
    """
    if len(sealed) > SEALED_CHARACTERS_MAX or not sealed.isascii():
        raise InvalidMessage("what was sealed is too long, or no text of this form")
    try:
        opened = jwe.decrypt_compact(sealed, ECKey.import_key(box), registry=_REGISTRY)
    except (JoseError, ValueError, TypeError, KeyError):
        raise InvalidMessage("this was not sealed for this office, or was altered") from None
    members: Any = parse(opened.plaintext or b"", size_max=SEALED_CHARACTERS_MAX, depth_max=1)
    if not isinstance(members, dict) or sorted(members) != _NAMES:
        raise InvalidMessage("what was sealed is no signed statement")
    if not all(isinstance(value, str) for value in members.values()):
        raise InvalidMessage("what was sealed is no signed statement")
    try:
        raw = {name: decode_base64url(members[name], name) for name in _NAMES if name != "phone"}
    except InvalidToken as error:
        raise InvalidMessage(error.reason) from None
    own = (raw["signature"], raw["certificate"], raw["guid"])
    if any(own):
        if len(raw["signature"]) != _SIGNATURE_BYTES or len(raw["certificate"]) > CERTIFICATE_BYTES_MAX:
            raise InvalidMessage("the statement's signature or certificate is malformed")
        if len(raw["guid"]) != GUID_BYTES:
            raise InvalidMessage("a card's identifier has 16 bytes")
    elif not members["phone"]:
        raise InvalidMessage("neither a card nor a phone stands behind the statement")
    stated = Statement.decode(raw["statement"])
    return Signed(stated, raw["signature"], raw["certificate"], raw["guid"], members["phone"])
