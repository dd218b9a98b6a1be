# SPDX-License-Identifier: Apache-2.0
"""Receipts as text: what goes in comes out, bombs do not inflate, and one receipt fits a QR code."""

import contextlib
import json
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import base45, receipt, receipt_text
from chain.certificate import BlsScheme, checkpoint_message, combine
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidMessage
from chain.log import leaf_hash, root_from_inclusion
from chain.p256 import P256Signer
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, build
from chain.types import BlockId, Epoch, Height, Millis, sha256
from sim.instant_ledger import InstantLedger, secret_of

OPERATION_BYTES = 300


def noise(number: int, size: int) -> bytes:
    """Bytes that do not compress."""
    return b"".join(sha256(b"%d %d" % (number, i)) for i in range(-(-size // 32)))[:size]


def receipt_of_a_large_log(signers) -> tuple[InstantLedger, bytes]:
    """One operation of 300 bytes in a log of 2^20 entries, certified by 31 validators."""
    ledger = InstantLedger([f"organisation-{i:02}" for i in range(31)])
    time_ms = Millis(ledger.genesis.time_ms + 1_000)
    overhead = len(Operation.make("identity.Attest", bytes(200)).raw) - 200
    act = Operation.make("identity.Attest", noise(1, OPERATION_BYTES - overhead))
    assert len(act.raw) == OPERATION_BYTES
    transaction = build([act], signers, Millis(time_ms + 60_000), noise(2, 16), ledger.genesis.network)
    message = pb.Entry(height=900_000, position=12_345, time_ms=time_ms, header=transaction.header)
    message.success.SetInParent()
    entry = encode(message)
    path = [noise(100 + i, 32) for i in range(20)]
    size, index = 1 << 20, (1 << 20) - 12_345
    checkpoint = Checkpoint(
        ledger.genesis.network,
        Epoch(1),
        Height(900_001),
        Millis(time_ms + 500),
        BlockId(noise(3, 32)),
        size,
        root_from_inclusion(leaf_hash(entry), index, size, path),
        noise(4, 32),
        b"",
    )
    signed = checkpoint_message(checkpoint.network, checkpoint.encode())
    signatures = {i: secret_of(f"organisation-{i:02}").sign(signed) for i in range(21)}
    certified = CertifiedCheckpoint(checkpoint.encode(), *combine(signatures, 31, BlsScheme()))
    return ledger, receipt.make([receipt.make_inclusion(transaction, 0, entry, index, path)], [], certified, [])


@pytest.mark.parametrize("count", [1, 2])
def test_one_operation_in_a_large_log_with_31_validators_fits_a_version_30_qr_code(count):
    signers = [P256Signer(ec.derive_private_key(99, ec.SECP256R1())), Ed25519Signer(b"\x05" * 32)][:count]
    ledger, raw = receipt_of_a_large_log(signers)
    assert receipt.verify(raw, ledger.genesis).inclusions[0].leaf_index == (1 << 20) - 12_345
    text = receipt_text.to_compact(raw)
    assert len(text) <= receipt_text.QR_VERSION_30_CHARACTERS
    assert set(text) <= set(base45.ALPHABET)
    assert receipt_text.from_compact(text) == raw


hashes = st.binary(min_size=32, max_size=32)
certificates = st.builds(pb.CertifiedCheckpoint, checkpoint=st.binary(max_size=200), bitmap=st.binary(max_size=4))
receipts = st.builds(
    pb.Receipt,
    inclusions=st.lists(
        st.builds(
            pb.Inclusion,
            operation=st.binary(max_size=100),
            operation_index=st.integers(0, (1 << 32) - 1),
            operation_path=st.lists(hashes, max_size=3),
            entry=st.binary(max_size=100),
            leaf_index=st.integers(0, (1 << 53) - 1),
            path=st.lists(hashes, max_size=3),
        ),
        max_size=3,
    ),
    states=st.lists(
        st.builds(pb.StateProof, key=st.binary(max_size=9), value=st.binary(max_size=9), proof=st.binary(max_size=99)),
        max_size=3,
    ),
    checkpoint=certificates,
    epochs=st.lists(st.builds(pb.ClosingCheckpoint, certified=certificates, next=st.binary(max_size=99)), max_size=2),
)


@settings(deadline=None, max_examples=100)
@given(receipts)
def test_each_receipt_comes_back_from_each_encoding(message):
    raw = encode(message)
    document, compact = receipt_text.to_json(raw), receipt_text.to_compact(raw)
    assert receipt_text.from_json(document.encode()) == raw
    assert receipt_text.from_compact(compact) == raw
    for data in (raw, document.encode(), compact.encode(), compact.encode() + b"\n"):
        assert receipt_text.decode_any(data) == raw


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b"ZX1:", b"ZX1", b"\xef\xbb\xbf{"]))
def test_any_bytes_are_decoded_or_refused(data, prefix):
    with contextlib.suppress(InvalidMessage):  # any other error fails the test
        receipt_text.decode_any(prefix + data)


def test_receipt_without_a_checkpoint_has_no_text():
    for message in (pb.Receipt(), pb.Receipt(checkpoint=pb.CertifiedCheckpoint(), epochs=[pb.ClosingCheckpoint()])):
        with pytest.raises(InvalidMessage):
            receipt_text.to_json(encode(message))
    beyond = pb.Receipt(checkpoint=pb.CertifiedCheckpoint(), inclusions=[pb.Inclusion(leaf_index=1 << 53)])
    with pytest.raises(InvalidMessage, match="beyond"):
        receipt_text.to_json(encode(beyond))
    for write in (receipt_text.to_json, receipt_text.to_compact):
        with pytest.raises(InvalidMessage):
            write(b"\xff")


def deflated(data: bytes) -> str:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return receipt_text.COMPACT_PREFIX + base45.encode(deflate.compress(data) + deflate.flush())


def test_compact_text_inflates_to_the_limit_and_not_beyond():
    limit = receipt_text.COMPACT_BYTES_MAX
    assert receipt_text.from_compact(deflated(bytes(limit))) == bytes(limit)
    for size in (limit + 1, 50_000_000):
        with pytest.raises(InvalidMessage, match="inflates to more"):
            receipt_text.from_compact(deflated(bytes(size)))
    with pytest.raises(InvalidMessage, match="at most"):
        receipt_text.from_compact(receipt_text.COMPACT_PREFIX + "0" * receipt_text.COMPACT_CHARACTERS_MAX)
    with pytest.raises(InvalidMessage):
        receipt_text.to_compact(encode(pb.Receipt(states=[pb.StateProof(key=bytes(limit))])))


def test_largest_incompressible_receipt_still_fits_the_text_limit():
    raw = noise(7, receipt_text.COMPACT_BYTES_MAX)
    assert receipt_text.from_compact(deflated(raw)) == raw


def test_other_prefix_is_no_compact_receipt():
    good = deflated(b"x")
    for text in ("", "ZX1", "zx1:" + good[4:], "ZX2:" + good[4:], " " + good):
        with pytest.raises(InvalidMessage):
            receipt_text.from_compact(text)


def test_json_names_each_field_of_the_messages():
    message = pb.Receipt(
        inclusions=[pb.Inclusion()],
        states=[pb.StateProof()],
        checkpoint=pb.CertifiedCheckpoint(),
        epochs=[pb.ClosingCheckpoint(certified=pb.CertifiedCheckpoint())],
    )
    document = json.loads(receipt_text.to_json(encode(message)))
    for value, kind in (
        ({name: value for name, value in document.items() if name != "format"}, pb.Receipt),
        (document["inclusions"][0], pb.Inclusion),
        (document["states"][0], pb.StateProof),
        (document["checkpoint"], pb.CertifiedCheckpoint),
        (document["epochs"][0], pb.ClosingCheckpoint),
    ):
        assert sorted(value) == sorted(field.name for field in kind.DESCRIPTOR.fields)
