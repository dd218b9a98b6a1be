# SPDX-License-Identifier: Apache-2.0
"""The shopper's pages as a part of the service of food records, and what they do by themselves: forget, and anchor.

Once an hour scans and complaints whose time is over are deleted. At the start, and once a day, the digest of the page's
program is put on the ledger where the service has a key and the newest anchor says something else.
"""

from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool

from service.anchors import anchoring, organisation_of, put_anchor, read_anchor
from service.app import Part
from service.errors import StorageError
from service.pages import add_templates
from service.rounds import Round
from service.static_files import static_files
from traceability.api.context import TraceContext
from traceability.api.shopper.code import KIND, STREAM, code_digest, code_files, code_router
from traceability.api.shopper.complaints import Complaints
from traceability.api.shopper.evidence import Evidences
from traceability.api.shopper.label_pages import LABELS, LabelPages
from traceability.api.shopper.offline import offline_worker
from traceability.api.shopper.opened import KeptEvents, Opener, StoredEvents
from traceability.api.shopper.pages import BUNDLES, Pages
from traceability.api.shopper.places import FOOD
from traceability.api.shopper.problems import KINDS
from traceability.api.shopper.scans import Scans
from traceability.api.shopper.voices import COMPLAINT, HERE, Voices

add_templates(Path(__file__).parent / "templates")

FORGET_S: Final = 3_600.0
RETRY_S: Final = 60.0
"""After something broke."""


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
    offline = offline_worker(context.genesis_raw, context.genesis.network, static_files())
    pages = Pages(context, evidences, scans, offline)
    voices = Voices(pages, scans, complaints, context.now)
    rounds = [forgetting(scans, complaints, context)]
    if context.submit_key is not None:

        async def anchor() -> None:
            evidences.organisations.add(await anchor_code(context))

        rounds.append(anchoring(anchor))
    routers = [pages.router(), code_router(), voices.router(), LabelPages(context, pages).router()]
    escaped = (FOOD, BUNDLES, LABELS, HERE, COMPLAINT)  # a lot may have a slash in its name
    return Part("shopper", routers, rounds=rounds, problems=KINDS, uri_paths=escaped)


def forgetting(scans: Scans, complaints: Complaints, context: TraceContext) -> Round:
    """Deletes what is over."""

    async def once() -> None:
        await run_in_threadpool(scans.forget, context.now())
        await run_in_threadpool(complaints.forget, context.now())

    return Round("forgetting", once, FORGET_S, (StorageError,), retry_s=RETRY_S)


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
