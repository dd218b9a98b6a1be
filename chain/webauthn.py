# SPDX-License-Identifier: Apache-2.0
"""WebAuthn assertions as signatures: an officer's passkey signs the act itself.

The challenge of the assertion is base64url, without padding, of SHA-256 of the message that any other scheme would
sign (`signed_bytes("transaction", network, header)`). User presence and user verification are both required.

Which relying party a passkey belongs to is bound when `membership` registers its public key: an authenticator makes
one key pair for each relying party, so a registered key signs for that one alone, and consensus needs no list of host
names. Services that know theirs pass `relying_party_id` as well.

Source: Web Authentication Level 2, 6.1, 5.8.1 and 7.2, steps 11 to 20.
"""

from base64 import urlsafe_b64encode

from chain import p256, strict_json
from chain.codec import decode
from chain.errors import InvalidMessage, InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.types import sha256

ASSERTION_BYTES_MAX = 4096
CLIENT_DATA_BYTES_MAX = 2048
CLIENT_DATA_DEPTH_MAX = 8
"""Browsers write one or two."""
AUTHENTICATOR_DATA_BYTES_MIN = 37
"""Relying party's hash (32), flags (1), counter (4)."""
AUTHENTICATOR_DATA_BYTES_MAX = 1024

_FLAGS_AT = 32
_USER_PRESENT = 0x01
_USER_VERIFIED = 0x04
_ATTESTED_CREDENTIAL = 0x40
_EXTENSIONS = 0x80


def challenge(message: bytes) -> bytes:
    """The 32 bytes to hand to `navigator.credentials.get` as challenge, to sign this message."""
    return sha256(message)


def verify(public_key: bytes, message: bytes, assertion: bytes, *, relying_party_id: str | None = None) -> None:
    """Check that an assertion signs a message.

    Args:
        public_key: 33 bytes, compressed P-256.
        message: What any other scheme would sign.
        assertion: Bytes of `WebAuthnAssertion`, canonical.
        relying_party_id: Also require this relying party.

    Raises:
        InvalidSignature: Anything about it is wrong; the reason says what.
    """
    try:
        parts = decode(pb.WebAuthnAssertion, assertion, ASSERTION_BYTES_MAX)
    except InvalidMessage as error:
        raise InvalidSignature(error.reason) from None
    _check_authenticator_data(parts.authenticator_data, relying_party_id)
    _check_client_data(parts.client_data_json, message)
    p256.verify(public_key, parts.authenticator_data + sha256(parts.client_data_json), parts.signature)


def _check_authenticator_data(data: bytes, relying_party_id: str | None) -> None:
    """Check lengths, flags and, if asked, the relying party."""
    if not AUTHENTICATOR_DATA_BYTES_MIN <= len(data) <= AUTHENTICATOR_DATA_BYTES_MAX:
        raise InvalidSignature(f"authenticator data has {len(data)} bytes")
    flags = data[_FLAGS_AT]
    if not flags & _USER_PRESENT or not flags & _USER_VERIFIED:
        raise InvalidSignature("the authenticator did not verify its user")
    if flags & _ATTESTED_CREDENTIAL:
        raise InvalidSignature("an assertion carries no attested credential")
    if bool(flags & _EXTENSIONS) != (len(data) > AUTHENTICATOR_DATA_BYTES_MIN):
        raise InvalidSignature("authenticator data is longer or shorter than its flags say")
    if relying_party_id is not None and data[:_FLAGS_AT] != sha256(relying_party_id.encode()):
        raise InvalidSignature("the assertion was made for another relying party")


def _check_client_data(raw: bytes, message: bytes) -> None:
    """Check that the browser saw this challenge, for an assertion, in a page of the origin itself."""
    try:
        client_data = strict_json.parse(raw, size_max=CLIENT_DATA_BYTES_MAX, depth_max=CLIENT_DATA_DEPTH_MAX)
    except InvalidMessage as error:
        raise InvalidSignature(f"client data: {error.reason}") from None
    if not isinstance(client_data, dict):
        raise InvalidSignature("client data is not a JSON object")
    expected = urlsafe_b64encode(challenge(message)).rstrip(b"=").decode()
    if client_data.get("type") != "webauthn.get":
        raise InvalidSignature("the client data is not of an assertion")
    if client_data.get("challenge") != expected:
        raise InvalidSignature("the challenge is not the digest of what is signed")
    if not isinstance(client_data.get("origin"), str):
        raise InvalidSignature("the client data names no origin")
    if client_data.get("crossOrigin", False) is not False:
        raise InvalidSignature("the assertion was made inside another origin's page")
