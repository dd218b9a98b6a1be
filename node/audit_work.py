# SPDX-License-Identifier: Apache-2.0
"""The signatures of a stored history, checked in processes of their own, a bounded number of pieces ahead.

A worker gets bytes and gives back what it found wrong first; it reads no database and holds nothing between two pieces.
"""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, Protocol, TypeAlias

from chain.certificate import BlsScheme, Certificate, verify_certificate, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, ValidatorSet
from chain.codec import decode
from chain.errors import LedgerError
from chain.pb import ledger_pb2 as pb
from chain.transaction import decode as decode_transaction
from chain.transaction import verify_signatures
from chain.types import Network
from node.errors import StorageError

CERTIFICATE_RECORD_BYTES_MAX = 64 * 1024
SIGNATURES_MAX = 256
"""Transactions in one piece: some 30 ms of work, against 0.2 ms of handing it over."""
CERTIFICATES_MAX = 16
"""Certificates in one piece, likewise."""


class Wrong(NamedTuple):
    """What is wrong with a piece of work.

    Attributes:
        height: Of the block that it belongs to.
        key: Of the record.
        reason: One sentence.
    """

    height: int
    key: bytes
    reason: str


class SignedRecord(NamedTuple):
    """A record whose signatures are to be checked.

    Attributes:
        height: Of its block.
        key: Of the record; its table says what the value is: `X`, `Q` or `F`.
        value: As stored.
        validators: Encoded set against which a certificate counts; empty for a transaction.
    """

    height: int
    key: bytes
    value: bytes
    validators: bytes


Piece: TypeAlias = Sequence[SignedRecord]
Check: TypeAlias = Callable[[bytes, Piece], Wrong | None]


def check_piece(network: bytes, piece: Piece) -> Wrong | None:
    """Check the signatures of records, in order; what is wrong with the first bad one, or None."""
    for record in piece:
        try:
            _CHECKS[record.key[:1]](Network(network), record)
        except LedgerError as error:
            return Wrong(record.height, record.key, error.reason)
    return None


def _check_transaction(network: Network, record: SignedRecord) -> None:
    verify_signatures(decode_transaction(record.value), network)


def _check_certified(network: Network, record: SignedRecord) -> None:
    message = decode(pb.CertifiedCheckpoint, record.value, CERTIFICATE_RECORD_BYTES_MAX)
    validators = ValidatorSet.decode(record.validators)
    verify_checkpoint(CertifiedCheckpoint.from_pb(message), validators, network, BlsScheme())


def _check_finalization(network: Network, record: SignedRecord) -> None:
    certificate = Certificate.from_pb(decode(pb.Certificate, record.value, CERTIFICATE_RECORD_BYTES_MAX))
    verify_certificate(certificate, ValidatorSet.decode(record.validators), network, BlsScheme())


_CHECKS = {b"X": _check_transaction, b"Q": _check_certified, b"F": _check_finalization}


def pieces_of(records: Sequence[SignedRecord]) -> Iterator[Piece]:
    """Records in pieces that are worth handing over; those of one kind stay together, in order."""
    for kinds, size in ((b"X", SIGNATURES_MAX), (b"QF", CERTIFICATES_MAX)):
        chosen = [record for record in records if record.key[0] in kinds]
        for at in range(0, len(chosen), size):
            yield chosen[at : at + size]


class Workers(Protocol):
    """Who checks pieces."""

    def submit(self, network: bytes, piece: Piece) -> "Future[Wrong | None]":
        """Begin to check a piece."""
        ...


class InlineWorkers:
    """Checks each piece at once, in this very process."""

    def submit(self, network: bytes, piece: Piece) -> "Future[Wrong | None]":
        """Check a piece."""
        future: Future[Wrong | None] = Future()
        future.set_result(check_piece(network, piece))
        return future


class _PoolWorkers:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, network: bytes, piece: Piece) -> "Future[Wrong | None]":
        """Hand a piece to a process."""
        return self._pool.submit(check_piece, network, piece)


@contextlib.contextmanager
def open_workers(count: int) -> Iterator[Workers]:
    """Processes that check signatures; none of them outlives this context.

    Args:
        count: How many; with 0 the calling process does the work itself.

    Raises:
        StorageError: A process was ended from outside, as happens when memory runs out.
    """
    if count == 0:
        yield InlineWorkers()
        return
    # Started afresh, not forked: the parent has a database and threads open.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_ignore_interrupts)
    try:
        yield _PoolWorkers(pool)
    except BrokenProcessPool:
        raise StorageError(
            "a process that checks signatures was ended from outside; free some memory, or use fewer workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
