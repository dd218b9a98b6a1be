# SPDX-License-Identifier: Apache-2.0
"""Sign-in as a part of a service: `[shell_part(site), sign_in_part(store, address, site), *own_parts]`."""

from collections.abc import Sequence

from fastapi import FastAPI

from chain.genesis import Genesis
from chain.signing import TransactionSigner
from client.connection import Endpoint
from service.app import Part
from service.pages import Site
from service.settings import Address
from service.sign_in.act_pages import act_router
from service.sign_in.acts import Acts
from service.sign_in.api import HOME_PATH, api_router
from service.sign_in.attempts import Attempts
from service.sign_in.door import Door
from service.sign_in.kinds import SIGN_IN_KINDS
from service.sign_in.office import Office
from service.sign_in.pages import page_router
from service.store import Store

OFFICE_SITE = Site("office.title", home=HOME_PATH, layout="workplace")
"""The service that is sign-in alone: where people look after their passkeys, and administrators after people."""


def sign_in_part(store: Store, address: Address, site: Site, *, office: Office | None = None) -> Part:
    """What a service takes along whose people sign in.

    Args:
        store: Where people are kept.
        address: Where the service is reached: passkeys are for its host alone.
        site: Its name and navigation.
        office: Where a test has a clock of its own.
    """
    made = Office.of(store, address) if office is None else office

    async def start(app: FastAPI) -> None:
        app.state.office = made

    routers = [api_router(Attempts()), page_router(site)]
    return Part("sign-in", routers, start=start, problems=SIGN_IN_KINDS)


def acts_part(
    genesis: Genesis,
    endpoints: Sequence[Endpoint] | None,
    site: Site,
    *,
    registrars: Sequence[TransactionSigner] = (),
    cosigners: Sequence[TransactionSigner] = (),
) -> Part:
    """What a service takes along whose officers sign acts; it stands beside `sign_in_part`.

    Args:
        genesis: The network.
        endpoints: Nodes to ask; None: the founding validators.
        site: The service's.
        registrars: Keys that sign the registration of an officer's passkey: one of them governs the organisation.
        cosigners: Keys that sign every other act beside the officer, if any.

    Returns:
        The part; `app.state.acts` is where others prepare acts.
    """
    door = Door(genesis, endpoints)
    acts, registrations = Acts(door, cosigners), Acts(door, registrars)

    async def start(app: FastAPI) -> None:
        door.open()
        app.state.acts = acts

    async def stop(_app: FastAPI) -> None:
        await door.close()

    routers = [act_router(acts, registrations, door, site)]
    return Part("acts", routers, start=start, stop=stop)
