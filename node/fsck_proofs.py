# SPDX-License-Identifier: Apache-2.0
"""Checks what quorums signed: closing checkpoints from genesis on, certificates of checkpoints, finalizations.

Each signature is verified against the set of its epoch, which the closing checkpoint before it names; where one is
missing, the set stored beside the closing block serves, so that one fault does not hide the others.
"""

from collections.abc import Mapping

from chain.certificate import BlsScheme, Certificate, verify_certificate, verify_checkpoint
from chain.checkpoint import CertifiedCheckpoint, ClosingCheckpoint, ValidatorSet
from chain.codec import decode
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.types import sha256
from node.fsck_findings import Findings, Progress, Span
from node.store_keys import numbered

RECORD_BYTES_MAX = 64 * 1024
"""A certificate with a set of 64 validators takes 8 KiB."""
_SCHEME = BlsScheme()


class ProofsCheck:
    """One check of all signatures.

    Args:
        reader: Of the database.
        findings: Takes what is wrong.
        genesis: Of the network.
        span: What the database holds.
        progress: See `node.fsck`.
    """

    def __init__(self, reader: Reader, findings: Findings, genesis: Genesis, span: Span, progress: Progress) -> None:
        self._reader = reader
        self._findings = findings
        self._genesis = genesis
        self._span = span
        self._progress = progress
        self._sets: dict[int, ValidatorSet] = {genesis.validators.epoch: genesis.validators}

    def run(self, closings: Mapping[int, tuple[int, ValidatorSet | None]], *, signatures: bool) -> None:
        """Check closing checkpoints, then certificates, then finalizations.

        Args:
            closings: Of each epoch that a stored block closed: its height, and the set that it names if stored.
            signatures: Verify all of them; else only those that lead from genesis to the newest certificate.
        """
        self._check_closings(closings)
        self._check_certified(signatures=signatures)
        self._check_finalizations(signatures=signatures)

    def _check_closings(self, closings: Mapping[int, tuple[int, ValidatorSet | None]]) -> None:
        epoch = 1
        for key, raw in self._reader.range(b"K", b"L"):
            found = int.from_bytes(key[1:])
            if len(key) != 9 or found < epoch or found > max(epoch, self._span.tip.epoch):
                self._findings.surplus(key, "the closing checkpoint of no epoch")
                continue
            while epoch < found:
                self._note_missing(epoch, closings)
                epoch += 1
            self._check_closing(key, raw, epoch)
            if epoch + 1 not in self._sets:
                self._adopt(epoch, closings)
            epoch += 1
        while epoch < self._span.tip.epoch:
            self._note_missing(epoch, closings)
            epoch += 1

    def _note_missing(self, epoch: int, closings: Mapping[int, tuple[int, ValidatorSet | None]]) -> None:
        self._findings.missing(numbered(b"K", epoch), f"the closing checkpoint of epoch {epoch} is not stored")
        self._adopt(epoch, closings)

    def _adopt(self, epoch: int, closings: Mapping[int, tuple[int, ValidatorSet | None]]) -> None:
        """Go on with the set that is stored beside the block."""
        _, validators = closings.get(epoch, (0, None))
        if validators is not None:
            self._sets[epoch + 1] = validators

    def _check_closing(self, key: bytes, raw: bytes, epoch: int) -> None:
        try:
            closing = ClosingCheckpoint.from_pb(decode(pb.ClosingCheckpoint, raw, RECORD_BYTES_MAX))
            validators = ValidatorSet.decode(closing.next)
            known = self._sets.get(epoch)
            if known is None:
                return  # the one before it is named already
            checkpoint = verify_checkpoint(closing.certified, known, self._genesis.network, _SCHEME)
        except LedgerError as error:
            self._findings.wrong(key, f"the closing checkpoint of epoch {epoch} does not verify: {error.reason}")
            return
        if checkpoint.next_validators != sha256(closing.next) or validators.epoch != epoch + 1:
            self._findings.wrong(key, f"does not carry the set that closes epoch {epoch}")
            return
        self._sets[epoch + 1] = validators
        if self._is_held(checkpoint.height):
            if self._reader.get(numbered(b"C", checkpoint.height)) not in {None, closing.certified.checkpoint}:
                self._findings.wrong(key, f"is not the checkpoint at height {checkpoint.height} as computed here")
            if self._reader.get(numbered(b"Q", checkpoint.height)) is None:
                self._findings.missing(
                    numbered(b"Q", checkpoint.height), f"the certificate of the block that closes epoch {epoch}"
                )

    def _check_certified(self, *, signatures: bool) -> None:
        newest = next((key for key, _ in self._reader.range(b"Q", b"R", reverse=True)), None)
        for key, raw in self._reader.range(b"Q", b"R"):
            height = int.from_bytes(key[1:])
            if height % 100 == 0:
                self._progress("certificates", height, self._span.tip.height)
            try:
                certified = CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, raw, RECORD_BYTES_MAX))
                claimed = pb.Checkpoint.FromString(certified.checkpoint)
                known = self._sets.get(claimed.epoch)
                if signatures or key == newest:
                    if known is None:
                        self._note_unknown(key, claimed.epoch)
                        continue
                    verify_checkpoint(certified, known, self._genesis.network, _SCHEME)
            except (LedgerError, ValueError) as error:
                reason = error.reason if isinstance(error, LedgerError) else str(error)
                self._findings.wrong(key, f"the certificate at height {height} does not verify: {reason}")
                continue
            if claimed.height != height or len(key) != 9:
                self._findings.wrong(key, f"holds a certificate of height {claimed.height}")
            elif self._is_held(height) and self._reader.get(numbered(b"C", height)) not in {None, certified.checkpoint}:
                self._findings.wrong(
                    numbered(b"C", height), "is not the checkpoint that a quorum of validators certified"
                )

    def _check_finalizations(self, *, signatures: bool) -> None:
        for key, raw in self._reader.range(b"F", b"G"):
            height = int.from_bytes(key[1:])
            if height % 100 == 0:
                self._progress("finalizations", height, self._span.tip.height)
            try:
                finalization = Certificate.from_pb(decode(pb.Certificate, raw, RECORD_BYTES_MAX))
                known = self._sets.get(finalization.epoch)
                if signatures:
                    if known is None:
                        self._note_unknown(key, finalization.epoch)
                        continue
                    verify_certificate(finalization, known, self._genesis.network, _SCHEME)
            except LedgerError as error:
                self._findings.wrong(key, f"the finalization at height {height} does not verify: {error.reason}")
                continue
            if finalization.kind != pb.KIND_FINALIZE or len(key) != 9:
                self._findings.wrong(key, "is not a finalization")
            elif self._is_held(height) and self._reader.get(b"H" + finalization.block_id) != height.to_bytes(8):
                self._findings.wrong(key, f"finalizes another block than the one at height {height}")

    def _note_unknown(self, key: bytes, epoch: int) -> None:
        """A certificate of an epoch that nothing leads to: too much, unless what leads there is named already."""
        if epoch > self._span.tip.epoch + 1 or not self._findings.problems:
            self._findings.wrong(key, f"is of epoch {epoch}, to which no closing checkpoint leads")

    def _is_held(self, height: int) -> bool:
        return self._span.first_block <= height <= self._span.tip.height
