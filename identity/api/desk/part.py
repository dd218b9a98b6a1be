# SPDX-License-Identifier: Apache-2.0
"""The desk as a part of a service: `[*staffed_parts(store, address, DESK_SITE, ledger), desk_part(store)]`."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI

from chain.signing import TransactionSigner
from identity.api.desk.base import DeskContext, Ledger, Tagger
from identity.api.desk.ledger import DeskLedger
from identity.api.desk.look_up_pages import look_up_router
from identity.api.desk.problems import KINDS
from service.app import Part
from service.pages import Site, add_templates
from service.settings import RetentionSettings
from service.store import Store
from service.store.replays import unix_ms

add_templates(Path(__file__).parent / "templates")

DESK_SITE = Site("desk.title", home="/", layout="workplace", scripts=("desk.js",))
"""Its places are shown by role: see `places`."""


def desk_routers() -> list[APIRouter]:
    """All pages of the desk; each part of it adds its own here."""
    return [look_up_router()]


def desk_part(
    store: Store,
    *,
    ledger: Ledger | None = None,
    tagger: Tagger | None = None,
    service_key: TransactionSigner | None = None,
    retention: RetentionSettings | None = None,
    now: Callable[[], int] = unix_ms,
    site: Site = DESK_SITE,
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

    Returns:
        The part; `app.state.desk` is the `DeskContext`.
    """
    kept = retention or RetentionSettings()

    async def start(app: FastAPI) -> None:
        way = DeskLedger(app.state.door) if ledger is None else ledger
        app.state.desk = DeskContext(store, site, way, tagger, service_key, kept, now)

    return Part("desk", desk_routers(), start=start, problems=KINDS)
