# SPDX-License-Identifier: Apache-2.0
"""The two ceremonies of WebAuthn: what a browser is asked for, and whether what it answers holds.

ES256 alone, for officers' passkeys also sign on the ledger; the user is verified each time; passkeys are discoverable,
so that nobody types a name. Relying party and origin are the service's own, exactly. No attestation is asked for: which
device somebody uses is their affair.

Source: Web Authentication Level 2, 7.1 and 7.2.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, decode_credential_public_key, encode_cbor, parse_authenticator_data
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import DecodedEC2PublicKey
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from chain.p256 import compress
from service.settings import Address

CREDENTIAL_ID_BYTES_MAX = 1023
"""Source: Web Authentication Level 3, 7.1, step 25."""
CLIENT_DATA_CHARACTERS_MAX = 4096
"""Browsers send some 200 bytes; the ledger takes 2,048."""
_ES256 = COSEAlgorithmIdentifier.ECDSA_SHA_256


class CeremonyFailed(Exception):
    """What a browser answered does not hold; the reason is for the log alone."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """For whom passkeys are.

    Attributes:
        id: The host's name, without port.
        origin: What browsers show, exactly.
        name: For the authenticator's own list.
    """

    id: str
    origin: str
    name: str

    @classmethod
    def of(cls, address: Address) -> "RelyingParty":
        """That of a service."""
        host = urlsplit(address.public_origin).hostname
        assert host, "settings take no origin without a host"
        return cls(host, address.public_origin, f"Zhixin {address.service}")


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that was made: its credential id, its compressed public key (33 bytes), its counter."""

    credential: bytes
    public_key: bytes
    sign_count: int


def registration_options(
    party: RelyingParty, challenge: bytes, user: bytes, name: str, known: Sequence[bytes]
) -> dict[str, Any]:
    """What `navigator.credentials.create` is given, with bytes as base64url.

    Args:
        party: For whom.
        challenge: 32 bytes.
        user: A random handle; no personal data.
        name: What the person's own device shows.
        known: Credential ids of the person's passkeys: the same device makes no second one.
    """
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_id=user,
        user_name=name,
        user_display_name=name,
        challenge=challenge,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        supported_pub_key_algs=[_ES256],
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def assertion_options(party: RelyingParty, challenge: bytes, allowed: Sequence[bytes] = ()) -> dict[str, Any]:
    """What `navigator.credentials.get` is given; without credential ids the person chooses among their passkeys."""
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def challenge_in(credential: Mapping[str, Any], kind: str) -> bytes:
    """The challenge that an answer says it answers.

    Args:
        credential: As the browser's script sent it.
        kind: "webauthn.get" or "webauthn.create".

    Raises:
        CeremonyFailed: Not of the form of an answer, or of the other ceremony, or made inside another site's page.
    """
    try:
        client_data = json.loads(client_data_of(credential))
        if client_data["type"] != kind or client_data.get("crossOrigin", False) is not False:
            raise CeremonyFailed("another ceremony, or in another site's page")
        challenge = client_data["challenge"]
        if not isinstance(challenge, str) or not 1 <= len(challenge) <= 128:
            raise CeremonyFailed("no challenge")
        return base64url_to_bytes(challenge)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CeremonyFailed("the client data cannot be read") from None


def client_data_of(credential: Mapping[str, Any]) -> bytes:
    """The client data's bytes; see `challenge_in` for what is raised."""
    return _bytes_of(credential, "clientDataJSON", CLIENT_DATA_CHARACTERS_MAX)


def authenticator_data_of(credential: Mapping[str, Any]) -> bytes:
    """The authenticator data's bytes of an assertion."""
    return _bytes_of(credential, "authenticatorData", CLIENT_DATA_CHARACTERS_MAX)


def signature_of(credential: Mapping[str, Any]) -> bytes:
    """The signature of an assertion, DER."""
    return _bytes_of(credential, "signature", 256)


def credential_id_of(credential: Mapping[str, Any]) -> bytes:
    """Which passkey answers.

    Raises:
        CeremonyFailed: It does not say.
    """
    text = credential.get("id")
    if not isinstance(text, str) or not 1 <= len(text) <= CREDENTIAL_ID_BYTES_MAX * 2:
        raise CeremonyFailed("no credential id")
    try:
        return base64url_to_bytes(text)
    except ValueError:
        raise CeremonyFailed("the credential id cannot be read") from None


def verify_registration(party: RelyingParty, challenge: bytes, credential: Mapping[str, Any]) -> NewPasskey:
    """Check that a passkey was made for this challenge, here, with its user verified.

    Raises:
        CeremonyFailed: It was not, or it is no ES256 key.
    """
    try:
        verified = verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=[_ES256],
        )
        key = decode_credential_public_key(verified.credential_public_key)
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CeremonyFailed(type(error).__name__) from None
    if len(verified.credential_id) > CREDENTIAL_ID_BYTES_MAX:
        raise CeremonyFailed("the credential id is too long")
    return NewPasskey(verified.credential_id, _compressed(key), verified.sign_count)


def verify_assertion(party: RelyingParty, challenge: bytes, credential: Mapping[str, Any], public_key: bytes) -> int:
    """Check that a passkey signed this challenge, here, with its user verified.

    Args:
        party: For whom.
        challenge: What was asked.
        credential: What the browser answered.
        public_key: 33 bytes, compressed.

    Returns:
        The authenticator's counter; the caller compares it with the one before.

    Raises:
        CeremonyFailed: It did not.
    """
    try:
        verified = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=_cose(public_key),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CeremonyFailed(type(error).__name__) from None
    return verified.new_sign_count


def is_counter_behind(before: int, now: int) -> bool:
    """Whether a counter says that two devices hold the same key. Passkeys that are synced always say 0.

    Source: Web Authentication Level 2, 7.2, step 21.
    """
    return (before > 0 or now > 0) and now <= before


def is_user_verified(authenticator_data: bytes) -> bool:
    """Whether the authenticator says that it verified its user."""
    return bool(parse_authenticator_data(authenticator_data).flags.uv)


def credential_digest(credential: bytes) -> bytes:
    """Under what a passkey is found; 32 bytes."""
    return hashlib.sha256(b"zhixin/credential/1|" + credential).digest()


def _bytes_of(credential: Mapping[str, Any], name: str, characters_max: int) -> bytes:
    response = credential.get("response")
    text = response.get(name) if isinstance(response, dict) else None
    if not isinstance(text, str) or not 1 <= len(text) <= characters_max:
        raise CeremonyFailed(f"no {name}")
    try:
        return base64url_to_bytes(text)
    except ValueError:
        raise CeremonyFailed(f"{name} cannot be read") from None


def _compressed(key: object) -> bytes:
    """A COSE key as the ledger writes it."""
    if not isinstance(key, DecodedEC2PublicKey) or key.alg != _ES256 or key.crv != 1:
        raise CeremonyFailed("not an ES256 key")
    try:
        numbers = EllipticCurvePublicNumbers(int.from_bytes(key.x), int.from_bytes(key.y), SECP256R1())
        return compress(numbers.public_key())
    except ValueError:
        raise CeremonyFailed("not a point of the curve") from None


def _cose(public_key: bytes) -> bytes:
    """The same back.  Source: RFC 9053, 7.1.1."""
    numbers = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key).public_numbers()
    encoded: bytes = encode_cbor({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})
    return encoded
