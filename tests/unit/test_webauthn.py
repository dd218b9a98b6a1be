# SPDX-License-Identifier: Apache-2.0
"""A passkey's assertion signs exactly one message, by a verified user, in no other origin's page."""

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chain import webauthn
from chain.codec import encode
from chain.errors import InvalidSignature
from chain.p256 import P256Signer
from chain.pb import ledger_pb2 as pb
from chain.types import sha256

MESSAGE = b"what an officer signs"
SIGNER = P256Signer(ec.derive_private_key(11, ec.SECP256R1()))
KEY = SIGNER.signer.public_key
CHALLENGE = urlsafe_b64encode(sha256(MESSAGE)).rstrip(b"=").decode()
CLIENT_DATA = {
    "type": "webauthn.get",
    "challenge": CHALLENGE,
    "origin": "https://desk.example",
    "crossOrigin": False,
}


def authenticator_data(flags: int = 0x05, tail: bytes = b"", relying_party: bytes = b"desk.example") -> bytes:
    return sha256(relying_party) + bytes([flags]) + bytes(4) + tail


def assertion(data: bytes, client_data: bytes, signer: P256Signer = SIGNER) -> bytes:
    signature = signer.sign(data + sha256(client_data))
    return encode(pb.WebAuthnAssertion(authenticator_data=data, client_data_json=client_data, signature=signature))


def client_data(**changes: object) -> bytes:
    return json.dumps({**CLIENT_DATA, **changes}).encode()


def test_assertion_of_a_verified_user_verifies():
    webauthn.verify(KEY, MESSAGE, assertion(authenticator_data(), client_data()))


def test_assertion_with_unknown_members_extensions_and_backup_flags_verifies():
    data = authenticator_data(0x05 | 0x18 | 0x80, b"\xa1\x61a\xf5")
    webauthn.verify(KEY, MESSAGE, assertion(data, client_data(other_keys_can_be_added_here="see spec")))
    absent = {name: value for name, value in CLIENT_DATA.items() if name != "crossOrigin"}
    webauthn.verify(KEY, MESSAGE, assertion(authenticator_data(), json.dumps(absent).encode()))


@pytest.mark.parametrize(
    "data",
    [
        authenticator_data(0x04),
        authenticator_data(0x01),
        authenticator_data(0x00),
        authenticator_data(0x05 | 0x40),
        authenticator_data(0x05 | 0x40 | 0x80, bytes(80)),
        authenticator_data(0x05, b"\xa0"),
        authenticator_data(0x85),
        authenticator_data()[:36],
        b"",
        authenticator_data(0x85, bytes(1000)),
    ],
    ids=[
        "not present",
        "not verified",
        "neither",
        "attested",
        "attested and longer",
        "tail",
        "no extensions",
        "short",
        "empty",
        "long",
    ],
)
def test_authenticator_data_without_a_verified_user_or_of_a_wrong_shape_is_refused(data):
    with pytest.raises(InvalidSignature, match=r"authenticator|attested|verify its user"):
        webauthn.verify(KEY, MESSAGE, assertion(data, client_data()))


@pytest.mark.parametrize(
    "raw",
    [
        client_data(type="webauthn.create"),
        client_data(type=None),
        client_data(challenge=CHALLENGE + "="),
        client_data(challenge=urlsafe_b64encode(sha256(b"another")).rstrip(b"=").decode()),
        client_data(challenge=urlsafe_b64encode(MESSAGE).decode()),
        client_data(crossOrigin=True),
        client_data(crossOrigin=None),
        client_data(crossOrigin=0),
        client_data(origin=None),
        client_data(origin=1),
        client_data()[:-1] + b', "type": "webauthn.get"}',
        b"\xef\xbb\xbf" + client_data(),
        client_data(padding="x" * webauthn.CLIENT_DATA_BYTES_MAX),
        client_data(deep=[[[[[[[[0]]]]]]]]),
        client_data(text="\ud800"),
        client_data(number=0.5),
        b"[" + client_data() + b"]",
        b'"webauthn.get"',
        b"\xff" + client_data(),
        b"",
    ],
)
def test_client_data_that_does_not_say_what_it_must_is_refused(raw):
    with pytest.raises(InvalidSignature, match=r"client data|challenge|assertion"):
        webauthn.verify(KEY, MESSAGE, assertion(authenticator_data(), raw))


def test_assertion_over_another_message_or_by_another_key_is_refused():
    good = assertion(authenticator_data(), client_data())
    with pytest.raises(InvalidSignature):
        webauthn.verify(KEY, b"another", good)
    other = P256Signer(ec.derive_private_key(12, ec.SECP256R1()))
    with pytest.raises(InvalidSignature):
        webauthn.verify(other.signer.public_key, MESSAGE, good)
    with pytest.raises(InvalidSignature):
        webauthn.verify(KEY, MESSAGE, assertion(authenticator_data(), client_data(), other))


def test_assertion_with_any_byte_changed_is_refused():
    good = assertion(authenticator_data(), client_data())
    for i in range(len(good)):
        with pytest.raises(InvalidSignature):
            webauthn.verify(KEY, MESSAGE, good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
    with pytest.raises(InvalidSignature):
        webauthn.verify(KEY, MESSAGE, good + b"\x20\x01")


def test_assertion_for_another_relying_party_is_refused_where_the_caller_names_one():
    good = assertion(authenticator_data(), client_data())
    webauthn.verify(KEY, MESSAGE, good, relying_party_id="desk.example")
    with pytest.raises(InvalidSignature, match="relying party"):
        webauthn.verify(KEY, MESSAGE, good, relying_party_id="evil.example")
