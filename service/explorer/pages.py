# SPDX-License-Identifier: Apache-2.0
"""The explorer's pages: the network, blocks, transactions, organisations, one record with its proof, a receipt's check.

Each is made on the server and works without scripts; only a proof is checked by the reader's own device, or not at all.
"""

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from membership.pb import membership_pb2 as pb
from service.explorer.api import signer_text
from service.explorer.ledger import Organisations
from service.explorer.listings import BLOCKS, HEIGHT_DIGITS_MAX, TRANSACTIONS, export_of, listing, paged, place
from service.explorer.part import Explorer
from service.explorer.problems import ABSENT
from service.explorer.pulse import health, now_ms
from service.explorer.queries import PAGE_SIZE, WINDOW_LEAVES, Filter, TransactionRow
from service.explorer.references import block_reference, identifier, is_identifier, number, searched
from service.explorer.words import SEPARATORS, describe
from service.language import Language, language_of, translate
from service.offline import Worker, genesis_address
from service.pages import Place, Site, add_templates, address_with, render
from service.problems import Problem
from service.static_files import static_files
from service.turns import Turns
from service.wording import CHINA, instant

add_templates(Path(__file__).parent / "templates")

CHECK = "/check"
OFFLINE_ENTRIES = ("shell.css", "shell.js", "check.js", "verifier.js", "qr-reader.js", "mark.svg")
"""What the check page loads, now or when a picture is to be read."""
SITE = Site(
    "explorer.title",
    places=(
        Place("explorer.network", "/"),
        Place("explorer.blocks", "/blocks"),
        Place("explorer.transactions", "/transactions"),
        Place("explorer.organisations", "/organisations"),
        Place("explorer.check", CHECK),
    ),
    layout="workplace",
)
STEPS = ("form", "network", "validators", "signatures", "history", "record", "content")
"""The proof strip's steps; web/pages/check-steps.ts says which checks of the verifier each stands for."""
OPERATIONS_SHOWN_MAX = 100
"""Operations of one transaction on its page; each further one has a page of its own all the same."""

EXPORTS_WAITING_MAX = 4
"""An export takes a processor for seconds: one at a time, and few wait for theirs."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A transaction as a table shows it."""

    row: TransactionRow
    words: str
    names: str


def pages_router(explorer: Explorer) -> APIRouter:
    """The routes.

    Raises:
        PagesNotBuilt: The scripts and styles were not built.
    """
    network = explorer.network
    contents = {genesis_address(network.genesis.network): network.raw}
    offline = Worker(static_files(), "check-offline.js", CHECK, OFFLINE_ENTRIES, contents=contents, pages=[CHECK])
    pages = Pages(explorer, offline)
    router = APIRouter(include_in_schema=False)
    for path, endpoint in (
        ("/", pages.network),
        ("/blocks", pages.blocks),
        ("/blocks/{reference}", pages.block),
        ("/transactions", pages.transactions),
        ("/transactions/{transaction_id}", pages.transaction),
        ("/transactions/{transaction_id}/operations/{operation}", pages.record),
        ("/organisations", pages.organisations),
        ("/organisations/{organisation}", pages.organisation),
        ("/search", pages.search),
        (CHECK, pages.check),
        (CHECK + "/offline.js", offline.serve),
    ):
        router.add_api_route(path, endpoint, methods=["GET"])
    return router


class Pages:
    """The endpoints."""

    def __init__(self, explorer: Explorer, offline: Worker) -> None:
        self._explorer = explorer
        self._offline = offline
        self._exports = Turns(1, EXPORTS_WAITING_MAX)

    async def network(self, request: Request) -> Response:
        """How the network does, in one sentence, with what each node says of itself."""
        explorer, ledger = self._explorer, self._explorer.ledger
        reports = await explorer.reports.get()
        found = health(reports, ledger.session.trust.validator_count, explorer.watched.last_ms, now_ms())
        organisations = await ledger.organisations_if_any()
        height, transactions, _ = await run_in_threadpool(explorer.explored.totals)
        top = explorer.index.height()  # proven; what a node says of its own height says nothing about the others
        nodes = []
        for report in reports:
            owner = ledger.organisation_at.get(report.address, "")
            nodes.append((report, organisations.name(owner, language_of(request)) if owner else report.address, top))
        beats = list(explorer.watched.beats)
        return render(
            request,
            "explorer/network.html",
            site=SITE,
            health=found,
            nodes=nodes,
            last=instant(found.last_ms) if found.last_ms else None,
            now=instant(now_ms()),
            height=height,
            total=transactions,
            latency=sorted(beat.latency_ms for beat in beats)[len(beats) // 2] if beats else None,
            latency_rows=[(_second(beat.time_ms), beat.latency_ms) for beat in beats],
            count_rows=[(_second(beat.time_ms), beat.transactions) for beat in beats],
            genesis=explorer.network.genesis,
        )

    async def blocks(self, request: Request) -> Response:
        """Blocks, newest first; `?before=` a height."""
        before = place(request, "before")
        rows = await run_in_threadpool(self._explorer.explored.blocks, before)
        shown, older = rows[:PAGE_SIZE], len(rows) > PAGE_SIZE
        following = address_with(request, before=shown[-1].height) if older else None
        first = address_with(request, before=None) if before is not None else None
        table = listing("blocks", BLOCKS, first, following, "")
        return render(request, "explorer/blocks.html", site=SITE, table=table, rows=shown, instant=instant)

    async def block(self, request: Request, reference: str) -> Response:
        """One block with its transactions."""
        explored = self._explorer.explored
        row = await run_in_threadpool(explored.block, block_reference(reference))
        if row is None:
            raise Problem(ABSENT)
        wanted = Filter(height=row.height)
        page = await run_in_threadpool(
            explored.transactions, wanted, before=place(request, "before"), after=place(request, "after")
        )
        shown = await self._shown(request, page.rows)
        table = paged(request, "transactions", page, "")
        newest = self._explorer.index.height()
        return render(
            request,
            "explorer/block.html",
            site=SITE,
            block=row,
            at=instant(row.time_ms),
            table=table,
            rows=shown,
            newest=newest,
            instant=instant,
        )

    async def transactions(self, request: Request) -> Response:
        """Transactions, newest first, filtered by kind, organisation and outcome; also as a CSV file."""
        explored, language = self._explorer.explored, language_of(request)
        asked = request.query_params
        organisations = await self._explorer.ledger.organisations_if_any()
        kinds = await run_in_threadpool(explored.kinds)
        outcome = asked.get("outcome", "")
        failed = {"failed": True, "done": False}.get(outcome)
        wanted = Filter(asked.get("kind") or None, asked.get("organisation") or None, failed)
        if asked.get("format") == "csv":
            async with self._exports.turn():
                return await run_in_threadpool(export_of, explored, wanted, request)
        page = await run_in_threadpool(
            explored.transactions, wanted, before=place(request, "before"), after=place(request, "after")
        )
        export = address_with(request, format="csv", before=None, after=None)
        return render(
            request,
            "explorer/transactions.html",
            site=SITE,
            table=paged(request, "transactions", page, export),
            rows=await self._shown(request, page.rows, organisations),
            further=address_with(request, before=page.before, after=None) if page.is_partial else None,
            window=WINDOW_LEAVES,
            wanted=wanted,
            outcome=outcome if failed is not None else "",
            kinds=[("", translate(language, "explorer.any"))]
            + [(kind, describe(self._explorer.describers, language, kind, None)) for kind in kinds],
            organisations=[("", translate(language, "explorer.any"))]
            + [(one, organisations.name(one, language)) for one in organisations.by_id],
            instant=instant,
        )

    async def transaction(self, request: Request, transaction_id: str) -> Response:
        """One transaction with its operations, each in words."""
        row = await self._row(transaction_id)
        proven = await self._explorer.ledger.operations(row.id)
        types = [item.inclusion.operation.type for item in proven] or await run_in_threadpool(
            self._explorer.explored.operation_types, row.leaf_index
        )
        bodies: list[bytes | None] = [item.inclusion.operation.body for item in proven] or [None] * len(types)
        language = language_of(request)
        operations = [
            (index, kind, describe(self._explorer.describers, language, kind, body))
            for index, (kind, body) in enumerate(zip(types, bodies, strict=True))
        ][:OPERATIONS_SHOWN_MAX]
        organisations = await self._explorer.ledger.organisations_if_any()
        return render(
            request,
            "explorer/transaction.html",
            site=SITE,
            row=row,
            at=instant(row.time_ms),
            operations=operations,
            names=[(one, organisations.name(one, language)) for one in row.organisations],
            signers=[signer_text(signer) for signer in row.signers],
            is_proven=bool(proven),
        )

    async def record(self, request: Request, transaction_id: str, operation: str) -> Response:
        """One operation with its proof, which the reader's device checks."""
        row, index = await self._row(transaction_id), number(operation)
        types = await run_in_threadpool(self._explorer.explored.operation_types, row.leaf_index)
        if index >= len(types):
            raise Problem(ABSENT)
        proven = await self._explorer.ledger.operations(row.id)
        body = proven[index].inclusion.operation.body if proven else None
        language = language_of(request)
        organisations = await self._explorer.ledger.organisations_if_any()
        return render(
            request,
            "explorer/record.html",
            site=SITE,
            row=row,
            at=instant(row.time_ms),
            index=index,
            kind=types[index],
            words=describe(self._explorer.describers, language, types[index], body),
            names=[(one, organisations.name(one, language)) for one in row.organisations],
            body=None if body is None else body.hex(),
            receipt=f"/v1/transactions/{row.id.hex()}/operations/{index}/receipt",
            network=self._explorer.network.genesis.network.hex(),
            network_name=self._explorer.network.genesis.name,
        )

    async def organisations(self, request: Request) -> Response:
        """Who takes part, from proven state."""
        found = await self._explorer.ledger.organisations()
        return render(
            request,
            "explorer/organisations.html",
            site=SITE,
            found=found,
            at=instant(found.time_ms),
            listed=list(found.by_id.values()),
        )

    async def organisation(self, request: Request, organisation: str) -> Response:
        """One organisation: its names, roles and keys."""
        found = await self._explorer.ledger.organisations()
        one = found.by_id.get(organisation)
        if one is None:
            raise Problem(ABSENT)
        keys = await self._explorer.ledger.keys(organisation)
        page = await run_in_threadpool(self._explorer.explored.transactions, Filter(organisation=organisation), size=5)
        purposes = {
            pb.PURPOSE_SUBMIT: "explorer.purpose-submit",
            pb.PURPOSE_GOVERN: "explorer.purpose-govern",
            pb.PURPOSE_ATTEST: "explorer.purpose-attest",
        }
        language = language_of(request)
        separator = SEPARATORS[language]
        listed = [
            (
                item,
                separator.join(translate(language, purposes[p]) for p in item.key.purposes if p in purposes),
                item.key.is_usable(now_ms()),
            )
            for item in keys
        ]
        return render(
            request,
            "explorer/organisation.html",
            site=SITE,
            one=one,
            found=found,
            at=instant(found.time_ms),
            keys=listed,
            rows=await self._shown(request, page.rows, found),
            instant=instant,
            table=listing("transactions", TRANSACTIONS, None, None, ""),
        )

    async def search(self, request: Request) -> Response:
        """Go to what an id, a height or a name means; else say what could be searched for."""
        words = searched(request.query_params.get("q", ""))
        found = await run_in_threadpool(self._exact, words)
        if found is not None:
            return RedirectResponse(found, 303)
        organisations = await self._explorer.ledger.organisations_if_any()
        wanted = words.casefold()
        matches = [
            one
            for one in organisations.by_id.values()
            if wanted and any(wanted in name.casefold() for name in (one.id, one.name_zh, one.name_en))
        ]
        if len(matches) == 1:
            return RedirectResponse(f"/organisations/{matches[0].id}", 303)
        status = 200 if matches or not words else 404
        newest = self._explorer.index.height()
        later = int(words) if _is_height(words) and int(words) > newest > 0 else None
        return render(
            request,
            "explorer/search.html",
            site=SITE,
            status=status,
            words=words,
            matches=matches,
            later=later,
            newest=newest,
        )

    async def check(self, request: Request) -> Response:
        """A receipt that somebody brings along, checked on their device."""
        genesis = self._explorer.network.genesis
        page = render(
            request, "explorer/check.html", site=SITE, network=genesis.network.hex(), network_name=genesis.name
        )
        page.headers.update(self._offline.headers)
        return page

    def _exact(self, words: str) -> str | None:
        """The page of what an id or a height means; None: it means nothing here."""
        explored = self._explorer.explored
        if _is_height(words):
            return f"/blocks/{int(words)}" if explored.block(int(words)) is not None else None
        if is_identifier(words):
            code = identifier(words)
            if explored.transaction(code) is not None:
                return f"/transactions/{words}"
            if explored.block(code) is not None:
                return f"/blocks/{words}"
        return None

    async def _row(self, transaction_id: str) -> TransactionRow:
        row = await run_in_threadpool(self._explorer.explored.transaction, identifier(transaction_id))
        if row is None:
            raise Problem(ABSENT)
        return row

    async def _shown(
        self, request: Request, rows: tuple[TransactionRow, ...], organisations: Organisations | None = None
    ) -> list[Shown]:
        language = language_of(request)
        known = organisations or await self._explorer.ledger.organisations_if_any()
        return [Shown(row, self._words(language, row), _names(language, row, known)) for row in rows]

    def _words(self, language: Language, row: TransactionRow) -> str:
        first = describe(self._explorer.describers, language, row.first_type, None)
        if row.operations == 1:
            return first
        return translate(language, "explorer.and-more", first=first, count=row.operations - 1)


def _names(language: Language, row: TransactionRow, known: Organisations) -> str:
    separator = SEPARATORS[language]
    return separator.join(known.name(one, language) for one in row.organisations)


def _is_height(words: str) -> bool:
    """Whether a search may mean a block by its height."""
    return words.isascii() and words.isdecimal() and len(words) <= HEIGHT_DIGITS_MAX


def _second(time_ms: int) -> str:
    return instant(time_ms).astimezone(CHINA).strftime("%H:%M:%S")
