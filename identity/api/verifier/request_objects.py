# SPDX-License-Identifier: Apache-2.0
"""What a wallet is asked, signed by the verifier; and the key to which it encrypts what it answers.

The client is named by the hash of its certificate (`x509_hash`). Beside the query stands who really asks, why, and the
receipt that proves the registration on the ledger, so that a wallet which knows the network checks it itself.

Source: OpenID4VP 1.0, 5 (authorization request), 5.9.3 (x509_hash), 8.3 (encrypted responses); RFC 9101 (JAR);
HAIP 1.0, 5.
"""

from base64 import b64encode
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from chain import p256
from chain.strict_json import Json
from chain.types import sha256
from identity.api.verifier.asking import DIRECT_POST_JWT, OWN_CLAIMS, Asked
from identity.api.verifier.registered import Purpose
from identity.issuer_keys import IssuingKey
from identity.jose import (
    InvalidToken,
    JsonObject,
    decode_base64url,
    encode_base64url,
    jwk_of,
    load_object,
    sign_jws,
    thumbprint,
)

REQUEST_TYPE: Final = "oauth-authz-req+jwt"
MEDIA_TYPE: Final = "application/oauth-authz-req+jwt"
AUDIENCE: Final = "https://self-issued.me/v2"
REGISTRATION_FORMAT: Final = "zhixin-registration"
"""In `verifier_info`: who asks and why, with a receipt of the ledger."""
RESPONSE_CHARACTERS_MAX: Final = 400 * 1024
"""Four presentations of 64 KB each, encrypted and in base64url."""
CIPHERS: Final = ("A128GCM", "A256GCM")


def client_id(key: IssuingKey) -> str:
    """The verifier's name in requests, and the audience of key bindings."""
    return f"x509_hash:{encode_base64url(sha256(key.certificate))}"


def wallet_link(key: IssuingKey, request_uri: str) -> str:
    """What a QR code holds, and a link on the same device opens."""
    name = quote(client_id(key), safe="")
    return f"openid4vp://?client_id={name}&request_uri={quote(request_uri, safe='')}&request_uri_method=post"


def request_object(
    asked: Asked, purpose: Purpose, key: IssuingKey, *, response_uri: str, state: str, now_s: int, expires_s: int
) -> JsonObject:
    """The claims of the request.

    Args:
        asked: The question.
        purpose: For what.
        key: The verifier's.
        response_uri: Where the wallet posts.
        state: Which it repeats.
        now_s: Unix time in s.
        expires_s: Until when.
    """
    registration: JsonObject = {
        "relying_party": purpose.relying_party,
        "name": {"zh-CN": purpose.name_zh, "en": purpose.name_en},
        "purpose": purpose.id,
        "about": {"zh-CN": purpose.about_zh, "en": purpose.about_en},
        "legal_basis": purpose.legal_basis,
        "receipt": b64encode(purpose.receipt).decode(),
    }
    metadata: JsonObject = {
        "vp_formats_supported": {"dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]}}
    }
    if asked.response_mode == DIRECT_POST_JWT:
        keys: list[Json] = [_response_jwk(asked)]
        ciphers: list[Json] = list(CIPHERS)
        metadata |= {"jwks": {"keys": keys}, "encrypted_response_enc_values_supported": ciphers}
    transaction: list[Json] = [asked.transaction]
    return {
        "iss": client_id(key),
        "aud": AUDIENCE,
        "iat": now_s,
        "exp": expires_s,
        "response_type": "vp_token",
        "response_mode": asked.response_mode,
        "client_id": client_id(key),
        "response_uri": response_uri,
        "nonce": asked.wallet_nonce,
        "state": state,
        "dcql_query": asked.parsed.to_json(OWN_CLAIMS),
        "client_metadata": metadata,
        "verifier_info": [{"format": REGISTRATION_FORMAT, "data": registration}],
        **({"transaction_data": transaction} if asked.transaction else {}),
    }


def sign_request(claims: JsonObject, key: IssuingKey, wallet_nonce: str | None = None) -> str:
    """Sign a request.

    Args:
        claims: See `request_object`.
        key: The verifier's.
        wallet_nonce: Of the wallet, which so sees that nobody replays a request to it.
    """
    assert key.signer is not None, "the current key signs"
    whole = claims | ({"wallet_nonce": wallet_nonce} if wallet_nonce else {})
    return sign_jws({"typ": REQUEST_TYPE, **key.header}, whole, key.signer)


def decrypt(asked: Asked, text: str) -> JsonObject:
    """What a wallet encrypted to the request's own key.

    Raises:
        InvalidToken: Too long, not encrypted to this key and by these algorithms, or no JSON object.
    """
    if asked.response_mode != DIRECT_POST_JWT:
        raise InvalidToken("this request did not ask for an encrypted response", "identity.token-type")
    if len(text) > RESPONSE_CHARACTERS_MAX:
        raise InvalidToken("the response is too long", "identity.token-too-large")
    header = load_object(decode_base64url(text.partition(".")[0], "the response's header"), "the response's header")
    if header.get("kid", _response_jwk(asked)["kid"]) != _response_jwk(asked)["kid"] or "zip" in header:
        raise InvalidToken("the response is not encrypted to this request's key", "identity.token-key")
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", *CIPHERS])
    registry.max_ciphertext_length = RESPONSE_CHARACTERS_MAX
    try:
        opened = jwe.decrypt_compact(text, _private_key(asked), registry=registry)
    except (JoseError, ValueError, TypeError, KeyError):
        raise InvalidToken("the response does not decrypt", "identity.token-malformed") from None
    if opened.plaintext is None:
        raise InvalidToken("the response is empty", "identity.token-malformed")
    return load_object(opened.plaintext, "the response", size_max=RESPONSE_CHARACTERS_MAX)


def _private_key(asked: Asked) -> ECKey:
    private = derive_private_key(int(asked.response_key, 16), SECP256R1())
    return ECKey.import_key(private)


def _response_jwk(asked: Asked) -> JsonObject:
    public_key = p256.compress(derive_private_key(int(asked.response_key, 16), SECP256R1()).public_key())
    return jwk_of(public_key) | {"kid": thumbprint(public_key), "use": "enc", "alg": "ECDH-ES"}
