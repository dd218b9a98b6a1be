# SPDX-License-Identifier: Apache-2.0
"""What quorums signed of a stored ledger: the way from genesis through the epochs, and certificates of single blocks.

Signatures of single blocks are `node.audit_work`'s affair; here is what they must be about.
"""

from dataclasses import replace

from chain import light_client
from chain.certificate import BlsScheme, Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.codec import decode, encode
from chain.consensus.block import Block
from chain.errors import InvalidMessage, LedgerError
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.types import FIRST_EPOCH, Epoch
from node.audit_faults import compare, fail, fail_missing
from node.audit_work import CERTIFICATE_RECORD_BYTES_MAX
from node.store_keys import numbered

_END = (1 << 64) - 1


class Epochs:
    """Each epoch's validators, as the closing checkpoints from genesis name them.

    Attributes:
        sets: By epoch; the first epoch's stands in genesis.
        closed: The closing checkpoint of each closed epoch.
    """

    def __init__(self, reader: Reader, genesis: Genesis) -> None:
        """Verify the way from genesis.

        Raises:
            Damaged: At the first closing checkpoint that is missing, malformed or not signed by a quorum of its set.
        """
        self.sets: dict[Epoch, ValidatorSet] = {FIRST_EPOCH: genesis.validators}
        self.closed: dict[Epoch, Checkpoint] = {}
        anchor = TrustAnchor.from_genesis(genesis)
        for key, raw in reader.range(numbered(b"K", 0), numbered(b"K", _END)):
            wanted = numbered(b"K", anchor.epoch)
            if key != wanted:
                fail_missing(wanted)
            closing = decode_closing(key, raw)
            try:
                anchor = light_client.advance(anchor, [closing], BlsScheme())
            except LedgerError as error:
                _explain(reader, key, raw, closing)
                fail(key, error.reason)
            checkpoint = anchor.epochs[-1].closing
            assert checkpoint is not None
            self.closed[checkpoint.epoch] = checkpoint
            self.sets[anchor.epoch] = anchor.validators

    def validators(self, key: bytes, epoch: int) -> ValidatorSet:
        """The set of an epoch that the record under a key belongs to.

        Raises:
            Damaged: The closing checkpoint that leads there is missing.
        """
        found = self.sets.get(Epoch(epoch))
        if found is None:
            if epoch - 1 == max(self.sets):
                fail_missing(numbered(b"K", epoch - 1))
            fail(key, f"the record names the epoch {epoch}, to which no closing checkpoint leads")
        return found


def decode_closing(key: bytes, raw: bytes) -> ClosingCheckpoint:
    """A closing checkpoint from its record; no signature is verified.

    Raises:
        Damaged: It is none.
    """
    try:
        return ClosingCheckpoint.from_pb(decode(pb.ClosingCheckpoint, raw, CERTIFICATE_RECORD_BYTES_MAX))
    except InvalidMessage as error:
        fail(key, error.reason)


def _explain(reader: Reader, key: bytes, raw: bytes, closing: ClosingCheckpoint) -> None:
    """Name the byte if the records of the block that closed the epoch tell what must stand here."""
    try:
        claimed = Checkpoint.decode(closing.certified.checkpoint)
    except InvalidMessage:
        return
    stored, following = (reader.get(numbered(kind, claimed.height)) for kind in (b"C", b"V"))
    if stored is not None and following is not None:
        expected = ClosingCheckpoint(replace(closing.certified, checkpoint=stored), following)
        compare(key, encode(expected.to_pb()), raw)


def check_certified(height: int, raw: bytes, checkpoint: bytes) -> None:
    """Check that a certified checkpoint is this one; its signature is checked elsewhere.

    Args:
        height: Under which it is stored.
        raw: The record.
        checkpoint: As computed.

    Raises:
        Damaged: It is another one.
    """
    certified = _decode_certified(height, raw)
    compare(numbered(b"Q", height), encode(replace(certified, checkpoint=checkpoint).to_pb()), raw)


def certified_bytes(height: int, raw: bytes) -> bytes:
    """The checkpoint's bytes within a certified checkpoint's record.

    Raises:
        Damaged: The record is none.
    """
    return _decode_certified(height, raw).checkpoint


def _decode_certified(height: int, raw: bytes) -> CertifiedCheckpoint:
    try:
        return CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, raw, CERTIFICATE_RECORD_BYTES_MAX))
    except InvalidMessage as error:
        fail(numbered(b"Q", height), error.reason)


def check_finalization(height: int, raw: bytes, block: Block) -> None:
    """Check that a finalization is of this block; its signature is checked elsewhere.

    Raises:
        Damaged: It is another block's.
    """
    key = numbered(b"F", height)
    try:
        found = Certificate.from_pb(decode(pb.Certificate, raw, CERTIFICATE_RECORD_BYTES_MAX))
    except InvalidMessage as error:
        fail(key, error.reason)
    expected = replace(found, kind=pb.KIND_FINALIZE, epoch=block.epoch, view=block.view, block_id=block.id)
    compare(key, encode(expected.to_pb()), raw)
