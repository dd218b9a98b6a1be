# SPDX-License-Identifier: Apache-2.0
"""The shopper's pages as a part of the service of food records, and what they do by themselves: forget, and anchor.

Once an hour scans and complaints whose time is over are deleted. At the start, and once a day, the digest of the page's
program is put on the ledger where the service has a key and the newest anchor says something else.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from client.errors import TransportError
from service.anchors import organisation_of, put_anchor, read_anchor
from service.app import Check, Part
from service.errors import ConfigError, StorageError
from service.pages import add_templates
from service.static_files import static_files
from traceability.api.context import TraceContext
from traceability.api.shopper.code import KIND, STREAM, code_digest, code_files, code_router
from traceability.api.shopper.complaints import Complaints
from traceability.api.shopper.evidence import Evidences
from traceability.api.shopper.label_pages import LABELS, LabelPages
from traceability.api.shopper.offline import Offline
from traceability.api.shopper.opened import KeptEvents, Opener, StoredEvents
from traceability.api.shopper.pages import BUNDLES, Pages
from traceability.api.shopper.places import FOOD
from traceability.api.shopper.problems import KINDS
from traceability.api.shopper.scans import Scans
from traceability.api.shopper.voices import COMPLAINT, HERE, Voices

add_templates(Path(__file__).parent / "templates")

FORGET_S: Final = 3_600.0
ANCHOR_S: Final = 86_400.0
RETRY_S: Final = 60.0
"""After nodes were silent, or something broke."""
FORGETTING, ANCHORING = LOOPS = ("forgetting", "anchoring")
"""What goes on by itself, by the names that readiness has for it."""

log = structlog.get_logger(__name__)


def shopper_part(context: TraceContext, kept: KeptEvents | None = None) -> Part:
    """The shopper's pages.

    Args:
        context: Of the service.
        kept: Captured events, whose temperatures and certificates are opened; None: those in the store.

    Raises:
        PagesNotBuilt: The scripts and styles were not built.
    """
    scans, complaints = Scans(context.store), Complaints(context.store)
    evidences = Evidences(context, Opener(StoredEvents(context.store) if kept is None else kept))
    offline = Offline(context.genesis_raw, context.genesis.network, static_files())
    pages = Pages(context, evidences, scans, offline)
    voices = Voices(pages, scans, complaints, context.now)
    tasks: list[asyncio.Task[None]] = []
    broken: set[str] = set()

    async def start(_app: FastAPI) -> None:
        tasks.append(asyncio.create_task(forgetting(scans, complaints, context, broken)))
        if context.submit_key is not None:
            tasks.append(asyncio.create_task(anchoring(context, evidences, broken)))

    async def stop(_app: FastAPI) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    routers = [pages.router(), code_router(), voices.router(), LabelPages(context, pages).router()]
    escaped = (FOOD, BUNDLES, LABELS, HERE, COMPLAINT)  # a lot may have a slash in its name
    checks: dict[str, Check] = {name: partial(_is_whole, broken, name) for name in LOOPS}
    return Part("shopper", routers, start=start, stop=stop, checks=checks, problems=KINDS, uri_paths=escaped)


async def _is_whole(broken: set[str], name: str) -> bool:
    return name not in broken


async def forgetting(scans: Scans, complaints: Complaints, context: TraceContext, broken: set[str]) -> None:
    """Delete what is over, again and again.

    Args:
        scans: Of which service.
        complaints: Likewise.
        context: Likewise.
        broken: Holds "forgetting" from a time that it broke on until it does not, for readiness.
    """
    while True:
        pause_s = FORGET_S
        try:
            await run_in_threadpool(scans.forget, context.now())
            await run_in_threadpool(complaints.forget, context.now())
            broken.discard(FORGETTING)
        except StorageError as error:
            log.warning("shopper.forgetting-waits", reason=str(error))
        except Exception:
            broken.add(FORGETTING)  # a defect must not end it unnoticed: what is over would stay for good
            log.exception("shopper.forgetting-broke")
            pause_s = RETRY_S
        await asyncio.sleep(pause_s)


async def anchoring(context: TraceContext, evidences: Evidences, broken: set[str]) -> None:
    """Put the digest of the page's program on the ledger, where another or none stands; again and again.

    Args:
        context: Of which service.
        evidences: Hears whose anchor stands.
        broken: Holds "anchoring" from a time that it broke on until it does not, for readiness.
    """
    while True:
        pause_s = ANCHOR_S
        try:
            evidences.organisations.add(await anchor_code(context))
            broken.discard(ANCHORING)
        except TransportError:
            pause_s = RETRY_S
        except (LedgerError, ConfigError) as error:
            log.warning("shopper.code-not-anchored", reason=str(error))
        except Exception:
            broken.add(ANCHORING)
            log.exception("shopper.anchoring-broke")
            pause_s = RETRY_S
        await asyncio.sleep(pause_s)


async def anchor_code(context: TraceContext) -> str:
    """Anchor the digest of the page's program, unless the newest anchor is of it; returns whose anchor it is.

    Raises:
        ConfigError: The service's key does not submit.
        LedgerError: The rules refuse it.
        TransportError: No node answers.
    """
    session, key = context.door.session, context.submit_key
    assert key is not None, "only a service with a key anchors"
    organisation = await organisation_of(session, key.signer)
    newest = await read_anchor(session, organisation, KIND, STREAM)
    if newest is None or newest.digest != code_digest():
        await put_anchor(session, key, KIND, STREAM, code_digest(), len(code_files()))
    return organisation
