# SPDX-License-Identifier: Apache-2.0
"""Records read with proof, each with the receipt that proves it again, and remembered for some seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chain.signing import Scheme, Signer
from client.answers import receipt_of
from client.session import Session
from membership.pb.membership_pb2 import PURPOSE_ATTEST
from membership.state import load_key, load_organisation, organisation_key, signer_key

REMEMBERED_MS: Final = 15_000
"""For how long an issuer's key counts as it was read: as long as an officer's standing does at the desk."""
REMEMBERED_MAX: Final = 256
"""Issuers' keys and relying parties at work in one city; some kilobytes each."""
REGISTRAR_ROLE: Final = "registrar"


@dataclass(frozen=True, slots=True)
class Proven:
    """State under one certified checkpoint.

    Attributes:
        height: The finalized height.
        time_ms: That block's time.
        values: By state key; None: proven absent.
        receipts: By state key, bytes of a `Receipt`.
        together: Bytes of one `Receipt` for all of the keys.
    """

    height: int
    time_ms: int
    values: Mapping[bytes, bytes | None]
    receipts: Mapping[bytes, bytes]
    together: bytes = b""


class States(Protocol):
    """Reads the ledger."""

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        """State keys, all at one height (0: the newest).

        Raises:
            TransportError: Nobody answers for the ledger.
            LedgerError: What was answered is not proven, or no node holds that height any more.
        """
        ...


class LedgerStates:
    """Reads through a client that accepts only what is proven."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        """See `States.read`."""
        states = await self._session().read_many(keys, height=height)
        checkpoint = states[0].checkpoint
        return Proven(
            checkpoint.height,
            checkpoint.time_ms,
            {state.key: state.value for state in states},
            {state.key: state.receipt() for state in states},
            receipt_of(states),
        )


@dataclass(frozen=True, slots=True)
class IssuerStanding:
    """How an issuing key stands on the ledger.

    Attributes:
        is_known: Whether the ledger has it; its registrar's certificate is all there is otherwise.
        counts: Whether it attests now, for an active registrar.
        receipt: Proves what the ledger says of the key.
    """

    is_known: bool
    counts: bool
    receipt: bytes


class Issuers:
    """How issuing keys stand, remembered for some seconds."""

    def __init__(self, states: States, clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000) -> None:
        """Take the ledger.

        Args:
            states: Reads it.
            clock_ms: Never goes back.
        """
        self._states = states
        self._clock_ms = clock_ms
        self._found: OrderedDict[bytes, tuple[int, IssuerStanding]] = OrderedDict()

    async def standing(self, public_key: bytes) -> IssuerStanding:
        """How a key stands.

        Args:
            public_key: 33 bytes.

        Raises:
            TransportError: Nobody answers for the ledger.
            LedgerError: What was answered is not proven.
        """
        now_ms = self._clock_ms()
        kept = self._found.get(public_key)
        if kept is not None and now_ms - kept[0] < REMEMBERED_MS:
            return kept[1]
        found = await self._read(public_key)
        self._found[public_key] = (now_ms, found)
        self._found.move_to_end(public_key)
        if len(self._found) > REMEMBERED_MAX:
            self._found.popitem(last=False)
        return found

    async def _read(self, public_key: bytes) -> IssuerStanding:
        signer = Signer(Scheme.P256, public_key)
        where = signer_key(signer)
        proven = await self._states.read([where])
        key = load_key(proven.values.get, signer)
        if key is None:
            return IssuerStanding(is_known=False, counts=False, receipt=proven.receipts[where])
        at = await self._states.read([where, organisation_key(key.organisation)])
        key = load_key(at.values.get, signer)
        assert key is not None, "records of keys are kept for good"
        owner = load_organisation(at.values.get, key.organisation)
        counts = (
            key.is_usable(at.time_ms)
            and PURPOSE_ATTEST in key.purposes
            and owner is not None
            and owner.is_active
            and REGISTRAR_ROLE in owner.roles
        )
        return IssuerStanding(is_known=True, counts=counts, receipt=at.receipts[where])
