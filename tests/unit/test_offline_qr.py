# SPDX-License-Identifier: Apache-2.0
"""Offline codes: short enough for a QR code, checked in milliseconds, refused when altered, late, early or a bomb."""

import time
import zlib

import cbor2
import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from token_rig import HOLDER, ISSUER, NOW_S, STRANGER

from chain import base45
from chain.types import sha256
from identity import offline_qr
from identity.jose import InvalidToken
from identity.sd_jwt import StatusReference

DAY_S = 86_400
SAID = {"family_name": "李", "given_name": "小明", "age_over_18": True, "assurance_level": "high"}
STATUS = StatusReference("https://issuer.example/status/7", 123_456)
KID = b"k1"
ISSUED, SHOWN = offline_qr.ISSUED_TYPE, offline_qr.SHOWN_TYPE


def token(**options) -> bytes:
    arguments = {
        "claims": SAID,
        "key": ISSUER,
        "key_id": KID,
        "holder_key": HOLDER.public_key,
        "token_id": bytes(range(16)),
        "issued_s": NOW_S - DAY_S,
        "expires_s": NOW_S + DAY_S,
        "status": STATUS,
    } | options
    return offline_qr.issue(**arguments)


def shown(inner: bytes | None = None, **options) -> str:
    return offline_qr.show(inner or token(), options.pop("key", HOLDER), **{"now_s": NOW_S} | options)


def key_of(key_id: bytes) -> bytes:
    if key_id != KID:
        raise InvalidToken("nobody trusted has this key", "identity.issuer-untrusted")
    return ISSUER.public_key


def code_of(text: str, now_s: int = NOW_S) -> str:
    with pytest.raises(InvalidToken) as caught:
        offline_qr.verify(text, key_of, now_s)
    return caught.value.code


def packed(data: bytes) -> str:
    return "IMI1:" + base45.encode(zlib.compress(data))


def sign1(header: dict, payload: object, key=HOLDER, unprotected: object = None, tag: bytes = b"\xd2") -> bytes:
    """A COSE_Sign1 of whatever is given."""
    protected = cbor2.dumps(header, canonical=True)
    body = payload if isinstance(payload, bytes) else cbor2.dumps(payload, canonical=True)
    signed = cbor2.dumps(["Signature1", protected, b"", body], canonical=True)
    return tag + cbor2.dumps([protected, unprotected or {}, body, key.sign(sha256(signed))], canonical=True)


def outer(**changes) -> dict:
    return {4: NOW_S + 60, 6: NOW_S, -65_538: token()} | {int(name): value for name, value in changes.items()}


def payload_of(data: bytes) -> dict:
    return cbor2.loads(cbor2.loads(data[1:])[2])


def reissued(**changes) -> str:
    """A code around a registrar's token with other claims."""
    claims = payload_of(token()) | {int(name): value for name, value in changes.items()}
    inner = sign1({1: -7, 4: KID, 16: ISSUED}, {name: v for name, v in claims.items() if v is not None}, ISSUER)
    return shown(inner)


def test_code_says_what_the_registrar_signed_and_where_its_status_stands():
    verified = offline_qr.verify(shown(), key_of, NOW_S)
    assert verified.claims == SAID
    assert verified.status == STATUS
    assert verified.token_id == bytes(range(16))
    assert (verified.shown_s, verified.shown_until_s) == (NOW_S, NOW_S + 300)
    assert verified.holder_key == HOLDER.public_key


def test_token_is_taken_once_until_it_ends():
    seen = offline_qr.Seen()
    first = offline_qr.verify(shown(), key_of, NOW_S)
    seen.take(first, NOW_S)
    again = offline_qr.verify(shown(now_s=NOW_S + 10), key_of, NOW_S + 10)
    with pytest.raises(InvalidToken) as caught:
        seen.take(again, NOW_S + 10)
    assert caught.value.code == "identity.qr-seen"
    seen.take(offline_qr.verify(shown(token(token_id=bytes(16))), key_of, NOW_S), NOW_S)


def test_memory_of_tokens_is_bounded_and_forgets_the_one_that_ends_first():
    seen = offline_qr.Seen(tokens_max=2)
    tokens = [
        offline_qr.verify(shown(token(token_id=bytes([i] * 16), expires_s=NOW_S + 1_000 + i)), key_of, NOW_S)
        for i in range(3)
    ]
    for one in tokens:
        seen.take(one, NOW_S)
    with pytest.raises(InvalidToken):
        seen.take(tokens[1], NOW_S)
    seen.take(tokens[0], NOW_S)


def test_code_without_status_says_so():
    assert offline_qr.verify(shown(token(status=None)), key_of, NOW_S).status is None


def test_code_fits_a_qr_code_that_a_camera_reads_back(tmp_path):
    text = shown()
    code = segno.make(text, error="m", micro=False)
    assert code.mode == "alphanumeric"
    assert int(code.version) <= 16
    code.save(tmp_path / "code.png", scale=4, border=4)
    with Image.open(tmp_path / "code.png") as picture:
        assert zxingcpp.read_barcode(picture.convert("L")).text == text


def test_check_takes_less_than_5_ms():
    text = shown()
    spent = []
    for _ in range(20):
        started = time.process_time()
        offline_qr.verify(text, key_of, NOW_S)
        spent.append(time.process_time() - started)
    assert sorted(spent)[10] < 0.005


def test_code_counts_no_longer_than_its_minutes():
    assert code_of(shown(), NOW_S + 300) == "identity.token-expired"
    assert offline_qr.verify(shown(), key_of, NOW_S + 299).claims == SAID


def test_code_around_an_expired_token_is_refused():
    assert code_of(shown(token(issued_s=NOW_S - 2 * DAY_S, expires_s=NOW_S))) == "identity.token-expired"


def test_code_from_the_future_is_refused():
    assert code_of(shown(now_s=NOW_S + 61)) == "identity.token-early"


def test_token_from_the_future_is_refused():
    assert code_of(shown(token(issued_s=NOW_S + 61))) == "identity.token-early"


def test_code_made_before_its_token_is_refused():
    assert code_of(shown(token(issued_s=NOW_S), now_s=NOW_S - 100)) == "identity.token-early"


def test_code_by_another_device_is_refused():
    assert code_of(shown(key=STRANGER)) == "identity.token-signature"


def test_token_by_another_registrar_under_a_trusted_name_is_refused():
    assert code_of(shown(token(key=STRANGER))) == "identity.token-signature"


def test_token_of_an_unknown_registrar_is_refused():
    assert code_of(shown(token(key_id=b"k2"))) == "identity.issuer-untrusted"


def test_registrars_token_without_the_holders_signature_is_refused():
    assert code_of(packed(token())) == "identity.token-type"


def test_code_in_place_of_the_registrars_token_is_refused():
    inner = sign1({1: -7, 16: SHOWN}, outer())
    assert code_of(packed(sign1({1: -7, 16: SHOWN}, outer(**{"-65538": inner})))) == "identity.token-type"


@pytest.mark.parametrize("algorithm", [-8, -35, 5, -65_535, None, True])
def test_other_algorithm_is_refused(algorithm):
    assert code_of(packed(sign1({1: algorithm, 16: SHOWN}, outer()))) in {
        "identity.token-algorithm",
        "identity.qr-malformed",
    }


def test_header_that_must_be_understood_is_refused():
    assert code_of(packed(sign1({1: -7, 2: [3], 16: SHOWN}, outer()))) == "identity.token-algorithm"


def test_code_that_would_count_for_longer_than_minutes_is_refused():
    assert code_of(packed(sign1({1: -7, 16: SHOWN}, outer(**{"4": NOW_S + 301})))) == "identity.qr-lifetime"


def test_token_that_would_count_for_longer_than_days_is_refused():
    assert code_of(reissued(**{"4": NOW_S + 8 * DAY_S})) == "identity.qr-lifetime"


@pytest.mark.parametrize("times", [{"4": None}, {"6": None}, {"4": "soon"}, {"4": True}, {"6": 1.5}])
def test_times_that_are_no_whole_numbers_are_refused(times):
    assert code_of(reissued(**times)) == "identity.qr-malformed"


@pytest.mark.parametrize("token_id", [None, b"", bytes(15), "0123456789abcdef"])
def test_token_without_an_id_of_16_bytes_is_refused(token_id):
    assert code_of(reissued(**{"7": token_id})) == "identity.qr-malformed"


@pytest.mark.parametrize(
    "confirmation",
    [
        None,
        {},
        {1: {}},
        {1: {1: 2, -1: 2, -2: bytes(32), -3: bytes(32)}},
        {1: {1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}},
    ],
)
def test_token_without_a_key_of_p256_is_refused(confirmation):
    assert code_of(reissued(**{"8": confirmation})) == "identity.token-key"


@pytest.mark.parametrize("said", [None, "x", {99: "x"}, {1: b"x"}, {"family_name": "x"}, {1: [1]}])
def test_claims_that_nobody_understands_are_refused(said):
    assert code_of(reissued(**{"-65537": said})) == "identity.qr-malformed"


@pytest.mark.parametrize("status", [{}, "x", {"status_list": {"idx": -1, "uri": "x"}}, {"status_list": {"idx": 1}}])
def test_status_that_names_no_place_is_refused(status):
    assert code_of(reissued(**{"65535": status})) == "identity.status-malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xd2",
        b"\xd2\x80",
        b"\xd2\x84\x40\xa0\x40\x40",
        b"\xd2\x84\x41\xa0\xa0\x41\x80\x40",
        b"\xd2" + b"\x81" * 500,
        b"\xd2\x9f\xff",
        b"\xd2\xd8\x23\x61(",
        sign1({1: -7, 16: SHOWN}, outer(), tag=b""),
        sign1({1: -7, 16: SHOWN}, outer(), unprotected={4: b"k1"}),
        sign1({1: -7, 16: SHOWN}, b"\xa2\x04\x01\x04\x02"),
        sign1({1: -7, 16: SHOWN}, b"\xa1\x18\x04\x01"),
        sign1({1: -7, 16: SHOWN}, b"\xa1\x04\xc2\x41\x01"),
    ],
)
def test_bytes_that_are_no_canonical_cose_sign1_are_refused(data):
    assert code_of(packed(data)) == "identity.qr-malformed"


@pytest.mark.parametrize(
    "text", ["", "IMI1:", "IMI2:" + "0" * 30, "imi1:00", "IMI1:é", "IMI1:0", "IMI1::::", "HC1:6BF"]
)
def test_text_that_is_no_code_is_refused(text):
    assert code_of(text) == "identity.qr-malformed"


def test_code_that_inflates_without_end_is_refused():
    assert code_of(packed(bytes(100_000))) == "identity.token-too-large"


def test_code_longer_than_any_qr_code_is_refused_unread():
    assert code_of("IMI1:" + "0" * 2_000) == "identity.token-too-large"


def test_code_with_something_after_it_is_refused():
    data = base45.decode(shown().removeprefix("IMI1:"))
    assert code_of("IMI1:" + base45.encode(data + b"x")) == "identity.qr-malformed"
    assert code_of("IMI1:" + base45.encode(data[:-1])) == "identity.qr-malformed"


@given(st.binary(min_size=1, max_size=40), st.integers(0, 2_000))
@settings(max_examples=150, deadline=None)
def test_any_byte_changed_within_a_code_is_refused(noise, place):
    data = zlib.decompress(base45.decode(shown().removeprefix("IMI1:")))
    at = place % len(data)
    changed = data[:at] + noise + data[at + len(noise) :]
    if changed == data:
        return
    with pytest.raises(InvalidToken):
        offline_qr.verify(packed(changed), key_of, NOW_S)
