# SPDX-License-Identifier: Apache-2.0
"""Issuing keys: rotation invalidates nothing, and nobody is trusted but whom a known registrar certified."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from token_rig import NOW_S, YEAR_S, key

from identity import issuer_keys, offline_qr, sd_jwt
from identity.issuer_keys import IssuingKey, KeySet, Trust
from identity.jose import InvalidToken, MemorySigner, key_of_jwk

DAY_S = 86_400
REGISTRAR = ec.derive_private_key(501, ec.SECP256R1())
OTHER = ec.derive_private_key(502, ec.SECP256R1())
FIRST, SECOND = key(601), key(602)
CLAIMS = {"vct": "urn:example:1", "exp": NOW_S + YEAR_S}


def registrar(private_key=REGISTRAR, ends_s: int = NOW_S + 20 * YEAR_S) -> bytes:
    return issuer_keys.make_registrar("Civil affairs", private_key, serial=1, begins_s=NOW_S - YEAR_S, ends_s=ends_s)


ANCHOR = registrar()


def certified(signer: MemorySigner, ends_s: int = NOW_S + 3 * YEAR_S, *, by=REGISTRAR, anchor: bytes = ANCHOR) -> bytes:
    return issuer_keys.certify(anchor, by, signer.public_key, serial=2, begins_s=NOW_S - DAY_S, ends_s=ends_s)


def made(signer: MemorySigner, signs_from_s: int, *, destroyed: bool = False) -> IssuingKey:
    return issuer_keys.issuing_key(
        certified(signer),
        None if destroyed else signer,
        signs_from_s=signs_from_s,
        signs_until_s=signs_from_s + 180 * DAY_S,
    )


def issued(one: IssuingKey) -> str:
    assert one.signer is not None
    return sd_jwt.issue(CLAIMS, [], one.signer, header=one.header)


def verify(token: str, trust: Trust, now_s: int = NOW_S) -> sd_jwt.Verified:
    return sd_jwt.verify(token, lambda header: trust.key_of(header, now_s), now_s)


def code_of(token: str, trust: Trust, now_s: int = NOW_S) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(token, trust, now_s)
    return caught.value.code


def test_credential_under_a_certified_key_verifies_by_the_registrars_certificate_alone():
    assert verify(issued(made(FIRST, NOW_S)), Trust([ANCHOR])).claims == CLAIMS


def test_rotation_invalidates_nothing_that_was_issued_even_once_the_old_private_key_is_destroyed():
    old = made(FIRST, NOW_S - 100)
    before = issued(KeySet([old]).current(NOW_S))
    keys = KeySet([made(FIRST, NOW_S - 100, destroyed=True), made(SECOND, NOW_S)])
    after = issued(keys.current(NOW_S))
    assert keys.current(NOW_S).public_key == SECOND.public_key
    trust = Trust([ANCHOR])
    assert verify(before, trust).claims == verify(after, trust).claims == CLAIMS
    jwks = keys.jwks(NOW_S)["keys"]
    assert {key_of_jwk(jwk, "key") for jwk in jwks} == {FIRST.public_key, SECOND.public_key}


def test_newest_key_that_may_sign_signs():
    keys = KeySet([made(FIRST, NOW_S - 100), made(SECOND, NOW_S)])
    assert [keys.current(at).public_key for at in (NOW_S - 1, NOW_S)] == [FIRST.public_key, SECOND.public_key]


@pytest.mark.parametrize("at", [NOW_S - 1, NOW_S + 180 * DAY_S])
def test_key_signs_neither_before_nor_after_its_time(at):
    with pytest.raises(InvalidToken) as caught:
        KeySet([made(FIRST, NOW_S)]).current(at)
    assert caught.value.code == "identity.issuer-key"


def test_key_whose_private_half_is_destroyed_does_not_sign():
    with pytest.raises(InvalidToken):
        KeySet([made(FIRST, NOW_S, destroyed=True)]).current(NOW_S)


def test_set_lists_no_key_whose_certificate_has_ended():
    assert KeySet([made(FIRST, NOW_S)]).jwks(NOW_S + 3 * YEAR_S) == {"keys": []}


def test_one_key_twice_in_a_set_is_refused():
    with pytest.raises(InvalidToken):
        KeySet([made(FIRST, NOW_S), made(FIRST, NOW_S + 1)])


def test_key_certified_by_a_stranger_is_not_trusted():
    stranger = registrar(OTHER)
    token = sd_jwt.issue(
        CLAIMS, [], FIRST, header={"x5c": [b64encode(certified(FIRST, by=OTHER, anchor=stranger)).decode()]}
    )
    assert code_of(token, Trust([ANCHOR])) == "identity.issuer-untrusted"
    assert verify(token, Trust([ANCHOR, stranger])).claims == CLAIMS


def test_registrars_own_key_issues_nothing():
    token = sd_jwt.issue(CLAIMS, [], MemorySigner(REGISTRAR), header={"x5c": [b64encode(ANCHOR).decode()]})
    assert code_of(token, Trust([ANCHOR])) == "identity.issuer-untrusted"


def test_issuing_key_certifies_nobody():
    first = ec.derive_private_key(602, ec.SECP256R1())
    leaf = certified(MemorySigner(first))
    with pytest.raises(InvalidToken):
        issuer_keys.certify(leaf, first, SECOND.public_key, serial=3, begins_s=NOW_S, ends_s=NOW_S + DAY_S)
    with pytest.raises(InvalidToken):
        Trust([leaf])


def test_anchor_within_the_chain_of_a_token_is_not_taken():
    one = made(FIRST, NOW_S)
    chain = [*one.header["x5c"], b64encode(ANCHOR).decode()]
    token = sd_jwt.issue(CLAIMS, [], FIRST, header={"x5c": chain})
    assert code_of(token, Trust([ANCHOR])) == "identity.issuer-untrusted"


def test_token_signed_by_another_key_than_its_certificates_is_refused():
    token = sd_jwt.issue(CLAIMS, [], SECOND, header=made(FIRST, NOW_S).header)
    assert code_of(token, Trust([ANCHOR])) == "identity.token-signature"


@pytest.mark.parametrize("now_s", [NOW_S - 2 * DAY_S, NOW_S + 3 * YEAR_S])
def test_certificate_out_of_its_time_is_refused(now_s):
    token = sd_jwt.issue({"vct": "x", "exp": NOW_S + 9 * YEAR_S}, [], FIRST, header=made(FIRST, NOW_S).header)
    assert code_of(token, Trust([ANCHOR]), now_s) == "identity.token-expired"


@pytest.mark.parametrize(
    "chain", [None, [], "x", [1], ["%%"], ["AAAA"], ["A" * 10_000], [b64encode(b"\x30\x00").decode()]]
)
def test_header_without_a_certificate_is_refused(chain):
    token = sd_jwt.issue(CLAIMS, [], FIRST, header={"x5c": chain})
    assert code_of(token, Trust([ANCHOR])) == "identity.issuer-untrusted"


def test_certificate_with_a_critical_extension_that_nobody_here_knows_is_refused():
    leaf = x509.load_der_x509_certificate(certified(FIRST))
    builder = x509.CertificateBuilder(
        leaf.issuer,
        leaf.subject,
        leaf.public_key(),
        7,
        datetime.fromtimestamp(NOW_S - DAY_S, UTC),
        datetime.fromtimestamp(NOW_S + YEAR_S, UTC),
    )
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    signed = builder.add_extension(strange, critical=True).sign(REGISTRAR, SHA256()).public_bytes(Encoding.DER)
    token = sd_jwt.issue(CLAIMS, [], FIRST, header={"x5c": [b64encode(signed).decode()]})
    assert code_of(token, Trust([ANCHOR])) == "identity.issuer-untrusted"


def test_certificate_of_another_key_is_refused_for_an_issuing_key():
    with pytest.raises(InvalidToken) as caught:
        issuer_keys.issuing_key(certified(FIRST), SECOND, signs_from_s=NOW_S, signs_until_s=NOW_S + 1)
    assert caught.value.code == "identity.issuer-key"


@pytest.mark.parametrize("times", [(NOW_S, NOW_S + 4 * YEAR_S), (NOW_S - 2 * DAY_S, NOW_S), (NOW_S, NOW_S)])
def test_key_that_would_sign_while_its_certificate_does_not_count_is_refused(times):
    with pytest.raises(InvalidToken) as caught:
        issuer_keys.issuing_key(certified(FIRST), FIRST, signs_from_s=times[0], signs_until_s=times[1])
    assert caught.value.code == "identity.issuer-key"


def test_offline_code_finds_its_key_by_the_certificates_that_a_verifier_brought():
    one, holder = made(FIRST, NOW_S), key(700)
    token = offline_qr.issue(
        {"age_over_18": True},
        FIRST,
        one.key_id,
        holder.public_key,
        token_id=bytes(16),
        issued_s=NOW_S,
        expires_s=NOW_S + DAY_S,
        status=None,
    )
    text = offline_qr.show(token, holder, now_s=NOW_S)
    known = Trust([ANCHOR], [one.certificate])
    assert offline_qr.verify(text, lambda key_id: known.key_of_id(key_id, NOW_S), NOW_S).claims == {"age_over_18": True}
    with pytest.raises(InvalidToken) as caught:
        offline_qr.verify(text, lambda key_id: Trust([ANCHOR]).key_of_id(key_id, NOW_S), NOW_S)
    assert caught.value.code == "identity.issuer-untrusted"


def test_certificate_of_another_curve_is_refused():
    private_key = ec.derive_private_key(7, ec.SECP384R1())
    der = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(NOW_S, UTC))
        .not_valid_after(datetime.fromtimestamp(NOW_S + DAY_S, UTC))
        .sign(private_key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(InvalidToken):
        Trust([der])
