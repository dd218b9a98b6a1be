# SPDX-License-Identifier: Apache-2.0
"""Transactions: the rules of the protocol's section 2 that need no state, and signatures under each scheme."""

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chain import transaction, webauthn
from chain.codec import encode, signed_bytes
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidMessage, InvalidSignature
from chain.log import leaf_hash, root_of, verify_inclusion
from chain.p256 import ORDER, P256Signer
from chain.pb import ledger_pb2 as pb
from chain.signing import Scheme, Signer
from chain.transaction import (
    Header,
    Operation,
    build,
    decode,
    operation_path,
    operation_paths,
    verify_batch,
    verify_signatures,
)
from chain.types import OPERATIONS_MAX, SIGNERS_MAX, TRANSACTION_BYTES_MAX, Millis, Network, sha256

NETWORK = Network(b"n" * 32)
EXPIRES = Millis(1_800_000_000_000)
SALT = bytes(range(16))
ED25519 = Ed25519Signer(b"\x01" * 32)
P256 = P256Signer(ec.derive_private_key(3, ec.SECP256R1()))


class PasskeySigner:
    """A browser with an authenticator, in a few lines."""

    def __init__(self, secret: int) -> None:
        self._inner = P256Signer(ec.derive_private_key(secret, ec.SECP256R1()))
        self.signer = Signer(Scheme.WEBAUTHN_ES256, self._inner.signer.public_key)

    def sign(self, message: bytes) -> bytes:
        challenge = urlsafe_b64encode(webauthn.challenge(message)).rstrip(b"=").decode()
        client = json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": "https://desk.example"}).encode()
        data = sha256(b"desk.example") + b"\x05" + bytes(4)
        signature = self._inner.sign(data + sha256(client))
        return encode(pb.WebAuthnAssertion(authenticator_data=data, client_data_json=client, signature=signature))


PASSKEY = PasskeySigner(4)


def operations_of(count: int) -> list[Operation]:
    return [Operation.make("test.Act", b"body %d" % i) for i in range(count)]


def make(count: int = 1, signers=(ED25519,)) -> transaction.SignedTransaction:
    return build(operations_of(count), signers, EXPIRES, SALT, NETWORK)


def parts(count: int = 1, signers=(ED25519,)) -> tuple[pb.Header, pb.Transaction]:
    message = pb.Transaction.FromString(make(count, signers).raw)
    return pb.Header.FromString(message.header), message


def assembled(header: pb.Header, message: pb.Transaction) -> bytes:
    message.header = encode(header)
    return encode(message)


def test_built_transaction_decodes_to_itself_and_verifies():
    built = make(3, (P256, PASSKEY, ED25519))
    assert decode(built.raw) == built
    assert [signer.scheme for signer in built.signers] == [1, 2, 3]
    assert built.id == sha256(built.header)
    assert built.digest == sha256(built.raw)
    assert built.expires_at_ms == EXPIRES
    assert [operation.body for operation in built.operations] == [b"body 0", b"body 1", b"body 2"]
    assert Header.decode(built.header).operations_root == root_of([operation.raw for operation in built.operations])
    verify_signatures(built, NETWORK)


def test_signature_covers_the_network():
    with pytest.raises(InvalidSignature, match="signature 0"):
        verify_signatures(make(), Network(b"m" * 32))


@pytest.mark.parametrize("signers", [(ED25519,), (P256,), (PASSKEY,), (ED25519, P256, PASSKEY)])
def test_each_signature_must_be_its_signers_own(signers):
    _, message = parts(1, signers)
    other, _ = parts(2, signers)
    for i in range(len(signers)):
        stolen = pb.Transaction.FromString(make(2, signers).raw).signatures[i]
        changed = pb.Transaction()
        changed.CopyFrom(message)
        changed.signatures[i] = stolen
        decoded = decode(encode(changed))
        with pytest.raises(InvalidSignature, match=f"signature {i}"):
            verify_signatures(decoded, NETWORK)
    assert other.operation_count == 2


def test_signature_made_for_another_purpose_is_refused():
    header, message = parts()
    message.signatures[0] = ED25519.sign(signed_bytes("peer", NETWORK, encode(header)))
    with pytest.raises(InvalidSignature):
        verify_signatures(decode(encode(message)), NETWORK)


def test_flipped_p256_signature_is_another_envelope_of_the_same_transaction():
    built = make(1, (P256,))
    message = pb.Transaction.FromString(built.raw)
    s = int.from_bytes(message.signatures[0][32:], "big")
    message.signatures[0] = message.signatures[0][:32] + (ORDER - s).to_bytes(32, "big")
    flipped = decode(encode(message))
    verify_signatures(flipped, NETWORK)
    assert flipped.id == built.id
    assert flipped.digest != built.digest


def test_batch_says_for_each_transaction_what_is_wrong():
    header, message = parts()
    message.signatures[0] = bytes(64)
    outcomes = verify_batch([make(), decode(assembled(header, message)), make(2)], NETWORK)
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], InvalidSignature)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_each_operation_can_be_shown_without_its_neighbours(count):
    built = make(count)
    root = Header.decode(built.header).operations_root
    for i, operation in enumerate(built.operations):
        verify_inclusion(leaf_hash(operation.raw), i, count, operation_path(built.operations, i), root)


@pytest.mark.parametrize("count", [*range(1, 34), 100])
def test_paths_made_at_once_are_those_made_one_by_one(count):
    operations = operations_of(count)
    assert operation_paths(operations) == [operation_path(operations, i) for i in range(count)]


def test_co_signature_cannot_be_stripped():
    header, message = parts(1, (ED25519, P256))
    del message.signatures[1]
    with pytest.raises(InvalidMessage, match="1 signatures of 2 signers"):
        decode(encode(message))
    del header.signers[1]
    with pytest.raises(InvalidSignature):
        verify_signatures(decode(assembled(header, message)), NETWORK)


def test_signers_out_of_order_or_repeated_are_refused():
    header, message = parts(1, (ED25519, P256))
    header.signers.reverse()
    message.signatures.reverse()
    with pytest.raises(InvalidMessage, match="sorted"):
        decode(assembled(header, message))
    with pytest.raises(InvalidMessage, match="stands twice"):
        make(1, (ED25519, ED25519))


@pytest.mark.parametrize(
    ("scheme", "length"), [(0, 32), (4, 32), (1, 31), (1, 33), (1, 0), (2, 32), (2, 65), (3, 32), (3, 34)]
)
def test_signer_of_an_unknown_scheme_or_with_a_key_of_a_wrong_length_is_refused(scheme, length):
    header, message = parts()
    header.signers[0].scheme = scheme
    header.signers[0].public_key = bytes(length)
    with pytest.raises(InvalidMessage, match="scheme"):
        decode(assembled(header, message))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signature_of_a_wrong_length_is_refused(length):
    _, message = parts()
    message.signatures[0] = bytes(length)
    with pytest.raises((InvalidMessage, InvalidSignature)):
        verify_signatures(decode(encode(message)), NETWORK)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_salt_of_a_wrong_length_is_refused(length):
    header, message = parts()
    header.salt = bytes(length)
    with pytest.raises(InvalidMessage, match="salt"):
        decode(assembled(header, message))


def test_transaction_without_expiry_is_refused():
    with pytest.raises(InvalidMessage, match="expiry"):
        build(operations_of(1), [ED25519], Millis(0), SALT, NETWORK)


def test_operations_other_than_the_committed_ones_are_refused():
    header, message = parts(3)
    for change in (
        lambda m: m.operations.reverse(),
        lambda m: m.operations.pop(),
        lambda m: m.operations.append(m.operations[0]),
        lambda m: m.operations.__setitem__(1, Operation.make("test.Act", b"another").raw),
    ):
        changed = pb.Transaction()
        changed.CopyFrom(message)
        change(changed)
        with pytest.raises(InvalidMessage, match="operations"):
            decode(assembled(header, changed))


def test_operation_count_and_root_must_be_those_of_the_header():
    header, message = parts(2)
    for count in (0, 1, 3, OPERATIONS_MAX + 1):
        header.operation_count = count
        with pytest.raises(InvalidMessage, match="operations"):
            decode(assembled(header, message))
    header.operation_count = 2
    for root in (b"", bytes(31), bytes(32)):
        header.operations_root = root
        with pytest.raises(InvalidMessage, match="operations"):
            decode(assembled(header, message))


def test_limits_hold_at_their_edges():
    assert len(make(OPERATIONS_MAX).operations) == OPERATIONS_MAX
    with pytest.raises(InvalidMessage):
        make(OPERATIONS_MAX + 1)
    with pytest.raises(InvalidMessage):
        make(0)
    many = [Ed25519Signer(i.to_bytes(32, "big")) for i in range(SIGNERS_MAX + 1)]
    verify_signatures(make(1, many[:SIGNERS_MAX]), NETWORK)
    with pytest.raises(InvalidMessage):
        make(1, many)
    with pytest.raises(InvalidMessage):
        make(1, [])


def test_transaction_of_the_largest_size_decodes_and_a_larger_one_does_not():
    overhead = len(build([Operation.make("test.Act", bytes(250_000))], [ED25519], EXPIRES, SALT, NETWORK).raw) - 250_000
    body = TRANSACTION_BYTES_MAX - overhead
    largest = build([Operation.make("test.Act", bytes(body))], [ED25519], EXPIRES, SALT, NETWORK)
    assert len(largest.raw) == TRANSACTION_BYTES_MAX
    with pytest.raises(InvalidMessage, match="at most"):
        build([Operation.make("test.Act", bytes(body + 1))], [ED25519], EXPIRES, SALT, NETWORK)


@pytest.mark.parametrize("name", ["", "x" * 129, "测试.Act"])
def test_operation_type_that_is_empty_long_or_not_ascii_is_refused(name):
    with pytest.raises(InvalidMessage, match="type"):
        build([Operation.make(name, b"")], [ED25519], EXPIRES, SALT, NETWORK)


def test_bytes_that_are_not_canonical_at_any_depth_are_refused():
    header, message = parts(1, (PASSKEY,))
    unknown = b"\xf8\x01\x01"
    signer = pb.Header.FromString(encode(header))
    signer.signers[0].MergeFromString(unknown)
    assert encode(message)[:2] == bytes([0x0A, len(message.header)])
    overlong = bytes([0x0A, len(message.header) | 0x80, 0x00]) + encode(message)[2:]
    assert pb.Transaction.FromString(overlong) == message
    for raw in (
        encode(message) + unknown,
        assembled(signer, message),
        encode(
            pb.Transaction(
                header=encode(header) + unknown, operations=message.operations, signatures=message.signatures
            )
        ),
        encode(
            pb.Transaction(
                header=message.header, operations=[message.operations[0] + unknown], signatures=message.signatures
            )
        ),
        overlong,
        encode(message)[:-1],
        b"",
    ):
        with pytest.raises(InvalidMessage):
            decode(raw)
    message.signatures[0] += unknown
    with pytest.raises(InvalidSignature, match="canonical"):
        verify_signatures(decode(assembled(header, message)), NETWORK)


def test_single_bit_changes_are_refused_or_break_a_signature():
    raw = make(2, (ED25519, P256)).raw
    for i in range(len(raw)):
        changed = raw[:i] + bytes([raw[i] ^ 1 << i % 8]) + raw[i + 1 :]
        with pytest.raises((InvalidMessage, InvalidSignature)):
            verify_signatures(decode(changed), NETWORK)
