# SPDX-License-Identifier: Apache-2.0
"""What all of the desk stands on: its context, who may do what, and the page that every part of it shows.

Every look at a person's data is answered for. `require_reason` lets an officer see a person only after `looking_up` has
written an access entry and an audit row; no page may open a person's sealed columns before it has called it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from chain.signing import TransactionSigner
from chain.transaction import SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from identity.api.desk.places import PLACES
from service.pages import Site
from service.settings import RetentionSettings
from service.sign_in.access import FRESH_MS, Require, office_of
from service.sign_in.acts import Acts
from service.sign_in.office import Office
from service.sign_in.pages import moment
from service.sign_in.pages import show as show_page
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.store import Act, Store

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Reader = Annotated[Officer, Depends(Require(Permission.READ_RECORDS))]
Clerk = Annotated[Officer, Depends(Require(Permission.ENROL))]
Approver = Annotated[Officer, Depends(Require(Permission.APPROVE))]
Supervisor = Annotated[Officer, Depends(Require(Permission.ADJUDICATE))]
Auditor = Annotated[Officer, Depends(Require(Permission.READ_AUDIT))]
Eraser = Annotated[Officer, Depends(Require(Permission.ERASE, fresh_ms=FRESH_MS))]
"""Officers as routes ask for them; who lacks the permission is refused, and the refusal is in the audit chain."""


@dataclass(frozen=True, slots=True)
class Proven:
    """State of the ledger under one certified checkpoint.

    Attributes:
        values: By key; None: proven absent.
        time_ms: The checkpoint's time.
    """

    values: Mapping[bytes, bytes | None]
    time_ms: int


class Ledger(Protocol):
    """What the desk needs of the ledger; `ledger.DeskLedger` is one."""

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""

    async def read(self, keys: Sequence[bytes]) -> Proven:
        """State keys under one checkpoint, with proof.

        Raises:
            TransportError: No node gives an answer that verifies and is fresh.
        """

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt.

        Raises:
            Refused: Enough validators refuse it.
            TransportError: Nothing is known of it yet.
        """


class Tag(Protocol):
    """What the uniqueness service makes of a person's number."""

    @property
    def version(self) -> int:
        """Of its key."""

    @property
    def value(self) -> bytes:
        """32 bytes."""

    @property
    def previous(self) -> bytes | None:
        """The same number's under the version before, while that one is being exchanged."""


class Tagger(Protocol):
    """The uniqueness service, as the desk asks it."""

    async def tag(self, number_kind: str, number: str) -> Tag:
        """The tag of a number.

        Raises:
            TransportError: It does not answer.
        """

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        """Register a number's tag on the ledger for a registrar; the same once more changes nothing.

        Raises:
            TransportError: It does not answer.
            Refused: The tag is registered for somebody else.
        """

    async def release(self, number_kind: str, number: str) -> None:
        """Take away the tag of somebody whose registration this registrar revoked.

        Raises:
            TransportError: It does not answer.
            Refused: It is not this registrar's, or nobody was revoked.
        """


@dataclass(frozen=True, slots=True)
class DeskContext:
    """What the desk's parts share; `desk_of(request)` finds it.

    Attributes:
        store: Persons, cases, look-ups.
        site: The desk's name and navigation.
        ledger: Where registrations stand.
        tagger: None: no uniqueness service is set up, so that nobody can be enrolled.
        service_key: The service's own key, `submit` only: it suspends, and can do nothing else to a person.
        retention: How long what is kept.
        now: Unix time in ms.
    """

    store: Store
    site: Site
    ledger: Ledger
    tagger: Tagger | None
    service_key: TransactionSigner | None
    retention: RetentionSettings
    now: Callable[[], int]

    def record(self, session: Session, officer: Officer, act: str, record: str, request: str = "-") -> None:
        """Add to the audit chain; see `service.store.Act`."""
        self.store.record(session, Act(officer.person_id, act, record, request))


def desk_of(request: Request) -> DeskContext:
    """The desk that answers."""
    found = request.app.state.desk
    assert isinstance(found, DeskContext)
    return found


def acts_of(request: Request) -> Acts:
    """Where the desk's officers sign."""
    found = request.app.state.acts
    assert isinstance(found, Acts)
    return found


def office_for(request: Request) -> Office:
    """Sign-in of the desk."""
    return office_of(request)


def show(request: Request, officer: Officer, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page of the desk for an officer, with the navigation that their role has and what waits in each place.

    Args:
        request: The request being answered.
        officer: Who reads it.
        name: A template that extends `desk/frame.html`.
        status: HTTP status.
        context: What else the template names.
    """
    desk = desk_of(request)
    own = [place for place in PLACES if officer.may(place.permission)]
    with desk.store.read() as session:
        counted = [place.counted(session, officer.organisation) for place in own]
    site = replace(desk.site, places=tuple(counted))
    named = {"moment_of": moment, "now": moment(desk.now()), "desk_places": own, "Permission": Permission}
    response = show_page(request, site, officer, name, **(named | context))
    response.status_code = status
    return response
