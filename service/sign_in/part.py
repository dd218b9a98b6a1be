# SPDX-License-Identifier: Apache-2.0
"""What a service takes along whose people sign in: `[*staffed_parts(store, address, site, ledger), *own_parts]`."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from chain.genesis import Genesis
from chain.signing import TransactionSigner
from client.connection import Endpoint
from service.app import Part
from service.pages import Site
from service.settings import Address
from service.shell import shell_part
from service.sign_in.access import session_of
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.api import HOME_PATH, api_router
from service.sign_in.attempts import Attempts
from service.sign_in.card_api import card_router
from service.sign_in.door import Door
from service.sign_in.kinds import SIGN_IN_KINDS
from service.sign_in.office import Office
from service.sign_in.pages import page_router, reader_site
from service.sign_in.staff_cards import StaffCards
from service.sign_in.standings import Standings
from service.store import Store

OFFICE_SITE = Site("office.title", home=HOME_PATH, layout="workplace")
"""The service that is sign-in alone: people look after their passkeys and cards, administrators after people."""


@dataclass(frozen=True, slots=True)
class OfficeLedger:
    """The ledger as a service's officers meet it.

    Attributes:
        genesis: The network.
        endpoints: Nodes to ask; None: the founding validators.
        role: What an organisation must have on the ledger for its officers to work here, e.g. "registrar"; "": being an
            active member is enough.
        cosigners: Keys that sign each act beside the officer: the service's own.
        governor: A governing key of the organisation that the service holds, for demonstration and development; None:
            the key is kept offline.
    """

    genesis: Genesis
    endpoints: Sequence[Endpoint] | None
    role: str = ""
    cosigners: Sequence[TransactionSigner] = ()
    governor: TransactionSigner | None = None


def sign_in_part(
    store: Store, address: Address, site: Site, *, cards: StaffCards | None = None, office: Office | None = None
) -> Part:
    """What a service takes along whose people sign in.

    Args:
        store: Where people are kept.
        address: Where the service is reached: passkeys are for its host alone.
        site: Its name and navigation.
        cards: Staff cards; None: passkeys alone.
        office: Where a test has a clock of its own, and cards.
    """
    made = Office.of(store, address, cards=cards) if office is None else office

    async def start(app: FastAPI) -> None:
        app.state.office, app.state.caller, app.state.own_site = made, session_of, reader_site

    attempts = Attempts()
    routers = [api_router(attempts), card_router(attempts), page_router(site)]
    return Part("sign-in", routers, start=start, problems=SIGN_IN_KINDS)


def acts_part(ledger: OfficeLedger, site: Site) -> Part:
    """What a service takes along whose officers sign acts; it stands beside `sign_in_part`.

    Args:
        ledger: The network, and who signs beside officers.
        site: The service's.

    Returns:
        The part; `app.state.acts` is where others prepare acts, `app.state.door.session` asks the ledger.
    """
    door = Door(ledger.genesis, ledger.endpoints)
    acts = Acts(door, ledger.cosigners)
    registrations = Acts(door, () if ledger.governor is None else (ledger.governor,))

    standings = Standings(lambda: door.session, ledger.role)

    async def start(app: FastAPI) -> None:
        door.open()
        app.state.acts, app.state.door, app.state.standings = acts, door, standings

    async def stop(_app: FastAPI) -> None:
        await standings.close()
        await door.close()

    routers = [act_router(acts, registrations, door, site, None if ledger.governor is None else ledger.governor.signer)]
    return Part("acts", routers, start=start, stop=stop)


def staffed_parts(
    store: Store,
    address: Address,
    site: Site,
    ledger: OfficeLedger | None,
    *,
    cards: StaffCards | None = None,
    office: Office | None = None,
) -> list[Part]:
    """Page shell, sign-in and acts of a service whose people sign in; its own parts come after them.

    Args:
        store: Where people are kept.
        address: Where the service is reached.
        site: Its name and navigation.
        ledger: The network on which officers sign; None: they sign nothing here.
        cards: Staff cards; None: passkeys alone.
        office: Where a test has a clock of its own, and cards.
    """
    parts = [shell_part(site), sign_in_part(store, address, site, cards=cards, office=office)]
    return parts if ledger is None else [*parts, acts_part(ledger, site)]
