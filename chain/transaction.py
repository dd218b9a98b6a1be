# SPDX-License-Identifier: Apache-2.0
"""A transaction as its author encoded it: what it must look like, who signed it, how one is built.

Everything here follows from the bytes alone; whether the signers are known and the time is right is decided at
admission and execution.

Invariant: `decode(raw)` returns a value whose `raw` is those bytes, canonical at every depth, or raises
`InvalidMessage`, for any bytes whatever.  Source: docs/protocol.md, sections 1 and 2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain import ed25519, p256, webauthn
from chain.codec import decode as decode_message
from chain.codec import encode, signed_bytes
from chain.errors import InvalidMessage, InvalidSignature
from chain.log import leaf_hash, node_hash, path_of, root_of
from chain.pb import ledger_pb2 as pb
from chain.signing import PUBLIC_KEY_BYTES, Scheme, Signer, TransactionSigner
from chain.types import (
    HASH_BYTES,
    OPERATIONS_MAX,
    SALT_BYTES,
    SIGNERS_MAX,
    TRANSACTION_BYTES_MAX,
    Digest,
    Millis,
    Network,
    TransactionId,
    sha256,
)

__all__ = [
    "Header",
    "Operation",
    "Scheme",
    "SignedTransaction",
    "Signer",
    "TransactionSigner",
    "build",
    "decode",
    "operation_path",
    "operation_paths",
    "verify_batch",
    "verify_signatures",
]

HEADER_BYTES_MAX = 4096
"""64 signers take 2,500."""
OPERATION_TYPE_BYTES_MAX = 128
"""A module's name and a message's; state and receipts carry it."""

SIGNATURE_BYTES_MAX = {
    Scheme.ED25519: ed25519.SIGNATURE_BYTES,
    Scheme.P256: p256.SIGNATURE_BYTES,
    Scheme.WEBAUTHN_ES256: webauthn.ASSERTION_BYTES_MAX,
}

_VERIFY: dict[Scheme, Callable[[bytes, bytes, bytes], None]] = {
    Scheme.ED25519: ed25519.verify,
    Scheme.P256: p256.verify,
    Scheme.WEBAUTHN_ES256: webauthn.verify,
}
_SCHEMES = {int(scheme): scheme for scheme in Scheme}


@dataclass(frozen=True, slots=True)
class Operation:
    """One act: a registered message type and that message's bytes.

    Attributes:
        raw: The operation's own bytes, a leaf of its transaction's tree.
    """

    type: str
    body: bytes
    raw: bytes

    @classmethod
    def make(cls, type_name: str, body: bytes) -> "Operation":
        """Encode a new operation."""
        return cls(type_name, body, encode(pb.Operation(type=type_name, body=body)))

    @classmethod
    def decode(cls, raw: bytes) -> "Operation":
        """Read an operation that somebody sent.

        Raises:
            InvalidMessage: Not canonical, too large, or without a type.
        """
        message = decode_message(pb.Operation, raw, TRANSACTION_BYTES_MAX)
        if not 0 < len(message.type) <= OPERATION_TYPE_BYTES_MAX or not message.type.isascii():
            raise InvalidMessage(f"an operation's type has 1 to {OPERATION_TYPE_BYTES_MAX} ASCII characters")
        return cls(message.type, message.body, raw)


@dataclass(frozen=True, slots=True)
class Header:
    """What the signers of a transaction sign.

    Attributes:
        raw: Its bytes.
        id: SHA-256 of them, the transaction's id.
    """

    raw: bytes
    id: TransactionId
    expires_at_ms: Millis
    salt: bytes
    signers: tuple[Signer, ...]
    operations_root: bytes
    operation_count: int

    @classmethod
    def decode(cls, raw: bytes) -> "Header":
        """Read a header that somebody sent.

        Raises:
            InvalidMessage: Not canonical, or any of its rules is broken.
        """
        message = decode_message(pb.Header, raw, HEADER_BYTES_MAX)
        if message.expires_at_ms == 0:
            raise InvalidMessage("the transaction has no expiry")
        if len(message.salt) != SALT_BYTES:
            raise InvalidMessage(f"the salt has {len(message.salt)} bytes, not {SALT_BYTES}")
        if len(message.operations_root) != HASH_BYTES:
            raise InvalidMessage(f"the operations' root has {len(message.operations_root)} bytes, not {HASH_BYTES}")
        if not 1 <= message.operation_count <= OPERATIONS_MAX:
            raise InvalidMessage(f"a transaction has 1 to {OPERATIONS_MAX} operations, not {message.operation_count}")
        if not 1 <= len(message.signers) <= SIGNERS_MAX:
            raise InvalidMessage(f"a transaction has 1 to {SIGNERS_MAX} signers, not {len(message.signers)}")
        signers = tuple([_read_signer(signer) for signer in message.signers])
        for i in range(1, len(signers)):
            if not signers[i - 1] < signers[i]:
                raise InvalidMessage("signers are not sorted by scheme and key, or one stands twice")
        return cls(
            raw,
            TransactionId(sha256(raw)),
            Millis(message.expires_at_ms),
            message.salt,
            signers,
            message.operations_root,
            message.operation_count,
        )


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A well-formed transaction; `verify_signatures` says whether its signers signed it.

    Attributes:
        raw: Its bytes.
        digest: SHA-256 of them: what blocks and pulls name.
        id: SHA-256 of the header: it executes at most once.
        header: The header's bytes: what the signers sign.
        expires_at_ms: The last block time at which it may execute.
        signers: Sorted by scheme and key, each once.
        signatures: One per signer of the header, in their order.
    """

    raw: bytes
    digest: Digest
    id: TransactionId
    header: bytes
    expires_at_ms: Millis
    signers: tuple[Signer, ...]
    operations: tuple[Operation, ...]
    signatures: tuple[bytes, ...]


def decode(raw: bytes) -> SignedTransaction:
    """Read a transaction that somebody sent; signatures are not verified.

    Raises:
        InvalidMessage: Not canonical at some depth, or a rule of the protocol's section 2 that needs no state is
            broken.
    """
    message = decode_message(pb.Transaction, raw, TRANSACTION_BYTES_MAX)
    header = Header.decode(message.header)
    if len(message.operations) != header.operation_count:
        raise InvalidMessage(f"{len(message.operations)} operations where the header says {header.operation_count}")
    operations = tuple([Operation.decode(operation) for operation in message.operations])
    if _root(operations) != header.operations_root:
        raise InvalidMessage("the operations are not those that the header commits to")
    signatures = tuple(message.signatures)
    if len(signatures) != len(header.signers):
        raise InvalidMessage(f"{len(signatures)} signatures of {len(header.signers)} signers")
    for signer, signature in zip(header.signers, signatures, strict=True):
        if not 0 < len(signature) <= SIGNATURE_BYTES_MAX[signer.scheme]:
            raise InvalidMessage(f"a signature of scheme {signer.scheme.name} has {len(signature)} bytes")
    return SignedTransaction(
        raw,
        Digest(sha256(raw)),
        header.id,
        message.header,
        header.expires_at_ms,
        header.signers,
        operations,
        signatures,
    )


def verify_signatures(transaction: SignedTransaction, network: Network) -> None:
    """Check that each signer signed this transaction for this network.

    Raises:
        InvalidSignature: One did not; the reason names the first.
    """
    message = signed_bytes("transaction", network, transaction.header)
    for index, (signer, signature) in enumerate(zip(transaction.signers, transaction.signatures, strict=True)):
        try:
            _VERIFY[signer.scheme](signer.public_key, message, signature)
        except InvalidSignature as error:
            raise InvalidSignature(f"signature {index} of the transaction: {error.reason}", error.code) from None


def verify_batch(transactions: Sequence[SignedTransaction], network: Network) -> list[InvalidSignature | None]:
    """Check many transactions' signatures, fit to run in a worker thread: the curve work frees the interpreter.

    Returns:
        For each transaction, in order, what is wrong with its signatures, or None.
    """
    outcomes: list[InvalidSignature | None] = []
    for transaction in transactions:
        try:
            verify_signatures(transaction, network)
        except InvalidSignature as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes


def build(
    operations: Sequence[Operation],
    signers: Sequence[TransactionSigner],
    expires_at_ms: Millis,
    salt: bytes,
    network: Network,
) -> SignedTransaction:
    """Make and sign a transaction.

    Args:
        operations: 1 to 1024, in the order in which they are to execute.
        signers: 1 to 64, in any order, each once.
        expires_at_ms: Last block time at which it may execute; at most 5 minutes ahead.
        salt: 16 fresh random bytes, so that equal acts have distinct ids.
        network: For which it is signed.

    Raises:
        InvalidMessage: A limit is broken, or a signer stands twice.
    """
    ordered = sorted(signers, key=_signer_of)
    if not operations:
        raise InvalidMessage(f"a transaction has 1 to {OPERATIONS_MAX} operations, not 0")
    header = encode(
        pb.Header(
            expires_at_ms=expires_at_ms,
            salt=salt,
            signers=[
                pb.Signer(scheme=pb.Scheme.ValueType(signer.signer.scheme), public_key=signer.signer.public_key)
                for signer in ordered
            ],
            operations_root=_root(operations),
            operation_count=len(operations),
        )
    )
    message = signed_bytes("transaction", network, header)
    raw = encode(
        pb.Transaction(
            header=header,
            operations=[operation.raw for operation in operations],
            signatures=[signer.sign(message) for signer in ordered],
        )
    )
    return decode(raw)


def operation_path(operations: Sequence[Operation], index: int) -> list[bytes]:
    """The path from one operation to the header's `operations_root`, to show it without its neighbours.

    Args:
        operations: All of the transaction's.
        index: 0-based.
    """
    return path_of([operation.raw for operation in operations], index)


def operation_paths(operations: Sequence[Operation]) -> list[list[bytes]]:
    """The paths of all operations at once: what `operation_path` gives for each, without hashing the tree each time.

    Source: RFC 9162, 2.1.3.1; a node that has no sibling at its level stands one level higher as it is.
    """
    rows = [[leaf_hash(operation.raw) for operation in operations]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        rows.append(above + row[2 * len(above) :])
    return [
        [row[(index >> level) ^ 1] for level, row in enumerate(rows) if (index >> level) ^ 1 < len(row)]
        for index in range(len(operations))
    ]


def _root(operations: Sequence[Operation]) -> bytes:
    """The RFC 6962 root over the operations' bytes."""
    return root_of([operation.raw for operation in operations])


def _read_signer(signer: pb.Signer) -> Signer:
    """Read a signer of a header."""
    scheme = _SCHEMES.get(signer.scheme)
    if scheme is None:
        raise InvalidMessage(f"unknown signature scheme {signer.scheme}")
    if len(signer.public_key) != PUBLIC_KEY_BYTES[scheme]:
        raise InvalidMessage(f"a public key of scheme {scheme.name} has {len(signer.public_key)} bytes")
    return Signer(scheme, signer.public_key)


def _signer_of(signer: TransactionSigner) -> Signer:
    """What headers sort by."""
    return signer.signer
