# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets by name. A decoder that reads foreign bytes has its place here."""

from google.protobuf.message import DecodeError

from chain import bls, certificate, ics23, log, transaction, webauthn
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, Validator, ValidatorSet
from chain.codec import encode, signed_bytes
from chain.consensus import messages
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidProof
from chain.pb import ics23_pb2
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, BlsKey, Digest, Epoch, Height, Millis, Network, View, sha256
from tests.fuzz import core, execution, receipts
from tests.fuzz.target import Target, canonical, unchanged

NETWORK = Network(sha256(b"fuzz"))
SECRETS = [bls.SecretKey.derive(bytes([i]) * 32) for i in range(4)]
NEXT = ValidatorSet(Epoch(2), tuple(Validator(BlsKey(s.public_key()), f"org-{i}") for i, s in enumerate(SECRETS)))


# ---------------------------------------------------------------- transactions


def _transaction() -> transaction.SignedTransaction:
    operations = [transaction.Operation.make("identity.Attest", bytes([i]) * 40) for i in range(3)]
    signers = [Ed25519Signer(bytes([i]) * 32) for i in (1, 2)]
    return transaction.build(operations, signers, Millis(300_000), bytes(range(16)), NETWORK)


def _repair_transaction(data: bytes) -> bytes:
    """Canonical at each depth, with the root, count and number of signatures that the rest asks for."""
    message, header = pb.Transaction(), pb.Header()
    try:
        message.ParseFromString(data)
        header.ParseFromString(message.header)
    except DecodeError:
        return data
    message.DiscardUnknownFields()
    header.DiscardUnknownFields()
    repair = canonical(pb.Operation)
    operations = [repair(operation) for operation in message.operations]
    if operations:
        header.operations_root = log.root_of(operations)
    header.operation_count = len(operations)
    signers = {(s.scheme, s.public_key): s for s in header.signers}
    del header.signers[:]
    header.signers.extend([signers[key] for key in sorted(signers)])
    signatures = [*message.signatures, *[bytes(64)] * len(signers)][: len(signers)]
    return encode(pb.Transaction(header=encode(header), operations=operations, signatures=signatures))


def _assertion() -> bytes:
    client_data = b'{"type":"webauthn.get","challenge":"%s","origin":"https://desk.example"}'
    return encode(
        pb.WebAuthnAssertion(
            authenticator_data=bytes(32) + b"\x05" + bytes(4),
            client_data_json=client_data % b"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
            signature=b"\x01" * 64,
        )
    )


def _read_assertion(data: bytes) -> None:
    webauthn.verify(b"\x02" + bytes(31) + b"\x05", b"", data)


# ---------------------------------------------------------------- blocks, checkpoints, messages


def _block() -> Block:
    digests = tuple(Digest(sha256(bytes([i]))) for i in range(3))
    return Block.make(Epoch(1), View(7), Height(3), BlockId(sha256(b"parent")), Millis(1_000), digests)


def _checkpoint(*, closing: bool) -> Checkpoint:
    roots = (sha256(b"log"), sha256(b"state"), NEXT.digest() if closing else b"")
    return Checkpoint(NETWORK, Epoch(1), Height(3), Millis(1_000), _block().id, 17, *roots)


def _certified(*, closing: bool = False) -> CertifiedCheckpoint:
    raw = _checkpoint(closing=closing).encode()
    signatures = [secret.sign(certificate.checkpoint_message(NETWORK, raw)) for secret in SECRETS[:3]]
    return CertifiedCheckpoint(raw, b"\x07", bls.aggregate(signatures))


def _vote(kind: pb.Kind.ValueType, block_id: bytes) -> pb.Vote:
    ballot = encode(pb.Ballot(epoch=1, view=7, block_id=block_id))
    name = {pb.KIND_NOTARIZE: "notarize", pb.KIND_NULLIFY: "nullify", pb.KIND_FINALIZE: "finalize"}[kind]
    return pb.Vote(kind=kind, ballot=ballot, signature=SECRETS[0].sign(signed_bytes(name, NETWORK, ballot)))


def _peer_messages() -> list[bytes]:
    cert = pb.Certificate(
        kind=pb.KIND_NOTARIZE, epoch=1, view=6, block_id=_block().id, bitmap=b"\x07", aggregate=bytes(96)
    )
    certified = _certified().to_pb()
    closing = ClosingCheckpoint(_certified(closing=True), NEXT.encode()).to_pb()
    raw = _transaction().raw
    with_bodies = pb.BlockWithBodies(
        block=Block.make(Epoch(1), View(1), Height(1), BlockId(bytes(32)), Millis(1), (Digest(sha256(raw)),)).raw,
        transactions=[raw],
    )
    return [
        encode(message)
        for message in (
            pb.PeerMessage(proposal=pb.Proposal(block=_block().raw, parent=cert)),
            pb.PeerMessage(vote=_vote(pb.KIND_NOTARIZE, _block().id)),
            pb.PeerMessage(vote=_vote(pb.KIND_NULLIFY, b"")),
            pb.PeerMessage(certificate=cert),
            pb.PeerMessage(
                checkpoint_vote=pb.CheckpointVote(checkpoint=_checkpoint(closing=False).encode(), signature=bytes(96))
            ),
            pb.PeerMessage(checkpoint=certified),
            pb.PeerMessage(closing_request=pb.ClosingRequest(from_epoch=1)),
            pb.PeerMessage(closings=pb.Closings(closings=[closing])),
            pb.PeerMessage(certificates_request=pb.CertificatesRequest(epoch=1, from_view=4)),
            pb.PeerMessage(certificates=pb.Certificates(certificates=[cert])),
            pb.PeerMessage(block_request=pb.BlockRequest(block_id=_block().id)),
            pb.PeerMessage(block_response=pb.BlockResponse(block=_block().raw)),
            pb.PeerMessage(range_request=pb.RangeRequest(from_height=1, count_max=9)),
            pb.PeerMessage(range=pb.Range(blocks=[with_bodies], checkpoint=certified)),
            pb.PeerMessage(bodies_request=pb.BodiesRequest(digests=[sha256(raw)])),
            pb.PeerMessage(bodies=pb.Bodies(transactions=[raw])),
            pb.PeerMessage(moved=pb.Moved(epoch=2)),
        )
    ]


def _evidence() -> list[bytes]:
    key = SECRETS[0].public_key()
    votes = [_vote(pb.KIND_NOTARIZE, sha256(name)) for name in (b"one", b"other")]
    both = [_vote(pb.KIND_FINALIZE, sha256(b"one")), _vote(pb.KIND_NULLIFY, b"")]
    return [encode(pb.Evidence(bls_key=key, votes=pair)) for pair in (votes, both)]


def _read_evidence(data: bytes) -> None:
    certificate.verify_evidence(data, NETWORK, certificate.BlsScheme())


# ---------------------------------------------------------------- proofs

_PRESENT, _VALUE = b"status/a/1", b"its value"
_ABSENT = b"status/a/2"
_STATE_ROOT = sha256(b"\x00" + sha256(_PRESENT) + sha256(_VALUE))


def _ics23() -> list[bytes]:
    """Presence and absence in a tree of one leaf; mutation grows the paths."""
    leaf = ics23.Presence(_PRESENT, _VALUE, [])
    is_left = sha256(_PRESENT) < sha256(_ABSENT)
    absence = ics23.encode_absence(_ABSENT, leaf if is_left else None, None if is_left else leaf)
    return [ics23.encode_presence(leaf), absence]


def _read_ics23(data: bytes) -> None:
    """As a proof of what is so, which it may be; and of what is not so, which it must not be."""
    for key, lie in ((_PRESENT, None), (_PRESENT, b"another"), (_ABSENT, b"anything")):
        try:
            ics23.verify_ics23(data, _STATE_ROOT, key, lie)
        except InvalidProof:
            continue
        raise AssertionError("a proof of what is not so")
    try:
        ics23.verify_ics23(data, _STATE_ROOT, _PRESENT, _VALUE)
    except InvalidProof:
        ics23.verify_ics23(data, _STATE_ROOT, _ABSENT, None)


def _read_inclusion(data: bytes) -> None:
    """Bytes as leaf hash, index, size and path."""
    index, size = int.from_bytes(data[32:41], "big"), int.from_bytes(data[41:50], "big")
    path = [data[i : i + 32] for i in range(50, len(data), 32)]
    log.verify_inclusion(data[:32], index, size, path, sha256(b"root"))


def _read_consistency(data: bytes) -> None:
    size1, size2 = int.from_bytes(data[:9], "big"), int.from_bytes(data[9:18], "big")
    path = [data[i : i + 32] for i in range(18, len(data), 32)]
    log.verify_consistency(size1, size2, path, sha256(b"one"), sha256(b"other"))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("transaction", lambda d: transaction.decode(d).raw, lambda: [_transaction().raw], _repair_transaction),
        Target(
            "operation",
            lambda d: transaction.Operation.decode(d).raw,
            lambda: [o.raw for o in _transaction().operations],
            canonical(pb.Operation),
        ),
        Target(
            "header", lambda d: transaction.Header.decode(d).raw, lambda: [_transaction().header], canonical(pb.Header)
        ),
        Target("webauthn-assertion", _read_assertion, lambda: [_assertion()], canonical(pb.WebAuthnAssertion)),
        Target("block", lambda d: Block.decode(d).raw, lambda: [_block().raw], canonical(pb.Block)),
        Target(
            "checkpoint",
            lambda d: Checkpoint.decode(d).encode(),
            lambda: [_checkpoint(closing=closing).encode() for closing in (False, True)],
            canonical(pb.Checkpoint),
        ),
        Target(
            "validator-set",
            lambda d: ValidatorSet.decode(d).encode(),
            lambda: [NEXT.encode()],
            canonical(pb.ValidatorSet),
        ),
        Target(
            "peer-message",
            lambda d: messages.encode_message(messages.decode_message(d)),
            _peer_messages,
            canonical(pb.PeerMessage),
        ),
        Target("evidence", _read_evidence, _evidence, canonical(pb.Evidence)),
        Target("ics23", _read_ics23, _ics23, canonical(ics23_pb2.CommitmentProof)),
        Target(
            "genesis",
            execution.read_genesis,
            lambda: [execution.genesis_file()],
            execution.repair_genesis,
        ),
        Target(
            "execution", execution.execute_operations, execution.operation_samples, execution.repair_operations, 16_384
        ),
        Target("core", core.step_core, core.step_samples, core.repair_steps, 16_384),
        Target("receipt", receipts.read_receipt, receipts.receipt_samples, canonical(pb.Receipt)),
        Target("receipt-json", receipts.read_receipt_json, receipts.json_samples, unchanged, 16_384),
        Target("receipt-compact", receipts.read_receipt_compact, receipts.compact_samples, receipts.repair_compact),
        Target("receipt-any", receipts.read_receipt_any, receipts.any_samples, unchanged, 16_384),
        Target("log-inclusion", _read_inclusion, lambda: [bytes(50 + 64)], unchanged),
        Target("log-consistency", _read_consistency, lambda: [bytes(18 + 64)], unchanged),
    )
}
