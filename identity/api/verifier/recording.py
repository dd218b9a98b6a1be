# SPDX-License-Identifier: Apache-2.0
"""Access entries on the ledger: a slot from whoever keeps the person's list, an entry among decoys, the proof.

Entries go out on a fixed tick, all that are waiting together, so that neither their number nor their moment says much.
What was handed out and drawn for an entry is kept sealed before it is sent: after a crash the same entry is sent again,
and one that stands on the ledger already is found there. An entry whose slot somebody else took gets another slot.

Source: docs/identity.md, "Accesses".
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from sqlalchemy import delete, select, update
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import LedgerError, Refused
from chain.signing import TransactionSigner
from chain.transaction import Operation
from client.errors import TransportError
from client.session import Session
from identity.access import make_batch, make_entry, retry
from identity.access_content import content_commitment, encode_content
from identity.access_rules import BATCH_SIZES, access_key, load_access
from identity.api.accesses.signed_requests import HEADER, Asked, sign
from identity.api.verifier.ledger import Proven, States
from identity.api.verifier.outbound import NotReached, Outbound, parse_place
from identity.api.verifier.registered import Access, Recorded
from identity.api.verifier.sealing import Sealing
from identity.api.verifier.tables import VerifierEntry
from identity.commitments import SALT_BYTES
from identity.pb import access_pb2, identity_pb2
from identity.slots import SLOT_BYTES
from service.errors import KeyFileError, StorageError
from service.rounds import Round
from service.store import Store

log = structlog.get_logger(__name__)

OPERATION: Final = "identity.RecordAccesses"
TICK_S: Final = 1.0
"""How long an entry waits for others; a citizen hardly notices."""
BATCH_MAX: Final = BATCH_SIZES[-1]
TRIES_MAX: Final = 4
"""Slots that one entry may lose to other writers before its answer waits for the next tick of the verifier."""
SUBMIT_S_MAX: Final = 20.0
ANSWER_BYTES_MAX: Final = 4_096
AWAY: Final = (TransportError, LedgerError, StorageError, KeyFileError)
"""No defects of a round: it is done again."""

_NOT_FOUND = 404
_REFUSALS = range(400, 500)


@dataclass(frozen=True, slots=True)
class Drawn:
    """All that makes one entry.

    Attributes:
        access_slot: Where its list begins, as the credential says.
        slot: Handed out.
        link: The commitment to the next slot.
        content: Bytes of `AccessContent`.
        salt: Drawn for this entry alone.
    """

    access_slot: str
    slot: bytes
    link: bytes
    content: bytes
    salt: bytes

    @property
    def entry(self) -> identity_pb2.AccessEntry:
        """As it goes into a batch."""
        return make_entry(self.slot, self.link, self.content, self.salt)

    def to_text(self) -> str:
        """For the store."""
        parts = {"slot": self.slot, "link": self.link, "content": self.content, "salt": self.salt}
        return json.dumps({"access_slot": self.access_slot} | {name: part.hex() for name, part in parts.items()})

    @classmethod
    def from_text(cls, text: str) -> "Drawn":
        """What `to_text` wrote."""
        value = json.loads(text)
        return cls(value.pop("access_slot"), **{name: bytes.fromhex(part) for name, part in value.items()})


class KeeperRefused(Exception):
    """Whoever keeps the lists refuses this one request; another one may be taken."""


class UnknownList(KeeperRefused):
    """Nobody keeps this list here: its person was erased, or is another registrar's."""


class Keeper(Protocol):
    """Keeps people's lists.

    A call raises TransportError if nobody says, KeeperRefused if this one is refused, UnknownList if there is no such
    list or it takes no more entries.
    """

    async def hand_out(self, access_slot: str) -> tuple[bytes, bytes]:
        """The free slot of a list, and the commitment to the one after."""
        ...

    async def tell(self, drawn: Drawn) -> None:
        """What was written."""
        ...


class HttpKeeper:
    """The registrar's service.

    Args:
        url: Its origin.
        outbound: Makes requests; the origin is one of those that the operator listed.
        key: Signs requests: of an organisation with the role verifier; purpose submit.
        now_ms: Unix time in ms.
    """

    def __init__(self, url: str, outbound: Outbound, key: TransactionSigner, now_ms: Callable[[], int]) -> None:
        self._url = url.rstrip("/")
        self._outbound = outbound
        self._key = key
        self._now_ms = now_ms

    async def hand_out(self, access_slot: str) -> tuple[bytes, bytes]:
        """See `Keeper.hand_out`."""
        raw = await self._post("/access-lists/slots", {"access_slot": access_slot})
        try:
            document = json.loads(raw)
            slot, link = bytes.fromhex(document["slot"]), bytes.fromhex(document["link"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise TransportError("what keeps the lists of accesses answers nothing of use", "accesses.answer") from None
        if len(slot) != SLOT_BYTES or len(link) != SLOT_BYTES:
            raise TransportError("what keeps the lists of accesses answers nothing of use", "accesses.answer")
        return slot, link

    async def tell(self, drawn: Drawn) -> None:
        """See `Keeper.tell`."""
        body = {"slot": drawn.slot.hex(), "content": drawn.content.hex(), "salt": drawn.salt.hex()}
        await self._post("/access-lists/entries", {"access_slot": drawn.access_slot, **body})

    async def _post(self, path: str, body: Mapping[str, str]) -> bytes:
        content = json.dumps(body).encode()
        try:
            place = parse_place(self._url + path)
            asked = Asked(place.origin.partition("://")[2], "POST", place.target, content)
            return await self._outbound.send(
                "POST",
                self._url + path,
                body=content,
                media_type="application/json",
                bytes_max=ANSWER_BYTES_MAX,
                more={HEADER: sign(self._key, asked, self._now_ms())},
            )
        except NotReached as error:
            if error.status == _NOT_FOUND:
                raise UnknownList from None
            if error.status in _REFUSALS:
                raise KeeperRefused(str(error)) from None
            raise TransportError(f"what keeps the lists of accesses: {error}", "accesses.unavailable") from None


Submit = Callable[[identity_pb2.RecordAccesses], Awaitable[None]]
"""Submits a batch and waits for its proof; Refused if the ledger took none of it."""


def submitting(session: Callable[[], Session], key: TransactionSigner) -> Submit:
    """How batches go to the ledger.

    Args:
        session: The client.
        key: Of an organisation with the role verifier; purpose submit.
    """

    async def submit(batch: identity_pb2.RecordAccesses) -> None:
        client = session()
        transaction = client.sign([Operation.make(OPERATION, encode(batch))], [key])
        proven = await client.submit_one(transaction, timeout_s=SUBMIT_S_MAX)
        if proven.failed is not None:
            raise Refused("the ledger did not take the entries", proven.failed.code)

    return submit


class SlotRecorder:
    """Writes access entries, a tick at a time.

    Args:
        store: Where entries on their way are kept.
        keeper: Keeps people's lists.
        states: Reads the ledger.
        submit: Submits batches.
        now_ms: Unix time in ms.
        tick_s: How long an entry waits for others.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        states: States,
        submit: Submit,
        now_ms: Callable[[], int],
        tick_s: float = TICK_S,
    ) -> None:
        self._store = store
        self._sealing = Sealing.of(store)
        self._keeper = keeper
        self._states = states
        self._submit = submit
        self._now_ms = now_ms
        self._waiting: dict[str, tuple[Access, asyncio.Future[Recorded]]] = {}
        self.round = Round("recording", self._once, tick_s, AWAY)
        """Its check: that ledger, keeper or store fail is no defect."""

    def start(self) -> None:
        """Begin, inside the event loop that will go on with it."""
        self.round.start()

    async def stop(self) -> None:
        """End; whoever waits is told that nothing is known."""
        await self.round.stop()
        self._settle(list(self._waiting), TransportError("the service stops", "service.stopping"))

    async def record(self, access: Access) -> Recorded:
        """See `registered.Recorder.record`."""
        _, future = self._waiting.setdefault(access.id, (access, asyncio.get_running_loop().create_future()))
        return await asyncio.shield(future)

    async def _once(self) -> None:
        batch = list(self._waiting)[:BATCH_MAX]
        try:
            if batch:
                await self._round(batch)
            await self._tell()
        except AWAY as error:
            reason = error if isinstance(error, TransportError | LedgerError) else TransportError(str(error))
            self._settle(batch, reason)
            raise
        except Exception:
            self._settle(batch, TransportError("the round broke off", "service.failed"))
            raise

    async def _round(self, identifiers: Sequence[str]) -> None:
        """Write one batch. Two entries of one list have turns: the second waits for the next round."""
        drawn: dict[str, Drawn] = {}
        for identifier in identifiers:
            try:
                one = await self._drawn(self._waiting[identifier][0])
            except UnknownList:  # others go on without it
                self._settle([identifier], TransportError("nobody keeps the person's list here", "accesses.unknown"))
                continue
            except KeeperRefused as error:
                reason = f"what keeps the lists of accesses refuses the entry: {error}"
                self._settle([identifier], TransportError(reason, "accesses.refused"))
                continue
            if all(other.slot != one.slot for other in drawn.values()):
                drawn[identifier] = one
        if not drawn:
            return
        batch = make_batch(one.entry for one in drawn.values())
        for _ in range(TRIES_MAX):
            with contextlib.suppress(Refused):  # a slot was taken meanwhile: the state says which
                await self._submit(batch)
            proven = await self._states.read([access_key(entry.slot) for entry in batch.entries])
            found = retry(batch, proven.values.get)
            await self._sort(drawn, proven)
            if found.batch is None:
                return
            batch = found.batch
        raise TransportError("the ledger took the entries in no round", "accesses.not-taken")

    async def _sort(self, drawn: Mapping[str, Drawn], proven: Proven) -> None:
        """Tell those whose entry stands; those that lost their slot draw anew in the next round."""
        for identifier, one in drawn.items():
            where = access_key(one.slot)
            record = load_access(proven.values.get, one.slot) if where in proven.values else None
            if record is None or identifier not in self._waiting:
                continue
            if record.content == content_commitment(one.content, one.salt):
                await run_in_threadpool(self._mark_recorded, identifier)
                _, future = self._waiting.pop(identifier)
                if not future.done():
                    future.set_result(Recorded(one.slot, proven.receipts[where]))
            else:
                await run_in_threadpool(self._forget, identifier)

    async def _drawn(self, access: Access) -> Drawn:
        """What makes an entry: as it was kept, else drawn and kept before anything is sent."""
        kept = await run_in_threadpool(self._kept, access.id)
        if kept is not None:
            return kept
        slot, link = await self._keeper.hand_out(access.slot)
        content = encode_content(
            access_pb2.AccessContent(
                kind=access_pb2.ACCESS_KIND_EMERGENCY_ANSWER if access.is_emergency else access_pb2.ACCESS_KIND_ANSWER,
                organisation=access.relying_party,
                at_ms=access.at_ms,
                purpose=access.purpose,
                attributes=access.attributes,
            )
        )
        made = Drawn(access.slot, slot, link, content, secrets.token_bytes(SALT_BYTES))
        await run_in_threadpool(self._keep, access.id, made)
        return made

    async def _tell(self) -> None:
        """Tell whoever keeps the lists what was written; what was not taken is told again."""
        for identifier, one in await run_in_threadpool(self._untold):
            try:
                await self._keeper.tell(one)
            except UnknownList:  # the person was erased meanwhile: nobody is left to tell
                log.info("verifier.entry-not-told", code="accesses.unknown")
            except KeeperRefused as error:  # it stays, and holds no others up
                log.warning("verifier.entry-not-told", code="accesses.refused", reason=str(error))
                continue
            except TransportError as error:
                log.info("verifier.entry-not-told", code=error.code)
                return
            await run_in_threadpool(self._forget, identifier)

    def _settle(self, identifiers: Sequence[str], error: TransportError | LedgerError) -> None:
        for identifier in identifiers:
            found = self._waiting.pop(identifier, None)
            if found is not None and not found[1].done():
                found[1].set_exception(error)
                found[1].exception()  # looked at, should nobody wait any more

    # ------------------------------------------------------------ the store

    def _kept(self, identifier: str) -> Drawn | None:
        with self._store.read() as session:
            row = session.get(VerifierEntry, identifier)
            text = None if row is None else self._sealing.open(identifier, "drawn", row.drawn)
            return None if text is None else Drawn.from_text(text)

    def _keep(self, identifier: str, drawn: Drawn) -> None:
        sealed = self._sealing.seal(identifier, "drawn", drawn.to_text())
        with self._store.write() as session:
            session.add(VerifierEntry(id=identifier, drawn=sealed, is_recorded=False, made_ms=self._now_ms()))

    def _mark_recorded(self, identifier: str) -> None:
        with self._store.write() as session:
            session.execute(update(VerifierEntry).where(VerifierEntry.id == identifier).values(is_recorded=True))

    def _untold(self) -> list[tuple[str, Drawn]]:
        with self._store.read() as session:
            query = select(VerifierEntry).where(VerifierEntry.is_recorded)
            rows = session.scalars(query.order_by(VerifierEntry.made_ms).limit(BATCH_MAX)).all()
            found = [(row.id, self._sealing.open(row.id, "drawn", row.drawn)) for row in rows]
            return [(identifier, Drawn.from_text(text)) for identifier, text in found if text is not None]

    def _forget(self, identifier: str) -> None:
        with self._store.write() as session:
            session.execute(delete(VerifierEntry).where(VerifierEntry.id == identifier))
