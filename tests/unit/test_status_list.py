# SPDX-License-Identifier: Apache-2.0
"""Status lists: written and read at any width, and refused when forged, stale, another's, cut short or a bomb."""

import random
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_rig import ISSUER, NOW_S, STRANGER, b64, jws

from identity import status_list
from identity.jose import InvalidToken
from identity.sd_jwt import StatusReference
from identity.status_list import LIST_BYTES_MAX, Status, StatusList

URI = "https://issuer.example/status/1"
HEADER = {"alg": "ES256", "typ": "statuslist+jwt"}
KEY = ISSUER.public_key


def signed(statuses: StatusList | None = None, **options) -> str:
    times = {"issued_s": NOW_S, "expires_s": NOW_S + 3600, "ttl_s": 60} | options
    return status_list.sign(statuses or StatusList(16), URI, ISSUER, **times)


def claims(**changes) -> dict:
    whole = {"sub": URI, "iat": NOW_S, "exp": NOW_S + 60, "ttl": 60, "status_list": StatusList(16).encode()} | changes
    return {name: value for name, value in whole.items() if value is not None}


def code_of(token: str, uri: str = URI, now_s: int = NOW_S) -> str:
    with pytest.raises(InvalidToken) as caught:
        status_list.verify(token, KEY, now_s, uri)
    return caught.value.code


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_list_of_any_width_reads_as_it_was_written(bits, size, data):
    wanted = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=size, max_size=size))
    statuses = StatusList(size, bits)
    for _ in range(2):  # the second time each place is overwritten
        for i, status in enumerate(wanted):
            statuses.set(i, status)
    read = status_list.decode(statuses.encode())
    assert [read.get(i) for i in range(size)] == wanted
    assert read.to_bytes() == statuses.to_bytes()


def test_signed_list_is_verified_and_says_what_it_says():
    statuses = StatusList(16)
    statuses.set(3, Status.INVALID)
    statuses.set(4, Status.SUSPENDED)
    token = status_list.verify(signed(statuses), KEY, NOW_S, URI)
    said = [status_list.check(token, StatusReference(URI, i)) for i in (2, 3, 4)]
    assert said == [Status.VALID, Status.INVALID, Status.SUSPENDED]
    assert (token.issued_s, token.expires_s, token.ttl_s) == (NOW_S, NOW_S + 3600, 60)


def test_token_and_claim_decode_to_the_same_list():
    statuses = StatusList(16)
    statuses.set(7, 2)
    assert status_list.decode(signed(statuses)).to_bytes() == status_list.decode(statuses.encode()).to_bytes()


@pytest.mark.parametrize("index", [16, 1_000_000, -1])
def test_place_out_of_range_is_refused(index):
    token = status_list.verify(signed(), KEY, NOW_S, URI)
    with pytest.raises(InvalidToken) as caught:
        status_list.check(token, StatusReference(URI, index))
    assert caught.value.code == "identity.status-out-of-range"


def test_list_that_another_credential_names_is_refused():
    assert code_of(signed(), uri="https://issuer.example/status/2") == "identity.status-other-list"
    token = status_list.verify(signed(), KEY, NOW_S, URI)
    with pytest.raises(InvalidToken):
        status_list.check(token, StatusReference("https://issuer.example/status/2", 1))


def test_list_signed_by_another_key_is_refused():
    assert code_of(jws(HEADER, claims(), STRANGER)) == "identity.token-signature"


@pytest.mark.parametrize("typ", ["JWT", "dc+sd-jwt", "application/statuslist+jwt", None])
def test_token_of_another_type_is_refused(typ):
    assert code_of(jws({"alg": "ES256", "typ": typ}, claims())) == "identity.token-type"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384"])
def test_token_of_another_algorithm_is_refused(algorithm):
    assert code_of(jws({"alg": algorithm, "typ": "statuslist+jwt"}, claims())) == "identity.token-algorithm"


def test_expired_list_is_refused():
    assert code_of(signed(), now_s=NOW_S + 3600) == "identity.token-expired"


def test_list_from_the_future_is_refused():
    assert code_of(signed(issued_s=NOW_S + 61)) == "identity.token-early"


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": None},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": "60"},
        {"status_list": None},
        {"status_list": "x"},
        {"status_list": {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": True, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 1}},
        {"status_list": {"bits": 1, "lst": 7}},
        {"status_list": {"bits": 1, "lst": b64(b"no zlib")}},
        {"status_list": {"bits": 1, "lst": b64(zlib.compress(b""))}},
        {"status_list": {"bits": 1, "lst": b64(zlib.compress(b"abc")[:-1])}},
        {"status_list": {"bits": 1, "lst": b64(zlib.compress(b"abc") + b"more")}},
    ],
)
def test_malformed_list_is_refused(changes):
    assert code_of(jws(HEADER, claims(**changes))) == "identity.status-malformed"


def test_list_that_inflates_without_end_is_refused_in_little_memory():
    bomb = zlib.compress(bytes(LIST_BYTES_MAX + 1), 9)
    assert len(bomb) < 5_000
    assert code_of(jws(HEADER, claims(status_list={"bits": 8, "lst": b64(bomb)}))) == "identity.token-too-large"
    whole = zlib.compress(bytes(LIST_BYTES_MAX), 9)
    assert status_list.decode({"bits": 8, "lst": b64(whole)}).size == LIST_BYTES_MAX


def test_status_that_does_not_fit_is_our_mistake():
    with pytest.raises(AssertionError):
        StatusList(8, 2).set(1, 4)
    with pytest.raises(AssertionError):
        StatusList(8, 2).set(8, 1)


def test_a_million_places_with_one_in_a_hundred_revoked_are_small_and_soon_built():
    chosen = random.Random(7).sample(range(1_000_000), 10_000)
    started = time.process_time()
    statuses = StatusList(1_000_000)
    for place in chosen:
        statuses.set(place, Status.INVALID)
    text = statuses.encode()["lst"]
    assert time.process_time() - started < 1
    assert len(text) < 25_000
