# SPDX-License-Identifier: Apache-2.0
"""What a session believes, and why: genesis, the closing checkpoints since, and the newest checkpoint seen.

The only door through which a node's answer becomes a fact. Verification itself is `chain.receipt` and
`chain.light_client`; here stand the anchor that moves, the file that keeps it, and the full chain of closing
checkpoints, so that each receipt handed out can be checked from genesis by somebody who knows nothing else.
"""

import base64
import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import light_client, receipt
from chain.certificate import BlsScheme
from chain.checkpoint import CHECKPOINT_BYTES_MAX, CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import decode, encode
from chain.errors import InvalidMessage, InvalidReceipt, LedgerError
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.pb import ledger_pb2 as pb
from chain.types import Epoch, Network
from client.answers import Certification, Failed, ProvenState, ProvenTransaction
from client.errors import TransportError

FILE_BYTES_MAX = 64 * 1024 * 1024
CERTIFIED_BYTES_MAX = CHECKPOINT_BYTES_MAX + 256
CLOSING_BYTES_MAX = 16 * 1024
LIE_CHARACTERS_MAX = 300
_FORMAT = "zhixin-trust/1"
_OLDER_EPOCH = "receipt.older-epoch"


@dataclass(frozen=True, slots=True)
class Step:
    """A verified step from one anchor to a newer one."""

    base: TrustAnchor
    anchor: TrustAnchor
    closings: tuple[ClosingCheckpoint, ...]
    certified: CertifiedCheckpoint
    checkpoint: Checkpoint


class Trust:
    """The anchor of one network; a refused answer leaves it as it was."""

    def __init__(self, genesis: Genesis, file: Path | None = None) -> None:
        """Start from genesis, and go on from the file if there is one.

        Raises:
            LedgerError: The file is damaged, of another network, or does not verify from this genesis.
        """
        self._genesis = genesis
        self._verifier = receipt.Verifier(genesis)
        self._scheme = BlsScheme()
        self._closings: tuple[ClosingCheckpoint, ...] = ()
        self._newest_certified: CertifiedCheckpoint | None = None
        self._file = file
        self.liars: tuple[tuple[str, str], ...] = ()
        if file is not None and file.exists():
            self._load(file)

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self._genesis.network

    @property
    def anchor(self) -> TrustAnchor:
        """What is believed now."""
        return self._verifier.anchor

    @property
    def epoch(self) -> Epoch:
        """The newest epoch known; answers need to lead from there."""
        return self.anchor.epoch

    @property
    def newest(self) -> Checkpoint | None:
        """The newest checkpoint known; that which closed the epoch before if none of this epoch was seen."""
        return self.anchor.newest or self.anchor.epochs[-1].closing

    @property
    def validator_count(self) -> int:
        """How many validators the newest epoch has."""
        return len(self.anchor.validators.validators)

    # ------------------------------------------------------------ answers

    def verify_transactions(self, raw: bytes) -> list[ProvenTransaction]:
        """Verify a bundle that shows operations.

        Raises:
            LedgerError: It does not verify.
            TransportError: It is true, but of an epoch that is over: the node is behind.
        """
        message, verified, certification = self._verify(raw)
        if verified.states:
            raise InvalidReceipt("a receipt of state where one of transactions was asked for")
        places = {(found.leaf_index, found.operation_index): found for found in message.inclusions}
        proven = []
        for good in verified.inclusions:
            place = (good.leaf_index, good.operation_index)
            proven.append(ProvenTransaction(good, None, places[place], certification))
        for bad in verified.failures:
            place = (bad.leaf_index, bad.operation_index)
            failed = Failed(bad.code, bad.failed_operation)
            proven.append(ProvenTransaction(bad, failed, places[place], certification))
        return proven

    def verify_states(self, raw: bytes, keys: Sequence[bytes]) -> list[ProvenState]:
        """Verify a bundle that shows exactly these state keys; in their order.

        Raises:
            LedgerError: It does not verify, or shows other keys.
            TransportError: It is true, but of an epoch that is over.
        """
        message, _, certification = self._verify(raw)
        proofs = {proof.key: proof for proof in message.states}
        if message.inclusions or proofs.keys() != set(keys):
            raise InvalidReceipt("the answer does not show the state keys that were asked for, and them alone")
        return [ProvenState(key, proofs[key].value or None, proofs[key], certification) for key in keys]

    def verify_certified(self, raw: bytes) -> Checkpoint:
        """Verify a certified checkpoint of an epoch that is known.

        Raises:
            LedgerError: It is not certified by that epoch's validators, or contradicts what is known.
        """
        certified = _certified(raw)
        epoch = Checkpoint.decode(certified.checkpoint).epoch
        return light_client.check(self.anchor.at(epoch), certified, self._scheme)

    def is_of_later_epoch(self, raw: bytes) -> bool:
        """Whether a certified checkpoint claims an epoch that is not known yet; nothing is verified."""
        return Checkpoint.decode(_certified(raw).checkpoint).epoch > self.epoch

    def trial(self, newest: bytes, closings: Iterable[bytes]) -> Step:
        """Verify a step to a newer checkpoint, through the closing ones on the way to it, without taking it.

        Args:
            newest: Bytes of `CertifiedCheckpoint`.
            closings: Bytes of `ClosingCheckpoint`, ascending; those of epochs that are known to be over are ignored.

        Raises:
            LedgerError: They do not verify, or contradict what is known.
            TransportError: They are true, but of an epoch that is over.
        """
        anchor, steps = self.anchor, []
        for raw in closings:
            closing = ClosingCheckpoint.from_pb(decode(pb.ClosingCheckpoint, raw, CLOSING_BYTES_MAX))
            if Checkpoint.decode(closing.certified.checkpoint).epoch < self.epoch:
                continue
            anchor = light_client.advance(anchor, [closing], self._scheme)
            steps.append(closing)
        certified = _certified(newest)
        epoch = Checkpoint.decode(certified.checkpoint).epoch
        checkpoint = light_client.check(anchor.at(epoch), certified, self._scheme)
        if epoch == anchor.epoch:
            anchor = light_client.remember(anchor, checkpoint)
        elif checkpoint != anchor.epochs[-1].closing:
            raise TransportError("the newest checkpoint of that node is of an epoch that is over", "transport.behind")
        return Step(self.anchor, anchor, tuple(steps), certified, checkpoint)

    def take(self, step: Step) -> bool:
        """Believe a step from now on; False if the anchor has moved meanwhile: then it must be tried again."""
        if step.base is not self.anchor:
            return False
        if step.anchor is not step.base:
            self._verifier = receipt.Verifier(step.anchor)
            self._closings = (*self._closings, *step.closings)
        if self.newest == step.checkpoint:
            self._newest_certified = step.certified
        return True

    # ------------------------------------------------------------ the file

    def save(self, liars: Iterable[tuple[str, str]]) -> None:
        """Write what is believed, whole or not at all; without a file nothing happens."""
        if self._file is None or self._is_kept_newer(self._file):
            return
        document = {
            "format": _FORMAT,
            "network": self.network.hex(),
            "closings": [_text(encode(closing.to_pb())) for closing in self._closings],
            "newest": "" if self._newest_certified is None else _text(encode(self._newest_certified.to_pb())),
            "liars": {fingerprint: what[:LIE_CHARACTERS_MAX] for fingerprint, what in sorted(liars)},
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("x", encoding="ascii") as out:
                json.dump(document, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            beside.replace(self._file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()

    def _is_kept_newer(self, file: Path) -> bool:
        """Whether another process of this client has kept a newer checkpoint meanwhile; nothing is verified."""
        try:
            newest = base64.b64decode(json.loads(file.read_text(encoding="ascii"))["newest"], validate=True)
            kept = Checkpoint.decode(_certified(newest).checkpoint)
        except (OSError, ValueError, KeyError, TypeError, LedgerError, RecursionError):
            return False
        own = self.newest
        return kept.network == self.network and (own is None or kept.height > own.height)

    def _load(self, file: Path) -> None:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise InvalidMessage(f"{file} is too large to be a trust file")
        try:
            document = json.loads(file.read_text(encoding="ascii"))
            closings = [base64.b64decode(text, validate=True) for text in document["closings"]]
            newest = base64.b64decode(document["newest"], validate=True)
            liars = tuple((str(name), str(what)) for name, what in document["liars"].items())
            network = document["network"]
            is_ours = document["format"] == _FORMAT
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_ours = False
        if not is_ours:
            raise InvalidMessage(f"{file} is not a {_FORMAT} file; remove it to start from genesis again")
        if network != self.network.hex():
            raise InvalidMessage(f"{file} belongs to another network; keep one such file per network")
        if newest:
            self.take(self.trial(newest, closings))
        self.liars = liars

    # ------------------------------------------------------------ within

    def _verify(self, raw: bytes) -> tuple[pb.Receipt, receipt.Verified, Certification]:
        """Verify a bundle, keep its checkpoint, and take over closing checkpoints that are new."""
        before = self.epoch
        try:
            verified = self._verifier.verify(raw)
        except LedgerError as error:
            if error.code == _OLDER_EPOCH:
                raise TransportError("the answer is of an epoch that is over", "transport.behind") from None
            raise
        message = pb.Receipt.FromString(raw)
        closings = [ClosingCheckpoint.from_pb(closing) for closing in message.epochs]
        new = [each for each in closings if Checkpoint.decode(each.certified.checkpoint).epoch >= before]
        self._closings = (*self._closings, *new)
        certified = CertifiedCheckpoint.from_pb(message.checkpoint)
        if self.newest == verified.checkpoint:
            self._newest_certified = certified
        # Epochs count from 1, so that many closing checkpoints lead to this one.
        leading = self._closings[: verified.checkpoint.epoch - 1]
        return message, verified, Certification(verified.checkpoint, certified, leading)


def _certified(raw: bytes) -> CertifiedCheckpoint:
    return CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, raw, CERTIFIED_BYTES_MAX))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
