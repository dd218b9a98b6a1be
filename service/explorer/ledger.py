# SPDX-License-Identifier: Apache-2.0
"""What the explorer asks of the ledger itself: organisations from proven state, operations and receipts with proof.

Every answer was verified against genesis by `client.session`. Where nodes are silent, callers go on with the index.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.signing import Scheme, Signer
from chain.types import TransactionId
from client.answers import ProvenTransaction
from client.connection import Endpoint
from client.errors import TransportError
from client.session import REQUEST_COUNT_MAX, Session
from membership import state
from membership.state import Key, Organisation
from service.explorer.pulse import WAIT_S
from service.explorer.queries import ORGANISATIONS_MAX, Explored
from service.turns import Turns

ORGANISATIONS_AGE_S = 5.0
"""Names change by a vote; a list that is a few seconds old is as good as a new one."""


@dataclass(frozen=True, slots=True)
class KeyOf:
    """One of an organisation's keys with its standing."""

    signer: Signer
    key: Key


@dataclass(frozen=True, slots=True)
class Organisations:
    """All organisations, from state under one checkpoint.

    Attributes:
        height: Of that checkpoint.
        time_ms: Of that checkpoint.
    """

    by_id: dict[str, Organisation]
    height: int
    time_ms: int

    def name(self, organisation: str, language: str) -> str:
        """An organisation's name in a language, else in the other, else its id."""
        found = self.by_id.get(organisation)
        if found is None:
            return organisation
        names = (found.name_zh, found.name_en) if language == "zh-CN" else (found.name_en, found.name_zh)
        return names[0] or names[1] or organisation


ASKED_AT_ONCE = 8
"""Questions that nodes are asked at once, for whatever pages: to a node the explorer is one client, whose share nobody
who looks at it shall use up."""
ASKED_WAITING_MAX = 64
"""Pages that wait for their question's turn; further ones are told that it is busy."""
KEPT_MAX = 256
"""Proven transactions that are kept, since they never change; each is far below `KEPT_BYTES_MAX`, or is not kept."""
KEPT_BYTES_MAX = 64 * 1024

NOBODY = Organisations({}, 0, 0)


class Ledger:
    """The ledger as pages ask it; lives on the service's event loop."""

    def __init__(self, session: Session, genesis: Genesis, endpoints: Sequence[Endpoint], explored: Explored) -> None:
        self.session = session
        self.genesis = genesis
        self._explored = explored
        self._organisations = NOBODY
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self._asking = Turns(ASKED_AT_ONCE, ASKED_WAITING_MAX)
        self._kept: OrderedDict[bytes, list[ProvenTransaction]] = OrderedDict()
        founders = {founder.tls_certificate.encode(): founder.organisation for founder in genesis.founders}
        self.organisation_at = {item.address: founders.get(item.certificate, "") for item in endpoints}
        """Whose node an address is, by the certificate in genesis; empty: a node that joined later."""

    async def organisations(self) -> Organisations:
        """All organisations; the last known ones while no node answers in time.

        Raises:
            TransportError: None answers, and none has since the service started.
        """
        async with self._lock:
            if time.monotonic() - self._read_at > ORGANISATIONS_AGE_S:
                with contextlib.suppress(TransportError, LedgerError, TimeoutError):
                    async with asyncio.timeout(WAIT_S):
                        self._organisations = await self._read_organisations()
                self._read_at = time.monotonic()  # a failure too: not every page shall wait for silent nodes
            if not self._organisations.by_id:
                raise TransportError("no node has answered yet")
            return self._organisations

    async def organisations_if_any(self) -> Organisations:
        """The same for pages about something else: nobody where no node answers."""
        try:
            return await self.organisations()
        except TransportError:
            return NOBODY

    async def _read_organisations(self) -> Organisations:
        listed = self.genesis.sections.get("membership", {}).get("organisations", [])
        first = [str(item["id"]) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        proposed = await asyncio.to_thread(self._explored.proposed_organisations)
        ids = list(dict.fromkeys([*first, *proposed]))[:ORGANISATIONS_MAX]
        proven = await self.session.read_many([state.organisation_key(one) for one in ids])
        values = {item.key: item.value for item in proven}
        found = {one: organisation for one in ids if (organisation := state.load_organisation(values.get, one))}
        return Organisations(found, proven[0].checkpoint.height, proven[0].checkpoint.time_ms)

    async def keys(self, organisation: str) -> list[KeyOf]:
        """An organisation's keys that are not revoked, from proven state.

        Raises:
            TransportError: No node answers.
        """
        async with self._asking.turn():
            ring = await self.session.read(state.keyring_key(organisation))
            signers = state.load_keyring({ring.key: ring.value}.get, organisation)[:REQUEST_COUNT_MAX]
            if not signers:
                return []
            proven = await self.session.read_many([state.signer_key(signer) for signer in signers])
        values = {item.key: item.value for item in proven}
        return [KeyOf(signer, key) for signer in signers if (key := state.load_key(values.get, signer))]

    async def operations(self, identifier: bytes) -> list[ProvenTransaction]:
        """Each operation of a transaction with its proof; none where no node shows it in time."""
        kept = self._kept.get(identifier)
        if kept is not None:
            self._kept.move_to_end(identifier)
            return kept
        with contextlib.suppress(TransportError, LedgerError, TimeoutError):
            async with asyncio.timeout(WAIT_S), self._asking.turn():
                answered = await self.session.receipts([TransactionId(identifier)], all_operations=True)
                found = answered.get(TransactionId(identifier), [])
                if found and sum(len(item.inclusion.operation.body) for item in found) <= KEPT_BYTES_MAX:
                    self._kept[identifier] = found
                    if len(self._kept) > KEPT_MAX:
                        self._kept.popitem(last=False)
                return found
        return []

    async def receipt(self, identifier: bytes, operation: int) -> bytes | None:
        """The receipt of one operation that anybody can check from genesis on; None: no node shows it.

        Raises:
            Refused: The transaction has no such operation.
            TransportError: No node answers.
        """
        async with self._asking.turn():
            found = await self.session.receipts([TransactionId(identifier)], operation_index=operation)
        proven = found.get(TransactionId(identifier))
        return None if proven is None else proven[0].receipt()

    async def name_signers(self) -> int:
        """Look up whose keys have signed, for those that are new; returns how many were."""
        unknown = await asyncio.to_thread(self._explored.unknown_signers)
        if not unknown:
            return 0
        signers = {raw: Signer(Scheme(raw[0]), raw[1:]) for raw in unknown}
        proven = await self.session.read_many([state.signer_key(signer) for signer in signers.values()])
        values = {item.key: item.value for item in proven}
        named = {}
        for raw, signer in signers.items():
            key = state.load_key(values.get, signer)
            named[raw] = "" if key is None else key.organisation
        await asyncio.to_thread(self._explored.save_signers, named)
        return len(named)
