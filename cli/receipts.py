# SPDX-License-Identifier: Apache-2.0
"""Receipt files as commands take them: any encoding, and words that fit a file instead of a message on the wire."""

from pathlib import Path

from chain import receipt, receipt_text
from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.errors import InvalidMessage
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.pb import ledger_pb2
from chain.receipt import Verified
from cli.errors import UnprovenError
from cli.home import read_file
from cli.language import t


def load(file: Path) -> bytes:
    """A receipt's bytes, whichever of the three encodings the file has.

    Raises:
        InputError: The file cannot be read.
        UnprovenError: It is no receipt.
    """
    raw = read_file(file, receipt_text.JSON_BYTES_MAX)
    try:
        return receipt_text.decode_any(raw)
    except InvalidMessage as error:
        raise _unreadable(file, error) from None


def claims(file: Path, raw: bytes) -> tuple[ledger_pb2.Receipt, Checkpoint]:
    """What a receipt says and under which checkpoint; nothing is verified.

    Raises:
        UnprovenError: It is no whole receipt.
    """
    try:
        message = decode(ledger_pb2.Receipt, raw, receipt.RECEIPT_BYTES_MAX)
        return message, Checkpoint.decode(message.checkpoint.checkpoint)
    except InvalidMessage as error:
        raise _unreadable(file, error) from None


def verify(
    file: Path,
    trusted: Genesis | TrustAnchor,
    *,
    state_age_ms_max: int | None = None,
    now_ms: int | None = None,
    older_epochs: bool = False,
    source: Path,
) -> Verified:
    """Verify a receipt file; see `chain.receipt.verify`.

    Args:
        file: The receipt.
        trusted: Genesis, or what a client has learnt since.
        state_age_ms_max: How old shown states may be; None: any age.
        now_ms: Unix time, if `state_age_ms_max` is given.
        older_epochs: Whether checkpoints of former validators count.
        source: The genesis file, for whoever wonders which network was meant.

    Raises:
        InputError: The file cannot be read.
        UnprovenError: It is no whole receipt, or one of another network than is trusted.
        LedgerError: It does not verify.
    """
    raw = load(file)
    _, checkpoint = claims(file, raw)
    if checkpoint.network != trusted.network:
        text = t(
            "receipt.other-network", network=checkpoint.network.hex(), expected=trusted.network.hex(), genesis=source
        )
        raise UnprovenError("receipt.other-network", text, (t("receipt.other-network-do"),))
    try:
        return receipt.verify(raw, trusted, state_age_ms_max=state_age_ms_max, now_ms=now_ms, older_epochs=older_epochs)
    except InvalidMessage as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: InvalidMessage) -> UnprovenError:
    technical = t("error.technical", code=error.code, reason=error.reason)
    return UnprovenError("receipt.unreadable", t("receipt.unreadable", path=file), (technical,))
