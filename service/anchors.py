# SPDX-License-Identifier: Apache-2.0
"""Digests that an organisation anchors on the ledger: put there, and read back with proof.

For audit chains, status lists and web bundles alike; see `membership.anchors` for the rules.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from chain.codec import encode
from chain.errors import LedgerError, Refused
from chain.signing import Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import TransactionId
from client.answers import ProvenState, ProvenTransaction
from membership.anchors import anchor_key, load_anchor
from membership.pb import membership_pb2 as pb
from membership.state import load_key, signer_key
from service.errors import ConfigError
from service.rounds import Round

OPERATION = "membership.Anchor"
LOOK_S: Final = 86_400.0
"""Between two looks whether a program's anchor still stands."""
RETRY_S: Final = 60.0
"""After nodes were silent, or something broke."""

log = structlog.get_logger(__name__)


class Ledger(Protocol):
    """What anchoring needs of a client; `client.session.Session` is one."""

    def sign(self, operations: list[Operation], signers: list[TransactionSigner]) -> SignedTransaction:
        """Make and sign a transaction."""

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit it and wait for its verified receipt."""

    async def read(self, key: bytes) -> ProvenState:
        """A state key's value or proven absence, now."""

    async def receipts(self, identifiers: list[TransactionId]) -> dict[TransactionId, list[ProvenTransaction]]:
        """Receipts of transactions by id, verified."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """The newest anchor of a stream, proven.

    Attributes:
        digest: 32 bytes.
        size: What it covers: entries, or files.
        time_ms: When the ledger recorded it.
        read_ms: Time of the checkpoint that proves it to be the newest.
    """

    digest: bytes
    size: int
    time_ms: int
    read_ms: int


def anchoring(anchor: Callable[[], Awaitable[None]]) -> Round:
    """See that the digest of a page's program stands on the ledger, at the start and once a day.

    Args:
        anchor: Looks, and puts one where another or none stands.
    """

    async def once() -> None:
        try:
            await anchor()
        except (LedgerError, ConfigError) as error:  # refused today, it is refused in a minute, too
            log.warning("anchoring.refused", reason=str(error))

    return Round("anchoring", once, LOOK_S, retry_s=RETRY_S)


async def organisation_of(ledger: Ledger, signer: Signer) -> str:
    """Whose key this is, by the ledger.

    Raises:
        ConfigError: Nobody's, or it does not submit any more.
        TransportError: No node gives an answer that verifies and is fresh.
    """
    state = await ledger.read(signer_key(signer))
    key = load_key({state.key: state.value}.get, signer)
    if key is None or not key.is_usable(state.checkpoint.time_ms) or pb.PURPOSE_SUBMIT not in key.purposes:
        raise ConfigError(
            "signing.submit_key is no key of purpose submit that is in use on the ledger: register it, or name another"
        )
    return key.organisation


async def read_anchor(
    ledger: Ledger, organisation: str, kind: pb.AnchorKind.ValueType, stream: bytes
) -> Anchored | None:
    """The newest anchor of a stream; None: there is none, which is proven too.

    Args:
        ledger: A session.
        organisation: Whose.
        kind: Of what.
        stream: 16 bytes.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
    """
    state = await ledger.read(anchor_key(organisation, kind, stream))
    record = load_anchor({state.key: state.value}.get, organisation, kind, stream)
    if record is None:
        return None
    return Anchored(record.digest, record.size, record.since_ms, state.checkpoint.time_ms)


async def put_anchor(
    ledger: Ledger,
    signer: TransactionSigner,
    kind: pb.AnchorKind.ValueType,
    stream: bytes,
    digest: bytes,
    size: int,
) -> ProvenTransaction:
    """Anchor a digest, and wait for the proof.

    Args:
        ledger: A session.
        signer: A key of purpose submit.
        kind: Of what.
        stream: 16 bytes.
        digest: 32 bytes.
        size: What it covers, at least 1.

    Raises:
        Refused: The rules say no.
        TransportError: Nothing is known of it; it may be tried again.
    """
    message = pb.Anchor(kind=kind, stream=stream, digest=digest, size=size)
    transaction = ledger.sign([Operation.make(OPERATION, encode(message))], [signer])
    proven = await ledger.submit_one(transaction)
    if proven.failed is not None:
        raise Refused("the ledger's rules refuse the anchor", proven.failed.code)
    return proven
