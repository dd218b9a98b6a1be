# SPDX-License-Identifier: Apache-2.0
"""The desk as a part of a service: `[*staffed_parts(store, address, DESK_SITE, ledger), desk_part(store)]`."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI

from chain.signing import TransactionSigner
from identity.api.desk.access_ticks import TICK_MS
from identity.api.desk.base import DeskContext, Ledger, Tagger
from identity.api.desk.case_pages import case_router
from identity.api.desk.compartment_pages import PATH as COMPARTMENTS
from identity.api.desk.compartment_pages import compartment_router
from identity.api.desk.declared_pages import declared_router
from identity.api.desk.enrol_pages import enrol_router
from identity.api.desk.erasure_pages import erasure_router
from identity.api.desk.ledger import DeskLedger
from identity.api.desk.look_up_pages import look_up_router
from identity.api.desk.notice_pages import notice_router
from identity.api.desk.person_pages import person_router
from identity.api.desk.places import PLACES
from identity.api.desk.problems import KINDS
from identity.api.desk.recovery_pages import recovery_router
from identity.api.desk.upkeep import following, writing
from identity.api.space.request_pages import requests_router
from identity.compartment import SEALED_BYTES_MAX
from service.app import Part
from service.pages import Place, Site, add_templates
from service.pictures import FILE_BYTES_MAX
from service.settings import RetentionSettings
from service.store import Store
from service.store.replays import unix_ms

add_templates(Path(__file__).parent / "templates")

DESK_SITE = Site(
    "desk.title",
    home="/",
    places=tuple(Place(place.title, place.path, permission=place.permission) for place in PLACES),
    layout="workplace",
    scripts=("desk.js",),
)
"""Its places are shown by role, and on the desk's own pages with what waits there: see `places`."""
FORM_BYTES = 64 * 1024
"""What a form has beside the file in it."""


def desk_routers() -> list[APIRouter]:
    """All pages of the desk; each part of it adds its own here."""
    return [
        look_up_router(),
        enrol_router(),
        case_router(),
        person_router(),
        recovery_router(),
        erasure_router(),
        compartment_router(),
        notice_router(),
        requests_router(),
        declared_router(),
    ]


def desk_part(
    store: Store,
    *,
    ledger: Ledger | None = None,
    tagger: Tagger | None = None,
    service_key: TransactionSigner | None = None,
    retention: RetentionSettings | None = None,
    now: Callable[[], int] = unix_ms,
    site: Site = DESK_SITE,
    keeps_up: bool = True,
    access_tick_ms: int = TICK_MS,
) -> Part:
    """The issuance desk.

    Args:
        store: Where persons and cases are kept.
        ledger: Where registrations stand; None: the one on which the service's officers sign, `app.state.door`.
        tagger: The uniqueness service; None: nobody can be enrolled.
        service_key: A key of the registrar, purpose `submit` alone, for suspending by phone; None: officers sign.
        retention: How long what is kept.
        now: Unix time in ms.
        site: Name and navigation.
        keeps_up: Whether the service follows acts and keeps to the retention settings by itself (`upkeep`); a test that
            takes each step itself says no.
        access_tick_ms: How often looks at people go to their lists on the ledger; shorter in tests alone.

    Returns:
        The part; `app.state.desk` is the `DeskContext`.
    """
    kept = retention or RetentionSettings()
    desks: list[DeskContext] = []

    async def start(app: FastAPI) -> None:
        way = DeskLedger(app.state.door) if ledger is None else ledger
        app.state.desk = DeskContext(store, site, way, tagger, service_key, kept, now)
        desks[:] = [app.state.desk]

    rounds = [following(lambda: desks[0]), writing(lambda: desks[0], access_tick_ms)] if keeps_up else []
    limits = {"/pictures/": FILE_BYTES_MAX + FORM_BYTES, COMPARTMENTS: SEALED_BYTES_MAX + FORM_BYTES}
    return Part("desk", desk_routers(), start=start, rounds=rounds, problems=KINDS, body_limits=limits)
