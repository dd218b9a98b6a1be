# SPDX-License-Identifier: Apache-2.0
"""Compares the tables by hash with what they must hold: ids of blocks, digests, ids of transactions, remembered ids.

Whoever walks blocks and entries says what must be there; one scan of each table then shows whether just that is there.
Only where it is not is the walk done again with a look at each record, which says which one is wrong.
"""

from chain.codec import decode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.transaction import HEADER_BYTES_MAX, Header
from chain.types import sha256
from node.fsck_findings import Findings, Progress, Span, Sum, count_of
from node.store_keys import numbered

ENTRY_BYTES_MAX = HEADER_BYTES_MAX + 1024
"""A header and what an entry adds to it: numbers and a failure's code."""

_KINDS = (b"H", b"D", b"T", b"R")


class IdsCheck:
    """One check of the tables by hash.

    Attributes:
        counts: Records met so far, by table.
        differs: Whether some table does not hold what it must; known when all is walked.
    """

    def __init__(self, reader: Reader, findings: Findings, span: Span, progress: Progress, *, exact: bool) -> None:
        self._reader = reader
        self._findings = findings
        self._span = span
        self._progress = progress
        self._exact = exact
        self._sums = {kind: Sum() for kind in _KINDS}
        self.counts = dict.fromkeys(_KINDS, 0)
        self.differs = False

    def expect(self, key: bytes, value: bytes) -> None:
        """Say that this record must be there."""
        self._sums[key[:1]].add(key, value)

    def finish(self) -> None:
        """Everything is walked: compare the tables."""
        if self._exact:
            self._name_surplus()
            return
        for done, kind in enumerate(_KINDS):
            self._progress("ids", done, len(_KINDS))
            found = Sum()
            for key, raw in self._reader.range(kind, bytes((kind[0] + 1,))):
                value = self._held(kind, raw)
                if value is not None:
                    found.add(key, value)
            self.differs |= found != self._sums[kind]
        self._progress("ids", len(_KINDS), len(_KINDS))

    def _held(self, kind: bytes, raw: bytes) -> bytes | None:
        """What of a record must be there; None of one whose block or entry is deleted, as it will be too."""
        number, first_block = int.from_bytes(raw[:8]), self._span.first_block
        if kind == b"T":
            # Of entries before the oldest block the position among its transactions is not known.
            is_early = int.from_bytes(raw[8:16]) < first_block
            return None if number < self._span.first_leaf else raw[:16] if is_early else raw
        return None if kind in {b"H", b"D"} and 0 < number < first_block else raw

    def _name_surplus(self) -> None:
        """Records by hash that no block or entry refers to; those of deleted blocks wait for their deletion."""
        for kind in _KINDS:
            start, stop = kind, bytes((kind[0] + 1,))
            if count_of(self._reader, start, stop) > self.counts[kind]:
                for key, raw in self._reader.range(start, stop):
                    if not self._is_wanted(kind, key, raw):
                        self._findings.surplus(key, "no block or entry has it")

    def _is_wanted(self, kind: bytes, key: bytes, raw: bytes) -> bool:
        """Whether a record by hash is one that a block or entry has, or that is still to be deleted."""
        height = int.from_bytes(raw[:8])
        if kind == b"H":
            block = self._reader.get(numbered(b"B", height))
            return height < self._span.first_block or (block is not None and sha256(block) == key[1:])
        if kind == b"D":
            body = self._reader.get(b"X" + raw)
            return height < self._span.first_block or (body is not None and sha256(body) == key[1:])
        if kind == b"R":
            found, expires_at_ms = self._reader.get(b"T" + key[9:]), int.from_bytes(key[1:9])
            if found is None or expires_at_ms < self._span.tip.time_ms:
                return False
            return self._has_entry(int.from_bytes(found[:8]), key[9:], expires_at_ms)
        return height < self._span.first_leaf or self._has_entry(height, key[1:], None)

    def _has_entry(self, index: int, transaction_id: bytes, expires_at_ms: int | None) -> bool:
        """Whether the entry with this index is that transaction's."""
        raw = self._reader.get(numbered(b"E", index))
        if raw is None:
            return index < self._span.first_leaf
        try:
            header = decode(pb.Entry, raw, ENTRY_BYTES_MAX).header
            expires = Header.decode(header).expires_at_ms
        except InvalidMessage:
            return True  # the entry is named already
        return sha256(header) == transaction_id and expires_at_ms in {None, expires}
