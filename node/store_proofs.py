# SPDX-License-Identifier: Apache-2.0
"""What quorums signed, kept to be shown to others: certified and closing checkpoints, finalizations.

What a validator itself needs again after a crash stands in its journal. So these are written without a sync, but for
the closing checkpoints, which lead every newcomer from genesis to now.
"""

from collections.abc import Sequence

from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import decode, encode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.storage import Database, Reader
from chain.types import Epoch, Height
from node.errors import StorageError
from node.store_keys import numbered

_RECORD_BYTES_MAX = 64 * 1024
_END = (1 << 64) - 1


class ProofReader:
    """Quorums' signatures by height and epoch, read from any consistent view."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def newest_certified(self) -> tuple[Height, CertifiedCheckpoint] | None:
        """The certified checkpoint of the greatest height."""
        for key, raw in self._reader.range(numbered(b"Q", 0), numbered(b"Q", _END), reverse=True):
            return _height(key), _certified(raw)
        return None

    def certified_from(self, height: Height) -> tuple[Height, CertifiedCheckpoint] | None:
        """The first certified checkpoint at this height or above."""
        for key, raw in self._reader.range(numbered(b"Q", height), numbered(b"Q", _END)):
            return _height(key), _certified(raw)
        return None

    def certified_up_to(self, height: Height) -> tuple[Height, CertifiedCheckpoint] | None:
        """The last certified checkpoint at this height or below."""
        for key, raw in self._reader.range(numbered(b"Q", 0), numbered(b"Q", height + 1), reverse=True):
            return _height(key), _certified(raw)
        return None

    def closings(self, from_epoch: Epoch, count_max: int) -> Sequence[ClosingCheckpoint]:
        """The checkpoints that closed this epoch and later ones, ascending, so many at most."""
        found: list[ClosingCheckpoint] = []
        for _, raw in self._reader.range(numbered(b"K", from_epoch), numbered(b"K", _END)):
            if len(found) == count_max:
                break
            found.append(_closing(raw))
        return found

    def finality_within(self, first: Height, last: Height) -> tuple[Height, Certificate | CertifiedCheckpoint] | None:
        """The greatest height of a range that has a proof that its block is final, with that proof.

        Args:
            first: Lowest height that may be returned.
            last: Greatest height that may be returned.
        """
        found: list[tuple[Height, Certificate | CertifiedCheckpoint]] = []
        for key, raw in self._reader.range(numbered(b"F", first), numbered(b"F", last + 1), reverse=True):
            found.append((_height(key), _finalization(raw)))
            break
        for key, raw in self._reader.range(numbered(b"Q", first), numbered(b"Q", last + 1), reverse=True):
            found.append((_height(key), _certified(raw)))
            break
        return max(found, key=_height_of, default=None)


class ProofStore(ProofReader):
    """Keeps them, too."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    def save_certified(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Keep a verified certificate of this checkpoint."""
        self._database.write({numbered(b"Q", checkpoint.height): encode(certified.to_pb())}, sync=False)

    def save_closing(self, closing: ClosingCheckpoint, checkpoint: Checkpoint) -> None:
        """Keep a verified closing checkpoint, for ever."""
        assert checkpoint.closes_epoch
        self._database.write(
            {
                numbered(b"K", checkpoint.epoch): encode(closing.to_pb()),
                numbered(b"Q", checkpoint.height): encode(closing.certified.to_pb()),
            }
        )

    def save_finalization(self, height: Height, finalization: Certificate) -> None:
        """Keep a verified finalization of the block at this height."""
        self._database.write({numbered(b"F", height): encode(finalization.to_pb())}, sync=False)


def _height(key: bytes) -> Height:
    return Height(int.from_bytes(key[1:]))


def _height_of(proof: tuple[Height, Certificate | CertifiedCheckpoint]) -> Height:
    return proof[0]


def _certified(raw: bytes) -> CertifiedCheckpoint:
    try:
        return CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, raw, _RECORD_BYTES_MAX))
    except InvalidMessage as error:
        raise _damaged(error) from error


def _closing(raw: bytes) -> ClosingCheckpoint:
    try:
        return ClosingCheckpoint.from_pb(decode(pb.ClosingCheckpoint, raw, _RECORD_BYTES_MAX))
    except InvalidMessage as error:
        raise _damaged(error) from error


def _finalization(raw: bytes) -> Certificate:
    try:
        return Certificate.from_pb(decode(pb.Certificate, raw, _RECORD_BYTES_MAX))
    except InvalidMessage as error:
        raise _damaged(error) from error


def _damaged(error: InvalidMessage) -> StorageError:
    return StorageError(f"the database is damaged; restore it from a backup or fetch the ledger anew ({error.reason})")
