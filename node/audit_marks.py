# SPDX-License-Identifier: Apache-2.0
"""The records about a stored ledger as a whole, and the room between its tables, where nothing must be."""

from chain.genesis import Genesis
from chain.storage import Reader
from chain.types import Epoch, Height
from node.audit_faults import compare
from node.audit_proofs import Epochs
from node.audit_scope import Scope
from node.store_keys import FORMAT_KEY, HORIZON_KEY, NETWORK_KEY, TIP_KEY, numbered


def check_marks(reader: Reader, genesis: Genesis, scope: Scope) -> None:
    """Check the records about the ledger as a whole."""
    known = {FORMAT_KEY, NETWORK_KEY, TIP_KEY, HORIZON_KEY}
    for key, value in reader.range(b"M", b"N"):
        if key not in known:
            compare(key, None, value)
    compare(NETWORK_KEY, genesis.network, reader.get(NETWORK_KEY))
    if scope.tip.height:
        compare(TIP_KEY, scope.tip.encode(), reader.get(TIP_KEY))


def check_edges(reader: Reader, scope: Scope, epochs: Epochs) -> None:
    """Check that no table holds anything below the oldest block or above the newest, nor any unknown record."""
    tip = scope.tip
    for kind in (b"B", b"C", b"F", b"O", b"V", b"X"):
        if kind != b"V":
            _check_empty(reader, kind, numbered(kind, scope.horizon.oldest_block))
        _check_empty(reader, numbered(kind, tip.height + 1), bytes([kind[0] + 1]))
    _check_older_sets(reader, scope, epochs)
    _check_empty(reader, b"E", numbered(b"E", scope.horizon.first_leaf))
    _check_empty(reader, numbered(b"E", tip.log_size), b"F")
    _check_empty(reader, numbered(b"K", max(epochs.sets)), b"L")
    _check_empty(reader, b"Q", numbered(b"Q", scope.horizon.oldest_block))
    _check_empty(reader, numbered(b"Q", tip.height + 1), b"R")
    for start, stop in ((b"", b"B"), (b"G", b"H"), (b"I", b"K"), (b"N", b"O"), (b"P", b"Q"), (b"U", b"V")):
        _check_empty(reader, start, stop)
    _check_empty(reader, b"W", b"X")
    _check_empty(reader, b"Y", b"\xff" * 64)


def _check_older_sets(reader: Reader, scope: Scope, epochs: Epochs) -> None:
    """Check the lists that pruning leaves, of epochs that closed below the oldest block; closings name them, too."""
    known = {checkpoint.height: epochs.sets[Epoch(epoch + 1)] for epoch, checkpoint in epochs.closed.items()}
    for key, value in reader.range(b"V", numbered(b"V", scope.horizon.oldest_block)):
        found = known.get(Height(int.from_bytes(key[1:]))) if len(key) == 9 else None
        compare(key, None if found is None else found.encode(), value)


def _check_empty(reader: Reader, start: bytes, stop: bytes) -> None:
    for key, value in reader.range(start, stop):
        compare(key, None, value)
