# SPDX-License-Identifier: Apache-2.0
"""The examples of RFC 9901: its tokens verify, and its disclosures have its digests."""

import json
from pathlib import Path

import pytest

from identity import sd_jwt
from identity.disclosures import decode_disclosure, unpack
from identity.jose import InvalidToken, key_of_jwk
from identity.sd_jwt import Binding

VECTORS = json.loads((Path(__file__).parent / "sd_jwt" / "rfc9901.json").read_text())
KEY = key_of_jwk(VECTORS["issuer_key"], "issuer")
ASKED = Binding(VECTORS["audience"], VECTORS["nonce"])


def verify(token: str, binding: Binding | None = None) -> sd_jwt.Verified:
    return sd_jwt.verify(token, KEY, VECTORS["bound_at"], typ=VECTORS["typ"], required=("exp",), binding=binding)


@pytest.mark.parametrize(
    ("digest", "text"), [*VECTORS["disclosures"].items(), *VECTORS["recursive"]["disclosures"].items()]
)
def test_disclosure_has_the_digest_of_the_rfc(digest, text):
    assert decode_disclosure(text).digest == digest


def test_issued_credential_says_the_claims_of_the_rfc():
    verified = verify("~".join([VECTORS["issued"], *VECTORS["disclosures"].values(), ""]))
    assert {name: verified.claims[name] for name in VECTORS["claims"]} == VECTORS["claims"]


def test_presentation_with_key_binding_says_what_its_holder_showed():
    shown = [VECTORS["disclosures"][digest] for digest in VECTORS["presented"]]
    verified = verify("~".join([VECTORS["issued"], *shown, VECTORS["key_binding"]]), ASKED)
    names = {"family_name", "given_name", "address", "sub"}
    assert {name: verified.claims[name] for name in names} == {name: VECTORS["claims"][name] for name in names}
    assert verified.claims["nationalities"] == ["US"]
    assert "birthdate" not in verified.claims


def test_presentation_with_another_set_of_disclosures_is_rejected():
    shown = [VECTORS["disclosures"][digest] for digest in VECTORS["presented"][1:]]
    with pytest.raises(InvalidToken) as caught:
        verify("~".join([VECTORS["issued"], *shown, VECTORS["key_binding"]]), ASKED)
    assert caught.value.code == "identity.binding-hash"


def test_recursive_disclosures_come_together():
    recursive = VECTORS["recursive"]
    claims = unpack(recursive["payload"], list(recursive["disclosures"].values())).claims
    assert claims["address"] == recursive["address"]
    assert set(claims) == {"iss", "iat", "exp", "sub", "address"}
