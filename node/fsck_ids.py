# SPDX-License-Identifier: Apache-2.0
"""Names records by hash that nothing refers to: of blocks, digests, transactions' ids and ids that are remembered.

Whoever walks blocks and entries counts those that it met; only where there are more is each looked at.
"""

from chain.codec import decode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.transaction import HEADER_BYTES_MAX, Header
from chain.types import sha256
from node.fsck_findings import Findings, Progress, Span, count_of
from node.store_keys import numbered

ENTRY_BYTES_MAX = HEADER_BYTES_MAX + 1024
"""A header and what an entry adds to it: numbers and a failure's code."""


class IdsCheck:
    """One check of the tables by hash.

    Attributes:
        counts: Records met so far, by table.
    """

    def __init__(self, reader: Reader, findings: Findings, span: Span, progress: Progress) -> None:
        self._reader = reader
        self._findings = findings
        self._span = span
        self._progress = progress
        self.counts = {b"H": 0, b"D": 0, b"T": 0, b"R": 0}

    def finish(self) -> None:
        """Records by hash that no block or entry refers to; those of deleted blocks wait for their deletion."""
        self._progress("ids", 0, 4)
        for done, kind in enumerate((b"H", b"D", b"T", b"R")):
            start, stop = kind, bytes((kind[0] + 1,))
            if count_of(self._reader, start, stop) > self.counts[kind]:
                for key, raw in self._reader.range(start, stop):
                    if not self._is_wanted(kind, key, raw):
                        self._findings.surplus(key, "no block or entry has it")
            self._progress("ids", done + 1, 4)

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
