# SPDX-License-Identifier: Apache-2.0
"""What all services of credit stand on: the store, the ledger, the index, the registrar's key, the clock."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from threading import Lock
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy.orm import Session
from starlette.requests import Request

from chain.checkpoint import Checkpoint
from chain.genesis import Genesis
from chain.signing import Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from credit.api.drafts import Drafts
from credit.api.misses import Misses
from credit.api.notices import NoticeProvider
from credit.api.problems import NO_SERVICE_KEY, UNKNOWN_SUBJECT
from credit.api.slot_index import SlotIndex
from credit.api.tables import CreditSubject
from credit.api.ticks import TICK_MS, Tick
from credit.repair import Calendar
from identity.issuer_keys import KeySet
from service.problems import Problem
from service.store import Act, Store

SCORECARD: Final = 1
"""The scorecard that pages and reports use; others may be published beside it."""
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
HANDLE_CHARACTERS: Final = 64
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Proof:
    """States under one certified checkpoint.

    Attributes:
        receipt: Bytes of a `Receipt` of all of them.
        values: By key; None: proven absent.
    """

    receipt: bytes
    values: Mapping[bytes, bytes | None]
    checkpoint: Checkpoint


class Ledger(Protocol):
    """What credit needs of the ledger; `ledger.FollowedLedger` is one."""

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""

    @property
    def genesis(self) -> Genesis:
        """What is trusted."""

    @property
    def indexed_ms(self) -> int:
        """Time of the newest block in the index; 0: none yet."""

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt.

        Raises:
            Refused: Enough validators refuse it.
            TransportError: Nothing is known of it yet.
        """

    async def prove(self, keys: Sequence[bytes]) -> Proof:
        """States under one certified checkpoint.

        Raises:
            TransportError: No node gives an answer that verifies and is fresh.
        """

    async def newest(self) -> Checkpoint:
        """The newest certified checkpoint."""

    async def follow(self, height: int) -> bool:
        """Wait until the index has a block; False: it has not within a few seconds."""

    async def organisation_of(self, signer: Signer) -> str:
        """Whose key this is now; "": nobody's who is an active member."""

    async def has_role(self, organisation: str, role: str) -> bool:
        """Whether an organisation is an active member with a role."""


@dataclass(frozen=True, slots=True)
class CreditContext:
    """What credit's parts share; `credit_of(request)` finds it.

    Attributes:
        service_key: The registrar's own key, purpose `submit`: it keeps logs and passes objections on.
        issuing: Keys that sign grade credentials; None: none are issued.
        origin: The service's public origin, which names it as issuer and binds holders' signatures.
        notices: How earlier readers of a report are told.
        now: Unix time in ms.
        calendar: Which days are worked, for clocks of the procedures.
        tick_ms: How often accesses and signed batches go out; 0: at once.
        access_tick: Rounds of the entries of accesses.
        batch_tick: When signed batches are sent.
        drafts: Batches of this process that are not settled yet.
        misses: Numbers that organisations looked up in vain.
        turn: Taken by whoever writes a whole batch: a database that lets one write at a time gives no turns by itself.
    """

    store: Store
    index: SlotIndex
    ledger: Ledger
    service_key: TransactionSigner | None
    issuing: KeySet | None
    origin: str
    notices: NoticeProvider
    now: Callable[[], int]
    calendar: Calendar = field(default_factory=Calendar)
    drafts: Drafts = field(default_factory=Drafts, repr=False, compare=False)
    misses: Misses = field(default_factory=Misses, repr=False, compare=False)
    turn: AbstractContextManager[bool] = field(default_factory=Lock, repr=False, compare=False)
    tick_ms: int = TICK_MS
    access_tick: Tick = field(init=False, repr=False, compare=False)
    batch_tick: Tick = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give each service its own rounds."""
        for name in ("access_tick", "batch_tick"):
            object.__setattr__(self, name, Tick(self.now, self.tick_ms))

    @property
    def today(self) -> int:
        """In days since 1970-01-01."""
        return self.now() // DAY_MS

    @property
    def own_key(self) -> TransactionSigner:
        """The registrar's own key.

        Raises:
            Problem: None is set up.
        """
        if self.service_key is None:
            raise Problem(NO_SERVICE_KEY)
        return self.service_key

    def record(self, session: Session, actor: str, act: str, record: str, request: str = "-") -> None:
        """Add to the audit chain; see `service.store.Act`."""
        self.store.record(session, Act(actor, act, record, request))

    def handle_of(self, organisation: str, subject_id: str) -> str:
        """What one organisation calls a subject: another organisation's handle of the same subject tells nothing."""
        return self._cipher.encrypt(bytes.fromhex(subject_id), [organisation.encode()]).hex()

    def subject_of(self, organisation: str, handle: str) -> str:
        """The subject that an organisation's handle names.

        Raises:
            Problem: It names none of this organisation's.
        """
        try:
            return self._cipher.decrypt(bytes.fromhex(handle), [organisation.encode()]).hex()
        except (InvalidTag, ValueError):
            raise Problem(UNKNOWN_SUBJECT) from None

    @property
    def _cipher(self) -> AESSIV:
        return AESSIV(self.store.secret("credit/handle"))


def credit_of(request: Request) -> CreditContext:
    """The service that answers."""
    found = request.app.state.credit
    assert isinstance(found, CreditContext)
    return found


def day_of(value: date) -> int:
    """A date in days since 1970-01-01; negative before."""
    return (value - _EPOCH).days


def date_of(day: int) -> date:
    """The date of a day since 1970-01-01."""
    return _EPOCH + timedelta(days=day)


def operation(message: Any) -> Operation:
    """A message of the module as an operation."""
    return Operation.make(f"credit.{message.DESCRIPTOR.name}", message.SerializeToString(deterministic=True))


def load_subject(session: Session, subject_id: str, *, hold: bool = False) -> CreditSubject:
    """A subject's row.

    Raises:
        Problem: There is none.
    """
    found = session.get(CreditSubject, subject_id, with_for_update=hold)
    if found is None:
        raise Problem(UNKNOWN_SUBJECT)
    return found
