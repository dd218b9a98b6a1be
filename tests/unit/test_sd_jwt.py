# SPDX-License-Identifier: Apache-2.0
"""SD-JWT credentials: issued, shown in part, bound to a key; each item that must be rejected is a test by itself."""

import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from token_rig import HOLDER, ISSUER, NOW_S, STRANGER, YEAR_S, Salts, b64, digest, jws

from chain.errors import InvalidSignature
from identity import sd_jwt
from identity.jose import InvalidToken, MemorySigner, decode_base64url, jwk_of, key_of_jwk, thumbprint
from identity.sd_jwt import Binding

KEY = ISSUER.public_key
HEADER = {"alg": "ES256", "typ": "dc+sd-jwt"}
CLAIMS = {
    "vct": "urn:example:1",
    "exp": NOW_S + YEAR_S,
    "iat": NOW_S,
    "family_name": "李",
    "address": {"region": "广东省", "locality": "佛山市禅城区"},
    "powers": ["view", "sign", "pay"],
    "level": "high",
}
DISCLOSABLE = [
    ("family_name",),
    ("address",),
    ("address", "region"),
    ("address", "locality"),
    ("powers", 0),
    ("powers", 2),
]
ASKED = Binding("https://verifier.example", "n-1")


def issued(**options) -> str:
    return sd_jwt.issue(CLAIMS, DISCLOSABLE, ISSUER, holder_key=HOLDER.public_key, random_bytes=Salts(), **options)


def presented(shown=None, **options) -> str:
    given_options = {"key": HOLDER, "binding": ASKED, "now_s": NOW_S} | options
    return sd_jwt.present(issued(), shown, **given_options)


def verify(token: str, **options) -> sd_jwt.Verified:
    return sd_jwt.verify(token, KEY, NOW_S, **options)


def code_of(token: str, **options) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(token, **options)
    return caught.value.code


def made(payload: dict, *disclosures: str, header: dict | None = None, signer=ISSUER) -> str:
    """A signed credential of any payload and disclosures."""
    whole = {"vct": "urn:example:1", "exp": NOW_S + YEAR_S, **payload}
    return "~".join([jws(header or HEADER, whole, signer), *disclosures, ""])


NAME = b64(["salt", "family_name", "李"])
ELEMENT = b64(["salt", "view"])


def test_credential_issued_says_all_of_its_claims():
    verified = verify(issued())
    confirmed = {"cnf": {"jwk": jwk_of(HOLDER.public_key)}}
    assert verified.claims == CLAIMS | confirmed
    assert set(verified.disclosed) == set(DISCLOSABLE)
    assert verified.holder_key == HOLDER.public_key


def test_credential_shown_in_part_says_no_more_than_is_shown():
    verified = verify(presented([("powers", 2), ("family_name",)]), binding=ASKED)
    assert verified.claims["powers"] == ["sign", "pay"]
    assert verified.claims["family_name"] == "李"
    assert "address" not in verified.claims


def test_inner_claim_shown_brings_what_it_stands_in_and_not_its_sister():
    verified = verify(presented([("address", "locality")]), binding=ASKED)
    assert verified.claims["address"] == {"locality": "佛山市禅城区"}


def test_presentation_holds_nothing_of_what_was_kept_back():
    token = presented([])
    assert all(b64(name.encode()) not in token for name in ("李", "佛山市禅城区"))
    assert token.count("~") == 1


def test_holder_is_refused_a_place_where_nothing_can_be_disclosed():
    with pytest.raises(InvalidToken, match="level"):
        sd_jwt.present(issued(), [("level",)])


def test_holder_is_refused_a_credential_that_was_presented_already():
    with pytest.raises(InvalidToken) as caught:
        sd_jwt.present(presented())
    assert caught.value.code == "identity.binding-unexpected"


def test_decoys_are_digests_like_any_other_and_disclose_nothing():
    payloads = [json.loads(_payload(issued(decoys=count))) for count in (0, 5)]
    assert [len(payload["_sd"]) for payload in payloads] == [2, 7]
    assert payloads[1]["_sd"] == sorted(payloads[1]["_sd"])
    assert {len(each) for each in payloads[1]["_sd"]} == {43}
    assert verify(issued(decoys=5)).claims == verify(issued()).claims


def test_salts_differ_in_each_disclosure_and_each_credential():
    tokens = [sd_jwt.issue(CLAIMS, DISCLOSABLE, ISSUER) for _ in range(2)]
    disclosures = [text for token in tokens for text in token.split("~")[1:-1]]
    assert len(set(disclosures)) == 2 * len(DISCLOSABLE)


@pytest.mark.parametrize("name", ["iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"])
def test_issuer_makes_no_claim_disclosable_that_each_verifier_needs(name):
    with pytest.raises(AssertionError):
        sd_jwt.issue({**CLAIMS, name: {"inner": 1}}, [(name, "inner")], ISSUER)


def _payload(token: str) -> bytes:
    return decode_base64url(token.split(".")[1], "payload")


# what must be rejected


def test_unreferenced_disclosure_is_rejected():
    assert code_of(issued() + NAME + "~") == "identity.disclosure-unreferenced"


def test_disclosure_that_only_another_undisclosed_one_references_is_rejected():
    parts = issued().split("~")
    whole = sd_jwt.verify("~".join(parts), KEY, NOW_S)
    assert ("address", "region") in whole.disclosed
    outer = next(
        text for text in parts[1:-1] if "address" in str(_decoded(text)) and isinstance(_decoded(text)[-1], dict)
    )
    assert code_of("~".join(part for part in parts if part != outer)) == "identity.disclosure-unreferenced"


def _decoded(text: str) -> list:
    return json.loads(decode_base64url(text, "disclosure"))


def test_disclosure_given_twice_is_rejected():
    assert code_of(made({"_sd": [digest(NAME)]}, NAME, NAME)) == "identity.digest-twice"


def test_digest_twice_in_one_object_is_rejected():
    assert code_of(made({"_sd": [digest(NAME), digest(NAME)]}, NAME)) == "identity.digest-twice"


def test_digest_twice_in_different_objects_is_rejected():
    assert code_of(made({"_sd": [digest(NAME)], "inner": {"_sd": [digest(NAME)]}}, NAME)) == "identity.digest-twice"


def test_digest_twice_in_an_array_is_rejected():
    element = {"...": digest(ELEMENT)}
    assert code_of(made({"powers": [element, element]}, ELEMENT)) == "identity.digest-twice"


def test_digest_in_an_object_and_in_an_array_is_rejected():
    assert code_of(made({"_sd": ["x" * 43], "powers": [{"...": "x" * 43}]})) == "identity.digest-twice"


def test_digest_of_an_undisclosed_decoy_twice_is_rejected():
    assert code_of(made({"_sd": ["x" * 43, "x" * 43]})) == "identity.digest-twice"


def test_digest_twice_within_a_disclosed_value_is_rejected():
    outer = b64(["salt", "address", {"_sd": ["x" * 43]}])
    assert code_of(made({"_sd": [digest(outer), "x" * 43]}, outer)) == "identity.digest-twice"


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_disclosed_claim_of_a_reserved_name_is_rejected(name):
    text = b64(["salt", name, "value"])
    assert code_of(made({"_sd": [digest(text)]}, text)) == "identity.disclosure-reserved"


def test_disclosed_claim_that_would_overwrite_a_visible_one_is_rejected():
    text = b64(["salt", "level", "high"])
    assert code_of(made({"level": "low", "_sd": [digest(text)]}, text)) == "identity.claim-twice"


def test_disclosed_claim_that_would_overwrite_a_disclosed_one_is_rejected():
    first, second = b64(["1", "level", "low"]), b64(["2", "level", "high"])
    assert code_of(made({"_sd": [digest(first), digest(second)]}, first, second)) == "identity.claim-twice"


@pytest.mark.parametrize("algorithm", ["sha-384", "md5", "SHA-256", "", None, 256])
def test_unknown_hash_is_rejected(algorithm):
    assert code_of(made({"_sd_alg": algorithm})) == "identity.disclosure-hash"


@pytest.mark.parametrize("name", ["iss", "nbf", "exp", "cnf", "vct#integrity", "aka_vcts", "status"])
def test_claim_that_each_verifier_needs_is_rejected_when_it_is_disclosed(name):
    text = b64(["salt", name, NOW_S + YEAR_S])
    payload = {"vct": "urn:example:1", "_sd": [digest(text)]}
    assert code_of("~".join([jws(HEADER, payload), text, ""]), required=("vct",)) == "identity.never-disclosable"


def test_digest_within_cnf_is_rejected():
    assert code_of(made({"cnf": {"jwk": {}, "_sd": ["x" * 43]}})) == "identity.never-disclosable"


def test_digest_within_an_array_under_status_is_rejected():
    assert code_of(made({"status": {"lists": [{"...": "x" * 43}]}})) == "identity.never-disclosable"


def test_algorithm_none_is_rejected():
    token = made({}).split("~")[0].split(".")
    unsigned = f"{b64({'alg': 'none', 'typ': 'dc+sd-jwt'})}.{token[1]}."
    assert code_of(unsigned + "~") == "identity.token-algorithm"


def test_mac_under_the_public_key_is_rejected():
    signed = f"{b64({'alg': 'HS256', 'typ': 'dc+sd-jwt'})}.{b64({'vct': 'x', 'exp': NOW_S + 1})}"
    mac = hmac.digest(KEY, signed.encode(), "sha256")
    assert code_of(f"{signed}.{b64(mac)}~") == "identity.token-algorithm"


@pytest.mark.parametrize("algorithm", ["ES384", "RS256", "EdDSA", "es256", None, ["ES256"]])
def test_other_algorithm_is_rejected(algorithm):
    assert code_of(made({}, header={"alg": algorithm, "typ": "dc+sd-jwt"})) == "identity.token-algorithm"


def test_header_parameter_that_must_be_understood_is_rejected():
    assert code_of(made({}, header={**HEADER, "crit": ["b64"], "b64": False})) == "identity.token-algorithm"


@pytest.mark.parametrize("typ", ["vc+sd-jwt", "JWT", "kb+jwt", "DC+SD-JWT", "application/dc+sd-jwt", None])
def test_other_type_is_rejected(typ):
    assert code_of(made({}, header={"alg": "ES256", "typ": typ})) == "identity.token-type"


def test_signature_of_another_key_is_rejected():
    assert code_of(made({}, signer=STRANGER)) == "identity.token-signature"


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63), bytes(65)])
def test_signature_out_of_form_is_rejected(signature):
    signed = made({})[:-1].rsplit(".", 1)[0]
    assert code_of(f"{signed}.{b64(signature)}~") == "identity.token-signature"


def test_payload_changed_after_signing_is_rejected():
    header, _, signature = made({})[:-1].split(".")
    assert code_of(f"{header}.{b64({'vct': 'x', 'exp': NOW_S + 1})}.{signature}~") == "identity.token-signature"


def test_missing_key_binding_is_rejected_when_the_policy_asks_for_it():
    assert code_of(issued(), binding=ASKED) == "identity.binding-missing"


def test_key_binding_nobody_asked_for_is_not_looked_at_and_not_reported_as_checked():
    assert verify(issued() + "garbage").binding is None


def test_key_binding_for_a_credential_without_holder_key_is_rejected():
    token = sd_jwt.present(made({}), key=HOLDER, binding=ASKED, now_s=NOW_S)
    assert code_of(token, binding=ASKED) == "identity.binding-missing"


def test_key_binding_for_another_audience_is_rejected():
    assert code_of(presented(), binding=Binding("https://other.example", ASKED.nonce)) == "identity.binding-audience"


def test_key_binding_with_audience_as_array_is_rejected():
    token = presented(binding=Binding([ASKED.audience], ASKED.nonce))
    assert code_of(token, binding=ASKED) == "identity.binding-audience"


def test_key_binding_with_another_nonce_is_rejected():
    assert code_of(presented(), binding=Binding(ASKED.audience, "n-2")) == "identity.binding-nonce"


def test_key_binding_over_other_disclosures_is_rejected():
    token = presented([("family_name",), ("powers", 0)])
    parts = token.split("~")
    assert code_of("~".join([parts[0], *parts[2:]]), binding=ASKED) == "identity.binding-hash"


def test_key_binding_over_the_same_disclosures_in_another_order_is_rejected():
    parts = presented([("family_name",), ("powers", 0)]).split("~")
    assert code_of("~".join([parts[0], parts[2], parts[1], parts[3]]), binding=ASKED) == "identity.binding-hash"


def test_key_binding_moved_from_another_copy_of_the_credential_is_rejected():
    other = sd_jwt.issue(CLAIMS, DISCLOSABLE, ISSUER, holder_key=HOLDER.public_key)
    token = other + presented().rsplit("~", 1)[1]
    assert code_of(token, binding=ASKED) == "identity.binding-hash"


@pytest.mark.parametrize("made_s", [NOW_S - 301, NOW_S + 61])
def test_key_binding_out_of_its_window_is_rejected(made_s):
    assert code_of(presented(now_s=made_s), binding=ASKED) == "identity.binding-time"


@pytest.mark.parametrize("made_s", [NOW_S - 300, NOW_S, NOW_S + 60])
def test_key_binding_within_its_window_is_taken(made_s):
    checked = verify(presented(now_s=made_s), binding=ASKED).binding
    assert checked is not None
    assert checked["iat"] == made_s


@pytest.mark.parametrize("made_s", ["1790000000", None, True])
def test_key_binding_whose_time_is_no_whole_number_is_rejected(made_s):
    assert code_of(presented(now_s=made_s), binding=ASKED) == "identity.binding-time"


def test_key_binding_by_another_key_is_rejected():
    assert code_of(presented(key=STRANGER), binding=ASKED) == "identity.token-signature"


def test_key_binding_of_another_type_is_rejected():
    token = issued()
    claims = {"iat": NOW_S, "aud": ASKED.audience, "nonce": ASKED.nonce, "sd_hash": digest(token)}
    assert verify(token + jws({"alg": "ES256", "typ": "kb+jwt"}, claims, HOLDER), binding=ASKED).binding == claims
    assert code_of(token + jws({"alg": "ES256", "typ": "JWT"}, claims, HOLDER), binding=ASKED) == "identity.token-type"


@pytest.mark.parametrize("expires_s", [NOW_S, NOW_S - 1])
def test_expired_credential_is_rejected(expires_s):
    assert code_of(made({"exp": expires_s})) == "identity.token-expired"


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_credential_that_is_not_valid_yet_is_rejected(name):
    assert code_of(made({name: NOW_S + 61})) == "identity.token-early"
    assert verify(made({name: NOW_S + 60})).claims[name] == NOW_S + 60


@pytest.mark.parametrize("value", ["1", None, True, [], {}])
def test_time_that_is_no_whole_number_is_rejected(value):
    assert code_of(made({"exp": value})) == "identity.token-malformed"


@pytest.mark.parametrize("name", ["vct", "exp"])
def test_credential_without_a_required_claim_is_rejected(name):
    payload = {"vct": "x", "exp": NOW_S + 1}
    del payload[name]
    assert code_of(jws(HEADER, payload) + "~") == "identity.claim-missing"


def test_credential_of_another_type_than_was_asked_for_is_rejected():
    assert verify(made({}), vct="urn:example:1").claims["vct"] == "urn:example:1"
    assert code_of(made({}), vct="urn:example:2") == "identity.credential-type"


@pytest.mark.parametrize(
    "array",
    [["salt"], ["salt", "name", "value", "more"], {"salt": 1}, ["salt", 7, "value"], [7, "name", "value"], "text", []],
)
def test_disclosure_of_another_form_is_rejected(array):
    text = b64(array)
    assert code_of(made({"_sd": [digest(text)]}, text)) == "identity.disclosure-malformed"


def test_array_element_disclosed_as_claim_is_rejected():
    assert code_of(made({"_sd": [digest(ELEMENT)]}, ELEMENT)) == "identity.disclosure-malformed"


def test_claim_disclosed_as_array_element_is_rejected():
    assert code_of(made({"powers": [{"...": digest(NAME)}]}, NAME)) == "identity.disclosure-malformed"


@pytest.mark.parametrize(
    "payload",
    [{"_sd": "x"}, {"_sd": [1]}, {"...": "x"}, {"a": {"...": "x"}}, {"a": [{"...": "x", "b": 1}]}, {"a": [{"...": 1}]}],
)
def test_digests_in_the_wrong_form_are_rejected(payload):
    assert code_of(made(payload)) == "identity.disclosure-reserved"


@pytest.mark.parametrize(
    "status", [{}, "revoked", {"status_list": {"idx": -1, "uri": "x"}}, {"status_list": {"idx": 1}}]
)
def test_status_that_names_no_place_is_rejected(status):
    assert code_of(made({"status": status})) == "identity.status-malformed"


def test_claims_named_twice_are_rejected():
    body = b'{"vct":"a","vct":"b","exp":%d}' % (NOW_S + 1)
    assert code_of(jws(HEADER, body) + "~") == "identity.token-malformed"


def test_claims_nested_without_end_are_rejected():
    assert code_of(jws(HEADER, b"[" * 10_000) + "~") == "identity.token-malformed"
    inner = "x" * 43
    texts: list[str] = []
    for _ in range(40):
        texts.append(b64(["salt", "a", {"_sd": [inner]}]))
        inner = digest(texts[-1])
    assert code_of(made({"_sd": [inner]}, *texts)) == "identity.token-malformed"


def test_more_disclosures_than_the_bound_are_rejected():
    texts = [b64([str(i), f"c{i}", 1]) for i in range(257)]
    assert code_of(made({"_sd": [digest(text) for text in texts]}, *texts)) == "identity.token-too-large"


def test_token_longer_than_the_bound_is_rejected_unread():
    assert code_of("x" * (64 * 1024 + 1)) == "identity.token-too-large"


@pytest.mark.parametrize("token", ["", "~", "a.b.c", "a.b.c~", "...~", "é.b.c~", "a.b~", f"{b64([])}.e30.AA~"])
def test_text_that_is_no_credential_is_rejected(token):
    assert code_of(token) == "identity.token-malformed"


def test_base64url_with_padding_or_bits_left_over_is_rejected():
    first, rest = made({}).split(".", 1)
    assert code_of(f"{first}=.{rest}") == "identity.token-malformed"
    text = b64(["s", 1])
    assert text.endswith("0")  # two bits of the last character are not used
    assert code_of(made({}, text[:-1] + "1")) == "identity.token-malformed"


def test_private_key_in_cnf_is_rejected():
    jwk = {**jwk_of(HOLDER.public_key), "d": b64(bytes(32))}
    assert code_of(made({"cnf": {"jwk": jwk}})) == "identity.token-key"


@pytest.mark.parametrize(
    "change", [{"kty": "OKP"}, {"crv": "P-384"}, {"x": b64(bytes(32))}, {"y": b64(bytes(31))}, {"x": 1}, {"y": None}]
)
def test_key_in_cnf_that_is_no_point_of_the_curve_is_rejected(change):
    assert code_of(made({"cnf": {"jwk": jwk_of(HOLDER.public_key) | change}})) == "identity.token-key"


def test_cnf_without_jwk_is_rejected():
    assert code_of(made({"cnf": {"kid": "1"}})) == "identity.token-key"


# keys, and any bytes


def test_jwk_names_the_key_it_was_made_of_and_its_thumbprint_is_that_of_the_rfc_form():
    jwk = jwk_of(KEY)
    assert key_of_jwk(jwk, "key") == KEY
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert thumbprint(KEY) == digest(canonical)


def test_key_of_another_curve_does_not_sign():
    with pytest.raises(InvalidSignature):
        MemorySigner(ec.derive_private_key(7, ec.SECP384R1()))


@given(st.binary(max_size=200), st.integers(0, 2000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_a_token_are_refused_or_leave_its_meaning(noise, place):
    token = presented()
    at = place % len(token)
    changed = token[:at] + noise.decode("latin-1") + token[at + len(noise) :]
    try:
        verified = verify(changed, binding=ASKED)
    except InvalidToken:
        return
    assert changed == token
    assert verified.claims == verify(token, binding=ASKED).claims


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), JSON, min_size=1, max_size=5), st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_taken_out_comes_back(claims, data):
    def paths(value, path=()):
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, each in inner:
            yield (*path, step)
            yield from paths(each, (*path, step))

    everywhere = [path for path in paths(claims) if not {"_sd", "...", "_sd_alg"} & set(path)]
    chosen = data.draw(st.sets(st.sampled_from(everywhere), max_size=6)) if everywhere else set()
    token = sd_jwt.issue(claims, chosen, ISSUER, decoys=2)
    assert verify(token, required=()).claims == claims
    assert set(verify(token, required=()).disclosed) == chosen
    for path in chosen:
        shown = verify(sd_jwt.present(token, [path]), required=())
        assert path in shown.disclosed
        assert all(path[: len(each)] == each for each in shown.disclosed)
