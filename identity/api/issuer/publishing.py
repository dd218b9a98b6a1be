# SPDX-License-Identifier: Apache-2.0
"""The tick: ask the ledger, publish every list from that one height, anchor what was published.

A tick that fails publishes nothing: what was published before goes on until it ends, the service is no longer ready,
and nothing is issued once lists are older than a minute. The next tick begins anew.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.signing import Scheme, Signer, TransactionSigner
from chain.types import sha256
from client.errors import TransportError
from client.session import REQUEST_COUNT_MAX, Session
from identity.api.issuer import lists
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.lists import Published
from identity.api.issuer.tables import IssuerList
from identity.standing import Reading, Standing, record_key
from membership.pb import membership_pb2
from membership.state import PARAMETERS_KEY, load_key, signer_key
from service.anchors import put_anchor

log = structlog.get_logger(__name__)

ANCHOR_SECONDS_MAX: Final = 20.0
"""An anchor that takes longer is left out; the next tick anchors what is published then."""


class Source(Protocol):
    """Knows how records stand on the ledger."""

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """State keys at one finalized height; TransportError or LedgerError if nobody can say."""
        ...


class Anchor(Protocol):
    """Puts digests of lists where the registrar can change them no more."""

    async def anchor(self, stream: bytes, digest: bytes, size: int) -> None:
        """Anchor one digest; TransportError or LedgerError if the ledger takes none now."""
        ...


class LedgerSource:
    """Reads records with proof, all at one height."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def read(self, keys: Sequence[bytes]) -> Reading:
        """See `Source`."""
        session = self._session()
        asked = [PARAMETERS_KEY, *keys]  # the first is always there, and so is a height
        states = await session.read_many(asked[:REQUEST_COUNT_MAX])
        checkpoint = states[0].checkpoint
        for start in range(REQUEST_COUNT_MAX, len(asked), REQUEST_COUNT_MAX):
            part = asked[start : start + REQUEST_COUNT_MAX]
            states += await session.read_many(part, height=checkpoint.height)
        return Reading(checkpoint.height, checkpoint.time_ms, {state.key: state.value for state in states})


class LedgerAnchor:
    """Anchors with `membership.Anchor`, signed by the service's own key of purpose submit."""

    def __init__(self, session: Callable[[], Session], key: TransactionSigner) -> None:
        self._session = session
        self._key = key

    async def anchor(self, stream: bytes, digest: bytes, size: int) -> None:
        """See `Anchor`."""
        kind = membership_pb2.ANCHOR_KIND_STATUS_LIST
        try:
            async with asyncio.timeout(ANCHOR_SECONDS_MAX):
                await put_anchor(self._session(), self._key, kind, stream, digest, size)
        except TimeoutError:
            raise TransportError("the ledger did not take an anchor in time") from None


async def standing_now(source: Source, keys: Sequence[bytes], issuing_key: bytes) -> tuple[Reading, Standing]:
    """How records stand, and whether the ledger has ended the issuing key, all at one height.

    Args:
        source: The ledger.
        keys: State keys of registrations, pinned or not, and of mandates; each once.
        issuing_key: 33 bytes.

    Raises:
        TransportError: Nobody answers for the ledger.
        LedgerError: What was answered is not proven.
    """
    signer = Signer(Scheme.P256, issuing_key)
    reading = await source.read([signer_key(signer), *sorted({record_key(key) for key in keys})])
    registered = load_key(reading.values.get, signer)
    is_ended = registered is not None and not (
        registered.is_usable(reading.time_ms) and membership_pb2.PURPOSE_ATTEST in registered.purposes
    )
    return reading, reading.standing(keys, is_key_ended=is_ended)


async def tick(issuer: Issuer, source: Source, anchor: Anchor | None) -> Standing:
    """Publish all lists from one height. Ticks take turns, so that none overwrites what a later one has read.

    Args:
        issuer: Of this service.
        source: How records stand.
        anchor: Where digests go; None: nowhere.

    Returns:
        What everything published now says.

    Raises:
        TransportError: Nobody answers for the ledger; nothing was published.
        LedgerError: What was answered is not proven; likewise.
        StorageError: The store failed; likewise.
        InvalidToken: No issuing key signs now; likewise.
    """
    async with issuer.ticking:
        return await _tick(issuer, source, anchor)


async def _tick(issuer: Issuer, source: Source, anchor: Anchor | None) -> Standing:
    store = issuer.store

    def wanted() -> set[bytes]:
        with store.read() as session:
            return issuer.subjects.all_keys(session, store, issuer.now_s)

    key = issuer.keys.current(issuer.now_s)
    _, standing = await standing_now(source, sorted(await run_in_threadpool(wanted)), key.public_key)

    def write() -> list[Published]:
        with store.write() as session:
            return lists.publish(session, store, issuer.subjects, standing, key, issuer.origin, issuer.now_s)

    published = await run_in_threadpool(write)
    issuer.standing = standing
    if anchor is not None:
        await _anchor_all(issuer, anchor, published)
    return standing


async def _anchor_all(issuer: Issuer, anchor: Anchor, published: Sequence[Published]) -> None:
    """Anchor what was published; a list without its anchor still counts, and the next tick anchors the next one."""
    for one in published:
        digest = sha256(one.token.encode())
        try:
            await anchor.anchor(one.stream, digest, one.size)
        except (TransportError, LedgerError) as error:
            log.warning("issuer.not-anchored", list=one.number, code=error.code)
            continue
        await run_in_threadpool(_note_anchored, issuer, one.number, digest)


def _note_anchored(issuer: Issuer, number: int, digest: bytes) -> None:
    with issuer.store.write() as session:
        row = session.get(IssuerList, number)
        assert row is not None, "lists are never deleted"
        row.anchored = digest
