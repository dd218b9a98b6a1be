# SPDX-License-Identifier: Apache-2.0
"""What a wallet reads before anything else: what this issuer issues, where, and under which keys.

Source: OpenID4VCI 1.0, 12.2 (issuer metadata) and appendix A.3 (`dc+sd-jwt`); RFC 8414; SD-JWT VC draft-24, 3.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from chain.strict_json import Json
from identity.credentials import LEGAL_PERSON, MANDATE, NATURAL_PERSON, TYPES, type_metadata
from identity.jose import JsonObject
from identity.sd_jwt import VC_TYPE

NAMES: Final = {vct.split(":")[-2]: vct for vct in TYPES}
"""Short names of types, as they stand in addresses."""
ISSUED: Final = (NATURAL_PERSON, LEGAL_PERSON, MANDATE)
"""What a registrar's issuer issues; grades come from the service that keeps credit logs."""
_CONFIGURATIONS = {vct: f"{name}-{vct.rsplit(':', 1)[1]}" for name, vct in NAMES.items()}


def configuration_id(vct: str) -> str:
    """Under which name wallets ask for a type."""
    return _CONFIGURATIONS[vct]


def issuer_metadata(issuer: str, batch_max: int) -> JsonObject:
    """The credential issuer's metadata.

    Args:
        issuer: Its identifier: the service's origin.
        batch_max: Proofs that it takes in one request.
    """
    names = {"zh-CN": "智信 身份签发", "en": "Zhixin identity issuer"}
    return described_issuer(issuer, batch_max, ISSUED, names) | {
        "offline_code_endpoint": f"{issuer}/oid4vci/codes",
        "access_report_endpoint": f"{issuer}/oid4vci/accesses",
        "data_space_endpoint": f"{issuer}/space/acts",
    }


def described_issuer(issuer: str, batch_max: int, types: Sequence[str], names: Mapping[str, str]) -> JsonObject:
    """What the protocol asks of any issuer's metadata.

    Args:
        issuer: Its identifier: the service's origin.
        batch_max: Proofs that it takes in one request.
        types: What it issues.
        names: What it is called, by language.
    """
    return {
        "credential_issuer": issuer,
        "credential_endpoint": f"{issuer}/oid4vci/credential",
        "nonce_endpoint": f"{issuer}/oid4vci/nonce",
        "batch_credential_issuance": {"batch_size": batch_max},
        "display": [{"name": name, "locale": locale} for locale, name in names.items()],
        "credential_configurations_supported": {configuration_id(vct): _configuration(vct) for vct in types},
    }


def server_metadata(issuer: str) -> JsonObject:
    """The authorization server's metadata; it is the issuer itself."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oid4vci/token",
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:pre-authorized_code"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def key_metadata(issuer: str, jwks: JsonObject) -> JsonObject:
    """Where verifiers of SD-JWT VC look for keys by `iss`."""
    return {"issuer": issuer, "jwks": jwks}


def _configuration(vct: str) -> JsonObject:
    described = type_metadata(vct)
    display, claims = described["display"], described["claims"]
    assert isinstance(display, list), "it was made here"
    assert isinstance(claims, list), "likewise"
    return {
        "format": VC_TYPE,
        "vct": vct,
        "scope": configuration_id(vct),
        "cryptographic_binding_methods_supported": ["jwk"],
        "credential_signing_alg_values_supported": ["ES256"],
        "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}},
        "credential_metadata": {
            "display": [_only(each, "name", "locale", "description") for each in display],
            "claims": [_claim(each) for each in claims],
        },
    }


def _claim(claim: Json) -> JsonObject:
    assert isinstance(claim, dict), "it was made here"
    display = claim["display"]
    assert isinstance(display, list), "it was made here"
    shown: list[Json] = []
    for each in display:
        assert isinstance(each, dict), "it was made here"
        shown.append({"name": each["label"], "locale": each["locale"]})
    return {"path": claim["path"], "display": shown}


def _only(value: Json, *names: str) -> JsonObject:
    assert isinstance(value, dict), "it was made here"
    return {name: value[name] for name in names}
